//! Metrics, under Prometheus' names.

use std::collections::HashMap;
use std::sync::Arc;

use exposition::registry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};
use parking_lot::Mutex;

const LABELS: [&str; 1] = ["alertmanager"];

/// Those of all Alertmanagers.
#[derive(Clone)]
pub(crate) struct Metrics {
    latency: SummaryVec,
    latency_histogram: HistogramVec,
    errors: CounterVec,
    sent: CounterVec,
    dropped: CounterVec,
    queue_length: GaugeVec,
    /// How many send to each: for a moment the one that ends and the one that follows it.
    users: Arc<Mutex<HashMap<String, usize>>>,
}

/// Those of one.
#[derive(Clone)]
pub(crate) struct Of {
    pub(crate) latency: Latency,
    pub(crate) errors: Counter,
    pub(crate) sent: Counter,
    pub(crate) dropped: Counter,
    pub(crate) queue_length: Gauge,
}

/// How long requests took. Not shown until one was answered.
#[derive(Clone)]
pub(crate) struct Latency {
    url: String,
    summary: SummaryVec,
    histogram: HistogramVec,
}

impl Latency {
    pub(crate) fn observe(&self, seconds: f64) {
        let (summary, histogram): (Summary, Histogram) =
            (self.summary.with(&[&self.url]), self.histogram.with(&[&self.url]));
        summary.observe(seconds);
        histogram.observe(seconds);
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, queue_capacity: usize) -> Self {
        let capacity = registry.gauge(
            "prometheus_notifications_queue_capacity",
            "The capacity of the alert notifications queue.",
        );
        capacity.set(queue_capacity as f64);
        Metrics {
            latency: registry.summary_vec(
                "prometheus_notifications_latency_seconds",
                "Latency quantiles for sending alert notifications.",
                &LABELS,
                &[0.5, 0.9, 0.99],
            ),
            latency_histogram: registry.histogram_vec(
                "prometheus_notifications_latency_histogram_seconds",
                "Latency histogram for sending alert notifications.",
                &LABELS,
                &[0.01, 0.1, 1.0, 10.0],
            ),
            errors: registry.counter_vec(
                "prometheus_notifications_errors_total",
                "Total number of sent alerts affected by errors.",
                &LABELS,
            ),
            sent: registry.counter_vec(
                "prometheus_notifications_sent_total",
                "Total number of alerts sent.",
                &LABELS,
            ),
            dropped: registry.counter_vec(
                "prometheus_notifications_dropped_total",
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
                &LABELS,
            ),
            queue_length: registry.gauge_vec(
                "prometheus_notifications_queue_length",
                "The number of alert notifications in the queue.",
                &LABELS,
            ),
            users: Arc::default(),
        }
    }

    /// Those of the Alertmanager at `url`, until as many have said [`forget`](Self::forget) as have asked.
    pub(crate) fn of(&self, url: &str) -> Of {
        *self.users.lock().entry(url.to_owned()).or_default() += 1;
        let url_label = [url];
        Of {
            latency: Latency {
                url: url.to_owned(),
                summary: self.latency.clone(),
                histogram: self.latency_histogram.clone(),
            },
            errors: self.errors.with(&url_label),
            sent: self.sent.with(&url_label),
            dropped: self.dropped.with(&url_label),
            queue_length: self.queue_length.with(&url_label),
        }
    }

    /// An Alertmanager is gone.
    pub(crate) fn forget(&self, url: &str) {
        let mut users = self.users.lock();
        if let Some(count) = users.get_mut(url).filter(|count| **count > 1) {
            *count -= 1;
            return;
        }
        users.remove(url);
        let labels = [url];
        self.latency.remove(&labels);
        self.latency_histogram.remove(&labels);
        for counters in [&self.errors, &self.sent, &self.dropped] {
            counters.remove(&labels);
        }
        self.queue_length.remove(&labels);
    }
}
