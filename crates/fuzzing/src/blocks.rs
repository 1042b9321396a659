//! The files of a block.

use std::path::Path;

use block::{Block, Blocks, Index, MergeOptions, Meta, Metrics, SeriesEntry, Tombstones, Ulid, WriteOptions};
use model::{MatchOp, Matcher};
use storage::{Projection, QueryContext, Request, Select};

const META: &str = r#"{"ulid":"01M7YKC88AF6H593WAHTJDC3AZ","minTime":0,"maxTime":9000000000000,"version":1}"#;

fn file<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, rest)) = data.split_first_chunk() else { return &[] };
    let (file, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
    *data = rest;
    file
}

/// A whole block, its files one behind the other, each preceded by two bytes of length: index, tombstones, and the rest a
/// segment of chunks. It is read, inspected, and merged into another.
pub(crate) fn directory(data: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("01M7YKC88AF6H593WAHTJDC3AZ");
    let mut rest = data;
    let (index, tombstones) = (file(&mut rest), file(&mut rest));
    let write = |name: &str, bytes: &[u8]| std::fs::write(path.join(name), bytes).unwrap();
    std::fs::create_dir_all(path.join("chunks")).unwrap();
    write("meta.json", META.as_bytes());
    write("index", index);
    write("tombstones", tombstones);
    write("chunks/000001", rest);
    let registry = exposition::Registry::new();
    let blocks = Blocks::open(dir.path(), &registry).unwrap();
    read(&blocks);
    let _ = block::inspect(&path, &mut Silent);
    if let Ok(block) = Block::open(&path, &Metrics::register(&exposition::Registry::new())) {
        let options = MergeOptions {
            write: WriteOptions { segment_size: 1024, postings_memory: 64 },
            ..MergeOptions::default()
        };
        let _ = block::merge(&[&block, &block], dir.path(), Ulid::new(1, 1), &options);
    }
}

fn read(blocks: &Blocks) {
    let matchers = [Matcher::new(MatchOp::Regex, "__name__", ".*").unwrap()];
    let request = Request {
        matchers: &matchers,
        min_time: i64::MIN,
        max_time: i64::MAX,
        labels: Projection::All,
        newest: None,
    };
    let Ok(parts) = blocks.select(&QueryContext::unlimited(), &request) else { return };
    for mut part in parts {
        while let Ok(Some(series)) = part.next() {
            for chunk in series.chunks.iter() {
                let _ = chunk.histograms(&mut Vec::new());
            }
        }
    }
}

struct Silent;

impl block::Inspector for Silent {
    fn damaged(&mut self, _: &Path, _: Option<u64>, _: &str) {}
    fn noticed(&mut self, _: &Path, _: &str) {}
    fn advanced(&mut self, _: u64) {}
}

/// Opened, listed, searched, all series read, all postings.
pub(crate) fn index(data: &[u8]) {
    let Ok(index) = Index::from_bytes(data.to_vec()) else { return };
    let _ = index.symbols();
    let mut entry = SeriesEntry::default();
    if let Ok(list) = index.postings("", "") {
        for number in list.iter() {
            if index.series(number, &mut entry).is_ok() {
                let _ = entry.label_set();
            }
        }
    }
    let names: Vec<String> = index.label_names().map(str::to_owned).collect();
    for name in &names {
        for value in ["", "a", name] {
            if let Ok(list) = index.postings(name, value) {
                assert_eq!(list.iter().count(), list.len());
            }
        }
    }
}

/// `meta.json`.
pub(crate) fn meta(data: &[u8]) {
    if let Ok(meta) = Meta::parse(data, Path::new("meta.json")) {
        let mut again = meta.to_json().into_bytes();
        again.push(b'\n');
        assert_eq!(Meta::parse(&again, Path::new("meta.json")).ok(), Some(meta.clone()));
        let _ = block::plan(&[&meta, &meta], &block::block_ranges(7_200_000, 259_200_000), true);
    }
}

/// What is read and written again must be read as the same.
pub(crate) fn tombstones(data: &[u8]) {
    if let Ok(stones) = Tombstones::parse(data) {
        assert_eq!(Tombstones::parse(&stones.to_bytes()), Ok(stones));
    }
}
