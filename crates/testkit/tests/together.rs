//! Expressions that are evaluated together give what each gives alone, and read less.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Labels, Matcher, Sample};
use promql::{Engine, EngineOptions, Overrides, ParseOptions, Prepared, QueryError, QueryResult};
use storage::{MemoryStore, QueryContext, Request, Select, SelectError, SeriesPart};
use testkit::RandomQueries;

const NAMES: &[&str] = &[
    "http_requests_total",
    "up",
    "cpu_seconds_total",
    "memory_bytes",
    "request_duration_seconds_bucket",
    "set_a",
    "set_b",
    "ramp",
    "noisy",
    "kmetric",
];
const STEP: i64 = 30_000;
const AT: i64 = 1_000_000;

/// Counts how often it is read.
struct Counting {
    store: MemoryStore,
    reads: AtomicUsize,
    /// What it warns of each time.
    warning: Option<&'static str>,
}

impl Counting {
    fn new(seed: u64) -> Self {
        let store = MemoryStore::new();
        let mut random = RandomQueries::new(seed, false);
        for name in NAMES {
            for instance in 0..40 {
                let le = ["0.1", "1", "+Inf"][random.below(3) as usize];
                let (instance, code) = (format!("a{instance}"), ["200", "500"][random.below(2) as usize]);
                let labels = [("__name__", name), ("instance", &&*instance), ("code", &code), ("le", &le)];
                let mut value = 0.0;
                for i in (0..40).filter(|_| random.below(20) != 0).collect::<Vec<_>>() {
                    value += random.below(10) as f64;
                    store.insert(&Labels::from_pairs(labels), [Sample { t: i * STEP, v: value }]).unwrap();
                }
            }
        }
        Counting { store, reads: AtomicUsize::new(0), warning: None }
    }

    fn take_reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl Select for Counting {
    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.warning.iter().for_each(|text| ctx.warnings().add((*text).to_owned()));
        self.store.select(ctx, request)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_names(ctx, min_time, max_time, matchers)
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_values(ctx, name, min_time, max_time, matchers)
    }
}

fn engine(max_samples: u64) -> Engine {
    let parse = ParseOptions::all();
    Engine::new(EngineOptions { threads: 2, parse, max_samples, ..EngineOptions::default() })
}

fn told(result: Result<QueryResult, QueryError>) -> String {
    match result {
        Ok(result) => format!("{:?} {:?} {:?}", result.value, result.warnings, result.infos),
        Err(error) => format!("{}: {error}", error.error_type()),
    }
}

fn alone(engine: &Engine, store: &Counting, queries: &[Prepared]) -> Vec<String> {
    let ask = |query: &Prepared| {
        let ctx = QueryContext::unlimited();
        told(engine.instant(store, &ctx, query.text(), AT, &Overrides::default()))
    };
    queries.iter().map(ask).collect()
}

fn together(
    engine: &Engine,
    store: &Counting,
    queries: &[Prepared],
    version: impl Fn(usize, &[Matcher]) -> usize,
) -> Vec<String> {
    let ctx = QueryContext::unlimited();
    let together = engine.together(store, &ctx, queries, AT, version);
    (0..queries.len()).map(|i| told(together.evaluate(i, &QueryContext::unlimited()))).collect()
}

fn prepared(queries: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Prepared> {
    let options = ParseOptions::all();
    queries.into_iter().filter_map(|query| Prepared::parse(query.as_ref(), &options).ok()).collect()
}

#[test]
fn random_expressions_give_the_same_together_as_alone() {
    let engine = engine(0);
    let (mut apart, mut shared) = (0, 0);
    for seed in 0..6 {
        let store = Counting::new(seed);
        let mut queries = RandomQueries::new(seed, true);
        let queries = prepared((0..100).map(|_| queries.query()));
        let expected = alone(&engine, &store, &queries);
        apart += store.take_reads();
        let found = together(&engine, &store, &queries, |_, _| 0);
        shared += store.take_reads();
        for ((query, found), expected) in queries.iter().zip(&found).zip(&expected) {
            assert_eq!(found, expected, "{}", query.text());
        }
    }
    assert!(3 * shared < 2 * apart, "{shared} of {apart}");
}

#[test]
fn what_several_read_is_read_once_unless_the_store_is_another_by_then() {
    let engine = engine(0);
    let store = Counting::new(1);
    let queries = prepared([
        "sum by (code) (rate(http_requests_total[5m]))",
        "sum without (instance) (rate(http_requests_total[10m]))",
        "http_requests_total",
        "count(http_requests_total offset 1m)",
        "up + up",
        "max(up)",
        "ramp",
    ]);
    let expected = alone(&engine, &store, &queries);
    assert_eq!(store.take_reads(), 7);
    assert_eq!(together(&engine, &store, &queries, |_, _| 0), expected);
    assert_eq!(store.take_reads(), 3);
    assert_eq!(together(&engine, &store, &queries, |i, _| i / 2), expected);
    assert_eq!(store.take_reads(), 4, "two and two, two, one");
}

#[test]
fn limits_and_warnings_are_each_querys_own() {
    let queries = prepared([
        "count(http_requests_total)",
        "count_over_time(http_requests_total[20m])",
        "count(rate(http_requests_total[20m]))",
        "http_requests_total + http_requests_total",
    ]);
    let mut store = Counting::new(2);
    let refused = |answers: &[String]| answers.iter().filter(|text| text.contains("too many")).count();
    // Together they would hold all samples of the twenty minutes, which is more than that.
    for (max_samples, errors) in [(0, 0), (6_000, 0), (100, 1)] {
        let engine = engine(max_samples);
        let expected = alone(&engine, &store, &queries);
        assert!(refused(&expected) >= errors, "{expected:?}");
        assert_eq!(together(&engine, &store, &queries, |_, _| 0), expected);
    }
    store.warning = Some("a part is missing");
    let engine = engine(0);
    let expected = alone(&engine, &store, &queries);
    assert!(expected.iter().all(|text| text.contains("a part is missing")));
    assert_eq!(together(&engine, &store, &queries, |_, _| 0), expected);
}
