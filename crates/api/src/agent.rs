//! What is not served where nothing is stored.

/// What is answered instead.
pub(crate) const UNAVAILABLE: &str = "unavailable with Prometheus Agent";

/// Patterns of routes that need what is stored, and are refused with an error of the API.
const REFUSED: [&str; 22] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_explain",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/labels",
    "/api/v1/label/:name/values",
    "/api/v1/series",
    "/api/v1/search/metric_names",
    "/api/v1/search/label_names",
    "/api/v1/search/label_values",
    "/api/v1/alertmanagers",
    "/api/v1/alerts",
    "/api/v1/rules",
    "/api/v1/rules/backfill",
    "/api/v1/rules/backfill/:id",
    "/api/v1/status/tsdb",
    "/api/v1/status/tsdb/blocks",
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/clean_tombstones",
    "/api/v1/admin/tsdb/snapshot",
];

/// Pages about what is stored.
const SERVER_PAGES: [&str; 4] = ["/query", "/alerts", "/rules", "/tsdb-status"];

/// The page that an agent has instead.
pub(crate) const AGENT_PAGE: &str = "/agent";

/// Whether an agent refuses a route of the API. Where there is no search, that is said first.
pub(crate) fn refuses(pattern: &str, has_search: bool) -> bool {
    REFUSED.contains(&pattern) && (has_search || !pattern.starts_with("/api/v1/search/"))
}

/// Whether a page is there.
pub(crate) fn has_page(pattern: &str, is_agent: bool) -> bool {
    if is_agent { !SERVER_PAGES.contains(&pattern) } else { pattern != AGENT_PAGE }
}
