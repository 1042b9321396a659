//! The server's own metrics, under Prometheus' names.

use std::time::Duration;

use exposition::registry::{Counter, CounterVec, Gauge, Histogram, HistogramVec, Registry, Summary};

/// Response sizes, in bytes.
const SIZE_BUCKETS: [f64; 8] = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Latencies, in seconds.
const TIME_BUCKETS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
/// Stages of queries, in seconds.
const QUERY_BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// How long a stage of queries took, as a summary and as a histogram.
pub(crate) struct Stage(Summary, Histogram);

impl Stage {
    pub(crate) fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
        self.1.observe(took.as_secs_f64());
    }
}

pub(crate) struct Metrics {
    pub(crate) requests: CounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) size: HistogramVec,
    pub(crate) queries: Gauge,
    pub(crate) queries_max: Gauge,
    /// How long each stage of a query took.
    pub(crate) queue_time: Stage,
    pub(crate) prepare_time: Stage,
    pub(crate) eval_time: Stage,
    pub(crate) sort_time: Stage,
    pub(crate) query_samples: Counter,
    pub(crate) query_samples_read: Counter,
    pub(crate) queries_refused: Counter,
    pub(crate) federation_errors: Counter,
    pub(crate) federation_warnings: Counter,
}

impl Metrics {
    /// `engine` is for those of queries: not shown where nothing is queried.
    pub(crate) fn register(registry: &Registry, engine: &Registry) -> Metrics {
        let query_time = engine.summary_vec(
            "prometheus_engine_query_duration_seconds",
            "Query timings",
            &["slice"],
            &QUANTILES,
        );
        let query_times = engine.histogram_vec(
            "prometheus_engine_query_duration_histogram_seconds",
            "The duration of various parts of PromQL query execution.",
            &["slice"],
            &QUERY_BUCKETS,
        );
        let stage = |slice| Stage(query_time.with(&[slice]), query_times.with(&[slice]));
        Metrics {
            federation_errors: registry.counter(
                "prometheus_web_federation_errors_total",
                "Total number of errors that occurred while sending federation responses.",
            ),
            federation_warnings: registry.counter(
                "prometheus_web_federation_warnings_total",
                "Total number of warnings that occurred while sending federation responses.",
            ),
            queries_refused: engine.counter(
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
            queries: engine.gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            queries_max: engine
                .gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries."),
            queue_time: stage("queue_time"),
            prepare_time: stage("prepare_time"),
            eval_time: stage("inner_eval"),
            sort_time: stage("result_sort"),
            query_samples: engine.counter(
                "prometheus_engine_query_samples_total",
                "The total number of samples loaded by all queries (full window per step for range-vector).",
            ),
            query_samples_read: engine.counter(
                "prometheus_engine_query_samples_read_total",
                "The total number of samples read by all queries (only new points per step for range-vector).",
            ),
        }
    }
}
