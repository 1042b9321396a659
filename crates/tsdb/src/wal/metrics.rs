//! The metrics of a log, under Prometheus' names.

use std::path::Path;

use exposition::{Counter, Gauge, Registry, Summary};

use super::segments;

/// Handles of the metrics of one log. There are two of them: samples out of order have a log of their own.
#[derive(Clone)]
pub(crate) struct LogMetrics {
    pub(crate) fsync: Summary,
    pub(crate) page_flushes: Counter,
    pub(crate) completed_pages: Counter,
    pub(crate) record_parts: Counter,
    pub(crate) bytes_written: Counter,
    pub(crate) bytes_saved: Counter,
    pub(crate) truncations: Counter,
    pub(crate) truncations_failed: Counter,
    pub(crate) writes_failed: Counter,
    pub(crate) segment_current: Gauge,
}

impl LogMetrics {
    /// Registers them under names that begin with `prefix`, for the log in `dir`.
    pub(crate) fn register(r: &Registry, prefix: &str, dir: &Path, compression: &str) -> Self {
        let dir = dir.to_path_buf();
        r.gauge_fn(&format!("{prefix}storage_size_bytes"), "Size of the write log directory.", move || {
            segments::total_size(&dir) as f64
        });
        let counter = |name: &str, help: &str| r.counter(&format!("{prefix}{name}"), help);
        let gauge = |name: &str, help: &str| r.gauge(&format!("{prefix}{name}"), help);
        let saved = r.counter_vec(
            &format!("{prefix}record_bytes_saved_total"),
            "Total number of bytes saved by the optional record compression. Use this metric to learn about the effectiveness compression.",
            &["compression"],
        );
        LogMetrics {
            fsync: r.summary(
                &format!("{prefix}fsync_duration_seconds"),
                "Duration of write log fsync.",
                &[0.5, 0.9, 0.99],
            ),
            page_flushes: counter("page_flushes_total", "Total number of page flushes."),
            completed_pages: counter("completed_pages_total", "Total number of completed pages."),
            record_parts: counter(
                "record_part_writes_total",
                "Total number of record parts written before flushing.",
            ),
            bytes_written: counter(
                "record_parts_bytes_written_total",
                "Total number of record part bytes written before flushing, including CRC and compression headers.",
            ),
            bytes_saved: saved.with(&[compression]),
            truncations: counter("truncations_total", "Total number of write log truncations attempted."),
            truncations_failed: counter(
                "truncations_failed_total",
                "Total number of write log truncations that failed.",
            ),
            writes_failed: counter("writes_failed_total", "Total number of write log writes that failed."),
            segment_current: gauge(
                "segment_current",
                "Write log segment index that TSDB is currently writing to.",
            ),
        }
    }
}
