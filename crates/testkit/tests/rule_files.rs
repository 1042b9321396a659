//! Rules as clusters have them (`shared/rules`: kube-prometheus) load, print as they are read, and run without error.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::{RuleFileOptions, load_rules};
use exposition::Registry;
use model::{Labels, MatchOp, Matcher, Sample};
use promql::ast::Expr;
use promql::{Engine, EngineOptions, ParseOptions, parse};
use rules::{AlertToSend, GroupOptions, Health, Manager, ManagerOptions, Notify, RuleKind, Settings, Time};
use storage::{MemoryBudget, MemoryStore};
use testkit::shared;

/// In seconds.
const NOW: i64 = 1_795_000_000;

struct Nobody;

impl Notify for Nobody {
    fn notify(&self, _: Vec<AlertToSend>) {}
}

fn selectors(expr: &Expr, each: &mut impl FnMut(&[Matcher])) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(selector) => each(&selector.matchers),
        Expr::Matrix(matrix) => each(&matrix.selector.matchers),
        Expr::Subquery(subquery) => selectors(&subquery.expr, each),
        Expr::Paren(paren) => selectors(&paren.expr, each),
        Expr::Unary(unary) => selectors(&unary.expr, each),
        Expr::Binary(binary) => {
            selectors(&binary.left, each);
            selectors(&binary.right, each);
        }
        Expr::Call(call) => call.args.iter().for_each(|arg| selectors(arg, each)),
        Expr::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| selectors(param, each));
            selectors(&aggregate.expr, each);
        }
    }
}

/// One series of each metric that the rules read and none of them records, with the labels that the first to ask for it wants.
fn store(groups: &[GroupOptions]) -> Arc<MemoryStore> {
    let rules = || groups.iter().flat_map(|group| &group.rules);
    let mut metrics: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for rule in rules() {
        let expr = parse(&rule.expr, &ParseOptions::default()).unwrap();
        selectors(&expr, &mut |matchers| {
            let fixed = |m: &&Matcher| m.op == MatchOp::Equal && !m.value.is_empty();
            let Some(name) = matchers.iter().filter(fixed).find(|m| &*m.name == "__name__") else { return };
            let labels = metrics.entry(name.value.to_string()).or_default();
            for common in ["namespace", "pod", "container", "instance", "job", "node", "cluster", "workload"]
            {
                labels.entry(common.to_owned()).or_insert_with(|| common.to_uppercase());
            }
            if name.value.ends_with("_bucket") {
                labels.insert("le".to_owned(), "+Inf".to_owned());
            }
            for m in matchers.iter().filter(fixed) {
                labels.entry(m.name.to_string()).or_insert_with(|| m.value.to_string());
            }
        });
    }
    for rule in rules().filter(|rule| rule.kind == RuleKind::Recording) {
        metrics.remove(&rule.name);
    }
    let store = MemoryStore::new();
    for labels in metrics.values() {
        let samples = (0..240).map(|i| Sample { t: (NOW - 30 * (240 - i)) * 1000, v: (i * i) as f64 });
        store.insert(&Labels::from_pairs(labels), samples).unwrap();
    }
    Arc::new(store)
}

#[test]
fn rules_of_clusters_load_print_as_they_are_read_and_run() {
    let Some(folder) = shared("rules") else { return };
    let mut groups = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let loaded = load_rules(std::fs::read(&path).unwrap(), &RuleFileOptions::default());
            assert!(loaded.refusals.is_empty(), "{}: {:?}", path.display(), loaded.refusals);
            let file = path.display().to_string();
            let of_file = loaded.file.groups.into_iter();
            groups.extend(of_file.map(|group| group.to_options(&file, Duration::from_secs(30))));
        }
    }
    let rules = || groups.iter().flat_map(|group| &group.rules);
    assert_eq!((rules().filter(|rule| rule.kind == RuleKind::Recording).count(), rules().count()), (95, 234));
    for rule in rules() {
        let expr = parse(&rule.expr, &ParseOptions::default()).unwrap();
        let printed = parse(&expr.to_string(), &ParseOptions::default()).unwrap();
        assert_eq!(printed.to_string(), expr.to_string(), "{}", rule.name);
    }

    let store = store(&groups);
    let engine = Arc::new(Engine::new(EngineOptions::default()));
    let (reader, appender) = (Arc::clone(&store) as _, Arc::clone(&store) as _);
    let options = ManagerOptions::new(engine, reader, appender, Arc::new(Nobody), MemoryBudget::new(0));
    let manager = Manager::new(options, &Registry::new());
    manager.apply(manager.prepare(groups).unwrap(), Settings::default());
    for i in 0..4 {
        for group in manager.groups() {
            group.evaluate(Time::from_seconds(NOW + 30 * i));
        }
    }
    let series = store.series_count();
    let groups = manager.groups();
    for (group, rule) in groups.iter().flat_map(|group| group.rules().iter().map(move |rule| (group, rule))) {
        let status = rule.status();
        let (group, rule) = (group.name(), rule.name());
        assert_eq!(status.health, Health::Good, "{group} {rule}: {:?}", status.last_error);
    }
    let with_alerts = |rule: &&rules::Rule| !rule.active_alerts().is_empty();
    let active = groups.iter().flat_map(|group| group.rules()).filter(with_alerts).count();
    assert!(active >= 10 && series >= 200, "{active} rules with alerts, {series} series");
}
