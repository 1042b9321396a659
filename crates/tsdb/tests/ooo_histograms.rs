//! Native histograms that come out of order, among floats.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use model::Labels;
use model::histogram::{
    CUSTOM_BUCKETS, CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Span,
};
use proptest::prelude::*;
use storage::{Affinity, Append, Batch, BatchHistogram, BatchSample, Outcome};
use support::{everything_with_histograms, named, open_with};
use tsdb::{FloatEncoding, Head, HeadOptions};

const START: i64 = 1_700_000_000_000;

/// Samples as promtool prints them, by series.
type Text = BTreeMap<String, BTreeMap<i64, String>>;

fn options() -> HeadOptions {
    HeadOptions {
        out_of_order_window: Duration::from_secs(2 * 3600),
        out_of_order_cap: 32,

        lock_file: false,
        shards: 2,
        ..HeadOptions::default()
    }
}

/// The histogram of that number: integers or floats, of varying buckets, now and then a gauge, one with bounds of its
/// own, or a staleness marker.
fn histogram(n: i64) -> HistogramValue {
    let buckets = 1 + n % 4;
    let schema = if n % 11 == 7 { CUSTOM_BUCKETS } else { (n / 16 % 2) as i32 };
    let custom_values: Vec<f64> =
        if schema == CUSTOM_BUCKETS { (0..6).map(|i| f64::from(i) / 2.0).collect() } else { Vec::new() };
    let reset = if n % 13 == 5 { CounterReset::Gauge } else { CounterReset::Unknown };
    let sum = if n % 17 == 3 { model::STALE_NAN } else { n as f64 / 4.0 };
    let first = (n / 8 % 2) as i32;
    if n / 32 % 2 == 1 {
        return HistogramValue::Float(Box::new(FloatHistogram {
            schema,
            reset,
            count: (0..buckets).map(|i| (n + i) as f64 / 2.0).sum(),
            sum,
            positive: (0..buckets).map(|i| (first + i as i32, (n + i) as f64 / 2.0)).collect(),
            custom_values,
            ..FloatHistogram::default()
        }));
    }
    let deltas = std::iter::once(n).chain((1..buckets).map(|_| 1)).collect();
    HistogramValue::Integer(Box::new(IntegerHistogram {
        schema,
        reset,
        count: (0..buckets).map(|i| (n + i) as u64).sum(),
        sum,
        positive_spans: vec![Span { offset: first, length: buckets as u32 }],
        positive_deltas: deltas,
        custom_values,
        ..IntegerHistogram::default()
    }))
}

/// Whether the sample of that number is a float.
fn is_float(n: i64) -> bool {
    n / 4 % 3 == 0
}

/// Writes the samples of these numbers at these times.
fn append(head: &Head, samples: &[(Labels, i64, i64)]) -> Outcome {
    let mut batch = Batch::default();
    for (labels, t, n) in samples {
        let series = head.resolve(Affinity(labels.len() as u64), labels).unwrap().series;
        if is_float(*n) {
            batch.samples.push(BatchSample { series, t: *t, v: *n as f64 });
        } else {
            batch.histograms.push(BatchHistogram { series, t: *t, start_time: 0, value: histogram(*n) });
        }
    }
    let mut outcome = Outcome::default();
    head.append(&batch, &mut outcome).unwrap();
    outcome
}

fn text(head: &Head) -> Text {
    let all = everything_with_histograms(head).into_iter();
    all.map(|(l, s)| (l.to_string(), s.into_iter().map(|(t, v)| (t, v.to_string())).collect())).collect()
}

fn printed(n: i64) -> String {
    if !is_float(n) && n % 17 == 3 {
        return "{count:0, sum:NaN}".to_owned();
    }
    if is_float(n) { model::number::format_g(n as f64) } else { histogram(n).to_float().to_string() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn histograms_in_any_order_are_read_in_order_whenever_the_process_ends(
        lives in prop::collection::vec((prop::collection::vec((0usize..3, 0i64..400), 1..120), any::<bool>()), 1..4),
        xor2 in any::<bool>(), start_times in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = || HeadOptions {
            float_encoding: if xor2 || start_times { FloatEncoding::Xor2 } else { FloatEncoding::Xor },
            histogram_start_times: start_times,
            start_times,
            ..options()
        };
        let mut want = Text::new();
        for (samples, killed) in &lives {
            let head = open_with(dir.path(), options());
            prop_assert_eq!(&text(&head), &want);
            for &(series, n) in samples {
                let (labels, t) = (named("h", series), START + n * 10_000);
                let outcome = append(&head, &[(labels.clone(), t, n)]);
                prop_assert_eq!((&outcome.rejected, &outcome.rejected_histograms), (&vec![], &vec![]));
                want.entry(labels.to_string()).or_default().insert(t, printed(n));
            }
            prop_assert_eq!(&text(&head), &want);
            if *killed { std::mem::forget(head) } else { drop(head) }
        }
        for _ in 0..2 {
            prop_assert_eq!(&text(&open_with(dir.path(), options())), &want);
        }
    }
}

#[test]
fn promtool_reads_what_we_write() {
    let Some(promtool) = support::promtool_3() else { return };
    let dir = tempfile::tempdir().unwrap();
    for life in 0..2 {
        let head = open_with(dir.path(), options());
        let from = START + life * 60_000;
        for i in 0..200 {
            for back in [0, 37 + i * 7 % 301, 5 + i * 11 % 97] {
                // Another number each time that a time comes again: of a float, or a histogram of floats or integers.
                let kind = i % 3;
                let k = i + back;
                let n = k * 192 + [0, 40 + k % 4, 4 + k % 4][kind as usize];
                append(&head, &[(named("h", kind as usize), from + (i - back) * 1_000, n)]);
            }
        }
        if life == 0 { drop(head) } else { std::mem::forget(head) }
    }
    let output =
        std::process::Command::new(promtool).args(["tsdb", "dump"]).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut theirs = Text::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (labels, rest) = line.split_at(line.find("} ").unwrap() + 1);
        let (value, t) = rest.trim().rsplit_once(' ').unwrap();
        theirs.entry(labels.to_owned()).or_default().insert(t.parse().unwrap(), value.to_owned());
    }
    let ours = text(&open_with(dir.path(), options()));
    assert!(ours.values().map(BTreeMap::len).sum::<usize>() > 500);
    for ((labels, ours), printed) in ours.into_iter().zip([0, 1, 2]) {
        // It looks for floats first, then for histograms of floats, and passes over a sample each time.
        let ours: BTreeMap<i64, String> = ours.into_iter().skip(printed).collect();
        assert_eq!(theirs[&labels], ours, "{labels}");
    }
}
