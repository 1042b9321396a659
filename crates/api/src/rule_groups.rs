//! `/api/v1/rules` and `/api/v1/alerts`.
//!
//! Who may not see everything sees the alerts whose labels are among what he may see, and the rules that say by labels of
//! their own that they are his. Why a rule failed he is not told: the reason may name series of others.

use std::num::IntErrorKind;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use model::number::push_api_value;
use model::timestamp::format_rfc3339_nanos;
use model::{Labels, Matcher};
use rules::{Alert, AlertState, Group, Rule, Time};

use crate::reply::{Answer, ApiError, success};
use crate::request::{Params, Request};
use crate::view::View;
use crate::{Api, json, series};

/// What a zero time of Go looks like.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What those are told who may not see all that a rule reads.
const HIDDEN_ERROR: &str = "the rule failed";

/// Which rules are asked for.
struct Wanted<'a> {
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    /// One of them must match, if there are any.
    selectors: Vec<Vec<Matcher>>,
    alerting: bool,
    recording: bool,
    alerts: bool,
    /// Also how many series each rule gave.
    stats: bool,
    /// Most groups of an answer.
    limit: Option<usize>,
    /// The group to begin with.
    token: &'a str,
}

pub(crate) async fn rules(api: Arc<Api>, request: Request) -> Answer {
    let wanted = Wanted::read(&request.params)?;
    let view = request.view(&api);
    let groups = api.runtime.rules().map(|rules| rules.groups()).unwrap_or_default();
    let mut rest = groups.iter().filter(|group| shows_any(&view, group)).peekable();
    if !wanted.token.is_empty() {
        while rest.next_if(|group| token(group) != wanted.token).is_some() {}
        if rest.peek().is_none() {
            let why = format!("invalid group_next_token '{}'. were rule groups changed?", wanted.token);
            return Err(ApiError::invalid("group_next_token", &why));
        }
    }
    let mut out = String::from("{\"groups\":[");
    let (mut count, mut next) = (0, None);
    for group in rest.filter(|group| wanted.has_group(group)) {
        let before = out.len();
        if !push_group(&mut out, group, &wanted, &view) {
            out.truncate(before);
        } else if wanted.limit == Some(count) {
            out.truncate(before);
            next = Some(token(group));
            break;
        } else {
            count += 1;
        }
    }
    out.push(']');
    if let Some(next) = next {
        json::field(&mut out, "groupNextToken", &next);
    }
    out.push('}');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn alerts(api: Arc<Api>, request: Request) -> Answer {
    let view = request.view(&api);
    let groups = api.runtime.rules().map(|rules| rules.groups()).unwrap_or_default();
    let rules = groups.iter().flat_map(|group| group.rules());
    let mut out = String::from("{\"alerts\":[");
    for alert in rules.flat_map(Rule::active_alerts).filter(|alert| view.shows(&alert.labels)) {
        push_alert(&mut out, &alert);
    }
    out.push_str("]}");
    Ok(success(&out, &[], &[]))
}

impl<'a> Wanted<'a> {
    fn read(params: &'a Params) -> Result<Self, ApiError> {
        params.check()?;
        let selectors = params.all("match[]").map(series::selector).collect::<Result<_, _>>()?;
        let kind = params.get("type").to_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            let why = format!("not supported value {}", model::number::quote(&kind));
            return Err(ApiError::invalid("type", &why));
        }
        let exclude = params.get("exclude_alerts").to_lowercase();
        let alerts = match exclude.as_str() {
            "" | "0" | "f" | "false" => true,
            "1" | "t" | "true" => false,
            _ => {
                let quoted = model::number::quote(&exclude);
                let why = format!(
                    "error converting exclude_alerts: strconv.ParseBool: parsing {quoted}: invalid syntax"
                );
                return Err(ApiError::invalid("exclude_alerts", &why));
            }
        };
        let token = params.get("group_next_token");
        Ok(Wanted {
            names: params.all("rule_name[]").collect(),
            groups: params.all("rule_group[]").collect(),
            files: params.all("file[]").collect(),
            selectors,
            alerting: kind != "record",
            recording: kind != "alert",
            alerts,
            stats: params.get("stats") == "true",
            limit: group_limit(params.get("group_limit"), token)?,
            token,
        })
    }

    fn has_group(&self, group: &Group) -> bool {
        let among = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
        among(&self.groups, group.name()) && among(&self.files, group.file())
    }

    fn has(&self, rule: &Rule) -> bool {
        let value = |name: &str| rule.labels().get(name).map_or("", String::as_str);
        let matches = |selector: &Vec<Matcher>| selector.iter().all(|m| m.matches(value(&m.name)));
        (if rule.is_alerting() { self.alerting } else { self.recording })
            && (self.names.is_empty() || self.names.contains(&rule.name()))
            && (self.selectors.is_empty() || self.selectors.iter().any(matches))
    }
}

fn group_limit(text: &str, token: &str) -> Result<Option<usize>, ApiError> {
    let refused = |name: &str, why: &str| Err(ApiError::invalid(name, why));
    match text.parse::<i32>() {
        _ if text.is_empty() && token.is_empty() => Ok(None),
        _ if text.is_empty() => refused(
            "group_next_token",
            "group_limit needs to be present in order to paginate over the groups",
        ),
        Ok(limit) => match usize::try_from(limit) {
            Ok(limit @ 1..) => Ok(Some(limit)),
            _ => refused("group_limit", "group_limit needs to be greater than 0"),
        },
        Err(error) => {
            let why = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            let quoted = model::number::quote(text);
            let why =
                format!("group_limit needs to be a valid number: strconv.ParseInt: parsing {quoted}: {why}");
            refused("group_limit", &why)
        }
    }
}

/// What stands for a group in `group_next_token`.
fn token(group: &Group) -> String {
    let hash = digest(&SHA256, format!("{};{}", group.file(), group.name()).as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the caller may see the rule by its own labels.
fn shows(view: &View, rule: &Rule) -> bool {
    !view.is_narrow() || view.shows(&Labels::from_pairs(rule.labels()))
}

fn shows_any(view: &View, group: &Group) -> bool {
    group.rules().iter().any(|rule| shows(view, rule)) || !view.is_narrow()
}

/// Whether there was something of the group to be told.
fn push_group(out: &mut String, group: &Group, wanted: &Wanted<'_>, view: &View) -> bool {
    json::comma(out);
    out.push('{');
    json::field(out, "name", group.name());
    json::field(out, "file", group.file());
    json::key(out, "rules");
    out.push('[');
    let rules = group.rules().iter().filter(|rule| wanted.has(rule) && shows(view, rule));
    let mut any = false;
    for rule in rules {
        push_rule(out, rule, wanted, view);
        any = true;
    }
    out.push(']');
    let status = group.status();
    seconds_field(out, "interval", group.interval());
    json::raw_field(out, "limit", group.limit());
    seconds_field(out, "evaluationTime", status.evaluation_time);
    time_field(out, "lastEvaluation", status.last_evaluation);
    out.push('}');
    any
}

fn push_rule(out: &mut String, rule: &Rule, wanted: &Wanted<'_>, view: &View) {
    let alerts = wanted.alerts;
    json::comma(out);
    out.push('{');
    if rule.is_alerting() {
        let mut active = if alerts || view.is_narrow() { rule.active_alerts() } else { Vec::new() };
        active.retain(|alert| view.shows(&alert.labels));
        let state = match rule.state() {
            state @ AlertState::Unknown => state,
            state if !view.is_narrow() => state,
            _ => active.iter().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive),
        };
        json::field(out, "state", state.as_str());
        json::field(out, "name", rule.name());
        json::field(out, "query", rule.query());
        seconds_field(out, "duration", rule.hold_duration());
        seconds_field(out, "keepFiringFor", rule.keep_firing_for());
        texts_field(out, "labels", rule.labels());
        texts_field(out, "annotations", rule.annotations());
        json::key(out, "alerts");
        if alerts {
            out.push('[');
            active.iter().for_each(|alert| push_alert(out, alert));
            out.push(']');
        } else {
            out.push_str("null");
        }
    } else {
        json::field(out, "name", rule.name());
        json::field(out, "query", rule.query());
        texts_field(out, "labels", rule.labels());
    }
    let status = rule.status();
    json::field(out, "health", status.health.as_str());
    if let Some(error) = &status.last_error {
        json::field(out, "lastError", if view.is_narrow() { HIDDEN_ERROR } else { error });
    }
    seconds_field(out, "evaluationTime", status.evaluation_time);
    time_field(out, "lastEvaluation", status.last_evaluation);
    // Prometheus does not tell it; who may not see all series may not know how many there are.
    if wanted.stats && !view.is_narrow() {
        json::raw_field(out, "samples", status.series);
    }
    json::field(out, "type", if rule.is_alerting() { "alerting" } else { "recording" });
    out.push('}');
}

fn push_alert(out: &mut String, alert: &Alert) {
    json::comma(out);
    out.push('{');
    texts_field(out, "labels", &alert.labels);
    texts_field(out, "annotations", alert.annotations.iter().map(|(name, text)| (name, text)));
    json::field(out, "state", alert.state.as_str());
    time_field(out, "activeAt", Some(alert.active_at));
    if let Some(since) = alert.keep_firing_since {
        time_field(out, "keepFiringSince", Some(since));
    }
    json::field(out, "value", &model::number::format_e(alert.value));
    out.push('}');
}

fn texts_field<N: AsRef<str>, T: AsRef<str>>(
    out: &mut String,
    name: &str,
    texts: impl IntoIterator<Item = (N, T)>,
) {
    json::key(out, name);
    out.push('{');
    for (name, text) in texts {
        json::comma(out);
        json::string(out, name.as_ref());
        out.push(':');
        json::string(out, text.as_ref());
    }
    out.push('}');
}

fn seconds_field(out: &mut String, name: &str, duration: std::time::Duration) {
    json::key(out, name);
    push_api_value(out, duration.as_secs_f64());
}

fn time_field(out: &mut String, name: &str, time: Option<Time>) {
    let text = time.map_or_else(|| NEVER.to_owned(), |time| format_rfc3339_nanos(i128::from(time.0)));
    json::field(out, name, &text);
}
