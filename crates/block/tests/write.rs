//! Blocks written anew from their own series are Prometheus' files again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::Path;

use block::{Block, BlockWriter, Meta, Metrics, NewChunk, SeriesEntry, Ulid, WriteOptions};
use chunk::Encoding;
use exposition::Registry;
use model::Labels;
use support::testdata;

/// All recorded blocks: those in the repository, and more where the recordings are.
fn recorded() -> Vec<Block> {
    let metrics = Metrics::register(&Registry::new());
    let mut dirs = vec![testdata()];
    if let Some(golden) = testkit::shared("golden") {
        let cases = ["promql/tsdb", "tsdb/blocks/data", "tsdb/xor2-block/data", "tsdb/st-block/data"];
        dirs.extend(cases.map(|case| golden.join(case)));
    }
    let entries = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
    let dirs = entries.map(|e| e.unwrap()).filter(|e| block::is_ulid(e.file_name().to_str().unwrap()));
    dirs.map(|e| Block::open(&e.path(), &metrics).unwrap()).collect()
}

/// Writes a block's series into another.
fn rewrite(block: &Block, parent: &Path, ulid: Ulid, options: &WriteOptions) -> Meta {
    let symbols = block.index().symbols().unwrap();
    let mut writer = BlockWriter::create(parent, ulid, options, symbols.into_iter()).unwrap();
    let mut entry = SeriesEntry::default();
    for number in block.index().postings("", "").unwrap().iter() {
        block.index().series(number, &mut entry).unwrap();
        let chunk = |c: &block::ChunkMeta| {
            let (encoding, bytes) = block.stored_chunk(c.reference).unwrap();
            let encoding = Encoding::try_from(encoding).unwrap();
            NewChunk { encoding, min_time: c.min_time, max_time: c.max_time, bytes }
        };
        let chunks: Vec<_> = entry.chunks.iter().map(chunk).collect();
        writer.add_series(&entry.label_set(), &chunks).unwrap();
    }
    writer.finish(block.meta().clone()).unwrap()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn recorded_blocks_are_written_byte_for_byte() {
    for block in recorded() {
        for postings_memory in [0, 32 << 20] {
            let dir = tempfile::tempdir().unwrap();
            let ulid = Ulid::parse(&block.meta().ulid).unwrap();
            let options = WriteOptions { postings_memory, ..WriteOptions::default() };
            rewrite(&block, dir.path(), ulid, &options);
            let written = dir.path().join(ulid.to_string());
            for file in ["index", "chunks/000001"] {
                assert!(
                    read(&written.join(file)) == read(&block.dir().join(file)),
                    "{} {file}",
                    block.dir().display()
                );
            }
            let listed = std::fs::read_dir(dir.path()).unwrap().count();
            assert_eq!(listed, 1, "nothing else is left");
            if block.tombstones().is_empty() {
                for file in ["meta.json", "tombstones"] {
                    assert_eq!(
                        read(&written.join(file)).escape_ascii().to_string(),
                        read(&block.dir().join(file)).escape_ascii().to_string()
                    );
                }
            }
        }
    }
}

/// Three segments or more; each chunk is where the index says.
#[test]
fn chunks_go_on_in_the_next_segment() {
    let metrics = Metrics::register(&Registry::new());
    let block = recorded().into_iter().max_by_key(|b| b.meta().stats.num_chunks).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = WriteOptions { segment_size: 4096, ..WriteOptions::default() };
    let ulid = Ulid::new(1, 2);
    rewrite(&block, dir.path(), ulid, &options);
    let written = dir.path().join(ulid.to_string());
    let segments: Vec<u64> = std::fs::read_dir(written.join("chunks"))
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .collect();
    assert!(segments.len() > 3 && segments.iter().all(|&n| n > 8 && n <= 4096), "{segments:?}");
    let again = Block::open(&written, &metrics).unwrap();
    let back = dir.path().join("back");
    std::fs::create_dir(&back).unwrap();
    rewrite(&again, &back, ulid, &WriteOptions::default());
    assert!(
        read(&back.join(ulid.to_string()).join("chunks/000001")) == read(&block.dir().join("chunks/000001"))
    );
}

#[test]
fn a_block_that_is_not_finished_or_has_nothing_in_it_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let begin = || {
        BlockWriter::create(dir.path(), Ulid::new(1, 2), &WriteOptions::default(), ["a", "b"].iter()).unwrap()
    };
    let left = || std::fs::read_dir(dir.path()).unwrap().count();
    let writer = begin();
    assert_eq!(left(), 1);
    drop(writer);
    assert_eq!(left(), 0);
    let meta = begin().finish(Meta::new(Ulid::new(1, 2), 0, 10)).unwrap();
    assert_eq!((meta.stats.num_samples, left()), (0, 0));
}

#[test]
fn what_is_out_of_order_is_refused() {
    let bytes = [0, 1];
    let chunk = |min_time, max_time| NewChunk { encoding: Encoding::Xor, min_time, max_time, bytes: &bytes };
    let labels = |value: &str| Labels::from_pairs([("name", value)]);
    type Series<'a> = (&'a str, Vec<NewChunk<'a>>);
    let cases: &[(&[&str], &[Series<'_>], &str)] = &[
        (&["b", "a"], &[], "symbol"),
        (&["a", "a"], &[], "symbol"),
        (&["a", "name"], &[("b", vec![chunk(1, 2)])], "announced"),
        (&["a", "b", "name"], &[("b", vec![chunk(1, 2)]), ("a", vec![chunk(1, 2)])], "come after"),
        (&["a", "b", "name"], &[("b", vec![chunk(1, 2)]), ("b", vec![chunk(1, 2)])], "come after"),
        (&["a", "b", "name"], &[("a", vec![chunk(1, 2), chunk(2, 3)])], "not in order"),
        (&["a", "b", "name"], &[("a", vec![chunk(2, 1)])], "not in order"),
    ];
    for (symbols, series, want) in cases {
        let dir = tempfile::tempdir().unwrap();
        let begun =
            BlockWriter::create(dir.path(), Ulid::new(1, 2), &WriteOptions::default(), symbols.iter());
        let outcome = begun.and_then(|mut writer| {
            series.iter().try_for_each(|(value, chunks)| writer.add_series(&labels(value), chunks))
        });
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
