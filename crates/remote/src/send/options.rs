//! What a destination is: plain data, filled in by `config`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use httpclient::{ClientOptions, Signer, Url};
use model::relabel;

use crate::MessageType;

/// A server that samples are sent to.
#[derive(Clone)]
pub struct WriteOptions {
    /// Its name in metrics and logs.
    pub name: String,
    /// What tells it from others over restarts and changes of its configuration: where it goes on is kept under this.
    pub key: String,
    /// Differs when anything but secrets differs.
    pub hash: String,
    /// Where.
    pub url: Url,
    /// The same without a password.
    pub shown_url: String,
    /// Which message it takes.
    pub message: MessageType,
    /// How long a request may take.
    pub timeout: Duration,
    /// Headers that are added.
    pub headers: Vec<(String, String)>,
    /// Rules over each series, external labels included.
    pub relabel: Vec<relabel::Config>,
    /// Send exemplars.
    pub exemplars: bool,
    /// Send native histograms.
    pub histograms: bool,
    /// What waits to be sent.
    pub queue: QueueOptions,
    /// Types, units and help in messages of their own (1.0); none: they are not sent.
    pub metadata: Option<MetadataOptions>,
    /// How it is reached.
    pub client: ClientOptions,
    /// Signs requests.
    pub signer: Option<Arc<dyn Signer>>,
}

impl fmt::Debug for WriteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteOptions")
            .field("name", &self.name)
            .field("url", &self.shown_url)
            .finish_non_exhaustive()
    }
}

/// `queue_config`.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueOptions {
    /// Samples that wait in a shard.
    pub capacity: usize,
    /// Most shards.
    pub max_shards: usize,
    /// Fewest shards.
    pub min_shards: usize,
    /// Samples of a request.
    pub max_samples_per_send: usize,
    /// How long a sample waits for others.
    pub batch_send_deadline: Duration,
    /// Shortest pause before another try.
    pub min_backoff: Duration,
    /// Longest pause before another try.
    pub max_backoff: Duration,
    /// Try again when told to slow down.
    pub retry_on_http_429: bool,
    /// Older samples are not sent; zero: any age is.
    pub sample_age_limit: Duration,
}

/// `metadata_config`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataOptions {
    /// How often.
    pub interval: Duration,
    /// How many in a request.
    pub max_samples_per_send: usize,
}

/// What is said about a metric family, as targets say it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FamilyMetadata {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge`, …
    pub kind: String,
    /// Its help text.
    pub help: String,
    /// Its unit.
    pub unit: String,
}
