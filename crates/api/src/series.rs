//! `/api/v1/series`, `/labels`, `/label/:name/values`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use model::{Labels, Matcher};
use storage::{Interrupted, Projection, QueryContext, Request as SelectRequest, SelectError};

use crate::query::CancelOnDrop;
use crate::reply::{Answer, ApiError, ErrorKind, success};
use crate::request::Request;
use crate::{Api, json};

/// The answer's text is accounted in steps of this many bytes.
const HELD_AT_ONCE: usize = 1 << 20;
const TRUNCATED: &str = "results truncated due to limit";
/// What "all of time" is where a client names no bounds.
const ALL_TIME: (i64, i64) = (i64::MIN, i64::MAX);

/// Bounds, limit and selectors as these three endpoints share them.
struct Wanted {
    limit: usize,
    min_time: i64,
    max_time: i64,
    selectors: Vec<Vec<Matcher>>,
}

pub(crate) async fn series(api: Arc<Api>, request: Request) -> Answer {
    request.params.check()?;
    if !request.params.has("match[]") {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let wanted = wanted(&request).map_err(|(error, of_selector)| {
        if of_selector { ApiError::invalid("match[]", &error.message) } else { error }
    })?;
    let view = request.view(&api);
    blocking(api, move |_, ctx| {
        let mut all: Vec<Labels> = Vec::new();
        for matchers in &wanted.selectors {
            all.extend(view.store().series(
                ctx,
                &SelectRequest {
                    matchers,
                    min_time: wanted.min_time,
                    max_time: wanted.max_time,
                    labels: Projection::All,
                    newest: None,
                },
            )?);
        }
        if wanted.selectors.len() > 1 {
            all.sort_unstable();
            all.dedup();
        }
        let warnings = truncate(&mut all, wanted.limit);
        let mut out = String::from("[");
        let mut held = 0;
        for labels in all {
            json::comma(&mut out);
            json::labels(&mut out, &labels);
            if out.len() >= held + HELD_AT_ONCE {
                // The text grows by doubling, and is copied once into the answer.
                ctx.hold_bytes(2 * (out.len() - held) as u64)?;
                held = out.len();
            }
        }
        out.push(']');
        Ok((out, warnings))
    })
    .await
}

pub(crate) async fn label_names(api: Arc<Api>, request: Request) -> Answer {
    let wanted = wanted(&request).map_err(|(error, _)| error)?;
    let view = request.view(&api);
    blocking(api, move |_, ctx| {
        let store = view.store();
        let ask = |matchers: &[Matcher]| store.label_names(ctx, wanted.min_time, wanted.max_time, matchers);
        Ok(listed(union(&wanted.selectors, ask)?, wanted.limit))
    })
    .await
}

pub(crate) async fn label_values(api: Arc<Api>, request: Request) -> Answer {
    let name = unescape_label_name(&request.path_param);
    if name.is_empty() {
        let quoted = model::number::quote(&name);
        return Err(ApiError::bad_data(format!("invalid label name: {quoted}")));
    }
    let wanted = wanted(&request).map_err(|(error, _)| error)?;
    let view = request.view(&api);
    blocking(api, move |_, ctx| {
        let (store, from, to) = (view.store(), wanted.min_time, wanted.max_time);
        let ask = |matchers: &[Matcher]| store.label_values(ctx, &name, from, to, matchers);
        Ok(listed(union(&wanted.selectors, ask)?, wanted.limit))
    })
    .await
}

/// The parameters, or the error and whether a selector caused it.
fn wanted(request: &Request) -> Result<Wanted, (ApiError, bool)> {
    let params = &request.params;
    let limit = params.limit("limit").map_err(|e| (e, false))?;
    let min_time = params.time_or("start", ALL_TIME.0).map_err(|e| (e, false))?;
    let max_time = params.time_or("end", ALL_TIME.1).map_err(|e| (e, false))?;
    let selectors = params.all("match[]").map(selector).collect::<Result<_, _>>().map_err(|e| (e, true))?;
    Ok(Wanted { limit, min_time, max_time, selectors })
}

pub(crate) fn selector(text: &str) -> Result<Vec<Matcher>, ApiError> {
    let matchers = promql::parse_metric_selector(text).map_err(|e| ApiError::bad_data(e.to_string()))?;
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(ApiError::bad_data("match[] must contain at least one non-empty matcher"));
    }
    Ok(matchers)
}

/// What the store says for each selector, put together; without selectors what it says of everything.
pub(crate) fn union(
    selectors: &[Vec<Matcher>],
    mut ask: impl FnMut(&[Matcher]) -> Result<Vec<String>, SelectError>,
) -> Result<Vec<String>, SelectError> {
    match selectors {
        [] => ask(&[]),
        [one] => ask(one),
        many => {
            let mut all = BTreeSet::new();
            for matchers in many {
                all.extend(ask(matchers)?);
            }
            Ok(all.into_iter().collect())
        }
    }
}

/// Names or values as the data of an answer, and its warnings.
fn listed(mut all: Vec<String>, limit: usize) -> (String, Vec<String>) {
    let warnings = truncate(&mut all, limit);
    let mut out = String::new();
    json::strings(&mut out, &all);
    (out, warnings)
}

fn truncate<T>(all: &mut Vec<T>, limit: usize) -> Vec<String> {
    if limit == 0 || all.len() <= limit {
        return Vec::new();
    }
    all.truncate(limit);
    vec![TRUNCATED.to_owned()]
}

/// A look-up whose outcome is an answer's data and its warnings.
async fn blocking(
    api: Arc<Api>,
    work: impl FnOnce(&Api, &QueryContext) -> Result<(String, Vec<String>), SelectError> + Send + 'static,
) -> Answer {
    let warned = |api: &Api, ctx: &QueryContext| {
        let (data, mut warnings) = work(api, ctx)?;
        warnings.extend(ctx.warnings().texts());
        Ok((data, warnings))
    };
    look_up(api, warned).await.map(|(data, warnings)| success(&data, &warnings, &[]))
}

/// Runs a look-up on a thread that may block, within the query timeout.
pub(crate) async fn look_up<T: Send + 'static>(
    api: Arc<Api>,
    work: impl FnOnce(&Api, &QueryContext) -> Result<T, SelectError> + Send + 'static,
) -> Result<T, ApiError> {
    let asked = Instant::now();
    let memory = api.options.memory.account(crate::query::ACCOUNT);
    let timeout = api.options.query_timeout;
    let ctx = Arc::new(QueryContext::new(Some(asked + timeout), 0).with_memory(memory));
    let _guard = CancelOnDrop(Some(Arc::clone(&ctx)));
    let slots = Arc::clone(&api.look_up_slots);
    let Ok(Ok(slot)) = tokio::time::timeout(timeout, slots.acquire_owned()).await else {
        return Err(ApiError::new(ErrorKind::Timeout, "look-up timed out waiting for others"));
    };
    crate::query::wait_for_memory(&api, asked, timeout).await?;
    let done = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        work(&api, &ctx)
    });
    let done = done.await;
    match done {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(SelectError::Interrupted(why @ Interrupted::OutOfMemory))) => {
            Err(ApiError::new(ErrorKind::Unavailable, why.to_string()))
        }
        Ok(Err(SelectError::Interrupted(why))) => Err(ApiError::new(ErrorKind::Timeout, why.to_string())),
        Ok(Err(error)) => Err(ApiError::new(ErrorKind::Internal, error.to_string())),
        Err(panic) => Err(ApiError::new(ErrorKind::Internal, panic.to_string())),
    }
}

/// Label names outside of `[a-zA-Z0-9_]` may come as `U__` and hexadecimal code points between underscores
/// (Prometheus' "values" escaping); what does not decode stands for itself.
fn unescape_label_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let decoded = rest.split_once('_').and_then(|(hex, after)| {
            let code = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() <= 6)?;
            Some((char::from_u32(code)?, after))
        });
        let Some((c, after)) = decoded else { return name.to_owned() };
        out.push(c);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_label_names_are_decoded() {
        let cases = [
            ("job", "job"),
            ("service.name", "service.name"),
            ("U__service_2e_name", "service.name"),
            ("U__a__b", "a_b"),
            ("U___xx_", "U___xx_"),
            ("U__", ""),
        ];
        for (name, want) in cases {
            assert_eq!(unescape_label_name(name), want, "{name}");
        }
    }
}
