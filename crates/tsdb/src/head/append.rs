//! Resolving labels to series, and appending batches.

use std::sync::atomic::Ordering;

use model::Labels;
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use storage::{Affinity, Append, AppendError, Batch, Outcome, Rejection, Resolved, SeriesRef};

use super::{Head, NO_MAX};
use crate::lookup::{Location, MAX_SLOTS};
use crate::ooo::stage::{Installed, Staged};
use crate::ooo::{Late, Value};
use crate::series::Appended;
use crate::shard::{Finder, ShardData};
use crate::wal::record::SamplesEncoder;

/// Buffers of one append, reused.
#[derive(Default)]
pub(super) struct Scratch {
    record: SamplesEncoder,
    packed: Vec<u8>,
    /// Nothing that matters: gives loads made for their effect on the cache a use.
    touched: u8,
    /// Index in the batch and slot of the samples that passed the checks.
    accepted: Vec<(u32, u32)>,
    /// Samples out of order.
    late: Staged,
}

/// Samples whose memory is fetched together.
const BLOCK: usize = 64;

/// A label set longer than this is refused: a series notes the number of its labels in a byte.
const MAX_LABELS: usize = 255;

impl Append for Head {
    fn resolve(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(AppendError::Closed);
        }
        if !self.is_live()
            && let Some(resolved) = self.resolve_young(affinity, labels)
        {
            return resolved;
        }
        self.resolve_in(self.shard_for(affinity), labels, true)
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        outcome.clear();
        if !self.is_live()
            && let Some(appended) = self.append_young(batch, outcome)
        {
            self.count_rejected(outcome);
            return appended;
        }
        self.append_live(batch, outcome)
    }
}

impl Head {
    /// The shard of new series of `affinity`.
    pub(super) fn shard_for(&self, affinity: Affinity) -> usize {
        let spread = affinity.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        spread as usize & (self.shards.len() - 1)
    }

    /// Finds a series, or creates it in `shard`.
    pub(super) fn resolve_in(
        &self,
        shard: usize,
        labels: &Labels,
        limited: bool,
    ) -> Result<Resolved, AppendError> {
        let hash = self.hash(labels);
        let mut id = 0;
        let mut is = |at: Location| {
            let data = self.shards[at.shard()].data.read();
            let found = data.has_labels(at.slot(), labels);
            if found {
                id = data.series(at.slot()).id;
            }
            found
        };
        if let Some(at) = self.lookup.find(hash, &mut is) {
            return Ok(Resolved { series: SeriesRef(self.refs.reference(at.shard(), id)), created: false });
        }
        let mut piece = self.lookup.lock(hash);
        if let Some(at) = piece.find(&mut is) {
            return Ok(Resolved { series: SeriesRef(self.refs.reference(at.shard(), id)), created: false });
        }
        if limited {
            self.check_limits(labels)?;
        }
        let mut data = self.shards[shard].data.write();
        if data.live() as u32 >= MAX_SLOTS - 1 {
            return Err(AppendError::SeriesLimit("a shard of the head is full".into()));
        }
        let id = data.next_id;
        let Some(slot) = data.create(id, labels) else {
            return Err(AppendError::SeriesLimit("the memory of a shard of the head is full".into()));
        };
        data.next_id += 1;
        data.index(slot);
        let reference = self.refs.reference(shard, id);
        // Under the lock, so that the log has the series of a shard in order of their ids.
        let many = self.wal.note_series(reference, labels);
        drop(data);
        piece.insert(Location::new(shard, slot));
        drop(piece);
        if many {
            // Should that fail, they keep waiting, and the next batch reports it.
            let _ = self.wal.commit(&[], crate::Compression::None);
        }
        let series = self.series.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.series.set(series as f64);
        self.metrics.series_created.inc();
        Ok(Resolved { series: SeriesRef(reference), created: true })
    }

    /// Stores a batch in the shards.
    pub(super) fn append_live(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        outcome.clear();
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        self.metrics.appenders_created.inc();
        self.metrics.active_appenders.inc();
        let result = self.append_with(&mut scratch, batch, outcome);
        self.metrics.active_appenders.dec();
        self.scratch.lock().push(scratch);
        self.count_rejected(outcome);
        result
    }

    pub(super) fn check_limits(&self, labels: &Labels) -> Result<(), AppendError> {
        let refuse = |text: String| {
            self.metrics.series_refused.inc();
            Err(AppendError::SeriesLimit(text))
        };
        let max = self.options.max_series;
        if max > 0 && self.series.load(Ordering::Relaxed) >= max {
            return refuse(format!(
                "the limit of {max} series in memory (--storage.tsdb.max-series) is reached"
            ));
        }
        let count = labels.len();
        if count > MAX_LABELS {
            return refuse(format!("a series of {count} labels: more than {MAX_LABELS} are not stored"));
        }
        Ok(())
    }

    fn append_with(
        &self,
        scratch: &mut Scratch,
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> Result<(), AppendError> {
        if batch.samples.is_empty() {
            return Ok(());
        }
        let touched = batch.samples.iter().fold(0u64, |set, s| set | 1 << self.refs.shard_of(s.series.0));
        let touched: Vec<usize> = (0..self.shards.len()).filter(|shard| touched >> shard & 1 == 1).collect();
        let _order: Vec<_> = touched.iter().map(|&shard| self.shards[shard].order.lock()).collect();
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        self.check(scratch, &touched, batch, outcome);
        if scratch.accepted.is_empty() && scratch.late.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.log_late(&mut scratch.late, &touched) {
            outcome.rejected.clear();
            return Err(error);
        }
        let compression = self.wal.compression();
        let used = compression.pack(&scratch.record.buf, &mut scratch.packed).map_err(AppendError::Log)?;
        let stored = if used == crate::Compression::None { &scratch.record.buf } else { &scratch.packed };
        self.metrics.wal.bytes_saved.add((scratch.record.buf.len() - stored.len()) as f64);
        if let Err(error) = self.wal.commit(stored, used) {
            outcome.rejected.clear();
            return Err(AppendError::Log(error));
        }
        let (cut, min_time, max_time) = self.apply(scratch, &touched, batch, outcome);
        self.metrics.samples_appended.add(outcome.appended as f64);
        if outcome.appended > 0 {
            self.min_time.fetch_min(min_time, Ordering::Relaxed);
            self.max_time.fetch_max(max_time, Ordering::Relaxed);
        }
        if cut > 0 {
            self.chunks.fetch_add(cut, Ordering::Relaxed);
            self.metrics.chunks_created.add(cut as f64);
        }
        self.note_times();
        for &shard in &touched {
            if let Err(error) = self.write_closed_chunks(shard) {
                // They stay in memory and in the log; the next batch tries again.
                tracing::warn!(%error, "full chunks could not be written to chunks_head");
            }
        }
        Ok(())
    }

    /// Finds the series of the samples, refuses what cannot be stored and encodes the rest for the log.
    fn check(&self, scratch: &mut Scratch, touched: &[usize], batch: &Batch, outcome: &mut Outcome) {
        scratch.record.clear();
        scratch.accepted.clear();
        scratch.late.clear();
        let limits = self.limits(batch.samples.first().map_or(NO_MAX, |sample| sample.t));
        let guards: Vec<RwLockReadGuard<'_, ShardData>> =
            touched.iter().map(|&shard| self.shards[shard].data.read()).collect();
        let mut views: Vec<Option<(&ShardData, Finder<'_>)>> = self.shards.iter().map(|_| None).collect();
        for (guard, &shard) in guards.iter().zip(touched) {
            views[shard] = Some((guard, guard.finder()));
        }
        let mut found: [Option<(&ShardData, u32)>; BLOCK] = [None; BLOCK];
        for (block, samples) in batch.samples.chunks(BLOCK).enumerate() {
            for (found, sample) in found.iter_mut().zip(samples) {
                *found = views[self.refs.shard_of(sample.series.0)].as_mut().and_then(|(data, finder)| {
                    Some((*data, finder.slot(self.refs.id_of(sample.series.0)?)?))
                });
            }
            // Series and the ends of open chunks come from memory, about 100 ns each: this loop, which does nothing
            // else, has many of them on their way at once, and what follows finds them in the cache.
            for (data, slot) in found.iter().take(samples.len()).flatten() {
                scratch.touched ^= data.series(*slot).open_end(&data.slab);
            }
            for (i, (found, sample)) in found.iter().zip(samples).enumerate() {
                let i = (block * BLOCK + i) as u32;
                let Some((data, slot)) = *found else {
                    outcome.rejected.push((i, Rejection::UnknownSeries));
                    continue;
                };
                let in_order = if sample.t < limits.min_valid {
                    Err(Rejection::OutOfBounds)
                } else {
                    data.series(slot).check(&data.slab, sample.t, sample.v)
                };
                match in_order {
                    Err(reason) => match limits.late(sample.t, reason) {
                        Ok(()) => {
                            let late = Late { t: sample.t, start_time: 0, value: Value::Float(sample.v) };
                            scratch.late.push(
                                self.refs.shard_of(sample.series.0),
                                slot,
                                sample.series.0,
                                late,
                            );
                        }
                        Err(reason) => outcome.rejected.push((i, reason)),
                    },
                    Ok(Appended::Unchanged) => {}
                    Ok(_) => {
                        scratch.record.push(sample.series.0, 0, sample.t, sample.v);
                        scratch.accepted.push((i, slot));
                    }
                }
            }
        }
    }

    /// Stores what was checked. Returns how many chunks were begun, and the oldest and newest time.
    fn apply(
        &self,
        scratch: &mut Scratch,
        touched: &[usize],
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> (usize, i64, i64) {
        // Within a shard the lock makes the batch visible at once; a batch over several keeps readers out.
        let _spanning = (touched.len() > 1).then(|| self.spanning.write());
        let mut guards: Vec<Option<RwLockWriteGuard<'_, ShardData>>> =
            self.shards.iter().map(|_| None).collect();
        for &shard in touched {
            guards[shard] = Some(self.shards[shard].data.write());
        }
        let (mut cut, mut min_time, mut max_time) = (0, i64::MAX, i64::MIN);
        let refused_before = outcome.rejected.len();
        for &(i, slot) in &scratch.accepted {
            let sample = &batch.samples[i as usize];
            let Some(data) = &mut guards[self.refs.shard_of(sample.series.0)] else { continue };
            let (series, slab) = data.series_and_slab(slot);
            let had_open = series.open_samples() > 0;
            match series.append(slab, &self.rules, sample.t, sample.v) {
                Ok(Appended::Stored) => {}
                Ok(Appended::Cut) => {
                    cut += 1;
                    if had_open {
                        data.unwritten.push(slot);
                    }
                }
                Ok(Appended::Unchanged) => continue,
                // Only samples of one series that follow each other in the same batch come here.
                Err(reason) => {
                    outcome.rejected.push((i, reason));
                    continue;
                }
            }
            outcome.appended += 1;
            min_time = min_time.min(sample.t);
            max_time = max_time.max(sample.t);
        }
        let mut late = Installed::default();
        for &shard in touched {
            if let Some(data) = &mut guards[shard] {
                scratch.late.install(shard, data, &mut late);
            }
        }
        self.ooo.note(late);
        outcome.appended += late.floats;
        outcome.appended_histograms += late.histograms;
        cut += late.chunks;
        if outcome.rejected.len() > refused_before {
            outcome.rejected.sort_unstable_by_key(|&(i, _)| i);
        }
        (cut, min_time, max_time)
    }

    /// Older samples are refused. Prometheus' bound: half a chunk range behind the newest, so that a block can be
    /// cut from what is older.
    pub(super) fn appendable_from(&self, newest: i64) -> i64 {
        let window = newest.saturating_sub(self.rules.chunk_range / 2);
        window.max(self.min_valid_time.load(Ordering::Relaxed))
    }

    fn count_rejected(&self, outcome: &Outcome) {
        for (_, reason) in &outcome.rejected {
            match reason {
                Rejection::OutOfOrder => self.metrics.out_of_order.inc(),
                Rejection::OutOfBounds => self.metrics.out_of_bounds.inc(),
                Rejection::TooOld => self.metrics.too_old.inc(),
                Rejection::UnknownSeries => self.metrics.series_not_found.inc(),
                Rejection::Duplicate => {}
            }
        }
    }
}
