//! What the head keeps besides plain floats: histograms, start times, exemplars, metadata; and deletions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use chunk::HistogramPoint;
use exposition::Registry;
use model::histogram::{
    CUSTOM_BUCKETS, CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Span,
};
use model::{Labels, MatchOp, Matcher};
use storage::{
    Affinity, Append, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, Metadata, Outcome,
    QueryContext, Rejection, Select,
};
use support::{Value, copy_dir, everything_with_histograms, integer, labels, named, open_with, write};
use tsdb::{Db, DbOptions, FloatEncoding, Head, HeadOptions};

const START: i64 = 1_700_000_000_000;
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

fn custom(n: u64) -> HistogramValue {
    HistogramValue::Integer(Box::new(IntegerHistogram {
        schema: CUSTOM_BUCKETS,
        count: 2 * n,
        sum: n as f64,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![n as i64, 0],
        custom_values: vec![0.5, 1.0],
        ..IntegerHistogram::default()
    }))
}

fn float(n: u64, reset: CounterReset) -> HistogramValue {
    HistogramValue::Float(Box::new(FloatHistogram {
        schema: 0,
        reset,
        count: n as f64 + 0.5,
        sum: 2.0,
        positive: vec![(1, n as f64 + 0.25), (7, 0.25)],
        ..FloatHistogram::default()
    }))
}

fn append_histograms(head: &Head, samples: &[(Labels, i64, i64, HistogramValue)]) -> Outcome {
    let mut batch = Batch::default();
    for (labels, t, start_time, value) in samples {
        let series = head.resolve(Affinity(0), labels).unwrap().series;
        let value = value.clone();
        batch.histograms.push(BatchHistogram { series, t: *t, start_time: *start_time, value });
    }
    let mut outcome = Outcome::default();
    head.append(&batch, &mut outcome).unwrap();
    outcome
}

/// Everything as text: what is known about resets depends on where chunks begin.
fn text(head: &impl Select) -> BTreeMap<String, Vec<String>> {
    let line = |(t, value): (i64, Value)| match &value {
        Value::Histogram(point) if point.value.sum().to_bits() == STALE.to_bits() => {
            format!("{t} stale {}", matches!(point.value, HistogramValue::Integer(_)))
        }
        Value::Histogram(point) => {
            format!("{t} {value} {} {}", matches!(point.value, HistogramValue::Integer(_)), point.start_time)
        }
        Value::Float(_) => format!("{t} {value}"),
    };
    everything_with_histograms(head)
        .into_iter()
        .map(|(labels, samples)| (labels.to_string(), samples.into_iter().map(line).collect()))
        .collect()
}

/// Calls `check` on the head, and again after a restart, after one without the mapped chunks (the log has all), and
/// after a checkpoint and a restart.
fn before_and_after_restarts(
    dir: &tempfile::TempDir,
    options: &HeadOptions,
    head: Head,
    check: impl Fn(&Head),
) {
    check(&head);
    drop(head);
    let other = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), other.path());
    std::fs::remove_dir_all(other.path().join("chunks_head")).unwrap();
    check(&open_with(other.path(), options.clone()));
    let head = open_with(dir.path(), options.clone());
    check(&head);
    head.checkpoint_now().unwrap();
    drop(head);
    for _ in 0..2 {
        check(&open_with(dir.path(), options.clone()));
    }
}

#[test]
fn histograms_of_every_kind_are_read_back() {
    for start_times in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let options =
            HeadOptions { start_times, histogram_start_times: start_times, ..HeadOptions::default() };
        let head = open_with(dir.path(), options.clone());
        let names = ["int", "custom", "float", "gauge"].map(|name| labels(&[("__name__", name)]));
        let mut want: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for round in 0..400 {
            let t = START + round * 15_000;
            let n = round as u64 % 170; // now and then a reset
            let values =
                [integer(n), custom(n), float(n, CounterReset::Unknown), float(n, CounterReset::Gauge)];
            let begun = START - 1000 - (round / 170);
            let samples: Vec<_> =
                names.iter().cloned().zip(values).map(|(name, value)| (name, t, begun, value)).collect();
            let outcome = append_histograms(&head, &samples);
            assert_eq!((outcome.appended_histograms, &outcome.rejected_histograms[..]), (4, &[][..]));
            for (name, t, start_time, value) in samples {
                let start_time = if start_times { start_time } else { 0 };
                let integer = matches!(value, HistogramValue::Integer(_));
                let line = format!("{t} {} {integer} {start_time}", value.to_float());
                want.entry(name.to_string()).or_default().push(line);
            }
        }
        before_and_after_restarts(&dir, &options, head, |head| assert_eq!(text(head), want));
    }
}

#[test]
fn a_series_may_change_its_type_and_staleness_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions::default());
    let a = named("a", 1);
    write(&head, &[(a.clone(), START, 1.0)]);
    append_histograms(&head, &[(a.clone(), START + 1, 0, integer(3))]);
    append_histograms(&head, &[(a.clone(), START + 2, 0, float(4, CounterReset::Unknown))]);
    write(&head, &[(a.clone(), START + 3, STALE)]);
    write(&head, &[(a.clone(), START + 4, 5.0)]);
    write(&head, &[(a.clone(), START + 5, STALE)]);
    append_histograms(&head, &[(a.clone(), START + 6, 0, integer(1))]);
    write(&head, &[(a.clone(), START + 7, STALE)]);
    let want = vec![
        format!("{START} 1"),
        format!("{} {} true 0", START + 1, integer(3).to_float()),
        format!("{} {} false 0", START + 2, float(4, CounterReset::Unknown).to_float()),
        format!("{} stale false", START + 3),
        format!("{} 5", START + 4),
        format!("{} NaN", START + 5),
        format!("{} {} true 0", START + 6, integer(1).to_float()),
        format!("{} stale true", START + 7),
    ];
    before_and_after_restarts(&dir, &HeadOptions::default(), head, |head| {
        assert_eq!(text(head)[&a.to_string()], want);
    });
}

#[test]
fn histograms_are_refused_for_the_reasons_for_which_floats_are() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions::default());
    let (a, b) = (named("a", 1), named("b", 1));
    append_histograms(&head, &[(a.clone(), START, 0, integer(3))]);
    write(&head, &[(b.clone(), START, 1.0)]);
    let empty_bucket = HistogramValue::Integer(Box::new(IntegerHistogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 3,
        count: 10,
        sum: 4.5,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_deltas: vec![3, 1, -4],
        ..IntegerHistogram::default()
    }));
    let outcome = append_histograms(
        &head,
        &[
            (a.clone(), START, 0, integer(3)),   // the same again: no error
            (a.clone(), START, 0, empty_bucket), // the same but for an empty bucket
            (a.clone(), START, 0, integer(4)),   // another value
            (a.clone(), START, 0, float(3, CounterReset::Unknown)),
            (a.clone(), START - 1, 0, integer(1)), // older
            (b, START, 0, integer(1)),             // a float is there
            (a.clone(), START - 3_600_001, 0, integer(1)),
            (a, START + 1, 0, integer(4)),
        ],
    );
    assert_eq!(outcome.appended_histograms, 1);
    assert_eq!(
        outcome.rejected_histograms,
        [
            (2, Rejection::Duplicate),
            (3, Rejection::Duplicate),
            (4, Rejection::OutOfOrder),
            (5, Rejection::Duplicate),
            (6, Rejection::OutOfBounds),
        ]
    );
}

#[test]
fn a_new_chunk_says_whether_it_follows_a_reset() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions::default());
    let a = named("a", 1);
    for (i, n) in [5, 6, 7, 2, 3].into_iter().enumerate() {
        append_histograms(&head, &[(a.clone(), START + i as i64, 0, integer(n))]);
    }
    let all = [Matcher::new(MatchOp::Equal, "__name__", "a").unwrap()];
    let headers = support::chunks(&head, &all)
        .into_iter()
        .map(|(encoding, bytes)| {
            (chunk::sample_count(encoding, &bytes), chunk::counter_reset_header(encoding, &bytes))
        })
        .collect::<Vec<_>>();
    assert_eq!(headers, [(3, CounterReset::Unknown), (2, CounterReset::Reset)]);
}

#[test]
fn start_times_of_floats_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions { start_times: true, ..HeadOptions::default() };
    let head = open_with(dir.path(), options.clone());
    let a = named("a", 1);
    let series = head.resolve(Affinity(0), &a).unwrap().series;
    let mut want = Vec::new();
    for round in 0..300 {
        let (t, begun) = (START + round * 15_000, if round < 20 { 0 } else { START + round / 100 });
        let batch = Batch {
            samples: vec![BatchSample { series, t, v: round as f64 }],
            start_times: vec![begun],
            ..Batch::default()
        };
        head.append(&batch, &mut Outcome::default()).unwrap();
        want.push((t, begun, round as f64));
    }
    before_and_after_restarts(&dir, &options, head, |head| {
        let all = [Matcher::new(MatchOp::Equal, "__name__", "a").unwrap()];
        let mut got = Vec::new();
        for (encoding, bytes) in support::chunks(head, &all) {
            let mut columns = chunk::Columns::default();
            chunk::decode(encoding, &bytes, u16::MAX, &mut columns).unwrap();
            columns.start_times.resize(columns.times.len(), 0);
            let times = columns.times.iter().zip(&columns.start_times);
            got.extend(times.zip(&columns.values).map(|((&t, &begun), &v)| (t, begun, v)));
        }
        assert_eq!(got, want);
    });
}

#[test]
fn xor2_holds_what_xor_does() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = HeadOptions { float_encoding: FloatEncoding::Xor2, ..HeadOptions::default() };
    let head = open_with(dir.path(), options.clone());
    let plain = open_with(other.path(), HeadOptions::default());
    for round in 0..500i64 {
        let samples: Vec<_> = (0..20)
            .map(|i| {
                (named("m", i), START + round * 15_000 + round % 3, (round * i as i64 % 90) as f64 / 4.0)
            })
            .collect();
        write(&head, &samples);
        write(&plain, &samples);
    }
    let want = text(&plain);
    let all = [Matcher::new(MatchOp::Equal, "__name__", "m").unwrap()];
    assert!(support::chunks(&head, &all).iter().all(|(encoding, _)| *encoding == chunk::Encoding::Xor2));
    // And a head without the option goes on with the same directory.
    before_and_after_restarts(&dir, &options, head, |head| assert_eq!(text(head), want));
    assert_eq!(text(&open_with(dir.path(), HeadOptions::default())), want);
}

fn exemplar(head: &Head, series: &Labels, t: i64, v: f64, id: &str, timed: bool) -> BatchExemplar {
    let series = head.resolve(Affinity(0), series).unwrap().series;
    BatchExemplar { series, labels: labels(&[("id", id)]), t, timed, v }
}

fn append_exemplars(head: &Head, exemplars: Vec<BatchExemplar>) -> Outcome {
    let mut outcome = Outcome::default();
    head.append(&Batch { exemplars, ..Batch::default() }, &mut outcome).unwrap();
    outcome
}

fn exemplars(head: &Head, min_time: i64, max_time: i64) -> Vec<(String, Vec<(i64, String)>)> {
    let sets = [vec![Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()]];
    let of_series = |s: tsdb::SeriesExemplars| {
        let ids = s.exemplars.iter().map(|e| (e.t, e.labels.value("id").to_owned())).collect();
        (s.labels.value("__name__").to_owned(), ids)
    };
    head.exemplars(&sets, min_time, max_time).into_iter().map(of_series).collect()
}

#[test]
fn the_newest_exemplars_are_kept_in_order_of_series_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions { exemplars: true, max_exemplars: 5, ..HeadOptions::default() };
    let head = open_with(dir.path(), options.clone());
    let (a, b) = (named("a", 1), named("b", 1));
    write(&head, &[(a.clone(), START, 1.0), (b.clone(), START, 1.0)]);
    let give = |t, v, id: &str, timed| append_exemplars(&head, vec![exemplar(&head, &b, t, v, id, timed)]);
    assert_eq!(give(START, 1.0, "first", true).appended_exemplars, 1);
    let again = give(START, 1.0, "first", true);
    assert_eq!((again.appended_exemplars, &again.rejected_exemplars[..]), (0, &[][..]), "known already");
    assert_eq!(give(START + 5, 1.0, "untimed", false).appended_exemplars, 1);
    assert_eq!(give(START + 9, 1.0, "untimed", false).appended_exemplars, 0, "read again, not new");
    assert_eq!(give(START + 1, 1.0, "late", true).rejected_exemplars, [(0, Rejection::OutOfOrder)]);
    let long = "x".repeat(127);
    assert_eq!(give(START + 20, 1.0, &long, true).rejected_exemplars, [(0, Rejection::OutOfBounds)]);
    for (i, id) in ["a1", "a2"].into_iter().enumerate() {
        append_exemplars(&head, vec![exemplar(&head, &a, START + i as i64, 2.0, id, true)]);
    }
    let ids =
        |list: &[(i64, &str)]| list.iter().map(|&(t, id)| (START + t, id.to_owned())).collect::<Vec<_>>();
    let want = vec![
        ("a".to_owned(), ids(&[(0, "a1"), (1, "a2")])),
        ("b".to_owned(), ids(&[(0, "first"), (5, "untimed")])),
    ];
    assert_eq!(exemplars(&head, START, START + 100), want);
    assert_eq!(exemplars(&head, START + 1, START + 4), [("a".to_owned(), ids(&[(1, "a2")]))]);
    before_and_after_restarts(&dir, &options, head, |head| {
        assert_eq!(exemplars(head, START, START + 100), want);
    });
    // Two more: the oldest to come is the first to go.
    let head = open_with(dir.path(), options);
    append_exemplars(&head, vec![exemplar(&head, &a, START + 7, 2.0, "a3", true)]);
    append_exemplars(&head, vec![exemplar(&head, &a, START + 8, 2.0, "a4", true)]);
    let b_now = exemplars(&head, START, START + 100)[1].clone();
    assert_eq!(b_now, ("b".to_owned(), ids(&[(5, "untimed")])));
    head.set_max_exemplars(2);
    assert_eq!(exemplars(&head, START, START + 100), [("a".to_owned(), ids(&[(7, "a3"), (8, "a4")]))]);
    head.set_max_exemplars(3);
    append_exemplars(&head, vec![exemplar(&head, &b, START + 9, 2.0, "b9", true)]);
    assert_eq!(exemplars(&head, START, START + 100).len(), 2);
    head.set_max_exemplars(0);
    assert_eq!(exemplars(&head, START, START + 100), []);
    assert_eq!(
        append_exemplars(&head, vec![exemplar(&head, &b, START + 50, 2.0, "no", true)]).appended_exemplars,
        0
    );
}

#[test]
fn exemplars_and_metadata_are_ignored_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let head = open_with(dir.path(), HeadOptions::default());
    let a = named("a", 1);
    let series = head.resolve(Affinity(0), &a).unwrap().series;
    let metadata = vec![BatchMetadata { series, metadata: Metadata::default() }];
    let batch =
        Batch { exemplars: vec![exemplar(&head, &a, START, 1.0, "x", true)], metadata, ..Batch::default() };
    let mut outcome = Outcome::default();
    head.append(&batch, &mut outcome).unwrap();
    assert_eq!((outcome.appended_exemplars, outcome.rejected_exemplars.len()), (0, 0));
    assert_eq!(exemplars(&head, 0, i64::MAX), []);
    assert_eq!(head.metadata_of(series), None);
}

#[test]
fn the_latest_metadata_of_each_series_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions { metadata_wal_records: true, ..HeadOptions::default() };
    let head = open_with(dir.path(), options.clone());
    let about = |kind: &str, help: &str| Metadata { kind: kind.into(), unit: "s".into(), help: help.into() };
    for round in 0..3 {
        let mut batch = Batch::default();
        for i in 0..10 {
            let series = head.resolve(Affinity(0), &named("m", i)).unwrap().series;
            batch.samples.push(BatchSample { series, t: START + round, v: 1.0 });
            let help = format!("help {}", if i == 3 { round } else { 0 });
            batch.metadata.push(BatchMetadata { series, metadata: about("counter", &help) });
        }
        head.append(&batch, &mut Outcome::default()).unwrap();
    }
    before_and_after_restarts(&dir, &options, head, |head| {
        let all = [Matcher::new(MatchOp::Equal, "__name__", "m").unwrap()];
        let got = head.metadata(&QueryContext::unlimited(), &all).unwrap();
        let want: Vec<_> = (0..10)
            .map(|i| (named("m", i), about("counter", if i == 3 { "help 2" } else { "help 0" })))
            .collect();
        assert_eq!(got, want);
    });
}

fn delete(head: &Head, name: &str, min_time: i64, max_time: i64) -> usize {
    let matchers = [Matcher::new(MatchOp::Equal, "__name__", name).unwrap()];
    head.delete(&QueryContext::unlimited(), &matchers, min_time, max_time).unwrap()
}

#[test]
fn deleted_samples_are_gone_and_later_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions::default();
    let head = open_with(dir.path(), options.clone());
    let names = ["f", "h", "other"].map(|name| labels(&[("__name__", name)]));
    for round in 0..300 {
        let t = START + round * 15_000;
        write(&head, &[(names[0].clone(), t, round as f64), (names[2].clone(), t, 1.0)]);
        append_histograms(&head, &[(names[1].clone(), t, 0, integer(round as u64))]);
    }
    let whole = everything_with_histograms(&head);
    let (from, to) = (START + 50 * 15_000, START + 180 * 15_000);
    assert_eq!(delete(&head, "f", from, to), 1);
    assert_eq!(delete(&head, "h", from, to), 1);
    assert_eq!(delete(&head, "nobody", from, to), 0);
    assert_eq!(delete(&head, "f", START + 290 * 15_000, i64::MAX), 1);
    let later = START + 300 * 15_000;
    write(&head, &[(names[0].clone(), later, 7.0)]);
    let mut want: BTreeMap<Labels, Vec<i64>> = BTreeMap::new();
    for (labels, samples) in &whole {
        let name = labels.value("__name__");
        let kept = |t: &i64| match name {
            "f" => !(from..=to).contains(t) && *t < START + 290 * 15_000,
            "h" => !(from..=to).contains(t),
            _ => true,
        };
        want.insert(labels.clone(), samples.iter().map(|s| s.0).filter(kept).collect());
    }
    want.get_mut(&names[0]).unwrap().push(later);
    before_and_after_restarts(&dir, &options, head, |head| {
        let got: BTreeMap<Labels, Vec<i64>> = everything_with_histograms(head)
            .into_iter()
            .map(|(labels, samples)| (labels, samples.into_iter().map(|s| s.0).collect()))
            .collect();
        assert_eq!(got, want);
    });
}

#[test]
fn what_is_left_of_histograms_stays_exact() {
    let dir = tempfile::tempdir().unwrap();
    let options = HeadOptions { start_times: true, histogram_start_times: true, ..HeadOptions::default() };
    let head = open_with(dir.path(), options);
    let a = named("a", 1);
    for i in 0..20 {
        append_histograms(&head, &[(a.clone(), START + i, START - 5, integer(i as u64))]);
    }
    delete(&head, "a", START + 3, START + 12);
    let got = everything_with_histograms(&head).remove(&a).unwrap();
    let points: Vec<HistogramPoint> = got
        .into_iter()
        .map(|(_, value)| match value {
            Value::Histogram(point) => point,
            Value::Float(_) => panic!("a float"),
        })
        .collect();
    assert_eq!(points.len(), 10);
    for point in points {
        let n = (point.t - START) as u64;
        assert_eq!(point.start_time, START - 5);
        assert_eq!(point.value.to_float().to_string(), integer(n).to_float().to_string());
    }
}

#[test]
fn what_was_deleted_in_the_head_does_not_come_back_with_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let head = HeadOptions {
        chunk_range: Duration::from_secs(60),
        start_times: true,
        histogram_start_times: true,
        ..HeadOptions::default()
    };
    let options = DbOptions { head, ..DbOptions::default() };
    let db = Db::open(dir.path(), options.clone(), &Registry::new()).unwrap();
    let begin = START - START % 60_000;
    for round in 0..150 {
        let t = begin + round * 1000;
        write(db.head(), &[(named("f", 1), t, round as f64)]);
        append_histograms(db.head(), &[(named("h", 1), t, begin - 7, integer(round as u64))]);
    }
    assert_eq!(delete(db.head(), "f", begin + 20_000, begin + 40_000), 1);
    assert_eq!(delete(db.head(), "h", begin + 20_000, begin + 40_000), 1);
    let want = text(&**db.head());
    assert_eq!(want[&named("h", 1).to_string()].len(), 150 - 21);
    assert_eq!(text(&db), want);
    db.upkeep(begin + 150_000, true).unwrap();
    assert_eq!(db.blocks().current().len(), 1);
    assert!(db.blocks().current()[0].tombstones().is_empty());
    assert_eq!(text(&db), want);
    drop(db);
    assert_eq!(text(&Db::open(dir.path(), options, &Registry::new()).unwrap()), want);
}
