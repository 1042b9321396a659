//! The engine from outside: limits, cancellation, threads.

#![allow(clippy::unwrap_used, missing_docs)] // a test

use std::time::{Duration, Instant};

use model::{Labels, Sample};
use promql::{Engine, EngineOptions, Overrides, QueryError, Value};
use storage::{MemoryStore, QueryContext};

const STEP: i64 = 15_000;

/// `count` counters that rise unevenly.
fn store(count: usize) -> MemoryStore {
    let store = MemoryStore::new();
    for i in 0..count {
        let pairs = [("__name__", "m_total".to_owned()), ("i", i.to_string()), ("mod", (i % 7).to_string())];
        let samples = (0..200).map(|k| Sample { t: k * STEP, v: (k * k) as f64 * 0.1 + i as f64 / 3.0 });
        store.insert(&Labels::from_pairs(pairs), samples).unwrap();
    }
    store
}

fn range(engine: &Engine, store: &MemoryStore, ctx: &QueryContext, query: &str) -> Result<Value, QueryError> {
    engine.range(store, ctx, query, 0, 200 * STEP, STEP, &Overrides::default()).map(|r| r.value)
}

#[test]
fn the_number_of_threads_at_work_does_not_show() {
    let store = store(500);
    let engine = Engine::new(EngineOptions { threads: 4, ..EngineOptions::default() });
    let query = "sum by (mod) (rate(m_total[5m])) / avg by (mod) (m_total)";
    let first = range(&engine, &store, &QueryContext::unlimited(), query).unwrap();
    // Two queries at once take each other's threads away.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_eq!(range(&engine, &store, &QueryContext::unlimited(), query).unwrap(), first);
                }
            });
        }
    });
}

#[test]
fn a_range_selector_alone_has_every_sample_of_its_range() {
    let engine = Engine::new(EngineOptions::default());
    let ask = |query: &str| {
        let ctx = QueryContext::unlimited();
        let answer = engine.instant(&store(2), &ctx, query, 100 * STEP, &Overrides::default()).unwrap();
        match answer.value {
            Value::Matrix(series) => series.iter().map(|s| s.times.len()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask("m_total[5m]"), [20, 20]);
    assert_eq!(ask("m_total[1m] offset 1m"), [4, 4]);
}

#[test]
fn too_many_samples_end_a_query_with_prometheus_words() {
    let store = store(100);
    let engine = Engine::new(EngineOptions { max_samples: 10_000, ..EngineOptions::default() });
    let error = range(&engine, &store, &QueryContext::unlimited(), "m_total").unwrap_err();
    assert_eq!(error.error_type(), "execution");
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    // Groups are all that an aggregation holds.
    assert!(range(&engine, &store, &QueryContext::unlimited(), "sum(m_total)").is_ok());
    // But where the limit is that low, what Prometheus holds besides counts as well.
    let low = Engine::new(EngineOptions { max_samples: 1_000, ..EngineOptions::default() });
    let error = range(&low, &store, &QueryContext::unlimited(), "sum(m_total)").unwrap_err();
    assert_eq!(error.error_type(), "execution");
    let engine = Engine::new(EngineOptions::default());
    let ctx = QueryContext::new(None, 10_000);
    assert_eq!(range(&engine, &store, &ctx, "m_total").unwrap_err().error_type(), "execution");
}

#[test]
fn steps_without_samples_are_bounded_too() {
    let store = store(100);
    let engine = Engine::new(EngineOptions { max_samples: 100_000, ..EngineOptions::default() });
    let at = |query: &str| {
        engine
            .instant(&store, &QueryContext::unlimited(), query, 200 * STEP, &Overrides::default())
            .map(|r| r.value)
            .map_err(|e| e.to_string())
    };
    let refused =
        Err("query processing would load too many samples into memory in query execution".to_owned());
    for query in [
        // No column of these could be had at all.
        "m_total[100y:1s]",
        "max_over_time(m_total[100y:1ms])",
        "sum_over_time(vector(1)[100y:1s])",
        "vector(time())[100y:1s]",
        // A column each of 100 series would be too much, however few samples stand in it.
        "max_over_time(m_total[1d:1s] offset 30m)",
    ] {
        assert_eq!(at(query), refused, "{query}");
    }
    // One series of as many steps, nearly all of them empty, is not.
    assert!(at("max_over_time(m_total{i=\"7\"}[1d:1s] offset 30m)").is_ok());
    assert!(at("max_over_time(m_total[1h:10s])").is_ok());
}

#[test]
fn a_query_stops_at_its_deadline_and_when_cancelled() {
    let store = store(10);
    let engine = Engine::new(EngineOptions::default());
    let late = QueryContext::new(Some(Instant::now() - Duration::from_secs(1)), 0);
    let error = range(&engine, &store, &late, "m_total").unwrap_err();
    assert_eq!(
        (error.error_type(), error.to_string().as_str()),
        ("timeout", "query timed out in expression evaluation")
    );
    let gone = QueryContext::unlimited();
    gone.cancel();
    let error = range(&engine, &store, &gone, "m_total").unwrap_err();
    assert_eq!(
        (error.error_type(), error.to_string().as_str()),
        ("canceled", "query was canceled in expression evaluation")
    );
}

#[test]
fn samples_given_back_can_be_held_again() {
    let store = store(40);
    let engine = Engine::new(EngineOptions { max_samples: 30_000, ..EngineOptions::default() });
    let ctx = QueryContext::new(None, 30_000);
    for _ in 0..10 {
        assert!(range(&engine, &store, &ctx, "sum(m_total) + count(abs(m_total) > 1)").is_ok());
    }
}

#[test]
fn statistics_count_what_selectors_looked_at() {
    let store = store(3);
    let engine = Engine::new(EngineOptions::default());
    let result = engine
        .instant(
            &store,
            &QueryContext::unlimited(),
            "sum(rate(m_total[1m]))",
            100 * STEP,
            &Overrides::default(),
        )
        .unwrap();
    assert_eq!((result.stats.total_queryable_samples, result.stats.series), (12, 3));
}

#[test]
fn what_a_query_looked_at_is_counted_step_by_step() {
    let store = store(2);
    let engine = Engine::new(EngineOptions::default());
    let overrides = Overrides { count_samples: true, ..Overrides::default() };
    // Steps a minute apart; each step's samples, and those that the step before had not seen.
    let cases = [
        ("m_total", [(2, 2), (2, 2), (2, 2)]),
        ("sum(rate(m_total[2m]))", [(16, 16), (16, 8), (16, 8)]),
        ("m_total + m_total @ 600", [(4, 4), (4, 2), (4, 2)]),
        ("max_over_time(m_total[3m:1m])", [(6, 6), (6, 2), (6, 2)]),
        // What a subquery steps over is what counts; read is what was read for that.
        ("max_over_time(rate(m_total[1m])[3m:1m])", [(6, 24), (6, 8), (6, 8)]),
        ("m_total smoothed", [(0, 0), (0, 0), (0, 0)]),
    ];
    for (query, want) in cases {
        let query = query.to_owned();
        let options = promql::ParseOptions::all();
        let engine = Engine::new(EngineOptions { parse: options, ..engine.options().clone() });
        let ctx = QueryContext::unlimited();
        let stats = engine.range(&store, &ctx, &query, 600_000, 720_000, 60_000, &overrides).unwrap().stats;
        let got: Vec<(u64, u64)> = stats.per_step.iter().map(|s| (s.queryable, s.read)).collect();
        assert_eq!(got, want, "{query}");
        assert_eq!(stats.total_queryable_samples, want.iter().map(|w| w.0).sum::<u64>(), "{query}");
        assert_eq!(stats.samples_read, want.iter().map(|w| w.1).sum::<u64>(), "{query}");
    }
}

#[test]
fn a_plan_says_what_each_node_read_and_gave() {
    let store = store(14);
    let engine = Engine::new(EngineOptions::default());
    let overrides = Overrides { explain: true, ..Overrides::default() };
    let query = "sum by (mod) (rate(m_total[2m])) * max_over_time(m_total{i=~\"1.\"}[3m:1m])";
    let ctx = QueryContext::unlimited();
    let result = engine.range(&store, &ctx, query, 600_000, 720_000, 60_000, &overrides).unwrap();
    let plan = result.plan.unwrap();
    assert_eq!((plan.kind, plan.steps, plan.nodes.len()), ("query", 3, 1));
    let join = &plan.nodes[0];
    assert_eq!((join.kind, join.detail.as_str()), ("join", "*, one-to-one"));
    let [aggregate, subquery] = &join.nodes[..] else { panic!("{join:?}") };
    assert_eq!(aggregate.detail, "sum by (mod), while reading");
    assert_eq!((aggregate.series, aggregate.samples), (7, 21));
    let scan = &aggregate.nodes[0];
    assert_eq!((scan.kind, scan.detail.as_str(), scan.series), ("scan", "rate(m_total[2m])", 14));
    let read = scan.read.as_ref().unwrap();
    assert_eq!(read.detail, "m_total, labels mod, 4m of samples");
    assert!(read.series == 14 && read.samples >= 14 * 16, "{read:?}");
    assert_eq!((subquery.kind, subquery.series, subquery.samples), ("subquery", 4, 12));
    assert_eq!(subquery.nodes[0].detail, "m_total{i=~\"1.\"}");
    assert!(join.took >= aggregate.took && aggregate.took >= scan.took);
    let plain = engine.range(&store, &ctx, query, 600_000, 720_000, 60_000, &Overrides::default()).unwrap();
    assert_eq!((plain.plan, plain.value), (None, result.value));
}

#[test]
fn a_query_that_needs_too_much_memory_ends_and_names_the_selector() {
    let store = store(200);
    let options = EngineOptions { max_bytes: 100 * 1024, ..EngineOptions::default() };
    let engine = Engine::new(options);
    let error = range(
        &engine,
        &store,
        &QueryContext::unlimited(),
        "sum(m_total{i=\"7\"}) + on () group_left topk(500, m_total{i!=\"3\"})",
    )
    .unwrap_err();
    assert_eq!(error.error_type(), "execution");
    let text = error.to_string();
    let (what, blame) = text.split_once("; ").unwrap();
    assert_eq!(what, "query would need more than 100KiB of memory (--query.max-memory)");
    assert!(blame.starts_with("most of it is for m_total{i!=\"3\"}, of which it holds "), "{blame}");
    // What streams by is not held.
    assert!(range(&engine, &store, &QueryContext::unlimited(), "sum by (mod) (m_total)").is_ok());
}

#[test]
fn a_query_that_the_process_has_no_memory_for_ends_and_names_the_selector() {
    let store = store(200);
    let engine = Engine::new(EngineOptions::default());
    let budget = storage::MemoryBudget::new(200_000);
    let ctx = QueryContext::new(None, 0).with_memory(budget.account("queries"));
    let error = range(&engine, &store, &ctx, "topk(500, m_total)").unwrap_err().to_string();
    let (what, blame) = error.split_once("; ").unwrap();
    assert_eq!(what, "query was stopped because the memory limit (--memory.limit) is nearly reached");
    assert!(blame.starts_with("most of it is for m_total, of which it holds "), "{blame}");
    assert!(range(&engine, &store, &ctx, "sum by (mod) (m_total)").is_ok());
    drop(ctx);
    assert_eq!(budget.used(), 0);
}

/// `01` is the same number as `1`, and each of them comes before the other: no order at all.
#[test]
fn labels_without_an_order_are_sorted_somehow() {
    let engine =
        Engine::new(EngineOptions { parse: promql::ParseOptions::all(), ..EngineOptions::default() });
    let mut random = 1_usize;
    for _ in 0..300 {
        let store = MemoryStore::new();
        let series = 20 + random % 12;
        for i in 0..series {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pick = random >> 40;
            let value = format!("{}.{}{}", pick % 2, "0".repeat(pick / 2 % 3), pick / 6 % 4);
            let labels = Labels::from_pairs([("__name__", "m"), ("v", &value), ("i", &format!("{i:02}"))]);
            store.insert(&labels, [Sample { t: 0, v: 1.0 }]).unwrap();
        }
        for function in ["sort_by_label", "sort_by_label_desc"] {
            let query = format!("{function}(m, \"v\")");
            let ctx = QueryContext::unlimited();
            let answer = engine.instant(&store, &ctx, &query, 0, &Overrides::default()).unwrap();
            assert!(matches!(answer.value, Value::Vector(all) if all.len() == series), "{query}");
        }
    }
}

#[test]
fn what_is_no_counter_is_known_by_its_type_where_that_is_a_label() {
    let store = MemoryStore::new();
    for (name, kind) in [("a", "counter"), ("b_total", "gauge"), ("c", "histogram"), ("d_total", "")] {
        let labels = Labels::from_pairs([("__name__", name), ("__type__", kind), ("x", name)]);
        store.insert(&labels, (0..20).map(|k| Sample { t: k * STEP, v: k as f64 })).unwrap();
    }
    let infos = |type_and_unit_labels, query: &str| {
        let engine = Engine::new(EngineOptions { type_and_unit_labels, ..EngineOptions::default() });
        let ctx = QueryContext::unlimited();
        engine.instant(&store, &ctx, query, 20 * STEP, &Overrides::default()).unwrap().infos
    };
    let by_label = |metric: &str, kind: &str, place: &str| {
        format!(
            "PromQL info: metric might not be a counter, __type__ label is not set to \"counter\" or \
             \"histogram\", got \"{kind}\": \"{metric}\" ({place})"
        )
    };
    for (query, place) in [
        ("rate(b_total[5m])", "1:6"),
        ("sum(increase(b_total[5m]))", "1:14"),
        ("sum without (__type__) (rate(b_total[5m:]))", "1:1"),
    ] {
        assert_eq!(infos(true, query), [by_label("b_total", "gauge", place)], "{query}");
        assert!(infos(false, query).is_empty(), "{query}");
    }
    let all = infos(true, r#"rate({x=~".+"}[5m])"#);
    assert_eq!(all, [by_label("d_total", "", "1:6"), by_label("b_total", "gauge", "1:6")]);
    assert_eq!(infos(false, r#"rate({x=~".+"}[5m])"#).len(), 2);
}

#[test]
fn a_matching_that_forgets_labels_fails_at_once() {
    let store = MemoryStore::new();
    for i in 0..20_000 {
        let labels = Labels::from_pairs([("__name__", "m"), ("i", &format!("{i:05}"))]);
        store.insert(&labels, [Sample { t: 0, v: 1.0 }, Sample { t: STEP, v: 1.0 }]).unwrap();
    }
    let engine = Engine::new(EngineOptions::default());
    for query in ["vector(1) + on () m", "m + on () m", "m + on () group_left () m"] {
        let ctx = QueryContext::new(Some(Instant::now() + Duration::from_secs(20)), 0);
        let error = engine.range(&store, &ctx, query, 0, STEP, STEP, &Overrides::default()).unwrap_err();
        assert!(
            error.to_string().starts_with(
                "found duplicate series for the match group {} on the right hand-side of the operation: \
                 [{__name__=\"m\", i=\"00000\"}, {__name__=\"m\", i=\"00001\"}];"
            ),
            "{query}: {error}"
        );
    }
}
