//! `prometheus_rule_*`.

use exposition::registry::{Counter, CounterVec, Gauge, GaugeVec, Histogram, Registry, Summary};

const GROUP: &[&str] = &["rule_group"];
const BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

/// Metrics of all groups.
#[derive(Clone)]
pub(crate) struct Metrics {
    rule_duration: Summary,
    rule_duration_histogram: Histogram,
    group_duration: Summary,
    group_duration_histogram: Histogram,
    missed: CounterVec,
    scheduled: CounterVec,
    evaluated: CounterVec,
    failed: CounterVec,
    interval: GaugeVec,
    last_evaluation: GaugeVec,
    last_duration: GaugeVec,
    last_rule_duration_sum: GaugeVec,
    last_restore_duration: GaugeVec,
    rules: GaugeVec,
    samples: GaugeVec,
    /// Threads that evaluate.
    pub(crate) busy: Gauge,
    /// How many there may be.
    pub(crate) threads: Gauge,
}

/// Metrics of one group.
#[derive(Clone)]
pub(crate) struct GroupMetrics {
    pub(crate) rule_duration: Summary,
    pub(crate) rule_duration_histogram: Histogram,
    pub(crate) group_duration: Summary,
    pub(crate) group_duration_histogram: Histogram,
    pub(crate) missed: Counter,
    pub(crate) scheduled: Counter,
    pub(crate) evaluated: Counter,
    pub(crate) failed: Counter,
    pub(crate) last_evaluation: Gauge,
    pub(crate) last_duration: Gauge,
    pub(crate) last_rule_duration_sum: Gauge,
    pub(crate) samples: Gauge,
    last_restore_duration: GaugeVec,
    key: String,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Metrics {
            rule_duration: registry.summary(
                "prometheus_rule_evaluation_duration_seconds",
                "The duration for a rule to execute.",
                &[0.5, 0.9, 0.99],
            ),
            rule_duration_histogram: registry.histogram(
                "prometheus_rule_evaluation_duration_histogram_seconds",
                "The duration for a rule to execute.",
                &BUCKETS,
            ),
            group_duration: registry.summary(
                "prometheus_rule_group_duration_seconds",
                "The duration of rule group evaluations.",
                &[0.01, 0.05, 0.5, 0.9, 0.99],
            ),
            group_duration_histogram: registry.histogram(
                "prometheus_rule_group_duration_histogram_seconds",
                "The duration of rule group evaluations.",
                &BUCKETS,
            ),
            missed: registry.counter_vec(
                "prometheus_rule_group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
                GROUP,
            ),
            scheduled: registry.counter_vec(
                "prometheus_rule_group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
                GROUP,
            ),
            evaluated: registry.counter_vec(
                "prometheus_rule_evaluations_total",
                "The total number of rule evaluations.",
                GROUP,
            ),
            failed: registry.counter_vec(
                "prometheus_rule_evaluation_failures_total",
                "The total number of rule evaluation failures.",
                GROUP,
            ),
            interval: registry.gauge_vec(
                "prometheus_rule_group_interval_seconds",
                "The interval of a rule group.",
                GROUP,
            ),
            last_evaluation: registry.gauge_vec(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
                GROUP,
            ),
            last_duration: registry.gauge_vec(
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
                GROUP,
            ),
            last_rule_duration_sum: registry.gauge_vec(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "The sum of time in seconds it took to evaluate each rule in the group regardless of concurrency. This should be higher than the group duration if rules are evaluated concurrently.",
                GROUP,
            ),
            last_restore_duration: registry.gauge_vec(
                "prometheus_rule_group_last_restore_duration_seconds",
                "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series.",
                GROUP,
            ),
            rules: registry.gauge_vec("prometheus_rule_group_rules", "The number of rules.", GROUP),
            samples: registry.gauge_vec(
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
                GROUP,
            ),
            busy: registry
                .gauge("binnacle_rule_groups_evaluating", "Rule groups that are being evaluated at this moment."),
            threads: registry.gauge(
                "binnacle_rule_groups_evaluating_max",
                "Rule groups that may be evaluated at the same moment.",
            ),
        }
    }

    /// Those of the group `key` of so many rules.
    pub(crate) fn group(&self, key: &str, interval: f64, rules: usize) -> GroupMetrics {
        let group = &[key];
        self.interval.with(group).set(interval);
        self.rules.with(group).set(rules as f64);
        GroupMetrics {
            rule_duration: self.rule_duration.clone(),
            rule_duration_histogram: self.rule_duration_histogram.clone(),
            group_duration: self.group_duration.clone(),
            group_duration_histogram: self.group_duration_histogram.clone(),
            missed: self.missed.with(group),
            scheduled: self.scheduled.with(group),
            evaluated: self.evaluated.with(group),
            failed: self.failed.with(group),
            last_evaluation: self.last_evaluation.with(group),
            last_duration: self.last_duration.with(group),
            last_rule_duration_sum: self.last_rule_duration_sum.with(group),
            samples: self.samples.with(group),
            last_restore_duration: self.last_restore_duration.clone(),
            key: key.to_owned(),
        }
    }

    /// The group is no more.
    pub(crate) fn forget(&self, key: &str) {
        let group = &[key];
        for counters in [&self.missed, &self.scheduled, &self.evaluated, &self.failed] {
            counters.remove(group);
        }
        for gauges in [
            &self.interval,
            &self.last_evaluation,
            &self.last_duration,
            &self.last_rule_duration_sum,
            &self.last_restore_duration,
            &self.rules,
            &self.samples,
        ] {
            gauges.remove(group);
        }
    }
}

impl GroupMetrics {
    /// Groups of which nothing was restored have no such metric.
    pub(crate) fn set_restored(&self, seconds: f64) {
        self.last_restore_duration.with(&[&self.key]).set(seconds);
    }
}
