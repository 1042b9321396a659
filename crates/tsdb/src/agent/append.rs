//! Writing samples: checked against the newest of their series, logged, and forgotten.

use std::sync::atomic::Ordering;

use model::Labels;
use parking_lot::RwLockReadGuard;
use storage::{
    Affinity, Append, AppendError, Batch, BatchExemplar, MemoryStage, Outcome, Rejection, Resolved, SeriesRef,
};

use super::Agent;
use super::series::{Data, NO_TIME};
use crate::exemplars::{Exemplar, is_too_long};
use crate::shard::Finder;
use crate::wal::Packed;
use crate::wal::record::{ExemplarsEncoder, HistogramsEncoder, SamplesEncoder};

/// Buffers of one append, reused.
#[derive(Default)]
pub(super) struct Scratch {
    samples: SamplesEncoder,
    histograms: HistogramsEncoder,
    exemplars: ExemplarsEncoder,
    packed: Packed,
    /// Series, by shard and slot, and time of what passed the checks.
    accepted: Vec<(u32, u32, i64)>,
    accepted_exemplars: Vec<u32>,
}

impl Scratch {
    fn new(with_start_times: bool) -> Self {
        Scratch {
            samples: SamplesEncoder::new(with_start_times),
            histograms: HistogramsEncoder::new(with_start_times),
            ..Self::default()
        }
    }

    fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.packed.clear();
        self.accepted.clear();
        self.accepted_exemplars.clear();
    }
}

/// The shards that a batch touches, with their finders.
type Views<'a> = Vec<Option<(&'a Data, Finder<'a>)>>;

/// What a time is measured against.
#[derive(Clone, Copy)]
struct Rules {
    window: i64,
    in_order_only: bool,
}

impl Rules {
    /// As in Prometheus' agent: a sample must be newer than the newest one, or than that less the window. The newest is
    /// what the log had before the batch, so that a batch may have several samples of a time.
    fn check(self, newest: i64, t: i64) -> Result<(), Rejection> {
        if newest == NO_TIME {
            return Ok(());
        }
        let window = if self.in_order_only { 0 } else { self.window };
        if t <= newest.saturating_sub(window) { Err(Rejection::OutOfOrder) } else { Ok(()) }
    }
}

impl Append for Agent {
    fn resolve(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.resolve_within(affinity, labels, true)
    }

    fn resolve_report(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.resolve_within(affinity, labels, false)
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        outcome.clear();
        if batch.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch.lock().pop();
        let mut scratch = scratch.unwrap_or_else(|| Scratch::new(self.options.start_times));
        let result = self.append_with(&mut scratch, batch, outcome);
        if self.memory.budget().stage() < MemoryStage::ShrinkCaches {
            self.scratch.lock().push(scratch);
        }
        result
    }
}

impl Agent {
    fn append_with(
        &self,
        scratch: &mut Scratch,
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> Result<(), AppendError> {
        let touched = self.touched_by(batch);
        let _order: Vec<_> = touched.iter().map(|&shard| self.shards[shard].order.lock()).collect();
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        scratch.clear();
        self.check(scratch, &touched, batch, outcome);
        if !batch.in_order_only {
            // What a start time is worth is only tried: see `collect_zeros` of scraping.
            let refused = outcome.rejected.iter().chain(&outcome.rejected_histograms);
            let late = refused.filter(|(_, reason)| *reason == Rejection::OutOfOrder).count();
            self.metrics.out_of_order.add(late as f64);
        }
        if batch.only_checked {
            return Ok(());
        }
        if batch.all_or_nothing && !(outcome.rejected.is_empty() && outcome.rejected_histograms.is_empty()) {
            return Ok(());
        }
        let saved = self.pack(scratch).map_err(AppendError::Log)?;
        if scratch.packed.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.wal.commit(&scratch.packed) {
            outcome.clear();
            return Err(AppendError::Log(error));
        }
        self.metrics.wal.bytes_saved.add(saved as f64);
        self.note(scratch, &touched, batch, outcome);
        Ok(())
    }

    /// The shards that a batch has something for, in order.
    fn touched_by(&self, batch: &Batch) -> Vec<usize> {
        let shard = |series: SeriesRef| 1u64 << self.refs.shard_of(series.0);
        let mut set = batch.samples.iter().fold(0u64, |set, s| set | shard(s.series));
        set = batch.histograms.iter().fold(set, |set, h| set | shard(h.series));
        set = batch.exemplars.iter().fold(set, |set, e| set | shard(e.series));
        (0..self.shards.len()).filter(|shard| set >> shard & 1 == 1).collect()
    }

    /// Finds the series, refuses what cannot be stored and encodes the rest for the log.
    fn check(&self, scratch: &mut Scratch, touched: &[usize], batch: &Batch, outcome: &mut Outcome) {
        let guards: Vec<RwLockReadGuard<'_, Data>> =
            touched.iter().map(|&shard| self.shards[shard].data.read()).collect();
        let mut views: Views<'_> = self.shards.iter().map(|_| None).collect();
        for (guard, &shard) in guards.iter().zip(touched) {
            views[shard] = Some((guard, guard.table.finder()));
        }
        let rules = Rules { window: self.window.load(Ordering::Relaxed), in_order_only: batch.in_order_only };
        for (i, sample) in (0u32..).zip(&batch.samples) {
            let Some((shard, slot, newest)) = self.locate(&mut views, sample.series) else {
                outcome.rejected.push((i, Rejection::UnknownSeries));
                continue;
            };
            let in_order_only = rules.in_order_only || batch.in_order_markers && model::is_stale(sample.v);
            match (Rules { in_order_only, ..rules }).check(newest, sample.t) {
                Err(reason) => outcome.rejected.push((i, reason)),
                Ok(()) => {
                    let start_time = batch.start_times.get(i as usize).copied().unwrap_or_default();
                    scratch.samples.push(sample.series.0, start_time, sample.t, sample.v);
                    scratch.accepted.push((shard, slot, sample.t));
                    outcome.appended += 1;
                }
            }
        }
        for (i, histogram) in (0u32..).zip(&batch.histograms) {
            let located = self.locate(&mut views, histogram.series);
            let checked = match located {
                None => Err(Rejection::UnknownSeries),
                Some(_) if histogram.value.validate().is_err() => Err(Rejection::Invalid),
                Some((shard, slot, newest)) => {
                    rules.check(newest, histogram.t).map(|()| (shard, slot, histogram.t))
                }
            };
            match checked {
                Err(reason) => outcome.rejected_histograms.push((i, reason)),
                Ok(accepted) => {
                    let series = histogram.series.0;
                    scratch.histograms.push(series, histogram.start_time, histogram.t, &histogram.value);
                    scratch.accepted.push(accepted);
                    outcome.appended_histograms += 1;
                }
            }
        }
        self.check_exemplars(scratch, &mut views, batch, outcome);
    }

    fn check_exemplars(
        &self,
        scratch: &mut Scratch,
        views: &mut Views<'_>,
        batch: &Batch,
        outcome: &mut Outcome,
    ) {
        if batch.exemplars.is_empty() {
            return;
        }
        let known = self.exemplars.lock();
        for (i, example) in (0u32..).zip(&batch.exemplars) {
            if self.locate(views, example.series).is_none() {
                outcome.rejected_exemplars.push((i, Rejection::UnknownSeries));
                continue;
            }
            let exemplar = Exemplar::of(example);
            if is_too_long(&exemplar.labels) {
                outcome.rejected_exemplars.push((i, Rejection::OutOfBounds));
                continue;
            }
            if known.get(&example.series.0).is_some_and(|before| is_same(before, &exemplar, example)) {
                continue;
            }
            scratch.exemplars.push(example.series.0, exemplar.t, exemplar.v, &exemplar.labels);
            scratch.accepted_exemplars.push(i);
            outcome.appended_exemplars += 1;
        }
    }

    #[inline]
    fn locate(&self, views: &mut Views<'_>, series: SeriesRef) -> Option<(u32, u32, i64)> {
        let shard = self.refs.shard_of(series.0);
        let (data, finder) = views[shard].as_mut()?;
        let slot = finder.slot(self.refs.id_of(series.0)?)?;
        Some((shard as u32, slot, data.newest(slot)))
    }

    /// Compresses the records in the order in which they are read back. Returns how many bytes that saved.
    fn pack(&self, scratch: &mut Scratch) -> std::io::Result<usize> {
        let compression = self.wal.compression();
        let mut saved = scratch.packed.add(compression, &scratch.samples.buf)?;
        for record in scratch.histograms.records() {
            saved += scratch.packed.add(compression, record)?;
        }
        Ok(saved + scratch.packed.add(compression, &scratch.exemplars.buf)?)
    }

    /// What was accepted is in the log: from now on it is what later samples are measured against.
    fn note(&self, scratch: &Scratch, touched: &[usize], batch: &Batch, outcome: &Outcome) {
        for &shard in touched {
            let mut data = self.shards[shard].data.write();
            for &(of, slot, t) in &scratch.accepted {
                if of as usize == shard {
                    data.note(slot, t);
                }
            }
        }
        if let Some(newest) = scratch.accepted.iter().map(|(_, _, t)| *t).max() {
            self.newest.fetch_max(newest, Ordering::Relaxed);
        }
        if !scratch.accepted_exemplars.is_empty() {
            let mut known = self.exemplars.lock();
            for &i in &scratch.accepted_exemplars {
                let example = &batch.exemplars[i as usize];
                known.insert(example.series.0, Exemplar::of(example));
            }
        }
        self.metrics.floats.add(outcome.appended as f64);
        self.metrics.histograms.add(outcome.appended_histograms as f64);
        self.metrics.exemplars.add(outcome.appended_exemplars as f64);
    }
}

/// Whether an exemplar is the one that the series had last. Without a time of its own it has that of the scrape.
fn is_same(before: &Exemplar, new: &Exemplar, example: &BatchExemplar) -> bool {
    before.v == new.v && before.labels == new.labels && (!example.timed || before.t == new.t)
}
