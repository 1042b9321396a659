//! What the tests of blocks share.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::Blocks;
use exposition::Registry;
use model::{FloatHistogram, MatchOp, Matcher};
use storage::{ChunkView, Projection, QueryContext, Request, Select};

/// Samples by labels as text and time.
pub(crate) type Dump = BTreeMap<String, BTreeMap<i64, Shown>>;

/// A value: of floats the bits, so that odd ones compare; a histogram, or the text of one.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    Float(u64),
    Histogram(Arc<FloatHistogram>),
    Text(String),
}

impl PartialEq for Shown {
    fn eq(&self, other: &Shown) -> bool {
        match (self, other) {
            (Shown::Float(a), Shown::Float(b)) => a == b,
            (Shown::Histogram(a), Shown::Histogram(b)) => a.same(b),
            (Shown::Text(a), Shown::Text(b)) => a == b,
            (Shown::Histogram(h), Shown::Text(text)) | (Shown::Text(text), Shown::Histogram(h)) => {
                h.to_string() == *text
            }
            _ => false,
        }
    }
}

impl Shown {
    pub(crate) fn float(v: f64) -> Shown {
        Shown::Float(v.to_bits())
    }

    /// A histogram; its staleness marker is as good as a float's, since the text shows no difference.
    fn histogram(h: &Arc<FloatHistogram>) -> Shown {
        if model::is_stale(h.sum) { Shown::float(h.sum) } else { Shown::Histogram(Arc::clone(h)) }
    }
}

pub(crate) fn open(dir: &Path) -> Blocks {
    Blocks::open(dir, &Registry::new()).unwrap()
}

pub(crate) fn testdata() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/blocks"))
}

pub(crate) fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

pub(crate) fn read(store: &dyn Select, matchers: &[Matcher], min_time: i64, max_time: i64) -> Dump {
    let request = Request { matchers, min_time, max_time, labels: Projection::All, newest: None };
    let mut dump = Dump::new();
    for mut part in store.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            let (mut samples, mut histograms) = (Vec::new(), Vec::new());
            for chunk in series.chunks.iter() {
                match *chunk {
                    ChunkView::Encoded { encoding, min_time, max_time, samples: n, bytes }
                        if encoding.is_float() =>
                    {
                        let mut out = chunk::Columns::default();
                        chunk::decode(encoding, bytes, n, &mut out).unwrap();
                        assert_eq!(out.times.first(), Some(&min_time));
                        assert_eq!(out.times.last(), Some(&max_time));
                        let values = out.values.into_iter().map(Shown::float);
                        samples.extend(out.times.into_iter().zip(values));
                    }
                    ChunkView::Encoded { .. } | ChunkView::Histograms(_) => {
                        let mut list = Vec::new();
                        chunk.histograms(&mut list).unwrap();
                        histograms.extend(list.iter().map(|s| (s.t, Shown::histogram(&s.histogram))));
                    }
                    ChunkView::Samples(list) => samples.extend(list.iter().map(|s| (s.t, Shown::float(s.v)))),
                }
            }
            for list in [&samples, &histograms] {
                assert!(list.is_sorted_by(|a, b| a.0 < b.0), "{}: not in order", series.labels);
            }
            samples.append(&mut histograms);
            samples.retain(|s| s.0 >= min_time && s.0 <= max_time);
            if !samples.is_empty() {
                let before = dump.insert(series.labels.to_string(), samples.into_iter().collect());
                assert!(before.is_none(), "a series came twice");
            }
        }
    }
    dump
}

pub(crate) fn everything(store: &dyn Select) -> Dump {
    read(store, &[matcher(MatchOp::Regex, "__name__", ".+")], i64::MIN, i64::MAX)
}

/// The samples of what `promtool tsdb dump` printed: labels, value, milliseconds.
pub(crate) fn parse_dump(text: &str) -> Dump {
    let mut dump = Dump::new();
    for line in text.lines() {
        let (labels, rest) = line.split_at(line.find("} ").unwrap() + 1);
        let (value, t) = rest.trim().rsplit_once(' ').unwrap();
        let shown = match model::number::parse_float(value) {
            Some(v) => Shown::float(v),
            None => Shown::Text(value.to_owned()),
        };
        dump.entry(labels.to_owned()).or_default().insert(t.parse().unwrap(), shown);
    }
    dump
}

/// Equal, where any NaN of the dump stands for any of ours: the text does not tell them apart.
pub(crate) fn assert_equal(got: &Dump, want: &Dump) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (labels, want) in want {
        let got = &got[labels];
        assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{labels}");
        for (t, w) in want {
            let nan = |shown: &Shown| matches!(shown, Shown::Float(v) if f64::from_bits(*v).is_nan());
            assert!(got[t] == *w || nan(&got[t]) && nan(w), "{labels} at {t}: {:?} and not {w:?}", got[t]);
        }
    }
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
