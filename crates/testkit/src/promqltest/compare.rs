//! Results against expectations.

use std::sync::Arc;

use model::{FloatHistogram, Labels, is_stale};
use promql::{QueryError, QueryResult, Value, VectorSample};

use super::script::{Eval, EvalTime, Point, Text};

/// A series of the result or of the expectation: its points in order of time.
type Points = (Labels, Vec<(i64, Point)>);

pub(super) fn check_failure(eval: &Eval, error: &QueryError) -> Result<(), String> {
    let text = error.to_string();
    match &eval.fail {
        None => Err(format!("failed: {text}")),
        Some(want) if want.matches(&text) || want.matches(without_position(&text)) => Ok(()),
        Some(want) => Err(format!("failed with {text:?}, expected {want:?}")),
    }
}

/// An error's text without the place and kind in front of it.
fn without_position(text: &str) -> &str {
    text.split_once("parse error: ").map_or(text, |(_, text)| text)
}

fn equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < 1e-6
}

fn histogram(value: &Arc<FloatHistogram>) -> Point {
    Point::Histogram { value: Arc::clone(value), hinted: true }
}

fn equal_points(want: &Point, got: &Point) -> bool {
    match (want, got) {
        (Point::Float(want), Point::Float(got)) => equal(*want, *got),
        (Point::Histogram { value: want, hinted }, Point::Histogram { value: got, .. }) => {
            (!hinted || want.reset == got.reset) && equal_histograms(want, got)
        }
        _ => false,
    }
}

fn equal_histograms(want: &FloatHistogram, got: &FloatHistogram) -> bool {
    let (mut want, mut got) = (want.clone(), got.clone());
    want.compact();
    got.compact();
    let sides = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1))
    };
    want.schema == got.schema
        && want.zero_threshold == got.zero_threshold
        && equal(want.count, got.count)
        && equal(want.sum, got.sum)
        && equal(want.zero_count, got.zero_count)
        && sides(&want.positive, &got.positive)
        && sides(&want.negative, &got.negative)
        && want.custom_values == got.custom_values
}

pub(super) fn check_result(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    annotations("warnings", &eval.warn, eval.no_warn, &result.warnings)?;
    annotations("infos", &eval.info, eval.no_info, &result.infos)?;
    match (&result.value, &eval.string, eval.scalar) {
        (Value::String { v, .. }, Some(want), _) if v == want => return Ok(()),
        (Value::String { v, .. }, want, _) => return Err(format!("{v:?}, expected {want:?}")),
        (Value::Scalar { v, .. }, _, Some(want)) if equal(*v, want) => return Ok(()),
        (Value::Scalar { v, .. }, _, want) => return Err(format!("{v}, expected {want:?}")),
        (_, Some(want), _) => return Err(format!("no string, expected {want:?}")),
        (Value::Matrix(series), ..) if !series.is_sorted_by(|a, b| a.labels < b.labels) => {
            return Err("series not in the order of their labels".to_owned());
        }
        _ => {}
    }
    compare(&expected(eval), &points(&result.value), eval.ordered)
}

/// Compares values with what is expected at another time.
pub(super) fn check_value(eval: &Eval, result: &QueryResult, at: i64) -> Result<(), String> {
    let mut want = match eval.scalar {
        Some(v) => vec![(Labels::empty(), vec![(at, Point::Float(v))])],
        None => expected(eval),
    };
    want.iter_mut().flat_map(|(_, points)| points).for_each(|point| point.0 = at);
    compare(&want, &points(&result.value), eval.ordered)
}

/// Compares the step at `t` of a range query with what an instant query should give.
pub(super) fn check_middle(eval: &Eval, result: &QueryResult, t: i64) -> Result<(), String> {
    let mut got = points(&result.value);
    for (_, points) in &mut got {
        points.retain(|p| p.0 == t);
    }
    got.retain(|(_, points)| !points.is_empty());
    let want = match eval.scalar {
        Some(v) => vec![(Labels::empty(), vec![(t, Point::Float(v))])],
        None => expected(eval),
    };
    compare(&want, &got, false)
}

fn annotations(kind: &str, want: &[Text], none: bool, got: &[String]) -> Result<(), String> {
    let unwanted = (none || !want.is_empty()) && got.iter().any(|g| !want.iter().any(|w| w.matches(g)));
    let missing = want.iter().any(|w| !got.iter().any(|g| w.matches(g)));
    if unwanted || missing { Err(format!("{kind} {got:?}, expected {want:?}")) } else { Ok(()) }
}

fn expected(eval: &Eval) -> Vec<Points> {
    let (start, step) = match (&eval.time, eval.range_vector) {
        (_, Some((start, _, step))) => (start, step),
        (EvalTime::Instant(t), None) => (*t, 0),
        (EvalTime::Range(start, _, step), None) => (*start, *step),
    };
    let mut all = Vec::new();
    for (labels, values) in &eval.series {
        let mut points = Vec::new();
        for (i, value) in values.iter().enumerate() {
            if let Some(point) = value {
                points.push((start + i as i64 * step, point.clone()));
            }
        }
        all.push((labels.clone(), points));
    }
    all
}

fn points(value: &Value) -> Vec<Points> {
    match value {
        Value::Vector(samples) => {
            let point = |s: &VectorSample| s.histogram.as_ref().map_or(Point::Float(s.v), histogram);
            samples.iter().map(|s| (s.labels.clone(), vec![(s.t, point(s))])).collect()
        }
        Value::Matrix(series) => series
            .iter()
            .map(|s| {
                let floats = s.times.iter().zip(&s.values).map(|(&t, &v)| (t, Point::Float(v)));
                let histograms = s.histograms.iter().map(|h| (h.t, histogram(&h.histogram)));
                let mut points: Vec<(i64, Point)> = floats.chain(histograms).collect();
                points.sort_by_key(|p| p.0);
                (s.labels.clone(), points)
            })
            .collect(),
        Value::Scalar { t, v } => vec![(Labels::empty(), vec![(*t, Point::Float(*v))])],
        Value::String { .. } => Vec::new(),
    }
}

fn compare(want: &[Points], got: &[Points], ordered: bool) -> Result<(), String> {
    let (mut want, mut got): (Vec<&Points>, Vec<&Points>) = (want.iter().collect(), got.iter().collect());
    if !ordered {
        want.sort_by(|a, b| a.0.cmp(&b.0));
        got.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let same = want.len() == got.len()
        && want.iter().zip(&got).all(|(w, g)| {
            w.0 == g.0
                && w.1.len() == g.1.len()
                && w.1.iter().zip(&g.1).all(|(w, g)| w.0 == g.0 && equal_points(&w.1, &g.1))
        });
    if same { Ok(()) } else { Err(format!("got {got:?}, expected {want:?}")) }
}
