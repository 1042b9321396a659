//! Samples that come out of order: which are taken, and that they are read in order, whatever happens in between.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use exposition::{MetricValue, Registry};
use model::{Labels, Matcher, STALE_NAN, is_stale};
use proptest::prelude::*;
use storage::{
    Affinity, Append, Batch, BatchSample, MemoryBudget, Newest, Outcome, Projection, QueryContext, Rejection,
    Request, Select,
};
use support::{Dump, copy_dir, everything, named, open_with, read, try_write, write};
use tsdb::{Db, DbOptions, Head, HeadOptions, OpenError};

const START: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A head with two hours of window and buffers that are soon full.
fn options() -> HeadOptions {
    HeadOptions {
        out_of_order_window: Duration::from_secs(2 * 3600),
        out_of_order_cap: 8,
        samples_per_chunk: 20,
        lock_file: false,
        shards: 2,
        ..HeadOptions::default()
    }
}

/// The value that a test writes at a time: the same whenever it is written.
fn value(series: usize, t: i64) -> f64 {
    ((t / 1000) * (series as i64 + 3) % 1009) as f64 / 4.0
}

fn sample(series: usize, t: i64) -> (Labels, i64, f64) {
    (named("m", series), t, value(series, t))
}

fn counter(registry: &Registry, name: &str, label: Option<&str>) -> f64 {
    let family = registry.gather().into_iter().find(|f| f.name == name).unwrap();
    let labelled = |labels: &Labels| label.is_none_or(|wanted| labels.iter().any(|(_, v)| v == wanted));
    let metric = family.metrics.iter().find(|metric| labelled(&metric.labels)).unwrap();
    match &metric.value {
        MetricValue::Float(v) => *v,
        MetricValue::Histogram { count, .. } => *count as f64,
        MetricValue::Summary { .. } => panic!("{name} is a summary"),
    }
}

#[test]
fn markers_of_who_left_do_not_come_between_the_samples_of_who_went_on() {
    let dir = tempfile::tempdir().unwrap();
    let head = Head::open(dir.path(), options(), &Registry::new()).unwrap();
    let a = named("a", 1);
    write(&head, &[(a.clone(), START, 1.0), (a.clone(), START + MINUTE, 2.0)]);
    let series = head.resolve(Affinity(0), &a).unwrap().series;
    let late = |v: f64, in_order_markers: bool| {
        let t = START + MINUTE / 2;
        let batch =
            Batch { samples: vec![BatchSample { series, t, v }], in_order_markers, ..Batch::default() };
        let mut outcome = Outcome::default();
        head.append(&batch, &mut outcome).unwrap();
        outcome.rejected
    };
    assert_eq!(late(STALE_NAN, true), [(0, Rejection::OutOfOrder)]);
    assert_eq!(late(1.5, true), [], "samples may be late");
    assert_eq!(late(STALE_NAN, false), [], "and so may markers of others than scrapes");
}

#[test]
fn what_is_taken_depends_on_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let plain = HeadOptions { out_of_order_window: Duration::ZERO, ..options() };
    let head = Head::open(dir.path(), plain, &registry).unwrap();
    let a = named("a", 1);
    write(&head, &[(a.clone(), START, 1.0), (a.clone(), START + MINUTE, 2.0)]);
    let now = START + MINUTE;
    // (milliseconds before the newest sample, without a window, with one of two hours)
    let cases = [
        (1, Err(Rejection::OutOfOrder), Ok(1)),
        (59 * MINUTE, Err(Rejection::OutOfOrder), Ok(1)),
        (HOUR + 1, Err(Rejection::OutOfBounds), Ok(1)),
        (2 * HOUR, Err(Rejection::OutOfBounds), Ok(1)),
        (2 * HOUR + 1, Err(Rejection::OutOfBounds), Err(Rejection::TooOld)),
    ];
    let outcome = |back: i64, v: f64| {
        let outcome = try_write(&head, &[(a.clone(), now - back, v)]);
        outcome.rejected.first().map_or(Ok(outcome.appended), |(_, reason)| Err(*reason))
    };
    for (back, want, _) in cases {
        assert_eq!(outcome(back, 5.0), want, "{back} ms back, without a window");
    }
    assert!(!dir.path().join("wbl").exists());
    head.set_out_of_order_window(Duration::from_secs(7200)).unwrap();
    assert!(dir.path().join("wbl/00000000").exists());
    for (back, _, want) in cases {
        assert_eq!(outcome(back, 5.0), want, "{back} ms back");
    }
    // The same time again is dropped in silence, whatever the value, while the buffer has it.
    assert_eq!(outcome(1, 6.0), Ok(0));
    // The newest in order cannot be changed.
    assert_eq!(outcome(0, 6.0), Err(Rejection::Duplicate));
    assert_eq!(outcome(0, 2.0), Ok(0));
    // A series without samples begins in order where that is still allowed, and out of order before.
    write(&head, &[(named("b", 1), now - 30 * MINUTE, 1.0), (named("c", 1), now - 90 * MINUTE, 1.0)]);
    let appended = "prometheus_tsdb_head_out_of_order_samples_appended_total";
    assert_eq!(counter(&registry, appended, Some("float")), 5.0);
    assert_eq!(counter(&registry, appended, Some("histogram")), 0.0);
    assert_eq!(counter(&registry, "prometheus_tsdb_head_samples_appended_total", Some("float")), 8.0);
    assert_eq!(counter(&registry, "prometheus_tsdb_out_of_order_samples_total", Some("float")), 2.0);
    assert_eq!(counter(&registry, "prometheus_tsdb_out_of_bound_samples_total", Some("float")), 3.0);
    assert_eq!(counter(&registry, "prometheus_tsdb_too_old_samples_total", Some("float")), 1.0);
    assert_eq!(counter(&registry, "prometheus_tsdb_sample_ooo_delta", None), 9.0);
    head.set_out_of_order_window(Duration::ZERO).unwrap();
    assert_eq!(outcome(2, 5.0), Err(Rejection::OutOfOrder));
    let times: Vec<i64> = everything(&head)[&a].iter().map(|(t, _)| now - t).collect();
    assert_eq!(times, [2 * HOUR, HOUR + 1, 59 * MINUTE, MINUTE, 1, 0]);
}

/// Writes batches of (series, minutes before the newest), and says what has to be read afterwards.
fn write_batches(head: &Head, batches: &[Vec<(usize, i64)>], from: i64, want: &mut Dump) {
    for (i, batch) in batches.iter().enumerate() {
        // Each batch moves the newest sample on a little, so that some samples come in order.
        let now = from + i as i64 * 5_000;
        let mut samples: Vec<_> =
            batch.iter().map(|&(series, back)| sample(series, now - back * 10_000)).collect();
        samples.sort_by_key(|(_, t, _)| *t);
        let outcome = try_write(head, &samples);
        let refused: Vec<u32> = outcome.rejected.iter().map(|(i, _)| *i).collect();
        assert!(outcome.rejected.iter().all(|(_, reason)| *reason == Rejection::TooOld), "{outcome:?}");
        for (i, (labels, t, v)) in samples.into_iter().enumerate() {
            if !refused.contains(&(i as u32)) {
                let of_series = want.entry(labels).or_default();
                if let Err(place) = of_series.binary_search_by_key(&t, |(t, _)| *t) {
                    of_series.insert(place, (t, v.to_bits()));
                }
            }
        }
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<(usize, i64)>>> {
    prop::collection::vec(prop::collection::vec((0usize..4, 0i64..800), 1..40), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn samples_in_any_order_are_read_in_order_whenever_the_process_ends(
        lives in prop::collection::vec((batches(), any::<bool>()), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut want = Dump::new();
        let mut from = START;
        for (batches, killed) in &lives {
            let head = open_with(dir.path(), options());
            prop_assert_eq!(&everything(&head), &want);
            write_batches(&head, batches, from, &mut want);
            prop_assert_eq!(&everything(&head), &want);
            from += 2 * MINUTE;
            if *killed { std::mem::forget(head) } else { drop(head) }
        }
        // The log of these samples has them all, whether there are chunks or not.
        for keep_chunks in [true, false] {
            if !keep_chunks {
                std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
            }
            for _ in 0..2 {
                let head = open_with(dir.path(), options());
                prop_assert_eq!(&everything(&head), &want, "chunks: {}", keep_chunks);
            }
        }
    }

    #[test]
    fn parts_of_the_time_are_read_as_they_are(
        batches in batches(), span in (0i64..800, 0i64..800),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let head = open_with(dir.path(), options());
        let mut want = Dump::new();
        write_batches(&head, &batches, START, &mut want);
        let (min, max) = (START - span.0.max(span.1) * 10_000, START - span.0.min(span.1) * 10_000);
        let m = [Matcher::equal("__name__", "m")];
        for newest in [None, Some(Newest::Last), Some(Newest::NotStale)] {
            let mut got = read(&head, &m, min, max, newest);
            for (labels, want) in &want {
                let mut inside: Vec<_> = want.iter().filter(|s| s.0 >= min && s.0 <= max).copied().collect();
                let mut got = got.remove(labels).unwrap_or_default();
                got.retain(|s| s.0 >= min && s.0 <= max);
                if newest == Some(Newest::NotStale) {
                    inside.retain(|s| !is_stale(f64::from_bits(s.1)));
                    got.retain(|s| !is_stale(f64::from_bits(s.1)));
                }
                if newest.is_some() {
                    inside = inside.split_off(inside.len().saturating_sub(1));
                    got = got.split_off(got.len().saturating_sub(1));
                }
                prop_assert_eq!(got, inside);
            }
            prop_assert_eq!(head.may_hold(min, max), head.may_hold(min, max));
        }
    }
}

/// Writes samples out of order as a process that is killed leaves them; returns the length of their log and what was
/// acknowledged after each batch.
fn killed(dir: &Path, batches: i64) -> Vec<(u64, Dump)> {
    let head = open_with(dir, options());
    let length = || std::fs::metadata(dir.join("wbl/00000000")).unwrap().len();
    let mut want = Dump::new();
    let newest: Vec<_> = (0..4).map(|series| sample(series, START + HOUR)).collect();
    write(&head, &newest);
    for (labels, t, v) in newest {
        want.insert(labels, vec![(t, v.to_bits())]);
    }
    let mut states = vec![(length(), want.clone())];
    for i in 0..batches {
        let samples: Vec<_> = (0..4).map(|series| sample(series, START + (i * 37 % 101) * 15_000)).collect();
        write(&head, &samples);
        for (labels, t, v) in samples {
            let of_series = want.get_mut(&labels).unwrap();
            of_series.push((t, v.to_bits()));
            of_series.sort_unstable();
        }
        states.push((length(), want.clone()));
    }
    assert_eq!(everything(&head), want);
    std::mem::forget(head);
    states
}

#[test]
fn a_log_cut_at_any_byte_gives_every_whole_record_before_the_cut() {
    let source = tempfile::tempdir().unwrap();
    let states = killed(source.path(), 40);
    let log = std::fs::read(source.path().join("wbl/00000000")).unwrap();
    for cut in (states[0].0 as usize..=log.len()).step_by(211) {
        for with_chunks in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(&source.path().join("wal"), &dir.path().join("wal"));
            if with_chunks {
                copy_dir(&source.path().join("chunks_head"), &dir.path().join("chunks_head"));
            }
            std::fs::create_dir_all(dir.path().join("wbl")).unwrap();
            std::fs::write(dir.path().join("wbl/00000000"), &log[..cut]).unwrap();
            let registry = Registry::new();
            let head = Head::open(dir.path(), options(), &registry).unwrap();
            let before = states.iter().rev().find(|(len, _)| *len <= cut as u64).unwrap();
            let got = everything(&head);
            for (labels, want) in &before.1 {
                assert!(want.iter().all(|s| got[labels].contains(s)), "cut at {cut}: {labels}");
            }
            for (labels, got) in &got {
                let all = &states.last().unwrap().1[labels];
                assert!(got.iter().all(|s| all.contains(s)), "cut at {cut}: a sample that never was");
            }
            drop(head);
            let registry = Registry::new();
            let head = Head::open(dir.path(), options(), &registry).unwrap();
            assert_eq!(everything(&head), got, "cut at {cut}, second start");
            assert_eq!(counter(&registry, "prometheus_tsdb_wal_corruptions_total", None), 0.0);
        }
    }
}

#[test]
fn flipped_bits_in_one_of_both_files_cost_nothing_that_the_other_has() {
    let source = tempfile::tempdir().unwrap();
    let all = killed(source.path(), 60).pop().unwrap().1;
    let chunks = std::fs::read(source.path().join("chunks_head/000001")).unwrap();
    let end = chunks.iter().rposition(|&b| b != 0).unwrap();
    for place in (0..end).step_by(149) {
        let dir = tempfile::tempdir().unwrap();
        for log in ["wal", "wbl"] {
            copy_dir(&source.path().join(log), &dir.path().join(log));
        }
        std::fs::create_dir_all(dir.path().join("chunks_head")).unwrap();
        let mut bytes = chunks[..=end].to_vec();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(dir.path().join("chunks_head/000001"), &bytes).unwrap();
        for _ in 0..2 {
            assert_eq!(everything(&open_with(dir.path(), options())), all, "bit at {place}");
        }
    }
    let log = std::fs::read(source.path().join("wbl/00000000")).unwrap();
    for place in (0..log.len()).step_by(157) {
        let dir = tempfile::tempdir().unwrap();
        for kept in ["wal", "chunks_head"] {
            copy_dir(&source.path().join(kept), &dir.path().join(kept));
        }
        std::fs::create_dir_all(dir.path().join("wbl")).unwrap();
        let mut bytes = log.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(dir.path().join("wbl/00000000"), &bytes).unwrap();
        let registry = Registry::new();
        let head = Head::open(dir.path(), options(), &registry).unwrap();
        let got = everything(&head);
        let count = |dump: &Dump| dump.values().map(Vec::len).sum::<usize>();
        assert!(
            got.iter().all(|(labels, got)| got.iter().all(|s| all[labels].contains(s))),
            "bit at {place}"
        );
        // What is in chunks is not lost; the buffers hold at most 8 samples each.
        assert!(count(&got) >= count(&all) - 4 * 8, "bit at {place}: {} of {}", count(&got), count(&all));
        assert_eq!(counter(&registry, "prometheus_tsdb_wal_corruptions_total", None), 1.0);
        drop(head);
        assert_eq!(everything(&open_with(dir.path(), options())), got);
        if let Ok(aside) = std::fs::read(dir.path().join("wbl-damaged/00000000.0")) {
            assert_eq!(aside, bytes);
        }
    }
}

#[test]
fn queries_before_the_samples_in_order_find_those_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), options());
    write(&head, &[sample(1, START)]);
    assert!(!head.may_hold(START - HOUR, START - HOUR));
    write(&head, &[sample(1, START - 90 * MINUTE)]);
    assert!(head.may_hold(START - 90 * MINUTE, START - 80 * MINUTE));
    assert!(!head.may_hold(START - 2 * HOUR, START - 91 * MINUTE));
    let m = [Matcher::equal("__name__", "m")];
    let got = read(&head, &m, START - 2 * HOUR, START - HOUR, None);
    assert_eq!(got[&named("m", 1)], [(START - 90 * MINUTE, value(1, START - 90 * MINUTE).to_bits())]);
    let ctx = storage::QueryContext::unlimited();
    let (min, max) = (START - 90 * MINUTE, START - 80 * MINUTE);
    assert_eq!(head.label_values(&ctx, "i", min, max, &[]).unwrap(), ["1"]);
    assert_eq!(head.time_range(), Some((START, START)));
}

/// As when a new configuration is applied while the log is still being replayed.
#[test]
fn a_window_that_is_set_before_the_replay_hides_no_torn_end() {
    let dir = tempfile::tempdir().unwrap();
    let lives = killed(dir.path(), 12);
    let (_, want) = &lives[lives.len() - 2];
    let path = dir.path().join("wbl/00000000");
    let log = std::fs::read(&path).unwrap();
    std::fs::write(&path, &log[..log.len() - 3]).unwrap();
    let plain = HeadOptions { out_of_order_window: Duration::ZERO, ..options() };
    let head = Head::open_replaying(dir.path(), plain, &Registry::new()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| head.set_out_of_order_window(Duration::from_secs(7200)).unwrap());
        }
    });
    head.replay().unwrap();
    assert_eq!(&everything(&head), want);
    assert!(!dir.path().join("wbl-damaged").exists());
    assert_eq!(segments(dir.path()), ["00000000", "00000001"]);
}

#[test]
fn a_head_that_is_closed_reads_no_samples_out_of_order() {
    let (source, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    killed(source.path(), 12);
    copy_dir(&source.path().join("wbl"), &dir.path().join("wbl"));
    let head = Head::open_replaying(dir.path(), options(), &Registry::new()).unwrap();
    head.close().unwrap();
    assert!(matches!(head.replay(), Err(OpenError::Closed)));
}

#[test]
fn a_query_accounts_for_its_copies_of_samples_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions { out_of_order_cap: 255, ..options() });
    write(&head, &[sample(1, START)]);
    let accounted = || {
        let budget = MemoryBudget::new(1 << 30);
        let ctx = QueryContext::unlimited().with_memory(budget.account("queries"));
        let matchers = [Matcher::equal("__name__", "m")];
        let (min_time, max_time) = (START - HOUR, START);
        let request =
            Request { matchers: &matchers, min_time, max_time, labels: Projection::All, newest: None };
        let _parts = head.select(&ctx, &request).unwrap();
        budget.components()[0].1
    };
    let before = accounted();
    for i in 0..200 {
        write(&head, &[sample(1, START - HOUR + i * 15_000)]);
    }
    assert!(accounted() >= before + 200 * 16);
}

/// A series that has nothing but samples out of order is not dropped as one without samples.
#[test]
fn series_with_nothing_else_stay_and_their_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), options());
    let mut want = BTreeMap::new();
    write(&head, &[sample(0, START)]);
    for i in 0..20 {
        let late = sample(1, START - HOUR - 1 - i * 15_000);
        write(&head, std::slice::from_ref(&late));
        want.insert(late.1, late.2.to_bits());
    }
    for _ in 0..3 {
        head.truncate(START - MINUTE).unwrap();
    }
    head.checkpoint_now().unwrap();
    let want: Vec<_> = want.into_iter().collect();
    assert_eq!(everything(&head)[&named("m", 1)], want);
    drop(head);
    assert_eq!(everything(&open_with(dir.path(), options()))[&named("m", 1)], want);
}

/// A database whose blocks are a minute long.
fn db(dir: &Path) -> Db {
    let head = HeadOptions {
        chunk_range: Duration::from_secs(60),
        out_of_order_window: Duration::from_secs(600),
        ..options()
    };
    let options = DbOptions { head, max_block: Duration::from_secs(240), ..DbOptions::default() };
    Db::open(dir, options, &Registry::new()).unwrap()
}

fn segments(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("wbl")).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn hints(dir: &Path) -> Vec<(i64, i64, bool)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        if let Ok(meta) = block::Meta::read(&entry.unwrap().path()) {
            let late = meta.compaction.has_hint(block::FROM_OUT_OF_ORDER);
            found.push((meta.min_time, meta.max_time, late));
        }
    }
    found.sort_unstable();
    found
}

fn add(db: &Db, want: &mut Dump, series: usize, t: i64) {
    let late = sample(series, t);
    write(db.head(), std::slice::from_ref(&late));
    let of_series = want.entry(late.0).or_default();
    of_series.push((late.1, late.2.to_bits()));
    of_series.sort_unstable();
}

#[test]
fn samples_out_of_order_go_to_blocks_of_their_own_and_leave_the_head() {
    let dir = tempfile::tempdir().unwrap();
    // A multiple of a minute.
    let start = START - START.rem_euclid(MINUTE);
    let mut want = Dump::new();
    let open = db(dir.path());
    for second in 0..95 {
        (0..3).for_each(|series| add(&open, &mut want, series, start + second * 2_000));
        // From before the first sample to short of the newest.
        if second % 2 == 1 {
            add(&open, &mut want, 1, start + second * 2_000 - (second * 1_000) % 90_000 - 500 - second);
        }
    }
    open.upkeep(start + 190_000, true).unwrap();
    assert_eq!(everything(&open), want);
    let blocks = hints(dir.path());
    assert!(blocks.iter().any(|(.., late)| *late) && blocks.iter().any(|(.., late)| !late), "{blocks:?}");
    assert!(blocks.iter().all(|(min, max, _)| min % MINUTE == 0 && max % MINUTE == 0), "{blocks:?}");
    // All that came out of order is in blocks.
    assert_eq!(segments(dir.path()), ["00000001"]);
    assert!(!open.head().may_hold(start - HOUR, start - 9 * MINUTE));
    for (series, t) in [(2, 10_001), (0, 150_003), (0, 150_002)] {
        add(&open, &mut want, series, start + t);
    }
    assert_eq!(everything(&open), want);
    std::mem::forget(open);
    let open = db(dir.path());
    assert_eq!(everything(&open), want);
    for second in 95..300 {
        (0..3).for_each(|series| add(&open, &mut want, series, start + second * 2_000));
    }
    open.upkeep(start + 600_000, true).unwrap();
    open.upkeep(start + 600_000, true).unwrap();
    assert_eq!(everything(&open), want);
    drop(open);
    assert_eq!(everything(&db(dir.path())), want);
}

/// Blocks of samples out of order may be newer than the newest in order.
#[test]
fn compacting_blocks_of_samples_out_of_order_does_not_hide_what_the_head_has() {
    let dir = tempfile::tempdir().unwrap();
    // The second minute of three that are compacted together.
    let start = START - START.rem_euclid(3 * MINUTE) + MINUTE;
    let mut want = Dump::new();
    let open = db(dir.path());
    for second in 0..150 {
        let t = start + second * 1_000;
        (0..2).for_each(|series| add(&open, &mut want, series, t));
        if second % 10 == 9 {
            add(&open, &mut want, 0, t - 500);
            add(&open, &mut want, 1, t - 70_500);
        }
    }
    open.upkeep(start + 150_000, true).unwrap();
    open.upkeep(start + 150_000, true).unwrap();
    assert!(hints(dir.path()).iter().any(|(.., late)| *late));
    assert_eq!(everything(&open), want);
    for _ in 0..2 {
        let open = db(dir.path());
        assert_eq!(everything(&open), want);
        open.upkeep(start + 151_000, true).unwrap();
    }
}

#[test]
fn promtool_reads_what_we_write() {
    let Some(promtool) = support::promtool_3() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (mut written, mut appended) = (0.0, 0);
    for life in 0..2 {
        let head = open_with(dir.path(), options());
        let from = START + life * MINUTE;
        for i in 0..150 {
            // The newest, and two that come late: these fill buffers of 8 many times.
            let backs = [0, 37 + i * 7 % 301, 5 + i * 11 % 97];
            let mut samples: Vec<_> = backs
                .iter()
                .rev()
                .flat_map(|back| (0..3).map(move |s| sample(s, from + (i - back) * 1_000)))
                .collect();
            // No two values are alike: of samples with the same time the same one must be taken.
            for (_, _, v) in &mut samples {
                written += 1.0;
                *v = written;
            }
            appended += try_write(&head, &samples).appended;
        }
        if life == 0 { drop(head) } else { std::mem::forget(head) }
    }
    let output =
        std::process::Command::new(promtool).args(["tsdb", "dump"]).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut theirs: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (labels, rest) = line.split_at(line.find("} ").unwrap() + 1);
        let (value, t) = rest.trim().rsplit_once(' ').unwrap();
        theirs.entry(labels.to_owned()).or_default().push((t.parse().unwrap(), value.parse().unwrap()));
    }
    let ours = everything(&open_with(dir.path(), options()));
    let ours: BTreeMap<String, Vec<(i64, f64)>> = ours
        .into_iter()
        .map(|(l, s)| (l.to_string(), s.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect()))
        .collect();
    let read: usize = ours.values().map(Vec::len).sum();
    assert!(read > 900 && appended > read + 300, "{appended} appended, {read} read");
    assert_eq!(theirs, ours);
}
