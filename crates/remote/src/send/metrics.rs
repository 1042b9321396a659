//! The metrics of remote write, under Prometheus' names, and those of what waits on the disk.

use std::collections::HashMap;

use exposition::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry};
use parking_lot::Mutex;

const QUEUE: [&str; 2] = ["remote_name", "url"];
const REASON: [&str; 3] = ["remote_name", "url", "reason"];

/// Those of all destinations.
pub(super) struct Metrics {
    counters: Vec<(&'static str, CounterVec)>,
    dropped: [CounterVec; 3],
    gauges: Vec<(&'static str, GaugeVec)>,
    duration: HistogramVec,
    records: CounterVec,
    consumers: Vec<CounterVec>,
    segment: GaugeVec,
    unsent: GaugeVec,
    pub(super) backlog_bytes: Gauge,
    pub(super) backlog_limit: Gauge,
    pub(super) lost_segments: Counter,
    pub(super) lost_bytes: Counter,
}

const COUNTERS: [(&str, &str); 15] = [
    ("samples_total", "Total number of samples sent to remote storage."),
    ("exemplars_total", "Total number of exemplars sent to remote storage."),
    ("histograms_total", "Total number of histograms sent to remote storage."),
    ("metadata_total", "Total number of metadata entries sent to remote storage."),
    (
        "samples_failed_total",
        "Total number of samples which failed on send to remote storage, non-recoverable errors.",
    ),
    (
        "exemplars_failed_total",
        "Total number of exemplars which failed on send to remote storage, non-recoverable errors.",
    ),
    (
        "histograms_failed_total",
        "Total number of histograms which failed on send to remote storage, non-recoverable errors.",
    ),
    (
        "metadata_failed_total",
        "Total number of metadata entries which failed on send to remote storage, non-recoverable errors.",
    ),
    (
        "samples_retried_total",
        "Total number of samples which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    (
        "exemplars_retried_total",
        "Total number of exemplars which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    (
        "histograms_retried_total",
        "Total number of histograms which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    (
        "metadata_retried_total",
        "Total number of metadata entries which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    ("enqueue_retries_total", "Total number of times enqueue has failed because a shards queue was full."),
    (
        "bytes_total",
        "The total number of bytes of data (not metadata) sent by the queue after compression. Note that when exemplars over remote write is enabled the exemplars included in a remote write request count towards this metric.",
    ),
    ("metadata_bytes_total", "The total number of bytes of metadata sent by the queue after compression."),
];

const GAUGES: [(&str, &str); 11] = [
    (
        "queue_highest_timestamp_seconds",
        "Highest timestamp that was enqueued, in seconds since epoch. Initialized to 0 when no data has been received yet.",
    ),
    (
        "queue_highest_sent_timestamp_seconds",
        "Highest timestamp successfully sent by this queue, in seconds since epoch. Initialized to 0 when no data has been sent yet.",
    ),
    (
        "samples_pending",
        "The number of samples pending in the queues shards to be sent to the remote storage.",
    ),
    (
        "exemplars_pending",
        "The number of exemplars pending in the queues shards to be sent to the remote storage.",
    ),
    (
        "histograms_pending",
        "The number of histograms pending in the queues shards to be sent to the remote storage.",
    ),
    (
        "shard_capacity",
        "The capacity of each shard of the queue used for parallel sending to the remote storage.",
    ),
    ("shards", "The number of shards used for parallel sending to the remote storage."),
    ("shards_max", "The maximum number of shards that the queue is allowed to run."),
    ("shards_min", "The minimum number of shards that the queue is allowed to run."),
    (
        "shards_desired",
        "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.",
    ),
    (
        "max_samples_per_send",
        "The maximum number of samples to be sent, in a single request, to the remote storage. Note that, when sending of exemplars over remote write is enabled, exemplars count towards this limit.",
    ),
];

/// Bounds of the times that requests take, in seconds.
const SECONDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

impl Metrics {
    pub(super) fn register(r: &Registry) -> Self {
        let name = |name: &str| format!("prometheus_remote_storage_{name}");
        let counters = COUNTERS
            .into_iter()
            .map(|(short, help)| (short, r.counter_vec(&name(short), help, &QUEUE)))
            .collect();
        let gauges = GAUGES
            .into_iter()
            .map(|(short, help)| (short, r.gauge_vec(&name(short), help, &QUEUE)))
            .collect();
        let dropped = ["samples", "exemplars", "histograms"].map(|what| {
            let help = format!(
                "Total number of {what} which were dropped after being read from the WAL before being sent via remote write, either via relabelling, due to being too old or unintentionally because of an unknown reference ID."
            );
            r.counter_vec(&name(&format!("{what}_dropped_total")), &help, &REASON)
        });
        let consumer = |short: &str, help: &str| {
            r.counter_vec(&format!("prometheus_wal_watcher_{short}"), help, &["consumer"])
        };
        Metrics {
            counters,
            dropped,
            gauges,
            duration: r.histogram_vec(
                &name("sent_batch_duration_seconds"),
                "Duration of send calls to the remote storage.",
                &QUEUE,
                &SECONDS,
            ),
            records: r.counter_vec(
                "prometheus_wal_watcher_records_read_total",
                "Number of records read by the WAL watcher from the WAL.",
                &["consumer", "type"],
            ),
            consumers: vec![
                consumer(
                    "record_decode_failures_total",
                    "Number of records read by the WAL watcher that resulted in an error when decoding.",
                ),
                consumer(
                    "samples_sent_pre_tailing_total",
                    "Number of sample records read by the WAL watcher and sent to remote write during replay of existing WAL.",
                ),
                consumer(
                    "notifications_skipped_total",
                    "The number of WAL write notifications that the Watcher has skipped due to already being in a WAL read routine.",
                ),
            ],
            segment: r.gauge_vec(
                "prometheus_wal_watcher_current_segment",
                "Current segment the WAL watcher is reading records from.",
                &["consumer"],
            ),
            unsent: r.gauge_vec(
                "binnacle_remote_storage_unsent_bytes",
                "Bytes of the logs that were not sent yet.",
                &QUEUE,
            ),
            backlog_bytes: r.gauge(
                "binnacle_remote_storage_backlog_bytes",
                "Bytes of logs that are kept for destinations of remote write alone.",
            ),
            backlog_limit: r.gauge(
                "binnacle_remote_storage_backlog_limit_bytes",
                "Most bytes of logs that are kept for destinations of remote write (--storage.remote.backlog-size).",
            ),
            lost_segments: r.counter(
                "binnacle_remote_storage_backlog_dropped_segments_total",
                "Segments of logs that were dropped before all of them was sent, since more than --storage.remote.backlog-size was waiting.",
            ),
            lost_bytes: r.counter(
                "binnacle_remote_storage_backlog_dropped_bytes_total",
                "Bytes of such segments.",
            ),
        }
    }

    fn count_of(&self, short: &str, labels: &[&str]) -> Counter {
        let found = self.counters.iter().find(|(name, _)| *name == short);
        found.map_or_else(Counter::default, |(_, vec)| vec.with(labels))
    }

    fn level_of(&self, short: &str, labels: &[&str]) -> Gauge {
        let found = self.gauges.iter().find(|(name, _)| *name == short);
        found.map_or_else(Gauge::default, |(_, vec)| vec.with(labels))
    }

    /// Those of one destination.
    pub(super) fn queue(&self, name: &str, url: &str) -> QueueMetrics {
        let labels = [name, url];
        let by_kind = |suffix: &str| {
            ["samples", "exemplars", "histograms"]
                .map(|what| self.count_of(&format!("{what}{suffix}"), &labels))
        };
        QueueMetrics {
            sent: by_kind("_total"),
            failed: by_kind("_failed_total"),
            retried: by_kind("_retried_total"),
            metadata_sent: self.count_of("metadata_total", &labels),
            metadata_failed: self.count_of("metadata_failed_total", &labels),
            metadata_retried: self.count_of("metadata_retried_total", &labels),
            enqueue_retries: self.count_of("enqueue_retries_total", &labels),
            bytes: self.count_of("bytes_total", &labels),
            metadata_bytes: self.count_of("metadata_bytes_total", &labels),
            pending: ["samples_pending", "exemplars_pending", "histograms_pending"]
                .map(|short| self.level_of(short, &labels)),
            highest: self.level_of("queue_highest_timestamp_seconds", &labels),
            highest_sent: self.level_of("queue_highest_sent_timestamp_seconds", &labels),
            shard_capacity: self.level_of("shard_capacity", &labels),
            shards: self.level_of("shards", &labels),
            shards_max: self.level_of("shards_max", &labels),
            shards_min: self.level_of("shards_min", &labels),
            shards_desired: self.level_of("shards_desired", &labels),
            max_samples_per_send: self.level_of("max_samples_per_send", &labels),
            duration: self.duration.with(&labels),
            dropped: Mutex::default(),
            dropped_vecs: self.dropped.clone(),
            records: Mutex::default(),
            record_vec: self.records.clone(),
            decode_failures: self.consumers.first().map_or_else(Counter::default, |vec| vec.with(&[name])),
            segment: self.segment.with(&[name]),
            unsent: self.unsent.with(&labels),
            name: name.to_owned(),
            url: url.to_owned(),
        }
        .shown(&self.consumers)
    }

    /// Takes those of a destination away.
    pub(super) fn remove(&self, queue: &QueueMetrics) {
        let labels = [queue.name.as_str(), queue.url.as_str()];
        for (_, vec) in &self.counters {
            vec.remove(&labels);
        }
        for (_, vec) in &self.gauges {
            vec.remove(&labels);
        }
        self.duration.remove(&labels);
        self.unsent.remove(&labels);
        for (what, reason) in queue.dropped.lock().keys() {
            if let Some(vec) = self.dropped.get(*what) {
                vec.remove(&[labels[0], labels[1], reason]);
            }
        }
        for kind in queue.records.lock().keys() {
            self.records.remove(&[labels[0], kind]);
        }
        for vec in &self.consumers {
            vec.remove(&labels[..1]);
        }
        self.segment.remove(&labels[..1]);
    }
}

/// Samples, exemplars, histograms.
pub(super) type ByKind<T> = [T; 3];
pub(super) const SAMPLES: usize = 0;
pub(super) const EXEMPLARS: usize = 1;
pub(super) const HISTOGRAMS: usize = 2;

/// Why samples are not sent.
pub(super) const TOO_OLD: &str = "too_old";
pub(super) const DROPPED_SERIES: &str = "dropped_series";
pub(super) const UNKNOWN_SERIES: &str = "unintentionally_dropped_series";
pub(super) const CUSTOM_BUCKETS: &str = "nhcb_in_rw1_not_supported";

/// Those of one destination.
pub(super) struct QueueMetrics {
    pub(super) sent: ByKind<Counter>,
    pub(super) failed: ByKind<Counter>,
    pub(super) retried: ByKind<Counter>,
    pub(super) metadata_sent: Counter,
    pub(super) metadata_failed: Counter,
    pub(super) metadata_retried: Counter,
    pub(super) enqueue_retries: Counter,
    pub(super) bytes: Counter,
    pub(super) metadata_bytes: Counter,
    pub(super) pending: ByKind<Gauge>,
    pub(super) highest: Gauge,
    pub(super) highest_sent: Gauge,
    pub(super) shard_capacity: Gauge,
    pub(super) shards: Gauge,
    pub(super) shards_max: Gauge,
    pub(super) shards_min: Gauge,
    pub(super) shards_desired: Gauge,
    pub(super) max_samples_per_send: Gauge,
    pub(super) duration: Histogram,
    dropped: Mutex<HashMap<(usize, &'static str), Counter>>,
    dropped_vecs: ByKind<CounterVec>,
    records: Mutex<HashMap<&'static str, Counter>>,
    record_vec: CounterVec,
    pub(super) decode_failures: Counter,
    pub(super) segment: Gauge,
    pub(super) unsent: Gauge,
    name: String,
    url: String,
}

impl QueueMetrics {
    /// Those that only ever show a zero.
    fn shown(self, consumers: &[CounterVec]) -> Self {
        consumers.iter().for_each(|vec| drop(vec.with(&[&self.name])));
        self
    }

    /// Counts what is not sent.
    pub(super) fn drop(&self, what: usize, reason: &'static str) {
        let mut dropped = self.dropped.lock();
        let counter = dropped.entry((what, reason)).or_insert_with(|| {
            let labels = [self.name.as_str(), &self.url, reason];
            self.dropped_vecs.get(what).map_or_else(Counter::default, |vec| vec.with(&labels))
        });
        counter.inc();
    }

    /// Counts a record.
    pub(super) fn record(&self, kind: &'static str) {
        let mut records = self.records.lock();
        records.entry(kind).or_insert_with(|| self.record_vec.with(&[&self.name, kind])).inc();
    }

    /// Moves a gauge up, never down.
    pub(super) fn raise(gauge: &Gauge, seconds: f64) {
        if seconds > gauge.get() {
            gauge.set(seconds);
        }
    }
}
