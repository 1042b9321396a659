//! One destination: the tasks that send its shards, and what they share with the thread that reads the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpclient::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Counts, Encoder, Item, What};
use super::client::{SendError, Sender, Stats, wrote_nothing};
use super::metrics::{EXEMPLARS, HISTOGRAMS, QueueMetrics, SAMPLES, TOO_OLD};
use super::options::{FamilyMetadata, WriteOptions};
use super::place::{PlaceFile, Places, Table};
use super::rate::{PERIOD, Rate};
use super::shards::{Shard, Taken, table};
use crate::MessageType;

/// What is shared.
pub(super) struct Queue {
    pub(super) options: WriteOptions,
    pub(super) type_and_unit_labels: bool,
    pub(super) metrics: QueueMetrics,
    sender: RwLock<(Arc<Sender>, u64)>,
    pub(super) progress: Mutex<Progress>,
    pub(super) sent: Rate,
    pub(super) dropped: Rate,
    /// Nanoseconds that requests took.
    pub(super) sending: Rate,
    /// In seconds since the Unix epoch.
    last_send: AtomicI64,
    resharding_from: AtomicI64,
    /// How many shards there should be.
    pub(super) wanted_shards: AtomicUsize,
    /// What is there is sent if that goes well; nothing is tried again.
    pub(super) closing: CancellationToken,
    /// Requests on their way are given up.
    pub(super) hard: CancellationToken,
}

/// How far it has got.
pub(super) struct Progress {
    pub(super) file: PlaceFile,
    /// Of processes before this one, as long as they say more than `shards`; then of this one.
    pub(super) earlier: Vec<Table>,
    pub(super) shards: Vec<Arc<Shard>>,
    pub(super) read: Places,
}

impl Progress {
    pub(super) fn tables(&self) -> Vec<Table> {
        let mut tables = self.earlier.clone();
        tables.push(table(&self.shards, self.read));
        tables
    }

    /// Writes it down.
    pub(super) fn save(&mut self) -> std::io::Result<()> {
        let tables = self.tables();
        self.file.write(&tables)
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

fn now_seconds() -> i64 {
    now_millis() / 1000
}

impl Queue {
    pub(super) fn new(
        options: WriteOptions,
        type_and_unit_labels: bool,
        metrics: QueueMetrics,
        progress: Progress,
        hard: CancellationToken,
    ) -> Result<Arc<Self>, String> {
        let sender = Arc::new(Sender::new(&options)?);
        let queue = &options.queue;
        metrics.shard_capacity.set(queue.capacity as f64);
        metrics.shards_max.set(queue.max_shards as f64);
        metrics.shards_min.set(queue.min_shards as f64);
        metrics.shards_desired.set(queue.min_shards as f64);
        metrics.max_samples_per_send.set(queue.max_samples_per_send as f64);
        let wanted_shards = AtomicUsize::new(queue.min_shards);
        Ok(Arc::new(Queue {
            options,
            type_and_unit_labels,
            metrics,
            sender: RwLock::new((sender, 0)),
            progress: Mutex::new(progress),
            sent: Rate::default(),
            dropped: Rate::default(),
            sending: Rate::default(),
            last_send: AtomicI64::new(0),
            resharding_from: AtomicI64::new(0),
            wanted_shards,
            closing: CancellationToken::new(),
            hard,
        }))
    }

    /// Goes on with other credentials.
    pub(super) fn set_sender(&self, sender: Sender) {
        let mut held = self.sender.write();
        *held = (Arc::new(sender), held.1 + 1);
    }

    fn sender(&self) -> (Arc<Sender>, u64) {
        self.sender.read().clone()
    }

    /// Whether the number of shards may be changed now: not when nothing was sent lately, or the destination is in trouble.
    pub(super) fn may_reshard(&self) -> bool {
        let now = now_seconds();
        let (last_send, from) =
            (self.last_send.load(Ordering::Relaxed), self.resharding_from.load(Ordering::Relaxed));
        let (name, url) = (&self.options.name, &self.options.shown_url);
        if last_send < now - PERIOD.as_secs() as i64 {
            tracing::warn!(
                component = "remote",
                remote_name = name,
                url,
                "Skipping resharding, last successful send was beyond threshold"
            );
            return false;
        }
        if now < from {
            tracing::warn!(
                component = "remote",
                remote_name = name,
                url,
                "Skipping resharding, resharding is disabled while waiting for recoverable errors"
            );
            return false;
        }
        true
    }

    /// Sends what comes into a shard until it is closed.
    pub(super) async fn run_shard(self: Arc<Self>, shard: Arc<Shard>) {
        let mut encoder = Encoder::default();
        let (mut sender, mut turn) = self.sender();
        let mut connection = sender.connection();
        loop {
            let deadline = Instant::now() + self.options.queue.batch_send_deadline;
            let batch = match shard.take(deadline).await {
                Taken::Batch(batch) => batch,
                Taken::Closed => return,
            };
            if batch.is_empty() {
                continue;
            }
            let newest = self.sender();
            if newest.1 != turn {
                (sender, turn) = newest;
                connection = sender.connection();
            }
            let begun = std::time::Instant::now();
            let outcome = self.send_batch(&sender, &mut connection, &mut encoder, &batch).await;
            let Some(outcome) = outcome else {
                // Given up for now: it is sent after the next start.
                let counts = Counts::of(&batch, self.options.message);
                self.unpend(counts);
                let rest = shard.drop_waiting();
                self.unpend(Counts::of(&rest, self.options.message));
                return;
            };
            let counts = Counts::of(&batch, self.options.message);
            self.note_outcome(counts, &outcome);
            self.sent.add((counts.all() + counts.metadata) as u64);
            self.sending.add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
            self.last_send.store(now_seconds(), Ordering::Relaxed);
            self.unpend(counts);
            shard.done(&batch, |item| usize::from(item.out_of_order));
            let mut progress = self.progress.lock();
            if let Err(err) = progress.save() {
                tracing::error!(component = "remote", remote_name = self.options.name, %err, "It cannot be noted how far remote write has got");
            }
        }
    }

    fn unpend(&self, counts: Counts) {
        let pending = &self.metrics.pending;
        pending[SAMPLES].sub(counts.samples as f64);
        pending[EXEMPLARS].sub(counts.exemplars as f64);
        pending[HISTOGRAMS].sub(counts.histograms as f64);
    }

    fn note_outcome(&self, counts: Counts, outcome: &Result<Stats, SendError>) {
        let stats = match outcome {
            Ok(stats) => *stats,
            Err(error) => error.stats,
        };
        let lost = [
            counts.samples.saturating_sub(stats.samples),
            counts.exemplars.saturating_sub(stats.exemplars),
            counts.histograms.saturating_sub(stats.histograms),
        ];
        for (counter, lost) in self.metrics.failed.iter().zip(lost) {
            counter.add(lost as f64);
        }
        let (name, url) = (&self.options.name, &self.options.shown_url);
        let [samples, exemplars, histograms] = lost;
        match outcome {
            Err(error) => tracing::error!(
                component = "remote",
                remote_name = name,
                url,
                failedSampleCount = samples,
                failedHistogramCount = histograms,
                failedExemplarCount = exemplars,
                err = error.text,
                "non-recoverable error"
            ),
            Ok(_) if samples + exemplars + histograms > 0 => tracing::error!(
                component = "remote",
                remote_name = name,
                url,
                failedSampleCount = samples,
                failedHistogramCount = histograms,
                failedExemplarCount = exemplars,
                "we got 2xx status code from the Receiver yet statistics indicate some data was not written; investigation needed"
            ),
            Ok(_) => {}
        }
    }

    /// Sends a batch until it is taken or refused for good; none if that has to wait for the next start.
    async fn send_batch(
        &self,
        sender: &Sender,
        connection: &mut httpclient::Connection,
        encoder: &mut Encoder,
        batch: &[Item],
    ) -> Option<Result<Stats, SendError>> {
        let message = self.options.message;
        let mut items = std::borrow::Cow::Borrowed(batch);
        let mut body = encoder.body(message, &items, self.type_and_unit_labels);
        let size = body.len();
        let oldest = |items: &[Item]| items.iter().map(|item| item.t).filter(|t| *t > 0).min();
        let highest = batch.iter().map(|item| item.t).max().unwrap_or(0);
        let mut told = Stats::default();
        let mut attempt = 0;
        let mut backoff = Backoff::new(self);
        let outcome = loop {
            if attempt > 0 && oldest(&items).is_some_and(|t| self.is_too_old(t)) {
                let kept = batch.iter().filter(|item| !self.drop_if_old(item)).cloned().collect::<Vec<_>>();
                items = kept.into();
                body = encoder.body(message, &items, self.type_and_unit_labels);
            }
            let counts = Counts::of(&items, message);
            let sent = [counts.samples, counts.exemplars, counts.histograms];
            self.metrics.sent.iter().zip(sent).for_each(|(counter, n)| counter.add(n as f64));
            self.metrics.metadata_sent.add(counts.metadata as f64);
            let begun = std::time::Instant::now();
            let answer = tokio::select! {
                answer = sender.send(connection, body.clone(), attempt) => answer,
                () = self.hard.cancelled() => return None,
            };
            self.metrics.duration.observe(begun.elapsed().as_secs_f64());
            match answer {
                Ok(stats) => {
                    told = add(told, stats);
                    let sent = [counts.samples, counts.histograms, counts.exemplars];
                    break match wrote_nothing(message, stats, sent) {
                        Some(text) => Err(SendError { text, again: None, stats: told }),
                        None if message == MessageType::V1 && !told.confirmed => Ok(Stats {
                            samples: counts.samples,
                            histograms: counts.histograms,
                            exemplars: counts.exemplars,
                            confirmed: false,
                        }),
                        None => Ok(told),
                    };
                }
                Err(error) => {
                    told = add(told, error.stats);
                    let Some(after) = error.again else {
                        break Err(SendError { stats: told, ..error });
                    };
                    if !backoff.wait(after, &error.text).await {
                        return None;
                    }
                    self.metrics.retried.iter().zip(sent).for_each(|(counter, n)| counter.add(n as f64));
                    attempt += 1;
                }
            }
        };
        self.metrics.bytes.add(size as f64);
        QueueMetrics::raise(&self.metrics.highest_sent, (highest / 1000) as f64);
        Some(outcome)
    }

    pub(super) fn is_too_old(&self, t: i64) -> bool {
        let limit = self.options.queue.sample_age_limit;
        !limit.is_zero()
            && t < now_millis().saturating_sub(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX))
    }

    fn drop_if_old(&self, item: &Item) -> bool {
        let old = self.is_too_old(item.t);
        if old {
            self.metrics.drop(item.kind(), TOO_OLD);
        }
        old
    }

    /// Sends what targets say about their metrics, now and then.
    pub(super) async fn run_metadata(
        self: Arc<Self>,
        source: Arc<dyn Fn() -> Vec<FamilyMetadata> + Send + Sync>,
    ) {
        let Some(options) = self.options.metadata.clone() else { return };
        let mut encoder = Encoder::default();
        let mut ticks = tokio::time::interval_at(Instant::now() + options.interval, options.interval);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.closing.cancelled() => return,
            }
            let families = source();
            let (sender, _) = self.sender();
            let mut connection = sender.connection();
            for part in families.chunks(options.max_samples_per_send.max(1)) {
                let body = encoder.metadata(part);
                if !self.send_metadata(&sender, &mut connection, body, part.len()).await {
                    return;
                }
            }
        }
    }

    /// Whether to go on.
    async fn send_metadata(
        &self,
        sender: &Sender,
        connection: &mut httpclient::Connection,
        body: Bytes,
        count: usize,
    ) -> bool {
        let mut backoff = Backoff::new(self);
        let mut attempt = 0;
        loop {
            let begun = std::time::Instant::now();
            let answer = tokio::select! {
                answer = sender.send(connection, body.clone(), attempt) => answer,
                () = self.hard.cancelled() => return false,
            };
            self.metrics.duration.observe(begun.elapsed().as_secs_f64());
            match answer {
                Ok(_) => {
                    self.metrics.metadata_sent.add(count as f64);
                    self.metrics.metadata_bytes.add(body.len() as f64);
                    return true;
                }
                Err(SendError { again: None, text, .. }) => {
                    self.metrics.metadata_failed.add(count as f64);
                    tracing::error!(
                        component = "remote",
                        remote_name = self.options.name,
                        url = self.options.shown_url,
                        count,
                        err = text,
                        "non-recoverable error while sending metadata"
                    );
                    return true;
                }
                Err(SendError { again: Some(after), text, .. }) => {
                    if !backoff.wait(after, &text).await {
                        return false;
                    }
                    self.metrics.metadata_retried.add(count as f64);
                    attempt += 1;
                }
            }
        }
    }
}

fn add(a: Stats, b: Stats) -> Stats {
    Stats {
        samples: a.samples + b.samples,
        histograms: a.histograms + b.histograms,
        exemplars: a.exemplars + b.exemplars,
        confirmed: a.confirmed || b.confirmed,
    }
}

/// Pauses between attempts.
struct Backoff<'a> {
    queue: &'a Queue,
    pause: Duration,
}

impl<'a> Backoff<'a> {
    fn new(queue: &'a Queue) -> Self {
        Backoff { queue, pause: queue.options.queue.min_backoff }
    }

    /// Waits; false when there is no more time for that.
    async fn wait(&mut self, after: Option<Duration>, why: &str) -> bool {
        let queue = self.queue;
        let (name, url) = (&queue.options.name, &queue.options.shown_url);
        let pause = after.unwrap_or(self.pause);
        if after.is_some() {
            tracing::info!(
                component = "remote",
                remote_name = name,
                url,
                duration = ?pause,
                "Retrying after duration specified by Retry-After header"
            );
        }
        // More shards would make trouble worse.
        let calm = now_seconds().saturating_add(i64::try_from(pause.as_secs() * 2).unwrap_or(i64::MAX));
        queue.resharding_from.fetch_max(calm, Ordering::Relaxed);
        tracing::warn!(
            component = "remote",
            remote_name = name,
            url,
            err = why,
            "Failed to send batch, retrying"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = queue.closing.cancelled() => return false,
        }
        self.pause = (pause * 2).min(queue.options.queue.max_backoff);
        true
    }
}

impl Item {
    /// Which of the counters counts it.
    pub(super) fn kind(&self) -> usize {
        match self.what {
            What::Float { .. } => SAMPLES,
            What::Exemplar(_) => EXEMPLARS,
            What::Histogram { .. } => HISTOGRAMS,
        }
    }
}
