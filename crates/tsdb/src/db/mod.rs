//! The database: the head and the blocks of a data directory as one store, and what turns the one into the others.
//!
//! The files follow the life of samples that leave the head: [`cut`], [`stale`], [`compact`], [`retention`]; and what users ask
//! for: [`delete`], [`snapshot`], [`backfill`]. [`upkeep`] is the loop that does the former by itself.

mod backfill;
mod compact;
mod cut;
mod delay;
mod delete;
mod error;
mod leftovers;
mod metrics;
mod retention;
mod snapshot;
mod stale;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use block::{Block, Blocks, MergeOptions, Meta, WriteOptions};
use exposition::Registry;
use model::{Labels, Matcher};
use parking_lot::{Mutex, RwLock};
use storage::{
    Affinity, Append, AppendError, Batch, Merged, Outcome, QueryContext, Request, Resolved, Select,
    SelectError, SeriesPart,
};

use crate::full_disk::is_full;
use crate::head::{Head, HeadOptions, OpenError, random_seed};
use delay::CutDelay;
use metrics::Metrics;
use upkeep::{Stop, Turn};

pub use backfill::Backfilling;
pub use error::DbError;
pub use retention::{Retention, RetentionRule};
pub use snapshot::snapshot_name;

/// What a database is opened with. The defaults are Prometheus'.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// Of the head; its chunk range is the length of the blocks that are cut.
    pub head: HeadOptions,
    /// No compaction makes a block longer than this.
    pub max_block: Duration,
    /// Segments of chunks in blocks end at this length, in bytes.
    pub block_segment_size: u64,
    /// Whether blocks that overlap in time are compacted into one.
    pub compact_overlapping: bool,
    /// How often the directory is looked at for blocks that came or went, and the rest of upkeep is done.
    pub reload_interval: Duration,
    /// How long and how much is kept at first.
    pub retention: Retention,
    /// Cuts are delayed by up to so many per cent of a block's length; 0 does not delay them.
    pub cut_delay_percent: u32,
    /// A JSON file with the blocks that are uploaded: others are not compacted beyond the first level.
    pub upload_list: Option<PathBuf>,
}

impl Default for DbOptions {
    fn default() -> Self {
        DbOptions {
            head: HeadOptions::default(),
            max_block: Duration::from_secs(36 * 3600),
            block_segment_size: WriteOptions::default().segment_size,
            compact_overlapping: true,
            reload_interval: Duration::from_secs(60),
            retention: Retention { time: Duration::from_secs(15 * 24 * 3600), ..Retention::default() },
            cut_delay_percent: 0,
            upload_list: None,
        }
    }
}

/// See the module.
///
/// Locks: `turn` comes before all locks of the head and the blocks. It is held by whoever writes or deletes blocks, never
/// by those who append or read.
pub struct Db {
    dir: PathBuf,
    options: DbOptions,
    head: Arc<Head>,
    blocks: Arc<Blocks>,
    store: Merged,
    retention: RwLock<Retention>,
    rules_changed: AtomicBool,
    /// The share of stale series from which on they are moved to blocks; 0: never.
    stale_threshold: RwLock<f64>,
    turn: Mutex<Turn>,
    /// How many fill in blocks.
    backfilling: AtomicUsize,
    stop: Stop,
    metrics: Metrics,
}

/// Whether the head may still have samples of the block's time: every hint there is says so. One that is not known is
/// taken for one of these too; nothing is lost when it is not.
fn beside_the_head(meta: &Meta) -> bool {
    !meta.compaction.hints.is_empty() || meta.compaction.is_out_of_order()
}

/// Up to where the head was cut into these blocks, in milliseconds; the log may still have what is older. `None`: none of
/// them was cut from it.
pub fn cut_up_to<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Option<i64> {
    blocks.into_iter().filter(|block| !beside_the_head(block.meta())).map(Block::covered_until).max()
}

impl Db {
    /// Opens the directory, creating it if need be: replays the log, removes what an interrupted process has left, opens
    /// the blocks.
    ///
    /// # Errors
    /// When another process has the directory open, or files cannot be read or written. Damage is no error.
    pub fn open(dir: &Path, options: DbOptions, registry: &Registry) -> Result<Db, OpenError> {
        let db = Self::open_replaying(dir, options, registry)?;
        db.replay()?;
        Ok(db)
    }

    /// Opens the directory, creating it if need be. Samples can be appended at once; they and those that the log has can
    /// be read when [`replay`](Self::replay) has returned.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_replaying(dir: &Path, options: DbOptions, registry: &Registry) -> Result<Db, OpenError> {
        let failed = |source| OpenError::Io { path: dir.to_owned(), source };
        // The head locks the directory, so it comes first.
        let head = Arc::new(Head::open_replaying(dir, options.head.clone(), registry)?);
        leftovers::remove_leftovers(dir).map_err(failed)?;
        let blocks = Blocks::open(dir, registry).map_err(|e| failed(std::io::Error::other(e.to_string())))?;
        let blocks = Arc::new(blocks);
        let store = Merged::new(vec![Arc::clone(&head) as _, Arc::clone(&blocks) as _]);
        let delay = CutDelay::new(options.head.chunk_range, options.cut_delay_percent, random_seed());
        let db = Db {
            dir: dir.to_owned(),
            metrics: Metrics::register(registry, &head, &blocks),
            head,
            blocks,
            store,
            retention: RwLock::default(),
            rules_changed: AtomicBool::new(false),
            stale_threshold: RwLock::new(0.0),
            turn: Mutex::new(Turn::new(delay)),
            backfilling: AtomicUsize::new(0),
            stop: Stop::default(),
            options,
        };
        db.set_retention(db.options.retention.clone());
        Ok(db)
    }

    /// Replays the log; then everything can be read. To be called once, after [`open_replaying`](Self::open_replaying).
    ///
    /// # Errors
    /// When files cannot be read or written, or the database was closed meanwhile; nothing is lost then.
    pub fn replay(&self) -> Result<(), OpenError> {
        let _turn = self.turn.lock();
        if let Some(end) = cut_up_to(self.blocks.current().iter().map(|block| &**block)) {
            self.head.begin_at(end);
        }
        self.head.replay()
    }

    /// Recent samples.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// Older ones.
    #[must_use]
    pub fn blocks(&self) -> &Arc<Blocks> {
        &self.blocks
    }

    /// Changes how long and how much is kept, from the next turn of the upkeep on.
    pub fn set_retention(&self, retention: Retention) {
        self.metrics.retention_seconds.set(retention.time.as_secs_f64());
        self.metrics.retention_bytes.set(retention.bytes as f64);
        self.metrics.retention_percentage.set(retention.percentage);
        *self.retention.write() = retention;
        // Rules may have changed.
        self.rules_changed.store(true, Ordering::Relaxed);
    }

    /// From which share of stale series on (0 to 1) they are moved out of memory; 0 leaves them there.
    pub fn set_stale_series_threshold(&self, share: f64) {
        *self.stale_threshold.write() = share;
    }

    /// Interrupts the upkeep, waits for it, and closes the head. What is in the head stays in its log.
    ///
    /// # Errors
    /// When the disk refuses; the head is closed all the same.
    pub fn close(&self) -> std::io::Result<()> {
        self.stop.request();
        // A replay looks whether the head is closed, everything else whether it is to stop.
        if !self.head.is_live() {
            return self.head.close();
        }
        let _turn = self.turn.lock();
        self.cut_late_where_deleted();
        self.head.close()
    }

    /// In the head Prometheus takes samples that came late into a time that was deleted before for deleted ones. Blocks leave
    /// no such doubt, so that is where it finds them if it goes on here.
    fn cut_late_where_deleted(&self) {
        if !self.head.has_late_where_deleted() {
            return;
        }
        self.stop.withdraw();
        if let Err(error) = self.cut_late(upkeep::now_millis()) {
            tracing::warn!(err = %error, "samples that came late into a time that was deleted stay in the head");
        }
        self.stop.request();
    }

    fn merge_options(&self) -> MergeOptions<'_> {
        let segment_size = self.options.block_segment_size;
        MergeOptions {
            write: WriteOptions { segment_size, ..WriteOptions::default() },
            stop: Some(self.stop.flag()),
            ..MergeOptions::default()
        }
    }
}

impl Append for Db {
    fn resolve(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.head.resolve(affinity, labels)
    }

    fn resolve_report(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.head.resolve_report(affinity, labels)
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        let appended = self.head.append(batch, outcome);
        match &appended {
            Ok(()) => self.metrics.disk_full.for_samples(false),
            Err(AppendError::Log(error)) if is_full(error) => self.metrics.disk_full.for_samples(true),
            Err(_) => {}
        }
        appended
    }
}

impl Select for Db {
    fn may_hold(&self, min_time: i64, max_time: i64) -> bool {
        self.store.may_hold(min_time, max_time)
    }

    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        self.store.select(ctx, request)
    }

    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        self.store.series(ctx, request)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_names(ctx, min_time, max_time, matchers)
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_values(ctx, name, min_time, max_time, matchers)
    }
}
