//! One block.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Matcher;
use parking_lot::Mutex;
use storage::{QueryContext, SelectError};

use crate::index::{Index, SeriesEntry};
use crate::mapped::MappedFile;
use crate::segments::Segments;
use crate::times::{self, Times};
use crate::{BlockError, Damage, Interval, Meta, Metrics, Tombstones, matching};

/// A block directory, open for reading: its files are mapped.
///
/// What it says about itself and what was deleted from it are as they were when it was opened. What changes them
/// ([`delete`](Self::delete), [`mark_deletable`](Self::mark_deletable), [`mark_failed`](Self::mark_failed)) changes the
/// files; [`reopen`](Self::reopen) gives the block as it is then, beside the one that readers began with.
pub struct Block {
    dir: PathBuf,
    meta: Meta,
    tombstones: Tombstones,
    /// Length of `meta.json` and `tombstones`.
    small_bytes: u64,
    files: Arc<Files>,
    outdated: AtomicBool,
}

/// What never changes of a block.
struct Files {
    index: Index,
    times: Times,
    segments: Segments,
    metrics: Metrics,
    /// Held while `meta.json` and `tombstones` are read and written anew.
    changing: Mutex<()>,
    /// One log line about each is enough; the metrics count on.
    damage_logged: AtomicBool,
    skip_logged: AtomicBool,
}

impl Block {
    /// Opens a block. A missing `tombstones` file means that nothing was deleted.
    ///
    /// # Errors
    /// When a file is missing, or damaged where it is checked at once: headers, table of contents, symbols, the table
    /// of postings, tombstones.
    pub fn open(dir: &Path, metrics: &Metrics) -> Result<Block, BlockError> {
        let meta = Meta::read(dir)?;
        let path = dir.join("index");
        let index =
            Index::open(MappedFile::open(&path)?).map_err(|damage| BlockError::damaged(&path, damage))?;
        let files = Files {
            times: times::of(&meta, &index),
            index,
            segments: Segments::open(&dir.join("chunks"))?,
            metrics: metrics.clone(),
            changing: Mutex::default(),
            damage_logged: AtomicBool::new(false),
            skip_logged: AtomicBool::new(false),
        };
        let block = Self::of(dir, meta, Arc::new(files))?;
        if block.files.times.wrong.is_some() {
            let what = "its times are not those of the samples, which are used instead";
            block.note_damage("meta.json", Damage { offset: 0, what });
        }
        Ok(block)
    }

    fn of(dir: &Path, mut meta: Meta, files: Arc<Files>) -> Result<Block, BlockError> {
        if let Some((min_time, end)) = files.times.wrong {
            (meta.min_time, meta.max_time) = (min_time, end);
        }
        let length = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |m| m.len());
        Ok(Block {
            dir: dir.to_owned(),
            meta,
            tombstones: Tombstones::read(dir)?,
            small_bytes: length("meta.json") + length("tombstones"),
            files,
            outdated: AtomicBool::new(false),
        })
    }

    /// The block as it is now. Shares what never changes with this one.
    ///
    /// # Errors
    /// When `meta.json` or `tombstones` cannot be read.
    pub fn reopen(&self) -> Result<Block, BlockError> {
        let _one = self.files.changing.lock();
        Self::of(&self.dir, Meta::read(&self.dir)?, Arc::clone(&self.files))
    }

    /// Whether its files say something else by now.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }

    /// Deletes samples between two times (both inclusive, in milliseconds) of the series that match: they are hidden
    /// from whoever [reopens](Self::reopen) it, and left out when the block is merged. Returns how many series have
    /// chunks in that time.
    ///
    /// # Errors
    /// When the index is damaged or files cannot be written; what was deleted before still is.
    pub fn delete(&self, matchers: &[Matcher], min_time: i64, max_time: i64) -> Result<usize, BlockError> {
        let ctx = QueryContext::unlimited();
        let numbers = matching::matching(&ctx, self, matchers).unwrap_or_default();
        let mut found = Vec::new();
        let mut entry = SeriesEntry::default();
        for number in numbers {
            self.index().series(number, &mut entry).map_err(|damage| self.index_damaged(damage))?;
            let (Some(first), Some(last)) = (entry.chunks.first(), entry.chunks.last()) else { continue };
            if entry.chunks.iter().any(|c| c.min_time <= max_time && min_time <= c.max_time) {
                // Not beyond what the series has: what is deleted is what is there now.
                let interval = Interval {
                    min_time: min_time.max(first.min_time),
                    max_time: max_time.min(last.max_time),
                };
                found.push((u64::from(number), interval));
            }
        }
        if found.is_empty() {
            return Ok(0);
        }
        let _one = self.files.changing.lock();
        let mut meta = Meta::read(&self.dir)?;
        let mut tombstones = Tombstones::read(&self.dir)?;
        let count = found.len();
        found.into_iter().for_each(|(series, interval)| tombstones.add(series, interval));
        meta.stats.num_tombstones = tombstones.len() as u64;
        tombstones.write(&self.dir)?;
        self.outdated.store(true, Ordering::Release);
        meta.write(&self.dir)?;
        Ok(count)
    }

    /// Says in `meta.json` that nothing of it is left to be read, so that it may go.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn mark_deletable(&self) -> Result<(), BlockError> {
        self.change(|meta| meta.compaction.deletable = true)
    }

    /// Says in `meta.json` that compacting it failed, so that it is not tried again and again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn mark_failed(&self) -> Result<(), BlockError> {
        self.change(|meta| meta.compaction.failed = true)
    }

    fn change(&self, change: impl FnOnce(&mut Meta)) -> Result<(), BlockError> {
        let _one = self.files.changing.lock();
        let mut meta = Meta::read(&self.dir)?;
        change(&mut meta);
        meta.write(&self.dir)?;
        self.outdated.store(true, Ordering::Release);
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it says about itself.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its index.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.files.index
    }

    /// What was deleted from it.
    #[must_use]
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// Length of all its files, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.small_bytes + self.files.index.file_bytes() + self.files.segments.bytes()
    }

    /// Whether it may have samples between two times (both inclusive, in milliseconds).
    #[must_use]
    pub fn overlaps(&self, min_time: i64, max_time: i64) -> bool {
        self.files.times.begin <= max_time && min_time < self.meta.max_time
    }

    /// Samples before this time (in milliseconds) that came in order are in this block, in older ones or nowhere. Never
    /// later than `max_time` in `meta.json`, and not later than its newest sample where that cannot be trusted.
    #[must_use]
    pub fn covered_until(&self) -> i64 {
        self.files.times.covered
    }

    /// The series that match all matchers, by number, in order of their labels.
    ///
    /// # Errors
    /// When the query is interrupted.
    pub fn matching(&self, ctx: &QueryContext, matchers: &[Matcher]) -> Result<Vec<u32>, SelectError> {
        matching::matching(ctx, self, matchers)
    }

    /// A chunk as it is stored: its encoding's number and its content.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn stored_chunk(&self, reference: u64) -> Result<(u8, &[u8]), BlockError> {
        self.files.segments.chunk(reference).map_err(|damage| {
            let file = self.dir.join("chunks").join(format!("{:06}", (reference >> 32).saturating_add(1)));
            BlockError::damaged(&file, damage)
        })
    }

    /// Counts what lies between two chunks as resident memory no longer.
    pub(crate) fn give_back_chunks(&self, references: Range<u64>) {
        self.files.segments.give_back(references);
    }

    pub(crate) fn index_damaged(&self, damage: Damage) -> BlockError {
        BlockError::damaged(&self.dir.join("index"), damage)
    }

    /// A chunk, unless it is damaged (which is counted and logged): its encoding's number and its content.
    pub(crate) fn chunk(&self, reference: u64) -> Option<(u8, &[u8])> {
        let outcome = self.files.segments.chunk(reference);
        let file = || format!("chunks/{:06}", (reference >> 32).saturating_add(1));
        outcome.inspect_err(|&damage| self.note_damage(&file(), damage)).ok()
    }

    /// Reads a series' entry; `false` when it is damaged, which is counted and logged.
    pub(crate) fn read_series<'a>(&'a self, number: u32, entry: &mut SeriesEntry<'a>) -> bool {
        let outcome = self.files.index.series(number, entry);
        outcome.inspect_err(|&damage| self.note_damage("index", damage)).is_ok()
    }

    /// Something could not be read, and the answer goes without it (or finds it in a longer way).
    pub(crate) fn note_damage(&self, file: &str, damage: Damage) {
        self.files.metrics.damaged_reads.inc();
        if !self.files.damage_logged.swap(true, Ordering::Relaxed) {
            let path = self.dir.join(file).display().to_string();
            tracing::error!(path, err = damage.to_string(), "A block is damaged; serving the rest of it");
        }
    }

    /// A chunk cannot be decoded yet.
    pub(crate) fn note_skipped(&self, encoding: u8) {
        self.files.metrics.chunks_skipped.inc();
        if !self.files.skip_logged.swap(true, Ordering::Relaxed) {
            let block = self.dir.display().to_string();
            tracing::warn!(block, encoding, "Leaving out chunks of an encoding that is not known");
        }
    }
}
