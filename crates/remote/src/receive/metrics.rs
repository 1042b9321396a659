//! What the receiver says about itself.

use std::sync::{Arc, Weak};

use exposition::{Counter, Registry};

use storage::SeriesCache;

pub(super) struct Metrics {
    pub(super) invalid_labels: Counter,
    pub(super) requests: Counter,
    pub(super) samples: Counter,
}

impl Metrics {
    pub(super) fn register(r: &Registry, cache: &Arc<SeriesCache>) -> Self {
        let cache: Weak<SeriesCache> = Arc::downgrade(cache);
        r.gauge_fn(
            "binnacle_remote_write_receiver_known_series",
            "Series of remote write requests that are known by their bytes on the wire.",
            move || cache.upgrade().map_or(0.0, |cache| cache.len() as f64),
        );
        // Nothing is stored without what is said about it: it stays zero, and dashboards read it.
        r.counter(
            "prometheus_api_remote_write_without_metadata_appended_samples_total",
            "The total number of received remote write samples (and histogram samples) which were ingested without corresponding metadata.",
        );
        Metrics {
            invalid_labels: r.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            ),
            requests: r.counter(
                "binnacle_remote_write_receiver_requests_total",
                "Remote write requests that were decoded.",
            ),
            samples: r.counter(
                "binnacle_remote_write_receiver_samples_total",
                "Samples and native histograms of remote write requests that were stored or known.",
            ),
        }
    }
}
