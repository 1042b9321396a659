//! Alerts and how they are written for Alertmanager.

use std::sync::Arc;

use model::go_json::{Encoder, push_string};
use model::relabel::{self, Config};
use model::{Labels, LabelsBuilder};

/// An alert as an Alertmanager is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What tells it from others; `alertname` is among them.
    pub labels: Labels,
    /// What is said about it; texts may be empty.
    pub annotations: Arc<[(String, String)]>,
    /// Since when it is active, in milliseconds since the Unix epoch.
    pub starts_at: i64,
    /// Until when it is to be taken as active if nobody says otherwise, or when it ended, likewise.
    pub ends_at: i64,
    /// Where its expression can be looked at.
    pub generator_url: String,
}

/// Each alert with the external labels that it lacks, as `rules` leave it; without those that they drop.
pub(crate) fn relabelled(alerts: &[Arc<Alert>], rules: &[Config], external: &Labels) -> Vec<Arc<Alert>> {
    if rules.is_empty() && external.is_empty() {
        return alerts.to_vec();
    }
    alerts.iter().filter_map(|alert| relabel_one(alert, rules, external)).collect()
}

fn relabel_one(alert: &Arc<Alert>, rules: &[Config], external: &Labels) -> Option<Arc<Alert>> {
    let mut labels = LabelsBuilder::new(&alert.labels);
    for (name, value) in external.iter() {
        if alert.labels.value(name).is_empty() {
            labels.set(name, value);
        }
    }
    if !relabel::process_builder(&mut labels, rules) {
        return None;
    }
    let labels = labels.build();
    if labels == alert.labels {
        return Some(Arc::clone(alert));
    }
    Some(Arc::new(Alert { labels, ..Alert::clone(alert) }))
}

/// The body of a request of API v2, byte for byte as Prometheus writes it.
pub(crate) fn to_json(alerts: &[Arc<Alert>]) -> String {
    let mut out = String::with_capacity(alerts.len() * 512);
    for alert in alerts {
        out.push(if out.is_empty() { '[' } else { ',' });
        out.push('{');
        if !alert.annotations.is_empty() {
            let texts = alert.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str()));
            push_set(&mut out, "annotations", texts);
            out.push(',');
        }
        push_time(&mut out, "endsAt", alert.ends_at);
        push_time(&mut out, "startsAt", alert.starts_at);
        if !alert.generator_url.is_empty() {
            out.push_str("\"generatorURL\":");
            push_string(&mut out, &alert.generator_url, Encoder::Standard);
            out.push(',');
        }
        push_set(&mut out, "labels", alert.labels.iter());
        out.push('}');
    }
    out.push_str(if out.is_empty() { "[]" } else { "]" });
    out
}

fn push_time(out: &mut String, key: &str, millis: i64) {
    out.push_str(&format!("\"{key}\":\"{}\",", model::timestamp::format_rfc3339_millis(millis)));
}

fn push_set<'a>(out: &mut String, key: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push_str(&format!("\"{key}\":{{"));
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(out, name, Encoder::Standard);
        out.push(':');
        push_string(out, value, Encoder::Standard);
    }
    out.push('}');
}
