//! The recordings of Prometheus' parser, where they are there: `golden/parse`, the queries of `golden/promql`, and the
//! expressions of `rules` and `dashboards`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use promql::{ParseOptions, ast_json, parse, pretty};
use serde_json::Value;

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("BINNACLE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    if !root.join("golden/parse").is_dir() {
        println!("skipped: no recordings at {}", root.display());
        return None;
    }
    Some(root)
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Texts of Go's own regexp parser need not be equal.
fn comparable(error: &str) -> String {
    let error = error.strip_prefix("invalid parameter \"query\": ").unwrap_or(error);
    match error.split_once("error parsing regexp: ") {
        Some((head, _)) => format!("{head}error parsing regexp"),
        None => error.to_owned(),
    }
}

#[derive(Default)]
struct Report {
    equal: usize,
    different: Vec<String>,
}

impl Report {
    fn compare(&mut self, what: &str, got: &str, want: &str) {
        // Texts that are not UTF-8 are kept with replacement characters, and printed with them.
        if got == want || got.contains('\u{fffd}') && want.contains("\\xff") {
            self.equal += 1;
        } else {
            self.different.push(format!("{what}\n   got: {got}\n  want: {want}"));
        }
    }

    fn finish(self, name: &str) {
        println!("{name}: {} equal, {} different", self.equal, self.different.len());
        for line in self.different.iter().take(60) {
            println!("{line}");
        }
        assert!(self.different.is_empty(), "{name}: {} differ", self.different.len());
        assert!(self.equal > 0);
    }
}

#[test]
fn trees_and_formatted_text_equal_the_recorded_ones() {
    let Some(root) = shared() else { return };
    let mut report = Report::default();
    for row in rows(&root.join("golden/parse/expressions.jsonl")) {
        let query = row["query"].as_str().unwrap();
        let parsed = parse(query, &ParseOptions::all());
        for (kind, answer) in [("tree", &row["parse_query"]), ("text", &row["format_query"])] {
            let what = format!("{kind} of {query:?}");
            match (&parsed, answer["status"].as_u64()) {
                (_, Some(500)) => {}
                (Ok(expr), Some(200)) if kind == "tree" => {
                    let tree: Value = serde_json::from_str(&ast_json(expr)).unwrap();
                    report.compare(&what, &tree.to_string(), &answer["data"].to_string());
                }
                (Ok(expr), Some(200)) => {
                    report.compare(&what, &pretty(expr), answer["data"].as_str().unwrap());
                }
                (Ok(expr), _) => report.compare(&what, &expr.to_string(), &answer.to_string()),
                (Err(e), _) => {
                    let want = answer["error"].as_str().unwrap_or("no error");
                    report.compare(&what, &comparable(&e.to_string()), &comparable(want));
                }
            }
        }
    }
    report.finish("expressions.jsonl");
}

#[test]
fn printed_forms_and_errors_equal_the_recorded_ones() {
    let Some(root) = shared() else { return };
    let mut report = Report::default();
    for row in rows(&root.join("golden/parse/printed.jsonl")) {
        let text = row["expr"].as_str().unwrap();
        let what = format!("{text:?}");
        match parse(text, &ParseOptions::all()) {
            Ok(expr) => report.compare(&what, &expr.to_string(), row["str"].as_str().unwrap_or("an error")),
            Err(e) => {
                report.compare(
                    &what,
                    &comparable(&e.to_string()),
                    &comparable(row["err"].as_str().unwrap_or("valid")),
                );
                // A byte that was not UTF-8 takes three bytes here.
                if !row["ok"].as_bool().unwrap() && !text.contains('\u{fffd}') {
                    let span = e.as_slice()[0].span;
                    let want = format!("{}..{}", row["start"], row["end"]);
                    report.compare(
                        &format!("span of {what}"),
                        &format!("{}..{}", span.start, span.end),
                        &want,
                    );
                }
            }
        }
    }
    report.finish("printed.jsonl");
}

#[test]
fn recorded_queries_parse_or_fail_as_recorded() {
    let Some(root) = shared() else { return };
    let mut report = Report::default();
    for (file, options) in [
        ("queries", ParseOptions::all()),
        ("queries-random", ParseOptions::all()),
        ("queries-delayed-name-removal", ParseOptions::all()),
        ("queries-no-experimental", ParseOptions::default()),
    ] {
        for row in rows(&root.join(format!("golden/promql/{file}.jsonl"))) {
            let query = row["query"].as_str().unwrap();
            let recorded =
                row["body"]["error"].as_str().filter(|e| e.contains("parse error: ")).unwrap_or("");
            let got = parse(query, &options).map_or_else(|e| e.to_string(), |_| String::new());
            report.compare(&format!("{} {query:?}", row["id"]), &comparable(&got), &comparable(recorded));
        }
    }
    report.finish("golden/promql");
}

/// Every `expr` in the document.
fn collect_expressions(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(expr)) = map.get("expr") {
                out.push(expr.clone());
            }
            map.values().for_each(|v| collect_expressions(v, out));
        }
        Value::Array(list) => list.iter().for_each(|v| collect_expressions(v, out)),
        _ => {}
    }
}

/// Grafana's variables, replaced by values of the kind that they stand for.
fn substitute(expr: &str) -> String {
    let mut out = expr.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "5m"),
        ("$__range_s", "3600"),
        ("$__range", "1h"),
        ("$__interval", "1m"),
        ("$interval", "5m"),
        ("$resolution", "5m"),
        ("${interval}", "5m"),
    ] {
        out = out.replace(variable, value);
    }
    out
}

#[test]
fn rules_and_dashboards_parse() {
    let Some(root) = shared() else { return };
    let mut expressions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["rules", "dashboards"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let found = expressions.entry(path.display().to_string()).or_default();
            match path.extension().and_then(|e| e.to_str()) {
                Some("yml" | "yaml") => {
                    let value: Value = serde_saphyr::from_str(&text).unwrap();
                    collect_expressions(&value, found);
                }
                Some("json") => collect_expressions(&serde_json::from_str(&text).unwrap(), found),
                _ => {}
            }
        }
    }
    let mut report = Report::default();
    for (file, found) in &expressions {
        for expr in found {
            let got = parse(&substitute(expr), &ParseOptions::default());
            report.compare(
                &format!("{file}: {expr}"),
                &got.map_or_else(|e| e.to_string(), |_| String::new()),
                "",
            );
        }
    }
    report.finish("rules and dashboards");
}
