//! A part of a store is as if the rest was not there, whatever is asked.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use model::{Labels, Matcher, Sample};
use promql::{Engine, EngineOptions, Overrides, ParseOptions};
use storage::{MemoryStore, Projection, QueryContext, Request, Select, SelectError, SeriesPart, Within};
use testkit::RandomQueries;

/// Looks at what is read.
struct Watched(MemoryStore);

impl Watched {
    /// All that answers such a request is the tenant's.
    fn watch(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<(), SelectError> {
        let request = Request { labels: Projection::All, newest: None, ..request.clone() };
        for labels in self.0.series(ctx, &request)? {
            assert_eq!(labels.get("tenant"), Some("a"), "{:?} leads to {labels}", request.matchers);
        }
        Ok(())
    }
}

impl Select for Watched {
    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        self.watch(ctx, request)?;
        self.0.select(ctx, request)
    }

    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        self.watch(ctx, request)?;
        self.0.series(ctx, request)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        let request = Request { matchers, min_time, max_time, labels: Projection::All, newest: None };
        self.watch(ctx, &request)?;
        self.0.label_names(ctx, min_time, max_time, matchers)
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        let request = Request { matchers, min_time, max_time, labels: Projection::All, newest: None };
        self.watch(ctx, &request)?;
        self.0.label_values(ctx, name, min_time, max_time, matchers)
    }
}

const NAMES: &[&str] = &[
    "http_requests_total",
    "up",
    "target_info",
    "build_info",
    "cpu_seconds_total",
    "temperature_celsius",
    "memory_bytes",
    "request_duration_seconds_bucket",
    "request_duration_seconds_sum",
    "rpc_seconds",
    "odd_bucket",
    "special",
    "flappy",
    "irregular_total",
    "set_a",
    "set_b",
    "one",
    "many",
    "ramp",
    "saw",
    "noisy",
    "kmetric",
    "natsort",
    "http.server.duration",
];
const STEP: i64 = 30_000;
const SAMPLES: i64 = 40;

/// Two stores: of tenant a alone, and of everybody.
fn stores(seed: u64) -> (MemoryStore, MemoryStore) {
    let (own, all) = (MemoryStore::new(), MemoryStore::new());
    let mut random = RandomQueries::new(seed, false);
    for name in NAMES {
        for tenant in ["a", "b", "aa", ""] {
            for (instance, code) in [("a1", "200"), ("b1", "500"), ("c1", "200")] {
                let le = ["0.1", "1", "+Inf"][random.below(3) as usize];
                let mut pairs = vec![
                    ("__name__", *name),
                    ("instance", instance),
                    ("code", code),
                    ("job", "j"),
                    ("le", le),
                ];
                if !tenant.is_empty() {
                    pairs.push(("tenant", tenant));
                }
                let labels = Labels::from_pairs(pairs);
                let mut value = 0.0;
                for i in 0..SAMPLES {
                    value += random.below(10) as f64;
                    if random.below(20) == 0 {
                        continue;
                    }
                    let sample = Sample { t: i * STEP, v: value };
                    all.insert(&labels, [sample]).unwrap();
                    if tenant == "a" {
                        own.insert(&labels, [sample]).unwrap();
                    }
                }
            }
        }
    }
    (own, all)
}

#[test]
fn no_expression_reads_what_is_not_the_tenants() {
    let engine = Engine::new(EngineOptions { parse: ParseOptions::all(), ..EngineOptions::default() });
    let matcher: Arc<[Matcher]> = [Matcher::equal("tenant", "a")].into();
    let by_hand = [
        r#"{__name__=~".+"}"#,
        r#"count by (tenant) ({__name__=~".+"})"#,
        r#"up{tenant="b"}"#,
        r#"up{tenant!="a"}"#,
        r#"up{tenant=~"a|b"} or up{tenant=""} or vector(1)"#,
        r#"absent(up{tenant="b"})"#,
        r#"absent_over_time(up{tenant="b"}[5m])"#,
        r#"label_replace(up, "tenant", "b", "tenant", "a") * on (tenant) group_left () up{tenant="b"}"#,
        r#"info(up, {tenant=~".*"})"#,
        r#"info(up, {__name__=~".+_info"})"#,
        r#"max_over_time(sum by (tenant) (up)[10m:1m] @ 900)"#,
        r#"rate(http_requests_total[5m] offset 2m) unless up{tenant="b"}"#,
        r#"topk(3, {__name__=~".+"})"#,
        r#"count_values("tenant", up)"#,
    ];
    let mut answered = 0;
    for seed in 0..2 {
        let (own, all) = stores(seed);
        let within = Within::new(Arc::new(Watched(all)), Arc::clone(&matcher));
        let mut queries = RandomQueries::new(seed, true);
        let random: Vec<String> = (0..300).map(|_| queries.query()).collect();
        for query in by_hand.iter().map(|query| (*query).to_owned()).chain(random) {
            let ask = |store: &dyn Select| {
                let ctx = QueryContext::unlimited();
                let result =
                    engine.range(store, &ctx, &query, 300_000, 1_200_000, 60_000, &Overrides::default());
                match result {
                    Ok(result) => format!("{:?} {:?} {:?}", result.value, result.warnings, result.infos),
                    Err(error) => error.to_string(),
                }
            };
            let answer = ask(&within);
            answered += usize::from(answer.len() > 200);
            assert_eq!(answer, ask(&own), "{query}");
        }
        let ctx = QueryContext::unlimited();
        let everything = [Matcher::equal("job", "j")];
        for matchers in [&everything[..], &[]] {
            let names = |store: &dyn Select| store.label_names(&ctx, 0, 2_000_000, matchers).unwrap();
            assert_eq!(names(&within), names(&own));
            let values =
                |store: &dyn Select| store.label_values(&ctx, "tenant", 0, 2_000_000, matchers).unwrap();
            assert_eq!(values(&within), ["a"]);
        }
    }
    assert!(answered > 150, "{answered}");
}
