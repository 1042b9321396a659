//! Alerts and their states.

use std::sync::Arc;
use std::time::Duration;

use model::Labels;

use crate::time::{Time, nanos};

/// Names and texts, sorted by name. Texts may be empty.
pub type Annotations = Arc<[(String, String)]>;

/// What is the matter with an alert, or with all alerts of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// Not evaluated yet.
    Unknown,
    /// The expression does not hold.
    Inactive,
    /// It holds, not yet for long enough.
    Pending,
    /// It holds for long enough.
    Firing,
}

impl AlertState {
    /// `firing`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One alert of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Inactive if it is resolved, and kept in order to tell so.
    pub state: AlertState,
    /// What tells it from others.
    pub labels: Labels,
    /// What is told with it.
    pub annotations: Annotations,
    /// The expression's value when it was last evaluated.
    pub value: f64,
    /// Since when the expression holds.
    pub active_at: Time,
    /// Since when it fires.
    pub fired_at: Option<Time>,
    /// When it ceased to fire.
    pub resolved_at: Option<Time>,
    /// When it was last sent.
    pub last_sent_at: Option<Time>,
    /// Until when what was sent holds.
    pub valid_until: Option<Time>,
    /// Since when it fires although the expression does not hold.
    pub keep_firing_since: Option<Time>,
}

impl Alert {
    pub(crate) fn new(labels: Labels, annotations: Annotations, value: f64, at: Time) -> Self {
        Alert {
            state: AlertState::Pending,
            labels,
            annotations,
            value,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            last_sent_at: None,
            valid_until: None,
            keep_firing_since: None,
        }
    }

    /// Whether Alertmanagers are to hear of it.
    pub(crate) fn is_due(&self, at: Time, resend_delay: Duration) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let Some(sent) = self.last_sent_at else { return true };
        self.resolved_at.is_some_and(|resolved| resolved > sent) || at.since(sent) > nanos(resend_delay)
    }
}
