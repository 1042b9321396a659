//! What is left of alerts after a restart: since when they are active is in the store.

use std::time::Instant;

use model::{Labels, METRIC_NAME, Matcher};
use promql::{Overrides, VectorSample};

use crate::alert::Alert;
use crate::alerting::Alerting;
use crate::environment::{Environment, samples_of};
use crate::error::RuleError;
use crate::group::Group;
use crate::outputs::LabelsMap;
use crate::rule::Rule;
use crate::time::{Time, nanos};

/// The last that was written of an alert.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// When.
    seen: Time,
    /// Since when the alert was active.
    active_at: Time,
}

impl Group {
    /// Gives alerts the time since which they are active that they had before the server went away.
    pub(crate) fn restore(&self, now: Time) {
        let clock = Instant::now();
        for rule in &self.rules {
            let Some(alerting) = rule.alerting() else { continue };
            let hold = alerting.hold();
            // Those would only wait longer.
            if hold >= self.environment().options.grace_period {
                match left_of(alerting, self.environment(), now) {
                    Ok(left) => alerting.each_alert(|alert| self.restore_alert(alerting, alert, &left, now)),
                    Err(error) => self.warn_of(rule, &error),
                }
            }
            alerting.set_restored();
        }
        let seconds = clock.elapsed().as_secs_f64();
        self.metrics.set_restored(seconds);
        tracing::debug!(
            component = "rule manager",
            file = self.file(),
            group = self.name(),
            duration_seconds = seconds,
            "'for' state restoration completed"
        );
    }

    fn warn_of(&self, rule: &Rule, error: &RuleError) {
        tracing::error!(
            component = "rule manager",
            file = self.file(),
            group = self.name(),
            alertname = rule.name(),
            stage = "Select",
            err = %error,
            "Failed to restore 'for' state"
        );
    }

    fn restore_alert(&self, alerting: &Alerting, alert: &mut Alert, left: &LabelsMap<Left>, now: Time) {
        let Some(left) = left.get(&alert.labels) else { return };
        let (hold, grace) = (alerting.hold(), self.environment().options.grace_period);
        let remaining = nanos(hold).saturating_sub(left.seen.since(left.active_at));
        alert.active_at = if remaining <= 0 {
            // It fired: it does so again at the next evaluation.
            left.active_at
        } else if remaining < nanos(grace) {
            // What it depends on may not be there yet: it fires when the grace period is over.
            now.after(grace).before(hold)
        } else {
            // The time for which nobody looked does not count.
            Time(left.active_at.0.saturating_add(now.since(left.seen)))
        };
    }
}

/// What the store has of the rule's alerts that were active when it was last written.
fn left_of(alerting: &Alerting, environment: &Environment, now: Time) -> Result<LabelsMap<Left>, RuleError> {
    let matchers: Vec<String> = alerting
        .for_state_labels()
        .iter()
        .map(|(name, value)| Matcher::equal(name, value).to_string())
        .collect();
    let selector = format!("{{{}}}", matchers.join(","));
    let tolerance = i64::try_from(environment.options.outage_tolerance.as_millis()).unwrap_or(i64::MAX);
    let overrides =
        Overrides { lookback_delta_ms: Some(tolerance.saturating_add(1)), ..Overrides::default() };
    let query = |query: &str| -> Result<Vec<VectorSample>, RuleError> {
        let options = &environment.options;
        let context = environment.context();
        samples_of(options.engine.instant(&*options.reader, &context, query, now.millis(), &overrides)?)
    };
    let mut left = LabelsMap::default();
    let unnamed = |labels: &Labels| labels.filter(|name| name != METRIC_NAME);
    let values = query(&selector)?;
    if values.is_empty() {
        return Ok(left);
    }
    let mut seen: LabelsMap<f64> = LabelsMap::default();
    seen.extend(query(&format!("timestamp({selector})"))?.into_iter().map(|s| (unnamed(&s.labels), s.v)));
    for sample in values {
        let labels = unnamed(&sample.labels);
        if let Some(&at) = seen.get(&labels) {
            let times = Left {
                seen: Time::from_seconds(at.floor() as i64),
                active_at: Time::from_seconds(sample.v as i64),
            };
            left.insert(labels, times);
        }
    }
    Ok(left)
}
