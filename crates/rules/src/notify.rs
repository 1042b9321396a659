//! Where alerts go.

use std::sync::Arc;

use model::Labels;

use crate::alert::{Alert, Annotations};
use crate::time::Time;

/// Takes alerts that are to be sent. Called while a group is evaluated: it must not wait for the network.
pub trait Notify: Send + Sync {
    /// Alerts of one rule that are due: new, resolved, or not sent for the resend delay. Never empty.
    fn notify(&self, alerts: Vec<AlertToSend>);
}

/// An alert as an Alertmanager is told of it, before external labels and relabelling.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertToSend {
    /// What tells it from others.
    pub labels: Labels,
    /// What is told with it.
    pub annotations: Annotations,
    /// When it began to fire.
    pub starts_at: Time,
    /// When it ended, or until when it holds if nothing more is heard of it.
    pub ends_at: Time,
    /// Where its expression is shown.
    pub generator_url: Arc<str>,
}

impl AlertToSend {
    pub(crate) fn new(alert: &Alert, generator_url: Arc<str>) -> Self {
        // What never fired is not sent; the times are there.
        let starts_at = alert.fired_at.unwrap_or(alert.active_at);
        AlertToSend {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at,
            ends_at: alert.resolved_at.or(alert.valid_until).unwrap_or(starts_at),
            generator_url,
        }
    }
}
