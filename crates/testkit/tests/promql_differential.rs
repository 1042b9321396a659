//! Random expressions over random data: the evaluator by series and columns against the reference by steps.
//! `MORE=50` in the environment runs fifty times as many cases.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // a test

use model::{Labels, STALE_NAN, Sample};
use promql::{Engine, EngineOptions, Overrides, ParseOptions, Value, parse};
use proptest::prelude::*;
use storage::{MemoryStore, QueryContext};
use testkit::reference::{Data, Reference, StepValue};

const START: i64 = 1_000_000;

fn sample_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0..50i32).prop_map(f64::from),
        4 => -100.0..100.0f64,
        1 => Just(STALE_NAN),
        1 => Just(f64::NAN),
    ]
}

/// Series of three metrics, scraped at uneven times, with gaps and staleness markers.
fn data() -> impl Strategy<Value = Data> {
    let series = proptest::collection::vec((1_000..40_000i64, sample_value(), any::<bool>()), 0..60);
    proptest::collection::vec(series, 9).prop_map(|all| {
        let mut data = Data::new();
        for (i, points) in all.into_iter().enumerate() {
            let labels = Labels::from_pairs([
                ("__name__", ["a_total", "b", "c"][i % 3]),
                ("x", ["1", "2", "3"][i / 3]),
                ("y", ["p", "q"][i % 2]),
            ]);
            let mut t = START - 600_000;
            let mut total = 0.0;
            let mut samples = Vec::new();
            for (gap, v, reset) in points {
                t += gap;
                total = if reset && v > 40.0 { 0.0 } else { total + v.abs() };
                let v = if i % 3 == 0 && !v.is_nan() { total } else { v };
                samples.push(Sample { t, v });
            }
            data.push((labels, samples));
        }
        data
    })
}

fn duration() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["15s", "1m", "95s", "5m"])
}

fn selector() -> impl Strategy<Value = String> {
    (
        prop::sample::select(vec![
            "a_total",
            "b",
            "c",
            r#"b{x="1"}"#,
            r#"c{x=~"1|2"}"#,
            r#"a_total{y!="p"}"#,
        ]),
        prop::option::weighted(
            0.2,
            prop::sample::select(vec![" offset 1m", " offset -30s", " @ 1000", " @ end()"]),
        ),
    )
        .prop_map(|(s, modifier)| format!("{s}{}", modifier.unwrap_or("")))
}

fn matrix() -> impl Strategy<Value = String> {
    (selector(), duration()).prop_map(|(s, d)| match s.split_once(' ') {
        Some((s, modifier)) => format!("{s}[{d}] {modifier}"),
        None => format!("{s}[{d}]"),
    })
}

fn window_call(matrix: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let functions = vec![
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "changes",
        "resets",
        "sum_over_time",
        "avg_over_time",
        "count_over_time",
        "min_over_time",
        "max_over_time",
        "last_over_time",
        "first_over_time",
        "present_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "deriv",
    ];
    prop_oneof![
        9 => (prop::sample::select(functions), matrix.clone()).prop_map(|(f, m)| format!("{f}({m})")),
        1 => (prop::sample::select(vec!["-1", "0", "0.3", "0.9", "1"]), matrix.clone())
            .prop_map(|(q, m)| format!("quantile_over_time({q}, {m})")),
        1 => matrix.prop_map(|m| format!("predict_linear({m}, 60)")),
    ]
}

fn scalar() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["0", "2", "-1.5", "time()", "scalar(b{x=\"1\"})", "(time() % 7)"])
        .prop_map(str::to_owned)
}

fn vector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![selector(), window_call(matrix().boxed())];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let grouping = prop::sample::select(vec!["", " by (x)", " by (x, y)", " without (x)", " without ()"]);
        let operators = vec!["+", "-", "*", "/", "%", "==", "!=", ">", "<=", "> bool", "and", "or", "unless"];
        let matching = prop::sample::select(vec!["", " on (x)", " ignoring (y)", " on (x, y)", " on ()"]);
        let group = prop::sample::select(vec!["", "", " group_left ()", " group_right (y)"]);
        prop_oneof![
            (
                prop::sample::select(vec!["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"]),
                grouping.clone(),
                inner.clone()
            )
                .prop_map(|(op, by, v)| format!("{op}{by} ({v})")),
            (prop::sample::select(vec!["0.2", "0.5", "2"]), grouping, inner.clone())
                .prop_map(|(q, by, v)| format!("quantile{by} ({q}, {v})")),
            (inner.clone(), prop::sample::select(operators), matching, group, inner.clone()).prop_map(
                |(a, op, on, group, b)| {
                    let set = matches!(op, "and" | "or" | "unless");
                    let group = if set || on.is_empty() || (on == " on (x, y)" && group.contains('y')) {
                        ""
                    } else {
                        group
                    };
                    format!("({a}) {op}{on}{group} ({b})")
                }
            ),
            (inner.clone(), prop::sample::select(vec!["+", "*", "/", "<", ">= bool"]), scalar())
                .prop_map(|(v, op, s)| format!("({v}) {op} {s}")),
            (scalar(), prop::sample::select(vec!["-", ">"]), inner.clone())
                .prop_map(|(s, op, v)| format!("{s} {op} ({v})")),
            (prop::sample::select(vec!["abs", "ceil", "sqrt", "sgn"]), inner.clone())
                .prop_map(|(f, v)| format!("{f}({v})")),
            inner.clone().prop_map(|v| format!("-({v})")),
            window_call(
                (inner, duration(), prop::sample::select(vec!["", "20s"]))
                    .prop_map(|(v, range, step)| format!("({v})[{range}:{step}]"))
                    .boxed()
            ),
        ]
    })
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * (a.abs() + b.abs()).max(1e-3)
}

/// Step by step, the points of a range query.
fn by_steps(value: &Value, t: i64) -> Vec<(Labels, f64)> {
    let Value::Matrix(series) = value else { panic!("{value:?}") };
    let mut out: Vec<(Labels, f64)> = Vec::new();
    for s in series {
        if let Ok(i) = s.times.binary_search(&t) {
            out.push((s.labels.clone(), s.values[i]));
        }
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400 * std::env::var("MORE").map_or(1, |m| m.parse().unwrap()), max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn columns_and_steps_agree(data in data(), query in vector(), step in prop::sample::select(vec![7_000i64, 30_000, 120_000]), count in 1..12i64, threads in 1..4usize) {
        let store = MemoryStore::new();
        for (labels, samples) in &data {
            store.insert(labels, samples.iter().copied()).unwrap();
        }
        let options = ParseOptions::all();
        let expr = parse(&query, &options).map_err(|e| TestCaseError::fail(format!("{query}: {e}")))?;
        let engine = Engine::new(EngineOptions { threads, parse: options, ..EngineOptions::default() });
        let end = START + step * count;
        let got = engine.range(&store, &QueryContext::unlimited(), &query, START, end, step, &Overrides::default());
        let reference = Reference { data: &data, lookback: 300_000, default_step: 60_000, bounds: (START, end) };
        let mut failed = None;
        let mut wanted = Vec::new();
        for i in 0..=count {
            let t = START + i * step;
            match reference.value(&expr, t) {
                StepValue::Failed(e) => failed = failed.or(Some(e)),
                StepValue::Scalar(v) => wanted.push((t, vec![(Labels::empty(), v)])),
                StepValue::Vector(mut v) => {
                    v.sort_by(|a, b| a.0.cmp(&b.0));
                    wanted.push((t, v));
                }
            }
        }
        match (got, failed) {
            (Err(_), Some(_)) => {}
            (Err(e), None) => prop_assert!(false, "{query}: {e}"),
            (Ok(_), Some(e)) => prop_assert!(false, "{query}: no error, but {e}"),
            (Ok(got), None) => {
                for (t, want) in wanted {
                    let got = by_steps(&got.value, t);
                    let same = got.len() == want.len()
                        && got.iter().zip(&want).all(|(g, w)| g.0 == w.0 && close(g.1, w.1));
                    prop_assert!(same, "{query} at {t}: {got:?}, want {want:?}");
                }
            }
        }
    }
}
