//! The store of an agent: what comes is logged for those who send it on, and nothing else is kept of it.
//!
//! Of a series there are its labels, in numbers, and the time of its newest sample; README.md counts the bytes. The
//! directory is that of `prometheus --agent`: `wal/` with segments and checkpoints, and a lock.

mod append;
mod metrics;
mod replay;
mod series;
mod truncate;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exposition::Registry;
use foldhash::fast::FixedState;
use model::Labels;
use parking_lot::Mutex;
use storage::{MemoryAccount, MemoryBudget};

use crate::dir_lock::DirLock;
use crate::exemplars::Exemplar;
use crate::follow::{Followed, Log, LogPlace};
use crate::head::{OpenError, failed, random_seed};
use crate::lookup::{Lookup, MAX_SHARDS};
use crate::shard::RefMap;
use crate::wal::{Compression, Wal, repair, segments};
use append::Scratch;
use metrics::Metrics;
use series::Shard;

/// How an agent keeps its log; the flags `--storage.agent.*`.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// How records are compressed.
    pub wal_compression: Compression,
    /// Length of a segment in bytes.
    pub wal_segment_size: u64,
    /// How often the log is truncated.
    pub truncate_frequency: Duration,
    /// What is in the log at least so long stays, even if it was sent.
    pub min_time: Duration,
    /// Series without samples for so long are forgotten, even if what they had was not sent.
    pub max_time: Duration,
    /// Checkpoints are made of the series in memory, and not of the segments that they stand for.
    pub checkpoint_from_memory: bool,
    /// Series of a record of such a checkpoint.
    pub checkpoint_batch_size: usize,
    /// Whether the file `lock` keeps other processes out.
    pub lock_file: bool,
    /// How far behind the newest sample of its series one may be.
    pub out_of_order_window: Duration,
    /// Whether start times are logged, in records of the second version.
    pub start_times: bool,
    /// What series are accounted to.
    pub memory: MemoryBudget,
}

impl Default for AgentOptions {
    fn default() -> Self {
        AgentOptions {
            wal_compression: Compression::Snappy,
            wal_segment_size: 128 << 20,
            truncate_frequency: Duration::from_secs(2 * 3600),
            min_time: Duration::from_secs(5 * 60),
            max_time: Duration::from_secs(4 * 3600),
            checkpoint_from_memory: false,
            checkpoint_batch_size: 1000,
            lock_file: true,
            out_of_order_window: Duration::ZERO,
            start_times: false,
            memory: MemoryBudget::default(),
        }
    }
}

impl AgentOptions {
    /// What does not go together is put right as Prometheus does it: zeros are the defaults, and the longest time is
    /// neither less than the shortest nor than the time between truncations.
    fn put_right(mut self) -> Self {
        let defaults = AgentOptions::default();
        let or = |value: Duration, default: Duration| if value.is_zero() { default } else { value };
        self.truncate_frequency = or(self.truncate_frequency, defaults.truncate_frequency);
        self.min_time = or(self.min_time, defaults.min_time);
        self.max_time = or(self.max_time, defaults.max_time).max(self.min_time).max(self.truncate_frequency);
        if self.wal_segment_size == 0 {
            self.wal_segment_size = defaults.wal_segment_size;
        }
        self
    }
}

/// A series that is there no more, while the log still has samples of it.
struct Gone {
    /// The last segment that may have some.
    segment: u32,
    /// What a checkpoint made from memory must say of it.
    labels: Labels,
}

/// See the module.
pub struct Agent {
    options: AgentOptions,
    wal_dir: PathBuf,
    wal: Wal,
    shards: Box<[Shard]>,
    refs: RefMap,
    lookup: Lookup,
    hasher: foldhash::quality::FixedState,
    series: AtomicUsize,
    /// By reference. Locked last.
    gone: Mutex<HashMap<u64, Gone, FixedState>>,
    /// The newest exemplar of each series that has some: the same once more is no news.
    exemplars: Mutex<HashMap<u64, Exemplar, FixedState>>,
    /// Milliseconds.
    window: AtomicI64,
    /// Time of the newest sample.
    newest: AtomicI64,
    retired_to: Mutex<Option<PathBuf>>,
    /// Held by whoever truncates.
    truncating: Mutex<()>,
    closed: AtomicBool,
    scratch: Mutex<Vec<Scratch>>,
    metrics: Metrics,
    memory: MemoryAccount,
    _lock: Option<DirLock>,
}

impl Agent {
    /// Opens the directory, creating it if need be, and reads which series its log has.
    ///
    /// # Errors
    /// When another process has the directory open, or files cannot be read or written.
    pub fn open(dir: &Path, options: AgentOptions, registry: &Registry) -> Result<Agent, OpenError> {
        let opened = Instant::now();
        let options = options.put_right();
        let wal_dir = dir.join("wal");
        let metrics = Metrics::register(registry, &wal_dir, options.wal_compression.name());
        disk::create_dir_all(dir).map_err(failed(dir))?;
        let lock = if options.lock_file {
            let lock = DirLock::acquire(dir).map_err(failed(&dir.join("lock")))?;
            let lock = lock.ok_or_else(|| OpenError::InUse(dir.to_path_buf()))?;
            metrics.clean_start.set(f64::from(lock.clean));
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
        let segment = segments::next(&wal_dir).map_err(failed(&wal_dir))?;
        let wal = Wal::begin(
            &wal_dir,
            segment,
            options.wal_segment_size,
            options.wal_compression,
            Some(metrics.wal.clone()),
        )
        .map_err(failed(&wal_dir))?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let shards = cores.next_power_of_two().min(MAX_SHARDS);
        let seed = random_seed();
        let mut agent = Agent {
            wal,
            shards: (0..shards).map(|index| Shard::new(index, seed)).collect(),
            refs: RefMap::new(shards),
            lookup: Lookup::new(),
            hasher: foldhash::quality::FixedState::with_seed(seed),
            series: AtomicUsize::new(0),
            gone: Mutex::new(HashMap::with_hasher(FixedState::with_seed(seed))),
            exemplars: Mutex::new(HashMap::with_hasher(FixedState::with_seed(seed))),
            window: AtomicI64::new(millis(options.out_of_order_window)),
            newest: AtomicI64::new(i64::MIN),
            retired_to: Mutex::default(),
            truncating: Mutex::default(),
            closed: AtomicBool::new(false),
            scratch: Mutex::default(),
            metrics,
            memory: options.memory.account("agent"),
            options,
            wal_dir,
            _lock: lock,
        };
        agent.replay(segment).map_err(failed(&agent.wal_dir.clone()))?;
        agent.metrics.replay_seconds.set(opened.elapsed().as_secs_f64());
        agent.note_memory();
        tracing::info!(
            series = agent.series(),
            seconds = opened.elapsed().as_secs_f64(),
            "the write-ahead log was read"
        );
        Ok(agent)
    }

    /// How the log is kept, with what was put right.
    #[must_use]
    pub fn options(&self) -> &AgentOptions {
        &self.options
    }

    /// Series that are known.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    /// Repairs of the log so far.
    #[must_use]
    pub fn corruptions(&self) -> u64 {
        self.metrics.corruptions.get() as u64
    }

    /// From now on samples may be so far behind the newest of their series.
    pub fn set_out_of_order_window(&self, window: Duration) {
        self.window.store(millis(window), Ordering::Relaxed);
    }

    /// Measures what series hold, for the budget.
    pub fn note_memory(&self) {
        let shards: usize = self.shards.iter().map(|shard| shard.data.read().held()).sum();
        self.memory.set((shards + self.lookup.held()) as u64);
    }

    /// Refuses what comes from now on, and forces the log to the disk.
    ///
    /// # Errors
    /// When the log cannot be written to its end.
    pub fn close(&self) -> io::Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let _truncating = self.truncating.lock();
        // Whoever is appending ends first.
        let _order: Vec<_> = self.shards.iter().map(|shard| shard.order.lock()).collect();
        self.wal.close()
    }
}

impl Followed for Agent {
    fn log_end(&self, log: Log) -> Option<LogPlace> {
        let end = match log {
            Log::InOrder => self.wal.position(),
            Log::OutOfOrder => return None,
        };
        Some(LogPlace { segment: end.segment, offset: end.offset })
    }

    fn retire_logs_to(&self, dir: Option<PathBuf>) {
        *self.retired_to.lock() = dir;
    }

    fn appended(&self) -> [f64; 3] {
        [self.metrics.floats.get(), self.metrics.histograms.get(), self.metrics.exemplars.get()]
    }

    fn newest_time(&self) -> Option<i64> {
        Some(self.newest.load(Ordering::Relaxed)).filter(|&t| t > i64::MIN)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
