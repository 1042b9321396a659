//! Answers of the real Prometheus beside those of the engine.

use std::collections::BTreeMap;

use model::FloatHistogram;
use promql::{Engine, Overrides, QueryError, QueryResult, QueryStats, StepStats, Value, VectorSample};
use serde_json::Value as Json;
use storage::{QueryContext, Select};

fn millis(text: &str) -> i64 {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds * 1000.0).round() as i64;
    }
    // The few rows with RFC 3339 times are all on this day.
    let rest = text.strip_prefix("2023-11-14T").unwrap().trim_end_matches('Z');
    let parts: Vec<f64> = rest.split(':').map(|p| p.parse().unwrap()).collect();
    1_699_920_000_000 + ((parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]) * 1000.0) as i64
}

fn step(text: &str) -> i64 {
    text.parse::<f64>()
        .map_or_else(|_| model::duration::parse(text).unwrap(), |s| (s * 1000.0).round() as i64)
}

/// Asks what a recorded or made-up row asks: `kind`, `query` and `params` as sent to the API.
pub(crate) fn ask(engine: &Engine, store: &dyn Select, row: &Json) -> Result<QueryResult, QueryError> {
    let ctx = QueryContext::unlimited();
    let query = row["query"].as_str().unwrap();
    let param = |name: &str| row["params"][name].as_str();
    let overrides = Overrides {
        lookback_delta_ms: param("lookback_delta").map(step),
        count_samples: param("stats").is_some(),
        ..Overrides::default()
    };
    if row["kind"] == "instant" {
        return engine.instant(store, &ctx, query, millis(param("time").unwrap()), &overrides);
    }
    let (start, end) = (millis(param("start").unwrap()), millis(param("end").unwrap()));
    engine.range(store, &ctx, query, start, end, step(param("step").unwrap()), &overrides)
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

fn all_close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| close(a, b))
}

/// Count, sum and the populated buckets, number by number.
fn our_histogram(h: &FloatHistogram) -> Vec<f64> {
    let mut all = vec![h.count, h.sum];
    for b in h.buckets().filter(|b| b.count != 0.0) {
        let boundaries = match (b.lower_inclusive, b.upper_inclusive) {
            (false, true) => 0.0,
            (true, false) => 1.0,
            (false, false) => 2.0,
            (true, true) => 3.0,
        };
        all.extend([boundaries, b.lower, b.upper, b.count]);
    }
    all
}

fn their_histogram(json: &Json) -> Vec<f64> {
    let mut all = vec![number(&json["count"]), number(&json["sum"])];
    for b in json["buckets"].as_array().into_iter().flatten() {
        all.push(b[0].as_f64().unwrap());
        all.extend((1..4).map(|i| number(&b[i])));
    }
    all
}

fn number(json: &Json) -> f64 {
    model::number::parse_float(json.as_str().unwrap()).unwrap()
}

fn time(json: &Json) -> i64 {
    (json.as_f64().unwrap() * 1000.0).round() as i64
}

fn labels(json: &Json) -> String {
    let map: BTreeMap<&String, &Json> = json.as_object().unwrap().iter().collect();
    format!("{map:?}")
}

fn our_labels(labels: &model::Labels) -> String {
    let map: BTreeMap<String, Json> = labels.iter().map(|(n, v)| (n.to_owned(), Json::from(v))).collect();
    format!("{map:?}")
}

/// What is different, if anything. Numbers may differ by `tolerance`, relatively.
pub(crate) fn compare(row: &Json, got: Result<QueryResult, QueryError>) -> Result<(), String> {
    let body = &row["body"];
    let got = match got {
        Ok(got) => got,
        Err(e) => {
            let want = body["error"].as_str().ok_or_else(|| format!("unexpected error: {e}"))?;
            if body["errorType"] != e.error_type() {
                return Err(format!(
                    "error type {} ({e}), want {} ({want})",
                    e.error_type(),
                    body["errorType"]
                ));
            }
            let text = match e.error_type() {
                "bad_data" => format!("invalid parameter \"query\": {e}"),
                _ => e.to_string(),
            };
            return if in_order(&text) == in_order(want) {
                Ok(())
            } else {
                Err(format!("error {text}, want {want}"))
            };
        }
    };
    if let Some(error) = body["error"].as_str() {
        return Err(format!("no error, want {error}"));
    }
    let notes = |name: &str, got: &[String]| {
        let mut want: Vec<String> =
            body[name].as_array().into_iter().flatten().map(|w| w.as_str().unwrap().to_owned()).collect();
        let mut got = got.to_vec();
        for note in want.iter_mut().chain(&mut got) {
            // Builds of Prometheus 3.14 disagree on whether that is about the vector or the first argument.
            if note.contains("has NaN observations") && row["any_place"] == true {
                note.truncate(note.rfind(" (").unwrap());
            }
        }
        want.sort();
        got.sort();
        // Of many any ten are told, and the number of the others.
        let cut = want.iter().position(|w| w.ends_with("annotations omitted"));
        let omitted =
            cut.map_or(0, |at| want.remove(at).split(' ').next().unwrap().parse::<usize>().unwrap());
        let told = want.iter().all(|w| got.contains(w));
        if told && want.len() + omitted == got.len() {
            Ok(())
        } else {
            Err(format!("{name} {got:?}, want {want:?} and {omitted} more"))
        }
    };
    let result = &body["data"]["result"];
    let kind = body["data"]["resultType"].as_str().unwrap();
    match (kind, &got.value) {
        ("scalar", Value::Scalar { t, v }) => {
            if *t != time(&result[0]) || !close(*v, number(&result[1])) {
                return Err(format!("{v}, want {result}"));
            }
        }
        ("string", Value::String { v, .. }) if *v == result[1].as_str().unwrap() => {}
        ("vector", Value::Vector(samples)) => {
            let mut want: Vec<(String, Vec<f64>)> = Vec::new();
            for s in result.as_array().unwrap() {
                let point = match s["value"].is_null() {
                    true => their_histogram(&s["histogram"][1]),
                    false => vec![number(&s["value"][1])],
                };
                want.push((labels(&s["metric"]), point));
            }
            let point = |s: &VectorSample| s.histogram.as_ref().map_or(vec![s.v], |h| our_histogram(h));
            let mut got: Vec<(String, Vec<f64>)> =
                samples.iter().map(|s| (our_labels(&s.labels), point(s))).collect();
            let query = row["query"].as_str().unwrap();
            if !["sort", "topk", "bottomk"].iter().any(|f| query.starts_with(f)) {
                want.sort_by(|a, b| a.0.cmp(&b.0));
                got.sort_by(|a, b| a.0.cmp(&b.0));
            }
            let equal = want.len() == got.len()
                && want.iter().zip(&got).all(|(a, b)| a.0 == b.0 && all_close(&a.1, &b.1));
            if !equal {
                return Err(format!("got {got:?}\n    want {want:?}"));
            }
        }
        ("matrix", Value::Matrix(series)) => {
            let limit = row["params"]["limit"].as_str().map_or(usize::MAX, |l| l.parse().unwrap());
            let series = &series[..series.len().min(limit)];
            let want = result.as_array().unwrap();
            if want.len() != series.len() {
                return Err(format!("{} series, want {}", series.len(), want.len()));
            }
            for (w, s) in want.iter().zip(series) {
                if labels(&w["metric"]) != our_labels(&s.labels) {
                    return Err(format!("{}, want {}", our_labels(&s.labels), labels(&w["metric"])));
                }
                let list = |name: &str| w[name].as_array().into_iter().flatten();
                let mut points: Vec<(i64, Vec<f64>)> =
                    list("values").map(|p| (time(&p[0]), vec![number(&p[1])])).collect();
                points.extend(list("histograms").map(|p| (time(&p[0]), their_histogram(&p[1]))));
                let mut got: Vec<(i64, Vec<f64>)> =
                    s.times.iter().zip(&s.values).map(|(&t, &v)| (t, vec![v])).collect();
                got.extend(s.histograms.iter().map(|h| (h.t, our_histogram(&h.histogram))));
                let equal = points.len() == got.len()
                    && points.iter().zip(&got).all(|(a, b)| a.0 == b.0 && all_close(&a.1, &b.1));
                if !equal {
                    return Err(format!("{}: {got:?}\n    want {points:?}", s.labels));
                }
            }
        }
        (kind, value) => return Err(format!("{value:?}, want {kind} {result}")),
    }
    notes("warnings", &got.warnings)?;
    notes("infos", &got.infos)?;
    compare_stats(&body["data"]["stats"]["samples"], &got.stats)
}

/// What the query looked at, where that was asked for.
fn compare_stats(want: &Json, got: &QueryStats) -> Result<(), String> {
    if want.is_null() {
        return Ok(());
    }
    for (name, got) in [
        ("totalQueryableSamples", got.total_queryable_samples),
        ("samplesRead", got.samples_read),
        ("peakSamples", got.peak_samples),
    ] {
        if want[name] != got {
            return Err(format!("{name} {got}, want {}", want[name]));
        }
    }
    let of_steps = |name: &str, count: fn(&StepStats) -> u64| {
        let want: Vec<u64> =
            want[name].as_array().into_iter().flatten().map(|p| p[1].as_u64().unwrap()).collect();
        let got: Vec<u64> = got.per_step.iter().map(count).collect();
        if want.is_empty() || want == got { Ok(()) } else { Err(format!("{name} {got:?}, want {want:?}")) }
    };
    of_steps("totalQueryableSamplesPerStep", |s| s.queryable)?;
    of_steps("samplesReadPerStep", |s| s.read)
}

/// The text of an error with the two series that it names in order: which comes first depends on the order in which the
/// store gives them.
fn in_order(error: &str) -> String {
    let pair = || {
        let (head, rest) = error.split_once("operation: [")?;
        let (pair, tail) = rest.split_once("];many-to-many")?;
        let (a, b) = pair.split_once("}, {")?;
        let mut pair = [a.trim_start_matches('{'), b.trim_end_matches('}')];
        pair.sort_unstable();
        Some(format!("{head} {pair:?} {tail}"))
    };
    pair().unwrap_or_else(|| error.to_owned())
}
