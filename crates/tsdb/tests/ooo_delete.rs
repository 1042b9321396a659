//! What is deleted is gone, in whatever order it came, and what comes later is there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exposition::Registry;
use model::{Labels, Matcher};
use proptest::prelude::*;
use storage::Select;
use support::{Dump, everything, named, try_write, write};
use tsdb::{Db, DbOptions, HeadOptions};

/// A multiple of a minute.
const START: i64 = 1_700_000_040_000;
const SECOND: i64 = 1_000;
const SERIES: usize = 3;

/// A database whose blocks are a minute long, and whose buffers are soon full.
fn open(dir: &Path) -> Db {
    let head = HeadOptions {
        chunk_range: Duration::from_secs(60),
        out_of_order_window: Duration::from_secs(600),
        out_of_order_cap: 6,
        samples_per_chunk: 20,
        lock_file: false,
        shards: 2,
        ..HeadOptions::default()
    };
    let options = DbOptions { head, max_block: Duration::from_secs(240), ..DbOptions::default() };
    Db::open(dir, options, &Registry::new()).unwrap()
}

fn delete(db: &Db, series: usize, min_time: i64, max_time: i64) {
    db.delete(&[Matcher::equal("i", series.to_string())], min_time, max_time, START + 240 * SECOND).unwrap();
}

/// All samples but of series that have none.
fn samples(store: &impl Select) -> Dump {
    everything(store).into_iter().filter(|(_, samples)| !samples.is_empty()).collect()
}

fn times(db: &Db, now: i64) -> Vec<i64> {
    samples(db).into_values().flatten().map(|(t, _)| (now - t) / SECOND).collect()
}

#[test]
fn a_series_is_gone_with_what_came_out_of_order_and_may_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let now = START + 50 * SECOND;
    let put = |db: &Db, backs: &[i64]| {
        for back in backs {
            write(db.head(), &[(named("x", 1), now - back * SECOND, *back as f64)]);
        }
    };
    let db = open(dir.path());
    put(&db, &[20, 10, 15, 30]);
    assert_eq!(times(&db, now), [30, 20, 15, 10]);
    delete(&db, 1, i64::MIN, i64::MAX);
    assert_eq!(times(&db, now), [0; 0]);
    drop(db);
    let db = open(dir.path());
    assert_eq!(times(&db, now), [0; 0]);
    // Also times that it had before.
    put(&db, &[12, 15, 20, 40]);
    assert_eq!(times(&db, now), [40, 20, 15, 12]);
    delete(&db, 1, now - 21 * SECOND, now - 14 * SECOND);
    assert_eq!(times(&db, now), [40, 12]);
    std::mem::forget(db);
    let db = open(dir.path());
    assert_eq!(times(&db, now), [40, 12]);
}

#[test]
fn deleted_samples_of_chunks_do_not_come_back_with_blocks_or_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut want: BTreeMap<Labels, Vec<(i64, u64)>> = BTreeMap::new();
    let db = open(dir.path());
    // Two chunks and a buffer of samples out of order.
    write(db.head(), &[(named("x", 1), START + 59 * SECOND, 1.0)]);
    for i in 0..15 {
        write(db.head(), &[(named("x", 1), START + (i * 7 % 15) * 2 * SECOND, i as f64)]);
    }
    let before = samples(&db);
    assert_eq!(before[&named("x", 1)].len(), 16);
    let (from, to) = (START + 9 * SECOND, START + 21 * SECOND);
    delete(&db, 1, from, to);
    for (labels, samples) in before {
        want.insert(labels, samples.into_iter().filter(|(t, _)| !(from..=to).contains(t)).collect());
    }
    assert_eq!(samples(&db), want);
    std::mem::forget(db);
    // The chunks in order keep the files of the others.
    let db = open(dir.path());
    assert_eq!(samples(&db), want);
    for i in 60..240 {
        write(db.head(), &[(named("x", 1), START + i * SECOND, 0.5)]);
        want.entry(named("x", 1)).or_default().push((START + i * SECOND, 0.5f64.to_bits()));
    }
    for _ in 0..3 {
        db.upkeep(START + 240 * SECOND, true).unwrap();
        assert_eq!(samples(&db), want);
    }
    assert!(!dir.path().join("wbl/00000000").exists(), "it is in blocks");
    drop(db);
    for _ in 0..2 {
        let db = open(dir.path());
        assert_eq!(samples(&db), want);
        db.upkeep(START + 240 * SECOND, true).unwrap();
        assert_eq!(samples(&db), want);
    }
}

/// What an inspection finds.
struct Damage(Vec<String>);

impl block::Inspector for Damage {
    fn damaged(&mut self, file: &Path, offset: Option<u64>, what: &str) {
        self.0.push(format!("{} at {offset:?}: {what}", file.display()));
    }

    fn noticed(&mut self, _: &Path, _: &str) {}

    fn advanced(&mut self, _: u64) {}
}

/// Chunks in order keep the file alive that has chunks of samples out of order that are in blocks already.
#[test]
fn what_was_deleted_from_blocks_is_not_found_again_in_chunk_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut want: Vec<i64> = Vec::new();
    let db = open(dir.path());
    for i in 0..110 {
        write(db.head(), &[(named("x", 1), START + i * SECOND, 1.0)]);
        want.push(i);
        if i > 70 {
            write(db.head(), &[(named("x", 1), START + (i - 20) * SECOND + 500, 2.0)]);
        }
    }
    db.upkeep(START + 110 * SECOND, true).unwrap();
    assert!(!dir.path().join("wbl/00000000").exists(), "it is in blocks");
    delete(&db, 1, START + 40 * SECOND, START + 95 * SECOND);
    want.retain(|i| !(40..=95).contains(i));
    let seconds = |db: &Db| -> Vec<i64> {
        samples(db).into_values().flatten().map(|(t, _)| (t - START) / SECOND).collect()
    };
    assert_eq!(seconds(&db), want);
    let mut damage = Damage(Vec::new());
    let found = tsdb::inspect_chunks_head(dir.path(), &mut damage).unwrap();
    assert!(found.chunks > 0);
    assert_eq!(damage.0, [""; 0]);
    std::mem::forget(db);
    for _ in 0..2 {
        let db = open(dir.path());
        assert_eq!(seconds(&db), want);
        assert_eq!(db.head().corruptions(), 0);
    }
}

/// Prometheus applies what was deleted from the head to samples out of order too, whenever they came.
#[test]
fn what_came_late_into_a_deleted_time_is_in_blocks_when_the_database_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    for i in 0..20 {
        write(
            db.head(),
            &[(named("x", 1), START + i * SECOND, 1.0), (named("x", 2), START + i * SECOND, 1.0)],
        );
    }
    delete(&db, 1, START + 5 * SECOND, START + 14 * SECOND);
    write(db.head(), &[(named("x", 2), START + 7_500, 2.0)]);
    let blocks = |dir: &Path| {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.filter(|entry| block::Meta::read(&entry.as_ref().unwrap().path()).is_ok()).count()
    };
    db.close().unwrap();
    assert_eq!(blocks(dir.path()), 0, "of another series");
    drop(db);
    let db = open(dir.path());
    write(db.head(), &[(named("x", 1), START + 7_500, 2.0)]);
    let want = samples(&db);
    assert_eq!(want[&named("x", 1)].len(), 11);
    db.close().unwrap();
    db.close().unwrap();
    drop(db);
    assert_eq!(blocks(dir.path()), 1);
    let db = open(dir.path());
    assert_eq!(samples(&db), want);
    assert_eq!(std::fs::read_dir(dir.path().join("wbl")).unwrap().count(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    /// Series, and how many half seconds before now.
    Late(Vec<(usize, i64)>),
    /// Series, and the time in seconds before now.
    Delete(usize, i64, i64),
    Go(i64),
    Cut,
    Restart(End),
}

#[test]
fn samples_come_late_while_others_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let now = START + 599 * SECOND;
    for series in 0..4 {
        write(db.head(), &[(named("x", series), now, 0.0)]);
    }
    let done = AtomicBool::new(false);
    let late = |series: usize, i: i64| (named("x", series), START + i * 37, i as f64);
    let counts: Vec<i64> = std::thread::scope(|scope| {
        let (db, done) = (&db, &done);
        let appending = |series| {
            scope.spawn(move || {
                let mut i = 0;
                while !done.load(Ordering::Relaxed) && i < 15_000 {
                    i += 1;
                    write(db.head(), &[late(series, i)]);
                }
                i
            })
        };
        let appending = [appending(1), appending(2)];
        for i in 0..20 {
            (0..10).for_each(|k| write(db.head(), &[late(3, i * 10 + k)]));
            delete(db, 3, i64::MIN, i64::MAX);
        }
        done.store(true, Ordering::Relaxed);
        appending.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let check = |db: &Db| {
        let all = samples(db);
        assert!(!all.contains_key(&named("x", 3)));
        for (series, count) in [1, 2].into_iter().zip(&counts) {
            let mut want: Vec<(i64, u64)> =
                (1..=*count).map(|i| late(series, i)).map(|(_, t, v)| (t, v.to_bits())).collect();
            want.push((now, 0));
            assert!(all[&named("x", series)] == want, "{} of {}", all[&named("x", series)].len(), want.len());
        }
    };
    check(&db);
    std::mem::forget(db);
    check(&open(dir.path()));
}

#[derive(Debug, Clone)]
enum End {
    Killed,
    Dropped,
    Closed,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..SERIES, 0i64..120), 1..20).prop_map(Step::Late),
        2 => (0..SERIES, 0i64..130, 0i64..60).prop_map(|(i, back, length)| Step::Delete(i, back, length)),
        2 => (1i64..40).prop_map(Step::Go),
        1 => Just(Step::Cut),
        1 => prop_oneof![Just(End::Killed), Just(End::Dropped), Just(End::Closed)].prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_deleted_goes_and_what_comes_later_stays(steps in prop::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Some(open(dir.path()));
        let mut want: BTreeMap<Labels, BTreeMap<i64, u64>> = BTreeMap::new();
        let (mut now, mut count) = (START, 0.0);
        for step in &steps {
            let open_now = db.as_ref().unwrap();
            // In order first: a series that has nothing else would take any sample as its first in order.
            now += SECOND;
            for series in 0..SERIES {
                write(open_now.head(), &[(named("m", series), now, series as f64)]);
                want.entry(named("m", series)).or_default().insert(now, (series as f64).to_bits());
            }
            match step {
                Step::Late(late) => for &(series, back) in late {
                    let t = now - back * SECOND - SECOND / 2;
                    count += 1.0;
                    let of_series = want.get_mut(&named("m", series)).unwrap();
                    // Of two of one time either may be read.
                    let v = of_series.get(&t).copied().map_or(count, f64::from_bits);
                    let outcome = try_write(open_now.head(), &[(named("m", series), t, v)]);
                    prop_assert!(outcome.rejected.is_empty());
                    of_series.insert(t, v.to_bits());
                },
                Step::Delete(series, back, length) => {
                    let (min, max) = (now - back * SECOND, now - (back - length) * SECOND);
                    delete(open_now, *series, min, max);
                    want.get_mut(&named("m", *series)).unwrap().retain(|t, _| !(min..=max).contains(t));
                }
                Step::Go(seconds) => now += seconds * SECOND,
                Step::Cut => open_now.upkeep(now, true).unwrap(),
                Step::Restart(end) => {
                    let old = db.take().unwrap();
                    match end {
                        End::Killed => std::mem::forget(old),
                        End::Dropped => drop(old),
                        End::Closed => old.close().unwrap(),
                    }
                    db = Some(open(dir.path()));
                }
            }
            let all: Dump = want
                .iter()
                .filter(|(_, samples)| !samples.is_empty())
                .map(|(labels, samples)| (labels.clone(), samples.iter().map(|(&t, &v)| (t, v)).collect()))
                .collect();
            prop_assert_eq!(samples(db.as_ref().unwrap()), all, "after {:?}", step);
        }
    }
}
