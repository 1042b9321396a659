//! Keeping memory and disk bounded: retention, collection of dead series, truncation of the log.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Head, NO_MAX, NO_MIN};
use crate::closed::{self, Place};
use crate::lookup::Location;
use crate::wal::segments;

/// Series looked at under one lock.
const STEP: u32 = 4096;
/// The log is truncated when it has so many whole segments, and at least twice what the last checkpoint kept.
const SEGMENTS: usize = 4;

/// What happens to series without samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grace {
    /// Those that were not without them last time stay: a series that was only just created gets time for its first one.
    ForNew,
    /// They go.
    None,
}

/// What a truncation leaves.
struct Left {
    /// The first chunk file that is needed.
    first_file: u32,
    /// Time of the oldest sample.
    oldest: i64,
}

impl Default for Left {
    fn default() -> Self {
        Left { first_file: u32::MAX, oldest: NO_MIN }
    }
}

impl Head {
    /// Drops chunks that end before `before` (in milliseconds), and series that have no samples left or never got
    /// any. Samples older than `before` are refused from now on.
    ///
    /// # Errors
    /// When files cannot be deleted.
    pub fn truncate(&self, before: i64) -> io::Result<()> {
        if !self.is_live() {
            return Ok(());
        }
        self.drop_before(before, Grace::ForNew)
    }

    /// As [`truncate`](Self::truncate), whether the head is live or not.
    pub(super) fn drop_before(&self, before: i64, grace: Grace) -> io::Result<()> {
        let _one = self.maintaining.lock();
        self.min_valid_time.fetch_max(before, Ordering::Relaxed);
        self.let_go_before.fetch_max(before, Ordering::Relaxed);
        let mut left = Left::default();
        for shard in 0..self.shards.len() {
            self.truncate_shard(shard, before, grace, &mut left);
        }
        let Left { first_file, oldest } = left;
        self.epochs.advance();
        let unseen = self.epochs.unseen_before();
        for shard in &self.shards {
            let mut data = shard.data.write();
            data.deleted.retain(|_, deleted| {
                deleted.truncate_before(before);
                !deleted.is_empty()
            });
            if data.removed.first().is_some_and(|(epoch, _)| *epoch < unseen) {
                data.bury(unseen);
            }
        }
        self.lookup.shrink();
        if oldest < NO_MIN {
            self.min_time.store(oldest, Ordering::Relaxed);
        } else if self.series.load(Ordering::Relaxed) == 0 {
            self.min_time.store(NO_MIN, Ordering::Relaxed);
            self.max_time.store(NO_MAX, Ordering::Relaxed);
        }
        let result = self.chunk_files.delete_below(first_file);
        if result.is_err() {
            self.metrics.truncations_failed.inc();
        }
        self.note_times();
        result
    }

    fn truncate_shard(&self, index: usize, before: i64, grace: Grace, left: &mut Left) {
        let shard = &self.shards[index];
        let mut dead: Vec<(u32, u64)> = Vec::new();
        let mut at = 0;
        loop {
            {
                // Writers look at samples before they take the data lock to change them.
                let _order = shard.order.lock();
                let mut data = shard.data.write();
                let end = (at + STEP).min(data.slot_count());
                if at >= end {
                    break;
                }
                let mut dropped = 0;
                for slot in at..end {
                    if !data.is_live(slot) {
                        continue;
                    }
                    let late = data.ooo.get(slot).is_some();
                    dropped += data.drop_before(slot, before);
                    let first = data.first_time(slot);
                    let (series, slab) = data.series_and_slab(slot);
                    match first {
                        None if late => continue,
                        None if grace == Grace::ForNew && !std::mem::replace(&mut series.idle, true) => {
                            continue;
                        }
                        None => {}
                        Some(first) => {
                            series.idle = false;
                            left.oldest = left.oldest.min(first);
                            let files = closed::newest_first(slab, series.closed);
                            let files = files.filter_map(|c| match c.place() {
                                Place::File(file, _) => Some(file),
                                Place::Memory(..) => None,
                            });
                            left.first_file = left.first_file.min(files.min().unwrap_or(u32::MAX));
                            continue;
                        }
                    }
                    dead.push((slot, self.hash(&data.labels(slot))));
                }
                if dropped > 0 {
                    self.chunks.fetch_sub(dropped, Ordering::Relaxed);
                    self.metrics.chunks_removed.add(dropped as f64);
                }
                at = end;
            }
        }
        let late = shard.data.read().ooo.first_file();
        left.first_file = left.first_file.min(late.unwrap_or(u32::MAX));
        // All at once: each removal rewrites the lists of the label pairs concerned.
        if !dead.is_empty() {
            let _order = shard.order.lock();
            self.remove_series(index, &dead);
        }
    }

    /// Takes series out of the lookup table and the index, unless they got samples in the meantime. The caller holds
    /// the shard's `order`.
    pub(super) fn remove_series(&self, index: usize, dead: &[(u32, u64)]) {
        let shard = &self.shards[index];
        let segment = self.wal.position().segment;
        let mut removed = Vec::new();
        // The lookup table is locked before a shard: a series found there is still in its shard.
        for &(slot, hash) in dead {
            let mut piece = self.lookup.lock(hash);
            let mut data = shard.data.write();
            if !data.is_live(slot) || data.last_time(slot).is_some() || data.ooo.get(slot).is_some() {
                continue;
            }
            piece.remove(Location::new(index, slot));
            data.series_mut(slot).state = crate::series::State::Removed;
            removed.push(slot);
        }
        let mut data = shard.data.write();
        let mut gone = self.gone.lock();
        for &slot in &removed {
            gone.insert(self.refs.reference(index, data.series(slot).id), segment);
        }
        data.remove(&removed, self.epochs.now());
        self.series.fetch_sub(removed.len(), Ordering::Relaxed);
        self.metrics.series_removed.add(removed.len() as f64);
    }

    pub(super) fn truncate_log(&self, before: i64) -> io::Result<()> {
        let current = self.wal.position().segment;
        let whole: Vec<_> =
            segments::list(&self.wal_dir)?.into_iter().filter(|(n, _)| *n < current).collect();
        let kept = match segments::checkpoints(&self.wal_dir)?.last() {
            Some((_, dir)) => segments::total_size(dir),
            None => 0,
        };
        let size: u64 = whole.iter().filter_map(|(_, path)| path.metadata().ok()).map(|m| m.len()).sum();
        let Some((last, _)) = whole.last() else { return Ok(()) };
        if whole.len() < SEGMENTS || size < kept.saturating_mul(2) {
            return Ok(());
        }
        self.truncate_log_upto(*last, before)
    }

    pub(super) fn truncate_log_upto(&self, last: u32, before: i64) -> io::Result<()> {
        let start = Instant::now();
        self.metrics.wal.truncations.inc();
        let result = self.checkpoint(last, before);
        if result.is_err() {
            self.metrics.wal.truncations_failed.inc();
        }
        self.metrics.wal_truncate.observe(start.elapsed().as_secs_f64());
        result
    }

    /// Ends the current segment of the log and replaces all whole ones by a checkpoint, however few they are.
    ///
    /// # Errors
    /// When files cannot be written; nothing that is needed was deleted then.
    pub fn checkpoint_now(&self) -> io::Result<()> {
        if !self.is_live() {
            return Ok(());
        }
        let _one = self.maintaining.lock();
        let last = self.wal.end_segment()?;
        if !segments::list(&self.wal_dir)?.iter().any(|(n, _)| *n <= last) {
            return Ok(()); // nothing came since the last one
        }
        self.truncate_log_upto(last, self.let_go_before.load(Ordering::Relaxed))
    }

    /// Measures what is too dear to be kept up to date with every batch.
    pub(super) fn note_sizes(&self) {
        let memory = self.memory();
        self.limits.note_memory(memory);
        self.metrics.memory.set(memory as f64);
    }

    /// Bytes of memory that series, chunks and index hold, used or not.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.lookup.held() + self.shards.iter().map(|shard| shard.data.read().held()).sum::<usize>()
    }
}
