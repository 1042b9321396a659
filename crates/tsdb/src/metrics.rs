//! The head's own metrics, under Prometheus' names.

use std::path::Path;

use exposition::{Counter, CounterVec, Gauge, Registry, Summary};

use crate::wal::LogMetrics;

/// Handles of all metrics of the head and its log.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) series: Gauge,
    pub(crate) series_limit: Gauge,
    pub(crate) series_per_minute_limit: Gauge,
    series_refused: CounterVec,
    pub(crate) series_created: Counter,
    pub(crate) series_removed: Counter,
    pub(crate) series_not_found: Counter,
    pub(crate) stale_series: Gauge,
    pub(crate) histogram_series: Gauge,
    pub(crate) histogram_buckets: Gauge,
    pub(crate) newest_append: Gauge,
    pub(crate) oldest_append: Gauge,
    pub(crate) chunks: Gauge,
    pub(crate) chunks_created: Counter,
    pub(crate) chunks_removed: Counter,
    pub(crate) chunks_mapped: Counter,
    pub(crate) chunk_corruptions: Counter,
    pub(crate) samples_appended: ByType,
    pub(crate) out_of_order: ByType,
    pub(crate) out_of_bounds: ByType,
    pub(crate) too_old: ByType,
    pub(crate) exemplars_appended: Counter,
    pub(crate) exemplars_stored: Gauge,
    pub(crate) exemplar_series: Gauge,
    pub(crate) exemplars_oldest: Gauge,
    pub(crate) exemplars_out_of_order: Counter,
    pub(crate) max_exemplars: Gauge,
    pub(crate) appenders_created: Counter,
    pub(crate) active_appenders: Gauge,
    pub(crate) min_time: Gauge,
    pub(crate) min_time_seconds: Gauge,
    pub(crate) max_time: Gauge,
    pub(crate) max_time_seconds: Gauge,
    pub(crate) gc: Summary,
    pub(crate) truncations: Counter,
    pub(crate) truncations_failed: Counter,
    pub(crate) replay_seconds: Gauge,
    pub(crate) snapshot_errors: Counter,
    pub(crate) replay_unknown_records: Counter,
    pub(crate) replay_unknown_refs: CounterVec,
    pub(crate) clean_start: Gauge,
    pub(crate) memory: Gauge,
    pub(crate) wal: LogMetrics,
    pub(crate) wal_truncate: Summary,
    pub(crate) wal_corruptions: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) checkpoints_failed: Counter,
    pub(crate) checkpoint_deletions: Counter,
    pub(crate) checkpoint_deletions_failed: Counter,
}

/// A counter of floats and one of histograms.
#[derive(Clone)]
pub(crate) struct ByType {
    pub(crate) float: Counter,
    all: CounterVec,
}

impl ByType {
    fn register(r: &Registry, name: &str, help: &str) -> Self {
        let all = r.counter_vec(name, help, &["type"]);
        ByType { float: all.with(&["float"]), all }
    }

    /// Lets that of histograms be seen before it counts anything.
    fn shown(self) -> Self {
        self.histogram();
        self
    }

    /// Of floats and of histograms.
    pub(crate) fn counts(&self) -> [f64; 2] {
        [self.float.get(), self.histogram().get()]
    }

    pub(crate) fn histogram(&self) -> Counter {
        self.all.with(&["histogram"])
    }
}

impl Metrics {
    pub(crate) fn register(r: &Registry, wal_dir: &Path, compression: &str) -> Self {
        let of_type = |name: &str, help: &str| ByType::register(r, name, help);
        let series_refused = r.counter_vec(
            "binnacle_tsdb_head_series_refused_total",
            "Total number of times that a series was not created because of a limit.",
            &["reason"],
        );
        for reason in ["max_series", "max_series_per_minute", "memory", "labels"] {
            let _shown_as_zero = series_refused.with(&[reason]);
        }
        Metrics {
            series: r.gauge("prometheus_tsdb_head_series", "Total number of series in the head block."),
            series_limit: r.gauge(
                "binnacle_tsdb_head_series_limit",
                "Series that the head may hold; 0 means any number.",
            ),
            series_per_minute_limit: r.gauge(
                "binnacle_tsdb_head_series_per_minute_limit",
                "Series that may be created in a minute; 0 means any number.",
            ),
            series_refused,
            series_created: r
                .counter("prometheus_tsdb_head_series_created_total", "Total number of series created in the head"),
            series_removed: r
                .counter("prometheus_tsdb_head_series_removed_total", "Total number of series removed in the head"),
            series_not_found: r.counter(
                "prometheus_tsdb_head_series_not_found_total",
                "Total number of requests for series that were not found.",
            ),
            stale_series: r
                .gauge("prometheus_tsdb_head_stale_series", "Total number of stale series in the head block."),
            histogram_series: r.gauge(
                "prometheus_tsdb_head_native_histogram_series",
                "Number of series whose most recent in-order sample is a native histogram.",
            ),
            histogram_buckets: r.gauge(
                "prometheus_tsdb_head_native_histogram_buckets",
                "Number of positive and negative bucket entries in the most recent in-order native histogram sample of each series, including entries carried by staleness markers.",
            ),
            newest_append: r.gauge(
                "prometheus_tsdb_isolation_high_watermark",
                "The highest TSDB append ID that has been given out.",
            ),
            oldest_append: r.gauge(
                "prometheus_tsdb_isolation_low_watermark",
                "The lowest TSDB append ID that is still referenced.",
            ),
            chunks: r.gauge("prometheus_tsdb_head_chunks", "Total number of chunks in the head block."),
            chunks_created: r
                .counter("prometheus_tsdb_head_chunks_created_total", "Total number of chunks created in the head"),
            chunks_removed: r
                .counter("prometheus_tsdb_head_chunks_removed_total", "Total number of chunks removed in the head"),
            chunks_mapped: r
                .counter("prometheus_tsdb_mmap_chunks_total", "Total number of chunks that were memory-mapped."),
            chunk_corruptions: r.counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Total number of memory-mapped chunk corruptions.",
            ),
            samples_appended: of_type(
                "prometheus_tsdb_head_samples_appended_total",
                "Total number of appended samples.",
            )
            .shown(),
            exemplars_appended: r.counter(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Total number of appended exemplars.",
            ),
            exemplars_stored: r.gauge(
                "prometheus_tsdb_exemplar_exemplars_in_storage",
                "Number of exemplars currently in circular storage.",
            ),
            exemplar_series: r.gauge(
                "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
                "Number of series with exemplars currently in circular storage.",
            ),
            exemplars_oldest: r.gauge(
                "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
                "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what timerange the current exemplar buffer limit allows. This usually means the last timestampfor all exemplars for a typical setup. This is not true though if one of the series timestamp is in future compared to rest series.",
            ),
            exemplars_out_of_order: r.counter(
                "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
                "Total number of out of order exemplar ingestion failed attempts.",
            ),
            max_exemplars: r.gauge(
                "prometheus_tsdb_exemplar_max_exemplars",
                "Total number of exemplars the exemplar storage can store, resizeable.",
            ),
            out_of_order: of_type(
                "prometheus_tsdb_out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
            )
            .shown(),
            out_of_bounds: of_type(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            ),
            too_old: of_type(
                "prometheus_tsdb_too_old_samples_total",
                "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
            ),
            appenders_created: r.counter(
                "prometheus_tsdb_head_appenders_created_total",
                "Total number of appender transactions created.",
            ),
            active_appenders: r.gauge(
                "prometheus_tsdb_head_active_appenders",
                "Number of currently active appender transactions",
            ),
            min_time: r.gauge(
                "prometheus_tsdb_head_min_time",
                "Minimum time bound of the head block. The unit is decided by the library consumer.",
            ),
            min_time_seconds: r
                .gauge("prometheus_tsdb_head_min_time_seconds", "Minimum time bound of the head block."),
            max_time: r.gauge(
                "prometheus_tsdb_head_max_time",
                "Maximum timestamp of the head block. The unit is decided by the library consumer.",
            ),
            max_time_seconds: r
                .gauge("prometheus_tsdb_head_max_time_seconds", "Maximum timestamp of the head block."),
            gc: r.summary(
                "prometheus_tsdb_head_gc_duration_seconds",
                "Runtime of garbage collection in the head block.",
                &[],
            ),
            truncations: r
                .counter("prometheus_tsdb_head_truncations_total", "Total number of head truncations attempted."),
            truncations_failed: r.counter(
                "prometheus_tsdb_head_truncations_failed_total",
                "Total number of head truncations that failed.",
            ),
            snapshot_errors: r.counter(
                "prometheus_tsdb_snapshot_replay_error_total",
                "Total number snapshot replays that failed.",
            ),
            replay_seconds: r.gauge(
                "prometheus_tsdb_data_replay_duration_seconds",
                "Time taken to replay the data on disk.",
            ),
            replay_unknown_records: r.counter(
                "binnacle_tsdb_replay_skipped_records_total",
                "Total number of log records of kinds that are not read.",
            ),
            replay_unknown_refs: r.counter_vec(
                "prometheus_tsdb_wal_replay_unknown_refs_total",
                "Total number of unknown series references encountered during WAL replay.",
                &["type"],
            ),
            clean_start: r.gauge(
                "prometheus_tsdb_clean_start",
                "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
            ),
            memory: r.gauge(
                "binnacle_tsdb_head_memory_bytes",
                "Memory held by the series, chunks and index of the head, as of the last maintenance.",
            ),
            wal: LogMetrics::register(r, "prometheus_tsdb_wal_", wal_dir, compression),
            wal_truncate: r.summary(
                "prometheus_tsdb_wal_truncate_duration_seconds",
                "Duration of WAL truncation.",
                &[],
            ),
            wal_corruptions: r
                .counter("prometheus_tsdb_wal_corruptions_total", "Total number of WAL corruptions."),
            checkpoints: r.counter(
                "prometheus_tsdb_checkpoint_creations_total",
                "Total number of checkpoint creations attempted.",
            ),
            checkpoints_failed: r.counter(
                "prometheus_tsdb_checkpoint_creations_failed_total",
                "Total number of checkpoint creations that failed.",
            ),
            checkpoint_deletions: r.counter(
                "prometheus_tsdb_checkpoint_deletions_total",
                "Total number of checkpoint deletions attempted.",
            ),
            checkpoint_deletions_failed: r.counter(
                "prometheus_tsdb_checkpoint_deletions_failed_total",
                "Total number of checkpoint deletions that failed.",
            ),
        }
    }

    /// Counts a series that was not created.
    pub(crate) fn refuse_series(&self, reason: &str) {
        self.series_refused.with(&[reason]).inc();
    }
}
