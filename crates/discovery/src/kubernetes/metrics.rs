//! `prometheus_sd_kubernetes_*`.

use std::time::Duration;

use exposition::registry::{CounterVec, GaugeVec, Registry, SummaryVec};
use kubeapi::{EventCounters, RequestMetrics};

use super::options::KubernetesRole;

/// Metrics of all Kubernetes discovery of a process.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(super) requests: RequestMetrics,
    events: CounterVec,
    depth: GaugeVec,
    items: CounterVec,
    latency: SummaryVec,
    work: SummaryVec,
    unfinished: GaugeVec,
    longest: GaugeVec,
}

/// Metrics of the objects that a role has to look at again.
pub(super) struct QueueMetrics {
    depth: exposition::registry::Gauge,
    items: exposition::registry::Counter,
    latency: exposition::registry::Summary,
    work: exposition::registry::Summary,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let queue = &["queue_name"];
        let metrics = Metrics {
            requests: RequestMetrics {
                by_status: registry.counter_vec(
                    "prometheus_sd_kubernetes_http_request_total",
                    "Total number of HTTP requests to the Kubernetes API by status code.",
                    &["status_code"],
                ),
                duration: registry.summary_vec(
                    "prometheus_sd_kubernetes_http_request_duration_seconds",
                    "Summary of latencies for HTTP requests to the Kubernetes API by endpoint.",
                    &["endpoint"],
                    &[],
                ),
                failures: registry.counter(
                    "prometheus_sd_kubernetes_failures_total",
                    "The number of failed WATCH/LIST requests.",
                ),
            },
            events: registry.counter_vec(
                "prometheus_sd_kubernetes_events_total",
                "The number of Kubernetes events handled.",
                &["role", "event"],
            ),
            depth: registry.gauge_vec(
                "prometheus_sd_kubernetes_workqueue_depth",
                "Current depth of the work queue.",
                queue,
            ),
            items: registry.counter_vec(
                "prometheus_sd_kubernetes_workqueue_items_total",
                "Total number of items added to the work queue.",
                queue,
            ),
            latency: registry.summary_vec(
                "prometheus_sd_kubernetes_workqueue_latency_seconds",
                "How long an item stays in the work queue.",
                queue,
                &[],
            ),
            work: registry.summary_vec(
                "prometheus_sd_kubernetes_workqueue_work_duration_seconds",
                "How long processing an item from the work queue takes.",
                queue,
                &[],
            ),
            unfinished: registry.gauge_vec(
                "prometheus_sd_kubernetes_workqueue_unfinished_work_seconds",
                "How long an item has remained unfinished in the work queue.",
                queue,
            ),
            longest: registry.gauge_vec(
                "prometheus_sd_kubernetes_workqueue_longest_running_processor_seconds",
                "Duration of the longest running processor in the work queue.",
                queue,
            ),
        };
        for role in KubernetesRole::ALL {
            for event in ["add", "update", "delete"] {
                let _ = metrics.events.with(&[role.word(), event]);
            }
        }
        metrics
    }

    /// Counters of the events of `role`.
    pub(super) fn events(&self, role: KubernetesRole) -> EventCounters {
        let counter = |event| Some(self.events.with(&[role.word(), event]));
        EventCounters { added: counter("add"), updated: counter("update"), deleted: counter("delete") }
    }

    /// Counters of the updates alone.
    pub(super) fn updates(&self, role: KubernetesRole) -> EventCounters {
        EventCounters { added: None, deleted: None, ..self.events(role) }
    }

    pub(super) fn queue(&self, role: KubernetesRole) -> QueueMetrics {
        let queue = &[role.word()];
        // Nothing stays unfinished: objects are worked off in one go.
        let _ = (self.unfinished.with(queue), self.longest.with(queue));
        QueueMetrics {
            depth: self.depth.with(queue),
            items: self.items.with(queue),
            latency: self.latency.with(queue),
            work: self.work.with(queue),
        }
    }
}

impl QueueMetrics {
    pub(super) fn begin(&self, count: usize) {
        self.items.add(count as f64);
        self.depth.set(count as f64);
    }

    pub(super) fn done(&self, waited: Duration, worked: Duration) {
        self.latency.observe(waited.as_secs_f64());
        self.work.observe(worked.as_secs_f64());
        self.depth.sub(1.0);
    }
}
