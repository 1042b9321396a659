//! `deriv`, `predict_linear`, `double_exponential_smoothing`.

use super::column::Column;
use super::over_time::add_compensated;
use super::window::Windows;
use crate::engine::QueryError;

/// Slope per second and value at `origin` of the least-squares line.
fn line(times: &[i64], values: &[f64], origin: i64) -> (f64, f64) {
    let Some(&first) = values.first() else { return (f64::NAN, f64::NAN) };
    let mut n = 0.0;
    let mut sums = [(0.0, 0.0); 4];
    let mut constant = true;
    for (&t, &y) in times.iter().zip(values) {
        constant &= n == 0.0 || y == first;
        n += 1.0;
        let x = (t - origin) as f64 / 1000.0;
        for ((sum, compensation), v) in sums.iter_mut().zip([x, y, x * y, x * x]) {
            add_compensated(v, sum, compensation);
        }
    }
    if constant {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let [x, y, xy, xx] = sums.map(|(sum, compensation)| sum + compensation);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

/// `deriv`
pub(crate) fn deriv(
    windows: &Windows<'_>,
    times: &[i64],
    values: &[f64],
    out: &mut Column,
) -> Result<u64, QueryError> {
    windows.slide(times, |w| {
        if let (Some(times @ [first, _, ..]), Some(values)) = (times.get(w.lo..w.hi), values.get(w.lo..w.hi))
        {
            // An origin near the samples keeps the sums small.
            out.set(w.step, line(times, values, *first).0);
        }
        Ok(())
    })
}

/// `predict_linear`
pub(crate) fn predict_linear(
    ahead: impl Fn(usize) -> f64,
    windows: &Windows<'_>,
    times: &[i64],
    values: &[f64],
    out: &mut Column,
) -> Result<u64, QueryError> {
    windows.slide(times, |w| {
        if let (Some(times @ [_, _, ..]), Some(values)) = (times.get(w.lo..w.hi), values.get(w.lo..w.hi)) {
            let (slope, intercept) = line(times, values, windows.grid.time(w.step));
            out.set(w.step, slope * ahead(w.step) + intercept);
        }
        Ok(())
    })
}

/// `double_exponential_smoothing`; `factors` gives smoothing and trend factor of a step.
pub(crate) fn smoothing(
    factors: impl Fn(usize) -> (f64, f64),
    windows: &Windows<'_>,
    times: &[i64],
    values: &[f64],
    out: &mut Column,
) -> Result<u64, QueryError> {
    windows.slide(times, |w| {
        let (sf, tf) = factors(w.step);
        check_factors(sf, tf)?;
        if let Some(&[first, second, ref rest @ ..]) = values.get(w.lo..w.hi) {
            let mut trend = second - first;
            let mut before = first;
            let mut smoothed = sf * second + (1.0 - sf) * (first + trend);
            for &v in rest {
                trend = tf * (smoothed - before) + (1.0 - tf) * trend;
                let next = sf * v + (1.0 - sf) * (smoothed + trend);
                before = smoothed;
                smoothed = next;
            }
            out.set(w.step, smoothed);
        }
        Ok(())
    })
}

/// Refuses factors that smooth nothing. They are looked at wherever a window has samples, of whichever kind.
pub(crate) fn check_factors(sf: f64, tf: f64) -> Result<(), QueryError> {
    for (name, factor, letter) in [("smoothing", sf, 's'), ("trend", tf, 't')] {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(QueryError::Execution(format!(
                "invalid {name} factor. Expected: 0 < {letter}f < 1, got: {}",
                fixed(factor)
            )));
        }
    }
    Ok(())
}

/// Go's `%f`.
fn fixed(v: f64) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{v:.6}")
}
