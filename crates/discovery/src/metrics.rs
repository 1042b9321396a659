//! `prometheus_sd_*`.

use std::collections::BTreeMap;
use std::sync::Arc;

use exposition::registry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};
use exposition::{Family, Metric, MetricKind, MetricValue};
use model::Labels;
use parking_lot::Mutex;

use crate::cloud::{AzureMetrics, LinodeMetrics};

/// Buckets of the duration histogram: Prometheus'.
const REFRESH_BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Metrics of all providers of a process.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) http_failures: Counter,
    pub(crate) file_read_errors: Counter,
    pub(crate) file_watcher_errors: Counter,
    pub(crate) file_scan: Summary,
    refresh_failures: CounterVec,
    refresh_duration: SummaryVec,
    refresh_duration_histogram: HistogramVec,
    pub(crate) file_mtimes: Arc<Mutex<BTreeMap<String, f64>>>,
    failed_configs: GaugeVec,
    discovered: GaugeVec,
    received: CounterVec,
    delayed: CounterVec,
    sent: CounterVec,
    last_update: GaugeVec,
    pub(crate) consul: crate::consul::Metrics,
    pub(crate) dns: crate::dns::Metrics,
    pub(crate) kuma: crate::kuma::Metrics,
    pub(crate) nomad: crate::nomad::Metrics,
    pub(crate) zookeeper: crate::zookeeper::Metrics,
    pub(crate) azure: AzureMetrics,
    pub(crate) linode: LinodeMetrics,
    pub(crate) kubernetes: crate::kubernetes::Metrics,
}

/// Metrics of one manager (`name="scrape"`).
#[derive(Clone)]
pub(crate) struct ManagerMetrics {
    pub(crate) failed_configs: Gauge,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    last_update: GaugeVec,
    discovered: GaugeVec,
    name: String,
}

/// Metrics of a provider that asks again and again.
pub(crate) struct RefreshMetrics {
    pub(crate) failures: Counter,
    pub(crate) duration: Summary,
    pub(crate) duration_histogram: Histogram,
}

impl Metrics {
    /// Registers them. Once for each registry.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let file_mtimes: Arc<Mutex<BTreeMap<String, f64>>> = Arc::default();
        let mtimes = file_mtimes.clone();
        registry.collector(move |out: &mut Vec<Family>| {
            let mtimes = mtimes.lock();
            if mtimes.is_empty() {
                return;
            }
            out.push(Family {
                name: "prometheus_sd_file_mtime_seconds".to_owned(),
                help: "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.".to_owned(),
                kind: MetricKind::Gauge,
                metrics: mtimes
                    .iter()
                    .map(|(file, seconds)| Metric {
                        labels: Labels::from_pairs([("filename", file.as_str())]),
                        value: MetricValue::Float(*seconds),
                        timestamp: None,
                    })
                    .collect(),
            });
        });
        Metrics {
            http_failures: registry.counter(
                "prometheus_sd_http_failures_total",
                "Number of HTTP service discovery refresh failures.",
            ),
            file_read_errors: registry
                .counter("prometheus_sd_file_read_errors_total", "The number of File-SD read errors."),
            file_watcher_errors: registry.counter(
                "prometheus_sd_file_watcher_errors_total",
                "The number of File-SD errors caused by filesystem watch failures.",
            ),
            file_scan: registry.summary(
                "prometheus_sd_file_scan_duration_seconds",
                "The duration of the File-SD scan in seconds.",
                &QUANTILES,
            ),
            refresh_failures: registry.counter_vec(
                "prometheus_sd_refresh_failures_total",
                "Number of refresh failures for the given SD mechanism.",
                &["mechanism", "config"],
            ),
            refresh_duration: registry.summary_vec(
                "prometheus_sd_refresh_duration_seconds",
                "The duration of a refresh in seconds for the given SD mechanism.",
                &["mechanism", "config"],
                &QUANTILES,
            ),
            refresh_duration_histogram: registry.histogram_vec(
                "prometheus_sd_refresh_duration_histogram_seconds",
                "The duration of a refresh for the given SD mechanism.",
                &["mechanism"],
                &REFRESH_BUCKETS,
            ),
            file_mtimes,
            failed_configs: registry.gauge_vec(
                "prometheus_sd_failed_configs",
                "Current number of service discovery configurations that failed to load.",
                &["name"],
            ),
            discovered: registry.gauge_vec(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            ),
            received: registry.counter_vec(
                "prometheus_sd_received_updates_total",
                "Total number of update events received from the SD providers.",
                &["name"],
            ),
            delayed: registry.counter_vec(
                "prometheus_sd_updates_delayed_total",
                "Total number of update events that couldn't be sent immediately.",
                &["name"],
            ),
            sent: registry.counter_vec(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
                &["name"],
            ),
            last_update: registry.gauge_vec(
                "prometheus_sd_last_update_timestamp_seconds",
                "Timestamp of the last update sent to the SD consumers.",
                &["name", "config"],
            ),
            consul: crate::consul::Metrics::register(registry),
            dns: crate::dns::Metrics::register(registry),
            kuma: crate::kuma::Metrics::register(registry),
            nomad: crate::nomad::Metrics::register(registry),
            zookeeper: crate::zookeeper::Metrics::register(registry),
            azure: AzureMetrics::register(registry),
            linode: LinodeMetrics::register(registry),
            kubernetes: crate::kubernetes::Metrics::register(registry),
        }
    }

    pub(crate) fn manager(&self, name: &str) -> ManagerMetrics {
        // A watch channel always takes the newest state, so this counter stays at zero; dashboards read it.
        let _ = self.delayed.with(&[name]);
        ManagerMetrics {
            failed_configs: self.failed_configs.with(&[name]),
            received: self.received.with(&[name]),
            sent: self.sent.with(&[name]),
            last_update: self.last_update.clone(),
            discovered: self.discovered.clone(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn refresh(&self, mechanism: &str, config: &str) -> RefreshMetrics {
        RefreshMetrics {
            failures: self.refresh_failures.with(&[mechanism, config]),
            duration: self.refresh_duration.with(&[mechanism, config]),
            duration_histogram: self.refresh_duration_histogram.with(&[mechanism]),
        }
    }

    pub(crate) fn forget_refresh(&self, mechanism: &str, config: &str) {
        self.refresh_failures.remove(&[mechanism, config]);
        self.refresh_duration.remove(&[mechanism, config]);
    }
}

impl ManagerMetrics {
    pub(crate) fn discovered(&self, job: &str) -> Gauge {
        self.discovered.with(&[&self.name, job])
    }

    pub(crate) fn last_update(&self, job: &str) -> Gauge {
        self.last_update.with(&[&self.name, job])
    }

    pub(crate) fn forget(&self, job: &str) {
        self.discovered.remove(&[&self.name, job]);
        self.last_update.remove(&[&self.name, job]);
    }
}
