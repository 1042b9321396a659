//! Samples that come long after their time, written straight to blocks.

use std::sync::atomic::Ordering;

use block::{FROM_OUT_OF_ORDER, MergeOptions, Meta, NewChunk, Parent, Ulid};
use storage::SeriesSamples;

use super::{Db, DbError, cut_up_to};

/// Blocks are being filled in. Those that overlap in time are merged when there is none of these any more, once: others
/// are still to come.
pub struct Backfilling<'a>(&'a Db);

impl Drop for Backfilling<'_> {
    fn drop(&mut self) {
        self.0.backfilling.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Db {
    /// Announces blocks that are filled in.
    #[must_use]
    pub fn backfill(&self) -> Backfilling<'_> {
        self.backfilling.fetch_add(1, Ordering::Relaxed);
        Backfilling(self)
    }

    /// Time of the oldest sample, in milliseconds, about; `None` when there is none.
    #[must_use]
    pub fn oldest_time(&self) -> Option<i64> {
        let blocks = self.blocks.current();
        let oldest = blocks.iter().map(|block| block.meta().min_time).min();
        oldest.into_iter().chain(self.head.time_range().map(|(oldest, _)| oldest)).min()
    }

    /// Length of the blocks that are cut, in milliseconds.
    #[must_use]
    pub fn block_range(&self) -> i64 {
        self.head.block_range()
    }
}

impl Backfilling<'_> {
    /// Writes a block of these series, in order of their labels, whose samples are from `min_time` to before `max_time`, and
    /// takes it into service; returns how many samples it has. Where the head may have samples of that time, or get some, the
    /// block is one of samples out of order, as which neither this program nor Prometheus takes it for what was cut from the head.
    ///
    /// # Errors
    /// When the block cannot be written; nothing is left of it then.
    pub fn write(
        &self,
        series: &[SeriesSamples],
        min_time: i64,
        max_time: i64,
        now: i64,
    ) -> Result<u64, DbError> {
        let db = self.0;
        let _turn = db.turn.lock();
        db.stop.check()?;
        let ulid = Ulid::generate(now);
        let mut meta = Meta::new(ulid, min_time, max_time);
        let cut = cut_up_to(db.blocks.current().iter().map(|block| &**block));
        if cut.is_none_or(|cut| cut < max_time) {
            meta = meta.with_hint(FROM_OUT_OF_ORDER);
            meta.compaction.parents.push(Parent::none());
        }
        let observe = |chunk: &NewChunk<'_>| db.observe_chunk(chunk);
        let options = MergeOptions { observe: Some(&observe), ..db.merge_options() };
        let written = block::write_samples(series, &db.dir, ulid, meta, &options)?;
        let Some(meta) = written else { return Ok(0) };
        db.serve_new_block(ulid)?;
        Ok(meta.stats.num_samples)
    }
}
