//! Handing the oldest samples over to a block: what the head does before and after it is written.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Head;
use super::maintain::Grace;
use crate::wal::segments;

impl Head {
    /// Length of a block in milliseconds: what is handed over at once.
    pub(crate) fn block_range(&self) -> i64 {
        self.rules.chunk_range
    }

    /// Times of the oldest and newest sample, those out of order included.
    pub(crate) fn whole_time_range(&self) -> Option<(i64, i64)> {
        match (self.time_range(), self.ooo.time_range()) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (in_order, late) => in_order.or(late),
        }
    }

    /// Whether the head spans one and a half blocks: the oldest one can then be written, since no sample that old is
    /// appended any more.
    pub(crate) fn has_full_range(&self) -> bool {
        let half = self.rules.chunk_range / 2;
        self.time_range().is_some_and(|(min, max)| max.saturating_sub(min) > half.saturating_mul(3))
    }

    /// Refuses samples before `before` from now on, and waits for batches that were checked earlier: what is older does
    /// not change any more.
    pub(crate) fn freeze_before(&self, before: i64) {
        self.min_valid_time.fetch_max(before, Ordering::SeqCst);
        for shard in &self.shards {
            drop(shard.order.lock());
        }
    }

    /// What is older than this (in milliseconds) is in blocks: [`replay`](Self::replay) passes over it, since it may have
    /// been deleted from them, and no more of it is taken. To be called before that.
    pub fn begin_at(&self, time: i64) {
        self.min_valid_time.fetch_max(time, Ordering::Relaxed);
        self.let_go_before.fetch_max(time, Ordering::Relaxed);
    }

    pub(super) fn forget_at_start(&self, before: i64) -> io::Result<()> {
        let dropped = self.drop_before(before, Grace::None);
        self.raise_min_time(before);
        dropped
    }

    /// Drops what ends before `before`, because a block has it.
    pub(crate) fn forget_before(&self, before: i64) -> io::Result<()> {
        let start = Instant::now();
        self.metrics.truncations.inc();
        let dropped = self.truncate(before);
        self.metrics.gc.observe(start.elapsed().as_secs_f64());
        self.raise_min_time(before);
        // What comes now is needed longer than what is in this file.
        dropped.and(self.chunk_files.close())
    }

    /// A chunk may reach over the border; the block has what is before it.
    fn raise_min_time(&self, to: i64) {
        if self.min_time.load(Ordering::Relaxed) < to {
            self.min_time.store(to.min(self.max_time.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
        self.note_times();
    }

    /// Ends the segment of the log and makes a checkpoint of the older two thirds of the whole ones, as Prometheus does
    /// after a cut: the rest is likely to hold samples of the next block.
    pub(crate) fn shorten_log(&self) -> io::Result<()> {
        let _one = self.maintaining.lock();
        let last = self.wal.end_segment()?;
        let whole: Vec<u32> =
            segments::list(&self.wal_dir)?.into_iter().map(|(n, _)| n).filter(|n| *n <= last).collect();
        let (Some(&first), Some(&last)) = (whole.first(), whole.last()) else { return Ok(()) };
        let upto = first + (last - first) * 2 / 3;
        if upto <= first {
            return Ok(());
        }
        self.truncate_log_upto(upto, self.let_go_before.load(Ordering::Relaxed))
    }

    /// What has to be done now and then, whether a block was cut or not: drops series that never got a sample, shortens
    /// a log that has grown far beyond what is needed of it, forces the log to the disk, measures.
    ///
    /// # Errors
    /// When files cannot be written; nothing that is needed was deleted then.
    pub fn tidy(&self) -> io::Result<()> {
        self.forget_temporary_references();
        let before = self.let_go_before.load(Ordering::Relaxed);
        self.truncate(before)?;
        {
            let _one = self.maintaining.lock();
            self.truncate_log(before)?;
        }
        self.note_sizes();
        self.sync()
    }

    /// Bytes of mapped chunks on disk.
    pub(crate) fn chunks_size(&self) -> u64 {
        self.chunk_files.size()
    }

    /// Bytes of the log and of mapped chunks on disk.
    pub(crate) fn disk_size(&self) -> u64 {
        self.chunk_files.size()
            + segments::total_size(&self.wal_dir)
            + segments::total_size(self.ooo.log_dir())
    }
}
