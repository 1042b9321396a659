//! `/api/v1/search/{metric_names,label_names,label_values}`: names and values that fit what somebody types, as lines
//! of JSON: batches of results, then a line that says whether there are more.
//!
//! Where a limit cuts, the first in the order asked for are kept. (Prometheus cuts what its head lists in order of
//! arrival, and sorts the rest.)

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use model::Matcher;
use tokio::sync::mpsc;

use crate::fuzzy::{Algorithm, Filter};
use crate::reply::{Answer, ApiError, Body, ErrorKind, Reply};
use crate::request::Request;
use crate::view::View;
use crate::{Api, json, series};

/// Results, and results of a line, unless the client says otherwise.
const DEFAULT_LIMIT: usize = 100;
const DEFAULT_BATCH: usize = 100;
/// Each value is compared with each term.
const MAX_TERMS: usize = 32;
/// How far back is searched unless the client says otherwise, in milliseconds.
const DEFAULT_RANGE: i64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    Score,
}

/// The parameters that the three endpoints share.
struct Wanted {
    min_time: i64,
    max_time: i64,
    selectors: Vec<Vec<Matcher>>,
    filter: Option<Filter>,
    order: Order,
    include_score: bool,
    limit: usize,
    batch: usize,
}

/// What is searched.
enum Among {
    LabelNames,
    ValuesOf(String),
}

/// How a result is written.
struct Shape {
    /// The member that holds it.
    member: &'static str,
    /// Whether type, help and unit stand beside it.
    metadata: bool,
}

pub(crate) async fn metric_names(api: Arc<Api>, request: Request) -> Answer {
    let wanted = wanted(&api, &request, "metric_names")?;
    let metadata = boolean(&request, "include_metadata", false)?;
    let among = Among::ValuesOf("__name__".to_owned());
    search(Arc::clone(&api), request.view(&api), wanted, among, Shape { member: "name", metadata }).await
}

pub(crate) async fn label_names(api: Arc<Api>, request: Request) -> Answer {
    let wanted = wanted(&api, &request, "label_names")?;
    search(
        Arc::clone(&api),
        request.view(&api),
        wanted,
        Among::LabelNames,
        Shape { member: "name", metadata: false },
    )
    .await
}

pub(crate) async fn label_values(api: Arc<Api>, request: Request) -> Answer {
    let wanted = wanted(&api, &request, "label_values")?;
    let label = request.params.get("label");
    if label.is_empty() {
        return Err(ApiError::bad_data(r#"missing required parameter "label""#));
    }
    let shape = Shape { member: "value", metadata: false };
    search(Arc::clone(&api), request.view(&api), wanted, Among::ValuesOf(label.to_owned()), shape).await
}

fn wanted(api: &Api, request: &Request, endpoint: &str) -> Result<Wanted, ApiError> {
    let Some(max_limit) = api.options.search_max_limit else {
        return Err(ApiError::new(ErrorKind::Unavailable, "search API disabled"));
    };
    let params = &request.params;
    params.check()?;
    let now = api.now();
    let min_time = params.plain_time_or("start", now - DEFAULT_RANGE)?;
    let max_time = params.plain_time_or("end", now)?;
    if max_time < min_time {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let selectors = params.all("match[]").map(series::selector).collect::<Result<_, _>>()?;
    let terms = params.all("search[]").count();
    if terms > MAX_TERMS {
        return Err(ApiError::bad_data(format!(
            "too many search[] terms: got {terms}, maximum is {MAX_TERMS}"
        )));
    }
    let quoted = |name| model::number::quote(params.get(name));
    let threshold = match params.get("fuzz_threshold") {
        "" => 0,
        text => text.parse::<u8>().ok().filter(|n| *n <= 100).ok_or_else(|| {
            ApiError::bad_data(format!("invalid fuzz_threshold {}: must be 0-100", quoted("fuzz_threshold")))
        })?,
    };
    let algorithm = match params.get("fuzz_alg") {
        "" => Algorithm::Subsequence,
        name => Algorithm::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
            let known = Algorithm::ALL.map(Algorithm::name).join(" ");
            ApiError::bad_data(format!(
                "unsupported fuzz_alg {}: must be one of [{known}]",
                model::number::quote(name)
            ))
        })?,
    };
    let case_sensitive = boolean(request, "case_sensitive", true)?;
    let include_score = boolean(request, "include_score", false)?;
    check_order(params.get("sort_by"), params.get("sort_dir"), terms)?;
    let limit = limit(request, max_limit)?;
    let batch = match params.get("batch_size") {
        "" => DEFAULT_BATCH,
        text => positive(text).ok_or_else(|| not_positive("batch_size", text))?,
    };
    let order = match (params.get("sort_by"), params.get("sort_dir")) {
        ("" | "alpha", "dsc") => Order::Descending,
        ("" | "alpha", _) => Order::Ascending,
        ("score", _) => Order::Score,
        (other, _) => {
            return Err(ApiError::bad_data(format!(
                r#"invalid sort_by {} for {endpoint}: must be "alpha" or "score""#,
                model::number::quote(other)
            )));
        }
    };
    let filter = Filter::new(params.all("search[]"), algorithm, f64::from(threshold) / 100.0, case_sensitive);
    Ok(Wanted { min_time, max_time, selectors, filter, order, include_score, limit, batch })
}

fn check_order(by: &str, direction: &str, terms: usize) -> Result<(), ApiError> {
    let refused = match (by, direction) {
        ("", d) if !d.is_empty() => "sort_dir is only valid when sort_by is set".to_owned(),
        ("score", d) if !d.is_empty() => "sort_dir is not supported for sort_by=score".to_owned(),
        (_, d) if !["", "asc", "dsc"].contains(&d) => {
            format!(r#"invalid sort_dir {}: must be "asc" or "dsc""#, model::number::quote(d))
        }
        ("score", _) if terms == 0 => "sort_by=score requires search[] to be set".to_owned(),
        _ => return Ok(()),
    };
    Err(ApiError::bad_data(refused))
}

/// `max` of 0 stands for any number.
fn limit(request: &Request, max: usize) -> Result<usize, ApiError> {
    let max = if max == 0 { usize::MAX } else { max };
    match request.params.get("limit") {
        "" => Ok(DEFAULT_LIMIT.min(max)),
        text => match positive(text) {
            None => Err(not_positive("limit", text)),
            Some(n) if n > max => Err(ApiError::bad_data(format!(
                "limit {n} exceeds the configured maximum ({max}, see --web.search.max-limit)"
            ))),
            Some(n) => Ok(n),
        },
    }
}

fn positive(text: &str) -> Option<usize> {
    let n = text.parse::<i64>().ok().filter(|n| *n > 0)?;
    usize::try_from(n).ok()
}

fn not_positive(name: &str, text: &str) -> ApiError {
    ApiError::bad_data(format!("invalid {name} {}: must be a positive integer", model::number::quote(text)))
}

fn boolean(request: &Request, name: &str, default: bool) -> Result<bool, ApiError> {
    match request.params.get(name) {
        "" => Ok(default),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        text => {
            Err(ApiError::bad_data(format!("invalid {name} {}: must be boolean", model::number::quote(text))))
        }
    }
}

/// A name or value, and how well it fits.
type Found = (String, f64);

async fn search(api: Arc<Api>, view: View, wanted: Wanted, among: Among, shape: Shape) -> Answer {
    let (wanted, found) = series::look_up(Arc::clone(&api), move |_, ctx| {
        let store = view.store();
        let ask = |matchers: &[Matcher]| match &among {
            Among::LabelNames => store.label_names(ctx, wanted.min_time, wanted.max_time, matchers),
            Among::ValuesOf(label) => {
                store.label_values(ctx, label, wanted.min_time, wanted.max_time, matchers)
            }
        };
        let all = series::union(&wanted.selectors, ask)?;
        let found = pick(all, &wanted);
        Ok((wanted, found))
    })
    .await?;
    let metadata = if shape.metadata && !found.is_empty() { metadata(&api) } else { HashMap::new() };
    // A line waits until the one before is on its way: a slow reader costs no more than one.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for line in lines(&wanted, &found, &shape, &metadata) {
            if sender.send(Ok(Bytes::from(line))).await.is_err() {
                return;
            }
        }
    });
    let mut reply = Reply::new(StatusCode::OK, "application/x-ndjson; charset=utf-8", Bytes::new());
    reply.body = Body::Pieces(receiver);
    Ok(reply)
}

/// Those that fit, in the order asked for: as many as are wanted, and one more if there are more. `all` is sorted.
fn pick(all: Vec<String>, wanted: &Wanted) -> Vec<Found> {
    let score = |value: String| match &wanted.filter {
        None => Some((value, 1.0)),
        Some(filter) => filter.score(&value).map(|score| (value, score)),
    };
    let enough = wanted.limit.saturating_add(1);
    match wanted.order {
        Order::Ascending => all.into_iter().filter_map(score).take(enough).collect(),
        Order::Descending => all.into_iter().rev().filter_map(score).take(enough).collect(),
        Order::Score => {
            let mut found: Vec<Found> = all.into_iter().filter_map(score).collect();
            // Equal scores stay in order of value. Scores are positive: their bits are in their order.
            found.sort_by_key(|(_, score)| Reverse(score.to_bits()));
            found.truncate(enough);
            found
        }
    }
}

/// One line for each batch, at least one; then the end.
fn lines<'a>(
    wanted: &'a Wanted,
    found: &'a [Found],
    shape: &'a Shape,
    metadata: &'a HashMap<String, String>,
) -> impl Iterator<Item = String> + use<'a> {
    let shown = &found[..found.len().min(wanted.limit)];
    let empty = shown.is_empty().then_some(&[] as &[Found]);
    let batches = shown.chunks(wanted.batch).chain(empty);
    let line = move |batch: &[Found]| {
        let mut out = String::from(r#"{"results":["#);
        for (value, score) in batch {
            json::comma(&mut out);
            out.push('{');
            json::field(&mut out, shape.member, value);
            if wanted.include_score {
                json::raw_field(&mut out, "score", score);
            }
            out.push_str(metadata.get(value).map_or("", String::as_str));
            out.push('}');
        }
        out.push_str("]}\n");
        out
    };
    let has_more = found.len() > shown.len();
    let end = format!("{{\"status\":\"success\",\"has_more\":{has_more}}}\n");
    batches.map(line).chain(std::iter::once(end))
}

/// By family, what follows its name in a result: of several targets that have it, the first one's.
fn metadata(api: &Api) -> HashMap<String, String> {
    let mut by_name = HashMap::new();
    for family in api.scrape.targets(None).active.iter().flat_map(|t| &t.metadata.families) {
        by_name.entry(family.metric.to_string()).or_insert_with(|| {
            let mut out = String::new();
            for (name, text) in
                [("type", family.kind.as_str()), ("help", &*family.help), ("unit", &*family.unit)]
            {
                if !text.is_empty() {
                    out.push(',');
                    json::string(&mut out, name);
                    out.push(':');
                    json::string(&mut out, text);
                }
            }
            out
        });
    }
    by_name
}
