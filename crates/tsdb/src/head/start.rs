//! Opening a head: it takes samples at once, and becomes readable when [`Head::replay`] has read the log.
//!
//! First comes what the last process left, on all cores; then, while appends go on, what was appended meanwhile, again
//! and again until little is left; then appends wait for as long as it takes to read that little, and from there on
//! they go to the shards.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Instant;

use exposition::Registry;
use parking_lot::{Mutex, RwLock};

use super::limits::SeriesLimits;
use super::replay::Replay;
use super::snapshot;
use super::young::{self, Joined, Young};
use super::{Head, HeadOptions, NO_MAX, NO_MIN, OpenError, index, random_seed};
use crate::chunk_files::ChunkFiles;
use crate::dir_lock::DirLock;
use crate::epochs::Epochs;
use crate::exemplars::{Exemplar, Exemplars};
use crate::full_disk::is_full;
use crate::lookup::{Lookup, MAX_SHARDS};
use crate::metrics::Metrics;
use crate::millis::millis;
use crate::newest::Newest;
use crate::ooo::{self, OutOfOrder};
use crate::series::CutRules;
use crate::shard::{RefMap, Shard, ShardData};
use crate::wal::{Wal, repair, segments};

/// While more than that comes in the time of reading what came, appends do not wait.
const LITTLE: u64 = 256 * 1024;
/// How often it is tried to get there.
const ROUNDS: usize = 100;

/// What [`Head::replay`] has to do.
pub(super) struct Unread {
    opened: Instant,
    /// The log that is written begins with this segment.
    segment: u32,
    /// See [`young::left_over`].
    left_over: Vec<PathBuf>,
}

impl Head {
    /// Opens the directory, creating it if need be, and replays its log.
    ///
    /// Damage in the log or in mapped chunks is no error: what can be read is kept, damaged segments are set aside
    /// under `wal-damaged`, one line of log says what was found, and metrics count it.
    ///
    /// # Errors
    /// When another process has the directory open, or files cannot be read or written.
    pub fn open(dir: &Path, options: HeadOptions, registry: &Registry) -> Result<Head, OpenError> {
        let head = Self::open_replaying(dir, options, registry)?;
        head.replay()?;
        Ok(head)
    }

    /// Opens the directory, creating it if need be. Samples can be appended at once: they are safe in the log. They
    /// and those that the directory has can be read when [`replay`](Self::replay) has returned.
    ///
    /// # Errors
    /// When another process has the directory open, or files cannot be read or written.
    pub fn open_replaying(dir: &Path, options: HeadOptions, registry: &Registry) -> Result<Head, OpenError> {
        let opened = Instant::now();
        let wal_dir = dir.join("wal");
        let metrics = Metrics::register(registry, &wal_dir, options.wal_compression.name());
        disk::create_dir_all(dir).map_err(failed(dir))?;
        let lock = if options.lock_file {
            let lock = DirLock::acquire(dir).map_err(failed(&dir.join("lock")))?;
            let lock = lock.ok_or_else(|| OpenError::InUse(dir.to_path_buf()))?;
            metrics.clean_start.set(if lock.clean { 1.0 } else { 0.0 });
            if !lock.clean {
                tracing::warn!(dir = %dir.display(), "A lockfile from a previous execution already existed. It was replaced");
            }
            Some(lock)
        } else {
            metrics.clean_start.set(-1.0);
            None
        };
        disk::create_dir_all(&wal_dir).map_err(failed(&wal_dir))?;
        repair::finish(&wal_dir).map_err(failed(&wal_dir))?;
        let chunks_dir = dir.join("chunks_head");
        let chunk_files = ChunkFiles::open(&chunks_dir).map_err(failed(&chunks_dir))?;
        let mut segment = segments::next(&wal_dir).map_err(failed(&wal_dir))?;
        if let Some(snapshot) = snapshot::list(dir).map_err(failed(dir))?.last() {
            // A log that was lost must not seem to be the one that the snapshot goes on in.
            segment = segment.max(snapshot.end.segment.saturating_add(1));
        }
        let wal = Wal::begin(
            &wal_dir,
            segment,
            options.wal_segment_size,
            options.wal_compression,
            Some(metrics.wal.clone()),
        )
        .map_err(failed(&wal_dir))?;

        let left_over = young::left_over(dir).map_err(failed(dir))?;
        let young = Young::new(dir, options.wal_segment_size, options.wal_compression);

        let shard_count = match options.shards {
            0 => std::thread::available_parallelism().map_or(2, usize::from) * 2,
            n => n,
        };
        let shard_count = shard_count.next_power_of_two().min(MAX_SHARDS);
        let seed = random_seed();
        let rules = CutRules {
            chunk_range: i64::try_from(options.chunk_range.as_millis()).unwrap_or(i64::MAX / 4).max(1),
            samples_per_chunk: options.samples_per_chunk.clamp(4, 240),
            floats: options.float_encoding.chunk(options.start_times),
            histogram_start_times: options.histogram_start_times,
        };
        metrics.series_limit.set(options.max_series as f64);
        metrics.series_per_minute_limit.set(options.max_series_per_minute.into());
        let limits = SeriesLimits::new(options.max_series, options.max_series_per_minute, &options.memory);
        let late = ooo::Options { window: options.out_of_order_window, cap: options.out_of_order_cap };
        let (segment_size, compression) = (options.wal_segment_size, options.wal_compression);
        let window = millis(options.out_of_order_window);
        let exemplars = Exemplars::new(options.exemplar_ring(), window, metrics.clone());
        let newest = Arc::new(Newest::default());
        let empty = |i| {
            let data = ShardData::new(i, seed, Arc::clone(&newest));
            Shard { order: Mutex::new(()), data: RwLock::new(data) }
        };
        Ok(Head {
            floats: RwLock::new(rules.floats),
            rules,
            limits,
            dir: dir.to_path_buf(),
            wal_dir,
            shards: (0..shard_count).map(empty).collect(),
            newest,
            refs: RefMap::new(shard_count),
            lookup: Lookup::new(),
            seed,
            hasher: foldhash::quality::FixedState::with_seed(seed),
            wal,
            chunk_files,
            ooo: OutOfOrder::new(dir, late, segment_size, compression, registry),
            spanning: RwLock::new(()),
            epochs: Epochs::default(),
            min_time: AtomicI64::new(NO_MIN),
            max_time: AtomicI64::new(NO_MAX),
            min_valid_time: AtomicI64::new(NO_MAX),
            let_go_before: AtomicI64::new(NO_MAX),
            series: AtomicUsize::new(0),
            chunks: AtomicUsize::new(0),
            gone: Mutex::default(),
            aliases: RwLock::new(HashMap::new()),
            maintaining: Mutex::new(()),
            scratch: Mutex::default(),
            exemplars: RwLock::new(exemplars),
            unread: Mutex::new(Some(Unread { opened, segment, left_over })),
            young: RwLock::new(Some(young)),
            joined: RwLock::default(),
            live: AtomicBool::new(false),
            replay: Arc::default(),
            metrics,
            closed: AtomicBool::new(false),
            retired_to: Mutex::default(),
            options,
            _lock: lock,
        })
    }

    /// Reads the log that the last process left, and what was appended meanwhile; then the head can be read. To be
    /// called once, after [`open_replaying`](Self::open_replaying); further calls do nothing.
    ///
    /// Damage is no error: see [`open`](Self::open).
    ///
    /// # Errors
    /// When files cannot be read or written, or the head was closed meanwhile. Nothing that was appended is lost then:
    /// the next start finds it.
    pub fn replay(&self) -> Result<(), OpenError> {
        // Held to the end: `close` waits for it.
        let mut unread = self.unread.lock();
        let Some(Unread { opened, segment, left_over }) = unread.take() else { return Ok(()) };
        let chunks_dir = self.dir.join("chunks_head");
        self.read_log(segment)?;
        for shard in 0..self.shards.len() {
            let _order = self.shards[shard].order.lock();
            match self.write_closed_chunks(shard) {
                Err(error) if is_full(&error) => {
                    tracing::error!(
                        err = %error,
                        "The disk is full: full chunks stay in memory and in the log until there is room"
                    );
                    break;
                }
                outcome => outcome.map_err(failed(&chunks_dir))?,
            }
        }
        let start = self.let_go_before.load(Ordering::Relaxed);
        if start > NO_MAX {
            self.forget_at_start(start).map_err(failed(&chunks_dir))?;
        }
        let appended = self.join_young(&left_over).map_err(self.stopped(&self.wal_dir))?;

        self.metrics.replay_seconds.set(opened.elapsed().as_secs_f64());
        self.note_times();
        self.note_sizes();
        tracing::info!(
            series = self.series.load(Ordering::Relaxed),
            samples_meanwhile = appended,
            seconds = opened.elapsed().as_secs_f64(),
            "the write-ahead log was replayed"
        );
        // What came meanwhile is in the log; it must be on the disk before the copy is deleted.
        self.sync().and_then(|()| young::delete(&self.dir)).map_err(failed(&self.dir))
    }

    /// Fills the shards with what the last process left: mapped chunks, and the log before `segment`.
    fn read_log(&self, segment: u32) -> Result<(), OpenError> {
        let chunks_dir = self.dir.join("chunks_head");
        let mut shards: Vec<ShardData> =
            (0..self.shards.len()).map(|i| ShardData::new(i, self.seed, Arc::clone(&self.newest))).collect();
        let snapshot = match self.options.snapshot_on_shutdown {
            true => snapshot::list(&self.dir).map_err(failed(&self.dir))?.pop(),
            false => None,
        };
        let scan = self.chunk_files.scan().map_err(failed(&chunks_dir))?;
        let (replayed, late) = Replay {
            wal_dir: &self.wal_dir,
            rules: &self.rules,
            refs: self.refs,
            metrics: &self.metrics,
            progress: &self.replay,
            chunk_files: &self.chunk_files,
            lookup: &self.lookup,
            hasher: &self.hasher,
            snapshot,
            end: segment,
            start: self.let_go_before.load(Ordering::Relaxed),
            stop: &self.closed,
            max_exemplars: self.options.exemplar_ring(),
        }
        .run(&mut shards, scan)
        .map_err(self.stopped(&self.wal_dir))?;
        let indexed = index::index(&mut shards, &self.lookup, self.refs, &self.chunk_files, &self.closed)
            .map_err(failed(&chunks_dir))?;
        let mut aliases = indexed.aliases;
        let late = self.replay_late(&mut shards, &late, &aliases)?;
        aliases.extend(late.aliases);
        let series = shards.iter().map(ShardData::live).sum();
        self.series.store(series, Ordering::Relaxed);
        self.metrics.series_created.add(series as f64);
        self.chunks.store(indexed.chunks + late.chunks, Ordering::Relaxed);
        self.metrics.chunks_created.add((indexed.chunks + late.chunks) as f64);
        self.min_time.store(indexed.min_time, Ordering::Relaxed);
        self.max_time.store(indexed.max_time, Ordering::Relaxed);
        *self.aliases.write() = aliases;
        for (shard, data) in self.shards.iter().zip(shards) {
            *shard.data.write() = data;
        }
        self.store_exemplars(replayed.exemplars);
        tracing::info!(
            series,
            samples = replayed.samples,
            out_of_order = late.samples,
            "the write-ahead log was read"
        );
        Ok(())
    }

    /// Exemplars need their series' labels, so they wait until the series are there.
    fn store_exemplars(&self, replayed: VecDeque<(u64, Exemplar)>) {
        let mut exemplars = self.exemplars.write();
        let start = self.let_go_before.load(Ordering::Relaxed);
        for (reference, exemplar) in replayed.into_iter().filter(|(_, exemplar)| exemplar.t >= start) {
            let current = self.aliases.read().get(&reference).copied().unwrap_or(reference);
            let data = self.shards[self.refs.shard_of(current)].data.read();
            if let Some(slot) = self.refs.id_of(current).and_then(|id| data.slot_of(id)) {
                // What is refused was refused when it came, too.
                let _ = exemplars.add(current, || data.labels(slot), exemplar, false);
            }
        }
    }

    /// Appends what came since the start, and before it to processes that did not get to this point. From here on
    /// appends go to the shards. Returns the number of samples.
    fn join_young(&self, left_over: &[PathBuf]) -> io::Result<usize> {
        let mut reader = young::Reader::new(self);
        for path in left_over {
            reader.read_file(path)?;
        }
        for _ in 0..ROUNDS {
            let gate = self.young.read();
            let Some(young) = &*gate else { break };
            if reader.catch_up(young)? < LITTLE {
                break;
            }
        }
        let waiting = Instant::now();
        let mut gate = self.young.write();
        if let Some(young) = &*gate {
            reader.catch_up(young)?;
        }
        *gate = None;
        *self.joined.write() =
            Some(Joined { series: std::mem::take(&mut reader.series), since: Instant::now() });
        self.live.store(true, Ordering::Release);
        drop(gate);
        tracing::debug!(
            seconds = waiting.elapsed().as_secs_f64(),
            "appends waited for the end of the replay"
        );
        Ok(reader.samples)
    }

    /// Whether the log was replayed: what was appended can be read.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// As [`failed`], unless the head was closed meanwhile.
    pub(super) fn stopped(&self, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
        move |source| {
            if self.closed.load(Ordering::Relaxed) { OpenError::Closed } else { failed(path)(source) }
        }
    }
}

pub(crate) fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { path, source }
}
