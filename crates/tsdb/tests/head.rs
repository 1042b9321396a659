//! The head through its two doors: what is appended can be selected, before and after a restart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use model::{MatchOp, Matcher};
use storage::{
    Affinity, Append, AppendError, Batch, BatchSample, Newest, Outcome, QueryContext, Rejection, Request,
    Select, SeriesRef,
};
use support::{Dump, everything, labels, named, open, open_with, read, try_write, write};
use tsdb::{Head, HeadOptions};

const START: i64 = 1_700_000_000_000;

#[test]
fn what_was_appended_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let mut want = Dump::new();
    for round in 0..500 {
        let t = START + round * 15_000;
        let samples: Vec<_> = (0..40)
            .map(|i| (named("m", i), t, if i % 2 == 0 { 7.5 } else { (round * i as i64) as f64 }))
            .collect();
        write(&head, &samples);
        for (labels, t, v) in samples {
            want.entry(labels).or_default().push((t, v.to_bits()));
        }
    }
    assert_eq!(everything(&head), want);
    assert_eq!(head.series_count(), 40);
    drop(head);
    // A clean restart, and one without the mapped chunks: the log alone has everything too.
    let head = open(dir.path());
    assert_eq!(everything(&head), want);
    drop(head);
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let head = open(dir.path());
    assert_eq!(everything(&head), want);
}

#[test]
fn mapped_chunks_take_no_more_of_the_disk_than_they_are_long() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions { samples_per_chunk: 8, ..HeadOptions::default() });
    for round in 0..200 {
        write(&head, &[(named("m", 1), START + round * 1_000, round as f64)]);
    }
    // As a killed process leaves it: a copy must not grow, and retention by size must not count what is not there.
    let length = std::fs::metadata(dir.path().join("chunks_head/000001")).unwrap().len();
    assert!((500..100_000).contains(&length), "{length}");
    assert_eq!(support::everything(&head).len(), 1);
}

#[test]
fn refusals_name_their_reason_and_keep_nothing_else_out() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let a = named("a", 1);
    write(&head, &[(a.clone(), START, 1.0)]);
    let series = head.resolve(Affinity(0), &a).unwrap().series;
    let samples = vec![
        BatchSample { series, t: START, v: 1.0 }, // the same again: no error
        BatchSample { series, t: START, v: 2.0 }, // another value
        BatchSample { series, t: START - 1, v: 2.0 }, // older
        BatchSample { series: SeriesRef(1 << 40), t: START, v: 2.0 }, // nobody
        BatchSample { series, t: START - 3_600_001, v: 2.0 }, // older than half a chunk range
        BatchSample { series, t: START + 1, v: 3.0 }, // fine
        BatchSample { series, t: START + 1, v: 4.0 }, // clashes within the batch
    ];
    let mut outcome = Outcome::default();
    head.append(&Batch { samples, ..Batch::default() }, &mut outcome).unwrap();
    assert_eq!(outcome.appended, 1);
    assert_eq!(
        outcome.rejected,
        [
            (1, Rejection::Duplicate),
            (2, Rejection::OutOfOrder),
            (3, Rejection::UnknownSeries),
            (4, Rejection::OutOfBounds),
            (6, Rejection::Duplicate)
        ]
    );
    assert_eq!(everything(&head)[&a], [(START, 1f64.to_bits()), (START + 1, 3f64.to_bits())]);
}

#[test]
fn a_closed_head_refuses_and_a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let again = tsdb::Head::open(dir.path(), HeadOptions::default(), &exposition::Registry::new());
    assert!(matches!(again, Err(tsdb::OpenError::InUse(_))));
    head.close().unwrap();
    assert!(matches!(head.resolve(Affinity(0), &named("a", 1)), Err(AppendError::Closed)));
}

#[test]
fn the_series_limit_refuses_new_series_only() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions { max_series: 2, ..HeadOptions::default() });
    for i in 0..2 {
        head.resolve(Affinity(1), &named("a", i)).unwrap();
    }
    assert!(
        matches!(head.resolve(Affinity(1), &named("a", 2)), Err(AppendError::SeriesLimit(text)) if text.contains("2 series"))
    );
    assert!(!head.resolve(Affinity(1), &named("a", 1)).unwrap().created);
}

#[test]
fn matchers_select_as_prometheus_does() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let sets = [
        labels(&[("__name__", "up"), ("job", "a"), ("instance", "1")]),
        labels(&[("__name__", "up"), ("job", "a"), ("instance", "2"), ("zone", "x")]),
        labels(&[("__name__", "up"), ("job", "b"), ("instance", "1")]),
        labels(&[("__name__", "down"), ("job", "b"), ("target", "long")]),
        labels(&[("__name__", "down"), ("instance", "22")]),
    ];
    write(&head, &sets.clone().map(|l| (l, START, 1.0)));
    let cases: &[&[(MatchOp, &str, &str)]] = &[
        &[(MatchOp::Equal, "__name__", "up")],
        &[(MatchOp::Equal, "__name__", "up"), (MatchOp::Equal, "job", "a")],
        &[(MatchOp::Equal, "__name__", "nope")],
        &[(MatchOp::NotEqual, "job", "a"), (MatchOp::Regex, "__name__", ".+")],
        &[(MatchOp::Equal, "job", ""), (MatchOp::Regex, "__name__", ".+")],
        &[(MatchOp::NotEqual, "job", "")],
        &[(MatchOp::Regex, "instance", "1|2")],
        &[(MatchOp::Regex, "instance", "2.*")],
        &[(MatchOp::Regex, "instance", "1|"), (MatchOp::Regex, "__name__", "up|down")],
        &[(MatchOp::NotRegex, "instance", "1|2"), (MatchOp::Equal, "__name__", "down")],
        &[(MatchOp::NotRegex, "zone", ".+"), (MatchOp::Equal, "job", "a")],
        &[(MatchOp::NotRegex, "instance", ".*"), (MatchOp::Equal, "job", "a")],
        &[(MatchOp::Regex, "nolabel", ".*"), (MatchOp::Equal, "job", "b")],
        &[(MatchOp::Regex, "nolabel", ".+"), (MatchOp::Equal, "job", "b")],
        &[(MatchOp::NotEqual, "nolabel", "x"), (MatchOp::NotEqual, "job", "")],
    ];
    for case in cases {
        let matchers: Vec<Matcher> =
            case.iter().map(|(op, n, v)| Matcher::new(*op, *n, *v).unwrap()).collect();
        let mut want: Vec<_> =
            sets.iter().filter(|l| matchers.iter().all(|m| m.matches_labels(l))).cloned().collect();
        want.sort();
        let got: Vec<_> = read(&head, &matchers, START, START, None).into_keys().collect();
        assert_eq!(got, want, "{case:?}");
        let request = Request {
            matchers: &matchers,
            min_time: START,
            max_time: START,
            labels: storage::Projection::All,
            newest: None,
        };
        assert_eq!(head.series(&QueryContext::unlimited(), &request).unwrap(), want, "{case:?}");
    }
    let ctx = QueryContext::unlimited();
    let up = [Matcher::equal("__name__", "up")];
    assert_eq!(
        head.label_names(&ctx, START, START, &[]).unwrap(),
        ["__name__", "instance", "job", "target", "zone"]
    );
    assert_eq!(head.label_names(&ctx, START, START, &up).unwrap(), ["__name__", "instance", "job", "zone"]);
    assert_eq!(head.label_names(&ctx, 0, 1, &[]).unwrap(), [""; 0]);
    assert_eq!(head.label_values(&ctx, "instance", START, START, &[]).unwrap(), ["1", "2", "22"]);
    assert_eq!(head.label_values(&ctx, "instance", START, START, &up).unwrap(), ["1", "2"]);
    let stats = head.stats(2);
    assert_eq!((stats.num_series, stats.num_label_pairs, stats.chunk_count), (5, 9, 5));
    assert_eq!(stats.series_by_metric, [("up".into(), 3), ("down".into(), 2)]);
    assert_eq!(stats.values_by_label, [("instance".into(), 3), ("__name__".into(), 2)]);
}

/// Where few series are left of many that have a label, each of them is looked at.
#[test]
fn few_series_are_matched_by_a_label_that_most_have() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let mut sets = Vec::new();
    for i in 0..2000 {
        let (pod, container) = (format!("p{i}"), format!("c{}", i % 7));
        let name = if i % 400 == 0 { "narrow" } else { "wide" };
        let mut pairs = vec![("__name__", name), ("pod", pod.as_str())];
        if i % 1200 != 0 {
            pairs.push(("container", container.as_str()));
        }
        sets.push(labels(&pairs));
    }
    let samples: Vec<_> = sets.iter().map(|l| (l.clone(), START, 1.0)).collect();
    write(&head, &samples);
    for (op, value) in [
        (MatchOp::NotEqual, ""),
        (MatchOp::Equal, ""),
        (MatchOp::NotEqual, "c1"),
        (MatchOp::Regex, "c1|c2|c3|c6"),
        (MatchOp::Regex, "c1|c2|"),
        (MatchOp::NotRegex, "c1|c4|"),
    ] {
        let matchers = [Matcher::equal("__name__", "narrow"), Matcher::new(op, "container", value).unwrap()];
        let mut want: Vec<_> =
            sets.iter().filter(|l| matchers.iter().all(|m| m.matches_labels(l))).cloned().collect();
        want.sort();
        let got: Vec<_> = read(&head, &matchers, START, START, None).into_keys().collect();
        assert_eq!(got, want, "{op:?} {value:?}");
    }
}

#[test]
fn only_chunks_in_range_and_only_the_newest_sample_come() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let m = [Matcher::equal("__name__", "m")];
    for round in 0..400 {
        write(&head, &[(named("m", 1), START + round * 15_000, round as f64)]);
    }
    let key = named("m", 1);
    let newest = |max_time| {
        read(&head, &m, max_time - 300_000, max_time, Some(Newest::Last))
            .remove(&key)
            .and_then(|s| s.last().copied())
    };
    assert_eq!(newest(START + 1_000_000_000), None);
    assert_eq!(newest(START + 399 * 15_000), Some((START + 399 * 15_000, 399f64.to_bits())));
    assert_eq!(read(&head, &m, START, START + 399 * 15_000, Some(Newest::Last))[&key].len(), 1);
    // In the past, the chunk that has the newest sample before that time comes whole.
    let past = &read(&head, &m, START, START + 100 * 15_000, Some(Newest::Last))[&key];
    assert!(past.len() < 250 && past.contains(&(START + 100 * 15_000, 100f64.to_bits())));
    let range = &read(&head, &m, START + 15_000, START + 30_000, None)[&key];
    assert!(range.len() < 250 && range.contains(&(START + 15_000, 1f64.to_bits())));
    assert!(read(&head, &m, START - 10, START - 1, None).is_empty());
}

#[test]
fn retention_drops_samples_series_and_files_and_a_restart_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        || HeadOptions { wal_segment_size: 32 * 1024, samples_per_chunk: 20, ..HeadOptions::default() };
    let head = open_with(dir.path(), options());
    let old = named("old", 1);
    for round in 0..40 {
        write(&head, &[(old.clone(), START + round * 15_000, round as f64)]);
    }
    let mut now = START;
    for round in 0..1000 {
        now = START + round * 15_000;
        let samples: Vec<_> =
            (0..30).map(|i| (named("m", i), now, (round * 31 + i as i64) as f64 / 7.0)).collect();
        write(&head, &samples);
        if round % 50 == 0 {
            keep_an_hour(&head, now);
        }
    }
    keep_an_hour(&head, now);
    keep_an_hour(&head, now);
    let before = everything(&head);
    assert_eq!(before.len(), 30);
    for samples in before.values() {
        let oldest = samples[0].0;
        assert!(oldest <= now - 3_600_000 + 15_000, "within retention all is kept");
        assert!(oldest >= now - 3_600_000 - 40 * 15_000, "at most a chunk more is kept");
    }
    assert!(head.label_values(&QueryContext::unlimited(), "__name__", 0, i64::MAX, &[]).unwrap() == ["m"]);
    assert!(
        dir.path().join("wal").read_dir().unwrap().any(|e| e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("checkpoint."))
    );
    drop(head);
    let head = open_with(dir.path(), options());
    let mut after = everything(&head);
    after.retain(|labels, _| labels.metric_name() == Some("m"));
    for (labels, samples) in &before {
        let kept: Vec<_> = after[labels].iter().filter(|s| s.0 >= samples[0].0).copied().collect();
        assert_eq!(&kept, samples, "{labels}");
    }
    // A reference is not used again for other labels, and the series that went can come back.
    let outcome = try_write(&head, &[(old.clone(), now + 1, 1.0)]);
    assert_eq!(outcome.appended, 1);
    drop(head);
    let head = open_with(dir.path(), options());
    keep_an_hour(&head, now + 2);
    assert_eq!(everything(&head)[&old].last(), Some(&(now + 1, 1f64.to_bits())));
}

fn keep_an_hour(head: &Head, now: i64) {
    head.truncate(now - 3_600_000).unwrap();
    head.checkpoint_now().unwrap();
}

/// A series that was dropped and comes back has two references in the log: after a restart it is one again.
#[test]
fn a_series_that_came_back_is_one_series_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let a = named("a", 1);
    write(&head, &[(a.clone(), START, 1.0), (a.clone(), START + 1, 2.0)]);
    let first = head.resolve(Affinity(1), &a).unwrap();
    for _ in 0..2 {
        head.truncate(START + 2).unwrap();
    }
    assert_eq!(head.series_count(), 0);
    // Another target has it now, so that it may live in another shard.
    let again = head.resolve(Affinity(99), &a).unwrap();
    assert!(again.created && again.series != first.series);
    let samples = vec![BatchSample { series: again.series, t: START + 5, v: 3.0 }];
    head.append(&Batch { samples, ..Batch::default() }, &mut Outcome::default()).unwrap();
    drop(head);
    let want = [(START, 1f64.to_bits()), (START + 1, 2f64.to_bits()), (START + 5, 3f64.to_bits())];
    for _ in 0..3 {
        let head = open(dir.path());
        assert_eq!(everything(&head), Dump::from([(a.clone(), want.to_vec())]));
        assert_eq!(head.series_count(), 1);
        assert!(!head.resolve(Affinity(1), &a).unwrap().created);
        head.checkpoint_now().unwrap();
    }
}

#[test]
fn a_reader_keeps_its_view_while_series_go() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    write(&head, &[(named("gone", 1), START, 1.0)]);
    let m = [Matcher::equal("__name__", "gone")];
    let request = Request {
        matchers: &m,
        min_time: 0,
        max_time: i64::MAX,
        labels: storage::Projection::All,
        newest: None,
    };
    let mut parts = head.select(&QueryContext::unlimited(), &request).unwrap();
    for _ in 0..3 {
        head.truncate(START + 1).unwrap();
    }
    assert_eq!(head.series_count(), 0);
    for i in 0..100 {
        write(&head, &[(named("new", i), START + 2, 1.0)]);
    }
    assert_eq!(parts[0].next().unwrap().unwrap().labels, named("gone", 1));
    drop(parts);
    head.truncate(START + 1).unwrap();
    assert_eq!(everything(&head).len(), 100);
}

/// Writers append batches that span shards, all samples of a batch with its number as value; readers must never
/// see a part of one.
#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions { shards: 4, ..HeadOptions::default() });
    let series: Vec<SeriesRef> =
        (0..64).map(|i| head.resolve(Affinity(i as u64 % 16), &named("b", i)).unwrap().series).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut outcome = Outcome::default();
            for round in 0..2000 {
                let samples = series
                    .iter()
                    .map(|&series| BatchSample { series, t: START + round, v: round as f64 })
                    .collect();
                head.append(&Batch { samples, ..Batch::default() }, &mut outcome).unwrap();
                assert_eq!(outcome.appended, 64);
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let m = [Matcher::equal("__name__", "b")];
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let dump = read(&head, &m, 0, i64::MAX, Some(Newest::Last));
            let newest: std::collections::BTreeSet<_> = dump.values().map(|s| s[0].0).collect();
            assert!(newest.len() <= 1, "{newest:?}");
            assert!(dump.is_empty() || dump.len() == 64);
        }
    });
}
