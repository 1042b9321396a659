//! Starts: samples that come while the log is replayed, and processes that are killed meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use exposition::Registry;
use storage::{Affinity, Append, AppendError, Batch, BatchSample, Outcome, Rejection, SeriesRef};
use support::{Dump, everything, named, open_with, try_write};
use tsdb::{Head, HeadOptions, OpenError};

const START: i64 = 1_700_000_000_000;
const STEP: i64 = 15_000;

/// The lock of a process that is dead is not held; here it is this process, so tests open without.
fn options(shards: usize) -> HeadOptions {
    HeadOptions { lock_file: false, shards, ..HeadOptions::default() }
}

fn replaying(dir: &Path, shards: usize) -> Head {
    Head::open_replaying(dir, options(shards), &Registry::new()).unwrap()
}

/// A process that is killed: nothing is closed.
fn kill(head: Head) {
    std::mem::forget(head);
}

/// One sample of each of `series`, all at one time.
fn scrape(head: &Head, want: &mut Dump, series: std::ops::Range<usize>, round: i64) {
    let t = START + round * STEP;
    let samples: Vec<_> = series.map(|i| (named("m", i), t, (round * 1000 + i as i64) as f64)).collect();
    loop {
        let outcome = try_write(head, &samples);
        let unknown = |rejected: &(u32, Rejection)| rejected.1 == Rejection::UnknownSeries;
        // The replay ended between looking up the series and writing: as a scrape does, once more.
        if !outcome.rejected.is_empty() && outcome.rejected.iter().all(unknown) {
            continue;
        }
        assert_eq!(outcome.rejected, []);
        break;
    }
    for (labels, t, v) in samples {
        want.entry(labels).or_default().push((t, v.to_bits()));
    }
}

#[test]
fn what_comes_while_the_log_is_replayed_is_there_when_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Dump::new();
    let head = open_with(dir.path(), options(4));
    (0..200).for_each(|round| scrape(&head, &mut want, 0..30, round));
    kill(head);

    let head = replaying(dir.path(), 4);
    assert!(!head.is_live());
    // Series that the log has, and some that it does not have.
    (200..205).for_each(|round| scrape(&head, &mut want, 20..50, round));
    assert!(dir.path().join("wal-young").is_dir());
    head.replay().unwrap();
    assert!(head.is_live());
    assert!(!dir.path().join("wal-young").exists());
    assert_eq!(everything(&head), want);
    assert_eq!(head.series_count(), 50);
    assert_eq!(head.time_range(), Some((START, START + 204 * STEP)));
    (205..210).for_each(|round| scrape(&head, &mut want, 0..50, round));
    assert_eq!(everything(&head), want);
    drop(head);
    assert_eq!(everything(&open_with(dir.path(), options(4))), want);
}

#[test]
fn what_was_seen_during_the_replay_only_is_ended_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let head = replaying(dir.path(), 2);
    let goes = head.resolve(Affinity(0), &named("goes", 1)).unwrap().series;
    let sample = |t, v| BatchSample { series: goes, t, v };
    let mut outcome = Outcome::default();
    head.append(&Batch { samples: vec![sample(START, 1.0)], ..Batch::default() }, &mut outcome).unwrap();
    head.replay().unwrap();
    // Nobody has its labels any more: the scrape that would look them up does not name it.
    let samples = vec![sample(START + STEP, model::STALE_NAN), sample(START + 2 * STEP, 1.0)];
    head.append(&Batch { samples, ..Batch::default() }, &mut outcome).unwrap();
    assert_eq!((outcome.appended, outcome.rejected), (1, vec![(1, Rejection::UnknownSeries)]));
    let last = everything(&head)[&named("goes", 1)].last().copied();
    assert_eq!(last, Some((START + STEP, model::STALE_NAN.to_bits())));
}

#[test]
fn handles_from_before_the_end_of_the_replay_are_looked_up_anew() {
    let dir = tempfile::tempdir().unwrap();
    let head = replaying(dir.path(), 2);
    let early = head.resolve(Affinity(0), &named("m", 1)).unwrap();
    assert!(early.created);
    assert_eq!(head.resolve(Affinity(0), &named("m", 1)).unwrap().series, early.series);
    head.replay().unwrap();
    let mut batch = Batch::default();
    batch.samples.push(BatchSample { series: early.series, t: START, v: 1.0 });
    let mut outcome = Outcome::default();
    head.append(&batch, &mut outcome).unwrap();
    assert_eq!(outcome.rejected, [(0, Rejection::UnknownSeries)]);
    let late = head.resolve(Affinity(0), &named("m", 1)).unwrap();
    assert_ne!(late.series, early.series);
    assert!(!late.created, "the series was in the log");
    // And handles of the last process are unknown while the next one replays.
    kill(head);
    let head = replaying(dir.path(), 2);
    batch.samples[0].series = late.series;
    head.append(&batch, &mut outcome).unwrap();
    assert_eq!(outcome.rejected, [(0, Rejection::UnknownSeries)]);
    batch.samples[0].series = early.series;
    head.append(&batch, &mut outcome).unwrap();
    assert_eq!(outcome.rejected, [(0, Rejection::UnknownSeries)]);
}

#[test]
fn of_a_series_under_two_handles_the_first_sample_wins() {
    let dir = tempfile::tempdir().unwrap();
    let head = replaying(dir.path(), 2);
    let labels = named("m", 0);
    let before = head.resolve(Affinity(0), &labels).unwrap().series;
    let mut outcome = Outcome::default();
    let mut append = |t: i64, samples: [(SeriesRef, f64); 2]| {
        let samples = samples.map(|(series, v)| BatchSample { series, t, v });
        head.append(&Batch { samples: samples.into(), ..Batch::default() }, &mut outcome).unwrap();
        outcome.rejected.clone()
    };
    append(START, [(before, 0.0), (before, 5.0)]);
    head.replay().unwrap();
    let after = head.resolve(Affinity(0), &labels).unwrap().series;
    assert_ne!(before, after);
    let both = [(0, Rejection::UnknownSeries), (1, Rejection::UnknownSeries)];
    assert_eq!(append(START + 1, [(before, 1.0), (after, 2.0)]), both);
    assert_eq!(append(START + 1, [(after, 1.0), (after, 2.0)]), [(1, Rejection::Duplicate)]);
    assert_eq!(everything(&head)[&labels], [(START, 0.0f64.to_bits()), (START + 1, 1.0f64.to_bits())]);
}

#[test]
fn processes_killed_while_they_replay_lose_nothing() {
    for shards in [[2, 2, 2, 2], [1, 4, 2, 8]] {
        let dir = tempfile::tempdir().unwrap();
        let mut want = Dump::new();
        let mut round = 0;
        let mut rounds = |head: &Head, want: &mut Dump, n: i64, series: std::ops::Range<usize>| {
            (0..n).for_each(|_| {
                scrape(head, want, series.clone(), round);
                round += 1;
            });
        };
        let head = open_with(dir.path(), options(shards[0]));
        rounds(&head, &mut want, 130, 0..10);
        kill(head);
        // Killed before the replay began; a series is new, another goes.
        for start in 0..3 {
            let head = replaying(dir.path(), shards[1]);
            rounds(&head, &mut want, 3, 2..12 + start);
            kill(head);
        }
        // One comes through, with chunks that become full while it replays, and is killed later.
        let head = replaying(dir.path(), shards[2]);
        rounds(&head, &mut want, 250, 2..20);
        head.replay().unwrap();
        assert_eq!(everything(&head), want);
        rounds(&head, &mut want, 5, 2..22);
        kill(head);
        let head = replaying(dir.path(), shards[3]);
        rounds(&head, &mut want, 2, 0..25);
        head.replay().unwrap();
        assert_eq!(everything(&head), want, "shards {shards:?}");
        rounds(&head, &mut want, 150, 0..25);
        kill(head);
        let head = open_with(dir.path(), options(shards[0]));
        assert_eq!(everything(&head), want, "shards {shards:?}, last start");
        assert_eq!(head.series_count(), 25);
    }
}

#[test]
fn starts_do_not_fill_the_log_with_names_of_known_series() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Dump::new();
    let head = open_with(dir.path(), options(2));
    (0..5).for_each(|round| scrape(&head, &mut want, 0..10, round));
    kill(head);
    let head = replaying(dir.path(), 2);
    (5..8).for_each(|round| scrape(&head, &mut want, 5..15, round));
    kill(head);
    let mut sizes = Vec::new();
    for start in 0..4 {
        let head = replaying(dir.path(), 2);
        let rounds = 8 + start * 10..12 + start * 10;
        rounds.for_each(|round| scrape(&head, &mut want, 5..15, round));
        head.replay().unwrap();
        scrape(&head, &mut want, 0..20, 12 + start * 10);
        head.checkpoint_now().unwrap();
        assert_eq!(everything(&head), want);
        kill(head);
        let checkpoint = std::fs::read_dir(dir.path().join("wal"))
            .unwrap()
            .flatten()
            .find(|e| e.file_name().to_string_lossy().starts_with("checkpoint"))
            .unwrap();
        sizes.push(std::fs::metadata(checkpoint.path().join("00000000")).unwrap().len());
        let head = open_with(dir.path(), options(2));
        assert_eq!(everything(&head), want, "start {start}");
        kill(head);
    }
    // Only samples are added from one to the next.
    assert!(sizes.windows(2).all(|w| w[1] < w[0] + 2000), "{sizes:?}");
}

#[test]
fn appends_go_on_while_the_replay_ends() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), options(4));
    let mut want = Dump::new();
    (0..50).for_each(|round| scrape(&head, &mut want, 0..500, round));
    kill(head);
    for killed in [false, true] {
        let head = replaying(dir.path(), 4);
        let ended = AtomicBool::new(false);
        let first = if killed { 1_000_000 } else { 50 };
        let written = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let (head, ended) = (&head, &ended);
                    scope.spawn(move || {
                        let mut written = Dump::new();
                        let series = writer * 200..writer * 200 + 200;
                        let mut round = first;
                        // Some more after the end.
                        let mut more = 20;
                        while more > 0 {
                            scrape(head, &mut written, series.clone(), round);
                            round += 1;
                            more -= i32::from(ended.load(Ordering::Relaxed));
                        }
                        written
                    })
                })
                .collect();
            head.replay().unwrap();
            ended.store(true, Ordering::Relaxed);
            writers.into_iter().map(|w| w.join().unwrap()).collect::<Vec<_>>()
        });
        for (labels, samples) in written.into_iter().flatten() {
            want.entry(labels).or_default().extend(samples);
        }
        assert_eq!(everything(&head), want);
        if killed {
            kill(head);
        }
    }
    assert_eq!(everything(&open_with(dir.path(), options(4))), want);
}

#[test]
fn limits_hold_while_the_log_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions { max_series: 3, ..options(2) };
    let head = Head::open_replaying(dir.path(), options, &Registry::new()).unwrap();
    for i in 0..3 {
        head.resolve(Affinity(0), &named("m", i)).unwrap();
    }
    assert!(matches!(head.resolve(Affinity(0), &named("m", 3)), Err(AppendError::SeriesLimit(_))));
    head.resolve(Affinity(0), &named("m", 2)).unwrap();
    assert_eq!(try_write(&head, &[(named("m", 1), START, 1.0)]).appended, 1);
    head.replay().unwrap();
    assert_eq!(head.series_count(), 3);
    assert!(matches!(head.resolve(Affinity(0), &named("m", 3)), Err(AppendError::SeriesLimit(_))));
}

#[test]
fn a_head_that_is_closed_while_it_replays_says_so_and_keeps_what_came() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Dump::new();
    let head = open_with(dir.path(), options(2));
    (0..5).for_each(|round| scrape(&head, &mut want, 0..10, round));
    kill(head);
    let head = replaying(dir.path(), 2);
    scrape(&head, &mut want, 0..20, 5);
    head.close().unwrap();
    assert!(matches!(head.replay(), Err(OpenError::Closed)));
    assert!(matches!(head.resolve(Affinity(0), &named("m", 0)), Err(AppendError::Closed)));
    drop(head);
    assert_eq!(everything(&open_with(dir.path(), options(2))), want);
}
