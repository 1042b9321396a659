//! The head of the store. Its files follow a sample's life: [`append`], [`select`], [`maintain`], and after a restart
//! [`start`]: [`young`] takes samples while [`replay`] reads the log.

mod annotations;
mod append;
mod checkpoint;
mod delete;
mod ended;
mod hand_over;
mod held;
mod index;
mod late;
mod limits;
mod maintain;
mod matching;
mod ordered;
mod part;
mod replay;
mod select;
mod snapshot;
mod start;
mod stats;
mod write_chunks;
mod young;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::MemoryBudget;

use crate::chunk_files::ChunkFiles;
use crate::dir_lock::DirLock;
use crate::epochs::Epochs;
use crate::exemplars::Exemplars;
use crate::full_disk::is_full;
use crate::lookup::{self, Lookup};
use crate::metrics::Metrics;
use crate::newest::Newest;
use crate::ooo::OutOfOrder;
use crate::series::{CutRules, FloatChunk};
use crate::shard::{RefMap, Shard};
use crate::wal::{Compression, Wal};
use append::Scratch;
use limits::SeriesLimits;
use start::Unread;
use young::{Joined, Young, YoungGate};

pub use delete::DeleteError;
pub(crate) use ended::Ended;
pub(crate) use ordered::Samples;
pub use ordered::SeriesInOrder;
pub(crate) use start::failed;
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
    /// Most series in memory; 0 means any number. Series beyond it are refused.
    pub max_series: usize,
    /// Most series created in a minute; 0 means any number. Series beyond it are refused until the minute is over.
    pub max_series_per_minute: u32,
    /// What the head accounts its memory to. As it nears its limit, new series are refused.
    pub memory: MemoryBudget,
    /// How much older than the newest sample of the head a sample may be that is older than the newest of its series;
    /// zero takes none.
    pub out_of_order_window: Duration,
    /// Samples out of order of a series that are kept in memory before a chunk is made of them: 1 to 255.
    pub out_of_order_cap: usize,
    /// Whether what is in memory is written when the head is closed, and a start begins with that
    /// (`--enable-feature=memory-snapshot-on-shutdown`).
    pub snapshot_on_shutdown: bool,
    /// Whether the directory is locked against other processes.
    pub lock_file: bool,
    /// Number of shards, a power of two up to 64; 0 chooses by the number of cores.
    pub shards: usize,
    /// The encoding of new chunks of floats (`storage.tsdb.chunk_encoding.floats`).
    pub float_encoding: FloatEncoding,
    /// Whether start times are kept (`--enable-feature=st-storage`). Chunks of floats are XOR2 then.
    pub start_times: bool,
    /// Whether chunks of histograms are of the encodings that have a place for start times
    /// (`--enable-feature=histograms-st-encoding`).
    pub histogram_start_times: bool,
    /// Whether exemplars are kept (`--enable-feature=exemplar-storage`).
    pub exemplars: bool,
    /// Most exemplars (`storage.exemplars.max_exemplars`); see [`Head::set_max_exemplars`].
    pub max_exemplars: usize,
    /// Whether metadata is kept for each series and logged (`--enable-feature=metadata-wal-records`).
    pub metadata_wal_records: bool,
}

impl HeadOptions {
    /// So many exemplars are kept.
    fn exemplar_ring(&self) -> usize {
        if self.exemplars { self.max_exemplars } else { 0 }
    }
}

/// How floats are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FloatEncoding {
    /// Prometheus' default.
    #[default]
    Xor,
    /// Shorter where times jitter, and with a place for start times.
    Xor2,
}

impl FloatEncoding {
    fn chunk(self, start_times: bool) -> FloatChunk {
        match self {
            _ if start_times => FloatChunk::Xor2WithStartTimes,
            FloatEncoding::Xor => FloatChunk::Xor,
            FloatEncoding::Xor2 => FloatChunk::Xor2,
        }
    }
}

impl Default for HeadOptions {
    fn default() -> Self {
        HeadOptions {
            wal_compression: Compression::Snappy,
            wal_segment_size: 128 * 1024 * 1024,
            chunk_range: Duration::from_secs(2 * 3600),
            samples_per_chunk: 120,
            max_series: 0,
            max_series_per_minute: 0,
            memory: MemoryBudget::default(),
            out_of_order_window: Duration::ZERO,
            out_of_order_cap: 32,
            snapshot_on_shutdown: false,
            lock_file: true,
            shards: 0,
            float_encoding: FloatEncoding::Xor,
            start_times: false,
            histogram_start_times: false,
            exemplars: false,
            max_exemplars: 100_000,
            metadata_wal_records: false,
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
    /// The head was closed while its log was replayed.
    #[error("the store was closed before its log was replayed")]
    Closed,
}

/// How far the replay of the log is; the first three are numbers of segments.
#[derive(Debug, Default)]
pub struct WalReplay {
    /// First segment.
    pub min: AtomicU64,
    /// Last segment.
    pub max: AtomicU64,
    /// The one that is being read.
    pub current: AtomicU64,
    /// Bytes of the log that were read.
    pub read_bytes: AtomicU64,
    /// Bytes of the log that are to be read.
    pub total_bytes: AtomicU64,
}

/// No sample yet.
const NO_MAX: i64 = i64::MIN;
const NO_MIN: i64 = i64::MAX;

/// Recent samples in memory, backed by a log and by mapped files.
pub struct Head {
    options: HeadOptions,
    rules: CutRules,
    /// What `rules` say of floats, as it was changed since.
    floats: RwLock<FloatChunk>,
    limits: SeriesLimits,
    dir: PathBuf,
    wal_dir: PathBuf,
    shards: Box<[Shard]>,
    newest: Arc<Newest>,
    refs: RefMap,
    lookup: Lookup,
    seed: u64,
    hasher: foldhash::quality::FixedState,
    wal: Wal,
    chunk_files: ChunkFiles,
    ooo: OutOfOrder,
    /// Batches that touch several shards hold this to write, readers to read: a reader goes from shard to shard.
    spanning: RwLock<()>,
    epochs: Epochs,
    min_time: AtomicI64,
    max_time: AtomicI64,
    /// Nothing older is accepted.
    min_valid_time: AtomicI64,
    /// What is older was let go of: blocks have it, or it is past the retention. Not later than `min_valid_time`, which
    /// also holds for what is to be cut into a block, but is not yet.
    let_go_before: AtomicI64,
    series: AtomicUsize,
    chunks: AtomicUsize,
    /// References that are gone, and the last segment of the log that may have samples of them.
    gone: Mutex<HashMap<u64, u32>>,
    /// References under which the log and `chunks_head` have older samples of a series, with the one it has now.
    aliases: RwLock<HashMap<u64, u64>>,
    /// One maintenance at a time.
    maintaining: Mutex<()>,
    scratch: Mutex<Vec<Scratch>>,
    exemplars: RwLock<Exemplars>,
    /// What is still to be replayed. Locked while it is.
    unread: Mutex<Option<Unread>>,
    /// Takes appends until the log was replayed.
    young: YoungGate,
    /// What became of the series that it named.
    joined: RwLock<Option<Joined>>,
    live: AtomicBool,
    replay: Arc<WalReplay>,
    metrics: Metrics,
    closed: AtomicBool,
    /// See [`Head::retire_logs_to`].
    retired_to: Mutex<Option<PathBuf>>,
    _lock: Option<DirLock>,
}

impl Head {
    pub(crate) fn wal(&self) -> &Wal {
        &self.wal
    }

    pub(crate) fn late_log(&self) -> Option<&Wal> {
        self.ooo.log()
    }

    pub(crate) fn retired_to(&self) -> &Mutex<Option<PathBuf>> {
        &self.retired_to
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
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

    /// Times of the oldest and newest sample, in milliseconds, as Prometheus tells them: not before what blocks have, and
    /// without samples or blocks `i64::MAX` and `i64::MIN`.
    #[must_use]
    pub(crate) fn time_bounds(&self) -> (i64, i64) {
        let (min, max) = (self.min_time.load(Ordering::Relaxed), self.max_time.load(Ordering::Relaxed));
        match self.let_go_before.load(Ordering::Relaxed) {
            NO_MAX => (min, max),
            start if min > max => (start, start),
            start => (min.max(start), max.max(start)),
        }
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
        if let Some(young) = &*self.young.read() {
            young.sync()?;
        }
        self.ooo.sync()?;
        self.wal.sync()
    }

    /// Refuses further batches and forces everything to the disk. That the disk is full is no error: what was acknowledged
    /// is in the log.
    ///
    /// # Errors
    /// When the disk refuses; the head is closed all the same.
    pub fn close(&self) -> io::Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        // Batches that were let in before are waited for, and the replay, which writes to the log.
        drop(self.unread.lock());
        let gate = self.young.write();
        let young = gate.as_ref().map_or(Ok(()), Young::close);
        let _order: Vec<_> = self.shards.iter().map(|shard| shard.order.lock()).collect();
        let unwritten = (0..self.shards.len()).try_for_each(|shard| self.write_closed_chunks(shard));
        let chunks = self.chunk_files.close();
        let late = self.ooo.close();
        let closed = [self.wal.close(), young, late, chunks, unwritten];
        if closed.iter().all(Result::is_ok) {
            self.snapshot_at_close();
        }
        closed.into_iter().try_for_each(|outcome| match outcome {
            Err(error) if is_full(&error) => {
                tracing::error!(err = %error, "The disk is full: the next start reads from the log what could not be written");
                Ok(())
            }
            outcome => outcome,
        })
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn hash(&self, labels: &Labels) -> u64 {
        lookup::hash(&self.hasher, labels)
    }

    fn note_times(&self) {
        let (min, max) = self.time_bounds();
        self.metrics.min_time.set(min as f64);
        self.metrics.min_time_seconds.set((min / 1000) as f64);
        self.metrics.max_time.set(max as f64);
        self.metrics.max_time_seconds.set((max / 1000) as f64);
        self.metrics.chunks.set(self.chunks.load(Ordering::Relaxed) as f64);
        self.metrics.series.set(self.series.load(Ordering::Relaxed) as f64);
        self.metrics.stale_series.set(self.newest.ended() as f64);
        self.metrics.histogram_series.set(self.newest.histograms() as f64);
        self.metrics.histogram_buckets.set(self.newest.buckets() as f64);
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
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}
