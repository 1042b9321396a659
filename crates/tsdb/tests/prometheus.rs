//! Directories that Prometheus 3.14 wrote (recorded), and promtool reading one of ours.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;

use support::{Dump, copy_dir, everything, named, open, shared, write};

/// `promtool tsdb dump`: labels, value, milliseconds. Only floats; series in which a histogram occurs are left out.
fn dump(path: &Path) -> BTreeMap<String, BTreeMap<i64, f64>> {
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut series: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    let mut histograms = BTreeSet::new();
    for line in std::io::BufReader::new(file).lines() {
        let line = line.unwrap();
        let labels_end = line.find("} ").unwrap() + 1;
        let (labels, rest) = (line[..labels_end].to_owned(), &line[labels_end + 1..]);
        let (value, t) = rest.rsplit_once(' ').unwrap();
        match value.replace("Inf", "inf").parse() {
            Ok(v) => drop(series.entry(labels).or_default().insert(t.parse().unwrap(), v)),
            Err(_) => drop(histograms.insert(labels)),
        }
    }
    series.retain(|labels, _| !histograms.contains(labels));
    series
}

fn as_text(dump: Dump) -> BTreeMap<String, Vec<(i64, f64)>> {
    dump.into_iter()
        .map(|(l, s)| (l.to_string(), s.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect()))
        .collect()
}

#[test]
fn directories_of_prometheus_open_with_their_float_samples() {
    let Some(shared) = shared() else { return };
    for case in ["head", "head-wal-none", "head-wal-zstd", "killed"] {
        let recorded = shared.join("golden/tsdb").join(case);
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&recorded.join("data"), dir.path());
        let want = dump(&recorded.join("dump.txt.gz"));
        for _ in 0..2 {
            let head = open(dir.path());
            let got = as_text(everything(&head));
            let mut compared = 0;
            for (labels, samples) in &got {
                // Deleted series, and such as hold histograms only, are not in the dump as floats.
                let Some(want) = want.get(labels) else { continue };
                for (t, v) in samples {
                    // Deletions are not read yet: a sample may be missing from the dump.
                    if let Some(w) = want.get(t) {
                        assert!(w == v || w.is_nan() && v.is_nan(), "{case}: {labels} {t}: {v} and not {w}");
                        compared += 1;
                    }
                }
                let ours: BTreeSet<i64> = samples.iter().map(|s| s.0).collect();
                assert!(want.keys().all(|t| ours.contains(t)), "{case}: {labels}: samples are missing");
            }
            assert!(compared > 100, "{case}: {compared}");
        }
    }
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
