//! Keeping series and log bounded.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::series::NO_TIME;
use super::{Agent, Gone, millis};
use crate::follow::{Log, retire};
use crate::lookup::Location;
use crate::wal::checkpoint::{self, Checkpoint, Keep};
use crate::wal::record::{SamplesEncoder, push_series};
use crate::wal::{Packed, Wal, segments};

impl Agent {
    /// Forgets series without samples since they were all sent, and takes out of the log what is too old. `sent` is the
    /// time up to which all destinations have everything, none if that is not known; both in milliseconds since the Unix
    /// epoch. To be called every [`truncate_frequency`](super::AgentOptions::truncate_frequency).
    ///
    /// # Errors
    /// When files cannot be read or written; nothing that is needed was deleted then.
    pub fn truncate(&self, sent: Option<i64>, now: i64) -> io::Result<()> {
        let min_time = millis(self.options.min_time);
        let before = sent.unwrap_or(0).saturating_sub(min_time).max(0);
        // Who cannot send must not keep everything for ever.
        self.truncate_before(before.max(now.saturating_sub(millis(self.options.max_time))))
    }

    /// Forgets series without samples since `before`, ends the segment, and makes a checkpoint of the lower two thirds.
    ///
    /// # Errors
    /// As above.
    pub fn truncate_before(&self, before: i64) -> io::Result<()> {
        let _one = self.truncating.lock();
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let begun = Instant::now();
        self.forget_before(before);
        self.note_memory();
        let all = segments::list(&self.wal_dir)?;
        let (Some((first, _)), Some((last, _))) = (all.first(), all.last()) else { return Ok(()) };
        // Those with little to log shall not keep a segment for days.
        self.wal.end_segment()?;
        let Some(upto) = last.checked_sub(1).map(|last| first + last.saturating_sub(*first) * 2 / 3) else {
            return Ok(());
        };
        if upto <= *first {
            return Ok(());
        }
        self.metrics.checkpoints.inc();
        self.checkpoint(upto, before).inspect_err(|_| self.metrics.checkpoints_failed.inc())?;
        let retired = self.retired_to.lock().clone();
        if let Err(error) = self.wal.truncate(upto, |path| retire(path, retired.as_deref(), Log::InOrder)) {
            // They are passed over from now on, and the next truncation tries again.
            tracing::error!(err = %error, "truncating segments failed");
        }
        {
            let mut gone = self.gone.lock();
            gone.retain(|_, gone| gone.segment > upto);
            self.metrics.deleted_series.set(gone.len() as f64);
        }
        self.metrics.checkpoint_deletions.inc();
        if let Err(error) = self.delete_checkpoints_before(upto) {
            tracing::error!(err = %error, "delete old checkpoints");
            self.metrics.checkpoint_deletions_failed.inc();
        }
        self.metrics.truncate.observe(begun.elapsed().as_secs_f64());
        tracing::info!(first, last = upto, duration = ?begun.elapsed(), "WAL checkpoint complete");
        Ok(())
    }

    fn delete_checkpoints_before(&self, upto: u32) -> io::Result<()> {
        let retired = self.retired_to.lock().clone();
        let mut old = segments::checkpoints(&self.wal_dir)?.into_iter().filter(|(n, _)| *n < upto);
        old.try_for_each(|(_, path)| retire(&path, retired.as_deref(), Log::InOrder))
    }

    /// Takes series out of memory that had no samples since `before`. One that never had any stays until it is met so for
    /// a second time: it may have been created a moment ago.
    fn forget_before(&self, before: i64) {
        let segment = self.wal.position().segment;
        let mut forgotten = 0;
        for (index, shard) in self.shards.iter().enumerate() {
            // Nobody appends meanwhile; who has found a series before is told that it is not known.
            let _order = shard.order.lock();
            let mut dead = Vec::new();
            {
                let mut data = shard.data.write();
                for slot in 0..data.table.slot_count() {
                    if !data.table.is_live(slot) || data.newest(slot) >= before {
                        continue;
                    }
                    let is_new = data.newest(slot) == NO_TIME;
                    if is_new && !std::mem::replace(&mut data.table.series_mut(slot).idle, true) {
                        continue;
                    }
                    dead.push((slot, data.table.labels(slot)));
                }
            }
            let mut gone = Vec::with_capacity(dead.len());
            for (slot, labels) in dead {
                // The lookup table is locked before a shard.
                self.lookup.lock(self.hash(&labels)).remove(Location::new(index, slot));
                gone.push((slot, labels));
            }
            let mut data = shard.data.write();
            let slots: Vec<u32> = gone.iter().map(|(slot, _)| *slot).collect();
            forgotten += slots.len();
            let mut all_gone = self.gone.lock();
            let mut exemplars = self.exemplars.lock();
            for (slot, labels) in gone {
                let reference = self.refs.reference(index, data.table.series(slot).id);
                exemplars.remove(&reference);
                all_gone.insert(reference, Gone { segment, labels });
            }
            drop((all_gone, exemplars));
            data.table.remove(&slots, 0);
            data.table.bury(1);
        }
        self.lookup.shrink();
        let left = self.series.fetch_sub(forgotten, Ordering::Relaxed) - forgotten;
        self.metrics.active_series.set(left as f64);
        self.metrics.deleted_series.set(self.gone.lock().len() as f64);
    }

    /// Writes a checkpoint of all segments up to `upto`, with samples from `oldest` on.
    fn checkpoint(&self, upto: u32, oldest: i64) -> io::Result<()> {
        let dir = self.wal_dir.join(format!("{}{upto:08}", segments::CHECKPOINT));
        if dir.exists() {
            return Ok(());
        }
        let temporary = self.wal_dir.join(format!("{}{upto:08}.tmp", segments::CHECKPOINT));
        if temporary.exists() {
            disk::remove_dir_all(&temporary)?;
        }
        disk::create_dir_all(&temporary)?;
        let written = match self.options.checkpoint_from_memory {
            true => self.checkpoint_from_memory(&temporary, upto),
            false => self.checkpoint_from_log(&temporary, upto, oldest),
        };
        let written = written.and_then(|()| {
            disk::rename(&temporary, &dir)?;
            segments::sync_dir(&self.wal_dir)
        });
        if written.is_err() {
            let _ = disk::remove_dir_all(&temporary);
        }
        written
    }

    fn checkpoint_from_log(&self, dir: &Path, upto: u32, oldest: i64) -> io::Result<()> {
        let checkpoint = Checkpoint {
            compression: self.options.wal_compression,
            segment_size: self.options.wal_segment_size,
            oldest,
            keep: &|reference| self.keep(reference, upto),
        };
        checkpoint.write(dir, &checkpoint::sources(&self.wal_dir, upto)?)
    }

    fn keep(&self, reference: u64, upto: u32) -> Keep {
        let data = self.shards[self.refs.shard_of(reference)].data.read();
        if self.refs.id_of(reference).and_then(|id| data.table.slot_of(id)).is_some() {
            return Keep::From(i64::MIN);
        }
        match self.gone.lock().get(&reference) {
            Some(gone) if gone.segment > upto => Keep::Name,
            _ => Keep::Nothing,
        }
    }

    /// Series with the time of their newest sample, for which a sample of no meaning stands, as in Prometheus.
    fn checkpoint_from_memory(&self, dir: &Path, upto: u32) -> io::Result<()> {
        let compression = self.options.wal_compression;
        let out = Wal::create(dir, 0, self.options.wal_segment_size, compression, None)?;
        let mut packed = Packed::default();
        let mut series = Vec::new();
        let mut times = SamplesEncoder::new(self.options.start_times);
        let mut write = |series: &mut Vec<u8>, times: &mut SamplesEncoder| {
            packed.clear();
            packed.add(compression, series)?;
            packed.add(compression, &times.buf)?;
            series.clear();
            times.clear();
            out.commit(&packed)
        };
        let step = u32::try_from(self.options.checkpoint_batch_size.max(1)).unwrap_or(u32::MAX);
        for (index, shard) in self.shards.iter().enumerate() {
            let mut at = 0u32;
            loop {
                let data = shard.data.read();
                let end = at.saturating_add(step).min(data.table.slot_count());
                if at >= end {
                    break;
                }
                for slot in (at..end).filter(|&slot| data.table.is_live(slot)) {
                    let reference = self.refs.reference(index, data.table.series(slot).id);
                    push_series(&mut series, reference, &data.table.labels(slot));
                    if data.newest(slot) != NO_TIME {
                        times.push(reference, 0, data.newest(slot), 0.0);
                    }
                }
                drop(data);
                write(&mut series, &mut times)?;
                at = end;
            }
        }
        for (&reference, gone) in self.gone.lock().iter().filter(|(_, gone)| gone.segment > upto) {
            push_series(&mut series, reference, &gone.labels);
        }
        write(&mut series, &mut times)?;
        out.close()?;
        segments::sync_dir(dir)
    }
}
