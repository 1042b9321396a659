//! `prometheus_target_*`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use exposition::registry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};

const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];
const LENGTH_BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
const DURATION_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Metrics of scraping.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) pools: Counter,
    pub(crate) pools_failed: Counter,
    pub(crate) reloads: Counter,
    pub(crate) reloads_failed: Counter,
    pub(crate) exceeded_target_limit: Counter,
    pub(crate) exceeded_label_limits: Counter,
    pub(crate) exceeded_body_size: Counter,
    pub(crate) exceeded_samples: Counter,
    pub(crate) exceeded_buckets: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) scrape_duration: Histogram,
    pub(crate) lines_unchanged: Counter,
    pub(crate) lines_parsed: Counter,
    pub(crate) series_refused: Counter,
    reload_length: SummaryVec,
    interval_length: SummaryVec,
    interval_length_histogram: HistogramVec,
    target_limit: GaugeVec,
    targets: GaugeVec,
    syncs: CounterVec,
    sync_length: SummaryVec,
    sync_length_histogram: HistogramVec,
    sync_failed: CounterVec,
    symbols: GaugeVec,
    running: Arc<AtomicU64>,
}

/// Metrics of one pool.
#[derive(Clone)]
pub(crate) struct PoolMetrics {
    pub(crate) target_limit: Gauge,
    pub(crate) targets: Gauge,
    pub(crate) syncs: Counter,
    pub(crate) sync_length: Summary,
    pub(crate) sync_length_histogram: Histogram,
    /// Lines of pages that are remembered. (Prometheus counts the strings in the table that its caches share; this is
    /// what stands here in place of these caches.)
    pub(crate) symbols: Gauge,
    sync_failed: CounterVec,
    job: String,
}

/// How long the time between two scrapes really was.
#[derive(Clone)]
pub(crate) struct IntervalMetrics {
    pub(crate) length: Summary,
    pub(crate) histogram: Histogram,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let running = Arc::new(AtomicU64::new(0));
        let shown = running.clone();
        registry.gauge_fn(
            "binnacle_scrapes_running",
            "Scrapes whose page is being fetched or taken in.",
            move || shown.load(Ordering::Relaxed) as f64,
        );
        // Stays at zero, since no cache grows; dashboards and alerts read it.
        registry.counter(
            "prometheus_target_scrapes_cache_flush_forced_total",
            "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
        );
        Metrics {
            pools: registry.counter(
                "prometheus_target_scrape_pools_total",
                "Total number of scrape pool creation attempts.",
            ),
            pools_failed: registry.counter(
                "prometheus_target_scrape_pools_failed_total",
                "Total number of scrape pool creations that failed.",
            ),
            reloads: registry.counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Total number of scrape pool reloads.",
            ),
            reloads_failed: registry.counter(
                "prometheus_target_scrape_pool_reloads_failed_total",
                "Total number of failed scrape pool reloads.",
            ),
            exceeded_target_limit: registry.counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            exceeded_label_limits: registry.counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            exceeded_body_size: registry.counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit",
            ),
            exceeded_samples: registry.counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            exceeded_buckets: registry.counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            ),
            exemplars_out_of_order: registry.counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Total number of exemplar rejected due to not being out of the expected order.",
            ),
            duplicates: registry.counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_order: registry.counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            out_of_bounds: registry.counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            scrape_duration: registry.histogram(
                "prometheus_target_scrape_duration_seconds",
                "Total duration of the scrape from start to commit completion in seconds.",
                &DURATION_BUCKETS,
            ),
            lines_unchanged: registry.counter(
                "binnacle_scrape_lines_unchanged_total",
                "Lines whose series was known from the target's last page without parsing its labels.",
            ),
            lines_parsed: registry
                .counter("binnacle_scrape_lines_parsed_total", "Lines whose labels had to be parsed."),
            series_refused: registry.counter(
                "binnacle_scrape_series_refused_total",
                "Series of scraped pages that the store refused to create.",
            ),
            reload_length: registry.summary_vec(
                "prometheus_target_reload_length_seconds",
                "Actual interval to reload the scrape pool with a given configuration.",
                &["interval"],
                &QUANTILES,
            ),
            interval_length: registry.summary_vec(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                &["interval"],
                &QUANTILES,
            ),
            interval_length_histogram: registry.histogram_vec(
                "prometheus_target_interval_length_histogram_seconds",
                "Actual intervals between scrapes.",
                &["interval"],
                &LENGTH_BUCKETS,
            ),
            target_limit: registry.gauge_vec(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
                &["scrape_job"],
            ),
            targets: registry.gauge_vec(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
                &["scrape_job"],
            ),
            syncs: registry.counter_vec(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
                &["scrape_job"],
            ),
            sync_length: registry.summary_vec(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                &["scrape_job"],
                &QUANTILES,
            ),
            sync_length_histogram: registry.histogram_vec(
                "prometheus_target_sync_length_histogram_seconds",
                "Actual interval to sync the scrape pool.",
                &["scrape_job"],
                &LENGTH_BUCKETS,
            ),
            sync_failed: registry.counter_vec(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
                &["scrape_job"],
            ),
            symbols: registry.gauge_vec(
                "prometheus_target_scrape_pool_symboltable_items",
                "Current number of symbols in table for this scrape pool.",
                &["scrape_job"],
            ),
            running,
        }
    }

    pub(crate) fn pool(&self, job: &str) -> PoolMetrics {
        PoolMetrics {
            target_limit: self.target_limit.with(&[job]),
            targets: self.targets.with(&[job]),
            syncs: self.syncs.with(&[job]),
            sync_length: self.sync_length.with(&[job]),
            sync_length_histogram: self.sync_length_histogram.with(&[job]),
            symbols: self.symbols.with(&[job]),
            sync_failed: self.sync_failed.clone(),
            job: job.to_owned(),
        }
    }

    pub(crate) fn forget_pool(&self, job: &str) {
        self.target_limit.remove(&[job]);
        self.targets.remove(&[job]);
        self.syncs.remove(&[job]);
        self.sync_length.remove(&[job]);
        self.sync_length_histogram.remove(&[job]);
        self.sync_failed.remove(&[job]);
        self.symbols.remove(&[job]);
    }

    /// `interval` as Go prints durations (`15s`, `1m0s`).
    pub(crate) fn interval(&self, interval: &str) -> IntervalMetrics {
        IntervalMetrics {
            length: self.interval_length.with(&[interval]),
            histogram: self.interval_length_histogram.with(&[interval]),
        }
    }

    pub(crate) fn reload_length(&self, interval: &str) -> Summary {
        self.reload_length.with(&[interval])
    }

    /// Counts a scrape as running until the answer is dropped.
    pub(crate) fn scrape_begins(&self) -> RunningScrape {
        self.running.fetch_add(1, Ordering::Relaxed);
        RunningScrape(self.running.clone())
    }
}

impl PoolMetrics {
    /// Shown from the first target on that was discovered.
    pub(crate) fn sync_failed(&self) -> Counter {
        self.sync_failed.with(&[&self.job])
    }
}

/// A share of a gauge's value, taken back when it is dropped.
#[derive(Default)]
pub(crate) struct GaugeShare {
    gauge: Option<Gauge>,
    share: usize,
}

impl GaugeShare {
    pub(crate) fn set(&mut self, gauge: &Gauge, share: usize) {
        if self.share != share {
            *self = GaugeShare::default();
            gauge.add(share as f64);
            *self = GaugeShare { gauge: Some(gauge.clone()), share };
        }
    }
}

impl Drop for GaugeShare {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.sub(self.share as f64);
        }
    }
}

/// See [`Metrics::scrape_begins`].
pub(crate) struct RunningScrape(Arc<AtomicU64>);

impl Drop for RunningScrape {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
