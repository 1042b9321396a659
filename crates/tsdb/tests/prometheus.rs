//! Directories that Prometheus 3.14 wrote (recorded), and promtool reading one of ours.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use support::{
    Dump, copy_dir, everything, everything_with_histograms, named, open, open_with, shared, write,
};
use tsdb::{Head, HeadOptions};

/// Samples by time, as `promtool tsdb dump` prints values, by series.
type Text = BTreeMap<String, BTreeMap<i64, String>>;

fn dump(path: &Path) -> Text {
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut series = Text::new();
    for line in std::io::BufReader::new(file).lines() {
        let line = line.unwrap();
        let labels_end = line.find("} ").unwrap() + 1;
        let (labels, rest) = (line[..labels_end].to_owned(), &line[labels_end + 1..]);
        let (value, t) = rest.rsplit_once(' ').unwrap();
        series.entry(labels).or_default().insert(t.parse().unwrap(), value.to_owned());
    }
    series
}

/// What the head holds, in the same form.
fn text(head: &Head) -> Text {
    let mut all = Text::new();
    for (labels, samples) in everything_with_histograms(head) {
        let values = samples.into_iter().map(|(t, value)| (t, value.to_string()));
        all.insert(labels.to_string(), values.collect());
    }
    all
}

fn options() -> HeadOptions {
    HeadOptions { exemplars: true, metadata_wal_records: true, ..HeadOptions::default() }
}

#[test]
fn directories_of_prometheus_open_with_what_their_dumps_say() {
    let Some(shared) = shared() else { return };
    for case in ["head", "head-wal-none", "head-wal-zstd", "killed", "xor2-head", "st-head"] {
        let recorded = shared.join("golden/tsdb").join(case);
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&recorded.join("data"), dir.path());
        let want = dump(&recorded.join("dump.txt.gz"));
        for start in 0..3 {
            let head = open_with(dir.path(), options());
            let got = text(&head);
            for (labels, samples) in &want {
                let got =
                    got.get(labels).unwrap_or_else(|| panic!("{case}, start {start}: {labels} is missing"));
                for (t, value) in got {
                    assert_eq!(Some(value), samples.get(t), "{case}, start {start}: {labels} at {t}");
                }
                assert_eq!(
                    got.len(),
                    samples.len(),
                    "{case}, start {start}: samples of {labels} are missing"
                );
            }
            for (labels, samples) in &got {
                assert!(
                    samples.is_empty() || want.contains_key(labels),
                    "{case}, start {start}: {labels} was deleted"
                );
            }
            if start == 0 {
                head.checkpoint_now().unwrap();
            }
        }
    }
}

fn as_text(dump: Dump) -> BTreeMap<String, Vec<(i64, f64)>> {
    dump.into_iter()
        .map(|(l, s)| (l.to_string(), s.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect()))
        .collect()
}

#[test]
fn promtool_reads_what_we_write() {
    let Some(promtool) = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join("promtool")).find(|file| file.is_file())
    }) else {
        println!("skipped: no promtool on PATH");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    for round in 0..300 {
        let samples: Vec<_> = (0..50)
            .map(|i| (named("m", i), 1_700_000_000_000 + round * 15_000, (round * i as i64) as f64 / 8.0))
            .collect();
        write(&head, &samples);
    }
    let ours = as_text(everything(&head));
    drop(head);
    let output =
        std::process::Command::new(promtool).args(["tsdb", "dump"]).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut theirs: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (labels, rest) = line.split_at(line.find("} ").unwrap() + 1);
        let (value, t) = rest.trim().rsplit_once(' ').unwrap();
        theirs.entry(labels.to_owned()).or_default().push((t.parse().unwrap(), value.parse().unwrap()));
    }
    assert_eq!(theirs, ours);
    // And it leaves a directory that we still read.
    assert_eq!(as_text(everything(&open(dir.path()))), ours);
}
