//! Alerting: what an expression gives becomes alerts, which have states.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashSet;
use model::{Labels, LabelsBuilder, METRIC_NAME};
use parking_lot::Mutex;
use promql::VectorSample;
use template::prometheus::SampleValue;

use crate::alert::{Alert, AlertState, Annotations};
use crate::dependencies::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use crate::environment::Environment;
use crate::error::RuleError;
use crate::notify::AlertToSend;
use crate::outputs::{LabelsMap, Output, Outputs, ToWrite};
use crate::texts::{Expander, Texts, callable};
use crate::time::{Time, nanos};

/// How long an alert that is resolved is remembered, so that Alertmanagers hear of it even if they were away.
const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

const ALERT_STATE: &str = "alertstate";

/// What an alerting rule is besides a rule.
pub(crate) struct Alerting {
    name: String,
    hold: Duration,
    keep_firing_for: Duration,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    label_texts: Texts,
    annotation_texts: Texts,
    generator_url: Arc<str>,
    /// Nothing is to be restored any more: from then on the state is written down.
    restored: AtomicBool,
    active: Mutex<LabelsMap<Active>>,
}

/// An alert with the series that tell of it.
#[derive(Debug, Clone)]
struct Active {
    alert: Alert,
    pending: Option<Output>,
    firing: Option<Output>,
    for_state: Option<Output>,
    /// The evaluation that gave it last.
    round: u64,
}

/// What templates made of samples, from one evaluation to the next.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    by_sample: LabelsMap<Texted>,
    round: u64,
    /// Of the settings that they were expanded with.
    settings: u64,
}

#[derive(Debug, Clone)]
struct Texted {
    labels: Labels,
    annotations: Annotations,
    /// The bits of the value.
    value: u64,
    round: u64,
}

impl Alerting {
    pub(crate) fn new(
        name: &str,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        hold: Duration,
        keep_firing_for: Duration,
    ) -> Self {
        Alerting {
            name: name.to_owned(),
            hold,
            keep_firing_for,
            labels: labels.clone(),
            annotations: annotations.clone(),
            label_texts: Texts::new(name, labels.iter()),
            annotation_texts: Texts::new(name, annotations.iter()),
            generator_url: Arc::default(),
            restored: AtomicBool::new(false),
            active: Mutex::default(),
        }
    }

    pub(crate) fn generated_by(self, url: &str) -> Self {
        Alerting { generator_url: url.into(), ..self }
    }

    pub(crate) fn hold(&self) -> Duration {
        self.hold
    }

    pub(crate) fn keep_firing_for(&self) -> Duration {
        self.keep_firing_for
    }

    pub(crate) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    pub(crate) fn set_restored(&self) {
        self.restored.store(true, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> AlertState {
        let active = self.active.lock();
        active.values().map(|active| active.alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// By their labels.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let mut alerts: Vec<Alert> = self.active.lock().values().map(|active| active.alert.clone()).collect();
        alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
        alerts
    }

    /// Labels of the series that tell since when alerts of the rule are active, as far as they are known before there is one.
    pub(crate) fn for_state_labels(&self) -> Labels {
        let mut builder = self.series_builder(&Labels::empty(), ALERTS_FOR_STATE);
        builder.retain(|_, value| !value.contains("{{"));
        builder.build()
    }

    /// Calls `f` with every alert, which it may change.
    pub(crate) fn each_alert(&self, mut f: impl FnMut(&mut Alert)) {
        self.active.lock().values_mut().for_each(|active| f(&mut active.alert));
    }

    /// Takes over the alerts of the rule in whose place this one comes.
    pub(crate) fn succeed(&self, other: &Alerting) {
        let others = other.active.lock();
        // Evaluations are counted anew, from 1.
        let taken =
            others.iter().map(|(labels, active)| (labels.clone(), Active { round: 0, ..active.clone() }));
        self.active.lock().extend(taken);
    }

    /// Brings the alerts up to date with what the expression gave, and tells what is to be written.
    pub(crate) fn evaluate(
        &self,
        samples: Vec<VectorSample>,
        at: Time,
        limit: i64,
        environment: &Arc<Environment>,
        expanded: &mut Expanded,
        outputs: &mut Outputs,
    ) -> Result<Vec<ToWrite>, RuleError> {
        if samples.is_empty() && self.active.lock().is_empty() {
            expanded.by_sample.clear();
            return Ok(Vec::new());
        }
        let found = self.expand(samples, at, environment, expanded)?;
        let round = expanded.round;
        let mut active = self.active.lock();
        for (Texted { labels, annotations, .. }, value) in found {
            match active.get_mut(&labels) {
                Some(known) => {
                    known.round = round;
                    if known.alert.state == AlertState::Inactive {
                        known.alert = Alert::new(labels, annotations, value, at);
                    } else {
                        known.alert.value = value;
                        known.alert.annotations = annotations;
                    }
                }
                None => {
                    let alert = Alert::new(labels.clone(), annotations, value, at);
                    let new = Active { alert, pending: None, firing: None, for_state: None, round };
                    active.insert(labels, new);
                }
            }
        }
        let restored = self.restored.load(Ordering::Relaxed);
        let mut to_write = Vec::new();
        let mut count = 0;
        active.retain(|_, active| {
            let (kept, counts) = self.advance(&mut active.alert, active.round == round, at);
            if counts {
                count += 1;
                if restored {
                    self.write(active, outputs, &mut to_write);
                }
            }
            kept
        });
        if limit > 0 && i64::try_from(count).unwrap_or(i64::MAX) > limit {
            active.clear();
            return Err(RuleError::TooManyAlerts { limit, found: count });
        }
        Ok(to_write)
    }

    /// The alerts that the samples stand for, each with its value.
    fn expand(
        &self,
        samples: Vec<VectorSample>,
        at: Time,
        environment: &Arc<Environment>,
        expanded: &mut Expanded,
    ) -> Result<Vec<(Texted, f64)>, RuleError> {
        let (settings, change) = environment.settings();
        if std::mem::replace(&mut expanded.settings, change) != change {
            expanded.by_sample.clear();
        }
        expanded.round += 1;
        let round = expanded.round;
        let changing = self.label_texts.change || self.annotation_texts.change;
        let mut functions = None;
        let mut found = Vec::with_capacity(samples.len());
        let mut seen: HashSet<Labels, foldhash::fast::FixedState> = HashSet::default();
        for sample in samples {
            let bits = sample.v.to_bits();
            let known = expanded.by_sample.get_mut(&sample.labels).filter(|known| {
                let same = known.value == bits && sample.histogram.is_none() && !changing;
                same || (self.label_texts.verbatim && self.annotation_texts.verbatim)
            });
            let texted = match known {
                Some(known) => {
                    known.round = round;
                    known.clone()
                }
                None => {
                    let functions = functions.get_or_insert_with(|| callable(environment, at));
                    let value = sample
                        .histogram
                        .as_ref()
                        .map_or(SampleValue::Float(sample.v), |h| SampleValue::Histogram(Arc::clone(h)));
                    let url = &environment.options.external_url.url;
                    let expander =
                        Expander::new(&self.name, &sample.labels, &value, &settings, url, functions);
                    let labels = self.alert_labels(&sample.labels, &expander);
                    let annotations = self.annotation_texts.expand(&expander);
                    let texted = Texted { labels, annotations, value: bits, round };
                    expanded.by_sample.insert(sample.labels, texted.clone());
                    texted
                }
            };
            if !seen.insert(texted.labels.clone()) {
                return Err(RuleError::SameAlerts);
            }
            found.push((texted, sample.v));
        }
        if expanded.by_sample.len() > found.len() {
            expanded.by_sample.retain(|_, texted| texted.round == round);
        }
        Ok(found)
    }

    fn alert_labels(&self, labels: &Labels, expander: &Expander<'_>) -> Labels {
        let mut builder = LabelsBuilder::new(labels);
        builder.del(METRIC_NAME);
        for (name, value) in self.label_texts.expand(expander).iter() {
            builder.set(name, value);
        }
        builder.set(ALERT_NAME, &self.name);
        builder.build()
    }

    /// The state of an alert at a time when the expression holds for it or not: whether the alert is to be kept, and whether
    /// it is pending or firing.
    fn advance(&self, alert: &mut Alert, holds: bool, at: Time) -> (bool, bool) {
        let mut kept = true;
        if holds {
            alert.keep_firing_since = None;
        } else {
            let keeps_firing = alert.state == AlertState::Firing && !self.keep_firing_for.is_zero() && {
                let since = *alert.keep_firing_since.get_or_insert(at);
                at.since(since) < nanos(self.keep_firing_for)
            };
            let forgotten =
                alert.resolved_at.is_some_and(|resolved| at.since(resolved) > nanos(RESOLVED_RETENTION));
            if alert.state == AlertState::Pending || forgotten {
                kept = false;
            }
            if alert.state != AlertState::Inactive && !keeps_firing {
                alert.state = AlertState::Inactive;
                alert.resolved_at = Some(at);
            }
            if !keeps_firing {
                return (kept, false);
            }
        }
        let held = at.since(alert.active_at) >= nanos(self.hold);
        match alert.state {
            AlertState::Pending if held => {
                alert.state = AlertState::Firing;
                alert.fired_at = Some(at);
            }
            // The rule waits longer than it did.
            AlertState::Firing if !held => {
                alert.state = AlertState::Pending;
                alert.fired_at = None;
                alert.last_sent_at = None;
                alert.keep_firing_since = None;
            }
            _ => {}
        }
        (kept, true)
    }

    fn write(&self, active: &mut Active, outputs: &mut Outputs, to_write: &mut Vec<ToWrite>) {
        let Active { alert, pending, firing, for_state, .. } = active;
        let state = if alert.state == AlertState::Firing { firing } else { pending };
        let mut push = |output: &mut Option<Output>, v: f64, labels: &dyn Fn() -> Labels| {
            let known = output.filter(|output| outputs.knows(*output));
            let output = *output.insert(known.unwrap_or_else(|| outputs.of(&labels())));
            // Two alerts may be told apart by a label that the series do not have.
            if outputs.give(output) {
                to_write.push(ToWrite { output, v, histogram: None });
            }
        };
        push(state, 1.0, &|| {
            let mut builder = self.series_builder(&alert.labels, ALERTS);
            builder.set(ALERT_STATE, alert.state.as_str()).build()
        });
        push(for_state, alert.active_at.seconds() as f64, &|| {
            self.series_builder(&alert.labels, ALERTS_FOR_STATE).build()
        });
    }

    /// Of a label whose template gives nothing, the series have the template.
    fn series_builder(&self, alert: &Labels, metric: &str) -> LabelsBuilder {
        let mut builder = LabelsBuilder::default();
        for (name, value) in self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(alert) {
            builder.set(name, value);
        }
        builder.set(METRIC_NAME, metric).set(ALERT_NAME, &self.name);
        builder
    }

    /// The alerts that are due, which are taken for sent.
    pub(crate) fn take_due(&self, at: Time, resend_delay: Duration, interval: Duration) -> Vec<AlertToSend> {
        let mut due = Vec::new();
        self.each_alert(|alert| {
            if alert.is_due(at, resend_delay) {
                alert.last_sent_at = Some(at);
                // Until two evaluations or two attempts to send have failed.
                alert.valid_until = Some(at.after(4 * interval.max(resend_delay)));
                due.push(AlertToSend::new(alert, Arc::clone(&self.generator_url)));
            }
        });
        due.sort_by(|a, b| a.labels.cmp(&b.labels));
        due
    }
}
