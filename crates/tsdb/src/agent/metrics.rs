//! The agent's own metrics, under Prometheus' names.

use std::path::Path;

use exposition::{Counter, Gauge, Registry, Summary};

use crate::wal::LogMetrics;

/// Handles of the metrics of the store and its log.
pub(super) struct Metrics {
    pub(super) active_series: Gauge,
    pub(super) deleted_series: Gauge,
    pub(super) floats: Counter,
    pub(super) histograms: Counter,
    pub(super) exemplars: Counter,
    pub(super) out_of_order: Counter,
    pub(super) truncate: Summary,
    pub(super) corruptions: Counter,
    pub(super) replay_seconds: Gauge,
    pub(super) checkpoint_deletions_failed: Counter,
    pub(super) checkpoint_deletions: Counter,
    pub(super) checkpoints_failed: Counter,
    pub(super) checkpoints: Counter,
    pub(super) clean_start: Gauge,
    pub(super) wal: LogMetrics,
}

impl Metrics {
    pub(super) fn register(r: &Registry, wal_dir: &Path, compression: &str) -> Self {
        let counter = |name: &str, help: &str| r.counter(&format!("prometheus_agent_{name}"), help);
        let gauge = |name: &str, help: &str| r.gauge(&format!("prometheus_agent_{name}"), help);
        let samples = r.counter_vec(
            "prometheus_agent_samples_appended_total",
            "Total number of samples appended to the storage",
            &["type"],
        );
        Metrics {
            active_series: gauge("active_series", "Number of active series being tracked by the WAL storage"),
            deleted_series: gauge("deleted_series", "Number of series pending deletion from the WAL"),
            floats: samples.with(&["float"]),
            histograms: samples.with(&["histogram"]),
            exemplars: counter(
                "exemplars_appended_total",
                "Total number of exemplars appended to the storage",
            ),
            out_of_order: counter(
                "out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts.",
            ),
            truncate: r.summary(
                "prometheus_agent_truncate_duration_seconds",
                "Duration of WAL truncation.",
                &[],
            ),
            corruptions: counter("corruptions_total", "Total number of WAL corruptions."),
            replay_seconds: gauge("data_replay_duration_seconds", "Time taken to replay the data on disk."),
            checkpoint_deletions_failed: counter(
                "checkpoint_deletions_failed_total",
                "Total number of checkpoint deletions that failed.",
            ),
            checkpoint_deletions: counter(
                "checkpoint_deletions_total",
                "Total number of checkpoint deletions attempted.",
            ),
            checkpoints_failed: counter(
                "checkpoint_creations_failed_total",
                "Total number of checkpoint creations that failed.",
            ),
            checkpoints: counter(
                "checkpoint_creations_total",
                "Total number of checkpoint creations attempted.",
            ),
            clean_start: gauge(
                "clean_start",
                "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
            ),
            wal: LogMetrics::register(r, "prometheus_tsdb_wal_", wal_dir, compression),
        }
    }
}
