//! What the tests of the head share: writing and reading in a few words.

#![allow(dead_code, reason = "each test program uses some of it")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chunk::HistogramPoint;
use exposition::Registry;
use model::histogram::{HistogramValue, IntegerHistogram, Span};
use model::{Labels, Matcher};
use storage::{
    Affinity, Append, Batch, BatchSample, ChunkView, Newest, Outcome, Projection, QueryContext, Request,
    Select,
};
use tsdb::{Head, HeadOptions};

pub(crate) mod life;
pub(crate) mod log;

/// promtool of a version that knows all kinds of samples, if it is installed.
pub(crate) fn promtool_3() -> Option<PathBuf> {
    let found = testkit::installed_3("promtool", "BINNACLE_PEER_PROMTOOL");
    if found.is_none() {
        println!("skipped: no promtool 3 on PATH or in BINNACLE_PEER_PROMTOOL");
    }
    found
}

/// A histogram that grows with `n`.
pub(crate) fn integer(n: u64) -> HistogramValue {
    HistogramValue::Integer(Box::new(IntegerHistogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: n,
        count: 3 * n + 1,
        sum: n as f64 * 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![n as i64, 1],
        ..IntegerHistogram::default()
    }))
}

pub(crate) type Dump = BTreeMap<Labels, Vec<(i64, u64)>>;

pub(crate) fn open(dir: &Path) -> Head {
    open_with(dir, HeadOptions::default())
}

pub(crate) fn open_with(dir: &Path, options: HeadOptions) -> Head {
    Head::open(dir, options, &Registry::new()).unwrap()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

pub(crate) fn named(name: &str, i: usize) -> Labels {
    Labels::from_pairs([("__name__", name), ("i", &i.to_string())])
}

/// Appends samples given as labels, time, value; all must be new.
pub(crate) fn write(head: &Head, samples: &[(Labels, i64, f64)]) {
    let outcome = try_write(head, samples);
    assert_eq!(outcome.rejected, []);
    assert_eq!(outcome.appended, samples.len());
}

pub(crate) fn try_write(head: &Head, samples: &[(Labels, i64, f64)]) -> Outcome {
    let mut batch = Batch::default();
    for (labels, t, v) in samples {
        let affinity = Affinity(labels.value("i").len() as u64 + labels.value("target").len() as u64 * 7);
        let series = head.resolve(affinity, labels).unwrap().series;
        batch.samples.push(BatchSample { series, t: *t, v: *v });
    }
    let mut outcome = Outcome::default();
    head.append(&batch, &mut outcome).unwrap();
    outcome
}

/// All samples of the series that match, in the time range.
pub(crate) fn read(
    head: &impl Select,
    matchers: &[Matcher],
    min_time: i64,
    max_time: i64,
    newest: Option<Newest>,
) -> Dump {
    let request = Request { matchers, min_time, max_time, labels: Projection::All, newest };
    let mut dump = Dump::new();
    for mut part in head.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            let mut samples = Vec::new();
            for chunk in series.chunks.iter() {
                match *chunk {
                    ChunkView::Encoded { encoding, .. } if !encoding.is_float() => {}
                    ChunkView::Encoded { encoding, min_time, max_time, samples: n, bytes } => {
                        let mut out = chunk::Columns::default();
                        chunk::decode(encoding, bytes, n, &mut out).unwrap();
                        assert_eq!(out.times.first(), Some(&min_time));
                        assert_eq!(out.times.last(), Some(&max_time));
                        samples.extend(out.times.iter().copied().zip(out.values.iter().map(|v| v.to_bits())));
                    }
                    ChunkView::Histograms(_) => panic!("histograms where floats were written"),
                    ChunkView::Samples(list) => samples.extend(list.iter().map(|s| (s.t, s.v.to_bits()))),
                }
            }
            assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{}: not in order", series.labels);
            assert!(dump.insert(series.labels, samples).is_none(), "a series came twice");
        }
    }
    dump
}

/// A float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Float(u64),
    Histogram(HistogramPoint),
}

/// As promtool prints it.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Float(bits) => f.write_str(&model::number::format_g(f64::from_bits(*bits))),
            Value::Histogram(point) => write!(f, "{}", point.value.to_float()),
        }
    }
}

/// All samples of whatever type of all series, in order of time.
pub(crate) fn everything_with_histograms(head: &impl Select) -> BTreeMap<Labels, Vec<(i64, Value)>> {
    let all = [Matcher::new(model::MatchOp::Regex, "__name__", ".+").unwrap()];
    select_all(head, &all, i64::MIN, i64::MAX)
}

pub(crate) fn select_all(
    head: &impl Select,
    matchers: &[Matcher],
    min_time: i64,
    max_time: i64,
) -> BTreeMap<Labels, Vec<(i64, Value)>> {
    let request = Request { matchers, min_time, max_time, labels: Projection::All, newest: None };
    let mut found = BTreeMap::new();
    for mut part in head.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            let (mut samples, mut mixed) = (Vec::new(), false);
            for chunk in series.chunks.iter() {
                let (encoding, n, bytes) = match *chunk {
                    ChunkView::Encoded { encoding, samples, bytes, .. } => (encoding, samples, bytes),
                    // Of several stores.
                    ChunkView::Samples(floats) => {
                        samples.extend(floats.iter().map(|s| (s.t, Value::Float(s.v.to_bits()))));
                        continue;
                    }
                    ChunkView::Histograms(list) => {
                        samples.extend(list.iter().map(|s| {
                            let value = HistogramValue::Float(Box::new((*s.histogram).clone()));
                            (s.t, Value::Histogram(HistogramPoint { t: s.t, start_time: 0, value }))
                        }));
                        mixed = true;
                        continue;
                    }
                };
                if encoding.is_float() {
                    let mut out = chunk::Columns::default();
                    chunk::decode(encoding, bytes, n, &mut out).unwrap();
                    let values = out.values.iter().map(|v| Value::Float(v.to_bits()));
                    samples.extend(out.times.iter().copied().zip(values));
                } else {
                    let mut out = Vec::new();
                    chunk::decode_histograms(encoding, bytes, n, &mut out).unwrap();
                    samples.extend(out.into_iter().map(|point| (point.t, Value::Histogram(point))));
                }
            }
            if mixed {
                // Floats and histograms are each in order.
                samples.sort_by_key(|(t, _)| *t);
            }
            assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{}: not in order", series.labels);
            assert!(found.insert(series.labels, samples).is_none(), "a series came twice");
        }
    }
    found
}

pub(crate) fn everything(head: &impl Select) -> Dump {
    let all = [Matcher::new(model::MatchOp::Regex, "__name__", ".+").unwrap()];
    read(head, &all, i64::MIN, i64::MAX, None)
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// The folder of recordings, if it is there.
pub(crate) fn shared() -> Option<std::path::PathBuf> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let dir = std::env::var("BINNACLE_SHARED").unwrap_or(fallback.into());
    let dir = std::path::PathBuf::from(dir);
    if !dir.is_dir() {
        println!("skipped: no recordings at {}", dir.display());
        return None;
    }
    Some(dir)
}

/// The chunks of the series that match, as they are handed on.
pub(crate) fn chunks(head: &impl Select, matchers: &[Matcher]) -> Vec<(chunk::Encoding, Vec<u8>)> {
    let (min_time, max_time) = (i64::MIN, i64::MAX);
    let request = Request { matchers, min_time, max_time, labels: Projection::All, newest: None };
    let mut found = Vec::new();
    for mut part in head.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            for chunk in series.chunks.iter() {
                if let ChunkView::Encoded { encoding, bytes, .. } = *chunk {
                    found.push((encoding, bytes.to_vec()));
                }
            }
        }
    }
    found
}
