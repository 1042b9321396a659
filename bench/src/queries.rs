//! The fixed list of queries, and how one is timed.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::http;

/// Timed runs of a query after the one that warms.
const RUNS: usize = 5;

#[derive(Debug, Clone, Copy)]
enum Form {
    /// At the end of the time range.
    Instant,
    /// Over all of it.
    Range,
    /// A path of the API; the expression is its query string.
    Path(&'static str),
}

/// A query of the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) name: &'static str,
    form: Form,
    expression: &'static str,
}

const fn instant(name: &'static str, expression: &'static str) -> Query {
    Query { name, form: Form::Instant, expression }
}

const fn range(name: &'static str, expression: &'static str) -> Query {
    Query { name, form: Form::Range, expression }
}

const fn path(name: &'static str, path: &'static str, query: &'static str) -> Query {
    Query { name, form: Form::Path(path), expression: query }
}

/// The expression that needs every series.
pub(crate) const FULL_COUNT: &str = r#"count({__name__=~".+"})"#;

/// The queries over a range that cost most: of them the geometric mean is taken.
pub(crate) const HEAVY: [&str; 9] = [
    "rate_by_ns",
    "rate_by_pod",
    "topk_range",
    "hist_quantile",
    "regex",
    "quantile_ot",
    "max_ot_avg",
    "join",
    "ratio",
];

/// `CPU`, `MEM` and `HIST` stand for metrics of the load, `SPAN` for the seconds of the time range, `STEP` for those between steps.
pub(crate) const QUERIES: [Query; 21] = [
    instant("count_all", FULL_COUNT),
    instant("count_last_ot", r#"count(last_over_time({__name__=~".+"}[5m]))"#),
    instant("topk_pods", "topk(10, sum by (namespace, pod) (rate(CPU[5m])))"),
    range("rate_by_ns", "sum by (namespace) (rate(CPU[5m]))"),
    range("rate_by_pod", r#"sum by (namespace, pod) (rate(CPU{container!=""}[5m]))"#),
    range("one_ns_panel", r#"sum by (pod) (rate(CPU{namespace="kafka",container!=""}[5m]))"#),
    range("topk_range", "topk(10, MEM)"),
    range("hist_quantile", "histogram_quantile(0.99, sum by (le, verb) (rate(HIST[5m])))"),
    range(
        "regex",
        r#"sum by (namespace) (MEM{pod=~".*-(api|cache|proxy).*|.*er-[0-9]+-.*", namespace!~"dev-.*|sandbox-.*"})"#,
    ),
    range(
        "label_replace",
        r#"count by (app) (label_replace(kube_pod_info, "app", "$1", "pod", "(.*)-[0-9a-f]+-[0-9a-f]+"))"#,
    ),
    range("quantile_ot", "max by (namespace) (quantile_over_time(0.9, MEM[5m]))"),
    range("max_ot_avg", "avg by (namespace) (max_over_time(MEM[5m]))"),
    range(
        "join",
        r#"sum by (node) (rate(CPU{container!=""}[5m]) * on (namespace, pod) group_left (node) (max by (namespace, pod, node) (kube_pod_info)))"#,
    ),
    range(
        "ratio",
        r#"sum by (namespace, pod) (rate(CPU{container!=""}[5m])) / (sum by (namespace, pod) (MEM{container!=""}) > 0)"#,
    ),
    range("phase_filter", "count by (namespace, phase) (kube_pod_status_phase == 1)"),
    range("last_ot_all", r#"count by (job) (last_over_time({__name__=~"container_.*"}[5m]))"#),
    instant("subquery", "max_over_time(sum by (namespace) (rate(CPU[1m]))[SPANs:STEPs])"),
    range("raw_export", r#"MEM{namespace=~"kafka|redis|vault"}"#),
    path("api_series", "/api/v1/series", "match[]=MEM{namespace=\"kafka\"}"),
    path("api_labels", "/api/v1/labels", ""),
    path("api_pod_values", "/api/v1/label/pod/values", ""),
];

/// The time that the queries are about, in Unix seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeRange {
    pub(crate) start: f64,
    pub(crate) end: f64,
    /// Between the steps of queries over a range.
    pub(crate) step: u32,
}

/// What was seen of a query.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Timed {
    /// Milliseconds, the median of the timed runs.
    pub(crate) millis: f64,
    /// Series, or values, of the answer.
    pub(crate) results: usize,
}

impl Query {
    /// Runs the query once to warm up and then a few times.
    pub(crate) fn time(&self, port: u16, suffix: &str, range: TimeRange) -> Result<Timed> {
        let answer = self.answer(port, suffix, range)?;
        let results = count_results(&answer).with_context(|| self.name)?;
        drop(answer);
        let mut millis = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let start = Instant::now();
            self.answer(port, suffix, range)?;
            millis.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        millis.sort_by(f64::total_cmp);
        Ok(Timed { millis: millis[RUNS / 2], results })
    }

    /// What the query answers.
    pub(crate) fn answer(&self, port: u16, suffix: &str, range: TimeRange) -> Result<Vec<u8>> {
        http::get(port, &(self.path(range) + suffix))
    }

    fn path(&self, TimeRange { start, end, step }: TimeRange) -> String {
        let span = format!("{:.0}", (end - start).max(1.0));
        let expression = self
            .expression
            .replace("CPU", "container_cpu_usage_seconds_total")
            .replace("MEM", "container_memory_working_set_bytes")
            .replace("HIST", "apiserver_request_duration_seconds_bucket")
            .replace("SPAN", &span)
            .replace("STEP", &step.to_string());
        match self.form {
            Form::Instant => instant_path(&expression, end),
            Form::Range => {
                let expression = http::encode(&expression);
                format!("/api/v1/query_range?query={expression}&start={start:.3}&end={end:.3}&step={step}")
            }
            Form::Path(path) => {
                let matcher =
                    expression.strip_prefix("match[]=").map(|m| format!("match[]={}&", http::encode(m)));
                format!("{path}?{}start={start:.3}&end={end:.3}", matcher.unwrap_or_default())
            }
        }
    }
}

/// The path of an instant query.
pub(crate) fn instant_path(expression: &str, time: f64) -> String {
    format!("/api/v1/query?query={}&time={time:.3}", http::encode(expression))
}

/// The number that an instant query with one result answers; 0 without a result.
pub(crate) fn single_value(port: u16, expression: &str, time: f64, suffix: &str) -> Result<f64> {
    let answer = http::get(port, &(instant_path(expression, time) + suffix))?;
    let answer: Value = serde_json::from_slice(&answer)?;
    match answer.pointer("/data/result/0/value/1") {
        Some(value) => Ok(value.as_str().context("not a number")?.parse()?),
        None => Ok(0.0),
    }
}

fn count_results(answer: &[u8]) -> Result<usize> {
    let answer: Value = serde_json::from_slice(answer)?;
    let list = answer.pointer("/data/result").or_else(|| answer.pointer("/data"));
    Ok(list.and_then(Value::as_array).context("no list of results")?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_ask_about_the_time_range() {
        let range = TimeRange { start: 1000.0, end: 1180.5, step: 15 };
        let of = |name| QUERIES.iter().find(|query| query.name == name).unwrap().path(range);
        assert_eq!(of("api_labels"), "/api/v1/labels?start=1000.000&end=1180.500");
        assert!(of("subquery").contains("%5B180s%3A15s%5D"), "{}", of("subquery"));
        assert!(of("subquery").ends_with("&time=1180.500"));
        assert!(
            of("topk_range")
                .contains("query=topk%2810%2C%20container_memory_working_set_bytes%29&start=1000.000")
        );
        assert!(of("api_series").contains("match[]=container_memory_working_set_bytes%7B"));
    }

    #[test]
    fn results_are_counted_in_every_form() {
        let cases: [(&str, usize); 3] = [
            (r#"{"status":"success","data":{"resultType":"vector","result":[{},{}]}}"#, 2),
            (r#"{"status":"success","data":["a"]}"#, 1),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#, 0),
        ];
        for (answer, expected) in cases {
            assert_eq!(count_results(answer.as_bytes()).unwrap(), expected);
        }
        assert!(count_results(b"{}").is_err());
    }
}
