//! Functions of one window, never empty.

use model::Sample;

pub(super) fn apply(
    name: &str,
    w: &[Sample],
    start: i64,
    end: i64,
    scalar: f64,
    t: i64,
) -> Result<Option<f64>, String> {
    let values: Vec<f64> = w.iter().map(|s| s.v).collect();
    let n = values.len() as f64;
    let (Some(first), Some(last)) = (w.first(), w.last()) else { return Ok(None) };
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let numbers = || values.iter().copied().filter(|v| !v.is_nan());
    let pairs = || values.windows(2).filter_map(|p| <[f64; 2]>::try_from(p).ok());
    Ok(Some(match name {
        "sum_over_time" => values.iter().sum(),
        "avg_over_time" => mean,
        "count_over_time" => n,
        "min_over_time" => numbers().reduce(f64::min).unwrap_or(f64::NAN),
        "max_over_time" => numbers().reduce(f64::max).unwrap_or(f64::NAN),
        "last_over_time" => last.v,
        "first_over_time" => first.v,
        "present_over_time" => 1.0,
        "stdvar_over_time" => variance,
        "stddev_over_time" => variance.sqrt(),
        "quantile_over_time" => quantile(scalar, &values),
        "changes" => pairs().filter(|[a, b]| a != b && !(a.is_nan() && b.is_nan())).count() as f64,
        "resets" => pairs().filter(|[a, b]| b < a).count() as f64,
        "irate" | "idelta" => {
            let [.., before, last] = w else { return Ok(None) };
            let rate = name == "irate";
            let rise = if rate && last.v < before.v { last.v } else { last.v - before.v };
            if rate { rise / ((last.t - before.t) as f64 / 1000.0) } else { rise }
        }
        "deriv" | "predict_linear" if w.len() < 2 => return Ok(None),
        "deriv" => line(w, first.t).0,
        "predict_linear" => {
            let (slope, at_t) = line(w, t);
            slope * scalar + at_t
        }
        "rate" | "increase" | "delta" if w.len() < 2 => return Ok(None),
        "rate" => extrapolated(w, start, end, true) / ((end - start) as f64 / 1000.0),
        "increase" => extrapolated(w, start, end, true),
        "delta" => extrapolated(w, start, end, false),
        other => return Err(format!("window function {other}")),
    }))
}

/// The `q`-quantile, between the nearest of the sorted values.
pub(super) fn quantile(q: f64, values: &[f64]) -> f64 {
    if q.is_nan() || values.is_empty() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let mut sorted: Vec<f64> = values.to_vec();
    sorted.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    });
    let rank = q * (sorted.len() - 1) as f64;
    let at = |i: f64| sorted.get(i as usize).copied().unwrap_or(f64::NAN);
    let weight = rank - rank.floor();
    let upper = (rank.floor() + 1.0).min((sorted.len() - 1) as f64);
    at(rank.floor()) * (1.0 - weight) + at(upper) * weight
}

fn line(w: &[Sample], origin: i64) -> (f64, f64) {
    let first = w.first().map_or(f64::NAN, |s| s.v);
    if w.iter().all(|s| s.v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = w.len() as f64;
    let xs: Vec<f64> = w.iter().map(|s| (s.t - origin) as f64 / 1000.0).collect();
    let mean_x = xs.iter().sum::<f64>() / n;
    let mean_y = w.iter().map(|s| s.v).sum::<f64>() / n;
    let xy: f64 = xs.iter().zip(w).map(|(x, s)| (x - mean_x) * (s.v - mean_y)).sum();
    let xx: f64 = xs.iter().map(|x| (x - mean_x).powi(2)).sum();
    (xy / xx, mean_y - xy / xx * mean_x)
}

fn extrapolated(w: &[Sample], start: i64, end: i64, counter: bool) -> f64 {
    let (Some(first), Some(last)) = (w.first(), w.last()) else { return f64::NAN };
    let mut rise = last.v - first.v;
    if counter {
        for pair in w.windows(2) {
            if let [a, b] = pair
                && b.v < a.v
            {
                rise += a.v;
            }
        }
    }
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let sampled = seconds(last.t - first.t);
    let gap = sampled / (w.len() - 1) as f64;
    let stretch = |to_bound: f64| if to_bound >= gap * 1.1 { gap / 2.0 } else { to_bound };
    let mut before = stretch(seconds(first.t - start));
    if counter && rise > 0.0 && first.v >= 0.0 {
        before = before.min(sampled * (first.v / rise));
    }
    rise * (sampled + before + stretch(seconds(end - last.t))) / sampled
}
