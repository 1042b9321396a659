//! `rate`, `increase` and `delta` of native histograms, and interpolation between two of them.

use model::FloatHistogram;
use model::histogram::{CounterReset, HistogramSample, IncompatibleSchemas};
use parking_lot::Mutex;

use super::annotations::Annotations;
use super::window::{Window, WindowFn};
use crate::ast::{RangeMode, Span};

/// Where remarks on a series' windows go.
#[derive(Clone, Copy)]
pub(super) struct Remarks<'a> {
    pub(super) notes: &'a Mutex<Annotations>,
    /// The metric.
    pub(super) name: &'a str,
    /// What they point to.
    pub(super) span: Span,
}

impl Remarks<'_> {
    fn mixed_schemas(&self, _: IncompatibleSchemas) {
        self.notes.lock().mixed_schemas(self.name, self.span);
    }

    pub(super) fn not_counter(&self) {
        self.notes.lock().histogram_not_counter(self.name, self.span);
    }

    pub(super) fn not_gauge(&self) {
        self.notes.lock().histogram_not_gauge(self.name, self.span);
    }

    /// Adds and remarks; resets that contradict each other are expected here. `None` where schemas do not fit.
    pub(super) fn add(&self, to: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        let combined = to.add(other).map_err(|e| self.mixed_schemas(e)).ok()?;
        if combined.reconciled {
            self.notes.lock().bounds_reconciled("addition", self.span);
        }
        Some(())
    }

    /// Subtracts as [`add`](Self::add) adds.
    pub(super) fn subtract(&self, from: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        let combined = from.subtract(other).map_err(|e| self.mixed_schemas(e)).ok()?;
        if combined.reconciled {
            self.notes.lock().bounds_reconciled("subtraction", self.span);
        }
        Some(())
    }

    /// The histogram at `t` on the line between two; a counter that was reset is taken to have started from zero.
    pub(super) fn interpolate(
        &self,
        before: &HistogramSample,
        behind: &HistogramSample,
        t: i64,
        is_counter: bool,
    ) -> Option<FloatHistogram> {
        let mut result = FloatHistogram::clone(&behind.histogram);
        if t == before.t {
            return Some(FloatHistogram::clone(&before.histogram));
        }
        if t == behind.t {
            return Some(result);
        }
        let fraction = (t - before.t) as f64 / (behind.t - before.t) as f64;
        if is_counter && behind.histogram.is_reset_from(&before.histogram) {
            result.multiply(fraction);
            return Some(result);
        }
        self.subtract(&mut result, &before.histogram)?;
        result.multiply(fraction);
        self.add(&mut result, &before.histogram)?;
        Some(result)
    }
}

/// The function of one window's histograms.
pub(super) fn rate(
    function: WindowFn,
    mode: Option<RangeMode>,
    w: Window,
    samples: &[HistogramSample],
    range: i64,
    remarks: Remarks<'_>,
) -> Option<FloatHistogram> {
    let is_counter = function != WindowFn::Delta;
    let seconds = range as f64 / 1000.0;
    if let Some(mode) = mode {
        let mut result = extended(samples, w, mode == RangeMode::Smoothed, is_counter, remarks)?;
        if function == WindowFn::Rate {
            result.divide(seconds);
        }
        result.reset = CounterReset::Gauge;
        result.compact();
        return Some(result);
    }
    let [first, .., last] = samples else { return None };
    let mut result = difference(samples, is_counter, remarks)?;
    let mut to_start = (first.t - w.start) as f64 / 1000.0;
    let mut to_end = (w.end - last.t) as f64 / 1000.0;
    let sampled = (last.t - first.t) as f64 / 1000.0;
    let average = sampled / (samples.len() - 1) as f64;
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if is_counter && result.count > 0.0 && first.histogram.count >= 0.0 {
        // A counter is not stretched to before its zero.
        let to_zero = sampled * (first.histogram.count / result.count);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if function == WindowFn::Rate {
        factor /= seconds;
    }
    result.multiply(factor);
    Some(result)
}

/// The last histogram less the first, corrected for resets.
fn difference(samples: &[HistogramSample], is_counter: bool, remarks: Remarks<'_>) -> Option<FloatHistogram> {
    let [first, rest @ ..] = samples else { return None };
    let [between @ .., last] = rest else { return None };
    let (first, last) = (&*first.histogram, &*last.histogram);
    let is_gauge = |h: &FloatHistogram| h.reset == CounterReset::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        remarks.not_counter();
    }
    // After a reset right behind it the first sample does not count, and need not fit.
    let second = &*rest.first()?.histogram;
    let zero;
    let mut previous = first;
    if is_counter && second.is_reset_from(first) {
        zero = FloatHistogram {
            schema: second.schema,
            custom_values: second.custom_values.clone(),
            ..FloatHistogram::default()
        };
        previous = &zero;
    }
    let custom = previous.has_custom_buckets();
    if last.has_custom_buckets() != custom {
        remarks.mixed_schemas(IncompatibleSchemas);
        return None;
    }
    let mut schema = last.schema.min(previous.schema);
    if is_counter {
        for h in between.iter().map(|s| &*s.histogram) {
            if is_gauge(h) {
                remarks.not_counter();
            }
            schema = schema.min(h.schema);
            if h.has_custom_buckets() != custom {
                remarks.mixed_schemas(IncompatibleSchemas);
                return None;
            }
        }
    }
    let mut result = last.clone();
    result.reduce_schema(schema);
    remarks.subtract(&mut result, previous)?;
    if is_counter {
        for h in rest.iter().map(|s| &*s.histogram) {
            if h.is_reset_from(previous) {
                remarks.add(&mut result, previous)?;
            }
            previous = h;
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        remarks.not_gauge();
    }
    result.reset = CounterReset::Gauge;
    result.compact();
    Some(result)
}

/// The difference between a window's bounds, at which samples beyond it tell the value.
fn extended(
    samples: &[HistogramSample],
    w: Window,
    smoothed: bool,
    is_counter: bool,
    remarks: Remarks<'_>,
) -> Option<FloatHistogram> {
    let newest = samples.len().checked_sub(1)?;
    let earlier = samples.get(..newest)?;
    let first = earlier.partition_point(|s| s.t <= w.start).saturating_sub(1);
    let last = if smoothed { earlier.partition_point(|s| s.t < w.end) } else { newest };
    let (left, right) = (samples.get(first)?, samples.get(last)?);
    if right.t <= w.start || (smoothed && left.t > w.end) {
        return None;
    }
    let relevant = samples.get(first..=last)?;
    let custom = left.histogram.has_custom_buckets();
    for h in relevant.iter().map(|s| &s.histogram) {
        if h.has_custom_buckets() != custom {
            remarks.mixed_schemas(IncompatibleSchemas);
            return None;
        }
        if is_counter && h.reset == CounterReset::Gauge {
            remarks.not_counter();
        }
    }
    let left_value = if smoothed && left.t < w.start {
        remarks.interpolate(left, samples.get(first + 1)?, w.start, is_counter)?
    } else {
        FloatHistogram::clone(&left.histogram)
    };
    let right_value = if smoothed && last > 0 && right.t > w.end {
        remarks.interpolate(samples.get(last - 1)?, right, w.end, is_counter)?
    } else {
        FloatHistogram::clone(&right.histogram)
    };
    let is_gauge = |h: &FloatHistogram| h.reset == CounterReset::Gauge;
    if !is_counter && (!is_gauge(&left_value) || !is_gauge(&right_value)) {
        remarks.not_gauge();
    }
    let mut result = right_value.clone();
    remarks.subtract(&mut result, &left_value)?;
    if !is_counter {
        return Some(result);
    }
    let mut from = first + 1;
    let mut previous = &left_value;
    if smoothed
        && left.t < w.start
        && let Some(next) = samples.get(from)
        && next.histogram.is_reset_from(&left.histogram)
    {
        previous = &next.histogram;
        from += 1;
    }
    if from > last {
        return Some(result);
    }
    let mut correction: Option<FloatHistogram> = None;
    let inside = samples.get(from..last)?.iter().map(|s| &*s.histogram);
    for h in inside.chain([&right_value]) {
        if h.is_reset_from(previous) {
            match &mut correction {
                None => correction = Some(previous.clone()),
                Some(sum) => remarks.add(sum, previous)?,
            }
        }
        previous = h;
    }
    if let Some(correction) = correction {
        remarks.add(&mut result, &correction)?;
    }
    Some(result)
}
