//! Metrics about samples out of order, under Prometheus' names.

use exposition::{Counter, CounterVec, Histogram, Registry};

/// Handles of them all. The log has its own.
pub(super) struct Metrics {
    pub(super) floats: Counter,
    pub(super) histograms: Counter,
    pub(super) delta: Histogram,
    pub(super) replay_unknown: CounterVec,
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;

impl Metrics {
    pub(super) fn register(r: &Registry) -> Self {
        let appended = r.counter_vec(
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "Total number of appended out of order samples.",
            &["type"],
        );
        Metrics {
            floats: appended.with(&["float"]),
            histograms: appended.with(&["histogram"]),
            delta: r.histogram(
                "prometheus_tsdb_sample_ooo_delta",
                "Delta in seconds by which a sample is considered out of order (reported regardless of OOO time window and whether sample is accepted or not).",
                &[10.0 * MINUTE, 30.0 * MINUTE, HOUR, 2.0 * HOUR, 3.0 * HOUR, 6.0 * HOUR, 12.0 * HOUR],
            ),
            replay_unknown: r.counter_vec(
                "prometheus_tsdb_wbl_replay_unknown_refs_total",
                "Total number of unknown series references encountered during WBL replay.",
                &["type"],
            ),
        }
    }
}
