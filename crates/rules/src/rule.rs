//! A rule: what it is, and how its last evaluation went.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use promql::{ParseErrors, ParseOptions, Prepared};

use crate::alert::{Alert, AlertState};
use crate::alerting::Alerting;
use crate::options::{RuleKind, RuleOptions};
use crate::time::Time;

/// Whether the last evaluation of a rule succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It was not evaluated yet.
    Unknown,
    /// It did.
    Good,
    /// It did not.
    Bad,
}

impl Health {
    /// `ok`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Good => "ok",
            Health::Bad => "err",
        }
    }
}

/// How the last evaluation of a rule went.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStatus {
    /// Whether it succeeded.
    pub health: Health,
    /// Why it did not.
    pub last_error: Option<Arc<str>>,
    /// How long it took.
    pub evaluation_time: Duration,
    /// When it began.
    pub last_evaluation: Option<Time>,
    /// How many series its expression gave, when it last gave any answer.
    pub series: usize,
}

/// A recording or alerting rule.
pub struct Rule {
    name: String,
    prepared: Prepared,
    /// As it is printed.
    query: String,
    labels: BTreeMap<String, String>,
    alerting: Option<Alerting>,
    status: Mutex<RuleStatus>,
}

impl Rule {
    pub(crate) fn new(
        options: &RuleOptions,
        group_labels: &BTreeMap<String, String>,
        parse: &ParseOptions,
        external_url: &str,
    ) -> Result<Self, ParseErrors> {
        let prepared = Prepared::parse(&options.expr, parse)?;
        let query = prepared.expr().to_string();
        let mut labels = group_labels.clone();
        labels.extend(options.labels.clone());
        let alerting = match &options.kind {
            RuleKind::Recording => None,
            RuleKind::Alerting { hold, keep_firing_for, annotations } => {
                let generator_url = format!("{external_url}{}", template::prometheus::table_link(&query));
                let alerting = Alerting::new(&options.name, &labels, annotations, *hold, *keep_firing_for);
                Some(alerting.generated_by(&generator_url))
            }
        };
        let status = RuleStatus {
            health: Health::Unknown,
            last_error: None,
            evaluation_time: Duration::ZERO,
            last_evaluation: None,
            series: 0,
        };
        let status = Mutex::new(status);
        Ok(Rule { name: options.name.clone(), prepared, query, labels, alerting, status })
    }

    /// Name of the metric that is recorded, or of the alert.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its expression, printed.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Labels of what it makes, those of its group among them; templates, if it alerts. Values may be empty.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Whether it makes alerts rather than series.
    #[must_use]
    pub fn is_alerting(&self) -> bool {
        self.alerting.is_some()
    }

    /// How long its expression must hold before an alert fires.
    #[must_use]
    pub fn hold_duration(&self) -> Duration {
        self.alerting.as_ref().map_or(Duration::ZERO, Alerting::hold)
    }

    /// How long an alert goes on firing when its expression holds no more.
    #[must_use]
    pub fn keep_firing_for(&self) -> Duration {
        self.alerting.as_ref().map_or(Duration::ZERO, Alerting::keep_firing_for)
    }

    /// Templates of the annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.alerting.as_ref().map_or(&NONE, Alerting::annotations)
    }

    /// How its last evaluation went.
    #[must_use]
    pub fn status(&self) -> RuleStatus {
        self.status.lock().clone()
    }

    /// The state of its alert that is furthest.
    #[must_use]
    pub fn state(&self) -> AlertState {
        match &self.alerting {
            Some(alerting) if self.status.lock().last_evaluation.is_some() => alerting.state(),
            _ => AlertState::Unknown,
        }
    }

    /// Its alerts that are pending or firing, by their labels.
    #[must_use]
    pub fn active_alerts(&self) -> Vec<Alert> {
        let mut alerts = self.alerting.as_ref().map_or_else(Vec::new, Alerting::alerts);
        alerts.retain(|alert| alert.resolved_at.is_none());
        alerts
    }

    /// Its alerts, those that are resolved among them, by their labels.
    #[must_use]
    pub fn all_alerts(&self) -> Vec<Alert> {
        self.alerting.as_ref().map_or_else(Vec::new, Alerting::alerts)
    }

    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    pub(crate) fn alerting(&self) -> Option<&Alerting> {
        self.alerting.as_ref()
    }

    pub(crate) fn set_outcome(&self, health: Health, last_error: Option<&str>) {
        let mut status = self.status.lock();
        status.health = health;
        if status.last_error.as_deref() != last_error {
            status.last_error = last_error.map(Arc::from);
        }
    }

    pub(crate) fn set_series(&self, series: usize) {
        self.status.lock().series = series;
    }

    pub(crate) fn set_evaluated(&self, began: Time, took: Duration) {
        let mut status = self.status.lock();
        status.last_evaluation = Some(began);
        status.evaluation_time = took;
    }

    /// Whether it is the same rule, though its expression may be written differently.
    pub(crate) fn equals(&self, other: &Rule) -> bool {
        self.is_alerting() == other.is_alerting()
            && self.is_successor_of(other)
            && self.query == other.query
            && self.hold_duration() == other.hold_duration()
            && self.keep_firing_for() == other.keep_firing_for()
            && self.annotations() == other.annotations()
    }

    /// Whether the state of the other is its own.
    pub(crate) fn is_successor_of(&self, other: &Rule) -> bool {
        self.name == other.name && self.labels == other.labels
    }
}
