//! Deleting series by matcher, and giving back the space of what was deleted.

use std::time::Instant;

use block::{MergeOptions, NewChunk, Ulid};
use model::Matcher;
use storage::QueryContext;

use super::{Db, DbError};

impl Db {
    /// Deletes the samples between two times (both inclusive, in milliseconds) of the series that match all of these.
    /// They are hidden at once; their space is given back by compactions, or by [`clean_tombstones`](Self::clean_tombstones).
    /// What comes later, even into that time, is there.
    ///
    /// The head has no way to note, so that Prometheus understands it, that samples out of order were deleted: if there are
    /// some, all of them are written to blocks first.
    ///
    /// # Errors
    /// When files cannot be read or written; some of it may be deleted then.
    pub fn delete(
        &self,
        matchers: &[Matcher],
        min_time: i64,
        max_time: i64,
        now: i64,
    ) -> Result<(), DbError> {
        let _turn = self.turn.lock();
        let ctx = QueryContext::unlimited();
        if self.head.has_out_of_order(&ctx, matchers, min_time, max_time)? {
            self.cut_late(now)?;
        }
        self.head.drop_cut_chunks().map_err(|e| DbError::io(&self.dir, e))?;
        self.blocks.delete(matchers, min_time, max_time)?;
        self.head.delete(&ctx, matchers, min_time, max_time)?;
        Ok(())
    }

    /// Makes every block anew that something was deleted from.
    ///
    /// # Errors
    /// When files cannot be read or written; the blocks that were made anew by then are in service.
    pub fn clean_tombstones(&self, now: i64) -> Result<(), DbError> {
        let _turn = self.turn.lock();
        let began = Instant::now();
        let cleaned = self.clean_blocks(now);
        self.metrics.tombstone_cleanup.observe(began.elapsed().as_secs_f64());
        cleaned
    }

    fn clean_blocks(&self, now: i64) -> Result<(), DbError> {
        for block in self.blocks.current().iter().filter(|block| !block.tombstones().is_empty()) {
            self.stop.check()?;
            let ulid = Ulid::generate(now);
            let observe = |chunk: &NewChunk<'_>| self.observe_chunk(chunk);
            let options = MergeOptions { observe: Some(&observe), ..self.merge_options() };
            let left = self.write_compacted(|| block::clean(block, &self.dir, ulid, &options))?;
            self.replace(&[&**block], left.is_some().then_some(ulid))?;
        }
        Ok(())
    }
}
