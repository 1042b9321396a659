//! Deleting samples that came out of order.
//!
//! Those in a buffer are taken out of it. Chunks stay as they are: a stone says what was deleted, and of which of the
//! series' chunks, so that what comes later into the same time is there. Both are told by one record of the log, which
//! stands behind the samples that it is about.

use std::io;

use block::{Interval, Intervals};

use super::OutOfOrder;
use super::table::{Mapped, Place, Series, Table};
use crate::full_disk::is_full;
use crate::shard::{RefMap, Shard};
use crate::wal::Packed;
use crate::wal::record::{LateTombstone, push_late_tombstone};

/// What was deleted of some chunks of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stone {
    pub(crate) interval: Interval,
    /// The first and the last chunk that are concerned.
    pub(crate) from: Place,
    pub(crate) upto: Place,
}

impl Stone {
    pub(crate) fn of(logged: &LateTombstone) -> Self {
        let &LateTombstone { min_time, max_time, from, upto, .. } = logged;
        let interval = Interval { min_time, max_time };
        Stone { interval, from: Place::from_bits(from), upto: Place::from_bits(upto) }
    }

    /// About another chunk with the same samples.
    pub(crate) fn moved_to(self, place: Place) -> Self {
        Stone { from: place, upto: place, ..self }
    }

    pub(crate) fn concerns(&self, place: Place) -> bool {
        (self.from..=self.upto).contains(&place)
    }

    /// Appends it to a record. `logged`: also about samples that stand before it in the log.
    pub(crate) fn push(&self, record: &mut Vec<u8>, reference: u64, logged: bool) {
        let Interval { min_time, max_time } = self.interval;
        let (from, upto) = (self.from.to_bits(), self.upto.to_bits());
        push_late_tombstone(record, &LateTombstone { reference, min_time, max_time, from, upto, logged });
    }
}

/// What was deleted of a chunk.
pub(super) fn deleted_of(stones: &[Stone], chunk: &Mapped) -> Intervals {
    let mut deleted = Intervals::default();
    for stone in stones.iter().filter(|stone| stone.concerns(chunk.place)) {
        let Interval { min_time, max_time } = stone.interval;
        if min_time <= chunk.max_time && max_time >= chunk.min_time {
            deleted.add(stone.interval);
        }
    }
    deleted
}

impl Table {
    /// What has to be noted to delete a time from a series; `None` when nothing is in it.
    pub(crate) fn stone(&self, slot: u32, time: Interval) -> Option<Stone> {
        let series = self.get(slot).filter(|series| series.overlaps(time.min_time, time.max_time))?;
        let (oldest, newest) = series.bounds()?;
        let interval = Interval { min_time: time.min_time.max(oldest), max_time: time.max_time.min(newest) };
        let upto = series.mapped.last().map_or(Place::default(), |chunk| chunk.place);
        Some(Stone { interval, from: Place::default(), upto })
    }

    /// Takes a time out of the buffer of a series.
    pub(super) fn remove_buffered(&mut self, slot: u32, time: Interval) {
        if let Some(series) = self.series.get_mut(&slot) {
            series.open.remove(time);
        }
    }

    /// Hides what a stone says of chunks.
    pub(super) fn hide(&mut self, slot: u32, stone: Stone) {
        let stones = self.stones.entry(slot).or_default();
        if stone.upto > Place::default() && !stones.contains(&stone) {
            stones.push(stone);
        }
        if stones.is_empty() {
            self.stones.remove(&slot);
        }
    }

    /// Drops chunks of which all is deleted, and the series when nothing is left of it.
    pub(super) fn drop_hidden(&mut self, slot: u32) {
        let Table { series: all, stones } = self;
        let Some(series) = all.get_mut(&slot) else { return };
        if let Some(stones) = stones.get(&slot) {
            series.mapped.retain(|chunk| !deleted_of(stones, chunk).covers(chunk.min_time, chunk.max_time));
        }
        if series.chunks() == 0 {
            all.remove(&slot);
        }
    }

    /// Deletes from a series; says how many chunks it has less.
    pub(crate) fn delete(&mut self, slot: u32, stone: Stone) -> usize {
        let before = self.get(slot).map_or(0, Series::chunks);
        self.remove_buffered(slot, stone.interval);
        self.hide(slot, stone);
        self.drop_hidden(slot);
        before - self.get(slot).map_or(0, Series::chunks)
    }

    /// Forgets what is about chunks up to a place only.
    pub(super) fn forget_stones(&mut self, upto: Place) {
        self.stones.retain(|_, stones| {
            stones.retain(|stone| stone.upto > upto);
            !stones.is_empty()
        });
    }
}

impl OutOfOrder {
    /// Logs what a start found out about chunks. A full disk is no reason not to start: the records wait then.
    pub(crate) fn log_at_start(&self, records: [Vec<u8>; 2]) -> io::Result<()> {
        self.waiting.lock().extend(records);
        match self.log_waiting() {
            Err(error) if is_full(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Logs what waits. To be called before a chunk is written: it may get the number of a file that is gone.
    pub(super) fn log_waiting(&self) -> io::Result<()> {
        let mut waiting = self.waiting.lock();
        while let Some(record) = waiting.first() {
            self.log_record(record)?;
            waiting.remove(0);
        }
        Ok(())
    }

    /// Logs a record of our own.
    pub(crate) fn log_deletions(&self, record: &[u8]) -> io::Result<()> {
        self.log_waiting()?;
        self.log_record(record)
    }

    fn log_record(&self, record: &[u8]) -> io::Result<()> {
        if record.is_empty() {
            return Ok(());
        }
        let log = self.begin_log()?;
        let mut packed = Packed::default();
        packed.add(log.compression(), record)?;
        log.commit(&packed)
    }

    /// Logs all deletions again, before what the log has of them is dropped.
    pub(super) fn log_deletions_again(&self, shards: &[Shard], refs: RefMap) -> io::Result<()> {
        let mut record = Vec::new();
        for (i, shard) in shards.iter().enumerate() {
            let data = shard.data.read();
            for (slot, stone) in data.ooo.stones() {
                stone.push(&mut record, refs.reference(i, data.series(slot).id), false);
            }
        }
        self.log_deletions(&record)
    }
}
