//! Blocks made of others: what is in them, what they say about themselves, what becomes of their parents.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use block::{
    Block, BlockError, FROM_OUT_OF_ORDER, Interval, MergeOptions, Meta, Metrics, NewChunk, SeriesEntry,
    SeriesSource, SymbolIter, Ulid, clean, expired, merge, without, write_block,
};
use chunk::{Encoding, XorAppender};
use exposition::Registry;
use model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;
use support::{Dump, assert_equal, copy_dir, everything, matcher, open, testdata};

/// Compacted, with a deletion.
const COMPACTED: &str = "01M7YKC63BZQTHMHVNSK8GG0E5";
/// Out of order.
const LATE: &str = "01M7YKC88AF6H593WAHTJDC3AZ";

fn open_block(dir: &Path) -> Block {
    Block::open(dir, &Metrics::register(&Registry::new())).unwrap()
}

/// A copy of a recorded block that may be changed.
fn copied(name: &str) -> (tempfile::TempDir, Block) {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&testdata().join(name), &dir.path().join(name));
    let block = open_block(&dir.path().join(name));
    (dir, block)
}

fn ulid() -> Ulid {
    Ulid::new(1_700_000_000_000, 7)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names in a directory.
fn names(dir: &Path) -> BTreeSet<String> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_block_of_one_alone_has_its_bytes() {
    let block = open_block(&testdata().join(LATE));
    let dir = tempfile::tempdir().unwrap();
    let meta = merge(&[&block], dir.path(), ulid(), &MergeOptions::default()).unwrap().unwrap();
    let written = dir.path().join(ulid().to_string());
    for file in ["index", "chunks/000001", "tombstones"] {
        assert!(read(&written.join(file)) == read(&block.dir().join(file)), "{file}");
    }
    let mut want = block.meta().clone();
    want.ulid = ulid().to_string();
    want.compaction.level = 3;
    want.compaction.parents = vec![block::Parent::from(block.meta())];
    assert_eq!(meta, want);
    assert_eq!(meta.compaction.hints, [FROM_OUT_OF_ORDER]);
    assert_eq!(Meta::read(&written).unwrap(), meta);
}

#[test]
fn a_cleaned_block_lacks_what_was_deleted_and_counts_as_new() {
    let block = open_block(&testdata().join(COMPACTED));
    let dir = tempfile::tempdir().unwrap();
    let meta = clean(&block, dir.path(), ulid(), &MergeOptions::default()).unwrap().unwrap();
    let before = tempfile::tempdir().unwrap();
    copy_dir(block.dir(), &before.path().join(COMPACTED));
    assert_equal(&everything(&open(dir.path())), &everything(&open(before.path())));
    assert!(meta.stats.num_samples < block.meta().stats.num_samples);
    assert_eq!((meta.stats.num_tombstones, meta.compaction.level), (0, 1));
    assert_eq!(meta.compaction.sources, [ulid().to_string()]);
    assert_eq!(meta.compaction.parents, [block::Parent::from(block.meta())]);
    assert_eq!((meta.min_time, meta.max_time), (block.meta().min_time, block.meta().max_time));
}

#[test]
fn blocks_put_together_hold_what_they_held_apart() {
    let (compacted, late) = (open_block(&testdata().join(COMPACTED)), open_block(&testdata().join(LATE)));
    let dir = tempfile::tempdir().unwrap();
    let meta = merge(&[&late, &compacted], dir.path(), ulid(), &MergeOptions::default()).unwrap().unwrap();
    assert_equal(&everything(&open(dir.path())), &everything(&open(&testdata())));
    assert_eq!((meta.min_time, meta.max_time), (compacted.meta().min_time, late.meta().max_time));
    assert_eq!((meta.compaction.level, meta.compaction.sources.len()), (9, 29 + 2));
    let parents = [&compacted, &late].map(|b| block::Parent::from(b.meta()));
    assert_eq!((&meta.compaction.parents[..], meta.compaction.hints.len()), (&parents[..], 0));
}

#[test]
fn where_all_was_deleted_nothing_is_written_and_the_parents_may_go() {
    let (dir, block) = copied(LATE);
    let all = [matcher(MatchOp::Regex, "__name__", ".+")];
    assert_eq!(block.delete(&all, i64::MIN, i64::MAX).unwrap(), 1);
    assert!(block.is_outdated() && block.tombstones().is_empty());
    let block = block.reopen().unwrap();
    assert_eq!((block.tombstones().len(), block.meta().stats.num_tombstones), (1, 1));
    assert_eq!(merge(&[&block], dir.path(), ulid(), &MergeOptions::default()).unwrap(), None);
    assert_eq!(names(dir.path()), BTreeSet::from([LATE.to_owned()]));
    assert!(Meta::read(block.dir()).unwrap().compaction.deletable);
    assert_eq!(open(dir.path()).current().len(), 0);
}

#[test]
fn a_damaged_block_is_not_tried_again() {
    let (dir, block) = copied(LATE);
    let path = block.dir().join("chunks/000001");
    drop(block);
    let mut bytes = read(&path);
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let block = open_block(&dir.path().join(LATE));
    let error = merge(&[&block], dir.path(), ulid(), &MergeOptions::default()).unwrap_err();
    assert!(matches!(error, BlockError::Damaged { .. }), "{error}");
    assert!(Meta::read(block.dir()).unwrap().compaction.failed);
    assert_eq!(names(dir.path()), BTreeSet::from([LATE.to_owned()]));
}

#[test]
fn a_merge_that_is_stopped_leaves_everything_as_it_was() {
    let (dir, block) = copied(LATE);
    let meta = read(&block.dir().join("meta.json"));
    let stop = AtomicBool::new(true);
    let options = MergeOptions { stop: Some(&stop), ..MergeOptions::default() };
    let error = merge(&[&block], dir.path(), ulid(), &options).unwrap_err();
    assert!(matches!(error, BlockError::Interrupted), "{error}");
    assert_eq!(names(dir.path()), BTreeSet::from([LATE.to_owned()]));
    assert_eq!(read(&block.dir().join("meta.json")), meta);
}

#[test]
fn rules_take_away_series_that_are_too_old() {
    let block = open_block(&testdata().join(COMPACTED));
    let before = everything(&open(&testdata()));
    let (from, to) = (block.meta().min_time, block.meta().max_time);
    let middle = from + (to - from) / 2;
    let matchers = [matcher(MatchOp::Equal, "__name__", "float_total")];
    assert!(expired(&block, &[(&matchers, from)]).unwrap().is_empty(), "nothing is as old");
    let nobody = [matcher(MatchOp::Equal, "__name__", "nobody")];
    assert!(expired(&block, &[(&nobody, to)]).unwrap().is_empty());

    let doomed = expired(&block, &[(&matchers, middle)]).unwrap();
    assert!(!doomed.is_empty());
    let dir = tempfile::tempdir().unwrap();
    without(&block, &doomed, dir.path(), ulid(), &MergeOptions::default()).unwrap().unwrap();
    let mut want: Dump = before;
    for (labels, samples) in &mut want {
        let old = |t: &i64| labels.contains("float_total") && *t < middle;
        samples.retain(|t, _| !old(t) && *t < to);
    }
    want.retain(|_, samples| !samples.is_empty());
    assert_equal(&everything(&open(dir.path())), &want);
    let again = open_block(&dir.path().join(ulid().to_string()));
    assert!(expired(&again, &[(&matchers, middle)]).unwrap().is_empty(), "it is gone already");
}

/// Oldest time, newest time, bytes.
type StoredChunk = (i64, i64, Vec<u8>);

/// A source in memory: labels with chunks of floats.
struct Memory {
    series: Vec<(Labels, Vec<StoredChunk>)>,
    deleted: Vec<Interval>,
    next: usize,
}

impl SeriesSource for Memory {
    fn symbols(&self) -> Result<SymbolIter<'_>, BlockError> {
        let pairs = self.series.iter().flat_map(|(labels, _)| labels.iter());
        let all: BTreeSet<&str> = pairs.flat_map(|(name, value)| [name, value]).collect();
        Ok(Box::new(all.into_iter().map(|text| Ok(Cow::Borrowed(text)))))
    }

    fn advance(&mut self) -> Result<bool, BlockError> {
        self.next += 1;
        Ok(self.next <= self.series.len())
    }

    fn labels(&self) -> &Labels {
        &self.series[self.next - 1].0
    }

    fn chunks<'a>(&'a mut self, out: &mut Vec<NewChunk<'a>>) -> Result<&'a [Interval], BlockError> {
        for (min_time, max_time, bytes) in &self.series[self.next - 1].1 {
            out.push(NewChunk { encoding: Encoding::Xor, min_time: *min_time, max_time: *max_time, bytes });
        }
        Ok(&self.deleted)
    }
}

fn chunk_of(times: &[i64], v: f64) -> StoredChunk {
    let mut appender = XorAppender::new();
    let mut bytes = vec![0; 2 + times.len() * XorAppender::MAX_SAMPLE_LEN];
    for &t in times {
        appender.append(&mut bytes, t, v).unwrap();
    }
    bytes.truncate(appender.len());
    (times[0], times[times.len() - 1], bytes)
}

/// Samples of each series, by number.
type Samples = BTreeMap<u8, BTreeSet<i64>>;

/// A source of these samples, in chunks of at most so many.
fn source(samples: &Samples, per_chunk: usize, v: f64, deleted: &[Interval]) -> Memory {
    let series = samples.iter().filter(|(_, times)| !times.is_empty()).map(|(number, times)| {
        let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("n", number.to_string())]);
        let times: Vec<i64> = times.iter().copied().collect();
        (labels, times.chunks(per_chunk).map(|times| chunk_of(times, v)).collect::<Vec<_>>())
    });
    let mut series: Vec<_> = series.collect();
    series.sort();
    Memory { series, deleted: deleted.to_vec(), next: 0 }
}

fn series_samples() -> impl Strategy<Value = Samples> {
    prop::collection::btree_map(0u8..12, prop::collection::btree_set(0i64..2_000, 0..300), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Each source has its own value, so that mixed up series would show.
    #[test]
    fn what_is_merged_is_the_union_without_what_was_deleted(
        sources in prop::collection::vec((series_samples(), 1usize..130), 1..4),
        deleted in (0i64..2_000, 0i64..300),
        span in (0i64..500, 1_000i64..2_100),
    ) {
        let deleted = [Interval { min_time: deleted.0, max_time: deleted.0 + deleted.1 }];
        let mut want: BTreeMap<u8, BTreeMap<i64, Vec<u64>>> = BTreeMap::new();
        for (i, (samples, _)) in sources.iter().enumerate() {
            for (number, times) in samples {
                for &t in times.iter().filter(|&&t| !deleted[0].contains(t) && span.0 <= t && t < span.1) {
                    want.entry(*number).or_default().entry(t).or_default().push((i as f64).to_bits());
                }
            }
        }
        let mut memories: Vec<Memory> =
            sources.iter().enumerate().map(|(i, (s, n))| source(s, *n, i as f64, &deleted)).collect();
        let mut list: Vec<&mut dyn SeriesSource> =
            memories.iter_mut().map(|m| m as &mut dyn SeriesSource).collect();
        let dir = tempfile::tempdir().unwrap();
        let meta = Meta::new(ulid(), span.0, span.1);
        let written = write_block(&mut list, dir.path(), ulid(), meta, &MergeOptions::default()).unwrap();
        prop_assert_eq!(written.is_some(), !want.is_empty());
        let Some(meta) = written else { return Ok(()) };

        let block = open_block(&dir.path().join(ulid().to_string()));
        let mut entry = SeriesEntry::default();
        let mut seen = 0u64;
        for number in block.index().postings("", "").unwrap().iter() {
            block.index().series(number, &mut entry).unwrap();
            let mut columns = chunk::Columns::default();
            for stored in &entry.chunks {
                let start = columns.len();
                let (encoding, bytes) = block.stored_chunk(stored.reference).unwrap();
                chunk::decode(Encoding::try_from(encoding).unwrap(), bytes, u16::MAX, &mut columns).unwrap();
                prop_assert_eq!((columns.times[start], *columns.times.last().unwrap()), (stored.min_time, stored.max_time));
                prop_assert!(columns.len() - start <= 130);
            }
            prop_assert!(columns.times.is_sorted_by(|a, b| a < b));
            let name: u8 = entry.label_set().get("n").unwrap().parse().unwrap();
            let expected = want.remove(&name).unwrap();
            prop_assert_eq!(columns.times.clone(), expected.keys().copied().collect::<Vec<_>>());
            for (t, v) in columns.times.iter().zip(&columns.values) {
                prop_assert!(expected[t].contains(&v.to_bits()));
            }
            seen += columns.len() as u64;
        }
        prop_assert!(want.is_empty());
        prop_assert_eq!(meta.stats.num_samples, seen);
    }
}

/// The recorded directory as a whole: three blocks that follow each other, one that overlaps the last.
#[test]
fn recorded_blocks_of_all_kinds_are_merged() {
    let Some(golden) = testkit::shared("golden/tsdb") else { return };
    for case in ["blocks", "st-block", "xor2-block"] {
        let dir = golden.join(case).join("data");
        let names = names(&dir);
        let blocks: Vec<Block> =
            names.iter().filter(|n| block::is_ulid(n)).map(|n| open_block(&dir.join(n))).collect();
        let out = tempfile::tempdir().unwrap();
        let list: Vec<&Block> = blocks.iter().collect();
        let meta = merge(&list, out.path(), ulid(), &MergeOptions::default()).unwrap().unwrap();
        let all: u64 = blocks.iter().map(|b| b.meta().stats.num_samples).sum();
        assert!(meta.stats.num_samples <= all && meta.stats.num_samples + 200 > all, "{case}");
        assert_equal(&everything(&open(out.path())), &everything(&open(&dir)));
    }
}

#[test]
fn deletions_add_up_and_are_in_force_at_once() {
    let (dir, _) = copied(COMPACTED);
    let blocks = open(dir.path());
    let before = everything(&blocks);
    let total = [Matcher::equal("__name__", "float_total")];
    let (from, to) = (blocks.current()[0].meta().min_time, blocks.current()[0].meta().max_time);
    let held = blocks.current();
    let stones = held[0].tombstones().len();
    let series = blocks.delete(&total, from, from + 1_000_000).unwrap();
    assert!(series > 1);
    assert_eq!(blocks.delete(&total, from + 900_000, from + 2_000_000).unwrap(), series);
    assert_eq!(blocks.delete(&[Matcher::equal("__name__", "nobody")], from, to).unwrap(), 0);
    assert_eq!(blocks.delete(&total, to + 1, i64::MAX).unwrap(), 0);
    let mut want = before;
    for (labels, samples) in want.iter_mut().filter(|(labels, _)| labels.contains("float_total")) {
        samples.retain(|t, _| *t > from + 2_000_000);
        assert!(!samples.is_empty(), "{labels}");
    }
    assert_equal(&everything(&blocks), &want);
    assert_equal(&everything(&open(dir.path())), &want);
    assert_eq!(held[0].tombstones().len(), stones, "readers keep what they began with");
    assert_eq!(
        blocks.current()[0].meta().stats.num_tombstones,
        blocks.current()[0].tombstones().len() as u64
    );
}
