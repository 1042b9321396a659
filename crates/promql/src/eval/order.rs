//! Order statistics: `quantile_over_time`, `mad_over_time`, `min_over_time`, `max_over_time`, and the quantile of
//! the `quantile` aggregation.

use std::cmp::Ordering;

use super::column::Column;
use super::window::Windows;
use crate::engine::QueryError;

/// NaN below everything, as Prometheus sorts.
pub(crate) fn nan_first(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.total_cmp(b),
    }
}

/// The `q`-quantile of sorted values, weighted between the two nearest.
pub(crate) fn quantile_of_sorted(q: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (sorted.len() - 1) as f64;
    let lower = rank.floor().max(0.0);
    let weight = rank - rank.floor();
    let at = |i: usize| sorted.get(i.min(sorted.len() - 1)).copied().unwrap_or(f64::NAN);
    at(lower as usize) * (1.0 - weight) + at(lower as usize + 1) * weight
}

/// Up to so many values a place is found by counting the smaller ones: no branch to guess wrong.
const COUNTED: usize = 128;

/// Puts `v` in order in place of the value at `from`; `to` is the number of values that are less than `v`.
fn replace(sorted: &mut [f64], from: usize, to: usize, v: f64) {
    let at = if from < to {
        sorted.copy_within(from + 1..to, from);
        to - 1
    } else {
        sorted.copy_within(to..from, to + 1);
        to
    };
    if let Some(slot) = sorted.get_mut(at) {
        *slot = v;
    }
}

/// The largest of which a quantile is found without ordering a window.
const LARGEST: usize = 3;
/// Longer windows change little from step to step: keeping them ordered costs less.
const SHORT: usize = 64;

/// The quantile of values among which there is no NaN, if it lies between two of the few largest of a short window.
fn among_largest(q: f64, window: &[f64]) -> Option<f64> {
    let len = window.len();
    if !(LARGEST..=SHORT).contains(&len) || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = q * (len - 1) as f64;
    let lower = rank.floor();
    let from_top = len - 1 - lower as usize;
    if from_top >= LARGEST {
        return None;
    }
    let mut largest = [f64::NEG_INFINITY; LARGEST];
    for &v in window {
        let mut v = v;
        for slot in &mut largest {
            let (more, less) = if v > *slot { (v, *slot) } else { (*slot, v) };
            *slot = more;
            v = less;
        }
    }
    let weight = rank - lower;
    let at = |i: usize| largest.get(i).copied().unwrap_or(f64::NAN);
    Some(at(from_top) * (1.0 - weight) + at(from_top.saturating_sub(1)) * weight)
}

/// Memory kept from series to series.
#[derive(Debug, Default)]
pub(crate) struct OrderScratch {
    sorted: Vec<f64>,
    deviations: Vec<f64>,
}

impl OrderScratch {
    /// `quantile_over_time`: the window's values are kept sorted while it slides; a sample that enters or leaves
    /// costs a binary search and a move.
    pub(crate) fn quantile(
        &mut self,
        q: impl Fn(usize) -> f64,
        windows: &Windows<'_>,
        times: &[i64],
        values: &[f64],
        out: &mut Column,
    ) -> Result<u64, QueryError> {
        let sorted = &mut self.sorted;
        sorted.clear();
        let (mut lo, mut hi) = (0, 0);
        // Plain comparisons are several times as fast.
        let plain = !values.iter().any(|v| v.is_nan() || v.to_bits() == (-0.0_f64).to_bits());
        let place = |sorted: &[f64], v: f64| {
            if plain && sorted.len() <= COUNTED {
                sorted.iter().map(|&s| usize::from(s < v)).sum()
            } else if plain {
                sorted.partition_point(|&s| s < v)
            } else {
                sorted.partition_point(|s| nan_first(s, &v) == Ordering::Less)
            }
        };
        windows.slide(times, |w| {
            let q = q(w.step);
            let window = values.get(w.lo..w.hi).unwrap_or_default();
            if let Some(value) = plain.then(|| among_largest(q, window)).flatten() {
                out.set(w.step, value);
                return Ok(());
            }
            if w.lo >= hi {
                sorted.clear();
                sorted.extend_from_slice(window);
                sorted.sort_unstable_by(nan_first);
            } else {
                let mut new = values.get(hi..w.hi).unwrap_or_default().iter();
                for &old in values.get(lo..w.lo).unwrap_or_default() {
                    let from = place(sorted, old);
                    match new.next() {
                        Some(&v) => {
                            let to = place(sorted, v);
                            replace(sorted, from, to, v);
                        }
                        None if from < sorted.len() => drop(sorted.remove(from)),
                        None => {}
                    }
                }
                for &v in new {
                    let at = place(sorted, v);
                    sorted.insert(at, v);
                }
            }
            (lo, hi) = (w.lo, w.hi);
            out.set(w.step, quantile_of_sorted(q, sorted));
            Ok(())
        })
    }

    /// `mad_over_time`: the median of the absolute deviations from the median.
    pub(crate) fn mad(
        &mut self,
        windows: &Windows<'_>,
        times: &[i64],
        values: &[f64],
        out: &mut Column,
    ) -> Result<u64, QueryError> {
        let deviations = &mut self.deviations;
        windows.slide(times, |w| {
            let window = values.get(w.lo..w.hi).unwrap_or_default();
            if window.iter().any(|v| v.is_nan()) {
                out.set(w.step, f64::NAN);
                return Ok(());
            }
            deviations.clear();
            deviations.extend_from_slice(window);
            deviations.sort_unstable_by(nan_first);
            let median = quantile_of_sorted(0.5, deviations);
            for d in deviations.iter_mut() {
                *d = (*d - median).abs();
            }
            deviations.sort_unstable_by(nan_first);
            out.set(w.step, quantile_of_sorted(0.5, deviations));
            Ok(())
        })
    }

    /// `max_over_time` and `min_over_time`. A window is a front whose extremes from each sample to the front's end are
    /// known, and a back of which one extreme is carried along: when the front has been passed, the back becomes the
    /// new one. Each sample is compared twice, without a guess. NaN counts only where there is nothing else.
    pub(crate) fn extreme(
        &mut self,
        max: bool,
        windows: &Windows<'_>,
        times: &[i64],
        values: &[f64],
        out: &mut Column,
    ) -> Result<u64, QueryError> {
        if max {
            self.leftmost(|a, b| if b > a || a.is_nan() { b } else { a }, windows, times, values, out)
        } else {
            self.leftmost(|a, b| if b < a || a.is_nan() { b } else { a }, windows, times, values, out)
        }
    }

    /// `better` takes the one of two neighbours, the older first; NaN never wins.
    fn leftmost(
        &mut self,
        better: impl Fn(f64, f64) -> f64,
        windows: &Windows<'_>,
        times: &[i64],
        values: &[f64],
        out: &mut Column,
    ) -> Result<u64, QueryError> {
        let front = &mut self.sorted;
        front.clear();
        front.resize(values.len(), f64::NAN);
        let (mut split, mut seen, mut back) = (0, 0, f64::NAN);
        windows.slide(times, |w| {
            if w.lo >= split {
                split = w.hi;
                let mut best = f64::NAN;
                let fronts = front.get_mut(w.lo..w.hi).unwrap_or_default().iter_mut();
                for (slot, &v) in fronts.zip(values.get(w.lo..w.hi).unwrap_or_default()).rev() {
                    best = better(v, best);
                    *slot = best;
                }
                back = f64::NAN;
            } else {
                for &v in values.get(seen..w.hi).unwrap_or_default() {
                    back = better(back, v);
                }
            }
            seen = w.hi;
            if let Some(&best) = front.get(w.lo) {
                out.set(w.step, better(best, back));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_sliding_windows_are_those_of_each_window() {
        use crate::eval::column::Grid;
        let mut bits = 7u64;
        for (q, length) in [(0.9, 20), (0.95, 5), (1.0, 4), (0.5, 20), (0.1, 7), (0.99, 300), (0.9, 2)] {
            let times: Vec<i64> = (0..600).map(|i| i * 10 + i64::from(i % 3 == 0)).collect();
            let values: Vec<f64> = times
                .iter()
                .map(|_| {
                    bits =
                        bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (bits >> 60) as f64
                })
                .collect();
            let grid = Grid { start: 0, end: 6000, step: 35 };
            let windows =
                Windows { grid, range: length * 10, offset: 0, at: None, mode: None, lookback: 0, ctx: None };
            let mut out = Column::absent(grid.len());
            OrderScratch::default().quantile(|_| q, &windows, &times, &values, &mut out).unwrap();
            windows
                .slide(&times, |w| {
                    let mut window = values[w.lo..w.hi].to_vec();
                    window.sort_unstable_by(nan_first);
                    assert_eq!(out.get(w.step), Some(quantile_of_sorted(q, &window)), "{q} {length}");
                    Ok(())
                })
                .unwrap();
        }
    }

    #[test]
    fn quantiles_lie_between_the_nearest_values() {
        let sorted = [f64::NAN, 1.0, 2.0, 4.0];
        assert_eq!(quantile_of_sorted(1.0, &sorted), 4.0);
        assert_eq!(quantile_of_sorted(0.5, &sorted), 1.5);
        assert!(quantile_of_sorted(0.1, &sorted).is_nan());
        assert_eq!(quantile_of_sorted(-0.1, &sorted), f64::NEG_INFINITY);
        assert_eq!(quantile_of_sorted(1.1, &sorted), f64::INFINITY);
    }
}
