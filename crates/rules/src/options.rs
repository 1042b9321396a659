//! What there is to evaluate and how, as plain values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use promql::Engine;
use storage::{Append, MemoryBudget, Select};
use template::prometheus::ExternalUrl;

use crate::notify::Notify;

/// A group of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOptions {
    /// The file that it is written in. File and name together name a group.
    pub file: String,
    /// Its name.
    pub name: String,
    /// How often it is evaluated; not zero.
    pub interval: Duration,
    /// How far back its rules look; by default as far as [`Settings::query_offset`](crate::Settings::query_offset).
    pub query_offset: Option<Duration>,
    /// Most series or alerts that one rule may make; none if not positive.
    pub limit: i64,
    /// Labels of what all rules make; those of a rule take precedence.
    pub labels: BTreeMap<String, String>,
    /// Evaluated in this order.
    pub rules: Vec<RuleOptions>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleOptions {
    /// Name of the metric that is recorded, or of the alert.
    pub name: String,
    /// PromQL.
    pub expr: String,
    /// Labels of what it makes. An empty value takes the label away.
    pub labels: BTreeMap<String, String>,
    /// What it makes.
    pub kind: RuleKind,
}

/// What a rule makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleKind {
    /// Series.
    Recording,
    /// Alerts.
    Alerting {
        /// How long the expression must hold before an alert fires.
        hold: Duration,
        /// How long an alert goes on firing when the expression holds no more.
        keep_firing_for: Duration,
        /// Templates of what is told with an alert.
        annotations: BTreeMap<String, String>,
    },
}

/// With what rules are evaluated.
#[derive(Clone)]
pub struct ManagerOptions {
    /// Evaluates expressions.
    pub engine: Arc<Engine>,
    /// What expressions read.
    pub reader: Arc<dyn Select>,
    /// Where samples go.
    pub appender: Arc<dyn Append>,
    /// Takes the alerts that are to be sent.
    pub notify: Arc<dyn Notify>,
    /// Under which URL the server is reached.
    pub external_url: ExternalUrl,
    /// State of alerts that is older is not restored.
    pub outage_tolerance: Duration,
    /// How long an alert that is restored waits at least before it fires. Those that wait no longer anyway are not restored.
    pub grace_period: Duration,
    /// An alert is not sent again before so long.
    pub resend_delay: Duration,
    /// Rules that may be evaluated beside the one of each group that is; zero: the rules of a group take turns.
    pub concurrent_rules: usize,
    /// Groups that may be evaluated at once.
    pub concurrent_groups: usize,
    /// How long an expression may take.
    pub query_timeout: Duration,
    /// What is held in memory is accounted to it.
    pub memory: MemoryBudget,
}

impl ManagerOptions {
    /// Prometheus' defaults.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        reader: Arc<dyn Select>,
        appender: Arc<dyn Append>,
        notify: Arc<dyn Notify>,
        memory: MemoryBudget,
    ) -> Self {
        ManagerOptions {
            engine,
            reader,
            appender,
            notify,
            external_url: ExternalUrl::default(),
            outage_tolerance: Duration::from_secs(60 * 60),
            grace_period: Duration::from_secs(10 * 60),
            resend_delay: Duration::from_secs(60),
            concurrent_rules: 0,
            concurrent_groups: 16,
            query_timeout: Duration::from_secs(120),
            memory,
        }
    }
}
