//! Blocks with an index of version 1, as Prometheus 2.0 wrote them: symbols and series are named by their place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use block::{Block, MergeOptions, Metrics, SeriesEntry, Ulid, merge};
use exposition::Registry;
use support::{assert_equal, copy_dir, everything, open, testdata};

const LATE: &str = "01M7YKC88AF6H593WAHTJDC3AZ";
const COMPACTED: &str = "01M7YKC63BZQTHMHVNSK8GG0E5";

fn uvarint(out: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

fn varint(out: &mut Vec<u8>, x: i64) {
    uvarint(out, (x << 1 ^ x >> 63) as u64);
}

fn text(out: &mut Vec<u8>, text: &str) {
    uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn sum(content: &[u8]) -> [u8; 4] {
    (crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, content) as u32).to_be_bytes()
}

fn section(file: &mut Vec<u8>, content: &[u8]) {
    file.extend((content.len() as u32).to_be_bytes());
    file.extend_from_slice(content);
    file.extend(sum(content));
}

/// The index of a block in version 1, its table of postings in no order.
fn version_1(block: &Block) -> Vec<u8> {
    let mut file = [0xba, 0xaa, 0xd7, 0x00, 1].to_vec();
    let mut toc = [0u64; 6];
    toc[0] = file.len() as u64;
    let all: BTreeSet<&str> = block.index().symbols().unwrap().into_iter().collect();
    let mut content = (all.len() as u32).to_be_bytes().to_vec();
    let mut symbols: BTreeMap<&str, u64> = BTreeMap::new();
    for symbol in all {
        symbols.insert(symbol, (file.len() + 4 + content.len()) as u64);
        text(&mut content, symbol);
    }
    section(&mut file, &content);
    toc[1] = file.len() as u64;
    let mut postings: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
    let mut entry = SeriesEntry::default();
    for number in block.index().postings("", "").unwrap().iter() {
        block.index().series(number, &mut entry).unwrap();
        let place = file.len() as u32;
        let mut content = Vec::new();
        uvarint(&mut content, entry.labels.len() as u64);
        for &(name, value) in entry.labels.iter().chain([&("", "")]) {
            postings.entry((name.to_owned(), value.to_owned())).or_default().push(place);
            if !name.is_empty() {
                uvarint(&mut content, symbols[name]);
                uvarint(&mut content, symbols[value]);
            }
        }
        uvarint(&mut content, entry.chunks.len() as u64);
        let mut before: Option<&block::ChunkMeta> = None;
        for chunk in &entry.chunks {
            match before {
                None => varint(&mut content, chunk.min_time),
                Some(before) => uvarint(&mut content, (chunk.min_time - before.max_time) as u64),
            }
            uvarint(&mut content, (chunk.max_time - chunk.min_time) as u64);
            match before {
                None => uvarint(&mut content, chunk.reference),
                Some(before) => varint(&mut content, chunk.reference as i64 - before.reference as i64),
            }
            before = Some(chunk);
        }
        uvarint(&mut file, content.len() as u64);
        file.extend_from_slice(&content);
        file.extend(sum(&content));
    }
    toc[4] = file.len() as u64;
    let mut table = (postings.len() as u32).to_be_bytes().to_vec();
    for ((name, value), series) in postings.iter().rev() {
        uvarint(&mut table, 2);
        text(&mut table, name);
        text(&mut table, value);
        uvarint(&mut table, file.len() as u64);
        let list = series.iter().flat_map(|place| place.to_be_bytes());
        let content: Vec<u8> = (series.len() as u32).to_be_bytes().into_iter().chain(list).collect();
        section(&mut file, &content);
    }
    toc[5] = file.len() as u64;
    section(&mut file, &table);
    let toc: Vec<u8> = toc.iter().flat_map(|place| place.to_be_bytes()).collect();
    file.extend_from_slice(&toc);
    file.extend(sum(&toc));
    file
}

fn open_block(dir: &Path) -> Block {
    Block::open(dir, &Metrics::register(&Registry::new())).unwrap()
}

#[test]
fn old_blocks_are_read_and_become_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    for name in [LATE, COMPACTED] {
        copy_dir(&testdata().join(name), &dir.path().join(name));
        let block = open_block(&testdata().join(name));
        std::fs::write(dir.path().join(name).join("index"), version_1(&block)).unwrap();
        // What was deleted is written down by numbers of version 2.
        std::fs::remove_file(dir.path().join(name).join("tombstones")).unwrap();
        std::fs::remove_file(dir.path().join(name).join("meta.json")).unwrap();
        let mut meta = block.meta().clone();
        meta.stats.num_tombstones = 0;
        meta.write(&dir.path().join(name)).unwrap();
    }
    let new = tempfile::tempdir().unwrap();
    for name in [LATE, COMPACTED] {
        copy_dir(&testdata().join(name), &new.path().join(name));
        std::fs::remove_file(new.path().join(name).join("tombstones")).unwrap();
    }
    let want = everything(&open(new.path()));
    assert!(!want.is_empty());
    assert_equal(&everything(&open(dir.path())), &want);

    let old = open_block(&dir.path().join(LATE));
    let out = tempfile::tempdir().unwrap();
    let ulid = Ulid::new(1, 1);
    merge(&[&old], out.path(), ulid, &MergeOptions::default()).unwrap().unwrap();
    let index = |dir: &Path| std::fs::read(dir.join("index")).unwrap();
    assert!(index(&out.path().join(ulid.to_string())) == index(&testdata().join(LATE)));

    // And deletions from them, by their own numbers.
    let series = old.delete(&[support::matcher(model::MatchOp::Regex, "__name__", ".+")], i64::MIN, i64::MAX);
    assert_eq!(series.unwrap(), 1);
    assert_ne!(everything(&open(dir.path())), want);
    assert_eq!(merge(&[&old.reopen().unwrap()], out.path(), ulid, &MergeOptions::default()).unwrap(), None);
}
