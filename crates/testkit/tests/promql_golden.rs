//! Every recorded query of Prometheus 3.14 over its recorded data set, answered by the engine.
//!
//! From `golden/promql`, where it is present.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a test

use std::collections::BTreeMap;
use std::sync::Arc;

use model::FloatHistogram;
use promql::{Engine, EngineOptions, Overrides, ParseOptions, QueryError, QueryResult, Value, VectorSample};
use serde_json::Value as Json;
use storage::{MemoryStore, Merged, QueryContext, Select};

struct Setup {
    store: Box<dyn Select>,
    /// Rows that are left out.
    without: &'static [&'static str],
}

/// Rows that show the last digits of populations that the reader of the data set's JSON rounds.
const ROUNDED: &[&str] = &["q1685", "q1778", "r4268"];

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

fn ask(engine: &Engine, store: &dyn Select, row: &Json) -> Result<QueryResult, QueryError> {
    let ctx = QueryContext::unlimited();
    let query = row["query"].as_str().unwrap();
    let param = |name: &str| row["params"][name].as_str();
    let overrides =
        Overrides { lookback_delta_ms: param("lookback_delta").map(step), ..Overrides::default() };
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

/// What is different, if anything.
fn compare(row: &Json, got: Result<QueryResult, QueryError>) -> Result<(), String> {
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
            return if text == want { Ok(()) } else { Err(format!("error {text}, want {want}")) };
        }
    };
    if let Some(error) = body["error"].as_str() {
        return Err(format!("no error, want {error}"));
    }
    let notes = |name: &str, got: &[String]| {
        let mut want: Vec<String> =
            body[name].as_array().into_iter().flatten().map(|w| w.as_str().unwrap().to_owned()).collect();
        let mut got = got.to_vec();
        want.sort();
        got.sort();
        let cut = want.iter().any(|w| w.ends_with("annotations omitted"));
        if want == got || cut { Ok(()) } else { Err(format!("{name} {got:?}, want {want:?}")) }
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
    notes("infos", &got.infos)
}

fn run(setup: &Setup, path: &std::path::Path, options: EngineOptions, out: &mut String) -> (usize, usize) {
    use std::fmt::Write;
    let engine = Engine::new(options);
    let (mut equal, mut total, mut left_out) = (0, 0, 0);
    let text = std::fs::read_to_string(path).unwrap();
    let mut failed: BTreeMap<String, usize> = BTreeMap::new();
    for row in text.lines().map(|l| serde_json::from_str::<Json>(l).unwrap()) {
        let query = row["query"].as_str().unwrap();
        if row["unstable"] == true || setup.without.contains(&row["id"].as_str().unwrap()) {
            left_out += 1;
            continue;
        }
        total += 1;
        match compare(&row, ask(&engine, &*setup.store, &row)) {
            Ok(()) => equal += 1,
            Err(why) => {
                *failed.entry(row["cat"].as_str().unwrap().to_owned()).or_default() += 1;
                writeln!(out, "{} {} {}\n    {query}\n    {why}", row["id"], row["cat"], row["params"])
                    .unwrap();
            }
        }
    }
    println!(
        "{}: {equal} of {total} equal, {left_out} left out; failed: {failed:?}",
        path.file_name().unwrap().display()
    );
    (equal, total)
}

#[test]
fn recorded_queries_are_answered_as_prometheus_does() {
    let Some(folder) = testkit::shared("golden/promql") else { return };
    let store = MemoryStore::new();
    testkit::load_dataset(&testkit::gunzip(&folder.join("dataset.jsonl.gz")).unwrap(), &store);
    all_files(&folder, &Setup { store: Box::new(store), without: ROUNDED });
}

/// Over the block that the answers were recorded from, alone and merged with a store that has the same samples.
#[test]
fn recorded_queries_are_answered_from_the_block() {
    let Some(folder) = testkit::shared("golden/promql") else { return };
    let open = || block::Blocks::open(&folder.join("tsdb"), &exposition::Registry::new()).unwrap();
    let memory = MemoryStore::new();
    testkit::load_dataset(&testkit::gunzip(&folder.join("dataset.jsonl.gz")).unwrap(), &memory);
    all_files(&folder, &Setup { store: Box::new(open()), without: &[] });
    let merged = Merged::new(vec![Arc::new(memory), Arc::new(open())]);
    let setup = Setup { store: Box::new(merged), without: ROUNDED };
    let mut out = String::new();
    let (equal, total) =
        run(&setup, &folder.join("queries-no-experimental.jsonl"), EngineOptions::default(), &mut out);
    assert_eq!(equal, total, "{out}");
}

fn all_files(folder: &std::path::Path, setup: &Setup) {
    let all = EngineOptions { parse: ParseOptions::all(), ..EngineOptions::default() };
    let delayed = EngineOptions { delayed_name_removal: true, ..all };
    let mut out = String::new();
    let (mut equal, mut total) = (0, 0);
    for (file, options) in [
        ("queries.jsonl", all.clone()),
        ("queries-random.jsonl", all),
        ("queries-no-experimental.jsonl", EngineOptions::default()),
        ("queries-delayed-name-removal.jsonl", delayed),
    ] {
        let (e, t) = run(setup, &folder.join(file), options, &mut out);
        equal += e;
        total += t;
    }
    if let Some(report) = std::env::var_os("GOLDEN_REPORT") {
        std::fs::write(report, &out).unwrap();
    }
    assert_eq!(equal, total, "{}", out.chars().take(4000).collect::<String>());
}
