//! The database: samples stay readable on their way from the head to blocks, through restarts and interruptions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use exposition::Registry;
use model::{Labels, MatchOp, Matcher};
use storage::{
    Affinity, Append, Batch, BatchSample, ChunkView, MemoryBudget, Outcome, Projection, QueryContext,
    Request, Select,
};
use tsdb::{Db, DbOptions, HeadOptions};

/// A multiple of the range.
const START: i64 = 1_700_000_040_000;
const RANGE: i64 = 60_000;
const STEP: i64 = 1_000;

type Dump = BTreeMap<Labels, Vec<(i64, u64)>>;

fn options() -> DbOptions {
    DbOptions {
        head: HeadOptions { chunk_range: Duration::from_millis(RANGE as u64), ..HeadOptions::default() },
        max_block: Duration::from_millis(9 * RANGE as u64),
        ..DbOptions::default()
    }
}

fn open(dir: &Path) -> Db {
    Db::open(dir, options(), &Registry::new()).unwrap()
}

fn named(name: &str, i: usize) -> Labels {
    Labels::from_pairs([("__name__", name), ("i", &i.to_string()), ("target", &(i % 7).to_string())])
}

fn write(db: &Db, samples: &[(Labels, i64, f64)]) {
    let mut batch = Batch::default();
    for (labels, t, v) in samples {
        let affinity = Affinity(labels.value("target").bytes().next().unwrap_or(0).into());
        let series = db.resolve(affinity, labels).unwrap().series;
        batch.samples.push(BatchSample { series, t: *t, v: *v });
    }
    let mut outcome = Outcome::default();
    db.append(&batch, &mut outcome).unwrap();
    assert_eq!(outcome.rejected, []);
}

fn select(store: &dyn Select, matchers: &[Matcher]) -> Dump {
    let request =
        Request { matchers, min_time: i64::MIN, max_time: i64::MAX, labels: Projection::All, newest: None };
    let mut dump = Dump::new();
    for mut part in store.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            let mut samples = Vec::new();
            for chunk in series.chunks.iter() {
                match *chunk {
                    ChunkView::Encoded { encoding, samples: n, bytes, .. } => {
                        let mut out = chunk::Columns::default();
                        chunk::decode(encoding, bytes, n, &mut out).unwrap();
                        samples.extend(out.times.iter().copied().zip(out.values.iter().map(|v| v.to_bits())));
                    }
                    ChunkView::Histograms(_) => panic!("histograms where floats were written"),
                    ChunkView::Samples(list) => samples.extend(list.iter().map(|s| (s.t, s.v.to_bits()))),
                }
            }
            if !samples.is_empty() {
                assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{}: not in order", series.labels);
                assert!(dump.insert(series.labels, samples).is_none(), "a series came twice");
            }
        }
    }
    dump
}

fn everything(store: &dyn Select) -> Dump {
    select(store, &[Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()])
}

/// Writes `rounds` scrapes of 40 series from `from` on, some of which come and go, and adds them to `want`.
fn scrape(db: &Db, from: i64, rounds: i64, want: &mut Dump) {
    for round in 0..rounds {
        let t = from + round * STEP;
        let lives = |i: usize| i < 30 || (t / RANGE + i as i64) % 3 == 0;
        let samples: Vec<_> = (0..40)
            .filter(|&i| lives(i))
            .map(|i| (named("m", i), t, if i % 2 == 0 { 7.5 } else { (round * i as i64) as f64 }))
            .collect();
        write(db, &samples);
        for (labels, t, v) in samples {
            want.entry(labels).or_default().push((t, v.to_bits()));
        }
    }
}

fn value(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no {name}"));
    match family.metrics[0].value {
        exposition::MetricValue::Float(v) => v,
        ref other => panic!("{name}: {other:?}"),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_cut_is_read_from_blocks_and_no_longer_from_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let mut want = Dump::new();
    let mut now = START;
    for _ in 0..10 {
        scrape(&db, now, 30, &mut want);
        now += 30 * STEP;
        db.upkeep(now, false).unwrap();
        assert_eq!(everything(&db), want);
    }
    let head = db.head().time_range().unwrap();
    assert!(head.1 - head.0 <= RANGE * 3 / 2, "{head:?}");
    assert!(everything(&**db.head()).values().flatten().all(|(t, _)| *t >= head.0));
    let blocks = db.blocks().current();
    assert!(!blocks.is_empty());
    for block in blocks.iter() {
        let meta = block.meta();
        assert_eq!(meta.max_time.rem_euclid(RANGE), 0);
        assert!(meta.min_time >= START && meta.stats.num_samples > 0);
    }
    db.close().unwrap();
    drop(db);
    // The log still has some of what was cut: it must not be read, and cut, a second time.
    let db = open(dir.path());
    assert_eq!(everything(&db), want);
    assert_eq!(db.head().time_range().unwrap().0, head.0);
    let count = db.blocks().current().len();
    db.upkeep(now, true).unwrap();
    assert_eq!(db.blocks().current().len(), count);
}

#[test]
fn samples_are_appended_and_read_while_blocks_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let mut want = Dump::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<i64>();
        let cutting = scope.spawn(|| {
            for now in receiver {
                db.upkeep(now, true).unwrap();
            }
        });
        for minute in 0..8 {
            scrape(&db, START + minute * RANGE, RANGE / STEP, &mut want);
            sender.send(START + (minute + 1) * RANGE).unwrap();
            assert_eq!(everything(&db), want);
        }
        drop(sender);
        cutting.join().unwrap();
    });
    assert_eq!(everything(&db), want);
    assert!(db.blocks().current().iter().map(|b| b.meta().stats.num_samples).sum::<u64>() > 0);
}

#[test]
fn blocks_hold_series_in_order_of_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    // Names and values whose order differs from the order of their creation, and labels that are prefixes of others.
    let mut sets: Vec<Labels> = Vec::new();
    for i in (0..300).rev() {
        sets.push(named(["zz", "a", "m.utf8 ключ"][i % 3], i * 7919 % 1000));
        sets.push(Labels::from_pairs([
            ("__name__", "a"),
            ("zone", &format!("{}", i % 5)),
            ("x", &i.to_string()),
        ]));
        sets.push(Labels::from_pairs([("__name__", &format!("p{}", i % 10)), ("b", &(i / 10).to_string())]));
    }
    sets.push(Labels::from_pairs([("__name__", "p1")]));
    sets.push(Labels::from_pairs([("a", "without a name"), ("__name__", "a")]));
    for round in 0..100 {
        let samples: Vec<_> =
            sets.iter().map(|labels| (labels.clone(), START + round * STEP, round as f64)).collect();
        write(&db, &samples);
    }
    let want = everything(&db);
    db.upkeep(START, false).unwrap();
    // The writer refuses any other order.
    assert_eq!(db.blocks().current().len(), 1);
    assert_eq!(everything(&db), want);
    sets.sort();
    sets.dedup();
    assert_eq!(db.blocks().current()[0].meta().stats.num_series as usize, sets.len());
}

#[test]
fn chunks_that_reach_over_the_border_are_split_between_block_and_head() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Dump::new();
    {
        // Another range than that of the blocks which are cut later.
        let mut wider = options();
        wider.head.chunk_range = Duration::from_secs(7_200);
        let db = Db::open(dir.path(), wider, &Registry::new()).unwrap();
        scrape(&db, START + 17 * STEP, 250, &mut want);
        db.close().unwrap();
    }
    let db = open(dir.path());
    db.upkeep(START + 267 * STEP, false).unwrap();
    assert_eq!(everything(&db), want);
    assert!(db.blocks().current().len() > 1);
    let of_blocks: usize = db.blocks().current().iter().map(|b| b.meta().stats.num_samples as usize).sum();
    let cut_before = db.head().time_range().unwrap().0;
    let older = want.values().flatten().filter(|(t, _)| *t < cut_before).count();
    assert_eq!(of_blocks, older);
}

#[test]
fn snapshots_hold_everything_and_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let mut want = Dump::new();
    scrape(&db, START, 200, &mut want);
    db.upkeep(START, false).unwrap();
    let with_head = db.snapshot("a", false, START).unwrap();
    let without = db.snapshot("b", true, START).unwrap();
    assert_eq!(everything(&block::Blocks::open(&with_head, &Registry::new()).unwrap()), want);
    let blocks = everything(&**db.blocks());
    assert_eq!(everything(&block::Blocks::open(&without, &Registry::new()).unwrap()), blocks);
    assert!(blocks != want && !blocks.is_empty());
    // What happens to the blocks later does not touch the snapshot.
    scrape(&db, START + 200 * STEP, 200, &mut Dump::new());
    db.set_retention(tsdb::Retention { bytes: 1, ..Default::default() });
    db.upkeep(START, true).unwrap();
    assert_eq!(everything(&block::Blocks::open(&with_head, &Registry::new()).unwrap()), want);
}

#[test]
fn retention_by_time_and_by_size_deletes_whole_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let mut no_compaction = options();
    no_compaction.max_block = Duration::from_millis(RANGE as u64);
    let db = Db::open(dir.path(), no_compaction, &registry).unwrap();
    let mut want = Dump::new();
    scrape(&db, START, 600, &mut want);
    db.upkeep(START + 600 * STEP, false).unwrap();
    let ends = |db: &Db| db.blocks().current().iter().map(|b| b.meta().max_time).collect::<Vec<_>>();
    let newest = *ends(&db).last().unwrap();
    assert_eq!(ends(&db).len(), 9);
    db.set_retention(tsdb::Retention { time: Duration::from_millis(3 * RANGE as u64), ..Default::default() });
    assert_eq!(value(&registry, "prometheus_tsdb_retention_limit_seconds"), 180.0);
    db.upkeep(START + 600 * STEP, false).unwrap();
    assert_eq!(ends(&db), [newest - 2 * RANGE, newest - RANGE, newest]);
    assert_eq!(value(&registry, "prometheus_tsdb_time_retentions_total"), 1.0);
    db.set_retention(tsdb::Retention { bytes: 1, ..Default::default() });
    db.upkeep(START + 600 * STEP, false).unwrap();
    assert!(ends(&db).is_empty());
    assert_eq!(value(&registry, "prometheus_tsdb_size_retentions_total"), 1.0);
    assert!(names(dir.path()).iter().all(|name| !block::is_ulid(name) && !name.contains("tmp")));
    assert!(!everything(&db).is_empty(), "the head stays");
}

#[test]
fn blocks_grow_by_compaction_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    let mut want = Dump::new();
    scrape(&db, START, 1500, &mut want);
    db.upkeep(START + 1500 * STEP, true).unwrap();
    assert_eq!(everything(&db), want);
    let blocks = db.blocks().current();
    let spans: Vec<i64> = blocks.iter().map(|b| (b.meta().max_time - b.meta().min_time) / RANGE).collect();
    assert!(spans.contains(&9), "{spans:?}");
    assert!(blocks.iter().any(|b| b.meta().compaction.level == 3));
    assert!(blocks.windows(2).all(|pair| pair[0].meta().max_time <= pair[1].meta().min_time));
    let on_disk = names(dir.path()).into_iter().filter(|name| name.len() > 20).count();
    assert_eq!(on_disk, blocks.len(), "what was compacted is deleted");
    assert_eq!(value(&registry, "prometheus_tsdb_compactions_failed_total"), 0.0);
    assert_eq!(value(&registry, "prometheus_tsdb_blocks_loaded"), blocks.len() as f64);
    assert!(value(&registry, "prometheus_tsdb_compactions_total") > 24.0);
}

#[test]
fn what_an_interrupted_compaction_leaves_is_taken_up_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Dump::new();
    let mut no_compaction = options();
    no_compaction.max_block = Duration::from_millis(RANGE as u64);
    {
        let db = Db::open(dir.path(), no_compaction, &Registry::new()).unwrap();
        scrape(&db, START, 700, &mut want);
        db.upkeep(START + 700 * STEP, true).unwrap();
        db.close().unwrap();
    }
    // The state between the new block's birth and the deletion of its parents; and one that was being written.
    let ulid = block::Ulid::new(1, 77);
    {
        let blocks = block::Blocks::open(dir.path(), &Registry::new()).unwrap();
        let sources = blocks.current();
        let sources: Vec<&block::Block> = sources.iter().take(3).map(|b| &**b).collect();
        block::merge(&sources, dir.path(), ulid, &block::MergeOptions::default()).unwrap().unwrap();
    }
    let half = dir.path().join(format!("{}.tmp-for-creation", block::Ulid::new(2, 2)));
    std::fs::create_dir_all(half.join("chunks")).unwrap();
    let before = names(dir.path()).len();
    let db = open(dir.path());
    assert_eq!(everything(&db), want);
    assert!(!half.exists());
    db.upkeep(START + 700 * STEP, false).unwrap();
    assert_eq!(everything(&db), want);
    assert!(names(dir.path()).len() < before - 3);
}

#[test]
fn retention_rules_take_series_out_of_old_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    let mut want = Dump::new();
    scrape(&db, START, 600, &mut want);
    let now = START + 600 * STEP;
    let rule = |minutes: i64| tsdb::RetentionRule {
        matchers: vec![Matcher::equal("target", "3")],
        time: Duration::from_millis((minutes * RANGE) as u64),
    };
    db.set_retention(tsdb::Retention { rules: vec![rule(4)], ..Default::default() });
    db.upkeep(now, true).unwrap();
    let doomed = |labels: &Labels| labels.value("target") == "3";
    let blocks = db.blocks().current();
    // Counted from the end of the newest block.
    let newest = blocks.last().unwrap().meta().max_time;
    assert!(newest < now);
    let expired = |t: i64| {
        // Of the blocks before compaction, and by halves.
        let (block, half) = (t - t.rem_euclid(RANGE), RANGE / 2);
        blocks.iter().any(|b| t < b.meta().max_time)
            && block + half <= newest - 4 * RANGE
            && (t < block + half || block + RANGE <= newest - 4 * RANGE)
    };
    for (labels, samples) in &mut want {
        if doomed(labels) {
            samples.retain(|(t, _)| !expired(*t));
        }
    }
    let left = want[&named("m", 3)].len();
    assert!(0 < left && left < 600);
    want.retain(|_, samples| !samples.is_empty());
    assert_eq!(everything(&db), want);
    let compactions = value(&registry, "prometheus_tsdb_compactions_total");
    db.upkeep(now, true).unwrap();
    assert_eq!(value(&registry, "prometheus_tsdb_compactions_total"), compactions, "nothing is done twice");
    // A rule shorter than the head: what is cut from now on has none of it.
    db.set_retention(tsdb::Retention { rules: vec![rule(0)], ..Default::default() });
    scrape(&db, now, 120, &mut Dump::new());
    db.upkeep(now + 120 * STEP, true).unwrap();
    assert!(everything(&**db.blocks()).keys().all(|labels| !doomed(labels)));
    assert!(everything(&**db.head()).keys().any(doomed));
}

/// Somebody has copied a directory: both say that they are the same block.
#[test]
fn a_block_that_is_there_twice_is_compacted_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Dump::new();
    let db = open(dir.path());
    scrape(&db, START, 400, &mut want);
    db.upkeep(START + 400 * STEP, true).unwrap();
    let block = db.blocks().current()[0].dir().to_owned();
    drop(db);
    let twin = dir.path().join(block::Ulid::generate(START).to_string());
    std::fs::create_dir_all(twin.join("chunks")).unwrap();
    for inside in ["", "chunks"] {
        for entry in std::fs::read_dir(block.join(inside)).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_file() {
                std::fs::copy(&entry, twin.join(inside).join(entry.file_name().unwrap())).unwrap();
            }
        }
    }
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    assert_eq!(everything(&db), want);
    for _ in 0..2 {
        db.upkeep(START + 400 * STEP, true).unwrap();
        assert_eq!(everything(&db), want);
    }
    assert_eq!(value(&registry, "prometheus_tsdb_compactions_failed_total"), 0.0);
    assert!(!twin.exists() && !block.exists(), "both are in one now");
}

#[test]
fn a_clock_that_is_ahead_makes_no_rule_take_more() {
    let rule = || tsdb::RetentionRule {
        matchers: vec![Matcher::equal("target", "3")],
        time: Duration::from_millis(4 * RANGE as u64),
    };
    let left = |ahead: i64| {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
        scrape(&db, START, 600, &mut Dump::new());
        db.set_retention(tsdb::Retention { rules: vec![rule()], ..Default::default() });
        db.upkeep(START + 600 * STEP + ahead, true).unwrap();
        everything(&db)
    };
    let right = left(0);
    assert!(right.contains_key(&named("m", 3)));
    assert!(left(365 * 86_400_000) == right);
}

#[test]
fn retention_rules_leave_blocks_alone_that_wait_for_their_upload() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("thanos.shipper.json");
    let with_list = DbOptions { upload_list: Some(list.clone()), ..options() };
    let db = Db::open(dir.path(), with_list, &Registry::new()).unwrap();
    let rule = tsdb::RetentionRule { matchers: vec![Matcher::equal("target", "3")], time: Duration::ZERO };
    db.set_retention(tsdb::Retention { rules: vec![rule], ..Default::default() });
    let mut want = Dump::new();
    scrape(&db, START, 600, &mut want);
    for _ in 0..2 {
        db.upkeep(START + 600 * STEP, true).unwrap();
        assert_eq!(everything(&db), want, "nothing is uploaded yet");
    }
    let before = db.blocks().current();
    let uploaded: Vec<String> =
        before.iter().take(2).map(|block| format!("{:?}", block.meta().ulid)).collect();
    std::fs::write(&list, format!(r#"{{"version":1,"uploaded":[{}]}}"#, uploaded.join(","))).unwrap();
    db.upkeep(START + 600 * STEP, true).unwrap();
    let border = before[1].meta().max_time;
    want.iter_mut()
        .filter(|(labels, _)| labels.value("target") == "3")
        .for_each(|(_, samples)| samples.retain(|(t, _)| *t >= border));
    want.retain(|_, samples| !samples.is_empty());
    assert_eq!(everything(&db), want);
}

#[test]
fn deleted_samples_are_hidden_at_once_and_gone_after_cleaning() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    let mut want = Dump::new();
    scrape(&db, START, 600, &mut want);
    db.upkeep(START + 600 * STEP, true).unwrap();
    db.delete(&[Matcher::equal("i", "4")], i64::MIN, i64::MAX, START).unwrap();
    db.delete(&[Matcher::equal("target", "2")], START + 50 * STEP, START + 70 * STEP, START).unwrap();
    for (labels, samples) in &mut want {
        samples.retain(|_| labels.value("i") != "4");
        let middle = START + 50 * STEP..=START + 70 * STEP;
        samples.retain(|(t, _)| labels.value("target") != "2" || !middle.contains(t));
    }
    want.retain(|_, samples| !samples.is_empty());
    assert_eq!(everything(&db), want);
    let size = value(&registry, "prometheus_tsdb_storage_blocks_bytes");
    assert!(db.blocks().current().iter().any(|b| !b.tombstones().is_empty()));
    db.clean_tombstones(START).unwrap();
    assert_eq!(everything(&db), want);
    assert!(db.blocks().current().iter().all(|b| b.tombstones().is_empty()));
    assert!(value(&registry, "prometheus_tsdb_storage_blocks_bytes") < size);
    // What comes later is kept, and what is cut has nothing of what was deleted.
    scrape(&db, START + 600 * STEP, 120, &mut want);
    db.upkeep(START + 720 * STEP, true).unwrap();
    assert_eq!(everything(&db), want);
}

#[test]
fn samples_out_of_order_get_blocks_of_their_own_and_are_merged_into_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut late = options();
    late.head.out_of_order_window = Duration::from_secs(600);
    let db = Db::open(dir.path(), late.clone(), &Registry::new()).unwrap();
    let mut want = Dump::new();
    scrape(&db, START, 400, &mut want);
    let write_late = |db: &Db, want: &mut Dump| {
        for (i, t) in [(0, 30_500), (3, 30_600), (0, 100_100), (5, 10_001), (50, 200_200), (50, 50_050)] {
            let (labels, t) = (named("m", i), START + t);
            write(db, &[(labels.clone(), t, 77.0)]);
            let samples = want.entry(labels).or_default();
            samples.push((t, 77f64.to_bits()));
            samples.sort_unstable();
        }
    };
    write_late(&db, &mut want);
    assert_eq!(everything(&db), want);
    db.upkeep(START + 400 * STEP, true).unwrap();
    assert_eq!(everything(&db), want);
    // What came out of order was merged into the blocks that have the rest of its time.
    let blocks = db.blocks().current();
    assert!(blocks.windows(2).all(|pair| pair[0].meta().max_time <= pair[1].meta().min_time));
    assert!(everything(&**db.head()).values().flatten().all(|(_, v)| *v != 77f64.to_bits()));
    drop(blocks);
    drop(db);
    let db = Db::open(dir.path(), late, &Registry::new()).unwrap();
    assert_eq!(everything(&db), want);
    let snapshot = {
        write(&db, &[(named("m", 0), START + 30_501, 78.0)]);
        want.get_mut(&named("m", 0)).unwrap().push((START + 30_501, 78f64.to_bits()));
        want.get_mut(&named("m", 0)).unwrap().sort_unstable();
        db.snapshot("late", false, START).unwrap()
    };
    assert_eq!(everything(&block::Blocks::open(&snapshot, &Registry::new()).unwrap()), want);
}

/// Series 0 to 39 for a range and a half; those below `ended` end then.
fn some_series_end(db: &Db, ended: usize) -> Dump {
    let mut want = Dump::new();
    for round in 0..80 {
        let t = START + RANGE / 2 + round * STEP;
        let stale = |i: usize| round == 79 && i < ended;
        let value = |i: usize| if stale(i) { model::STALE_NAN } else { (round * i as i64) as f64 };
        let samples: Vec<_> = (0..40).map(|i| (named("m", i), t, value(i))).collect();
        write(db, &samples);
        for (labels, t, v) in samples {
            want.entry(labels).or_default().push((t, v.to_bits()));
        }
    }
    want
}

#[test]
fn when_many_series_have_ended_they_are_moved_to_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), options(), &registry).unwrap();
    let mut want = some_series_end(&db, 20);
    let now = START + 2 * RANGE;
    let chunks = |registry: &Registry| value(registry, "prometheus_tsdb_head_chunks");

    db.set_stale_series_threshold(0.6);
    db.upkeep(now, true).unwrap();
    assert_eq!(db.head().series_count(), 40, "half of them are not enough");
    let before = chunks(&registry);
    db.set_stale_series_threshold(0.5);
    db.upkeep(now, true).unwrap();
    assert_eq!(db.head().series_count(), 20);
    assert!(chunks(&registry) < before);
    assert_eq!(everything(&db), want);
    assert_eq!(value(&registry, "prometheus_tsdb_stale_series_compactions_triggered_total").to_string(), "1");
    let blocks = db.blocks().current();
    let hinted = blocks.iter().filter(|block| block.meta().compaction.has_hint("from-stale-series"));
    assert_eq!(hinted.count(), blocks.len());
    assert_eq!(blocks.len(), 2, "one for each range");

    // One of them comes back, and goes on in the head.
    let back = (named("m", 3), START + RANGE / 2 + 90 * STEP, 4.5);
    write(&db, std::slice::from_ref(&back));
    want.get_mut(&back.0).unwrap().push((back.1, back.2.to_bits()));
    assert_eq!(db.head().series_count(), 21);
    assert_eq!(everything(&db), want);

    // Nor does a restart bring them back, whether by the log or by a checkpoint of it.
    db.head().sync().unwrap();
    for round in 0..2 {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let again = open(copy.path());
        again.upkeep(now, true).unwrap();
        again.upkeep(now, true).unwrap();
        assert_eq!(again.head().series_count(), 21, "round {round}");
        assert_eq!(everything(&again), want, "round {round}");
        db.head().checkpoint_now().unwrap();
    }
}

#[test]
fn thousands_of_series_end_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    db.set_stale_series_threshold(0.5);
    let mut want = Dump::new();
    let mut memory = Vec::new();
    for round in 0..3 {
        let t = START + round * 10 * STEP;
        let name = format!("round{round}");
        let alive = [(named("stays", 1), t, 1.0)];
        let born: Vec<_> = (0..4000).map(|i| (named(&name, i * 7), t, 1.0)).collect();
        let ended = born.iter().map(|(labels, t, _)| (labels.clone(), t + STEP, model::STALE_NAN)).collect();
        for samples in [Vec::from(alive), born, ended] {
            write(&db, &samples);
            for (labels, t, v) in samples {
                want.entry(labels).or_default().push((t, v.to_bits()));
            }
        }
        db.upkeep(t + 2 * STEP, true).unwrap();
        assert_eq!(db.head().series_count(), 1);
        assert_eq!(everything(&db), want);
        memory.push(db.head().memory());
    }
    assert!(memory[2] <= memory[0] + memory[0] / 4, "{memory:?}");
}

#[test]
fn when_memory_is_short_series_that_have_ended_are_moved_to_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryBudget::new(1 << 30);
    let mut options = options();
    options.head.memory = memory.clone();
    let db = Db::open(dir.path(), options, &Registry::new()).unwrap();
    let want = some_series_end(&db, 10);
    db.upkeep(START + 2 * RANGE, true).unwrap();
    assert_eq!(db.head().series_count(), 40);
    memory.account("others").set((1 << 30) / 100 * 86);
    db.upkeep(START + 2 * RANGE, true).unwrap();
    assert_eq!(db.head().series_count(), 30);
    assert_eq!(everything(&db), want);
    db.upkeep(START + 2 * RANGE, true).unwrap();
    assert_eq!(db.blocks().current().len(), 2, "once is enough");
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
