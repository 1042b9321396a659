//! What the tests of blocks share.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use block::Blocks;
use exposition::Registry;
use model::{MatchOp, Matcher};
use storage::{ChunkView, Projection, QueryContext, Request, Select};

/// Samples by labels as text and time; values as bits, so that odd ones compare.
pub(crate) type Dump = BTreeMap<String, BTreeMap<i64, u64>>;

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
    let request = Request { matchers, min_time, max_time, labels: Projection::All, newest_only: false };
    let mut dump = Dump::new();
    for mut part in store.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            let mut samples = Vec::new();
            for chunk in series.chunks.iter() {
                match *chunk {
                    ChunkView::Encoded { encoding, min_time, max_time, samples: n, bytes } => {
                        let mut out = chunk::Columns::default();
                        chunk::decode(encoding, bytes, n, &mut out).unwrap();
                        assert_eq!(out.times.first(), Some(&min_time));
                        assert_eq!(out.times.last(), Some(&max_time));
                        samples.extend(out.times.into_iter().zip(out.values.into_iter().map(f64::to_bits)));
                    }
                    // Floats alone are compared.
                    ChunkView::Histograms(_) => {}
                    ChunkView::Samples(list) => samples.extend(list.iter().map(|s| (s.t, s.v.to_bits()))),
                }
            }
            assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{}: not in order", series.labels);
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

/// The float samples of what `promtool tsdb dump` printed: labels, value, milliseconds.
pub(crate) fn parse_dump(text: &str) -> Dump {
    let mut dump = Dump::new();
    for line in text.lines() {
        let (labels, rest) = line.split_at(line.find("} ").unwrap() + 1);
        let (value, t) = rest.trim().rsplit_once(' ').unwrap();
        if let Some(v) = model::number::parse_float(value) {
            dump.entry(labels.to_owned()).or_default().insert(t.parse().unwrap(), v.to_bits());
        }
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
            let g = got[t];
            let both_nan = f64::from_bits(*w).is_nan() && f64::from_bits(g).is_nan();
            assert!(
                g == *w || both_nan,
                "{labels} at {t}: {} and not {}",
                f64::from_bits(g),
                f64::from_bits(*w)
            );
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
