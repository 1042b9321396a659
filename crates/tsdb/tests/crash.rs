//! Logs that were cut and files in which bits were flipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::Path;

use exposition::MetricValue;
use exposition::Registry;
use support::{Dump, copy_dir, everything, log, named, open, open_with, write};
use tsdb::{Head, HeadOptions};

const START: i64 = 1_700_000_000_000;

/// Writes scrapes as a process that is killed leaves them; returns the log's length and what was acknowledged after
/// each.
fn killed(dir: &Path, scrapes: i64, series: usize) -> Vec<(u64, Dump)> {
    let head = open_with(dir, HeadOptions { shards: 2, ..HeadOptions::default() });
    let mut states = vec![(0, Dump::new())];
    for round in 0..scrapes {
        let samples: Vec<_> = (0..series)
            .map(|i| (named("m", i), START + round * 15_000, (round * i as i64) as f64 / 3.0))
            .collect();
        write(&head, &samples);
        states.push((std::fs::metadata(dir.join("wal/00000000")).unwrap().len(), everything(&head)));
    }
    std::mem::forget(head);
    states
}

fn counter(registry: &Registry, name: &str) -> f64 {
    let family = registry.gather().into_iter().find(|f| f.name == name).unwrap();
    match family.metrics[0].value {
        MetricValue::Float(v) => v,
        _ => panic!("{name} is no number"),
    }
}

/// The lock of a process that is dead is not held; here it is this process, so tests open without.
fn unlocked() -> HeadOptions {
    HeadOptions { lock_file: false, shards: 2, ..HeadOptions::default() }
}

#[test]
fn a_log_cut_at_any_byte_gives_every_whole_record_before_the_cut() {
    let source = tempfile::tempdir().unwrap();
    let states = killed(source.path(), 30, 8);
    let log = std::fs::read(source.path().join("wal/00000000")).unwrap();
    let from = log.len().saturating_sub(512);
    let dir = tempfile::tempdir().unwrap();
    let wal = dir.path().join("wal");
    for cut in from..=log.len() {
        let _ = std::fs::remove_dir_all(dir.path());
        std::fs::create_dir_all(&wal).unwrap();
        std::fs::write(wal.join("00000000"), &log[..cut]).unwrap();
        let registry = Registry::new();
        let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
        let (end, want) = states.iter().rev().find(|(len, _)| *len <= cut as u64).unwrap();
        assert_eq!(&everything(&head), want, "cut at {cut}");
        let torn = cut as u64 > *end;
        assert_eq!(counter(&registry, "prometheus_tsdb_wal_corruptions_total"), f64::from(u8::from(torn)));
        // The torn record is gone from the file, and writing goes on in a new segment.
        assert_eq!(std::fs::metadata(wal.join("00000000")).unwrap().len(), *end);
        if cut % 97 == 0 {
            write(&head, &[(named("m", 1), START + 9_000_000, 1.0)]);
            drop(head);
            assert_eq!(everything(&open(dir.path()))[&named("m", 1)].last().unwrap().0, START + 9_000_000);
        }
    }
}

#[test]
fn a_flipped_bit_costs_the_record_that_it_is_in_and_the_segment_is_set_aside() {
    let source = tempfile::tempdir().unwrap();
    let states = killed(source.path(), 60, 8);
    let log = std::fs::read(source.path().join("wal/00000000")).unwrap();
    let all = &states.last().unwrap().1;
    let total: usize = all.values().map(Vec::len).sum();
    for place in (300..log.len() - 200).step_by(307) {
        let dir = tempfile::tempdir().unwrap();
        let wal = dir.path().join("wal");
        std::fs::create_dir_all(&wal).unwrap();
        let mut bytes = log.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(wal.join("00000000"), &bytes).unwrap();
        let registry = Registry::new();
        let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
        let got = everything(&head);
        for (labels, samples) in &got {
            assert!(
                samples.iter().all(|s| all[labels].contains(s)),
                "bit at {place}: a sample that never was"
            );
        }
        let kept: usize = got.values().map(Vec::len).sum();
        // A wrong length hides the records up to the end of the page, which is here the end of the file.
        let before: usize =
            states.iter().rev().find(|(len, _)| *len <= place as u64).unwrap().1.values().map(Vec::len).sum();
        assert!(kept >= before && kept < total, "bit at {place}: {kept} of {total}");
        assert_eq!(counter(&registry, "prometheus_tsdb_wal_corruptions_total"), 1.0);
        drop(head);
        // The second start finds nothing wrong, and the same samples.
        let registry = Registry::new();
        let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
        assert_eq!(everything(&head), got);
        assert_eq!(counter(&registry, "prometheus_tsdb_wal_corruptions_total"), 0.0);
        drop(head);
        if let Ok(aside) = std::fs::read(dir.path().join("wal-damaged/00000000.0")) {
            assert_eq!(aside, bytes);
        }
    }
}

#[test]
fn a_flipped_bit_in_mapped_chunks_costs_nothing_while_the_log_has_the_samples() {
    let source = tempfile::tempdir().unwrap();
    let states = killed(source.path(), 500, 5);
    let all = &states.last().unwrap().1;
    let file = source.path().join("chunks_head/000001");
    let chunks = std::fs::read(&file).unwrap();
    let end = chunks.iter().rposition(|&b| b != 0).unwrap();
    for place in (0..end).step_by(701) {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&source.path().join("wal"), &dir.path().join("wal"));
        std::fs::create_dir_all(dir.path().join("chunks_head")).unwrap();
        let mut bytes = chunks[..end + 1].to_vec();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(dir.path().join("chunks_head/000001"), &bytes).unwrap();
        let registry = Registry::new();
        let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
        assert_eq!(&everything(&head), all, "bit at {place}");
        assert!(counter(&registry, "prometheus_tsdb_mmap_chunk_corruptions_total") > 0.0);
        drop(head);
        let registry = Registry::new();
        let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
        assert_eq!(&everything(&head), all, "bit at {place}, second start");
        assert_eq!(counter(&registry, "prometheus_tsdb_mmap_chunk_corruptions_total"), 0.0);
        // The file is kept for whoever wants to look into it.
        assert_eq!(std::fs::read(dir.path().join("chunks_head-damaged/000001.0")).unwrap(), bytes);
    }
}

/// Prometheus opens no directory whose files are not numbered one after the other, and none without its header.
#[test]
fn files_of_mapped_chunks_stay_numbered_without_gaps_when_one_is_damaged_or_missing() {
    let source = tempfile::tempdir().unwrap();
    for life in 0..3 {
        let head = open(source.path());
        for round in 0..250 {
            write(&head, &[(named("m", 1), START + (life * 250 + round) * 15_000, round as f64)]);
        }
        drop(head);
    }
    let all = everything(&open(source.path()));
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let empty = |path: &Path| std::fs::write(path, []).unwrap();
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    let cases = [
        ("000002", &flip as &dyn Fn(&Path), 1.0),
        ("000003", &flip, 1.0),
        ("000002", &empty, 1.0),
        ("000003", &empty, 0.0),
        ("000002", &remove, 1.0),
    ];
    for (i, (name, damage, corruptions)) in cases.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(source.path(), dir.path());
        let chunks = dir.path().join("chunks_head");
        damage(&chunks.join(name));
        for start in 0..2 {
            let registry = Registry::new();
            let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
            assert_eq!(everything(&head), all, "case {i}, start {start}");
            let want = if start == 0 { corruptions } else { 0.0 };
            assert_eq!(
                counter(&registry, "prometheus_tsdb_mmap_chunk_corruptions_total"),
                want,
                "case {i}, start {start}"
            );
            drop(head);
            let mut files: Vec<_> = std::fs::read_dir(&chunks).unwrap().map(|e| e.unwrap().path()).collect();
            files.sort();
            let numbers: Vec<u32> =
                files.iter().map(|f| f.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect();
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "case {i}: {numbers:?}");
            for file in files {
                assert_eq!(
                    std::fs::read(&file).unwrap()[..5],
                    [0x01, 0x30, 0xBC, 0x91, 1],
                    "case {i}: {file:?}"
                );
            }
        }
    }
}

fn files(dir: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Four processes that were killed, each with a segment of its own; the second wrote a checkpoint if one is wanted.
fn four_lives(dir: &Path, checkpoint: bool) {
    for life in 0..4 {
        let head = open_with(dir, unlocked());
        for round in 0..20 {
            write(&head, &[(named("m", life), START + (life as i64 * 20 + round) * 15_000, round as f64)]);
        }
        if checkpoint && life == 1 {
            head.checkpoint_now().unwrap();
        }
        head.sync().unwrap();
        std::mem::forget(head);
    }
}

/// Prometheus opens no log whose segments are not numbered one after the other.
#[test]
fn missing_segments_are_told_and_counted_and_empty_ones_take_their_place() {
    for (checkpoint, missing, loses) in [
        (false, "00000000", named("m", 0)),
        (false, "00000001", named("m", 1)),
        (true, "00000003", named("m", 2)),
        (true, "00000004", named("m", 3)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        four_lives(dir.path(), checkpoint);
        let wal = dir.path().join("wal");
        let last = files(&wal).into_iter().rfind(|name| !name.starts_with("checkpoint.")).unwrap();
        std::fs::remove_file(wal.join(missing)).unwrap();
        for start in 0..2 {
            let registry = Registry::new();
            let ((), lines) = log::lines_of(|| {
                let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
                let mut names: Vec<_> = everything(&head).into_keys().collect();
                names.retain(|name| *name != loses);
                assert_eq!(names.len(), 3, "{missing}, checkpoint {checkpoint}, start {start}");
            });
            let want = if start == 0 && missing != last { 1 } else { 0 };
            let told = lines.iter().filter(|line| line.contains("are missing")).count();
            assert_eq!(told, want, "{missing}, checkpoint {checkpoint}, start {start}: {lines:?}");
            assert_eq!(counter(&registry, "prometheus_tsdb_wal_corruptions_total"), want as f64);
            let mut numbers: Vec<u32> = files(&wal).iter().filter_map(|name| name.parse().ok()).collect();
            numbers.sort_unstable();
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{missing}: {numbers:?}");
            let covered = files(&wal).iter().find_map(|name| name.strip_prefix("checkpoint.")?.parse().ok());
            assert_eq!(numbers[0], covered.map_or(0, |n: u32| n + 1), "{missing}");
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_its_good_records_take_its_place() {
    let source = tempfile::tempdir().unwrap();
    four_lives(source.path(), true);
    let checkpoint = files(&source.path().join("wal")).pop().unwrap();
    let part = format!("wal/{checkpoint}/00000000");
    let bytes = std::fs::read(source.path().join(&part)).unwrap();
    for place in (1..bytes.len()).step_by(61) {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(source.path(), dir.path());
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        std::fs::write(dir.path().join(&part), &flipped).unwrap();
        let mut found = Vec::new();
        for corruptions in [1.0, 0.0] {
            let registry = Registry::new();
            let head = Head::open(dir.path(), unlocked(), &registry).unwrap();
            assert_eq!(
                counter(&registry, "prometheus_tsdb_wal_corruptions_total"),
                corruptions,
                "byte {place}"
            );
            found.push(everything(&head));
        }
        assert_eq!(found[0], found[1], "byte {place}");
        assert!(found[0].len() >= 2, "byte {place}");
        let aside = dir.path().join(format!("wal-damaged/{checkpoint}.00000000.0"));
        assert_eq!(std::fs::read(aside).unwrap(), flipped);
        assert_eq!(files(&dir.path().join("wal").join(&checkpoint)), ["00000000"]);
    }
}
