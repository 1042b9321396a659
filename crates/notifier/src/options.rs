//! What is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use httpclient::{ClientOptions, Signer};
use model::relabel::Config;

/// What the flags say.
#[derive(Debug, Clone)]
pub struct ManagerOptions {
    /// Alerts that wait for one Alertmanager at most (`--alertmanager.notification-queue-capacity`).
    pub queue_capacity: usize,
    /// Alerts of one request at most (`--alertmanager.notification-batch-size`).
    pub batch_size: usize,
    /// What waits when the program ends is sent first (`--alertmanager.drain-notification-queue-on-shutdown`).
    pub drain: bool,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        ManagerOptions { queue_capacity: 10_000, batch_size: 256, drain: true }
    }
}

/// Alertmanagers that are found and reached alike: an entry of `alertmanagers`.
#[derive(Clone)]
pub struct SetOptions {
    /// The name of its target groups, `config-0` for the first one.
    pub name: String,
    /// What tells it from other entries, secrets aside: an entry that keeps it keeps its queues.
    pub hash: String,
    /// The URL's scheme.
    pub scheme: String,
    /// A path before that of the API.
    pub path_prefix: String,
    /// How long a request may take.
    pub timeout: Duration,
    /// Rules over the labels of what was discovered.
    pub relabel: Vec<Config>,
    /// Rules over alerts, after those for all Alertmanagers.
    pub alert_relabel: Vec<Config>,
    /// How they are reached.
    pub client: ClientOptions,
    /// What signs requests.
    pub signer: Option<Arc<dyn Signer>>,
}

impl fmt::Debug for SetOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetOptions")
            .field("name", &self.name)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
