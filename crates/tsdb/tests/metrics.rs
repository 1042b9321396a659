//! The metrics of the database are Prometheus': names, types and help texts, and what is counted when.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use exposition::{MetricKind, MetricValue, Registry};
use model::{Labels, Matcher, STALE_NAN};
use storage::{Affinity, Append, Batch, BatchHistogram, BatchSample, Outcome};
use tsdb::{Db, DbOptions, FloatEncoding, Head, HeadOptions};

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
fn sizes_of_directories_are_those_of_the_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0.0;
    for start in 0..2 {
        let registry = Registry::new();
        let db = Db::open(dir.path(), options(), &registry).unwrap();
        let size = || count(&registry, "prometheus_tsdb_wal_storage_size_bytes");
        assert!(size() >= before, "start {start}: {}", size());
        append(&db, START + start * 40_000, 40);
        let on_disk: u64 = std::fs::read_dir(dir.path().join("wal"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap())
            .map(|meta| if meta.is_file() { meta.len() } else { 0 })
            .sum();
        assert!(on_disk > 0);
        assert_eq!(size(), on_disk as f64, "start {start}");
        assert!(count(&registry, "prometheus_tsdb_head_chunks_storage_size_bytes") > 0.0);
        before = size();
    }
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

#[test]
fn what_the_newest_samples_are_is_counted_as_they_come() {
    #[derive(Clone, Copy)]
    enum New {
        Float(f64),
        Histogram(u64),
    }
    use New::{Float, Histogram};
    let kinds = [
        HeadOptions::default(),
        HeadOptions { float_encoding: FloatEncoding::Xor2, ..HeadOptions::default() },
        HeadOptions { start_times: true, snapshot_on_shutdown: true, ..HeadOptions::default() },
    ];
    for options in kinds {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        let head = Head::open(dir.path(), options.clone(), &registry).unwrap();
        let seen = |registry: &Registry| {
            ["stale_series", "native_histogram_series", "native_histogram_buckets"]
                .map(|what| count(registry, &format!("prometheus_tsdb_head_{what}")))
        };
        // What comes to which series, and the metrics after it.
        let steps = [
            (0, Float(1.0), [0.0, 0.0, 0.0]),
            (1, Float(STALE_NAN), [1.0, 0.0, 0.0]),
            (0, Float(STALE_NAN), [2.0, 0.0, 0.0]),
            (0, Float(STALE_NAN), [2.0, 0.0, 0.0]),
            (0, Float(2.0), [1.0, 0.0, 0.0]),
            (2, Histogram(3), [1.0, 1.0, 2.0]),
            (0, Histogram(4), [1.0, 2.0, 4.0]),
            (2, Histogram(5), [1.0, 2.0, 4.0]),
            // A marker takes the kind of the sample before it.
            (2, Float(STALE_NAN), [2.0, 2.0, 2.0]),
            (2, Float(7.0), [1.0, 1.0, 2.0]),
            (0, Float(3.0), [1.0, 0.0, 0.0]),
            (1, Histogram(6), [0.0, 1.0, 2.0]),
            (2, Float(STALE_NAN), [1.0, 1.0, 2.0]),
        ];
        for (i, (series, new, want)) in (0..).zip(steps) {
            let labels = Labels::from_pairs([("__name__", "m"), ("i", ["a", "b", "c"][series])]);
            let series = head.resolve(Affinity(1), &labels).unwrap().series;
            let (mut batch, t) = (Batch::default(), START + i * 1_000);
            match new {
                Float(v) => batch.samples.push(BatchSample { series, t, v }),
                Histogram(n) => batch.histograms.push(BatchHistogram {
                    series,
                    t,
                    start_time: 0,
                    value: support::integer(n),
                }),
            }
            head.append(&batch, &mut Outcome::default()).unwrap();
            assert_eq!(seen(&registry), want, "after step {i}");
        }
        head.tidy().unwrap();
        assert_eq!(seen(&registry), [1.0, 1.0, 2.0]);
        drop(head);
        let registry = Registry::new();
        let head = Head::open(dir.path(), options, &registry).unwrap();
        assert_eq!(seen(&registry), [1.0, 1.0, 2.0], "started again");
        head.truncate(START + 12_000).unwrap();
        assert_eq!(seen(&registry), [1.0, 0.0, 0.0]);
    }
}
