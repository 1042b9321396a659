//! `/api/v1/rules/backfill`: the past of recording rules. Served when a flag allows to change what is stored.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use model::number::push_api_value;
use model::timestamp::format_rfc3339_nanos;
use rules::{Backfill, BackfillError, BackfillRequest, BackfilledGroup, Backfills, Time};

use crate::admin::allowed;
use crate::reply::{Answer, ApiError, ErrorKind, success};
use crate::request::{Params, Request, parse_duration};
use crate::{Api, agent, json};

/// When those may come again who were refused because others wait.
const RETRY_AFTER_SECONDS: u16 = 60;

pub(crate) async fn begin(api: Arc<Api>, request: Request) -> Answer {
    let backfills = backfills(&api)?;
    let wanted = read(&api, &request.params)?;
    let groups = api.runtime.rules().map(|rules| rules.groups()).unwrap_or_default();
    match backfills.request(&groups, &wanted) {
        Ok(accepted) => {
            let mut reply = success(&object(&accepted), &[], &[]);
            reply.status = StatusCode::ACCEPTED;
            Ok(reply)
        }
        Err(error @ (BackfillError::TooMany(_) | BackfillError::Stopping)) => {
            let mut reply = ApiError::new(ErrorKind::Unavailable, error.to_string()).into_reply();
            reply.status = StatusCode::SERVICE_UNAVAILABLE;
            reply.headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            Ok(reply)
        }
        Err(error) => Err(ApiError::bad_data(error.to_string())),
    }
}

pub(crate) async fn list(api: Arc<Api>, _: Request) -> Answer {
    let mut out = String::from("{\"backfills\":[");
    for backfill in backfills(&api)?.list() {
        json::comma(&mut out);
        out.push_str(&object(&backfill));
    }
    out.push_str("]}");
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn cancel(api: Arc<Api>, request: Request) -> Answer {
    let id = &request.path_param;
    match backfills(&api)?.cancel(id) {
        Some(cancelled) => Ok(success(&object(&cancelled), &[], &[])),
        None => {
            let why = format!("there is no backfill {}", model::number::quote(id));
            Err(ApiError::new(ErrorKind::NotFound, why))
        }
    }
}

fn backfills(api: &Api) -> Result<Arc<Backfills>, ApiError> {
    allowed(api)?;
    api.runtime.backfills().ok_or_else(|| ApiError::new(ErrorKind::Execution, agent::UNAVAILABLE))
}

fn read(api: &Api, params: &Params) -> Result<BackfillRequest, ApiError> {
    params.check()?;
    let names = |name| params.all(name).map(str::to_owned).collect();
    let step = match params.get("step") {
        "" => None,
        text => {
            let nanos = parse_duration(text).map_err(|why| ApiError::invalid("step", &why))?;
            Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
        }
    };
    Ok(BackfillRequest {
        rules: names("rule_name[]"),
        groups: names("rule_group[]"),
        files: names("file[]"),
        start: params.time("start")?,
        end: params.time_or("end", api.now())?,
        step,
    })
}

fn object(backfill: &Backfill) -> String {
    let mut out = String::from("{");
    json::field(&mut out, "id", &backfill.id);
    json::field(&mut out, "state", backfill.state.as_str());
    json::key(&mut out, "groups");
    out.push('[');
    backfill.groups.iter().for_each(|group| push_group(&mut out, group));
    out.push(']');
    json::key(&mut out, "alertingRulesLeftOut");
    json::strings(&mut out, &backfill.left_out);
    let millis = |t: i64| Time(t.saturating_mul(1_000_000));
    push_time(&mut out, "start", millis(backfill.start));
    push_time(&mut out, "end", millis(backfill.end));
    push_time(&mut out, "requested", backfill.requested);
    let times = [("began", backfill.began), ("ended", backfill.ended)];
    for (name, time) in times.into_iter().filter_map(|(name, time)| Some((name, time?))) {
        push_time(&mut out, name, time);
    }
    let progress = &backfill.progress;
    if let Some(until) = progress.written_until {
        push_time(&mut out, "writtenUntil", millis(until));
    }
    let until = backfill.ended.unwrap_or_else(Time::now);
    let took = backfill.began.map_or(0, |began| until.since(began).max(0));
    json::key(&mut out, "seconds");
    push_api_value(&mut out, took as f64 / 1e9);
    json::key(&mut out, "evaluations");
    out.push('{');
    json::raw_field(&mut out, "total", backfill.evaluations);
    json::raw_field(&mut out, "done", progress.evaluations);
    json::raw_field(&mut out, "failed", progress.failures);
    out.push('}');
    json::raw_field(&mut out, "samples", progress.samples);
    json::raw_field(&mut out, "blocks", progress.blocks);
    json::key(&mut out, "errors");
    json::strings(&mut out, &progress.errors);
    out.push('}');
    out
}

fn push_group(out: &mut String, group: &BackfilledGroup) {
    json::comma(out);
    out.push('{');
    json::field(out, "name", &group.name);
    json::field(out, "file", &group.file);
    json::key(out, "step");
    push_api_value(out, group.step.as_secs_f64());
    json::key(out, "rules");
    json::strings(out, &group.rules);
    out.push('}');
}

fn push_time(out: &mut String, name: &str, time: Time) {
    json::field(out, name, &format_rfc3339_nanos(i128::from(time.0)));
}
