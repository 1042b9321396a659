//! Remote write out: what is appended to the store is sent on to other servers, in order, each sample once.
//!
//! For each destination a thread follows the logs (`reader`) and fills shards (`shards`); a task for each shard sends
//! (`queue`). How far it has got is written down with each request that was answered (`place`), so that a restart goes on
//! where it ended; what the head needs no more of its logs is kept for those that are behind (`backlog`).

mod backlog;
mod batch;
mod client;
mod deliver;
mod metrics;
mod options;
mod others;
mod place;
mod push;
mod queue;
mod rate;
mod reader;
mod series;
mod shards;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use exposition::{Family, MetricKind, Registry};
use model::Labels;
use parking_lot::Mutex;
use storage::MemoryBudget;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tsdb::{Followed, Log};

pub(crate) use batch::write_labels;
use client::Sender;
pub(crate) use client::headers_of;
use metrics::Metrics;
pub use options::{FamilyMetadata, MetadataOptions, QueueOptions, WriteOptions};
pub(crate) use place::checksum;
use place::{Place, PlaceFile, Places};
pub use push::{PushedSample, pushed_body};
use queue::{Progress, Queue};
use rate::{Load, PERIOD, Rate};
use reader::{LogDirs, Reader};
use series::SeriesMap;

/// How often the backlog is looked after.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// What all destinations share.
pub struct SenderOptions {
    /// The directory of the store.
    pub data: PathBuf,
    /// How long what waits is sent when the program ends (`--storage.remote.flush-deadline`).
    pub flush_deadline: Duration,
    /// Bytes of logs that are kept for destinations that are behind (`--storage.remote.backlog-size`).
    pub backlog_size: u64,
    /// Types and units are labels (`--enable-feature=type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Where series of destinations are accounted.
    pub memory: MemoryBudget,
    /// What targets say about their metrics now.
    pub metadata: Arc<dyn Fn() -> Vec<FamilyMetadata> + Send + Sync>,
    /// What sends.
    pub runtime: tokio::runtime::Handle,
}

/// Why destinations cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum SendSetupError {
    /// Two are the same.
    #[error("duplicate remote write configs are not allowed, found duplicate for URL: {0}")]
    Duplicate(String),
    /// One cannot be reached as it says.
    #[error("remote write {name}: {reason}")]
    Client {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The file system refused.
    #[error("remote write {name}: {path}: {source}")]
    Io {
        /// Which.
        name: String,
        /// What was opened.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// All destinations.
pub struct RemoteWrite {
    options: SenderOptions,
    store: Arc<dyn Followed>,
    dirs: LogDirs,
    metrics: Arc<Metrics>,
    received: Rate,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    external: Labels,
    queues: HashMap<String, Destination>,
}

/// A destination that runs.
struct Destination {
    queue: Arc<Queue>,
    reader: Option<JoinHandle<()>>,
    tasks: TaskTracker,
    hard: CancellationToken,
}

impl RemoteWrite {
    /// Nothing is sent until [`apply`](Self::apply).
    #[must_use]
    pub fn new(options: SenderOptions, store: Arc<dyn Followed>, registry: &Registry) -> Arc<Self> {
        let metrics = Arc::new(Metrics::register(registry));
        metrics.backlog_limit.set(options.backlog_size as f64);
        register_received(&store, registry);
        let retired = options.data.join("remote_write").join("backlog");
        let others = others::since_the_end(&options.data, &*store);
        let dirs = LogDirs { data: options.data.clone(), retired, others };
        Arc::new(RemoteWrite {
            options,
            store,
            dirs,
            metrics,
            received: Rate::default(),
            running: Mutex::default(),
        })
    }

    /// Puts destinations in force. Those that are as before go on, with their credentials as they are now; the others
    /// end, and what is new begins, where it ended if it is known, else with what comes from now on.
    ///
    /// # Errors
    /// When one of them cannot be: then all stays as it was.
    pub fn apply(&self, destinations: Vec<WriteOptions>, external: &Labels) -> Result<(), SendSetupError> {
        Self::check(&destinations)?;
        let mut running = self.running.lock();
        let hashes: Vec<String> = destinations.iter().map(|options| options.hash.clone()).collect();
        if !destinations.is_empty() {
            // From now on what they may need is not deleted.
            self.store.retire_logs_to(Some(self.dirs.retired.clone()));
        }
        let same_labels = running.external == *external;
        running.external = external.clone();
        let kept = |hash: &String| same_labels && hashes.contains(hash);
        let gone: Vec<String> = running.queues.keys().filter(|hash| !kept(hash)).cloned().collect();
        let mut ended = Vec::new();
        for hash in gone {
            if let Some(destination) = running.queues.remove(&hash) {
                ended.push((
                    destination.queue.options.key.clone(),
                    destination.queue.options.shown_url.clone(),
                ));
                self.stop_all([destination], Instant::now() + self.options.flush_deadline);
            }
        }
        self.go_on_renamed(&ended, &destinations);
        let mut outcome = Ok(());
        for options in destinations {
            if let Some(destination) = running.queues.get(&options.hash) {
                let client = |reason| SendSetupError::Client { name: options.name.clone(), reason };
                destination.queue.set_sender(Sender::new(&options).map_err(client)?);
                continue;
            }
            let hash = options.hash.clone();
            match self.start(options, external) {
                Ok(destination) => drop(running.queues.insert(hash, destination)),
                Err(error) => outcome = Err(error),
            }
        }
        if outcome.is_ok() {
            self.forget_others(&running);
        }
        outcome
    }

    /// A destination that is called otherwise now is known by its URL, and goes on where it ended under its name before.
    fn go_on_renamed(&self, ended: &[(String, String)], destinations: &[WriteOptions]) {
        let is_used = |key: &String| destinations.iter().any(|options| options.key == *key);
        let mut left: Vec<_> = ended.iter().filter(|(key, _)| !is_used(key)).collect();
        for options in destinations {
            let to = self.place_path(&options.key);
            let Some(at) = left.iter().position(|(_, url)| *url == options.shown_url) else { continue };
            if to.exists() {
                continue;
            }
            let (before, _) = left.swap_remove(at);
            if let Err(err) = std::fs::rename(self.place_path(before), to) {
                tracing::warn!(component = "remote", remote_name = options.name, %err, "It begins anew under this name");
            }
        }
    }

    /// Whether destinations could be put in force, as far as that can be told.
    ///
    /// # Errors
    /// When one of them could not.
    pub fn check(destinations: &[WriteOptions]) -> Result<(), SendSetupError> {
        let mut hashes = Vec::new();
        for options in destinations {
            if hashes.contains(&&options.hash) {
                return Err(SendSetupError::Duplicate(options.shown_url.clone()));
            }
            hashes.push(&options.hash);
            let client = |reason| SendSetupError::Client { name: options.name.clone(), reason };
            Sender::new(options).map_err(client)?;
        }
        Ok(())
    }

    fn place_path(&self, key: &str) -> PathBuf {
        // The key may be a URL: it is the hash that names the file.
        self.options.data.join("remote_write").join(format!("{:08x}.place", place::checksum(key.as_bytes())))
    }

    fn start(&self, options: WriteOptions, external: &Labels) -> Result<Destination, SendSetupError> {
        let path = self.place_path(&options.key);
        let name = options.name.clone();
        let failed = |source| SendSetupError::Io { name: name.clone(), path: path.clone(), source };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        let (file, earlier) = PlaceFile::open(&path).map_err(failed)?;
        let places = match earlier.last() {
            Some(table) => table.least(),
            None => self.now(),
        };
        let resumed = earlier.last().is_some();
        let hard = CancellationToken::new();
        let metrics = self.metrics.queue(&options.name, &options.shown_url);
        let progress = Progress { file, earlier: earlier.clone(), shards: Vec::new(), read: places };
        let rules = options.relabel.clone();
        let (with_metadata, min_shards) = (options.metadata.is_some(), options.queue.min_shards);
        if options.message == crate::MessageType::V2 && with_metadata {
            tracing::warn!(
                component = "remote",
                remote_name = name,
                url = options.shown_url,
                "usage of 'metadata_config.send' is redundant when using remote write v2 (or higher) as metadata will always be gathered from the WAL and included for every series within each write request"
            );
        }
        let sends_metadata = with_metadata && options.message == crate::MessageType::V1;
        let client = |reason| SendSetupError::Client { name: name.clone(), reason };
        let queue = Queue::new(options, self.options.type_and_unit_labels, metrics, progress, hard.clone())
            .map_err(client)?;
        let tasks = TaskTracker::new();
        let account = self.options.memory.account("remote_write_queues");
        let mut reader = Reader {
            queue: Arc::clone(&queue),
            store: Arc::clone(&self.store),
            dirs: self.dirs.clone(),
            series: SeriesMap::new(external.clone(), rules, account),
            places,
            earlier,
            shards: Vec::new(),
            parts: Vec::<VecDeque<_>>::new(),
            tasks: tasks.clone(),
            runtime: self.options.runtime.clone(),
            forgotten: Instant::now(),
            last_checkpoint: None,
        };
        // What was sent before and not answered goes into the same requests again.
        let open = reader.earlier.last().filter(|table| table.is_open()).map(|table| table.0.len());
        let shards = open.unwrap_or(min_shards).max(1);
        queue.wanted_shards.store(shards, Ordering::Relaxed);
        reader.begin_shards(shards);
        // A new one begins now, also if the process dies before it has sent anything.
        queue.progress.lock().save().map_err(failed)?;
        tracing::info!(
            component = "remote",
            remote_name = name,
            resumed,
            segment = places[0].segment,
            "Starting WAL watcher"
        );
        if sends_metadata {
            let source = Arc::clone(&self.options.metadata);
            tasks.spawn_on(Arc::clone(&queue).run_metadata(source), &self.options.runtime);
        }
        let reader = std::thread::Builder::new()
            .name(format!("wal-{}", name.chars().take(10).collect::<String>()))
            .spawn(move || reader.run())
            .map_err(failed)?;
        Ok(Destination { queue, reader: Some(reader), tasks, hard })
    }

    /// The ends of the logs.
    fn now(&self) -> Places {
        Log::ALL.map(|log| self.store.log_end(log).map_or_else(Place::default, Place::at))
    }

    /// What was noted of destinations that there are no more is of no use.
    fn forget_others(&self, running: &Running) {
        let known: Vec<PathBuf> =
            running.queues.values().map(|d| self.place_path(&d.queue.options.key)).collect();
        let Ok(entries) = std::fs::read_dir(self.options.data.join("remote_write")) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|e| e == "place") && !known.contains(&path) {
                tracing::info!(
                    component = "remote",
                    file = %path.display(),
                    "A destination of remote write was taken out: what it was not sent is dropped"
                );
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Looks after shards and backlog until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tidying = tokio::time::interval(TIDY_EVERY);
        let mut counting = tokio::time::interval_at(tokio::time::Instant::now() + PERIOD, PERIOD);
        let mut appended = self.store.appended();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = counting.tick() => {
                    let now = self.store.appended();
                    let new: f64 = now.iter().zip(appended).map(|(now, before)| now - before).sum();
                    appended = now;
                    self.received.add(new.max(0.0) as u64);
                    self.received.tick();
                    self.count_shards();
                }
                _ = tidying.tick() => {
                    let own = Arc::clone(&self);
                    let _panicked = tokio::task::spawn_blocking(move || own.tidy()).await;
                }
            }
        }
    }

    fn count_shards(&self) {
        let newest = self.store.newest_time().map_or(0.0, |max| (max / 1000) as f64);
        for Destination { queue, .. } in self.running.lock().queues.values() {
            queue.sent.tick();
            queue.dropped.tick();
            queue.sending.tick();
            let delay = newest - queue.metrics.highest_sent.get();
            let load = Load {
                received: self.received.get(),
                sent: queue.sent.get(),
                dropped: queue.dropped.get(),
                sending: queue.sending.get() / 1e9,
                delay,
            };
            let Some(desired) = rate::desired(load) else { continue };
            queue.metrics.shards_desired.set(desired);
            let (min, max) = (queue.options.queue.min_shards, queue.options.queue.max_shards);
            let now = queue.wanted_shards.load(Ordering::Relaxed);
            let next = rate::next(now, desired, delay, min, max);
            if next != now && queue.may_reshard() {
                tracing::info!(
                    component = "remote",
                    remote_name = queue.options.name,
                    url = queue.options.shown_url,
                    from = now,
                    to = next,
                    "Remote storage resharding"
                );
                queue.wanted_shards.store(next, Ordering::Relaxed);
            }
        }
    }

    /// Up to when all destinations have everything, in milliseconds since the Unix epoch; none where nothing was sent yet.
    #[must_use]
    pub fn lowest_sent(&self) -> Option<i64> {
        let running = self.running.lock();
        let sent = running.queues.values().map(|d| (d.queue.metrics.highest_sent.get() * 1000.0) as i64);
        sent.min().filter(|&sent| sent > 0)
    }

    fn tidy(&self) {
        let running = self.running.lock();
        let mut least: Option<Places> = None;
        for Destination { queue, .. } in running.queues.values() {
            let progress = queue.progress.lock();
            let table = progress.tables().pop().unwrap_or_default();
            let own = table.least();
            let _unforced = progress.file.sync();
            least = Some(least.map_or(own, |least| [least[0].min(own[0]), least[1].min(own[1])]));
        }
        match backlog::tidy(&self.dirs, least, self.options.backlog_size) {
            Ok((bytes, lost)) => {
                self.metrics.backlog_bytes.set(bytes as f64);
                if lost.segments > 0 {
                    self.metrics.lost_segments.add(lost.segments as f64);
                    self.metrics.lost_bytes.add(lost.bytes as f64);
                    let names = running.queues.values().filter(|d| {
                        let own = d.queue.progress.lock().tables().pop().unwrap_or_default().least();
                        own.iter()
                            .zip(lost.upto)
                            .any(|(own, upto)| upto.is_some_and(|upto| own.segment <= upto))
                    });
                    let names: Vec<&str> = names.map(|d| d.queue.options.name.as_str()).collect();
                    tracing::error!(
                        component = "remote",
                        destinations = names.join(", "),
                        segments = lost.segments,
                        bytes = lost.bytes,
                        "More is waiting to be sent than --storage.remote.backlog-size allows: the oldest samples were dropped"
                    );
                }
            }
            Err(err) => {
                tracing::warn!(component = "remote", %err, "What waits to be sent could not be tidied up");
            }
        }
    }

    /// Sends all that was appended before, for as long as the flush deadline, and ends. Nothing is tried again: what is
    /// left is sent after the next start.
    pub fn stop(&self) {
        let queues = std::mem::take(&mut self.running.lock().queues);
        let deadline = Instant::now() + self.options.flush_deadline;
        for destination in queues.values() {
            destination.queue.finishing.cancel();
        }
        let reads = |d: &Destination| d.reader.as_ref().is_some_and(|reader| !reader.is_finished());
        while queues.values().any(reads) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.stop_all(queues.into_values(), deadline);
    }

    /// To be called when the logs are closed: what is in them at the next start besides was written by another program.
    pub fn logs_are_closed(&self) {
        if let Err(err) = others::note_end(&self.options.data, &*self.store) {
            tracing::warn!(component = "remote", %err, "It cannot be noted where the logs end");
        }
    }

    /// Ends destinations: what they have read is sent, until `deadline`.
    fn stop_all(&self, destinations: impl IntoIterator<Item = Destination>, deadline: Instant) {
        let mut destinations: Vec<_> = destinations.into_iter().collect();
        for destination in &destinations {
            destination.queue.finishing.cancel();
            destination.queue.closing.cancel();
        }
        for destination in &mut destinations {
            let name = destination.queue.options.name.clone();
            tracing::info!(component = "remote", remote_name = name, "Stopping remote storage...");
            if let Some(reader) = destination.reader.take() {
                // A panic there was logged.
                let _ = reader.join();
            }
            destination.tasks.close();
            while !destination.tasks.is_empty() {
                if Instant::now() >= deadline {
                    destination.hard.cancel();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let mut progress = destination.queue.progress.lock();
            let saved = progress.save().and_then(|()| progress.file.sync());
            if let Err(err) = saved {
                tracing::error!(component = "remote", remote_name = name, %err, "It cannot be noted how far remote write has got");
            }
            drop(progress);
            self.metrics.remove(&destination.queue.metrics);
            tracing::info!(component = "remote", remote_name = name, "Remote storage stopped.");
        }
    }
}

/// What came into the store, under the names that dashboards know.
fn register_received(store: &Arc<dyn Followed>, registry: &Registry) {
    let names = [
        (
            "prometheus_remote_storage_samples_in_total",
            "Samples in to remote storage, compare to samples out for queue managers. Deprecated, check prometheus_wal_watcher_records_read_total and prometheus_remote_storage_samples_dropped_total",
        ),
        (
            "prometheus_remote_storage_histograms_in_total",
            "HistogramSamples in to remote storage, compare to histograms out for queue managers. Deprecated, check prometheus_wal_watcher_records_read_total and prometheus_remote_storage_histograms_dropped_total",
        ),
        (
            "prometheus_remote_storage_exemplars_in_total",
            "Exemplars in to remote storage, compare to exemplars out for queue managers. Deprecated, check prometheus_wal_watcher_records_read_total and prometheus_remote_storage_exemplars_dropped_total",
        ),
    ];
    let store = Arc::downgrade(store);
    registry.collector(move |out| {
        let Some(store) = store.upgrade() else { return };
        for ((name, help), count) in names.iter().zip(store.appended()) {
            let mut family = Family::new(*name, *help, MetricKind::Counter);
            family.push(Labels::empty(), count);
            out.push(family);
        }
        let mut newest = Family::new(
            "prometheus_remote_storage_highest_timestamp_in_seconds",
            "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet. Deprecated, check prometheus_remote_storage_queue_highest_timestamp_seconds which is more accurate.",
            MetricKind::Gauge,
        );
        newest.push(Labels::empty(), store.newest_time().map_or(0.0, |max| (max / 1000) as f64));
        out.push(newest);
        let mut releases = Family::new(
            "prometheus_remote_storage_string_interner_zero_reference_releases_total",
            "The number of times release has been called for strings that are not interned.",
            MetricKind::Counter,
        );
        releases.push(Labels::empty(), 0.0);
        out.push(releases);
    });
}
