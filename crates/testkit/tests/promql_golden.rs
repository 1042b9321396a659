//! Every recorded query of Prometheus 3.14 over its recorded data set, answered by the engine.
//!
//! From `golden/promql`, where it is present.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a test

mod answers;

use std::collections::BTreeMap;
use std::sync::Arc;

use answers::{ask, compare};
use promql::{Engine, EngineOptions, ParseOptions};
use serde_json::Value as Json;
use storage::{MemoryStore, Merged, Select};

struct Setup {
    store: Box<dyn Select>,
    /// Rows that are left out.
    without: &'static [&'static str],
}

/// Rows that show the last digits of populations that the reader of the data set's JSON rounds.
const ROUNDED: &[&str] = &["q1685", "q1778", "r4268"];

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

/// Queries with the most samples that Prometheus 3.14 holds for them, at 1700002800 over the block.
const PEAKS: &[(&str, u64)] = &[
    ("1 + 2", 5),
    ("time()", 1),
    ("up", 6),
    ("rate(http_requests_total[5m])", 38),
    ("sum by (job) (rate(http_requests_total[5m]))", 38),
    ("topk(2, memory_bytes)", 13),
    ("quantile by (job) (0.9, memory_bytes)", 13),
    (r#"count_values("v", up)"#, 14),
    ("memory_bytes / on (instance) group_left () sum by (instance) (memory_bytes)", 42),
    ("up and on (instance) memory_bytes", 42),
    ("predict_linear(memory_bytes[10m], 3600)", 53),
    ("max_over_time(rate(http_requests_total[1m])[10m:30s])", 398),
    ("-histogram_count(nh_seconds)", 78),
    ("histogram_quantile(0.9, rate(nh_seconds[5m]))", 541),
    ("nh_schema + nh_schema", 41),
    ("abs(memory_bytes @ 1700001000) + memory_bytes", 60),
    ("timestamp(up)", 12),
    (r#"label_replace(up, "a", "$1", "job", "(.*)")"#, 6),
    ("info(rate(http_requests_total[5m]))", 60),
    ("up smoothed", 240),
    ("absent_over_time(up[5m])", 26),
    ("vector(scalar(sum(up)))", 6),
    ("sum(sum_over_time((up * 2)[5m:1m])) > bool 3", 72),
];

#[test]
fn the_most_samples_held_are_those_that_prometheus_tells() {
    let Some(folder) = testkit::shared("golden/promql") else { return };
    let store = block::Blocks::open(&folder.join("tsdb"), &exposition::Registry::new()).unwrap();
    let engine = Engine::new(EngineOptions { parse: ParseOptions::all(), ..EngineOptions::default() });
    for &(query, peak) in PEAKS {
        let row = serde_json::json!({ "kind": "instant", "query": query, "params": { "time": "1700002800", "stats": "all" } });
        let answer = ask(&engine, &store, &row).unwrap();
        assert_eq!(answer.stats.peak_samples, peak, "{query}");
    }
}
