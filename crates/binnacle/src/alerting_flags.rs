//! Flags about telling Alertmanagers.

use clap::{ArgAction, Args};

/// Flags that take no value.
pub(crate) const BOOLEANS: [&str; 1] = ["alertmanager.drain-notification-queue-on-shutdown"];

/// See the module.
#[derive(Debug, Args)]
pub(crate) struct AlertingFlags {
    /// Alerts that wait for one Alertmanager at most; beyond, the oldest are dropped
    #[arg(long = "alertmanager.notification-queue-capacity", value_name = "N", default_value_t = 10_000)]
    queue_capacity: usize,

    /// Alerts of one request to an Alertmanager at most
    #[arg(long = "alertmanager.notification-batch-size", value_name = "N", default_value_t = 256)]
    batch_size: usize,

    /// Send what waits for Alertmanagers before the server ends
    #[arg(long = "alertmanager.drain-notification-queue-on-shutdown", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    drain: bool,
}

impl AlertingFlags {
    pub(crate) fn resolve(&self) -> notifier::ManagerOptions {
        notifier::ManagerOptions {
            queue_capacity: self.queue_capacity,
            batch_size: self.batch_size,
            drain: self.drain,
        }
    }

    /// Every flag with its value.
    pub(crate) fn values(&self) -> Vec<(String, String)> {
        [
            ("alertmanager.notification-queue-capacity", self.queue_capacity.to_string()),
            ("alertmanager.notification-batch-size", self.batch_size.to_string()),
            ("alertmanager.drain-notification-queue-on-shutdown", self.drain.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
