//! Reading from blocks: matchers, time ranges, projections, deletions, retention.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use exposition::Registry;
use model::{FloatHistogram, Labels, MatchOp, Matcher, Sample};
use proptest::prelude::*;
use storage::{ChunkView, MemoryStore, Merged, Newest, Projection, QueryContext, Request, Select};
use support::{Dump, Shown, assert_equal, copy_dir, everything, matcher, open, parse_dump, read, testdata};

const FROM: i64 = 1_700_028_000_000;
const TO: i64 = 1_700_092_800_000;

fn all() -> [Matcher; 1] {
    [matcher(MatchOp::Regex, "__name__", ".+")]
}

/// What the block's `promtool tsdb dump` says, deletions applied.
fn recorded() -> Dump {
    parse_dump(&testkit::gunzip(&testdata().with_file_name("blocks.dump.txt.gz")).unwrap())
}

/// The same samples in memory.
fn in_memory(blocks: &dyn Select) -> MemoryStore {
    let memory = MemoryStore::new();
    let request = Request {
        matchers: &all(),
        min_time: i64::MIN,
        max_time: i64::MAX,
        labels: Projection::All,
        newest: None,
    };
    for mut part in blocks.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            let (mut floats, mut histograms) = (chunk::Columns::default(), Vec::new());
            for view in series.chunks.iter() {
                view.histograms(&mut histograms).unwrap();
                match *view {
                    ChunkView::Encoded { encoding, samples, bytes, .. } if encoding.is_float() => {
                        chunk::decode(encoding, bytes, samples, &mut floats).unwrap();
                    }
                    ChunkView::Samples(list) => {
                        floats.times.extend(list.iter().map(|s| s.t));
                        floats.values.extend(list.iter().map(|s| s.v));
                    }
                    ChunkView::Encoded { .. } | ChunkView::Histograms(_) => {}
                }
            }
            let floats = floats.times.iter().zip(&floats.values).map(|(&t, &v)| Sample { t, v });
            memory.insert(&series.labels, floats).unwrap();
            let histograms = histograms.into_iter().map(|s| (s.t, FloatHistogram::clone(&s.histogram)));
            memory.insert_histograms(&series.labels, histograms).unwrap();
        }
    }
    memory
}

#[test]
fn samples_are_those_of_the_dump_without_what_was_deleted() {
    assert_equal(&read(&open(&testdata()), &all(), FROM, TO - 1), &recorded());
}

#[test]
fn matchers_ranges_and_lists_agree_with_a_store_in_memory() {
    let blocks = open(&testdata());
    let memory = in_memory(&blocks);
    let ctx = QueryContext::unlimited();
    let matchers: &[&[(MatchOp, &str, &str)]] = &[
        &[(MatchOp::Equal, "__name__", "float_total")],
        &[(MatchOp::Equal, "__name__", "float_total"), (MatchOp::NotEqual, "s", "0")],
        &[(MatchOp::Equal, "__name__", "float_total"), (MatchOp::Equal, "s", "")],
        &[(MatchOp::Regex, "__name__", "float_.*|odd"), (MatchOp::Regex, "s", "0|1|")],
        &[(MatchOp::Regex, "__name__", "float.+"), (MatchOp::NotRegex, "s", "[12]")],
        &[(MatchOp::Regex, "__name__", ".+"), (MatchOp::NotRegex, "__name__", "float.*|const")],
        &[(MatchOp::Regex, "__name__", "const|odd|missing")],
        &[(MatchOp::NotEqual, "s", "")],
        &[(MatchOp::Regex, "g", "a|b"), (MatchOp::NotEqual, "g", "b")],
        &[(MatchOp::Equal, "missing", "x")],
        &[(MatchOp::NotEqual, "missing", "x"), (MatchOp::NotEqual, "__name__", "")],
    ];
    let mut found = 0;
    for list in matchers {
        let matchers: Vec<Matcher> = list.iter().map(|&(op, name, value)| matcher(op, name, value)).collect();
        for (min, max) in
            [(i64::MIN, i64::MAX), (FROM, FROM), (FROM + 7_200_001, FROM + 20_000_000), (TO, i64::MAX)]
        {
            let (got, want) = (read(&blocks, &matchers, min, max), read(&memory, &matchers, min, max));
            assert_eq!(got, want, "{matchers:?} {min} {max}");
            found += got.len();
        }
    }
    assert!(found > 40, "{found}");
    let names = |store: &dyn Select| store.label_names(&ctx, FROM, TO, &all()).unwrap();
    assert_eq!(names(&memory), names(&blocks));
    for name in ["__name__", "s", "g", "missing"] {
        let values = |store: &dyn Select| store.label_values(&ctx, name, FROM, TO, &all()).unwrap();
        assert_eq!(values(&blocks), values(&memory), "{name}");
    }
    let every = blocks.label_values(&ctx, "__name__", FROM, TO, &[]).unwrap();
    assert!(every.contains(&"nh_int".to_owned()) && every.is_sorted(), "{every:?}");
    assert_eq!(blocks.label_names(&ctx, 0, 1, &[]).unwrap(), Vec::<String>::new());
}

#[test]
fn the_newest_sample_is_delivered() {
    let blocks = open(&testdata());
    let memory = in_memory(&blocks);
    for max_time in [FROM + 1_000_000, FROM + 40_000_000, TO, i64::MAX] {
        let newest = |store: &dyn Select| {
            let request = Request {
                matchers: &all(),
                min_time: i64::MIN,
                max_time,
                labels: Projection::All,
                newest: Some(Newest::Last),
            };
            let mut answer: BTreeMap<String, Option<i64>> = BTreeMap::new();
            for mut part in store.select(&QueryContext::unlimited(), &request).unwrap() {
                while let Some(series) = part.next().unwrap() {
                    let mut times = Vec::new();
                    for chunk in series.chunks.iter() {
                        match *chunk {
                            ChunkView::Samples(list) => times.extend(list.iter().map(|s| s.t)),
                            ChunkView::Encoded { encoding, samples, bytes, .. } if encoding.is_float() => {
                                let mut out = chunk::Columns::default();
                                chunk::decode(encoding, bytes, samples, &mut out).unwrap();
                                times.append(&mut out.times);
                            }
                            ChunkView::Encoded { .. } | ChunkView::Histograms(_) => {
                                let mut out = Vec::new();
                                chunk.histograms(&mut out).unwrap();
                                times.extend(out.iter().map(|s| s.t));
                            }
                        }
                    }
                    if !times.is_empty() {
                        let newest = times.into_iter().filter(|&t| t <= max_time).max();
                        answer.insert(series.labels.to_string(), newest);
                    }
                }
            }
            answer
        };
        assert_eq!(newest(&blocks), newest(&memory), "{max_time}");
    }
}

#[test]
fn projected_series_stay_apart() {
    let blocks = open(&testdata());
    let matchers = [Matcher::equal("__name__", "float_total")];
    let request =
        |labels| Request { matchers: &matchers, min_time: FROM, max_time: TO, labels, newest: None };
    let count = |labels| {
        let mut all: Vec<Labels> = Vec::new();
        for mut part in blocks.select(&QueryContext::unlimited(), &request(labels)).unwrap() {
            while let Some(series) = part.next().unwrap() {
                all.push(series.labels);
            }
        }
        all
    };
    let whole = count(Projection::All);
    let projected = count(Projection::Only(&["__name__"]));
    assert!(whole.len() > 1 && projected.len() == whole.len());
    assert!(
        projected.iter().all(|l| *l == Labels::from_pairs([("__name__", "float_total")])),
        "{projected:?}"
    );
}

#[test]
fn a_merge_with_other_samples_of_the_same_series_gives_both() {
    let blocks = Arc::new(open(&testdata()));
    let mut want = everything(&*blocks);
    let memory = MemoryStore::new();
    let series = Labels::from_pairs([("__name__", "const")]);
    let text = series.to_string();
    let own = want.get_mut(&text).unwrap();
    for t in (FROM + 1..FROM + 3_000_000).step_by(50_000).chain(TO + 10_000_000..TO + 10_000_005) {
        memory.insert(&series, [Sample { t, v: 7.0 }]).unwrap();
        own.insert(t, Shown::float(7.0));
    }
    let merged = Merged::new(vec![Arc::new(memory), blocks]);
    assert_eq!(everything(&merged), want);
}

#[test]
fn blocks_that_went_are_no_longer_served_but_to_those_who_began_to_read_them() {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&testdata(), dir.path());
    let blocks = open(dir.path());
    let reader_keeps = blocks.current();
    std::fs::remove_dir_all(reader_keeps[1].dir()).unwrap();
    blocks.reload().unwrap();
    assert_eq!((blocks.current().len(), reader_keeps.len()), (1, 2));
}

#[test]
fn blocks_that_come_later_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = open(dir.path());
    assert_eq!(everything(&blocks), Dump::new());
    copy_dir(&testdata(), dir.path());
    blocks.reload().unwrap();
    assert_eq!(everything(&blocks), everything(&open(&testdata())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever byte of whatever file is changed: nothing panics, and nothing is served that was not stored.
    #[test]
    fn any_changed_byte_is_survived(
        file in prop::sample::select(vec!["index", "index", "chunks/000001", "tombstones", "meta.json"]),
        at in any::<prop::sample::Index>(),
        xor in 1u8..=255,
        cut in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&testdata(), dir.path());
        let path = dir.path().join("01M7YKC63BZQTHMHVNSK8GG0E5").join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= xor;
        }
        std::fs::write(&path, bytes).unwrap();
        let blocks = block::Blocks::open(dir.path(), &Registry::new()).unwrap();
        let got = everything(&blocks);
        if !matches!(file, "tombstones" | "meta.json") {
            let whole = everything(&open(&testdata()));
            for (labels, samples) in got {
                let stored = whole.get(&labels);
                prop_assert!(samples.iter().all(|(t, v)| stored.and_then(|s| s.get(t)) == Some(v)), "{labels}");
            }
        }
        let _ = blocks.label_names(&QueryContext::unlimited(), i64::MIN, i64::MAX, &[]);
    }
}
