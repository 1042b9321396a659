//! What is told about reading from others.

use exposition::Registry;
use exposition::registry::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec};

/// In seconds.
const DURATIONS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

pub(super) struct Metrics {
    queries: GaugeVec,
    total: CounterVec,
    duration: HistogramVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Metrics {
            queries: registry.gauge_vec(
                "prometheus_remote_read_client_queries",
                "The number of in-flight remote read queries.",
                &["remote_name", "url"],
            ),
            total: registry.counter_vec(
                "prometheus_remote_read_client_queries_total",
                "The total number of remote read queries.",
                &["remote_name", "url", "response_type", "code"],
            ),
            duration: registry.histogram_vec(
                "prometheus_remote_read_client_request_duration_seconds",
                "Histogram of the latency for remote read requests. Note that for streamed responses this is only the duration of the initial call and does not include the processing of the stream.",
                &["remote_name", "url", "response_type"],
                &DURATIONS,
            ),
        }
    }

    pub(super) fn of(&self, name: &str, url: &str) -> EndpointMetrics {
        EndpointMetrics {
            queries: self.queries.with(&[name, url]),
            total: self.total.clone(),
            duration: self.duration.clone(),
            name: name.to_owned(),
            url: url.to_owned(),
        }
    }

    /// Forgets servers that are none any more.
    pub(super) fn keep(&self, keeps: impl Fn(&str, &str) -> bool) {
        let keeps = |values: &[Box<str>]| matches!(values, [name, url, ..] if keeps(name, url));
        self.queries.retain(keeps);
        self.total.retain(keeps);
        self.duration.retain(keeps);
    }
}

/// Of one server.
pub(super) struct EndpointMetrics {
    pub(super) queries: Gauge,
    total: CounterVec,
    duration: HistogramVec,
    name: String,
    url: String,
}

impl EndpointMetrics {
    pub(super) fn total(&self, kind: &str, code: &str) -> Counter {
        self.total.with(&[&self.name, &self.url, kind, code])
    }

    pub(super) fn duration(&self, kind: &str) -> Histogram {
        self.duration.with(&[&self.name, &self.url, kind])
    }
}
