//! Resolving labels to series, and appending batches.

use std::io;
use std::sync::atomic::Ordering;

use chunk::HistogramPoint;
use model::Labels;
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use storage::{
    Affinity, Append, AppendError, Batch, BatchHistogram, MemoryStage, Outcome, Rejection, Resolved,
    SeriesRef,
};

use super::limits::{Bound, Check};
use super::{Head, NO_MAX};
use crate::exemplars::{self, Exemplar};
use crate::lookup::{Location, MAX_SLOTS};
use crate::ooo::stage::{Installed, Staged};
use crate::ooo::{Late, Limits, Value};
use crate::series::{Appended, CutRules};
use crate::shard::{Finder, ShardData};
use crate::wal::record::{ExemplarsEncoder, HistogramsEncoder, SamplesEncoder, push_metadata};
use crate::wal::{Compression, Packed};

/// Buffers of one append, reused.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) samples: SamplesEncoder,
    pub(super) histograms: HistogramsEncoder,
    pub(super) exemplars: ExemplarsEncoder,
    pub(super) metadata: Vec<u8>,
    pub(super) packed: Packed,
    /// Nothing that matters: gives loads made for their effect on the cache a use.
    touched: u8,
    /// Index in the batch and slot of what passed the checks.
    accepted: Vec<(u32, u32)>,
    /// Samples out of order.
    late: Staged,
    accepted_histograms: Vec<(u32, u32)>,
    accepted_metadata: Vec<(u32, u32)>,
    accepted_exemplars: Vec<(u32, u32)>,
}

impl Scratch {
    fn new(with_start_times: bool) -> Self {
        Scratch {
            samples: SamplesEncoder::new(with_start_times),
            histograms: HistogramsEncoder::new(with_start_times),
            ..Self::default()
        }
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.packed.clear();
        self.accepted.clear();
        self.late.clear();
        self.accepted_histograms.clear();
        self.accepted_metadata.clear();
        self.accepted_exemplars.clear();
    }

    /// Compresses the records in the order in which they are read back. Returns how many bytes that saved.
    pub(super) fn pack(&mut self, compression: Compression) -> io::Result<usize> {
        let mut saved = self.packed.add(compression, &self.metadata)?;
        saved += self.packed.add(compression, &self.samples.buf)?;
        for record in self.histograms.records() {
            saved += self.packed.add(compression, record)?;
        }
        Ok(saved + self.packed.add(compression, &self.exemplars.buf)?)
    }
}

/// Samples whose memory is fetched together.
const BLOCK: usize = 64;

impl Append for Head {
    fn resolve(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.resolve_within(affinity, labels, Bound::Limits)
    }

    fn resolve_report(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.resolve_within(affinity, labels, Bound::LabelsOnly)
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        outcome.clear();
        if !self.is_live()
            && !batch.only_checked
            && let Some(appended) = self.append_young(batch, outcome)
        {
            self.count_rejected(outcome);
            return appended;
        }
        match self.with_own_markers(batch) {
            Some(batch) => self.append_live(&batch, outcome),
            None => self.append_live(batch, outcome),
        }
    }
}

impl Head {
    fn resolve_within(
        &self,
        affinity: Affinity,
        labels: &Labels,
        bound: Bound,
    ) -> Result<Resolved, AppendError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(AppendError::Closed);
        }
        if !self.is_live()
            && let Some(resolved) = self.resolve_young(affinity, labels, bound)
        {
            return resolved;
        }
        self.resolve_in(self.shard_for(affinity), labels, bound)
    }

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
        bound: Bound,
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
        self.check_limits(labels, bound, Check::New)?;
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
            let _ = self.wal.commit(&Packed::default());
        }
        let series = self.series.fetch_add(1, Ordering::Relaxed) + 1;
        self.limits.note_created();
        self.metrics.series.set(series as f64);
        self.metrics.series_created.inc();
        Ok(Resolved { series: SeriesRef(reference), created: true })
    }

    /// Stores a batch in the shards.
    pub(super) fn append_live(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        outcome.clear();
        let scratch = self.scratch.lock().pop();
        let mut scratch = scratch.unwrap_or_else(|| Scratch::new(self.options.start_times));
        self.metrics.appenders_created.inc();
        self.metrics.active_appenders.inc();
        let result = self.append_with(&mut scratch, batch, outcome);
        self.metrics.active_appenders.dec();
        let given_out = self.metrics.appenders_created.get();
        self.metrics.newest_append.set(given_out);
        self.metrics.oldest_append.set(given_out - self.metrics.active_appenders.get());
        if self.limits.stage() < MemoryStage::ShrinkCaches {
            self.scratch.lock().push(scratch);
        }
        self.count_rejected(outcome);
        result
    }

    fn append_with(
        &self,
        scratch: &mut Scratch,
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> Result<(), AppendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let touched = self.touched_by(batch);
        let _order: Vec<_> = touched.iter().map(|&shard| self.shards[shard].order.lock()).collect();
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        scratch.clear();
        self.check(scratch, &touched, batch, outcome);
        if batch.only_checked {
            return Ok(());
        }
        if batch.all_or_nothing && !(outcome.rejected.is_empty() && outcome.rejected_histograms.is_empty()) {
            return Ok(());
        }
        let saved = scratch.pack(self.wal.compression()).map_err(AppendError::Log)?;
        if scratch.packed.is_empty() && scratch.late.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.log_late(&mut scratch.late, &touched) {
            outcome.clear();
            return Err(error);
        }
        self.metrics.wal.bytes_saved.add(saved as f64);
        if let Err(error) = self.wal.commit(&scratch.packed) {
            outcome.clear();
            return Err(AppendError::Log(error));
        }
        let done = self.apply(scratch, &touched, batch, outcome);
        self.metrics.samples_appended.float.add(outcome.appended as f64);
        if outcome.appended_histograms > 0 {
            self.metrics.samples_appended.histogram().add(outcome.appended_histograms as f64);
        }
        if done.min_time <= done.max_time {
            self.min_time.fetch_min(done.min_time, Ordering::Relaxed);
            self.max_time.fetch_max(done.max_time, Ordering::Relaxed);
        }
        if done.cut > 0 {
            self.chunks.fetch_add(done.cut, Ordering::Relaxed);
            self.metrics.chunks_created.add(done.cut as f64);
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

    /// The shards that a batch has something for, in order.
    fn touched_by(&self, batch: &Batch) -> Vec<usize> {
        let shard = |series: SeriesRef| 1u64 << self.refs.shard_of(series.0);
        let mut set = batch.samples.iter().fold(0u64, |set, s| set | shard(s.series));
        set = batch.histograms.iter().fold(set, |set, h| set | shard(h.series));
        set = batch.exemplars.iter().fold(set, |set, e| set | shard(e.series));
        set = batch.metadata.iter().fold(set, |set, m| set | shard(m.series));
        (0..self.shards.len()).filter(|shard| set >> shard & 1 == 1).collect()
    }

    /// Finds the series, refuses what cannot be stored and encodes the rest for the log.
    fn check(&self, scratch: &mut Scratch, touched: &[usize], batch: &Batch, outcome: &mut Outcome) {
        let guards: Vec<RwLockReadGuard<'_, ShardData>> =
            touched.iter().map(|&shard| self.shards[shard].data.read()).collect();
        let mut views: Views<'_> = self.shards.iter().map(|_| None).collect();
        for (guard, &shard) in guards.iter().zip(touched) {
            views[shard] = Some((guard, guard.finder()));
        }
        let first = batch.samples.first().map(|s| s.t).or(batch.histograms.first().map(|h| h.t));
        let limits = self.limits(first.unwrap_or(NO_MAX));
        self.check_samples(scratch, &mut views, &limits, batch, outcome);
        if !batch.histograms.is_empty() {
            self.check_histograms(scratch, &mut views, &limits, batch, outcome);
        }
        if self.options.metadata_wal_records && !batch.metadata.is_empty() {
            self.check_metadata(scratch, &mut views, batch);
        }
        if self.options.exemplars && !batch.exemplars.is_empty() {
            self.check_exemplars(scratch, &mut views, batch, outcome);
        }
    }

    fn check_samples(
        &self,
        scratch: &mut Scratch,
        views: &mut Views<'_>,
        limits: &Limits<'_>,
        batch: &Batch,
        outcome: &mut Outcome,
    ) {
        let mut found: [Option<(&ShardData, u32)>; BLOCK] = [None; BLOCK];
        for (block, samples) in batch.samples.chunks(BLOCK).enumerate() {
            for (found, sample) in found.iter_mut().zip(samples) {
                *found = self.locate(views, sample.series);
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
                    data.check_float(slot, sample.t, sample.v)
                };
                match in_order {
                    Err(reason)
                        if batch.in_order_only || batch.in_order_markers && model::is_stale(sample.v) =>
                    {
                        outcome.rejected.push((i, reason));
                    }
                    Err(reason) => match limits.late(sample.t, reason) {
                        Ok(()) => {
                            let (t, start_time) = (sample.t, start_time(batch, i));
                            let late = Late { t, start_time, value: Value::Float(sample.v) };
                            let reference = sample.series.0;
                            scratch.late.push(self.refs.shard_of(reference), slot, reference, late);
                        }
                        Err(reason) => {
                            if reason == Rejection::Duplicate {
                                outcome.existing.push((i, data.newest_float(slot)));
                            }
                            outcome.rejected.push((i, reason));
                        }
                    },
                    Ok(Appended::Unchanged) => {}
                    Ok(_) => {
                        let start_time = start_time(batch, i);
                        scratch.samples.push(sample.series.0, start_time, sample.t, sample.v);
                        scratch.accepted.push((i, slot));
                    }
                }
            }
        }
    }

    fn check_histograms(
        &self,
        scratch: &mut Scratch,
        views: &mut Views<'_>,
        limits: &Limits<'_>,
        batch: &Batch,
        outcome: &mut Outcome,
    ) {
        for (i, histogram) in (0u32..).zip(&batch.histograms) {
            let Some((data, slot)) = self.locate(views, histogram.series) else {
                outcome.rejected_histograms.push((i, Rejection::UnknownSeries));
                continue;
            };
            let BatchHistogram { series, t, start_time, value } = histogram;
            if value.validate().is_err() {
                outcome.rejected_histograms.push((i, Rejection::Invalid));
                continue;
            }
            let in_order = if *t < limits.min_valid {
                Err(Rejection::OutOfBounds)
            } else {
                data.check_histogram(slot, *t, value)
            };
            match in_order {
                Err(reason) if batch.in_order_only => outcome.rejected_histograms.push((i, reason)),
                Err(reason) => match limits.late(*t, reason) {
                    Ok(()) => {
                        let value = Value::Histogram(value.clone());
                        let late = Late { t: *t, start_time: *start_time, value };
                        scratch.late.push(self.refs.shard_of(series.0), slot, series.0, late);
                    }
                    Err(reason) => outcome.rejected_histograms.push((i, reason)),
                },
                Ok(Appended::Unchanged) => {}
                Ok(_) => {
                    scratch.histograms.push(series.0, *start_time, *t, value);
                    scratch.accepted_histograms.push((i, slot));
                }
            }
        }
    }

    fn check_metadata(&self, scratch: &mut Scratch, views: &mut Views<'_>, batch: &Batch) {
        for (i, news) in (0u32..).zip(&batch.metadata) {
            let Some((data, slot)) = self.locate(views, news.series) else { continue };
            if data.metadata.get(slot) != Some(&news.metadata) {
                push_metadata(&mut scratch.metadata, news.series.0, &news.metadata);
                scratch.accepted_metadata.push((i, slot));
            }
        }
    }

    fn check_exemplars(
        &self,
        scratch: &mut Scratch,
        views: &mut Views<'_>,
        batch: &Batch,
        outcome: &mut Outcome,
    ) {
        let exemplars = self.exemplars.read();
        if !exemplars.enabled() {
            return;
        }
        for (i, example) in (0u32..).zip(&batch.exemplars) {
            let Some((data, slot)) = self.locate(views, example.series) else {
                outcome.rejected_exemplars.push((i, Rejection::UnknownSeries));
                continue;
            };
            let exemplar = Exemplar::of(example);
            match exemplars.check(example.series.0, || data.labels(slot), &exemplar, example.timed) {
                Err(reason) => outcome.rejected_exemplars.push((i, reason)),
                Ok(exemplars::Check::Known) => {}
                Ok(exemplars::Check::Store) => {
                    scratch.exemplars.push(example.series.0, exemplar.t, exemplar.v, &exemplar.labels);
                    scratch.accepted_exemplars.push((i, slot));
                }
            }
        }
    }

    fn locate<'a>(&self, views: &mut Views<'a>, series: SeriesRef) -> Option<(&'a ShardData, u32)> {
        let (data, finder) = views[self.refs.shard_of(series.0)].as_mut()?;
        Some((*data, finder.slot(self.refs.id_of(series.0)?)?))
    }

    /// Stores what was checked.
    fn apply(
        &self,
        scratch: &mut Scratch,
        touched: &[usize],
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> Applied {
        // Within a shard the lock makes the batch visible at once; a batch over several keeps readers out.
        let _spanning = (touched.len() > 1).then(|| self.spanning.write());
        let mut guards: Vec<Option<RwLockWriteGuard<'_, ShardData>>> =
            self.shards.iter().map(|_| None).collect();
        for &shard in touched {
            guards[shard] = Some(self.shards[shard].data.write());
        }
        let mut done = Applied { cut: 0, min_time: i64::MAX, max_time: i64::MIN };
        let rules = CutRules { floats: *self.floats.read(), ..self.rules };
        let refused_before = outcome.rejected.len();
        for &(i, slot) in &scratch.accepted {
            let sample = &batch.samples[i as usize];
            let Some(data) = &mut guards[self.refs.shard_of(sample.series.0)] else { continue };
            let stored = data.append_float(slot, &rules, start_time(batch, i), sample.t, sample.v);
            // Only samples of one series that follow each other in the same batch are refused here.
            match stored {
                Ok(appended) => outcome.appended += done.note(appended, sample.t),
                // One of the same time is there, and stays: once newer ones follow it, it could not be told from a late one.
                Err(Rejection::Duplicate) if batch.tells_within => {}
                Err(_) if batch.tells_within => outcome.within.push(i),
                Err(reason) => outcome.rejected.push((i, reason)),
            }
        }
        if outcome.rejected.len() > refused_before {
            outcome.rejected.sort_unstable_by_key(|&(i, _)| i);
        }
        let refused_before = outcome.rejected_histograms.len();
        for &(i, slot) in &scratch.accepted_histograms {
            let BatchHistogram { series, t, start_time, value } = &batch.histograms[i as usize];
            let Some(data) = &mut guards[self.refs.shard_of(series.0)] else { continue };
            let start_time = if self.options.start_times { *start_time } else { 0 };
            let point = HistogramPoint { t: *t, start_time, value: value.clone() };
            match data.append_histogram(slot, &rules, &point) {
                Ok(appended) => outcome.appended_histograms += done.note(appended, *t),
                Err(Rejection::Duplicate) if batch.tells_within => {}
                Err(_) if batch.tells_within => outcome.within_histograms.push(i),
                Err(reason) => outcome.rejected_histograms.push((i, reason)),
            }
        }
        if outcome.rejected_histograms.len() > refused_before {
            outcome.rejected_histograms.sort_unstable_by_key(|&(i, _)| i);
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
        done.cut += late.chunks;
        for &(i, slot) in &scratch.accepted_metadata {
            let news = &batch.metadata[i as usize];
            if let Some(data) = &mut guards[self.refs.shard_of(news.series.0)] {
                data.metadata.set(slot, &news.metadata);
            }
        }
        if !scratch.accepted_exemplars.is_empty() {
            let mut exemplars = self.exemplars.write();
            for &(i, slot) in &scratch.accepted_exemplars {
                let example = &batch.exemplars[i as usize];
                let Some(data) = &guards[self.refs.shard_of(example.series.0)] else { continue };
                let labels = || data.labels(slot);
                match exemplars.add(example.series.0, labels, Exemplar::of(example), example.timed) {
                    Ok(new) => outcome.appended_exemplars += usize::from(new),
                    // Only others of the same batch are newer: that is told as it is of samples.
                    Err(_) if batch.tells_within => {}
                    Err(reason) => outcome.rejected_exemplars.push((i, reason)),
                }
            }
        }
        done
    }

    /// Older samples are refused. Prometheus' bound: half a chunk range behind the newest, so that a block can be
    /// cut from what is older.
    pub(super) fn appendable_from(&self, newest: i64) -> i64 {
        let window = newest.saturating_sub(self.rules.chunk_range / 2);
        window.max(self.min_valid_time.load(Ordering::Relaxed))
    }

    fn count_rejected(&self, outcome: &Outcome) {
        outcome.rejected.iter().for_each(|(_, reason)| self.count_rejection(*reason, false));
        outcome.rejected_histograms.iter().for_each(|(_, reason)| self.count_rejection(*reason, true));
    }

    fn count_rejection(&self, reason: Rejection, histogram: bool) {
        let counters = match reason {
            Rejection::OutOfOrder => &self.metrics.out_of_order,
            Rejection::OutOfBounds => &self.metrics.out_of_bounds,
            Rejection::TooOld => &self.metrics.too_old,
            Rejection::UnknownSeries => return self.metrics.series_not_found.inc(),
            // As in Prometheus, there is no counter for them.
            Rejection::Duplicate | Rejection::Invalid => return,
        };
        if histogram { counters.histogram().inc() } else { counters.float.inc() }
    }
}

/// The shards that a batch touches, with their finders.
type Views<'a> = Vec<Option<(&'a ShardData, Finder<'a>)>>;

/// What storing a batch did.
struct Applied {
    /// Chunks begun.
    cut: usize,
    min_time: i64,
    max_time: i64,
}

impl Applied {
    /// Returns how many samples were stored: one or none.
    #[inline]
    fn note(&mut self, appended: Appended, t: i64) -> usize {
        if appended == Appended::Unchanged {
            return 0;
        }
        self.cut += usize::from(appended == Appended::Cut);
        self.min_time = self.min_time.min(t);
        self.max_time = self.max_time.max(t);
        1
    }
}

#[inline]
pub(super) fn start_time(batch: &Batch, i: u32) -> i64 {
    batch.start_times.get(i as usize).copied().unwrap_or_default()
}
