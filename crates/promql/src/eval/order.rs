//! Order statistics: `quantile_over_time`, `mad_over_time`, `min_over_time`, `max_over_time`, and the quantile of
//! the `quantile` aggregation.

use std::cmp::Ordering;
use std::collections::VecDeque;

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

/// Memory kept from series to series.
#[derive(Debug, Default)]
pub(crate) struct OrderScratch {
    sorted: Vec<f64>,
    candidates: VecDeque<usize>,
    deviations: Vec<f64>,
}

impl OrderScratch {
    /// `quantile_over_time`: the window's values are kept sorted while it slides; a sample that enters or leaves
    /// costs a binary search and a move.
    pub(crate) fn quantile(
        &mut self,
        q: impl Fn(usize) -> f64,
        windows: &Windows,
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
            if w.lo >= hi {
                sorted.clear();
                sorted.extend_from_slice(values.get(w.lo..w.hi).unwrap_or_default());
                sorted.sort_unstable_by(nan_first);
            } else {
                for v in values.get(lo..w.lo).unwrap_or_default() {
                    let at = place(sorted, *v);
                    if at < sorted.len() {
                        sorted.remove(at);
                    }
                }
                for v in values.get(hi..w.hi).unwrap_or_default() {
                    let at = place(sorted, *v);
                    sorted.insert(at, *v);
                }
            }
            (lo, hi) = (w.lo, w.hi);
            out.set(w.step, quantile_of_sorted(q(w.step), sorted));
            Ok(())
        })
    }

    /// `mad_over_time`: the median of the absolute deviations from the median.
    pub(crate) fn mad(
        &mut self,
        windows: &Windows,
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

    /// `max_over_time` and `min_over_time`: a queue of those samples that may still become the extreme, best first.
    /// NaN counts only where there is nothing else.
    pub(crate) fn extreme(
        &mut self,
        max: bool,
        windows: &Windows,
        times: &[i64],
        values: &[f64],
        out: &mut Column,
    ) -> Result<u64, QueryError> {
        let candidates = &mut self.candidates;
        candidates.clear();
        let mut seen = 0;
        windows.slide(times, |w| {
            for k in seen.max(w.lo)..w.hi {
                let Some(&v) = values.get(k) else { continue };
                if v.is_nan() {
                    continue;
                }
                while candidates
                    .back()
                    .and_then(|&b| values.get(b))
                    .is_some_and(|&b| if max { b < v } else { b > v })
                {
                    candidates.pop_back();
                }
                candidates.push_back(k);
            }
            seen = w.hi;
            while candidates.front().is_some_and(|&k| k < w.lo) {
                candidates.pop_front();
            }
            let best = candidates.front().or(Some(&w.lo)).and_then(|&k| values.get(k));
            out.set(w.step, best.copied().unwrap_or(f64::NAN));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
