//! What the receiver says about itself.

use std::sync::{Arc, Weak};

use exposition::{Counter, CounterVec, Registry};
use storage::SeriesCache;

use crate::streams::Streams;

pub(crate) struct Metrics {
    pub(crate) without_metadata: Counter,
    pub(crate) warnings: CounterVec,
    pub(crate) late_exemplars: Counter,
    pub(crate) requests: Counter,
    pub(crate) samples: Counter,
}

impl Metrics {
    pub(crate) fn register(r: &Registry, cache: &Arc<SeriesCache>, streams: Option<&Arc<Streams>>) -> Self {
        let cache: Weak<SeriesCache> = Arc::downgrade(cache);
        r.gauge_fn(
            "binnacle_otlp_receiver_known_series",
            "Series of OTLP requests that are known by their bytes on the wire.",
            move || cache.upgrade().map_or(0.0, |cache| cache.len() as f64),
        );
        if let Some(streams) = streams {
            let streams: Weak<Streams> = Arc::downgrade(streams);
            r.gauge_fn(
                "binnacle_otlp_receiver_delta_streams",
                "Streams of deltas that are added up.",
                move || streams.upgrade().map_or(0.0, |streams| streams.len() as f64),
            );
        }
        Metrics {
            without_metadata: r.counter(
                "prometheus_api_otlp_appended_samples_without_metadata_total",
                "The total number of samples ingested from OTLP without corresponding metadata.",
            ),
            warnings: r.counter_vec(
                "prometheus_api_otlp_translation_warnings_total",
                "The total number of warnings produced while translating OTLP metrics to the Prometheus model, by category.",
                &["category"],
            ),
            late_exemplars: r.counter(
                "prometheus_api_otlp_out_of_order_exemplars_total",
                "The total number of received OTLP exemplars which were rejected because they were out of order.",
            ),
            requests: r
                .counter("binnacle_otlp_receiver_requests_total", "OTLP requests that were decoded."),
            samples: r.counter(
                "binnacle_otlp_receiver_samples_total",
                "Samples and native histograms of OTLP requests that were stored or known.",
            ),
        }
    }
}
