//! Metrics about cutting, compacting and keeping, under Prometheus' names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use block::Blocks;
use exposition::{Counter, Gauge, Histogram, Registry};

use crate::Head;

/// Handles of them all.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) triggered: Counter,
    pub(crate) failed: Counter,
    pub(crate) run: Counter,
    pub(crate) vertical: Counter,
    pub(crate) duration: Histogram,
    pub(crate) populating: Gauge,
    pub(crate) chunk_size: Histogram,
    pub(crate) chunk_samples: Histogram,
    pub(crate) chunk_range: Histogram,
    pub(crate) time_retentions: Counter,
    pub(crate) size_retentions: Counter,
    pub(crate) rule_retentions: Counter,
    pub(crate) retention_seconds: Gauge,
    pub(crate) retention_bytes: Gauge,
    pub(crate) retention_percentage: Gauge,
    pub(crate) tombstone_cleanup: Histogram,
    pub(crate) stale_triggered: Counter,
    pub(crate) stale_failed: Counter,
    pub(crate) stale_duration: Histogram,
    pub(crate) disk_full: Arc<DiskFull>,
}

/// `count` bounds from `start`, each `factor` times the one before.
fn exponential(start: f64, factor: f64, count: i32) -> Vec<f64> {
    (0..count).map(|i| start * factor.powi(i)).collect()
}

impl Metrics {
    pub(crate) fn register(r: &Registry, head: &Arc<Head>, blocks: &Arc<Blocks>) -> Self {
        let lowest = {
            let (head, blocks) = (Arc::downgrade(head), Arc::downgrade(blocks));
            move || {
                let first = blocks.upgrade().and_then(|b| b.current().first().map(|b| b.meta().min_time));
                first.or_else(|| head.upgrade().map(|head| head.time_bounds().0)).unwrap_or_default()
            }
        };
        let seconds = lowest.clone();
        r.gauge_fn(
            "prometheus_tsdb_lowest_timestamp",
            "Lowest timestamp value stored in the database. The unit is decided by the library consumer.",
            move || lowest() as f64,
        );
        r.gauge_fn(
            "prometheus_tsdb_lowest_timestamp_seconds",
            "Lowest timestamp value stored in the database.",
            move || (seconds() / 1000) as f64,
        );
        let head = Arc::downgrade(head);
        r.gauge_fn(
            "prometheus_tsdb_head_chunks_storage_size_bytes",
            "Size of the chunks_head directory.",
            move || head.upgrade().map_or(0.0, |head| head.chunks_size() as f64),
        );
        let seconds = exponential(1.0, 2.0, 14);
        // Never counted: compactions are never switched off, and only what is stale is compacted by series.
        let _shown_as_zero = (
            r.counter(
                "prometheus_tsdb_compactions_skipped_total",
                "Total number of skipped compactions due to disabled auto compaction.",
            ),
            r.counter(
                "prometheus_tsdb_selected_series_compactions_triggered_total",
                "Total number of compactions triggered for an explicit caller-provided list of series references.",
            ),
            r.counter(
                "prometheus_tsdb_selected_series_compactions_failed_total",
                "Total number of compactions triggered for an explicit caller-provided list of series references that failed.",
            ),
            r.histogram(
                "prometheus_tsdb_selected_series_compaction_duration_seconds",
                "Duration of compactions triggered for an explicit caller-provided list of series references.",
                &seconds,
            ),
        );
        Metrics {
            triggered: r.counter(
                "prometheus_tsdb_compactions_triggered_total",
                "Total number of triggered compactions for the partition.",
            ),
            failed: r.counter(
                "prometheus_tsdb_compactions_failed_total",
                "Total number of compactions that failed for the partition.",
            ),
            run: r.counter(
                "prometheus_tsdb_compactions_total",
                "Total number of compactions that were executed for the partition.",
            ),
            vertical: r.counter(
                "prometheus_tsdb_vertical_compactions_total",
                "Total number of compactions done on overlapping blocks.",
            ),
            duration: r.histogram(
                "prometheus_tsdb_compaction_duration_seconds",
                "Duration of compaction runs",
                &seconds,
            ),
            populating: r.gauge(
                "prometheus_tsdb_compaction_populating_block",
                "Set to 1 when a block is currently being written to the disk.",
            ),
            chunk_size: r.histogram(
                "prometheus_tsdb_compaction_chunk_size_bytes",
                "Final size of chunks on their first compaction",
                &exponential(32.0, 1.5, 12),
            ),
            chunk_samples: r.histogram(
                "prometheus_tsdb_compaction_chunk_samples",
                "Final number of samples on their first compaction",
                &exponential(4.0, 1.5, 12),
            ),
            chunk_range: r.histogram(
                "prometheus_tsdb_compaction_chunk_range_seconds",
                "Final time range of chunks on their first compaction",
                &exponential(100.0, 4.0, 10),
            ),
            time_retentions: r.counter(
                "prometheus_tsdb_time_retentions_total",
                "The number of times that blocks were deleted because the maximum time limit was exceeded.",
            ),
            size_retentions: r.counter(
                "prometheus_tsdb_size_retentions_total",
                "The number of times that blocks were deleted because the maximum number of bytes was exceeded.",
            ),
            rule_retentions: r.counter(
                "binnacle_tsdb_rule_retentions_total",
                "Total number of times that series were deleted from a block because of a retention rule.",
            ),
            retention_seconds: r
                .gauge("prometheus_tsdb_retention_limit_seconds", "How long to retain samples in storage."),
            retention_bytes: r.gauge(
                "prometheus_tsdb_retention_limit_bytes",
                "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
            ),
            retention_percentage: r.gauge(
                "prometheus_tsdb_retention_limit_percentage",
                "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled",
            ),
            tombstone_cleanup: r.histogram(
                "prometheus_tsdb_tombstone_cleanup_seconds",
                "The time taken to recompact blocks to remove tombstones.",
                &[],
            ),
            stale_triggered: r.counter(
                "prometheus_tsdb_stale_series_compactions_triggered_total",
                "Total number of triggered stale series compactions.",
            ),
            stale_failed: r.counter(
                "prometheus_tsdb_stale_series_compactions_failed_total",
                "Total number of stale series compactions that failed.",
            ),
            stale_duration: r.histogram(
                "prometheus_tsdb_stale_series_compaction_duration_seconds",
                "Duration of stale series compaction runs.",
                &seconds,
            ),
            disk_full: Arc::new(DiskFull::new(r.gauge(
                "binnacle_tsdb_disk_full",
                "1 while samples, blocks or checkpoints cannot be written because the disk is full, else 0.",
            ))),
        }
    }
}

/// Whether the disk is full, as those say who write to it.
pub(crate) struct DiskFull {
    gauge: Gauge,
    for_samples: AtomicBool,
    for_blocks: AtomicBool,
}

impl DiskFull {
    fn new(gauge: Gauge) -> Self {
        DiskFull { gauge, for_samples: AtomicBool::new(false), for_blocks: AtomicBool::new(false) }
    }

    /// Samples could be written to the log, or not for want of room.
    pub(crate) fn for_samples(&self, full: bool) {
        self.note(&self.for_samples, full);
    }

    /// Blocks and checkpoints could be written, or not for want of room.
    pub(crate) fn for_blocks(&self, full: bool) {
        self.note(&self.for_blocks, full);
    }

    fn note(&self, of: &AtomicBool, full: bool) {
        if of.load(Ordering::Relaxed) == full {
            return;
        }
        of.store(full, Ordering::Relaxed);
        let any = self.for_samples.load(Ordering::Relaxed) || self.for_blocks.load(Ordering::Relaxed);
        self.gauge.set(f64::from(u8::from(any)));
    }
}
