//! `stdvar_over_time` and `stddev_over_time`.

use super::column::Column;
use super::over_time::add_compensated;
use super::window::Windows;
use crate::engine::QueryError;

/// Shorter windows are computed each from its samples.
const SHORT: i64 = 12;

/// With the mean up to so many standard deviations from zero, rounding shows in no digit that is compared. Beyond that
/// Prometheus' result has its own rounding, which only its own order of operations gives.
const NEAR: f64 = 32.0;

/// After so many windows whose mean is too far off, the rest of the series is not expected to be better.
const PATIENCE: u32 = 8;

/// Number, mean and squared deviations of some values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, v: f64) {
        self.count += 1.0;
        let delta = v - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (v - self.mean);
    }

    fn with(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let delta = other.mean - self.mean;
        let share = other.count / count;
        let squares = self.squares + other.squares + delta * delta * self.count * share;
        Moments { count, mean: self.mean + delta * share, squares }
    }

    /// The variance, if it equals what is computed value by value.
    fn variance(self) -> Option<f64> {
        let variance = self.squares / self.count;
        // Also refuses what is not a number.
        (self.mean * self.mean <= NEAR * NEAR * variance).then_some(variance)
    }
}

/// A window is a front whose moments from each sample to the front's end are known, and a back whose moments are carried
/// along: when the front has been passed, the back becomes the new one. Nothing is ever subtracted from them.
pub(crate) fn variance(
    finish: impl Fn(f64) -> f64,
    windows: &Windows<'_>,
    times: &[i64],
    values: &[f64],
    front: &mut Vec<Moments>,
    out: &mut Column,
) -> Result<u64, QueryError> {
    let span = times.last().zip(times.first()).map_or(0, |(last, first)| last - first);
    let samples = i64::try_from(times.len()).unwrap_or(i64::MAX);
    if windows.range.saturating_mul(samples) < span.saturating_mul(SHORT) {
        return windows.slide(times, |w| {
            out.set(w.step, finish(direct(values.get(w.lo..w.hi).unwrap_or_default())));
            Ok(())
        });
    }
    front.clear();
    front.resize(values.len(), Moments::default());
    let (mut split, mut seen, mut back, mut missed) = (0, 0, Moments::default(), 0);
    windows.slide(times, |w| {
        let window = values.get(w.lo..w.hi).unwrap_or_default();
        if missed >= PATIENCE {
            out.set(w.step, finish(direct(window)));
            return Ok(());
        }
        if w.lo >= split {
            split = w.hi;
            let mut moments = Moments::default();
            for (slot, &v) in front.get_mut(w.lo..w.hi).unwrap_or_default().iter_mut().zip(window).rev() {
                moments.add(v);
                *slot = moments;
            }
            back = Moments::default();
        } else {
            for &v in values.get(seen..w.hi).unwrap_or_default() {
                back.add(v);
            }
        }
        seen = w.hi;
        let moments = front.get(w.lo).copied().unwrap_or_default().with(back);
        let variance = moments.variance().unwrap_or_else(|| {
            missed += 1;
            direct(window)
        });
        out.set(w.step, finish(variance));
        Ok(())
    })
}

/// Welford's recurrence, compensated, as Prometheus computes it.
fn direct(window: &[f64]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut mean_c) = (0.0, 0.0);
    let (mut squares, mut squares_c) = (0.0, 0.0);
    for &v in window {
        count += 1.0;
        let delta = v - (mean + mean_c);
        add_compensated(delta / count, &mut mean, &mut mean_c);
        add_compensated(delta * (v - (mean + mean_c)), &mut squares, &mut squares_c);
    }
    (squares + squares_c) / count
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::eval::column::Grid;

    #[test]
    fn sliding_variances_are_those_of_each_window() {
        let mut bits = 7u64;
        let mut random = || {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (bits >> 11) as f64 / 2f64.powi(53)
        };
        let times: Vec<i64> = (0..800).map(|i| i * 10).collect();
        let noise: Vec<f64> = times.iter().map(|_| random()).collect();
        let of = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            noise.iter().enumerate().map(|(i, &v)| f(i, v)).collect()
        };
        let series = [
            of(&|_, v| v),
            of(&|i, v| 1.7e9 + i as f64 * 15.0 + v),
            of(&|i, v| if i % 97 == 0 { 1e12 } else { v }),
            of(&|_, _| 3.3),
            of(&|i, _| if i < 400 { 5.0 } else { 1e9 }),
            of(&|i, v| if i == 300 { f64::NAN } else { v * 1e-9 }),
            of(&|i, v| if i == 300 { f64::INFINITY } else { v * 1e200 }),
        ];
        for values in series {
            for length in [15, 40, 300] {
                let grid = Grid { start: 0, end: 8000, step: 35 };
                let windows = Windows {
                    grid,
                    range: length * 10,
                    offset: 0,
                    at: None,
                    mode: None,
                    lookback: 0,
                    ctx: None,
                };
                let mut out = Column::absent(grid.len());
                variance(|v| v, &windows, &times, &values, &mut Vec::new(), &mut out).unwrap();
                windows
                    .slide(&times, |w| {
                        let (want, got) = (direct(&values[w.lo..w.hi]), out.get(w.step).unwrap());
                        let close = (want - got).abs() <= 1e-12 * want.abs() || want.is_nan() && got.is_nan();
                        assert!(close || want == got, "{want} {got} {length} {}", w.step);
                        Ok(())
                    })
                    .unwrap();
            }
        }
    }
}
