//! The head of the store. Its files follow a sample's life: [`append`], [`select`], [`maintain`], and after a restart
//! [`replay`].

mod append;
mod checkpoint;
mod held;
mod index;
mod maintain;
mod matching;
mod part;
mod replay;
mod select;
mod stats;
mod write_chunks;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exposition::Registry;
use model::Labels;
use parking_lot::{Mutex, RwLock};

use crate::chunk_files::ChunkFiles;
use crate::dir_lock::DirLock;
use crate::epochs::Epochs;
use crate::lookup::{Lookup, MAX_SHARDS};
use crate::metrics::Metrics;
use crate::series::CutRules;
use crate::shard::{RefMap, Shard, ShardData};
use crate::wal::{Compression, Wal, segments};
use append::Scratch;

pub use stats::HeadStats;

/// What a head is opened with. The defaults are Prometheus'.
#[derive(Debug, Clone)]
pub struct HeadOptions {
    /// How records of the log are compressed.
    pub wal_compression: Compression,
    /// Length of a segment of the log, in bytes.
    pub wal_segment_size: u64,
    /// Chunks do not cross multiples of this: the length of a block.
    pub chunk_range: Duration,
    /// Samples of a chunk that are aimed at.
    pub samples_per_chunk: u16,
    /// How long samples are kept; zero keeps them for ever.
    pub retention: Duration,
    /// Most series in memory; 0 means any number. Series beyond it are refused.
    pub max_series: usize,
    /// Whether the directory is locked against other processes.
    pub lock_file: bool,
    /// Number of shards, a power of two up to 64; 0 chooses by the number of cores.
    pub shards: usize,
}

impl Default for HeadOptions {
    fn default() -> Self {
        HeadOptions {
            wal_compression: Compression::Snappy,
            wal_segment_size: 128 * 1024 * 1024,
            chunk_range: Duration::from_secs(2 * 3600),
            samples_per_chunk: 120,
            retention: Duration::from_secs(15 * 24 * 3600),
            max_series: 0,
            lock_file: true,
            shards: 0,
        }
    }
}

/// Why a directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// How far the replay of the log is, in numbers of segments.
#[derive(Debug, Default)]
pub struct WalReplay {
    /// First segment.
    pub min: AtomicU64,
    /// Last segment.
    pub max: AtomicU64,
    /// The one that is being read.
    pub current: AtomicU64,
}

/// No sample yet.
const NO_MAX: i64 = i64::MIN;
const NO_MIN: i64 = i64::MAX;

/// Recent samples in memory, backed by a log and by mapped files.
pub struct Head {
    options: HeadOptions,
    rules: CutRules,
    wal_dir: PathBuf,
    shards: Box<[Shard]>,
    refs: RefMap,
    lookup: Lookup,
    hasher: foldhash::quality::FixedState,
    wal: Wal,
    chunk_files: ChunkFiles,
    /// Batches that touch several shards hold this to write, readers to read: a reader goes from shard to shard.
    spanning: RwLock<()>,
    epochs: Epochs,
    min_time: AtomicI64,
    max_time: AtomicI64,
    /// Nothing older is accepted.
    min_valid_time: AtomicI64,
    /// How long samples are kept; 0 is for ever.
    retention_ms: AtomicI64,
    series: AtomicUsize,
    chunks: AtomicUsize,
    /// References that are gone, and the last segment of the log that may have samples of them.
    gone: Mutex<HashMap<u64, u32>>,
    /// References under which the log and `chunks_head` have older samples of a series, with the one it has now.
    aliases: HashMap<u64, u64>,
    /// One maintenance at a time.
    maintaining: Mutex<()>,
    scratch: Mutex<Vec<Scratch>>,
    replay: Arc<WalReplay>,
    metrics: Metrics,
    closed: AtomicBool,
    _lock: Option<DirLock>,
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
        Self::open_watched(dir, options, registry, Arc::default())
    }

    /// As [`open`](Self::open), telling the progress of the replay as it goes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_watched(
        dir: &Path,
        options: HeadOptions,
        registry: &Registry,
        progress: Arc<WalReplay>,
    ) -> Result<Head, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenError::Io { path, source }
        };
        let start = Instant::now();
        let metrics = Metrics::register(registry, options.wal_compression.name());
        std::fs::create_dir_all(dir).map_err(failed(dir))?;
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
        let wal_dir = dir.join("wal");
        std::fs::create_dir_all(&wal_dir).map_err(failed(&wal_dir))?;
        let chunks_dir = dir.join("chunks_head");
        let chunk_files = ChunkFiles::open(&chunks_dir).map_err(failed(&chunks_dir))?;

        let shard_count = match options.shards {
            0 => std::thread::available_parallelism().map_or(2, usize::from) * 2,
            n => n,
        };
        let shard_count = shard_count.next_power_of_two().min(MAX_SHARDS);
        let seed = random_seed();
        let rules = CutRules {
            chunk_range: i64::try_from(options.chunk_range.as_millis()).unwrap_or(i64::MAX / 4).max(1),
            samples_per_chunk: options.samples_per_chunk.clamp(4, 240),
        };
        let mut shards: Vec<ShardData> = (0..shard_count).map(|i| ShardData::new(i, seed)).collect();
        let refs = RefMap::new(shard_count);
        let lookup = Lookup::new();
        let hasher = foldhash::quality::FixedState::with_seed(seed);

        let scan = chunk_files.scan().map_err(failed(&chunks_dir))?;
        let replayed = replay::Replay {
            wal_dir: &wal_dir,
            rules: &rules,
            refs,
            metrics: &metrics,
            progress: &progress,
            chunk_files: &chunk_files,
            lookup: &lookup,
            hasher: &hasher,
        }
        .run(&mut shards, scan)
        .map_err(failed(&wal_dir))?;
        let merged = index::index(&mut shards, &lookup, refs, &chunk_files).map_err(failed(&chunks_dir))?;

        let segment = segments::next(&wal_dir).map_err(failed(&wal_dir))?;
        let wal = Wal::create(
            &wal_dir,
            segment,
            options.wal_segment_size,
            options.wal_compression,
            Some(metrics.clone()),
        )
        .map_err(failed(&wal_dir))?;

        metrics.retention_seconds.set(options.retention.as_secs_f64());
        metrics.series_limit.set(options.max_series as f64);
        let head = Head {
            rules,
            wal_dir,
            series: AtomicUsize::new(shards.iter().map(ShardData::live).sum()),
            chunks: AtomicUsize::new(merged.chunks),
            min_time: AtomicI64::new(merged.min_time),
            max_time: AtomicI64::new(merged.max_time),
            min_valid_time: AtomicI64::new(NO_MAX),
            retention_ms: AtomicI64::new(maintain::millis(options.retention)),
            shards: shards
                .into_iter()
                .map(|data| Shard { order: Mutex::new(()), data: RwLock::new(data) })
                .collect(),
            refs,
            lookup,
            hasher,
            wal,
            chunk_files,
            spanning: RwLock::new(()),
            epochs: Epochs::default(),
            gone: Mutex::default(),
            aliases: merged.aliases,
            maintaining: Mutex::new(()),
            scratch: Mutex::default(),
            replay: progress,
            metrics,
            closed: AtomicBool::new(false),
            options,
            _lock: lock,
        };
        for shard in 0..head.shards.len() {
            head.write_closed_chunks(shard).map_err(failed(&chunks_dir))?;
        }
        head.metrics.series_created.add(head.series.load(Ordering::Relaxed) as f64);
        head.metrics.replay_seconds.set(start.elapsed().as_secs_f64());
        head.note_times();
        head.note_sizes();
        tracing::info!(
            series = head.series.load(Ordering::Relaxed),
            samples = replayed.samples,
            seconds = start.elapsed().as_secs_f64(),
            "the write-ahead log was replayed"
        );
        Ok(head)
    }

    /// How far the replay is.
    #[must_use]
    pub fn replay_progress(&self) -> Arc<WalReplay> {
        Arc::clone(&self.replay)
    }

    /// Times of the oldest and newest sample, in milliseconds; `None` while there are none.
    #[must_use]
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let (min, max) = (self.min_time.load(Ordering::Relaxed), self.max_time.load(Ordering::Relaxed));
        (min <= max).then_some((min, max))
    }

    /// Number of series.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    /// Forces the log to the disk: what was appended before survives a power cut too.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.wal.sync()
    }

    /// Refuses further batches and forces everything to the disk.
    ///
    /// # Errors
    /// When the disk refuses; the head is closed all the same.
    pub fn close(&self) -> io::Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        // Batches that were let in before are waited for.
        let _order: Vec<_> = self.shards.iter().map(|shard| shard.order.lock()).collect();
        let chunks = self.chunk_files.close();
        self.wal.close()?;
        chunks
    }

    fn hash(&self, labels: &Labels) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        let mut hasher = self.hasher.build_hasher();
        hasher.write(labels.as_bytes());
        hasher.finish()
    }

    fn note_times(&self) {
        let Some((min, max)) = self.time_range() else { return };
        self.metrics.min_time.set(min as f64);
        self.metrics.min_time_seconds.set(min as f64 / 1000.0);
        self.metrics.max_time.set(max as f64);
        self.metrics.max_time_seconds.set(max as f64 / 1000.0);
        self.metrics.lowest_timestamp.set(min as f64);
        self.metrics.lowest_timestamp_seconds.set(min as f64 / 1000.0);
        self.metrics.chunks.set(self.chunks.load(Ordering::Relaxed) as f64);
        self.metrics.series.set(self.series.load(Ordering::Relaxed) as f64);
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the head could not be closed cleanly");
        }
    }
}

/// Differs from process to process, so that nobody can choose labels whose hashes collide.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}
