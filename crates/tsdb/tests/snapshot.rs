//! Chunk snapshots: ours, and one of Prometheus 3.14 (recorded).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use exposition::{MetricValue, Registry};
use model::{Labels, Matcher};
use support::{Dump, copy_dir, everything, everything_with_histograms, named, shared, write};
use tsdb::{Head, HeadOptions};

const START: i64 = 1_700_000_000_000;
const STEP: i64 = 15_000;

fn options() -> HeadOptions {
    HeadOptions {
        lock_file: false,
        shards: 2,
        snapshot_on_shutdown: true,
        exemplars: true,
        ..HeadOptions::default()
    }
}

fn open(dir: &Path) -> (Head, f64) {
    let registry = Registry::new();
    let head = Head::open(dir, options(), &registry).unwrap();
    let errors = registry
        .gather()
        .into_iter()
        .find(|f| f.name == "prometheus_tsdb_snapshot_replay_error_total")
        .map(|f| f.metrics[0].value.clone());
    match errors {
        Some(MetricValue::Float(errors)) => (head, errors),
        other => panic!("no counter: {other:?}"),
    }
}

fn scrapes(head: &Head, rounds: std::ops::Range<i64>, series: usize) {
    for round in rounds {
        let t = START + round * STEP;
        let samples: Vec<_> =
            (0..series).map(|i| (named("m", i), t, (round * i as i64) as f64 / 3.0)).collect();
        write(head, &samples);
    }
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("chunk_snapshot.")).collect();
    found.sort();
    found
}

fn text(head: &Head) -> BTreeMap<Labels, Vec<(i64, String)>> {
    let all = everything_with_histograms(head).into_iter();
    all.map(|(l, s)| (l, s.into_iter().map(|(t, v)| (t, v.to_string())).collect())).collect()
}

#[test]
fn a_start_goes_on_where_the_snapshot_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (head, _) = open(dir.path());
    // Some chunks are full, the open ones are at different lengths.
    scrapes(&head, 0..150, 10);
    scrapes(&head, 150..170, 25);
    head.close().unwrap();
    let first = snapshots(dir.path());
    assert_eq!(first.len(), 1);
    let before = everything(&head);
    drop(head);
    // The snapshot has all that the log has: without it nothing is missing.
    let without_log = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), without_log.path());
    std::fs::remove_dir_all(without_log.path().join("wal")).unwrap();
    let (head, errors) = open(without_log.path());
    assert_eq!((everything(&head), errors), (before.clone(), 0.0));
    assert_eq!(head.time_range(), Some((START, START + 169 * STEP)));
    drop(head);

    // A process that is killed leaves the old snapshot and more log.
    let (head, _) = open(dir.path());
    assert_eq!(everything(&head), before);
    scrapes(&head, 170..420, 30);
    let before = everything(&head);
    std::mem::forget(head);
    let (head, errors) = open(dir.path());
    assert_eq!((everything(&head), errors), (before.clone(), 0.0));
    assert_eq!(snapshots(dir.path()), first);
    drop(head);
    // Closed, it leaves a new one and deletes the old.
    let second = snapshots(dir.path());
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
    let (head, _) = open(dir.path());
    assert_eq!(everything(&head), before);
    // A checkpoint past it makes it of no use, and of no harm.
    scrapes(&head, 420..430, 30);
    head.checkpoint_now().unwrap();
    scrapes(&head, 430..440, 30);
    let before = everything(&head);
    std::mem::forget(head);
    assert_eq!(everything(&open(dir.path()).0), before);
}

#[test]
fn new_series_do_not_get_references_of_dropped_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (head, _) = open(dir.path());
    scrapes(&head, 0..5, 40);
    for round in 100..105 {
        write(&head, &[(named("m", 0), START + round * 3_600_000, 1.0)]);
    }
    // All but one have only old samples, and go.
    head.truncate(START + 50 * 3_600_000).unwrap();
    head.truncate(START + 50 * 3_600_000).unwrap();
    assert_eq!(head.series_count(), 1);
    drop(head);
    let (head, _) = open(dir.path());
    for i in 0..30 {
        write(&head, &[(named("new", i), START + 110 * 3_600_000, 1.0)]);
    }
    let before = everything(&head);
    std::mem::forget(head);
    // Read from its beginning, the log has the old ones, too.
    let options = HeadOptions { snapshot_on_shutdown: false, ..options() };
    let after = everything(&Head::open(dir.path(), options, &Registry::new()).unwrap());
    for (labels, samples) in before {
        assert!(after[&labels].ends_with(&samples), "{labels}");
        assert!(labels.value("__name__") == "m" || after[&labels] == samples, "{labels}");
    }
}

#[test]
fn a_damaged_snapshot_costs_nothing_but_time() {
    let source = tempfile::tempdir().unwrap();
    let (head, _) = open(source.path());
    scrapes(&head, 0..140, 12);
    let want: Dump = everything(&head);
    drop(head);
    let snapshot = snapshots(source.path()).pop().unwrap();
    let name = snapshot.file_name().unwrap();
    let bytes = std::fs::read(snapshot.join("00000000")).unwrap();
    let end = bytes.iter().rposition(|&b| b != 0).unwrap();
    let damaged = (0..end).step_by(211).map(|place| {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        flipped
    });
    let torn = [0, 50, end / 2].map(|len| bytes[..len].to_vec());
    for (case, content) in damaged.chain(torn).enumerate() {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(source.path(), dir.path());
        std::fs::write(dir.path().join(name).join("00000000"), &content).unwrap();
        let (head, errors) = open(dir.path());
        assert_eq!(everything(&head), want, "case {case}");
        assert_eq!(errors, 1.0, "case {case}");
        // The next one is whole again.
        scrapes(&head, 140..141, 12);
        drop(head);
        assert_eq!(open(dir.path()).1, 0.0, "case {case}");
    }
}

#[test]
fn the_log_is_read_instead_of_a_snapshot_whose_full_chunks_are_missing() {
    let source = tempfile::tempdir().unwrap();
    for life in 0..3 {
        let (head, _) = open(source.path());
        scrapes(&head, life * 250..(life + 1) * 250, 3);
        drop(head);
    }
    let files = || std::fs::read_dir(source.path().join("chunks_head")).unwrap();
    let mut names: Vec<_> = files().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names.len() >= 3, "{names:?}");
    let want = {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(source.path(), copy.path());
        everything(&open(copy.path()).0)
    };
    for (name, emptied) in [(&names[1], false), (&names[1], true), (names.last().unwrap(), true)] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(source.path(), dir.path());
        let path = dir.path().join("chunks_head").join(name);
        if emptied { std::fs::write(&path, []) } else { std::fs::remove_file(&path) }.unwrap();
        for errors in [1.0, 0.0] {
            let (head, counted) = open(dir.path());
            assert!(everything(&head) == want, "{name:?}, emptied: {emptied}");
            assert_eq!(counted, errors, "{name:?}, emptied: {emptied}");
        }
    }
}

#[test]
fn snapshots_hold_samples_of_all_kinds_exemplars_and_deletions() {
    let Some(shared) = shared() else { return };
    let all = [vec![Matcher::new(model::MatchOp::Regex, "__name__", ".+").unwrap()]];
    for case in ["head", "killed", "xor2-head", "st-head", "chunk-snapshot"] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&shared.join("golden/tsdb").join(case).join("data"), dir.path());
        let options = HeadOptions { snapshot_on_shutdown: false, ..options() };
        let head = Head::open(dir.path(), options, &Registry::new()).unwrap();
        let (want, exemplars) = (text(&head), head.exemplars(&all, i64::MIN, i64::MAX));
        std::mem::forget(head);
        for start in 0..3 {
            let (head, errors) = open(dir.path());
            assert_eq!(errors, 0.0, "{case}, start {start}");
            assert_eq!(text(&head), want, "{case}, start {start}");
            assert_eq!(head.exemplars(&all, i64::MIN, i64::MAX), exemplars, "{case}, start {start}");
            drop(head);
            // From here on there is only the snapshot (and the log of samples out of order).
            std::fs::remove_dir_all(dir.path().join("wal")).unwrap();
        }
    }
}
