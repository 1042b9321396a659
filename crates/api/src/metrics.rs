//! The server's own metrics, under Prometheus' names.

use exposition::registry::{Counter, CounterVec, Gauge, HistogramVec, Registry, Summary};

/// Response sizes, in bytes.
const SIZE_BUCKETS: [f64; 8] = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Latencies, in seconds.
const TIME_BUCKETS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

pub(crate) struct Metrics {
    pub(crate) requests: CounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) size: HistogramVec,
    pub(crate) connections: Gauge,
    pub(crate) queries: Gauge,
    pub(crate) queries_max: Gauge,
    pub(crate) query_queue_time: Summary,
    pub(crate) query_eval_time: Summary,
    pub(crate) queries_refused: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Metrics {
        let query_time = registry.summary_vec(
            "prometheus_engine_query_duration_seconds",
            "Query timings",
            &["slice"],
            &QUANTILES,
        );
        Metrics {
            queries_refused: registry.counter(
                "binnacle_queries_refused_total",
                "Total number of queries that were not started because the memory limit was nearly reached.",
            ),
            requests: registry.counter_vec(
                "prometheus_http_requests_total",
                "Counter of HTTP requests.",
                &["handler", "code"],
            ),
            duration: registry.histogram_vec(
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                &["handler"],
                &TIME_BUCKETS,
            ),
            size: registry.histogram_vec(
                "prometheus_http_response_size_bytes",
                "Histogram of response size for HTTP requests.",
                &["handler"],
                &SIZE_BUCKETS,
            ),
            connections: registry
                .gauge("binnacle_http_connections", "Connections that are open, of --web.max-connections."),
            queries: registry.gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            queries_max: registry
                .gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries."),
            query_queue_time: query_time.with(&["queue_time"]),
            query_eval_time: query_time.with(&["inner_eval"]),
        }
    }
}
