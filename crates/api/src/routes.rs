//! Which handler answers which path and method.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use httpserver::{Access, Caller};

use crate::reply::{Answer, ApiError, Coding, ErrorKind, Reply, compress};
use crate::request::{Params, Request};
use crate::view::Seen;
use crate::{
    Api, admin, bodies, features, federate, lifecycle, notifications, openapi, page, query, remote_read,
    remote_write, search, self_metrics, series, status, targets, user_files,
};

type Handler = fn(Arc<Api>, Request) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// One line of the table.
struct Route {
    /// Segments; `:name` stands for one, `*name` for the rest. Also the `handler` label of the HTTP metrics.
    pattern: &'static str,
    methods: &'static [Method],
    handler: Handler,
    seen: Seen,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];
/// The handler says itself which methods it takes.
const ANY: &[Method] = &[];

macro_rules! route {
    ($methods:expr, $pattern:expr, $handler:path) => {
        route!($methods, $pattern, $handler, Everything)
    };
    ($methods:expr, $pattern:expr, $handler:path, $seen:ident) => {
        Route {
            pattern: $pattern,
            methods: $methods,
            handler: |api, request| Box::pin($handler(api, request)),
            seen: Seen::$seen,
        }
    };
}

/// Paths under `/api/v1`: with CORS headers, `OPTIONS`, compression.
const API: &[Route] = &[
    route!(GET_POST, "/api/v1/query", query::instant, View),
    route!(GET_POST, "/api/v1/query_range", query::range, View),
    route!(GET_POST, "/api/v1/query_explain", query::explain, View),
    route!(GET_POST, "/api/v1/query_exemplars", query::exemplars, View),
    route!(GET_POST, "/api/v1/format_query", query::format, Nothing),
    route!(GET_POST, "/api/v1/parse_query", query::tree, Nothing),
    route!(GET_POST, "/api/v1/labels", series::label_names, View),
    route!(GET, "/api/v1/label/:name/values", series::label_values, View),
    route!(GET_POST, "/api/v1/series", series::series, View),
    route!(GET_POST, "/api/v1/search/metric_names", search::metric_names, View),
    route!(GET_POST, "/api/v1/search/label_names", search::label_names, View),
    route!(GET_POST, "/api/v1/search/label_values", search::label_values, View),
    route!(GET, "/api/v1/scrape_pools", targets::pools),
    route!(GET, "/api/v1/scrape_pools/config", targets::pool_config),
    route!(GET, "/api/v1/targets", targets::targets),
    route!(GET, "/api/v1/targets/metadata", targets::target_metadata),
    route!(GET, "/api/v1/targets/relabel_steps", targets::relabel_steps),
    route!(GET, "/api/v1/metadata", targets::metadata, View),
    route!(GET, "/api/v1/alertmanagers", status::alertmanagers),
    route!(GET, "/api/v1/alerts", status::alerts),
    route!(GET, "/api/v1/rules", status::rules),
    route!(GET, "/api/v1/notifications", notifications::list),
    route!(GET, "/api/v1/notifications/live", notifications::live),
    route!(GET, "/api/v1/features", features::features),
    route!(GET, "/api/v1/openapi.yaml", openapi::openapi, Nothing),
    route!(GET, "/api/v1/status/config", status::config),
    route!(GET, "/api/v1/status/flags", status::flags),
    route!(GET, "/api/v1/status/buildinfo", status::build_info, Nothing),
    route!(GET, "/api/v1/status/runtimeinfo", status::runtime_info),
    route!(GET, "/api/v1/status/walreplay", status::wal_replay, Nothing),
    route!(GET, "/api/v1/status/tsdb", status::tsdb),
    route!(GET, "/api/v1/status/tsdb/blocks", status::blocks),
    route!(GET, "/api/v1/status/self_metrics", self_metrics::self_metrics),
    route!(POST_PUT, "/api/v1/admin/tsdb/delete_series", admin::delete_series),
    route!(POST_PUT, "/api/v1/admin/tsdb/clean_tombstones", admin::clean_tombstones),
    route!(POST_PUT, "/api/v1/admin/tsdb/snapshot", admin::snapshot),
    route!(POST, WRITE, remote_write::write),
    route!(POST, READ, remote_read::read, View),
];

/// Where samples are written to.
const WRITE: &str = "/api/v1/write";

/// Where others read.
const READ: &str = "/api/v1/read";

const OPENAPI: &str = "/api/v1/openapi.yaml";

/// The longest body that is read of a POST of this path, unless it is a form; none where none is.
pub(crate) fn body_limit(api: &Api, path: &str) -> Option<usize> {
    match path.strip_prefix(api.options.route_prefix.as_str())? {
        WRITE if api.options.write_receiver.is_some() => Some(remote::MAX_WRITE_BODY),
        READ => Some(remote::MAX_READ_BODY),
        _ => None,
    }
}

/// Those of them that have an answer before the log is replayed.
const WHILE_STARTING: [&str; 3] =
    ["/api/v1/status/walreplay", "/api/v1/notifications", "/api/v1/notifications/live"];

/// Those that are not for pages of other origins: they are for servers, or, as in Prometheus, describe the rest.
const WITHOUT_CORS: [&str; 3] = [OPENAPI, READ, WRITE];

/// Those that are never compressed: compressed already, or streams that would stay in the encoder.
const UNCOMPRESSED: [&str; 9] = [
    OPENAPI,
    READ,
    WRITE,
    "/api/v1/notifications",
    "/api/v1/notifications/live",
    "/api/v1/search/metric_names",
    "/api/v1/search/label_names",
    "/api/v1/search/label_values",
    "/api/v1/status/walreplay",
];

/// Everything else.
const PLAIN: &[Route] = &[
    route!(GET_HEAD, "/-/healthy", lifecycle::healthy, Nothing),
    route!(GET_HEAD, "/-/ready", lifecycle::ready, Nothing),
    route!(ANY, "/-/reload", lifecycle::reload),
    route!(ANY, "/-/quit", lifecycle::quit),
    route!(GET, "/consoles/*filepath", user_files::consoles),
    route!(GET, "/user/*filepath", user_files::user),
    route!(GET, "/federate", federate::federate, View),
    route!(GET, "/version", status::version, Nothing),
    route!(GET, "/", page::home, Nothing),
    route!(GET, "/graph", page::graph, Nothing),
    route!(GET_HEAD, "/assets/*filepath", page::asset, Nothing),
    route!(GET_HEAD, "/favicon.svg", page::asset, Nothing),
    route!(GET_HEAD, "/query", page::index, Nothing),
    route!(GET_HEAD, "/alerts", page::index, Nothing),
    route!(GET_HEAD, "/targets", page::index, Nothing),
    route!(GET_HEAD, "/rules", page::index, Nothing),
    route!(GET_HEAD, "/service-discovery", page::index, Nothing),
    route!(GET_HEAD, "/status", page::index, Nothing),
    route!(GET_HEAD, "/tsdb-status", page::index, Nothing),
    route!(GET_HEAD, "/flags", page::index, Nothing),
    route!(GET_HEAD, "/config", page::index, Nothing),
    route!(GET_HEAD, "/alertmanager-discovery", page::index, Nothing),
];

/// Finds and runs the handler; returns its pattern, for metrics, and the answer.
pub(crate) async fn dispatch(
    api: Arc<Api>,
    parts: http::request::Parts,
    form: &[u8],
    body: bodies::Body,
) -> (&'static str, Reply) {
    let full = parts.uri.path();
    let raw_query = parts.uri.query().unwrap_or("").to_owned();
    let prefix = api.options.route_prefix.as_str();
    if !prefix.is_empty() && full == "/" {
        return ("/", Reply::redirect(StatusCode::FOUND, &api.options.external_path));
    }
    let Some(path) = full.strip_prefix(prefix).filter(|p| p.is_empty() || p.starts_with('/')) else {
        return ("", not_found());
    };
    let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    let caller = parts.extensions.get::<Caller>();
    let mut request = Request {
        method: parts.method,
        path,
        params: Params::parse(form, &raw_query),
        raw_query,
        access: caller.map_or(Access::Nothing, |caller| caller.access.clone()),
        client: caller.map(|caller| caller.address.ip()),
        headers: parts.headers,
        path_param: String::new(),
        body,
    };
    if request.path == "/api/v1" || request.path.starts_with("/api/v1/") {
        return api_call(api, request).await;
    }
    if let Some(page) = api.pages.iter().find(|p| p.path == request.path) {
        if !Seen::Everything.is_for(&request.access) {
            return ("/metrics", forbidden(&request));
        }
        let gather = Arc::clone(&page.gather);
        return ("/metrics", self_metrics::page(gather, &request).await);
    }
    for route in PLAIN {
        if let Some(param) = capture(route.pattern, &request.path) {
            request.path_param = param;
            return (route.pattern, run(api, route, request).await);
        }
    }
    ("", not_found())
}

async fn api_call(api: Arc<Api>, mut request: Request) -> (&'static str, Reply) {
    let origin = request.header(header::ORIGIN).to_owned();
    let coding = Coding::accepted(request.header(header::ACCEPT_ENCODING));
    if request.method == Method::OPTIONS {
        let mut reply = Reply::empty(StatusCode::NO_CONTENT);
        add_cors(&api, &origin, &mut reply);
        return ("/api/v1/*path", reply);
    }
    if request.path.contains("//") || request.path == "/api/v1" {
        let mut location = if request.path == "/api/v1" { "/api/v1/".into() } else { clean(&request.path) };
        location.insert_str(0, &api.options.external_path);
        if !request.raw_query.is_empty() {
            location.push('?');
            location.push_str(&request.raw_query);
        }
        return ("", Reply::redirect(StatusCode::TEMPORARY_REDIRECT, &location));
    }
    for route in API {
        let Some(param) = capture(route.pattern, &request.path) else { continue };
        request.path_param = param;
        if !route.methods.contains(&request.method) {
            return (route.pattern, method_not_allowed(route.methods, &request.method));
        }
        let mut reply = match api.runtime.is_ready() || WHILE_STARTING.contains(&route.pattern) {
            true => run(Arc::clone(&api), route, request).await,
            false => Reply::text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        };
        if !WITHOUT_CORS.contains(&route.pattern) {
            add_cors(&api, &origin, &mut reply);
        }
        if !UNCOMPRESSED.contains(&route.pattern) {
            compress(&mut reply, coding);
        }
        return (route.pattern, reply);
    }
    ("", not_found())
}

async fn run(api: Arc<Api>, route: &Route, request: Request) -> Reply {
    if !route.methods.is_empty() && !route.methods.contains(&request.method) {
        return method_not_allowed(route.methods, &request.method);
    }
    if !route.seen.is_for(&request.access) {
        return forbidden(&request);
    }
    match (route.handler)(api, request).await {
        Ok(reply) => reply,
        Err(error) => error.into_reply(),
    }
}

/// Whether `path` is of the pattern's form, and if so what its placeholder stands for, percent-decoded.
fn capture(pattern: &str, path: &str) -> Option<String> {
    let mut captured = String::new();
    let mut rest = path;
    for segment in pattern.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        if segment.starts_with('*') {
            return Some(decode(rest));
        }
        let end = rest.find('/').unwrap_or(rest.len());
        let (actual, after) = rest.split_at(end);
        if segment.starts_with(':') {
            captured = decode(actual);
        } else if segment != actual {
            return None;
        }
        rest = after;
    }
    rest.is_empty().then_some(captured)
}

fn decode(segment: &str) -> String {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(b) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let mut ahead = bytes.clone();
        match (b, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                bytes = ahead;
            }
            _ => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The path without doubled slashes.
fn clean(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

fn not_found() -> Reply {
    Reply::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// What those are told who may see too little for a route.
fn forbidden(request: &Request) -> Reply {
    let why = match request.access {
        Access::Nothing => "no rule of tenancy is for this request",
        _ => "this tells more than the caller may see (tenancy)",
    };
    match request.path.starts_with("/api/") {
        true => ApiError::new(ErrorKind::Forbidden, why).into_reply(),
        false => Reply::text(StatusCode::FORBIDDEN, format!("{why}\n")),
    }
}

fn method_not_allowed(methods: &[Method], asked: &Method) -> Reply {
    let mut allowed: Vec<&str> = methods.iter().map(Method::as_str).chain(["OPTIONS"]).collect();
    allowed.sort_unstable();
    let text = if asked == Method::HEAD { "" } else { "Method Not Allowed\n" };
    let mut reply = Reply::text(StatusCode::METHOD_NOT_ALLOWED, text);
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        reply.headers.insert(header::ALLOW, value);
    }
    reply
}

fn add_cors(api: &Api, origin: &str, reply: &mut Reply) {
    let headers = &mut reply.headers;
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if origin.is_empty() {
        return;
    }
    const SET: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ];
    for (name, value) in SET {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if api.options.cors_origin.is_match(origin)
        && let Ok(value) = HeaderValue::from_str(origin)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_described_and_the_other_way_round() {
        let served = API.iter().filter(|route| route.pattern != OPENAPI).flat_map(|route| {
            let path = route.pattern.trim_start_matches("/api/v1").replace(":name", "{name}");
            route.methods.iter().map(move |method| format!("{method} {path}"))
        });
        assert_eq!(openapi::described(), served.collect());
    }

    #[test]
    fn patterns_capture_segments() {
        let cases = [
            ("/api/v1/query", "/api/v1/query", Some("")),
            ("/api/v1/query", "/api/v1/query/", None),
            ("/api/v1/query", "/api/v1/query_range", None),
            ("/api/v1/label/:name/values", "/api/v1/label/a%2Fb%C3%A9/values", Some("a/bé")),
            ("/api/v1/label/:name/values", "/api/v1/label/values", None),
            ("/assets/*filepath", "/assets/a/b.js", Some("a/b.js")),
            ("/", "/", Some("")),
        ];
        for (pattern, path, want) in cases {
            assert_eq!(capture(pattern, path).as_deref(), want, "{pattern} {path}");
        }
    }
}
