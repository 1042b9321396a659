//! Samples out of order: where the head meets [`ooo`](crate::ooo).

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use block::Interval;
use chunk::Encoding;
use model::Matcher;
use parking_lot::RwLockReadGuard;
use storage::{AppendError, QueryContext, SelectError};

use super::maintain::Grace;
use super::matching::matching;
use super::select::slots;
use super::start::failed;
use super::{FloatEncoding, Head, NO_MAX, OpenError};
use crate::full_disk::wait_for_room;
use crate::millis::millis;
use crate::ooo::cut::Cut;
use crate::ooo::replay::{Found, Replay, Replayed};
use crate::ooo::stage::Staged;
use crate::ooo::{Encodings, Limits};
use crate::series::FloatChunk;
use crate::shard::{Shard, ShardData};
use crate::wal::Packed;

impl Head {
    /// How samples out of order are encoded.
    fn encodings(&self) -> Encodings {
        let floats = match *self.floats.read() {
            FloatChunk::Xor => Encoding::Xor,
            FloatChunk::Xor2 | FloatChunk::Xor2WithStartTimes => Encoding::Xor2,
        };
        Encodings { floats, histogram_start_times: self.rules.histogram_start_times }
    }

    /// Changes how chunks of floats are encoded that are begun from now on. Those with start times are XOR2 all the same.
    pub fn set_float_encoding(&self, encoding: FloatEncoding) {
        *self.floats.write() = encoding.chunk(self.options.start_times);
    }

    /// Changes how much older than the newest sample of the head a sample may be, from the next batch on. Zero takes
    /// none that is older than the newest of its series; what was taken before stays.
    ///
    /// # Errors
    /// When their log cannot be begun; nothing was changed then.
    pub fn set_out_of_order_window(&self, window: Duration) -> io::Result<()> {
        self.ooo.set_window(window)?;
        self.exemplars.write().set_window(millis(window));
        Ok(())
    }

    /// Rebuilds the tables of samples out of order, once the old log was read.
    pub(super) fn replay_late(
        &self,
        shards: &mut [ShardData],
        found: &Found,
        joined: &HashMap<u64, u64>,
    ) -> Result<Replayed, OpenError> {
        let own = |reference| joined.get(&reference).copied().unwrap_or(reference);
        let replay = Replay {
            ooo: &self.ooo,
            refs: self.refs,
            own: &own,
            files: &self.chunk_files,
            encodings: self.encodings(),
            corruptions: &self.metrics.wal_corruptions,
            stop: &self.closed,
        };
        let dir = self.ooo.log_dir();
        wait_for_room(&self.closed, || self.ooo.open_log()).map_err(failed(dir))?;
        replay.run(shards, found).map_err(self.stopped(dir))
    }

    /// What samples of a batch are measured by; `first` is the time of the batch's first sample.
    pub(super) fn limits(&self, first: i64) -> Limits<'_> {
        // A head without samples counts its range from the first that comes.
        let newest = match self.max_time.load(Ordering::Relaxed) {
            NO_MAX => first,
            newest => newest,
        };
        self.ooo.limits(self.appendable_from(newest), newest)
    }

    /// Brings samples out of order to the disk. The `order` of the shards that are touched is held.
    pub(super) fn log_late(&self, staged: &mut Staged, touched: &[usize]) -> Result<(), AppendError> {
        if staged.is_empty() {
            return Ok(());
        }
        if !self.options.start_times {
            staged.forget_start_times();
        }
        // Their log names series by references that this one explains.
        self.wal.commit(&Packed::default()).map_err(AppendError::Log)?;
        let guards: Vec<RwLockReadGuard<'_, ShardData>> =
            touched.iter().map(|&shard| self.shards[shard].data.read()).collect();
        staged.sort_out(self.ooo.cap(), self.encodings(), |shard| {
            touched.binary_search(&shard).ok().map(|i| &guards[i].ooo)
        });
        drop(guards);
        self.ooo.log_late(staged, self.options.start_times, &self.chunk_files).map_err(AppendError::Log)
    }

    /// Brings all samples out of order that are in memory to `chunks_head`, to be written to blocks. `None` when there
    /// are none.
    ///
    /// # Errors
    /// When files cannot be written.
    pub(crate) fn begin_out_of_order_cut(&self) -> io::Result<Option<Cut>> {
        self.ooo.begin_cut(&self.shards, self.refs, self.encodings(), &self.chunk_files)
    }

    /// Whether a series that all of these match has samples out of order between the times (both inclusive).
    pub(crate) fn has_out_of_order(
        &self,
        ctx: &QueryContext,
        matchers: &[Matcher],
        min_time: i64,
        max_time: i64,
    ) -> Result<bool, SelectError> {
        for shard in &self.shards {
            let data = shard.data.read();
            if data.ooo.iter().all(|(_, series)| !series.overlaps(min_time, max_time)) {
                continue;
            }
            let ids = matching(ctx, &data, matchers)?;
            let late = |slot| data.ooo.get(slot).is_some_and(|series| series.overlaps(min_time, max_time));
            if slots(&data, &ids).any(late) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a series has got samples out of order in a time that we deleted before.
    pub(crate) fn has_late_where_deleted(&self) -> bool {
        let in_shard = |shard: &Shard| {
            let data = shard.data.read();
            data.deleted.iter().any(|(&slot, deleted)| {
                let hidden = |(i, in_order_only): (Interval, bool)| {
                    in_order_only
                        && data.ooo.get(slot).is_some_and(|late| late.overlaps(i.min_time, i.max_time))
                };
                deleted.iter().any(hidden)
            })
        };
        !self.is_closed() && self.shards.iter().any(in_shard)
    }

    /// Drops chunks of samples out of order that are in blocks from `chunks_head`, where a start would find them again.
    ///
    /// # Errors
    /// When files cannot be written.
    pub(crate) fn drop_cut_chunks(&self) -> io::Result<()> {
        if !self.ooo.take_left_in_files() {
            return Ok(());
        }
        let _one = self.maintaining.lock();
        let dropped = self.chunk_files.close().and_then(|()| {
            let mut kept = HashSet::new();
            for shard in &self.shards {
                // Whoever has written to the files that were ended now holds this until the table says so.
                let _order = shard.order.lock();
                let data = shard.data.read();
                let chunks = data.ooo.iter().flat_map(|(_, series)| &series.mapped);
                kept.extend(chunks.map(|chunk| (chunk.place.file, chunk.place.offset)));
            }
            self.chunk_files.drop_out_of_order(&kept)
        });
        dropped.inspect_err(|_| self.ooo.note_left_in_files())
    }

    /// Drops what was cut, because blocks have it.
    ///
    /// # Errors
    /// When files cannot be deleted.
    pub(crate) fn end_out_of_order_cut(&self, cut: &Cut) -> io::Result<()> {
        let newest = self.max_time.load(Ordering::Relaxed);
        let retired = self.retired_to.lock().clone();
        let dropped = self.ooo.end_cut(&self.shards, cut, newest, retired.as_deref())?;
        self.chunks.fetch_sub(dropped, Ordering::Relaxed);
        self.metrics.chunks_removed.add(dropped as f64);
        if dropped > 0 {
            self.ooo.note_left_in_files();
        }
        // The files of what was cut.
        self.chunk_files.close()?;
        self.drop_before(self.let_go_before.load(Ordering::Relaxed), Grace::ForNew)
    }
}
