//! One destination: the tasks that send its shards, and what they share with the thread that reads the log.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use httpclient::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Counts, Encoder, Item, What};
use super::client::{SendError, Sender, Stats, wrote_nothing};
use super::deliver::{Content, Delivered, deliver};
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
    /// What the logs have by then is read and sent; nothing is tried again.
    pub(super) finishing: CancellationToken,
    /// No more is read. What is there is sent if that goes well.
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

pub(super) fn now_seconds() -> i64 {
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
            finishing: CancellationToken::new(),
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
            // Before it is sent: who is killed meanwhile knows what it was.
            self.note_progress();
            let begun = std::time::Instant::now();
            let outcome = self.send_batch(&sender, &mut connection, &mut encoder, &batch).await;
            let Some(outcome) = outcome else {
                // Given up for now: it is sent after the next start.
                let counts = Counts::of(&batch, self.options.message);
                self.unpend(counts);
                let rest = shard.drop_waiting();
                self.unpend(Counts::of(&rest, self.options.message));
                // Nobody takes what the reader would put in here.
                self.closing.cancel();
                return;
            };
            let counts = Counts::of(&batch, self.options.message);
            self.note_outcome(counts, &outcome);
            self.sent.add((counts.all() + counts.metadata) as u64);
            self.sending.add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
            self.last_send.store(now_seconds(), Ordering::Relaxed);
            self.unpend(counts);
            shard.done(&batch, |item| usize::from(item.out_of_order));
            self.note_progress();
        }
    }

    fn note_progress(&self) {
        if let Err(err) = self.progress.lock().save() {
            tracing::error!(component = "remote", remote_name = self.options.name, %err, "It cannot be noted how far remote write has got");
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
        let highest = batch.iter().map(|item| item.t).max().unwrap_or(0);
        let mut content = Samples::new(self, encoder, batch);
        let delivered = deliver(self, sender, connection, &mut content).await?;
        let counts = content.counts;
        let outcome = delivered.and_then(|Delivered { last, all }| {
            let sent = [counts.samples, counts.histograms, counts.exemplars];
            match wrote_nothing(message, last, sent) {
                Some(text) => Err(SendError { text, again: None, stats: all }),
                None if message == MessageType::V1 && !all.confirmed => Ok(Stats {
                    samples: counts.samples,
                    histograms: counts.histograms,
                    exemplars: counts.exemplars,
                    confirmed: false,
                }),
                None => Ok(all),
            }
        });
        let size = content.size;
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
                () = self.finishing.cancelled() => return,
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
        let size = body.len();
        let mut content = Families { queue: self, body, count };
        match deliver(self, sender, connection, &mut content).await {
            None => return false,
            Some(Ok(_)) => {
                self.metrics.metadata_sent.add(count as f64);
                self.metrics.metadata_bytes.add(size as f64);
            }
            Some(Err(error)) => {
                self.metrics.metadata_failed.add(count as f64);
                tracing::error!(
                    component = "remote",
                    remote_name = self.options.name,
                    url = self.options.shown_url,
                    count,
                    err = error.text,
                    "non-recoverable error while sending metadata"
                );
            }
        }
        true
    }

    /// The number of shards is not changed before that, in seconds since the Unix epoch.
    pub(super) fn keep_shards_until(&self, time: i64) {
        self.resharding_from.fetch_max(time, Ordering::Relaxed);
    }
}

/// A batch on its way.
struct Samples<'a> {
    queue: &'a Queue,
    encoder: &'a mut Encoder,
    items: Cow<'a, [Item]>,
    body: Bytes,
    /// Of the first body, in bytes.
    size: usize,
    counts: Counts,
}

impl<'a> Samples<'a> {
    fn new(queue: &'a Queue, encoder: &'a mut Encoder, batch: &'a [Item]) -> Self {
        let message = queue.options.message;
        let body = encoder.body(message, batch, queue.type_and_unit_labels);
        let (size, counts) = (body.len(), Counts::of(batch, message));
        Samples { queue, encoder, items: Cow::Borrowed(batch), body, size, counts }
    }

    fn sent(&self) -> [usize; 3] {
        [self.counts.samples, self.counts.exemplars, self.counts.histograms]
    }
}

impl Content for Samples<'_> {
    fn body(&mut self, attempt: u32) -> Bytes {
        let queue = self.queue;
        let oldest = self.items.iter().map(|item| item.t).filter(|t| *t > 0).min();
        if attempt > 0 && oldest.is_some_and(|t| queue.is_too_old(t)) {
            let kept = self.items.iter().filter(|item| !queue.drop_if_old(item)).cloned().collect::<Vec<_>>();
            self.items = kept.into();
            let message = queue.options.message;
            self.body = self.encoder.body(message, &self.items, queue.type_and_unit_labels);
            self.counts = Counts::of(&self.items, message);
        }
        queue.metrics.sent.iter().zip(self.sent()).for_each(|(counter, n)| counter.add(n as f64));
        queue.metrics.metadata_sent.add(self.counts.metadata as f64);
        self.body.clone()
    }

    fn retried(&self) {
        self.queue.metrics.retried.iter().zip(self.sent()).for_each(|(counter, n)| counter.add(n as f64));
    }
}

/// What metrics are, on its way.
struct Families<'a> {
    queue: &'a Queue,
    body: Bytes,
    count: usize,
}

impl Content for Families<'_> {
    fn body(&mut self, _: u32) -> Bytes {
        self.body.clone()
    }

    fn retried(&self) {
        self.queue.metrics.metadata_retried.add(self.count as f64);
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
