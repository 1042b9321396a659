//! The metrics of the database are Prometheus': names, types and help texts, and what is counted when.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::time::Duration;

use exposition::{MetricKind, MetricValue, Registry};
use model::{Labels, Matcher};
use storage::{Affinity, Append, Batch, BatchSample, Outcome};
use tsdb::{Db, DbOptions, HeadOptions};

#[test]
fn every_metric_of_prometheus_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let head = HeadOptions { out_of_order_window: Duration::from_secs(60), ..HeadOptions::default() };
    let db = Db::open(dir.path(), DbOptions { head, ..DbOptions::default() }, &registry).unwrap();
    let ours: BTreeMap<String, (&str, String)> = registry
        .gather()
        .into_iter()
        .map(|family| {
            let kind = match family.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
                MetricKind::Summary => "summary",
                _ => "other",
            };
            (family.name, (kind, family.help))
        })
        .collect();
    // As Prometheus 3.14.0 shows them.
    let mut wrong = Vec::new();
    for line in include_str!("../testdata/metrics.txt").lines() {
        let mut words = line.splitn(4, ' ').skip(1);
        let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        match ours.get(name) {
            None if what == "TYPE" => wrong.push(format!("{name} is missing")),
            Some((kind, _)) if what == "TYPE" && *kind != rest => wrong.push(format!("{name} is a {rest}")),
            Some((_, help)) if what == "HELP" && help != rest => {
                wrong.push(format!("{name}: {rest}\n  {help}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(db);
}

/// The value of a metric, or its count.
fn count(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name).unwrap();
    match family.metrics[0].value {
        MetricValue::Float(v) => v,
        MetricValue::Histogram { count, .. } | MetricValue::Summary { count, .. } => count as f64,
    }
}

/// A multiple of a minute.
const START: i64 = 1_700_000_040_000;

/// Appends so many samples, a second apart, to one series.
fn append(db: &Db, from: i64, samples: i64) {
    for i in 0..samples {
        let series = db.resolve(Affinity(1), &Labels::from_pairs([("__name__", "m")])).unwrap().series;
        let mut batch = Batch::default();
        batch.samples.push(BatchSample { series, t: from + i * 1_000, v: (i % 7) as f64 });
        let mut outcome = Outcome::default();
        db.append(&batch, &mut outcome).unwrap();
        assert_eq!(outcome.rejected, []);
    }
}

/// With blocks of a minute.
fn options() -> DbOptions {
    let head = HeadOptions {
        chunk_range: Duration::from_secs(60),
        out_of_order_window: Duration::from_secs(3600),
        samples_per_chunk: 20,
        ..HeadOptions::default()
    };
    DbOptions { head, max_block: Duration::from_secs(60), ..DbOptions::default() }
}

#[test]
fn chunks_that_a_start_finds_count_as_created() {
    let dir = tempfile::tempdir().unwrap();
    let created = |registry: &Registry| count(registry, "prometheus_tsdb_head_chunks_created_total");
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    append(&db, START, 50);
    let before = created(&registry);
    assert!(before >= 3.0);
    drop(db);
    let registry = Registry::new();
    let _db = Db::open(dir.path(), options(), &registry).unwrap();
    assert_eq!(created(&registry), before);
    assert_eq!(count(&registry, "prometheus_tsdb_head_chunks"), before);
}

#[test]
fn truncations_are_counted_when_a_block_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    let seen = || {
        let gc = count(&registry, "prometheus_tsdb_head_gc_duration_seconds");
        (count(&registry, "prometheus_tsdb_head_truncations_total"), gc)
    };
    append(&db, START, 80);
    for _ in 0..3 {
        db.upkeep(START + 80_000, true).unwrap();
        assert_eq!(seen(), (0.0, 0.0));
    }
    append(&db, START + 80_000, 20);
    for _ in 0..3 {
        db.upkeep(START + 100_000, true).unwrap();
        assert_eq!(seen(), (1.0, 1.0));
    }
}

#[test]
fn chunks_are_measured_when_a_block_is_cut_and_when_it_is_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    append(&db, START, 100);
    db.upkeep(START + 100_000, true).unwrap();
    let seen = || {
        ["size_bytes", "samples", "range_seconds"]
            .map(|what| count(&registry, &format!("prometheus_tsdb_compaction_chunk_{what}")))
    };
    let [cut, ..] = seen();
    assert!(cut > 0.0);
    assert_eq!(seen(), [cut; 3]);
    db.delete(&[Matcher::equal("__name__", "m")], START, START + 1_000, START).unwrap();
    db.clean_tombstones(START + 100_000).unwrap();
    assert_eq!(seen(), [cut * 2.0; 3]);
}

#[test]
fn compression_of_both_logs_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    let mut batch = Batch::default();
    for i in 0..2_000 {
        let labels = Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())]);
        let series = db.resolve(Affinity(1), &labels).unwrap().series;
        batch.samples.push(BatchSample { series, t: START, v: 1.0 });
    }
    db.append(&batch, &mut Outcome::default()).unwrap();
    let saved = |log: &str| count(&registry, &format!("prometheus_tsdb_{log}_record_bytes_saved_total"));
    assert!(saved("wal") > 0.0);
    assert_eq!(saved("out_of_order_wbl"), 0.0);
    batch.samples.iter_mut().for_each(|sample| sample.t -= 1_000);
    db.append(&batch, &mut Outcome::default()).unwrap();
    assert!(saved("out_of_order_wbl") > 0.0);
}
