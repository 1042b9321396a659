//! What bounds the number of series: creation is refused, and everything else goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use exposition::{MetricValue, Registry};
use model::Labels;
use storage::{Affinity, Append, AppendError, Batch, BatchSample, MemoryBudget, Outcome, SeriesRef};
use tsdb::{Head, HeadOptions};

use support::named;

fn open(dir: &std::path::Path, options: HeadOptions) -> (Head, Registry) {
    let registry = Registry::new();
    (Head::open(dir, options, &registry).unwrap(), registry)
}

fn resolve(head: &Head, labels: &Labels) -> Result<SeriesRef, String> {
    match head.resolve(Affinity(1), labels) {
        Ok(resolved) => Ok(resolved.series),
        Err(AppendError::SeriesLimit(text)) => Err(text),
        Err(other) => panic!("{other}"),
    }
}

fn refused(registry: &Registry, reason: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|f| f.name == "binnacle_tsdb_head_series_refused_total").unwrap();
    let metric = family.metrics.iter().find(|m| m.labels.get("reason") == Some(reason)).unwrap();
    match metric.value {
        MetricValue::Float(v) => v,
        _ => panic!("{:?}", metric.value),
    }
}

#[test]
fn more_new_series_in_a_minute_than_allowed_are_refused_and_known_ones_found() {
    let dir = tempfile::tempdir().unwrap();
    let (head, registry) =
        open(dir.path(), HeadOptions { max_series_per_minute: 3, ..HeadOptions::default() });
    for i in 0..3 {
        resolve(&head, &named("a", i)).unwrap();
    }
    let text = resolve(&head, &named("a", 3)).unwrap_err();
    assert_eq!(text, "the limit of 3 new series a minute (--storage.tsdb.max-series-per-minute) is reached");
    for i in 0..3 {
        resolve(&head, &named("a", i)).unwrap();
    }
    assert_eq!(head.series_count(), 3);
    assert_eq!(refused(&registry, "max_series_per_minute").to_string(), "1");
}

#[test]
fn what_targets_report_about_themselves_is_created_beyond_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryBudget::new(1000);
    memory.account("others").set(1000);
    let options = HeadOptions { max_series: 1, max_series_per_minute: 1, memory, ..HeadOptions::default() };
    let head = Head::open_replaying(dir.path(), options, &Registry::new()).unwrap();
    for _ in 0..2 {
        resolve(&head, &named("a", 0)).unwrap_err();
        for i in 0..3 {
            let series = head.resolve_report(Affinity(1), &named("up", i)).unwrap().series;
            let batch = Batch { samples: vec![BatchSample { series, t: 1_000, v: 1.0 }], ..Batch::default() };
            head.append(&batch, &mut Outcome::default()).unwrap();
        }
        head.replay().unwrap();
        assert_eq!(head.series_count(), 3);
    }
}

#[test]
fn series_of_the_log_are_not_new() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions { max_series_per_minute: 3, ..HeadOptions::default() };
    let (head, _) = open(dir.path(), HeadOptions::default());
    for i in 0..20 {
        let series = resolve(&head, &named("a", i)).unwrap();
        let batch = Batch { samples: vec![BatchSample { series, t: 1_000, v: 1.0 }], ..Batch::default() };
        head.append(&batch, &mut Outcome::default()).unwrap();
    }
    drop(head);
    let head = Head::open_replaying(dir.path(), options, &Registry::new()).unwrap();
    for i in 0..20 {
        resolve(&head, &named("a", i)).unwrap();
    }
    head.replay().unwrap();
    assert_eq!(head.series_count(), 20);
    for i in 0..23 {
        resolve(&head, &named("a", i)).unwrap();
    }
    resolve(&head, &named("a", 23)).unwrap_err();
}

#[test]
fn near_the_memory_limit_new_series_are_refused_and_known_ones_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryBudget::new(64 << 20);
    let (head, registry) = open(dir.path(), HeadOptions { memory: memory.clone(), ..HeadOptions::default() });
    let known = resolve(&head, &named("a", 0)).unwrap();
    let others = memory.account("others");
    others.set(63 << 20);
    let text = resolve(&head, &named("a", 1)).unwrap_err();
    assert_eq!(text, "the memory limit of 64MiB (--memory.limit) is nearly reached: no series are created");
    assert_eq!(refused(&registry, "memory").to_string(), "1");
    assert_eq!(resolve(&head, &named("a", 0)), Ok(known));
    for t in 0..1_000 {
        let samples = vec![BatchSample { series: known, t, v: t as f64 }];
        let mut outcome = Outcome::default();
        head.append(&Batch { samples, ..Batch::default() }, &mut outcome).unwrap();
        assert_eq!(outcome.appended, 1);
    }
    others.set(0);
    resolve(&head, &named("a", 1)).unwrap();
}

#[test]
fn the_head_accounts_for_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryBudget::default();
    let (head, _) = open(dir.path(), HeadOptions { memory: memory.clone(), ..HeadOptions::default() });
    for i in 0..100 {
        resolve(&head, &named("a", i)).unwrap();
    }
    let estimated = memory.used();
    assert!((10_000..10_000_000).contains(&estimated), "{estimated}");
    head.tidy().unwrap();
    assert_eq!(memory.components(), [("head", head.memory() as u64)]);
}

#[test]
fn what_many_series_took_is_given_back_when_they_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (head, _) = open(dir.path(), HeadOptions::default());
    let append = |from: usize, to: usize, t: i64| {
        let mut batch = Batch::default();
        for i in from..to {
            let series = resolve(&head, &named("a", i)).unwrap();
            batch.samples.push(BatchSample { series, t, v: i as f64 });
        }
        let mut outcome = Outcome::default();
        head.append(&batch, &mut outcome).unwrap();
        assert_eq!(outcome.appended, to - from);
    };
    append(0, 100, 1_000);
    let few = head.memory();
    for round in 1..3 {
        append(100, 60_000, round * 10_000);
        assert_eq!(head.series_count(), 60_000);
        let many = head.memory();
        append(0, 100, round * 10_000 + 1_000);
        for _ in 0..3 {
            head.truncate(round * 10_000 + 1_000).unwrap();
        }
        assert_eq!(head.series_count(), 100);
        assert!(head.memory() < few.max(many / 3), "{} of {many}, {few} before", head.memory());
    }
}
