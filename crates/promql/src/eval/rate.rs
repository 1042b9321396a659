//! `rate`, `increase`, `delta`, `irate`, `idelta`, `changes`, `resets`.

use super::column::Column;
use super::start_times::Started;
use super::window::{Window, WindowFn, WindowScratch, Windows};
use crate::ast::RangeMode;
use crate::engine::QueryError;

/// `rate`, `increase`, `delta`, extrapolated or, with `anchored` and `smoothed`, exact at the bounds.
pub(crate) fn rate(
    function: WindowFn,
    windows: &Windows<'_>,
    samples: Started<'_>,
    values: &[f64],
    scratch: &mut WindowScratch,
    out: &mut Column,
) -> Result<u64, QueryError> {
    let times = samples.times;
    let is_counter = function != WindowFn::Delta;
    let per_second = function == WindowFn::Rate;
    if let Some(mode) = windows.mode {
        return windows.slide(times, |w| {
            let (Some(times), Some(values)) = (times.get(w.lo..w.hi), values.get(w.lo..w.hi)) else {
                return Ok(());
            };
            let smoothed = mode == RangeMode::Smoothed;
            if let Some(v) = extended(times, values, w.start, w.end, smoothed, is_counter) {
                out.set(w.step, if per_second { v / (windows.range as f64 / 1000.0) } else { v });
            }
            Ok(())
        });
    }
    let resets = &mut scratch.marks;
    resets.clear();
    if is_counter {
        mark(values, |i, prev, cur| cur < prev || samples.is_reset(i), resets);
    }
    let mut next_reset = 0;
    windows.slide(times, |w| {
        let mut from_zero = None;
        if is_counter && !samples.starts.is_empty() {
            from_zero = samples.zero_within(w.start, w.lo);
            scratch.overlaps += u64::from(samples.any_overlaps(w.lo, w.hi));
        }
        while resets.get(next_reset).is_some_and(|&k| k as usize <= w.lo) {
            next_reset += 1;
        }
        let inside = resets.get(next_reset..).unwrap_or_default().iter().map(|&k| k as usize);
        let inside = inside.take_while(|&k| k < w.hi);
        if let Some(v) =
            extrapolated(w, times, values, inside, from_zero, is_counter, per_second, windows.range)
        {
            out.set(w.step, v);
        }
        Ok(())
    })
}

/// Collects the indices of samples that stand in relation `event` to the one before.
fn mark(values: &[f64], event: impl Fn(usize, f64, f64) -> bool, marks: &mut Vec<u32>) {
    for (i, pair) in values.windows(2).enumerate() {
        if let &[prev, cur] = pair
            && event(i + 1, prev, cur)
        {
            marks.push(i as u32 + 1);
        }
    }
}

/// The difference between last and first sample, corrected for resets, stretched towards the window's bounds:
/// all the way if the samples come within 1.1 of their average distance of it, else by half that distance, and
/// never to before a counter's zero. Where the counter is known to have been zero within the window, that stands for
/// another sample, before which nothing is.
#[allow(clippy::too_many_arguments)] // of one window
fn extrapolated(
    w: Window,
    times: &[i64],
    values: &[f64],
    resets: impl Iterator<Item = usize>,
    from_zero: Option<i64>,
    is_counter: bool,
    per_second: bool,
    range: i64,
) -> Option<f64> {
    let gaps = w.hi - w.lo - 1;
    if gaps == 0 && from_zero.is_none() {
        return None;
    }
    let (mut first_t, last_t) = (*times.get(w.lo)?, *times.get(w.hi - 1)?);
    let (mut first, last) = (*values.get(w.lo)?, *values.get(w.hi - 1)?);
    // A single sample says nothing about how far apart they are: then nothing is stretched.
    let average = if gaps == 0 { 0.0 } else { (last_t - first_t) as f64 / 1000.0 / gaps as f64 };
    if let Some(start) = from_zero {
        (first_t, first) = (start, 0.0);
    }
    let mut result = last - first;
    for k in resets {
        result += values.get(k - 1)?;
    }
    let mut to_start = (first_t - w.start) as f64 / 1000.0;
    let mut to_end = (w.end - last_t) as f64 / 1000.0;
    let sampled = (last_t - first_t) as f64 / 1000.0;
    let threshold = average * 1.1;
    if from_zero.is_some() {
        to_start = 0.0;
    } else if to_start >= threshold {
        to_start = average / 2.0;
    }
    if is_counter {
        let mut to_zero = to_start;
        if result > 0.0 && first >= 0.0 {
            to_zero = sampled * (first / result);
        }
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if per_second {
        factor /= range as f64 / 1000.0;
    }
    Some(result * factor)
}

/// The value between two samples at `t`; a counter that went down is taken to have started from zero.
pub(crate) fn interpolate(t1: i64, v1: f64, t2: i64, v2: f64, t: i64, is_counter: bool) -> f64 {
    let from = if is_counter && v2 < v1 { 0.0 } else { v1 };
    from + (v2 - from) * (t - t1) as f64 / (t2 - t1) as f64
}

/// Indices of the samples that hold, or (smoothed) enclose, the bounds of a window among samples that reach beyond it.
/// `None` when nothing lies in it.
fn enclosing(times: &[i64], start: i64, end: i64, smoothed: bool) -> Option<(usize, usize)> {
    let newest = times.len().checked_sub(1)?;
    let earlier = times.get(..newest)?;
    let first = earlier.partition_point(|&t| t <= start).saturating_sub(1);
    let last = if smoothed { earlier.partition_point(|&t| t < end) } else { newest };
    if *times.get(last)? <= start { None } else { Some((first, last)) }
}

/// Values at both bounds of a window: those of the enclosing samples, interpolated if smoothed.
fn at_bounds(
    times: &[i64],
    values: &[f64],
    (first, last): (usize, usize),
    start: i64,
    end: i64,
    smoothed: bool,
    is_counter: bool,
) -> Option<(f64, f64)> {
    let (t, v) = (*times.get(first)?, *values.get(first)?);
    let left = if smoothed && t < start {
        interpolate(t, v, *times.get(first + 1)?, *values.get(first + 1)?, start, is_counter)
    } else {
        v
    };
    let (t, v) = (*times.get(last)?, *values.get(last)?);
    let right = if smoothed && last > 0 && t > end {
        interpolate(*times.get(last - 1)?, *values.get(last - 1)?, t, v, end, is_counter)
    } else {
        v
    };
    Some((left, right))
}

fn extended(
    times: &[i64],
    values: &[f64],
    start: i64,
    end: i64,
    smoothed: bool,
    is_counter: bool,
) -> Option<f64> {
    let (first, last) = enclosing(times, start, end, smoothed)?;
    if smoothed && *times.get(first)? > end {
        return None;
    }
    let (left, right) = at_bounds(times, values, (first, last), start, end, smoothed, is_counter)?;
    let mut result = right - left;
    if is_counter {
        let from = if *times.get(first)? <= start { first + 1 } else { first };
        let to = if *times.get(last)? >= end { last } else { last + 1 };
        let mut correction = 0.0;
        let mut previous = left;
        for &v in values.get(from..to).unwrap_or_default() {
            if v < previous {
                correction += previous;
            }
            previous = v;
        }
        if right < previous {
            correction += previous;
        }
        result += correction;
    }
    Some(result)
}

/// What `m[5m] anchored` and `m[5m] smoothed` answer: the samples inside of the window, with one at each bound.
pub(crate) fn extend(
    times: &[i64],
    values: &[f64],
    start: i64,
    end: i64,
    smoothed: bool,
) -> (Vec<i64>, Vec<f64>) {
    let samples = || {
        let (first, last) = enclosing(times, start, end, smoothed)?;
        let (left, right) = at_bounds(times, values, (first, last), start, end, smoothed, false)?;
        let from = if *times.get(first)? <= start { first + 1 } else { first };
        let to = (if *times.get(last)? >= end { last } else { last + 1 }).max(from);
        let mut out = (vec![start], vec![left]);
        out.0.extend_from_slice(times.get(from..to)?);
        out.1.extend_from_slice(values.get(from..to)?);
        out.0.push(end);
        out.1.push(right);
        Some(out)
    };
    samples().unwrap_or_default()
}

/// `irate` and `idelta`: the last two samples.
pub(crate) fn instant(
    is_rate: bool,
    windows: &Windows<'_>,
    samples: Started<'_>,
    values: &[f64],
    out: &mut Column,
) -> Result<u64, QueryError> {
    let times = samples.times;
    windows.slide(times, |w| {
        if w.hi - w.lo < 2 {
            return Ok(());
        }
        if let (Some(&[t1, t2]), Some(&[v1, v2])) = (times.get(w.hi - 2..w.hi), values.get(w.hi - 2..w.hi))
            && t1 != t2
        {
            // After a reset the counter counted from zero.
            let reset = is_rate && (v2 < v1 || samples.is_reset(w.hi - 1));
            let difference = if reset { v2 } else { v2 - v1 };
            out.set(w.step, if is_rate { difference / ((t2 - t1) as f64 / 1000.0) } else { difference });
        }
        Ok(())
    })
}

/// `resets` and `changes`: how often neighbouring samples of a window fall or differ.
pub(crate) fn count_events(
    resets: bool,
    windows: &Windows<'_>,
    samples: Started<'_>,
    values: &[f64],
    marks: &mut Vec<u32>,
    out: &mut Column,
) -> Result<u64, QueryError> {
    let times = samples.times;
    marks.clear();
    if resets {
        mark(values, |i, prev, cur| cur < prev || samples.is_reset(i), marks);
    } else {
        mark(values, |_, prev, cur| prev != cur && !(prev.is_nan() && cur.is_nan()), marks);
    }
    let (mut from, mut to) = (0, 0);
    windows.slide(times, |w| {
        let mut lo = w.lo;
        if windows.mode.is_some() {
            // The newest sample at or before the window's start is where counting begins.
            let inside = times.get(w.lo..w.hi).unwrap_or_default();
            let before = inside.partition_point(|&t| t <= w.start);
            if before == inside.len() {
                return Ok(());
            }
            lo += before.saturating_sub(1);
        }
        while marks.get(from).is_some_and(|&k| k as usize <= lo) {
            from += 1;
        }
        while marks.get(to).is_some_and(|&k| (k as usize) < w.hi) {
            to += 1;
        }
        out.set(w.step, to.saturating_sub(from) as f64);
        Ok(())
    })
}
