//! `st-synthesis`: what counts up, and whose page does not say since when, begins with its first scrape.
//!
//! That first value is not stored but subtracted from those that follow, and its time is their start time. After a reset
//! values stand as they are scraped, with a start time just before the first of them.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use model::histogram::{FloatHistogram, HistogramValue, IntegerHistogram, Population, Span, spans};
use storage::Batch;

use crate::layout::{FIRST_MARK, UNRESOLVED};
use crate::options::StartTimes;
use crate::walk::{KeyHasher, WalkMemory};

/// What is known of the series of a target that count up, by their handles.
#[derive(Default)]
pub(crate) struct Synthesis {
    series: HashMap<u64, Counting, BuildHasherDefault<KeyHasher>>,
    /// Tells series of the running scrape from others.
    scrape: u32,
    /// How many of the series are of the running scrape.
    seen: usize,
}

struct Counting {
    /// None: the next value is the first one.
    state: Option<State>,
    /// Something of the series was stored.
    stored: bool,
    scrape: u32,
}

struct State {
    start_time: i64,
    values: Values,
}

enum Values {
    Float { first: f64, last: f64 },
    Histogram { first: Option<Box<FloatHistogram>>, last: Box<FloatHistogram> },
}

impl Synthesis {
    /// Whether it is known where the series began.
    pub(crate) fn goes_on(&self, series: u64) -> bool {
        self.series.get(&series).is_some_and(|counting| counting.state.is_some())
    }

    /// Whether all that was scraped of the series is the value that it begins with: nobody has to be told that it ended.
    pub(crate) fn is_unstored(&self, series: u64) -> bool {
        self.series.get(&series).is_some_and(|counting| !counting.stored)
    }

    /// A value of the series was refused: the next one is the first again.
    pub(crate) fn start_anew(&mut self, series: u64) {
        if let Some(counting) = self.series.get_mut(&series) {
            counting.state = None;
        }
    }

    pub(crate) fn forget(&mut self, series: &[u64]) {
        for series in series {
            self.series.remove(series);
        }
    }

    /// Forgets what the page that was just read has no values of.
    pub(crate) fn end_page(&mut self) {
        if self.seen < self.series.len() {
            let scrape = self.scrape;
            self.series.retain(|_, counting| counting.scrape == scrape);
        }
        self.scrape = self.scrape.wrapping_add(1);
        self.seen = 0;
    }

    /// Changes the values that the walk found to be counted. Those that are not to be stored are left without a series;
    /// answers whether there are any.
    pub(crate) fn apply(&mut self, walk: &mut WalkMemory, batch: &mut Batch, mode: StartTimes) -> bool {
        let mut left_out = false;
        for &owner in &walk.counted {
            let Some(series) = owner.series(batch).map(|series| series.0) else { continue };
            if series >= FIRST_MARK {
                continue;
            }
            let (place, counting) = (owner.place(), self.counting(series));
            let (start_time, t) = if owner.is_histogram() {
                let Some(histogram) = batch.histograms.get_mut(place) else { continue };
                let start_time = counting.histogram(&mut histogram.value, histogram.t);
                if let (Some(start_time), StartTimes::Stored) = (start_time, mode) {
                    histogram.start_time = start_time;
                }
                (start_time, histogram.t)
            } else {
                let Some(sample) = batch.samples.get_mut(place) else { continue };
                let start_time = counting.float(&mut sample.v, sample.t);
                (start_time, sample.t)
            };
            let Some(start_time) = start_time else {
                left_out = true;
                if let Some(series) = owner.series(batch) {
                    series.0 = UNRESOLVED;
                }
                continue;
            };
            counting.stored = true;
            match mode {
                StartTimes::Stored if !owner.is_histogram() => {
                    batch.start_times.resize(batch.samples.len(), 0);
                    if let Some(time) = batch.start_times.get_mut(place) {
                        *time = start_time;
                    }
                }
                StartTimes::Zeros if start_time < t => walk.zeros.push((owner, start_time)),
                StartTimes::Stored | StartTimes::Zeros | StartTimes::Ignored => {}
            }
        }
        left_out
    }

    fn counting(&mut self, series: u64) -> &mut Counting {
        let other = self.scrape.wrapping_sub(1);
        let counting = self.series.entry(series);
        let counting = counting.or_insert(Counting { state: None, stored: false, scrape: other });
        if counting.scrape != self.scrape {
            counting.scrape = self.scrape;
            self.seen += 1;
        }
        counting
    }
}

impl Counting {
    /// Answers the start time; none for the value that others are counted from.
    fn float(&mut self, v: &mut f64, t: i64) -> Option<i64> {
        let Some(State { start_time, values: Values::Float { first, last } }) = &mut self.state else {
            self.state = Some(State { start_time: t, values: Values::Float { first: *v, last: *v } });
            return None;
        };
        if *v < *last {
            *first = 0.0;
            *start_time = t - 1;
        }
        *last = *v;
        *v -= *first;
        Some(*start_time)
    }

    /// As [`float`](Self::float).
    fn histogram(&mut self, value: &mut HistogramValue, t: i64) -> Option<i64> {
        let now = Box::new(value.to_float());
        let Some(State { start_time, values: Values::Histogram { first, last } }) = &mut self.state else {
            let values = Values::Histogram { first: Some(now.clone()), last: now };
            self.state = Some(State { start_time: t, values });
            return None;
        };
        if now.is_reset_from(last) {
            *first = None;
            *start_time = t - 1;
        }
        if let Some(first) = first {
            let mut counted = (*now).clone();
            // Of one kind they are: else there was a reset.
            if counted.subtract(first).is_ok() {
                counted.compact();
                *value = match value {
                    HistogramValue::Integer(_) => HistogramValue::Integer(Box::new(integers(&counted))),
                    HistogramValue::Float(_) => HistogramValue::Float(Box::new(counted)),
                };
            }
        }
        *last = now;
        Some(*start_time)
    }
}

/// A histogram whose populations are whole numbers.
fn integers(h: &FloatHistogram) -> IntegerHistogram {
    let side = |populations: &[Population]| -> (Vec<Span>, Vec<i64>) {
        let mut before = 0;
        let deltas = populations.iter().map(|&(_, count)| {
            let count = count as i64;
            count - std::mem::replace(&mut before, count)
        });
        let deltas = deltas.collect();
        (spans(populations), deltas)
    };
    let ((positive_spans, positive_deltas), (negative_spans, negative_deltas)) =
        (side(&h.positive), side(&h.negative));
    IntegerHistogram {
        schema: h.schema,
        reset: h.reset,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as u64,
        count: h.count as u64,
        sum: h.sum,
        positive_spans,
        positive_deltas,
        negative_spans,
        negative_deltas,
        custom_values: h.custom_values.clone(),
    }
}
