//! Selectors and window functions over series that have native histograms, alone or among floats.
//!
//! What concerns floats alone is left to the functions of floats.

use std::sync::Arc;

use chunk::Columns;
use model::histogram::{CounterReset, HistogramSample, HistogramSum};
use model::{FloatHistogram, is_stale};

use super::column::{Column, Scalars};
use super::native_rate::{Remarks, rate};
use super::regression;
use super::start_times::{self, Started};
use super::window::{self, Window, WindowFn, WindowScratch, Windows};
use crate::ast::RangeMode;
use crate::engine::QueryError;
use crate::plan::WindowCall;

/// Histograms in order of time, and when the counting of each began, if that is known of any.
#[derive(Clone, Copy)]
pub(super) struct Histograms<'a> {
    pub(super) samples: &'a [HistogramSample],
    /// As many, or none at all.
    pub(super) starts: &'a [i64],
}

/// Samples of both kinds in order of time.
struct Merged {
    times: Vec<i64>,
    /// How many of the first so many samples are floats.
    floats_before: Vec<usize>,
}

/// The samples of one window.
struct Inside<'a> {
    w: Window,
    times: &'a [i64],
    values: &'a [f64],
    histograms: &'a [HistogramSample],
    float_starts: &'a [i64],
    histogram_starts: &'a [i64],
}

impl Merged {
    fn new(times: &[i64], histograms: &[HistogramSample]) -> Self {
        let len = times.len() + histograms.len();
        let mut merged =
            Merged { times: Vec::with_capacity(len), floats_before: Vec::with_capacity(len + 1) };
        merged.floats_before.push(0);
        let (mut f, mut h) = (0, 0);
        loop {
            let t = match (times.get(f), histograms.get(h)) {
                (Some(&t), other) if other.is_none_or(|s| t <= s.t) => {
                    f += 1;
                    t
                }
                (_, Some(s)) => {
                    h += 1;
                    s.t
                }
                _ => return merged,
            };
            merged.times.push(t);
            merged.floats_before.push(f);
        }
    }

    /// Calls `f` with the samples of each window that has any.
    fn slide(
        &self,
        windows: &Windows<'_>,
        floats: &Columns,
        histograms: Histograms<'_>,
        mut f: impl FnMut(Inside<'_>),
    ) -> Result<u64, QueryError> {
        windows.slide(&self.times, |w| {
            let from = self.floats_before.get(w.lo).copied().unwrap_or(0);
            let to = self.floats_before.get(w.hi).copied().unwrap_or(0);
            f(Inside {
                w,
                times: floats.times.get(from..to).unwrap_or_default(),
                values: floats.values.get(from..to).unwrap_or_default(),
                histograms: histograms.samples.get(w.lo - from..w.hi - to).unwrap_or_default(),
                float_starts: floats.start_times.get(from..to).unwrap_or_default(),
                histogram_starts: histograms.starts.get(w.lo - from..w.hi - to).unwrap_or_default(),
            });
            Ok(())
        })
    }
}

/// A sample of a window.
#[derive(Clone, Copy)]
enum Either<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Inside<'_> {
    /// The window's samples in order of time.
    fn in_order(&self) -> impl Iterator<Item = (i64, Either<'_>)> {
        self.started().map(|((t, _), sample)| (t, sample))
    }

    /// The same with start times, 0 where they are not known.
    fn started(&self) -> impl Iterator<Item = ((i64, i64), Either<'_>)> {
        let start = |starts: &[i64], i: usize| starts.get(i).copied().unwrap_or(0);
        let (mut f, mut h) = (0, 0);
        std::iter::from_fn(move || match (self.times.get(f), self.histograms.get(h)) {
            (Some(&t), other) if other.is_none_or(|s| t <= s.t) => {
                f += 1;
                Some(((t, start(self.float_starts, f - 1)), Either::Float(self.values.get(f - 1).copied()?)))
            }
            (_, Some(sample)) => {
                h += 1;
                Some(((sample.t, start(self.histogram_starts, h - 1)), Either::Histogram(&sample.histogram)))
            }
            _ => None,
        })
    }

    /// Number of samples.
    fn len(&self) -> usize {
        self.times.len() + self.histograms.len()
    }
}

/// Applies a function to the windows of a series with histograms and sets the steps that have a result.
#[allow(clippy::too_many_arguments)] // as the function for floats
pub(super) fn apply(
    call: &WindowCall,
    args: &[Scalars],
    windows: &Windows<'_>,
    floats: &Columns,
    histograms: Histograms<'_>,
    remarks: Remarks<'_>,
    scratch: &mut WindowScratch,
    out: &mut Column,
) -> Result<(), QueryError> {
    let function = call.function;
    if function == WindowFn::Smoothing {
        let times: Vec<i64> = histograms.samples.iter().map(|s| s.t).collect();
        let factor = |i: usize, step| args.get(i).map_or(f64::NAN, |factor| factor.get(step));
        windows.slide(&times, |w| regression::check_factors(factor(0, w.step), factor(1, w.step)))?;
    }
    let counted = scratch.samples;
    if !floats.is_empty() {
        let samples = Started { times: &floats.times, starts: &floats.start_times };
        window::apply(function, args, windows, samples, &floats.values, scratch, out)?;
    }
    let merged = Merged::new(&floats.times, histograms.samples);
    let mut overlaps = 0;
    let samples = merged.slide(windows, floats, histograms, |inside| {
        if !inside.histograms.is_empty() {
            if inside.times.is_empty() && function.wants_counter() && windows.mode.is_none() {
                overlaps += u64::from(any_overlaps(&inside));
            }
            one_window(function, windows, &inside, remarks, out);
        }
    })?;
    scratch.samples = counted + samples;
    if overlaps > 0 {
        remarks.start_times_overlap(overlaps);
    }
    Ok(())
}

fn any_overlaps(inside: &Inside<'_>) -> bool {
    let mut previous = None;
    inside
        .started()
        .any(|(at, _)| previous.replace(at).is_some_and(|before| start_times::overlaps(before, at)))
}

/// Sets the result of a window with at least one histogram, where `out` has what its floats alone give.
fn one_window(
    function: WindowFn,
    windows: &Windows<'_>,
    inside: &Inside<'_>,
    remarks: Remarks<'_>,
    out: &mut Column,
) {
    let step = inside.w.step;
    let mixed = !inside.times.is_empty();
    match function {
        WindowFn::Sum | WindowFn::Avg | WindowFn::Rate | WindowFn::Increase | WindowFn::Delta if mixed => {
            remarks.notes.lock().mixed_floats_histograms(remarks.name, remarks.span);
            out.unset(step);
        }
        WindowFn::Rate | WindowFn::Increase | WindowFn::Delta => {
            let histograms = Histograms { samples: inside.histograms, starts: inside.histogram_starts };
            let result = rate(function, windows.mode, inside.w, histograms, windows.range, remarks);
            if let Some(h) = result {
                out.set_histogram(step, Arc::new(h));
            }
        }
        WindowFn::Sum | WindowFn::Avg => {
            if let Some(h) = total(inside.histograms, function == WindowFn::Avg, remarks) {
                out.set_histogram(step, Arc::new(h));
            }
        }
        WindowFn::Irate | WindowFn::Idelta => last_two(function, inside, remarks, out),
        WindowFn::Changes | WindowFn::Resets => match events(function, windows.mode, inside) {
            Some(n) => out.set(step, n),
            None => out.unset(step),
        },
        WindowFn::Count => out.set(step, inside.len() as f64),
        WindowFn::Present | WindowFn::Absent => out.set(step, 1.0),
        WindowFn::Last | WindowFn::First => {
            let sample =
                if function == WindowFn::Last { inside.in_order().last() } else { inside.in_order().next() };
            match sample {
                Some((_, Either::Float(v))) => out.set(step, v),
                Some((_, Either::Histogram(h))) => out.set_histogram(step, Arc::clone(h)),
                None => {}
            }
        }
        WindowFn::TsOfLast | WindowFn::TsOfFirst => {
            let newest = function == WindowFn::TsOfLast;
            let sample = if newest { inside.in_order().last() } else { inside.in_order().next() };
            if let Some((t, _)) = sample {
                out.set(step, t as f64 / 1000.0);
            }
        }
        // Functions of floats alone.
        WindowFn::Deriv
        | WindowFn::PredictLinear
        | WindowFn::Smoothing
        | WindowFn::Min
        | WindowFn::Max
        | WindowFn::Stddev
        | WindowFn::Stdvar
        | WindowFn::Quantile
        | WindowFn::Mad
        | WindowFn::TsOfMin
        | WindowFn::TsOfMax => {
            if mixed {
                remarks.notes.lock().histograms_ignored_in_range(remarks.name, remarks.span);
            }
        }
    }
}

/// `sum_over_time` and `avg_over_time`
fn total(samples: &[HistogramSample], average: bool, remarks: Remarks<'_>) -> Option<FloatHistogram> {
    let mut mean = HistogramMean::new(&samples.first()?.histogram);
    for sample in samples.iter().skip(1) {
        let added = if average { mean.add(&sample.histogram) } else { mean.add_to_sum(&sample.histogram) };
        if added.is_err() {
            remarks.notes.lock().mixed_schemas(remarks.name, remarks.span);
            return None;
        }
    }
    mean.remark(remarks);
    Some(if average { mean.mean() } else { mean.sum() })
}

/// A sum or a mean of histograms that is built one by one; once the sum would overflow, the mean is carried along.
#[derive(Debug, Clone)]
pub(super) struct HistogramMean {
    value: HistogramSum,
    count: f64,
    incremental: bool,
    reset_seen: bool,
    no_reset_seen: bool,
    reconciled: bool,
}

impl HistogramMean {
    /// Of one histogram.
    pub(super) fn new(first: &FloatHistogram) -> Self {
        HistogramMean {
            value: HistogramSum::new(first),
            count: 1.0,
            incremental: false,
            reset_seen: first.reset == CounterReset::Reset,
            no_reset_seen: first.reset == CounterReset::NotReset,
            reconciled: false,
        }
    }

    fn look_at(&mut self, reset: CounterReset) {
        self.reset_seen |= reset == CounterReset::Reset;
        self.no_reset_seen |= reset == CounterReset::NotReset;
    }

    /// Takes one more histogram into a sum.
    pub(super) fn add_to_sum(
        &mut self,
        h: &FloatHistogram,
    ) -> Result<(), model::histogram::IncompatibleSchemas> {
        self.look_at(h.reset);
        self.count += 1.0;
        self.reconciled |= self.value.add(h)?.reconciled;
        Ok(())
    }

    /// Takes one more histogram into a mean.
    pub(super) fn add(&mut self, h: &FloatHistogram) -> Result<(), model::histogram::IncompatibleSchemas> {
        self.look_at(h.reset);
        self.count += 1.0;
        if !self.incremental {
            let mut sum = self.value.clone();
            self.reconciled |= sum.add(h)?.reconciled;
            if !sum.overflows() {
                self.value = sum;
                return Ok(());
            }
            self.incremental = true;
            self.value.divide(self.count - 1.0);
        }
        self.value.multiply((self.count - 1.0) / self.count);
        let mut share = h.clone();
        share.divide(self.count);
        self.reconciled |= self.value.add(&share)?.reconciled;
        Ok(())
    }

    /// Takes in what another one has seen.
    pub(super) fn merge(
        &mut self,
        other: &HistogramMean,
        average: bool,
    ) -> Result<(), model::histogram::IncompatibleSchemas> {
        self.reset_seen |= other.reset_seen;
        self.no_reset_seen |= other.no_reset_seen;
        self.reconciled |= other.reconciled;
        let count = self.count + other.count;
        if !average || (!self.incremental && !other.incremental) {
            let mut sum = self.value.clone();
            self.reconciled |= sum.merge(&other.value)?.reconciled;
            if !average || !sum.overflows() {
                self.value = sum;
                self.count = count;
                return Ok(());
            }
        }
        let mut theirs = other.clone();
        for side in [&mut *self, &mut theirs] {
            if !side.incremental {
                side.incremental = true;
                side.value.divide(side.count);
            }
            side.value.multiply(side.count / count);
        }
        self.count = count;
        self.reconciled |= self.value.merge(&theirs.value)?.reconciled;
        Ok(())
    }

    /// What there is to say about it, if it is a result.
    pub(super) fn remark(&self, remarks: Remarks<'_>) {
        if self.reset_seen && self.no_reset_seen {
            remarks.notes.lock().reset_collision("aggregation", remarks.span);
        }
        self.remark_bounds(remarks);
    }

    /// What there is to say about bounds, in a result or not.
    pub(super) fn remark_bounds(&self, remarks: Remarks<'_>) {
        if self.reconciled {
            remarks.bounds_reconciled("aggregation");
        }
    }

    /// The sum.
    pub(super) fn sum(&self) -> FloatHistogram {
        self.value.value()
    }

    /// The mean.
    pub(super) fn mean(mut self) -> FloatHistogram {
        if !self.incremental {
            self.value.divide(self.count);
        }
        self.value.value()
    }
}

/// `irate` and `idelta`
fn last_two(function: WindowFn, inside: &Inside<'_>, remarks: Remarks<'_>, out: &mut Column) {
    let step = inside.w.step;
    if inside.len() < 2 {
        return;
    }
    let mut tail = inside.started().skip(inside.len() - 2);
    let (Some((start1, before)), Some((start2, last))) = (tail.next(), tail.next()) else { return };
    let (t1, t2) = (start1.0, start2.0);
    out.unset(step);
    if t1 == t2 {
        return;
    }
    let is_rate = function == WindowFn::Irate;
    let reset = start_times::is_reset(start1, start2);
    let seconds = (t2 - t1) as f64 / 1000.0;
    match (before, last) {
        (Either::Float(v1), Either::Float(v2)) => {
            let difference = if is_rate && (reset || v2 < v1) { v2 } else { v2 - v1 };
            out.set(step, if is_rate { difference / seconds } else { difference });
        }
        (Either::Histogram(h1), Either::Histogram(h2)) => {
            let gauges = [h1, h2].map(|h| h.reset == CounterReset::Gauge);
            if is_rate && gauges.contains(&true) {
                remarks.not_counter();
            }
            if !is_rate && gauges.contains(&false) {
                remarks.not_gauge();
            }
            let mut result = FloatHistogram::clone(h2);
            let counts_on = !is_rate || (!reset && !h2.is_reset_from(h1));
            if counts_on && remarks.subtract(&mut result, h1).is_none() {
                return;
            }
            result.reset = CounterReset::Gauge;
            result.compact();
            if is_rate {
                result.divide(seconds);
            }
            out.set_histogram(step, Arc::new(result));
        }
        _ => remarks.notes.lock().mixed_floats_histograms(remarks.name, remarks.span),
    }
}

/// `changes` and `resets`: a change of the kind is both.
fn events(function: WindowFn, mode: Option<RangeMode>, inside: &Inside<'_>) -> Option<f64> {
    let resets = function == WindowFn::Resets;
    let mut skip = 0;
    if mode.is_some() {
        // The newest sample at or before the window's start is where counting begins.
        let before = inside.in_order().take_while(|(t, _)| *t <= inside.w.start).count();
        if before == inside.len() {
            return None;
        }
        skip = before.saturating_sub(1);
    }
    let mut events = 0.0;
    let mut previous: Option<Either<'_>> = None;
    let mut before = None;
    for (at, sample) in inside.started().skip(skip) {
        let started = before.replace(at).is_some_and(|before| start_times::is_reset(before, at));
        let happened = match (previous, sample) {
            (None, _) => false,
            _ if resets && started => true,
            (Some(Either::Float(a)), Either::Float(b)) if resets => b < a,
            (Some(Either::Float(a)), Either::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
            (Some(Either::Histogram(a)), Either::Histogram(b)) if resets => b.is_reset_from(a),
            (Some(Either::Histogram(a)), Either::Histogram(b)) => !b.same(a),
            _ => true,
        };
        events += f64::from(u8::from(happened));
        previous = Some(sample);
    }
    Some(events)
}

/// At each step the newest sample that is younger than the lookback and no staleness marker.
pub(super) fn newest(
    windows: &Windows<'_>,
    floats: &Columns,
    histograms: &[HistogramSample],
    want_time: bool,
    out: &mut Column,
) {
    let (mut next, mut next_histogram) = (0, 0);
    for step in 0..windows.grid.len() {
        let now = windows.at.unwrap_or_else(|| windows.grid.time(step)) - windows.offset;
        while floats.times.get(next).is_some_and(|&t| t <= now) {
            next += 1;
        }
        while histograms.get(next_histogram).is_some_and(|s| s.t <= now) {
            next_histogram += 1;
        }
        let float = next.checked_sub(1).and_then(|k| Some((*floats.times.get(k)?, *floats.values.get(k)?)));
        let histogram = next_histogram.checked_sub(1).and_then(|k| histograms.get(k));
        match (float, histogram) {
            (_, Some(sample))
                if float.is_none_or(|(t, _)| t <= sample.t) && sample.t > now - windows.lookback =>
            {
                if want_time {
                    out.set(step, sample.t as f64 / 1000.0);
                } else {
                    out.set_histogram(step, Arc::clone(&sample.histogram));
                }
            }
            (Some((t, v)), _) if t > now - windows.lookback && !is_stale(v) => {
                out.set(step, if want_time { t as f64 / 1000.0 } else { v });
            }
            _ => {}
        }
    }
}

/// At each step the histogram on the line between those around it, or the one before it, where there are no floats
/// near; `out` has what the floats alone give.
pub(super) fn smoothed(
    windows: &Windows<'_>,
    floats: &Columns,
    histograms: &[HistogramSample],
    remarks: Remarks<'_>,
    out: &mut Column,
) {
    for step in 0..windows.grid.len() {
        let now = windows.at.unwrap_or_else(|| windows.grid.time(step)) - windows.offset;
        let near = |t: i64| t > now - windows.lookback && t <= now + windows.lookback;
        let from = histograms.partition_point(|s| s.t <= now - windows.lookback);
        let to = histograms.partition_point(|s| s.t <= now + windows.lookback);
        let around = histograms.get(from..to).unwrap_or_default();
        if around.is_empty() {
            continue;
        }
        if floats.times.iter().any(|&t| near(t)) {
            remarks.notes.lock().mixed_floats_histograms(remarks.name, remarks.span);
            out.unset(step);
            continue;
        }
        let at = around.partition_point(|s| s.t < now);
        let before = at.checked_sub(1).and_then(|k| around.get(k));
        let value = match (before, around.get(at)) {
            (_, Some(exact)) if exact.t == now => Some(FloatHistogram::clone(&exact.histogram)),
            (Some(before), Some(behind)) => {
                if before.histogram.has_custom_buckets() != behind.histogram.has_custom_buckets() {
                    remarks.notes.lock().mixed_schemas(remarks.name, remarks.span);
                    continue;
                }
                let is_gauge = |s: &HistogramSample| s.histogram.reset == CounterReset::Gauge;
                remarks.interpolate(before, behind, now, !is_gauge(before) || !is_gauge(behind))
            }
            (Some(before), None) => {
                let mut value = FloatHistogram::clone(&before.histogram);
                value.reset = CounterReset::Unknown;
                Some(value)
            }
            (None, _) => None,
        };
        if let Some(value) = value {
            out.set_histogram(step, Arc::new(value));
        }
    }
}

/// Schema, count and sum of the samples, with what is known of resets found out where it is not; of gauges it is not asked,
/// and without their buckets only a count that falls is one.
pub(super) fn find_resets(samples: &[HistogramSample], out: &mut Vec<HistogramSample>) {
    out.clear();
    let mut previous: Option<&HistogramSample> = None;
    for sample in samples {
        let FloatHistogram { schema, count, sum, mut reset, .. } = *sample.histogram;
        if let Some(previous) = previous.filter(|_| reset == CounterReset::Unknown) {
            let fell = sample.histogram.is_reset_from(&previous.histogram);
            reset = if fell { CounterReset::Reset } else { CounterReset::NotReset };
        }
        let histogram = FloatHistogram { schema, count, sum, reset, ..FloatHistogram::default() };
        out.push(HistogramSample { t: sample.t, histogram: Arc::new(histogram) });
        previous = Some(sample);
    }
}
