//! Blocks that Prometheus 3.14 wrote (recorded), read as it reads them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use block::{Block, Metrics, SeriesEntry};
use exposition::Registry;
use serde_json::Value as Json;
use storage::MemoryStore;
use support::{Dump, Shown, assert_equal, copy_dir, everything, open, parse_dump, read};

fn blocks_below(dir: &Path) -> Vec<Block> {
    let metrics = Metrics::register(&Registry::new());
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| block::is_ulid(n)).map(|n| Block::open(&dir.join(n), &metrics).unwrap()).collect()
}

#[test]
fn the_index_is_the_recorded_one() {
    let Some(golden) = testkit::shared("golden") else { return };
    let dirs = ["promql/tsdb", "tsdb/blocks/data", "tsdb/xor2-block/data", "tsdb/st-block/data"];
    let mut by_toc: BTreeMap<String, Block> = BTreeMap::new();
    for block in dirs.iter().flat_map(|dir| blocks_below(&golden.join(dir))) {
        // The recording names blocks loosely; symbols and table of contents tell them apart.
        by_toc.insert(format!("{:?}{:?}", block.index().toc(), block.index().symbols().unwrap()), block);
    }
    let mut compared = 0;
    for row in testkit::gunzip(&golden.join("tsdb/index-dump.jsonl.gz")).unwrap().lines() {
        let row: Json = serde_json::from_str(row).unwrap();
        let place = |name: &str| row["toc"][name].as_u64().unwrap();
        let toc = block::Toc {
            symbols: place("symbols"),
            series: place("series"),
            label_indices: place("label_indices"),
            label_offset_table: place("label_offset_table"),
            postings: place("postings"),
            postings_offset_table: place("postings_offset_table"),
        };
        let symbols: Vec<&str> =
            row["symbols"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        let block =
            by_toc.get(&format!("{toc:?}{symbols:?}")).unwrap_or_else(|| panic!("no block {}", row["block"]));
        let mut entry = SeriesEntry::default();
        for want in row["series"].as_array().unwrap() {
            block.index().series(want["ref"].as_u64().unwrap() as u32, &mut entry).unwrap();
            let labels: Json = entry.labels.iter().map(|(n, v)| ((*n).to_owned(), Json::from(*v))).collect();
            assert_eq!(labels, want["labels"]);
            let chunks = entry.chunks.iter().map(|c| {
                Json::from(vec![
                    Json::from(c.min_time),
                    c.max_time.into(),
                    (c.reference >> 32).into(),
                    (c.reference & 0xffff_ffff).into(),
                ])
            });
            assert_eq!(chunks.collect::<Json>(), want["chunks"]);
        }
        for want in row["postings"].as_array().unwrap() {
            let (name, value) = (want[0].as_str().unwrap(), want[1].as_str().unwrap());
            let list = block.index().postings(name, value).unwrap();
            assert_eq!(list.iter().map(Json::from).collect::<Json>(), want[2]);
        }
        compared += 1;
    }
    assert!(compared >= 4, "{compared}");
}

#[test]
fn the_query_data_set_is_the_recorded_one() {
    let Some(golden) = testkit::shared("golden/promql") else { return };
    let memory = MemoryStore::new();
    testkit::load_dataset(&testkit::gunzip(&golden.join("dataset.jsonl.gz")).unwrap(), &memory);
    // The reader of the recording's JSON is off by a bit in populations of histograms.
    let floats = |mut dump: Dump| {
        let is_float = |shown: &mut Shown| matches!(shown, Shown::Float(_));
        dump.values_mut().for_each(|samples| samples.retain(|_, shown| is_float(shown)));
        dump
    };
    assert_equal(&floats(everything(&open(&golden.join("tsdb")))), &floats(everything(&memory)));
}

#[test]
fn blocks_hold_what_promtool_dumps() {
    let Some(golden) = testkit::shared("golden/tsdb/blocks") else { return };
    let blocks = open(&golden.join("data"));
    assert_eq!(blocks.current().len(), 4);
    let mut want = parse_dump(&testkit::gunzip(&golden.join("dump.txt.gz")).unwrap());
    // What is newer is in the head too.
    let end = 1_700_114_400_000 - 1;
    want.values_mut().for_each(|samples| samples.retain(|t, _| *t <= end));
    want.retain(|_, samples| !samples.is_empty());
    let all = [support::matcher(model::MatchOp::Regex, "__name__", ".+")];
    assert_equal(&read(&blocks, &all, i64::MIN, end), &want);
}

/// With start times, and floats as XOR2.
#[test]
fn blocks_of_newer_encodings_hold_what_promtool_dumps() {
    let Some(golden) = testkit::shared("golden/tsdb") else { return };
    for case in ["xor2-block", "st-block"] {
        let want = parse_dump(&testkit::gunzip(&golden.join(case).join("dump.txt.gz")).unwrap());
        assert_equal(&everything(&open(&golden.join(case).join("data"))), &want);
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    let digits: Vec<u32> = text.bytes().filter(|b| *b != b'=').map(|b| u32::from(digit(b))).collect();
    for group in digits.chunks(4) {
        let word = group.iter().enumerate().fold(0, |word, (i, d)| word | d << (18 - 6 * i));
        out.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    out
}

fn damage(dir: &Path, ops: &Json) {
    for op in ops.as_array().unwrap() {
        let path = |name: &Json| dir.join(name.as_str().unwrap());
        if let Some(pair) = op["rename"].as_array() {
            std::fs::rename(path(&pair[0]), path(&pair[1])).unwrap();
        } else if let Some(pair) = op["copy_dir"].as_array() {
            copy_dir(&path(&pair[0]), &path(&pair[1]));
        } else if op["remove"].is_string() {
            let path = path(&op["remove"]);
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        } else if op["mkdir"].is_string() {
            std::fs::create_dir_all(path(&op["mkdir"])).unwrap();
        } else {
            let path = path(&op["file"]);
            let mut bytes = std::fs::read(&path).unwrap_or_default();
            if let Some(offset) = op["offset"].as_u64() {
                bytes[offset as usize] ^= op["xor"].as_u64().unwrap() as u8;
            } else if let Some(n) = op["truncate"].as_u64() {
                bytes.truncate(n as usize);
            } else if let Some(text) = op["write_b64"].as_str() {
                bytes = base64(text);
            } else if let Some(text) = op["append_b64"].as_str() {
                bytes.extend(base64(text));
            } else if let Some(pair) = op["replace"].as_array() {
                let text = String::from_utf8(bytes).unwrap();
                bytes = text.replace(pair[0].as_str().unwrap(), pair[1].as_str().unwrap()).into_bytes();
            } else {
                panic!("unknown edit {op}");
            }
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// Where Prometheus does not start or fails the query, all other blocks are to be served; else as much as it serves.
#[test]
fn damaged_blocks_end_as_with_prometheus_or_better() {
    let Some(golden) = testkit::shared("golden/tsdb") else { return };
    let whole = open(&golden.join("blocks/data"));
    let whole_dump = everything(&whole);
    let samples = |dump: &Dump| dump.values().map(BTreeMap::len).sum::<usize>();
    let mut rows = 0;
    for row in std::fs::read_to_string(golden.join("corruptions.jsonl")).unwrap().lines() {
        let row: Json = serde_json::from_str(row).unwrap();
        let name = row["name"].as_str().unwrap();
        if row["base"] != "blocks" || !name.starts_with("block-") {
            continue;
        }
        rows += 1;
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&golden.join("blocks/data"), dir.path());
        damage(dir.path(), &row["ops"]);
        let blocks = open(dir.path());
        let got = everything(&blocks);
        let loaded = blocks.current().len();
        for (labels, samples) in &got {
            assert!(samples.iter().all(|(t, v)| whole_dump[labels].get(t) == Some(v)), "{name}: {labels}");
        }
        let first = &row["first_start"];
        if let Some(want) = first["metrics"]["prometheus_tsdb_blocks_loaded"].as_str() {
            assert_eq!(loaded.to_string(), want, "{name}: {:?}", blocks.damaged());
        } else {
            assert_eq!((loaded, blocks.damaged().len()), (3, 1), "{name}");
        }
        // Of the block that these edits touch, so much is left at least.
        let least = match name {
            "block-index-postings-flip"
            | "block-meta-version-2"
            | "block-no-tombstones"
            | "block-duplicate-overlap"
            | "block-ulid-mismatch" => samples(&whole_dump),
            "block-chunk-flip" | "block-index-series-flip" => samples(&whole_dump) - 300,
            _ => 1,
        };
        assert!(samples(&got) >= least, "{name}: {} of {}", samples(&got), samples(&whole_dump));
        println!("{name}: {loaded} blocks, {} of {} samples", samples(&got), samples(&whole_dump));
    }
    assert!(rows > 20, "{rows}");
}

#[test]
fn meta_is_shown_as_prometheus_shows_it() {
    let Some(golden) = testkit::shared("golden/tsdb/blocks") else { return };
    let blocks = open(&golden.join("data"));
    let api: Json = serde_json::from_str(&std::fs::read_to_string(golden.join("api.json")).unwrap()).unwrap();
    let want = api["status_tsdb_blocks"]["body"]["data"]["blocks"].as_array().unwrap().clone();
    let got: Vec<String> = blocks.current().iter().map(|b: &Arc<Block>| b.meta().to_json()).collect();
    let want: Vec<String> = want.iter().map(ToString::to_string).collect();
    let parse =
        |list: &[String]| list.iter().map(|t| serde_json::from_str(t).unwrap()).collect::<Vec<Json>>();
    assert_eq!(parse(&got), parse(&want));
}
