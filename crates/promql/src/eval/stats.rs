//! What selectors looked at, step by step: counted as Prometheus counts, apart from the evaluation, and only when asked for.

use model::FloatHistogram;
use model::is_stale;

use super::column::{Column, Grid};
use super::samples::Samples;
use super::window::Windows;
use crate::engine::{QueryError, StepStats};
use crate::plan::Source;

/// The samples of a query.
#[derive(Debug)]
pub(super) struct Counts {
    /// Steps of the query.
    grid: Grid,
    /// Of each step.
    steps: Vec<StepStats>,
}

impl StepStats {
    fn add(&mut self, other: StepStats) {
        self.queryable += other.queryable;
        self.read += other.read;
    }
}

impl Counts {
    pub(super) fn new(grid: Grid) -> Self {
        Counts { grid, steps: vec![StepStats::default(); grid.len()] }
    }

    /// Adds what was counted over the steps of `grid`: those of the query, or the first of them.
    pub(super) fn add(&mut self, grid: Grid, steps: &[StepStats]) {
        if grid.start == self.grid.start && (grid == self.grid || grid.len() == 1) {
            for (mine, theirs) in self.steps.iter_mut().zip(steps) {
                mine.add(*theirs);
            }
        }
    }

    /// What was computed once, having looked at so many samples, counts for every step, but is read once.
    pub(super) fn repeat(&mut self, queryable: u64) {
        for step in self.steps.iter_mut().skip(1) {
            step.queryable += queryable;
        }
    }

    /// What the steps of a subquery read is read for the first window that they are in. Their values themselves were
    /// not read from the store.
    pub(super) fn pass_on(&self, windows: &Windows<'_>, steps: &mut [StepStats]) -> Result<(), QueryError> {
        let times: Vec<i64> = (0..self.grid.len()).map(|i| self.grid.time(i)).collect();
        steps.iter_mut().for_each(|step| step.read = 0);
        let mut seen = 0;
        windows.slide(&times, |w| {
            let new = self.steps.get(w.lo.max(seen)..w.hi.max(seen)).unwrap_or_default();
            seen = seen.max(w.hi);
            if let Some(step) = steps.get_mut(w.step) {
                step.read = new.iter().map(|inner| inner.read).sum();
            }
            Ok(())
        })?;
        Ok(())
    }

    pub(super) fn total(&self) -> StepStats {
        let mut total = StepStats::default();
        self.steps.iter().for_each(|step| total.add(*step));
        total
    }

    pub(super) fn steps(&self) -> &[StepStats] {
        &self.steps
    }
}

/// Which samples of a series a step looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// The newest within the lookback.
    Newest,
    /// Those of a window.
    Window,
}

impl Looks {
    /// How a scan of this source looks, and what a histogram weighs in it if that is the same for each; what is
    /// interpolated is not counted.
    pub(super) fn of(source: &Source, counts_only: bool) -> Option<(Looks, Option<u64>)> {
        let weight = counts_only.then_some(BARE);
        match source {
            Source::Window(_) => Some((Looks::Window, weight)),
            Source::Instant => Some((Looks::Newest, weight)),
            Source::Timestamp | Source::StartTime => Some((Looks::Newest, Some(1))),
            Source::Smoothed(_) => None,
        }
    }
}

/// The part of a histogram's size, in bytes, that does not depend on its buckets.
const FIXED: usize = 168;

/// What a histogram weighs of which only count and sum are read.
pub(super) const BARE: u64 = (FIXED as u64 + 8) / 16;

/// What a histogram weighs beside a float: its size as Prometheus holds it, in units of 16 bytes.
pub(super) fn weight(h: &FloatHistogram) -> u64 {
    (size(h) + 8) / 16
}

/// What a histogram weighs that a function has just made at a step.
pub(super) fn weight_when_made(h: &FloatHistogram) -> u64 {
    size(h) / 16 + 1
}

/// In bytes, as Prometheus holds it.
fn size(h: &FloatHistogram) -> u64 {
    let spans = |buckets: &[(i32, f64)]| {
        let breaks = buckets.windows(2).filter(|pair| matches!(pair, [a, b] if a.0 + 1 != b.0)).count();
        breaks + usize::from(!buckets.is_empty())
    };
    let words = spans(&h.positive) + spans(&h.negative) + h.positive.len() + h.negative.len();
    (FIXED + 8 * (words + h.custom_values.len())) as u64
}

/// What the samples of a column weigh.
pub(super) fn weight_of(column: &Column) -> u64 {
    let of_histograms: u64 = column.histograms().map(|(_, h)| weight(h) - 1).sum();
    column.count() as u64 + of_histograms
}

/// What Prometheus holds while it goes through a series.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// The series' result.
    pub(super) gave: u64,
    /// The heaviest window.
    pub(super) largest: u64,
    /// The last window, which it still holds when it takes the result.
    pub(super) last: u64,
}

/// Counts what a selector looks at of one series, and says what the windows weigh.
pub(super) fn count(
    looks: Looks,
    of_histogram: Option<u64>,
    windows: &Windows<'_>,
    samples: &Samples,
    steps: &mut [StepStats],
) -> Result<Held, QueryError> {
    // Time and weight; staleness markers end what is seen at an instant, and are not in windows at all.
    let floats = samples.floats.times.iter().zip(&samples.floats.values);
    let floats = floats.map(|(&t, &v)| (t, if is_stale(v) { 0 } else { 1 }));
    let histograms =
        samples.histograms.iter().map(|s| (s.t, of_histogram.unwrap_or_else(|| weight(&s.histogram))));
    let mut all: Vec<(i64, u64)> = floats.chain(histograms).collect();
    if !samples.histograms.is_empty() {
        all.sort_by_key(|(t, _)| *t);
    }
    if looks == Looks::Newest {
        let mut next = 0;
        for (i, step) in steps.iter_mut().enumerate() {
            let now = windows.at.unwrap_or_else(|| windows.grid.time(i)) - windows.offset;
            while all.get(next).is_some_and(|&(t, _)| t <= now) {
                next += 1;
            }
            let newest = next.checked_sub(1).and_then(|k| all.get(k));
            if let Some(&(_, weight)) = newest.filter(|(t, _)| *t > now - windows.lookback) {
                step.queryable += weight;
                step.read += if windows.at.is_some() && i > 0 { 0 } else { weight };
            }
        }
        return Ok(Held::default());
    }
    all.retain(|(_, weight)| *weight > 0);
    let times: Vec<i64> = all.iter().map(|(t, _)| *t).collect();
    let mut sums = Vec::with_capacity(all.len() + 1);
    let mut sum = 0;
    sums.push(sum);
    for (_, weight) in &all {
        sum += weight;
        sums.push(sum);
    }
    let between = |from: usize, to: usize| match (sums.get(from), sums.get(to)) {
        (Some(from), Some(to)) => to - from,
        _ => 0,
    };
    let (mut seen, mut held) = (0, Held::default());
    let last_step = steps.len().saturating_sub(1);
    windows.slide(&times, |w| {
        if let Some(step) = steps.get_mut(w.step) {
            step.queryable += between(w.lo, w.hi);
            step.read += between(w.lo.max(seen), w.hi.max(seen));
        }
        seen = seen.max(w.hi);
        held.largest = held.largest.max(between(w.lo, w.hi));
        if w.step == last_step {
            held.last = between(w.lo, w.hi);
        }
        Ok(())
    })?;
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_weigh_as_much_as_they_take() {
        let h = FloatHistogram {
            positive: (0..6).map(|i| (i, 1.0)).collect(),
            negative: vec![(0, 1.0), (1, 5.0)],
            ..FloatHistogram::default()
        };
        assert_eq!(weight(&h), 16);
    }
}
