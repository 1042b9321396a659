//! What a server to read from is: plain data, filled in by `config`.

use std::time::Duration;

use httpclient::{ClientOptions, Url};

/// A server that selectors are passed on to.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Its name in metrics.
    pub name: String,
    /// Differs when anything but secrets differs.
    pub hash: String,
    /// Where.
    pub url: Url,
    /// The same without a password.
    pub shown_url: String,
    /// How long a request may take, its answer included.
    pub timeout: Duration,
    /// Longest frame of a stream of chunks, in bytes.
    pub chunked_read_limit: u64,
    /// Headers that are added.
    pub headers: Vec<(String, String)>,
    /// Ask also for times of which there is everything here.
    pub read_recent: bool,
    /// Labels that a selector must name with these values to be passed on.
    pub required_matchers: Vec<(String, String)>,
    /// Add the external labels to selectors, and take them off what is answered.
    pub filter_external_labels: bool,
    /// How it is reached.
    pub client: ClientOptions,
}
