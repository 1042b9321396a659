//! The series that a rule makes: resolved once, written each time, marked as ended when they are made no more.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::histogram::HistogramValue;
use model::{FloatHistogram, Labels, STALE_NAN};
use storage::{
    Affinity, Append, AppendError, Batch, BatchHistogram, BatchSample, Outcome, Rejection, SeriesRef,
    refusal_of_histogram, refusal_of_sample,
};

pub(crate) type LabelsMap<T> = HashMap<Labels, T, FixedState>;

/// One of the series. It stands for other labels, or none, once the series ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output {
    slot: u32,
    stamp: u32,
}

/// One sample that is to be written.
#[derive(Debug)]
pub(crate) struct ToWrite {
    pub(crate) output: Output,
    pub(crate) v: f64,
    pub(crate) histogram: Option<Arc<FloatHistogram>>,
}

/// Where samples go.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) store: &'a dyn Append,
    pub(crate) affinity: Affinity,
}

/// All series of one rule.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_labels: LabelsMap<u32>,
    round: u64,
    stamp: u32,
    batch: Batch,
    outcome: Outcome,
    /// Of each sample of the batch, whose it is.
    written: Vec<u32>,
    written_histograms: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    labels: Labels,
    series: Option<SeriesRef>,
    /// When it was last given.
    round: u64,
    /// Whether the store has a sample of it, after which it did not end.
    goes_on: bool,
    stamp: u32,
    used: bool,
}

/// What became of the samples of a rule.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) out_of_order: usize,
    pub(crate) too_old: usize,
    pub(crate) duplicates: usize,
    /// Why the last one was that was refused.
    pub(crate) last: Option<String>,
    /// Others than those that are counted, each with its series.
    pub(crate) others: Vec<(Labels, String)>,
}

impl Refused {
    fn note(&mut self, reason: Option<Rejection>, labels: &Labels, why: String) {
        match reason {
            Some(Rejection::OutOfOrder) => self.out_of_order += 1,
            Some(Rejection::TooOld) => self.too_old += 1,
            Some(Rejection::Duplicate) => self.duplicates += 1,
            _ => self.others.push((labels.clone(), why.clone())),
        }
        self.last = Some(why);
    }
}

impl Outputs {
    /// A new evaluation begins.
    pub(crate) fn begin(&mut self) {
        self.round += 1;
        self.batch.clear();
        self.written.clear();
        self.written_histograms.clear();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The series of these labels.
    pub(crate) fn of(&mut self, labels: &Labels) -> Output {
        if let Some(&slot) = self.by_labels.get(labels) {
            let stamp = self.slots.get(slot as usize).map_or(0, |s| s.stamp);
            return Output { slot, stamp };
        }
        self.stamp = self.stamp.wrapping_add(1);
        let stamp = self.stamp;
        let new = Slot { labels: labels.clone(), series: None, round: 0, goes_on: false, stamp, used: true };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
        };
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = new,
            None => self.slots.push(new),
        }
        self.by_labels.insert(labels.clone(), slot);
        Output { slot, stamp }
    }

    /// Whether it still stands for the labels that it was made for.
    pub(crate) fn knows(&self, output: Output) -> bool {
        self.slots.get(output.slot as usize).is_some_and(|slot| slot.used && slot.stamp == output.stamp)
    }

    /// Notes that the evaluation gives it; whether that is for the first time.
    pub(crate) fn give(&mut self, output: Output) -> bool {
        let round = self.round;
        self.slots
            .get_mut(output.slot as usize)
            .is_some_and(|slot| std::mem::replace(&mut slot.round, round) != round)
    }

    /// Writes a sample, at `t`, of a series that was given.
    pub(crate) fn write(&mut self, to: Destination<'_>, sample: &ToWrite, t: i64, refused: &mut Refused) {
        let &ToWrite { output, v, ref histogram } = sample;
        let Some(slot) = self.slots.get_mut(output.slot as usize) else { return };
        let series = match to.resolve(slot) {
            Ok(series) => series,
            Err(error) => {
                refused.note(None, &slot.labels, error.to_string());
                slot.round = 0;
                return;
            }
        };
        match histogram {
            None => {
                self.batch.samples.push(BatchSample { series, t, v });
                self.written.push(output.slot);
            }
            Some(histogram) => {
                let value = HistogramValue::Float(Box::new(FloatHistogram::clone(histogram)));
                self.batch.histograms.push(BatchHistogram { series, t, start_time: 0, value });
                self.written_histograms.push(output.slot);
            }
        }
    }

    /// Stores what was written, with the end, at `t`, of what was not given any more.
    pub(crate) fn commit(
        &mut self,
        to: Destination<'_>,
        t: i64,
        refused: &mut Refused,
    ) -> Result<(), AppendError> {
        let round = self.round;
        let floats = self.batch.samples.len();
        for (at, slot) in (0..).zip(&mut self.slots) {
            let ended = slot.used && slot.round != round && slot.goes_on;
            if let Some(series) = slot.series.filter(|_| ended) {
                self.batch.samples.push(BatchSample { series, t, v: STALE_NAN });
                self.written.push(at);
            }
        }
        if self.batch.is_empty() {
            self.forget_ended();
            return Ok(());
        }
        self.batch.in_order_only = true;
        to.store.append(&self.batch, &mut self.outcome)?;
        self.revive(to)?;
        for slot in &mut self.slots {
            slot.goes_on = slot.used && slot.round == round;
        }
        let Outcome { rejected, existing, rejected_histograms, .. } = &self.outcome;
        for (at, reason) in rejected.iter().filter(|(at, _)| (*at as usize) < floats) {
            let sample = self.batch.samples.get(*at as usize);
            let slot = self.written.get(*at as usize).and_then(|slot| self.slots.get_mut(*slot as usize));
            let (Some(sample), Some(slot)) = (sample, slot) else { continue };
            slot.goes_on = false;
            let existing = existing.iter().find(|(i, _)| i == at).map(|(_, v)| *v);
            refused.note(Some(*reason), &slot.labels, refusal_of_sample(*reason, sample, existing));
        }
        for (at, reason) in rejected_histograms {
            let sample = self.batch.histograms.get(*at as usize);
            let slot =
                self.written_histograms.get(*at as usize).and_then(|slot| self.slots.get_mut(*slot as usize));
            let (Some(sample), Some(slot)) = (sample, slot) else { continue };
            slot.goes_on = false;
            refused.note(Some(*reason), &slot.labels, refusal_of_histogram(*reason, sample));
        }
        self.forget_ended();
        Ok(())
    }

    /// Series that the store dropped because nothing was written to them for long are made anew.
    fn revive(&mut self, to: Destination<'_>) -> Result<(), AppendError> {
        let gone = |(_, reason): &&(u32, Rejection)| *reason == Rejection::UnknownSeries;
        let floats: Vec<u32> = self.outcome.rejected.iter().filter(gone).map(|(at, _)| *at).collect();
        let histograms: Vec<u32> =
            self.outcome.rejected_histograms.iter().filter(gone).map(|(at, _)| *at).collect();
        if floats.is_empty() && histograms.is_empty() {
            return Ok(());
        }
        let mut again = Batch { in_order_only: true, ..Batch::default() };
        for &at in &floats {
            let slot = self.written.get(at as usize).and_then(|slot| self.slots.get_mut(*slot as usize));
            let (Some(slot), Some(sample)) = (slot, self.batch.samples.get_mut(at as usize)) else {
                continue;
            };
            slot.series = None;
            sample.series = to.resolve(slot)?;
            again.samples.push(*sample);
        }
        for &at in &histograms {
            let slot =
                self.written_histograms.get(at as usize).and_then(|slot| self.slots.get_mut(*slot as usize));
            let (Some(slot), Some(sample)) = (slot, self.batch.histograms.get_mut(at as usize)) else {
                continue;
            };
            slot.series = None;
            sample.series = to.resolve(slot)?;
            again.histograms.push(sample.clone());
        }
        let mut outcome = Outcome::default();
        to.store.append(&again, &mut outcome)?;
        // As if it had been told at once, of the places in the whole batch.
        let place = |of: &[u32], (at, reason): &(u32, Rejection)| Some((*of.get(*at as usize)?, *reason));
        self.outcome.rejected.retain(|(_, reason)| *reason != Rejection::UnknownSeries);
        self.outcome.rejected.extend(outcome.rejected.iter().filter_map(|r| place(&floats, r)));
        self.outcome.rejected_histograms.retain(|(_, reason)| *reason != Rejection::UnknownSeries);
        let rejected = outcome.rejected_histograms.iter();
        self.outcome.rejected_histograms.extend(rejected.filter_map(|r| place(&histograms, r)));
        Ok(())
    }

    /// Forgets series that were not given this time.
    fn forget_ended(&mut self) {
        for (at, slot) in (0..).zip(&mut self.slots) {
            if slot.used && slot.round != self.round {
                slot.used = false;
                slot.goes_on = false;
                self.by_labels.remove(&slot.labels);
                slot.labels = Labels::empty();
                self.free.push(at);
            }
        }
    }

    /// The labels of series that did not end.
    pub(crate) fn going_on(&self) -> impl Iterator<Item = &Labels> {
        self.slots.iter().filter(|slot| slot.goes_on).map(|slot| &slot.labels)
    }
}

impl Destination<'_> {
    fn resolve(self, slot: &mut Slot) -> Result<SeriesRef, AppendError> {
        if let Some(series) = slot.series {
            return Ok(series);
        }
        let series = self.store.resolve(self.affinity, &slot.labels)?.series;
        slot.series = Some(series);
        Ok(series)
    }
}
