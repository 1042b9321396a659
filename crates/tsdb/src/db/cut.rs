//! Writing the oldest full range of the head as a block, while appending goes on.

use std::path::Path;
use std::time::Instant;

use block::{FROM_OUT_OF_ORDER, MergeOptions, Meta, NewChunk, Parent, Ulid};
use model::Matcher;

use super::retention::{self, Retention};
use super::upkeep::Turn;
use super::{Db, DbError};
use crate::head::{Ended, Samples};

/// What of the head a block is written of.
pub(super) struct FromHead<'a> {
    pub(super) samples: Samples<'a>,
    /// Series that all of one of these lists match are left out.
    pub(super) without: Vec<&'a [Matcher]>,
    /// If there are any: only these series.
    pub(super) only: Option<&'a Ended>,
}

impl Db {
    /// Cuts as long as the head spans more than one and a half blocks.
    pub(super) fn cut_what_is_due(&self, turn: &mut Turn, now: i64) -> Result<(), DbError> {
        let began = Instant::now();
        let mut cut = false;
        while self.head.has_full_range() {
            if turn.delay.holds(Instant::now()) {
                break;
            }
            self.cut(now)?;
            cut = true;
        }
        if !self.head.has_full_range() {
            turn.delay.done();
        }
        if cut {
            turn.last_cut = Some(Instant::now());
            self.head.shorten_log().map_err(|e| DbError::io(&self.dir, e))?;
            self.cut_late(now)?;
            if began.elapsed() > self.options.head.chunk_range {
                tracing::warn!(
                    duration = ?began.elapsed(),
                    "Head compaction took longer than the block time range, compactions are falling behind and won't be able to catch up"
                );
            }
        }
        Ok(())
    }

    /// Cuts the oldest range.
    fn cut(&self, now: i64) -> Result<(), DbError> {
        let Some((oldest, _)) = self.head.time_range() else { return Ok(()) };
        let range = self.head.block_range();
        let end = oldest.saturating_sub(oldest.rem_euclid(range)).saturating_add(range);
        self.head.freeze_before(end);
        let retention = self.retention.read().clone();
        let without = self.not_to_be_cut(&retention, oldest, end, now);
        let ulid = Ulid::generate(now);
        let meta = Meta::new(ulid, oldest, end);
        let wanted = FromHead { samples: Samples::InOrder, without, only: None };
        if self.write_head(&self.dir, ulid, meta, &wanted)? {
            self.serve_new_block(ulid)?;
        }
        self.head.forget_before(end).map_err(|e| DbError::io(&self.dir, e))
    }

    /// Which series retention rules leave out of a block right away. None where every block is to be uploaded first.
    fn not_to_be_cut<'r>(
        &self,
        retention: &'r Retention,
        min_time: i64,
        end: i64,
        now: i64,
    ) -> Vec<&'r [Matcher]> {
        if self.options.upload_list.is_some() {
            return Vec::new();
        }
        let blocks = self.blocks.current();
        let ends = blocks.iter().map(|block| block.meta().max_time).chain([end]);
        let Some(newest) = retention::newest(ends, now) else { return Vec::new() };
        let whole = retention.rules_for(min_time, end, newest).filter(|(_, before)| *before == end);
        whole.map(|(matchers, _)| matchers).collect()
    }

    /// Writes the samples that came out of order into blocks of their own, one a range.
    pub(super) fn cut_late(&self, now: i64) -> Result<(), DbError> {
        let failed = |e| DbError::io(&self.dir, e);
        let Some(cut) = self.head.begin_out_of_order_cut().map_err(failed)? else { return Ok(()) };
        let wanted = FromHead { samples: Samples::Late(&cut), without: Vec::new(), only: None };
        self.write_ranges(cut.min_time, cut.max_time, FROM_OUT_OF_ORDER, &wanted, now)?;
        self.head.end_out_of_order_cut(&cut).map_err(failed)
    }

    /// Writes what is wanted between two times (both inclusive) into blocks of a kind of their own, one a range. They are
    /// served when all of them are written.
    pub(super) fn write_ranges(
        &self,
        oldest: i64,
        newest: i64,
        hint: &str,
        wanted: &FromHead<'_>,
        now: i64,
    ) -> Result<(), DbError> {
        let range = self.head.block_range();
        let mut start = oldest.saturating_sub(oldest.rem_euclid(range));
        let mut written: Vec<Ulid> = Vec::new();
        while start <= newest {
            let end = start.saturating_add(range);
            let ulid = Ulid::generate(now);
            let mut meta = Meta::new(ulid, start, end).with_hint(hint);
            meta.compaction.parents.push(Parent::none());
            match self.stop.check().and_then(|()| self.write_head(&self.dir, ulid, meta, wanted)) {
                Ok(true) => written.push(ulid),
                Ok(false) => {}
                Err(error) => {
                    // The next attempt writes all of them again.
                    for ulid in written {
                        let _ = super::leftovers::delete_block(&self.dir.join(ulid.to_string()));
                    }
                    return Err(error);
                }
            }
            start = end;
        }
        for ulid in written {
            self.serve_new_block(ulid)?;
        }
        Ok(())
    }

    /// Takes a block that was just written into service. One that cannot be read back must not cost the samples that it
    /// was made of.
    pub(super) fn serve_new_block(&self, ulid: Ulid) -> Result<(), DbError> {
        self.blocks.reload()?;
        let name = ulid.to_string();
        if self.blocks.current().iter().any(|block| block.meta().ulid == name) {
            return Ok(());
        }
        let dir = self.dir.join(&name);
        let damaged = self.blocks.damaged().into_iter().find(|damaged| damaged.dir == dir);
        let why = damaged.map_or_else(|| "it is not there".to_owned(), |damaged| damaged.why);
        // It would be written again and again, and its remains would fill the disk.
        let _ = super::leftovers::delete_block(&dir);
        Err(DbError::Unreadable { dir, why })
    }

    /// Writes what is wanted of the head, in the time that `meta` says, as a block below `parent`, series by series. `false`:
    /// there was nothing to write.
    pub(super) fn write_head(
        &self,
        parent: &Path,
        ulid: Ulid,
        meta: Meta,
        wanted: &FromHead<'_>,
    ) -> Result<bool, DbError> {
        let began = Instant::now();
        let written = self.measured(|| self.write_series(parent, ulid, meta, wanted));
        if let Ok(Some(meta)) = &written {
            tracing::info!(
                mint = meta.min_time,
                maxt = meta.max_time,
                ulid = meta.ulid,
                duration = ?began.elapsed(),
                "write block"
            );
        }
        Ok(written?.is_some())
    }

    fn write_series(
        &self,
        parent: &Path,
        ulid: Ulid,
        meta: Meta,
        wanted: &FromHead<'_>,
    ) -> Result<Option<Meta>, DbError> {
        let FromHead { samples, without, only } = wanted;
        let (min_time, max_time) = (meta.min_time, meta.max_time.saturating_sub(1));
        let mut series = self.head.in_label_order(min_time, max_time, *samples, without, *only)?;
        if series.is_empty() {
            return Ok(None);
        }
        let observe = |chunk: &NewChunk<'_>| self.observe_chunk(chunk);
        let options = MergeOptions { observe: Some(&observe), ..self.merge_options() };
        Ok(block::write_block(&mut [&mut series], parent, ulid, meta, &options)?)
    }

    /// Measures a chunk of a block of the first level.
    pub(super) fn observe_chunk(&self, chunk: &NewChunk<'_>) {
        self.metrics.chunk_size.observe(chunk.bytes.len() as f64);
        self.metrics.chunk_samples.observe(chunk::sample_count(chunk.encoding, chunk.bytes).into());
        // Milliseconds in spite of the name, as in Prometheus.
        self.metrics.chunk_range.observe((chunk.max_time - chunk.min_time) as f64);
    }
}
