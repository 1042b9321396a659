//! `/api/v1/targets`, `/targets/metadata`, `/targets/relabel_steps`, `/scrape_pools`, `/scrape_pools/config`, `/metadata`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::{METRIC_NAME, Matcher};
use scrape::{ActiveTarget, FamilyMetadata};
use storage::QueryContext;

use crate::reply::{Answer, ApiError, ErrorKind, success};
use crate::request::Request;
use crate::{Api, json, label_json};

pub(crate) async fn pools(api: Arc<Api>, _: Request) -> Answer {
    let mut out = String::from(r#"{"scrapePools":"#);
    json::strings(&mut out, api.scrape.pools());
    out.push('}');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn pool_config(api: Arc<Api>, request: Request) -> Answer {
    let pool = pool_of(&request)?;
    let yaml = api.runtime.scrape_pool_yaml(pool).ok_or_else(|| no_pool(pool))?;
    let mut out = String::from("{");
    json::field(&mut out, "yaml", &yaml);
    out.push('}');
    Ok(success(&out, &[], &[]))
}

/// The parameter that names a job.
fn pool_of(request: &Request) -> Result<&str, ApiError> {
    match request.params.get("scrapePool") {
        "" => Err(ApiError::bad_data("no scrapePool parameter provided")),
        pool => Ok(pool),
    }
}

fn no_pool(pool: &str) -> ApiError {
    let quoted = model::number::quote(pool);
    ApiError::bad_data(format!("error retrieving scrape config: scrape pool {quoted} not found"))
}

pub(crate) async fn targets(api: Arc<Api>, request: Request) -> Answer {
    let pool = Some(request.params.get("scrapePool")).filter(|p| !p.is_empty());
    // Any other state is of no target.
    let (active, dropped) = match request.params.get("state").to_lowercase().as_str() {
        "" | "any" => (true, true),
        "active" => (true, false),
        "dropped" => (false, true),
        _ => (false, false),
    };
    let view = api.scrape.targets(pool);
    let mut out = String::from(r#"{"activeTargets":["#);
    for target in view.active.iter().filter(|_| active) {
        json::comma(&mut out);
        write_target(&api, &mut out, target);
    }
    out.push_str(r#"],"droppedTargets":["#);
    for target in view.dropped.iter().filter(|_| dropped) {
        json::comma(&mut out);
        out.push('{');
        json::key(&mut out, "discoveredLabels");
        json::labels(&mut out, &target.discovered_labels);
        json::field(&mut out, "scrapePool", &target.scrape_pool);
        out.push('}');
    }
    out.push_str(r#"],"droppedTargetCounts":"#);
    if dropped {
        out.push('{');
        for (pool, count) in &view.dropped_counts {
            json::raw_field(&mut out, pool, count);
        }
        out.push('}');
    } else {
        out.push_str("null");
    }
    out.push('}');
    Ok(success(&out, &[], &[]))
}

fn write_target(api: &Api, out: &mut String, target: &ActiveTarget) {
    let last_scrape = match target.last_scrape {
        Some(nanos) => model::timestamp::format_rfc3339_nanos(i128::from(nanos)),
        None => "0001-01-01T00:00:00Z".to_owned(),
    };
    out.push('{');
    json::key(out, "discoveredLabels");
    json::labels(out, &target.discovered_labels);
    json::key(out, "labels");
    json::labels(out, &target.labels);
    json::field(out, "scrapePool", &target.scrape_pool);
    json::field(out, "scrapeUrl", &target.scrape_url);
    json::field(out, "globalUrl", &target.global_url(&api.options.external_address));
    json::field(out, "lastError", &target.last_error);
    json::field(out, "lastScrape", &last_scrape);
    json::raw_field(
        out,
        "lastScrapeDuration",
        model::number::format_f(target.last_scrape_duration.as_secs_f64()),
    );
    json::field(out, "health", target.health.as_str());
    json::field(out, "scrapeInterval", &target.scrape_interval);
    json::field(out, "scrapeTimeout", &target.scrape_timeout);
    out.push('}');
}

/// `limit` of the metadata endpoints: none when missing or negative; zero means zero.
fn metadata_limit(request: &Request, name: &str) -> Result<usize, ApiError> {
    match request.params.get(name) {
        "" => Ok(usize::MAX),
        text => match text.parse::<i64>() {
            Ok(n) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}

pub(crate) async fn target_metadata(api: Arc<Api>, request: Request) -> Answer {
    let limit = metadata_limit(&request, "limit")?;
    let selector = request.params.get("match_target");
    let matchers: Vec<Matcher> = match selector {
        "" => Vec::new(),
        _ => promql::parse_metric_selector(selector)
            .map_err(|e| ApiError::invalid("match_target", &e.to_string()))?,
    };
    let metric = request.params.get("metric");
    let view = api.scrape.targets(None);
    let mut out = String::from("[");
    let mut written = 0;
    for target in &view.active {
        // The limit is looked at between targets only, as Prometheus does.
        if written >= limit {
            break;
        }
        if !matchers.iter().all(|m| m.matches_labels(&target.labels)) {
            continue;
        }
        for family in &target.metadata.families {
            if !metric.is_empty() && *family.metric != *metric {
                continue;
            }
            written += 1;
            json::comma(&mut out);
            out.push('{');
            json::key(&mut out, "target");
            json::labels(&mut out, &target.labels);
            if metric.is_empty() {
                json::field(&mut out, "metric", &family.metric);
            }
            write_metadata(&mut out, family);
            out.push('}');
        }
    }
    out.push(']');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn metadata(api: Arc<Api>, request: Request) -> Answer {
    let limit = metadata_limit(&request, "limit")?;
    let per_metric = match metadata_limit(&request, "limit_per_metric")? {
        0 => usize::MAX,
        n => n,
    };
    let metric = request.params.get("metric");
    let visible = visible_metrics(&api, &request).await?;
    let view = api.scrape.targets(None);
    let mut by_metric: BTreeMap<&str, Vec<&FamilyMetadata>> = BTreeMap::new();
    for family in view.active.iter().flat_map(|t| &t.metadata.families) {
        if !metric.is_empty() && *family.metric != *metric {
            continue;
        }
        if visible.as_ref().is_some_and(|visible| !has_series(&family.metric, visible)) {
            continue;
        }
        let known = by_metric.entry(&family.metric).or_default();
        if known.len() < per_metric && !known.contains(&family) {
            known.push(family);
        }
    }
    let mut out = String::from("{");
    for (metric, families) in by_metric.into_iter().take(limit) {
        json::key(&mut out, metric);
        out.push('[');
        for family in families {
            json::comma(&mut out);
            out.push('{');
            write_metadata(&mut out, family);
            out.push('}');
        }
        out.push(']');
    }
    out.push('}');
    Ok(success(&out, &[], &[]))
}

/// The names of the metrics that the caller may see; none: all.
async fn visible_metrics(api: &Api, request: &Request) -> Result<Option<HashSet<String>>, ApiError> {
    let view = request.view(api);
    if !view.is_narrow() {
        return Ok(None);
    }
    let memory = api.options.memory.account(crate::query::ACCOUNT);
    let asked = tokio::task::spawn_blocking(move || {
        let ctx = QueryContext::unlimited().with_memory(memory);
        view.store().label_values(&ctx, METRIC_NAME, i64::MIN, i64::MAX, &[])
    });
    let internal = |why: String| ApiError::new(ErrorKind::Internal, why);
    let names = asked.await.map_err(|panic| internal(panic.to_string()))?;
    Ok(Some(names.map_err(|error| internal(error.to_string()))?.into_iter().collect()))
}

/// Whether a family has one of these metrics.
fn has_series(family: &str, metrics: &HashSet<String>) -> bool {
    const ENDINGS: [&str; 6] = ["", "_total", "_bucket", "_sum", "_count", "_info"];
    ENDINGS.iter().any(|ending| metrics.contains(&format!("{family}{ending}")))
}

fn write_metadata(out: &mut String, family: &FamilyMetadata) {
    json::field(out, "type", family.kind.as_str());
    json::field(out, "unit", &family.unit);
    json::field(out, "help", &family.help);
}

pub(crate) async fn relabel_steps(api: Arc<Api>, request: Request) -> Answer {
    let pool = pool_of(&request)?;
    let labels = match request.params.get("labels") {
        "" => return Err(ApiError::bad_data("no labels parameter provided")),
        text => label_json::parse(text)
            .map_err(|e| ApiError::bad_data(format!("error parsing labels: {e}")))?
            .into_iter()
            .collect(),
    };
    let job = api.scrape.job_options(pool).ok_or_else(|| no_pool(pool))?;
    let steps = model::relabel::trace(&labels, &job.relabel_configs);
    let mut out = String::from(r#"{"steps":["#);
    for (rule, step) in job.relabel_configs.iter().zip(&steps) {
        json::comma(&mut out);
        out.push_str(r#"{"rule":"#);
        write_rule(&mut out, rule);
        json::key(&mut out, "output");
        json::labels(&mut out, &step.output);
        json::raw_field(&mut out, "keep", step.keep);
        out.push('}');
    }
    out.push_str("]}");
    Ok(success(&out, &[], &[]))
}

/// A rule as the configuration file spells it; keys with empty values are left out.
fn write_rule(out: &mut String, rule: &model::relabel::Config) {
    out.push('{');
    if !rule.source_labels.is_empty() {
        json::key(out, "source_labels");
        json::strings(out, &rule.source_labels);
    }
    json::field(out, "separator", &rule.separator);
    json::field(out, "regex", rule.regex.as_str());
    if rule.modulus != 0 {
        json::raw_field(out, "modulus", rule.modulus);
    }
    if !rule.target_label.is_empty() {
        json::field(out, "target_label", &rule.target_label);
    }
    if !rule.replacement.is_empty() {
        json::field(out, "replacement", &rule.replacement);
    }
    json::field(out, "action", rule.action.as_str());
    out.push('}');
}
