//! Sums, averages and variances of windows.

use super::column::Column;
use super::window::Windows;
use crate::engine::QueryError;

/// Adds with Kahan's compensation in Neumaier's variant, as Prometheus does: an infinite sum has none.
#[inline]
pub(crate) fn add_compensated(v: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + v;
    if total.is_infinite() {
        *compensation = 0.0;
    } else if sum.abs() >= v.abs() {
        *compensation += (*sum - total) + v;
    } else {
        *compensation += (v - total) + *sum;
    }
    *sum = total;
}

/// The same without a branch, for many sums side by side.
#[inline]
pub(crate) fn add_compensated_blindly(v: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + v;
    let (more, less) = if sum.abs() >= v.abs() { (*sum, v) } else { (v, *sum) };
    let kept = *compensation + ((more - total) + less);
    *compensation = if total.is_infinite() { 0.0 } else { kept };
    *sum = total;
}

/// Largest integer up to which sums of integers in floats are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Running sums of `values`, if they are exact: then a window's sum is a difference of two, to the last digit. Only
/// worth it when windows overlap.
fn exact_prefix_sums<'a>(windows: &Windows<'_>, values: &[f64], sums: &'a mut Vec<f64>) -> Option<&'a [f64]> {
    if windows.range <= windows.grid.step * 2 || windows.grid.len() < 2 {
        return None;
    }
    sums.clear();
    sums.reserve(values.len() + 1);
    let (mut sum, mut magnitude) = (0.0, 0.0);
    sums.push(sum);
    for &v in values {
        magnitude += v.abs();
        if v.trunc() != v || magnitude >= EXACT || v.to_bits() == (-0.0_f64).to_bits() {
            return None;
        }
        sum += v;
        sums.push(sum);
    }
    Some(sums)
}

/// `sum_over_time`
pub(crate) fn sum(
    windows: &Windows<'_>,
    times: &[i64],
    values: &[f64],
    sums: &mut Vec<f64>,
    out: &mut Column,
) -> Result<u64, QueryError> {
    if let Some(sums) = exact_prefix_sums(windows, values, sums) {
        return windows.slide(times, |w| {
            if let (Some(from), Some(to)) = (sums.get(w.lo), sums.get(w.hi)) {
                out.set(w.step, to - from);
            }
            Ok(())
        });
    }
    windows.slide(times, |w| {
        let (mut sum, mut compensation) = (0.0, 0.0);
        for &v in values.get(w.lo..w.hi).unwrap_or_default() {
            add_compensated(v, &mut sum, &mut compensation);
        }
        out.set(w.step, if sum.is_infinite() { sum } else { sum + compensation });
        Ok(())
    })
}

/// `avg_over_time`
pub(crate) fn avg(
    windows: &Windows<'_>,
    times: &[i64],
    values: &[f64],
    sums: &mut Vec<f64>,
    out: &mut Column,
) -> Result<u64, QueryError> {
    if let Some(sums) = exact_prefix_sums(windows, values, sums) {
        return windows.slide(times, |w| {
            if let (Some(from), Some(to)) = (sums.get(w.lo), sums.get(w.hi)) {
                out.set(w.step, (to - from) / (w.hi - w.lo) as f64);
            }
            Ok(())
        });
    }
    windows.slide(times, |w| {
        out.set(w.step, mean(values.get(w.lo..w.hi).unwrap_or_default()));
        Ok(())
    })
}

/// The compensated sum divided by the count; once the sum would overflow, the mean is carried along instead.
fn mean(values: &[f64]) -> f64 {
    let Some((&first, rest)) = values.split_first() else { return f64::NAN };
    let mut mean = Mean::new(first);
    for &v in rest {
        mean.add(v);
    }
    mean.value()
}

/// A mean that is built value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mean {
    /// The sum, or once that overflowed the mean.
    value: f64,
    compensation: f64,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// Of one value.
    pub(crate) fn new(first: f64) -> Self {
        Mean { value: first, compensation: 0.0, count: 1.0, incremental: false }
    }

    /// Takes in one more value.
    #[inline]
    pub(crate) fn add(&mut self, v: f64) {
        self.count += 1.0;
        if !self.incremental {
            let (mut sum, mut compensation) = (self.value, self.compensation);
            add_compensated(v, &mut sum, &mut compensation);
            if !sum.is_infinite() {
                (self.value, self.compensation) = (sum, compensation);
                return;
            }
            self.make_incremental(self.count - 1.0);
        }
        let weight = (self.count - 1.0) / self.count;
        self.value *= weight;
        self.compensation *= weight;
        add_compensated(v / self.count, &mut self.value, &mut self.compensation);
    }

    fn make_incremental(&mut self, count: f64) {
        if !self.incremental {
            self.incremental = true;
            self.value /= count;
            self.compensation /= count;
        }
    }

    /// Takes in all values of another mean.
    pub(crate) fn merge(&mut self, mut other: Mean) {
        let count = self.count + other.count;
        let (mut sum, mut compensation) = (self.value, self.compensation);
        add_compensated(other.value, &mut sum, &mut compensation);
        if !self.incremental && !other.incremental && !sum.is_infinite() {
            *self = Mean {
                value: sum,
                compensation: compensation + other.compensation,
                count,
                incremental: false,
            };
            return;
        }
        self.make_incremental(self.count);
        other.make_incremental(other.count);
        let (a, b) = (self.count / count, other.count / count);
        let mut value = self.value * a;
        let mut compensation = self.compensation * a + other.compensation * b;
        add_compensated(other.value * b, &mut value, &mut compensation);
        *self = Mean { value, compensation, count, incremental: true };
    }

    /// The mean.
    pub(crate) fn value(&self) -> f64 {
        if self.incremental {
            self.value + self.compensation
        } else {
            self.value / self.count + self.compensation / self.count
        }
    }
}

/// `ts_of_max_over_time` and `ts_of_min_over_time`: of equal values the newest.
pub(crate) fn time_of_extreme(
    max: bool,
    windows: &Windows<'_>,
    times: &[i64],
    values: &[f64],
    out: &mut Column,
) -> Result<u64, QueryError> {
    windows.slide(times, |w| {
        let mut best: Option<(i64, f64)> = None;
        for k in w.lo..w.hi {
            let (Some(&t), Some(&v)) = (times.get(k), values.get(k)) else { continue };
            let better = best.is_none_or(|(_, b)| b.is_nan() || if max { v >= b } else { v <= b });
            if better {
                best = Some((t, v));
            }
        }
        if let Some((t, _)) = best {
            out.set(w.step, t as f64 / 1000.0);
        }
        Ok(())
    })
}
