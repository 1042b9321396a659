//! Blocks that Prometheus' compactor made of others, made again of the same ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use block::{Block, MergeOptions, Metrics, Ulid, WriteOptions, merge};
use chunk::Encoding;
use exposition::Registry;
use support::copy_dir;

/// Segments of the recorded blocks are short, so that there are several.
const SEGMENT_SIZE: u64 = 2 << 10;

/// Writes the files of all cases into a directory.
fn unpack(dir: &Path) -> Vec<PathBuf> {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/compactions.jsonl.gz"));
    let mut cases = BTreeSet::new();
    for row in testkit::gunzip(&own).unwrap().lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let path = dir.join(row["file"].as_str().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let digits = row["bytes"].as_str().unwrap().as_bytes().chunks(2);
        let bytes = digits.map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap());
        std::fs::write(&path, bytes.collect::<Vec<_>>()).unwrap();
        cases.insert(dir.join(row["file"].as_str().unwrap().split('/').next().unwrap()));
    }
    cases.into_iter().collect()
}

fn block_in(dir: &Path) -> Option<PathBuf> {
    let mut all = std::fs::read_dir(dir).ok()?.map(|e| e.unwrap().path());
    all.find(|path| block::is_ulid(path.file_name().unwrap().to_str().unwrap()))
}

fn compare(case: &Path) {
    let metrics = Metrics::register(&Registry::new());
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&case.join("in"), &dir.path().join("in"));
    let order = std::fs::read_to_string(case.join("order")).unwrap();
    let blocks: Vec<Block> =
        order.lines().map(|name| Block::open(&dir.path().join("in").join(name), &metrics).unwrap()).collect();
    let want = block_in(&case.join("out"));
    let ulid = want
        .as_ref()
        .map_or(Ulid::new(1, 2), |want| Ulid::parse(want.file_name().unwrap().to_str().unwrap()).unwrap());
    let options = MergeOptions {
        write: WriteOptions { segment_size: SEGMENT_SIZE, ..WriteOptions::default() },
        floats: if case.join("xor2").exists() { Encoding::Xor2 } else { Encoding::Xor },
        ..MergeOptions::default()
    };
    let list: Vec<&Block> = blocks.iter().collect();
    let meta = merge(&list, dir.path(), ulid, &options).unwrap();
    let Some(want) = want else {
        assert_eq!(meta, None, "{}", case.display());
        return;
    };
    let got = dir.path().join(ulid.to_string());
    let mut files = vec!["meta.json".to_owned(), "index".to_owned(), "tombstones".to_owned()];
    for entry in std::fs::read_dir(want.join("chunks")).unwrap() {
        files.push(format!("chunks/{}", entry.unwrap().file_name().into_string().unwrap()));
    }
    for file in files {
        let read = |dir: &Path| std::fs::read(dir.join(&file)).unwrap();
        let (got, want) = (read(&got), read(&want));
        if file == "meta.json" {
            assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&want), "{}", case.display());
        }
        let first = got.iter().zip(&want).position(|(a, b)| a != b);
        assert!(got == want, "{} {file}: {} and {} bytes, {first:?}", case.display(), got.len(), want.len());
    }
}

#[test]
fn prometheus_compactions_are_made_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let cases = unpack(dir.path());
    assert!(cases.len() > 5);
    let failed = cases.iter().filter(|case| std::panic::catch_unwind(|| compare(case)).is_err()).count();
    assert_eq!(failed, 0, "of {}", cases.len());
}
