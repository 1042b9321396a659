//! Damaged directories of Prometheus 3.14 (recorded): what is served is never less than Prometheus serves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use exposition::Registry;
use model::Matcher;
use serde_json::Value as Json;
use storage::{ChunkView, Projection, QueryContext, Request, Select};
use support::{copy_dir, life, log, shared};
use tsdb::{Db, DbOptions, HeadOptions};

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for b in text.bytes().filter(|b| *b != b'=') {
        bits = bits << 6 | ALPHABET.iter().position(|a| *a == b).unwrap() as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// Does what a row says to a directory.
fn damage(dir: &Path, op: &Json) {
    let at = |name: &Json| dir.join(name.as_str().unwrap());
    if let Some(file) = op.get("file").map(at) {
        if let Some(content) = op.get("write_b64") {
            std::fs::write(file, base64(content.as_str().unwrap())).unwrap();
            return;
        }
        if let Some(texts) = op.get("replace") {
            let text = std::fs::read_to_string(&file).unwrap();
            let [from, to] = [0, 1].map(|i| texts[i].as_str().unwrap());
            std::fs::write(file, text.replace(from, to)).unwrap();
            return;
        }
        let mut bytes = std::fs::read(&file).unwrap();
        if let (Some(offset), Some(xor)) = (op.get("offset"), op.get("xor")) {
            bytes[offset.as_u64().unwrap() as usize] ^= xor.as_u64().unwrap() as u8;
        } else if let Some(len) = op.get("truncate") {
            bytes.resize(len.as_u64().unwrap() as usize, 0);
        } else if let Some(more) = op.get("append_b64") {
            bytes.extend(base64(more.as_str().unwrap()));
        } else {
            panic!("unknown change of a file: {op}");
        }
        std::fs::write(file, bytes).unwrap();
    } else if let Some(path) = op.get("remove").map(at) {
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    } else if let Some(names) = op.get("rename") {
        std::fs::rename(at(&names[0]), at(&names[1])).unwrap();
    } else if let Some(names) = op.get("copy_dir") {
        copy_dir(&at(&names[0]), &at(&names[1]));
    } else if let Some(path) = op.get("mkdir").map(at) {
        std::fs::create_dir_all(path).unwrap();
    } else {
        panic!("unknown change: {op}");
    }
}

/// How many samples of each metric are served, staleness markers left out as a range selector does.
fn served(db: &Db) -> BTreeMap<String, u64> {
    let matchers = [Matcher::new(model::MatchOp::NotEqual, "__name__", "").unwrap()];
    let (min_time, max_time) = (i64::MIN, i64::MAX);
    let request = Request { matchers: &matchers, min_time, max_time, labels: Projection::All, newest: None };
    let mut counts = BTreeMap::new();
    for mut part in db.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            let mut values: BTreeMap<i64, f64> = BTreeMap::new();
            for chunk in series.chunks.iter() {
                match *chunk {
                    ChunkView::Samples(samples) => values.extend(samples.iter().map(|s| (s.t, s.v))),
                    ChunkView::Histograms(points) => {
                        values.extend(points.iter().map(|p| (p.t, p.histogram.sum)));
                    }
                    ChunkView::Encoded { encoding, samples, bytes, .. } if encoding.is_float() => {
                        let mut out = chunk::Columns::default();
                        chunk::decode(encoding, bytes, samples, &mut out).unwrap();
                        values.extend(out.times.into_iter().zip(out.values));
                    }
                    ChunkView::Encoded { encoding, samples, bytes, .. } => {
                        let mut out = Vec::new();
                        chunk::decode_histograms(encoding, bytes, samples, &mut out).unwrap();
                        values.extend(out.iter().map(|p| (p.t, p.value.to_float().sum)));
                    }
                }
            }
            let count = values.values().filter(|v| !model::is_stale(**v)).count() as u64;
            *counts.entry(series.labels.value("__name__").to_owned()).or_default() += count;
        }
    }
    counts.retain(|_, count| *count > 0);
    counts
}

fn open(dir: &Path, registry: &Registry) -> Db {
    let head = HeadOptions { lock_file: false, snapshot_on_shutdown: true, ..HeadOptions::default() };
    let retention = tsdb::Retention::default();
    Db::open(dir, DbOptions { head, retention, ..DbOptions::default() }, registry).unwrap()
}

#[test]
fn damage_costs_no_more_than_it_costs_prometheus() {
    let Some(shared) = shared() else { return };
    let recorded = shared.join("golden/tsdb");
    let rows = std::fs::read_to_string(recorded.join("corruptions.jsonl")).unwrap();
    let mut failures = Vec::new();
    // What the directory holds without the damage: Prometheus serves more where it loses a deletion.
    let mut whole: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for row in rows.lines() {
        let row: Json = serde_json::from_str(row).unwrap();
        let name = row["name"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let base = row["base"].as_str().unwrap();
        copy_dir(&recorded.join(base).join("data"), dir.path());
        row["ops"].as_array().unwrap().iter().for_each(|op| damage(dir.path(), op));
        let registry = Registry::new();
        let ((db, got), lines) = log::lines_of(|| {
            let db = open(dir.path(), &registry);
            let got = served(&db);
            (db, got)
        });
        let want = row["first_start"]["samples_by_name"].as_object();
        let want: BTreeMap<String, u64> =
            want.into_iter().flatten().map(|(m, count)| (m.clone(), count.as_u64().unwrap())).collect();
        if name.starts_with("none-") {
            assert_eq!(got, want, "{name}");
            whole.insert(base.to_owned(), want.clone());
        }
        let flipped = row["ops"][0].get("xor").is_some();
        let (damage, lost) = (life::damage(&registry), got != whole[base]);
        if flipped && (damage.is_empty() || lines.is_empty() || lines.len() > 3) {
            failures.push(format!("{name}: samples are missing: {lost}; metrics {damage:?}, log {lines:?}"));
        }
        for (metric, count) in want {
            let (count, got) = (count.min(whole[base][&metric]), got.get(&metric).copied().unwrap_or(0));
            if got < count {
                failures.push(format!("{name}: {got} samples of {metric}, Prometheus has {count}"));
            }
        }
        db.close().unwrap();
        drop(db);
        // A further start finds the same.
        let again = served(&open(dir.path(), &Registry::new()));
        if again != got {
            failures.push(format!("{name}: first {got:?}, then {again:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
