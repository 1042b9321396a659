//! `rate`, `increase` and `delta` of native histograms, and interpolation between two of them.

use model::FloatHistogram;
use model::histogram::{CounterReset, HistogramSample, IncompatibleSchemas};
use parking_lot::Mutex;

use super::annotations::Annotations;
use super::mixed::Histograms;
use super::start_times::{is_reset, zero_within};
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

    pub(super) fn start_times_overlap(&self, windows: u64) {
        self.notes.lock().start_times_overlap(self.name, self.span, windows);
    }

    pub(super) fn not_gauge(&self) {
        self.notes.lock().histogram_not_gauge(self.name, self.span);
    }

    pub(super) fn bounds_reconciled(&self, operation: &str) {
        self.notes.lock().bounds_reconciled(operation, self.span);
    }

    /// Adds and remarks; resets that contradict each other are expected here. `None` where schemas do not fit.
    pub(super) fn add(&self, to: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        let combined = to.add(other).map_err(|e| self.mixed_schemas(e)).ok()?;
        if combined.reconciled {
            self.bounds_reconciled("addition");
        }
        Some(())
    }

    /// Subtracts as [`add`](Self::add) adds.
    pub(super) fn subtract(&self, from: &mut FloatHistogram, other: &FloatHistogram) -> Option<()> {
        let combined = from.subtract(other).map_err(|e| self.mixed_schemas(e)).ok()?;
        if combined.reconciled {
            self.bounds_reconciled("subtraction");
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
    Histograms { samples, starts }: Histograms<'_>,
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
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return None };
    let started = |i: usize| Some((samples.get(i)?.t, *starts.get(i)?));
    let from_zero = started(0).filter(|_| is_counter).and_then(|first| zero_within(w.start, first));
    let gaps = samples.len() - 1;
    if gaps == 0 && from_zero.is_none() {
        return None;
    }
    let is_reset = |i: usize| {
        let pair = i.checked_sub(1).and_then(|before| Some((started(before)?, started(i)?)));
        pair.is_some_and(|(before, after)| is_reset(before, after))
    };
    let mut result = difference(samples, from_zero.is_some(), is_reset, is_counter, remarks)?;
    let mut to_start = (first.t - w.start) as f64 / 1000.0;
    let mut to_end = (w.end - last.t) as f64 / 1000.0;
    let average = if gaps == 0 { 0.0 } else { (last.t - first.t) as f64 / 1000.0 / gaps as f64 };
    let sampled = (last.t - from_zero.unwrap_or(first.t)) as f64 / 1000.0;
    let threshold = average * 1.1;
    if from_zero.is_some() {
        to_start = 0.0;
    } else if to_start >= threshold {
        to_start = average / 2.0;
    }
    if is_counter && from_zero.is_none() && result.count > 0.0 && first.histogram.count >= 0.0 {
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

/// The last histogram less the first (or less nothing `from_zero`), corrected for resets, of which
/// `is_reset` knows more than the histograms.
fn difference(
    samples: &[HistogramSample],
    from_zero: bool,
    is_reset: impl Fn(usize) -> bool,
    is_counter: bool,
    remarks: Remarks<'_>,
) -> Option<FloatHistogram> {
    let (first, last) = (&*samples.first()?.histogram, &*samples.last()?.histogram);
    let is_gauge = |h: &FloatHistogram| h.reset == CounterReset::Gauge;
    let mut has_gauge = is_gauge(first) || is_gauge(last);
    let falls = |i: usize, before: &FloatHistogram, h: &FloatHistogram| {
        is_counter && (is_reset(i) || h.is_reset_from(before))
    };
    // After a reset right behind it the first sample does not count, and need not fit.
    let second = samples.get(1).map(|s| &*s.histogram);
    let reset_at_once = second.is_some_and(|second| falls(1, first, second));
    let base = match second {
        _ if !from_zero && !reset_at_once => first.clone(),
        _ => {
            let like = second.filter(|_| !from_zero).unwrap_or(first);
            FloatHistogram {
                schema: like.schema,
                custom_values: like.custom_values.clone(),
                ..FloatHistogram::default()
            }
        }
    };
    let custom = base.has_custom_buckets();
    if last.has_custom_buckets() != custom {
        if is_counter && has_gauge {
            remarks.not_counter();
        }
        remarks.mixed_schemas(IncompatibleSchemas);
        return None;
    }
    // From here on, where schemas do not fit that alone is said.
    let mut schema = last.schema.min(base.schema);
    if is_counter {
        let between = samples.get(1..samples.len() - 1).unwrap_or_default();
        for h in between.iter().map(|s| &*s.histogram) {
            has_gauge |= is_gauge(h);
            schema = schema.min(h.schema);
            if h.has_custom_buckets() != custom {
                remarks.mixed_schemas(IncompatibleSchemas);
                return None;
            }
        }
    }
    let mut result = last.clone();
    result.reduce_schema(schema);
    let mixed = |e| remarks.mixed_schemas(e);
    let subtracted_reconciled = result.subtract(&base).map_err(mixed).ok()?.reconciled;
    let mut added_reconciled = false;
    if is_counter {
        if from_zero && reset_at_once {
            added_reconciled |= result.add(first).map_err(mixed).ok()?.reconciled;
        }
        for (i, pair) in samples.windows(2).enumerate() {
            let [before, h] = pair else { continue };
            if i > 0 && falls(i + 1, &before.histogram, &h.histogram) {
                added_reconciled |= result.add(&before.histogram).map_err(mixed).ok()?.reconciled;
            }
        }
        if has_gauge {
            remarks.not_counter();
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        remarks.not_gauge();
    }
    if subtracted_reconciled {
        remarks.bounds_reconciled("subtraction");
    }
    if added_reconciled {
        remarks.bounds_reconciled("addition");
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
