//! `kill -9` and damage to the log: what was shown is there again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::site::{Program, Samples, Site};
use crate::stub::{Answer, Stub};

const TARGETS: usize = 20;
const SERIES: usize = 200;

/// A site that scrapes many targets as fast as it can, each with counters, gauges and a series that comes and goes.
fn loaded_site(interval: &str) -> (Stub, Site) {
    let stub = Stub::start();
    stub.set(
        "/metrics",
        Answer::computed(|seen| {
            let n = seen.before;
            let mut page: String = (0..SERIES)
                .map(|i| format!("load_total{{i=\"{i}\",path=\"/api/v1/thing/{i}\"}} {}\n", n * (i + 1)))
                .collect();
            page.push_str(&format!(
                "load_value {}.25\nload_churn{{generation=\"{}\"}} 1\n",
                n * 7 % 1000,
                n / 50
            ));
            page
        }),
    );
    let targets: Vec<String> = (0..TARGETS)
        .map(|i| format!("{{targets: [\"{}\"], labels: {{t: \"{i}\", instance: \"{i}\"}}}}", stub.address))
        .collect();
    let site = Site::server(&format!(
        "global: {{scrape_interval: {interval}}}\nscrape_configs: [{{job_name: load, static_configs: [{}]}}]\n",
        targets.join(", ")
    ));
    (stub, site)
}

/// What is missing or changed of `before`, as (target, time) with the number of samples.
fn lost(before: &Samples, after: &Samples) -> BTreeSet<(String, i64)> {
    let mut lost = BTreeSet::new();
    for (labels, points) in before {
        let now = after.get(labels);
        for (time, value) in points {
            if now.and_then(|n| n.get(time)) != Some(value) {
                lost.insert((labels.get("t").cloned().unwrap_or_default(), *time));
            }
        }
    }
    lost
}

fn own_metric(program: &Program<'_>, name: &str) -> f64 {
    let page = program.get("/metrics").text();
    let value = page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not on the page"))
}

#[test]
fn nothing_that_a_query_showed_is_missing_after_a_kill() {
    let (_stub, site) = loaded_site("200ms");
    let mut before = Samples::new();
    // Kills at different moments: while series are created, while chunks grow, and in the data of an earlier life.
    for samples_first in [3.0, 12.0, 5.0, 8.0] {
        let program = site.start();
        let since = own_metric(&program, "process_start_time_seconds") as i64 * 1000;
        if !before.is_empty() {
            let lost = lost(&before, &program.samples("{job=\"load\"}[10m]", None));
            assert!(lost.is_empty(), "{} scrapes: {lost:?}", lost.len());
        }
        program.wait_for("samples", |p| {
            let samples = p.samples("load_value{t=\"0\"}[10m]", None);
            let new = samples.values().next()?.keys().filter(|t| **t >= since).count();
            (new as f64 >= samples_first).then_some(())
        });
        before = program.samples("{job=\"load\"}[10m]", None);
        // And what was stored while that answer was on its way.
        let newest = program.samples("{__name__=~\"load_value|up\"}[10m]", None);
        program.kill();
        for (labels, points) in newest {
            before.entry(labels).or_default().extend(points);
        }
    }
    assert!(before.len() >= TARGETS * (SERIES + 2));
    let program = site.start();
    let lost = lost(&before, &program.samples("{job=\"load\"}[10m]", None));
    assert!(lost.is_empty(), "{} scrapes: {lost:?}", lost.len());
    // And it goes on: new samples of the old series.
    let newest = before.values().filter_map(|p| p.keys().next_back()).max().copied().unwrap();
    program.wait_for("a new sample", |p| {
        let samples = p.samples("load_value{t=\"0\"}[10m]", None);
        samples.values().next().filter(|s| s.keys().any(|t| *t > newest)).map(drop)
    });
}

#[test]
fn a_kill_right_after_an_answer_loses_nothing_of_it() {
    let (_stub, site) = loaded_site("50ms");
    let mut shown: Vec<Samples> = Vec::new();
    for round in 0..6 {
        let program = site.start();
        program.wait_for("fresh samples", |p| {
            let fresh = p.value("sum(time() - timestamp(load_value) < bool 1)");
            (fresh == Some(TARGETS as f64)).then_some(())
        });
        // A short answer leaves the log no time to catch up.
        shown.push(program.samples(&format!("load_value{{t=\"{round}\"}}[5s]"), None));
        program.kill();
    }
    let program = site.start();
    let after = program.samples("load_value[10m]", None);
    for (round, before) in shown.iter().enumerate() {
        assert!(!before.is_empty());
        let lost = lost(before, &after);
        assert!(lost.is_empty(), "round {round}: {lost:?}");
    }
}

fn newest_segment(data: &Path) -> PathBuf {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(data.join("wal"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().parse::<u32>().is_ok()))
        .collect();
    segments.sort();
    segments.pop().expect("a segment")
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_torn_last_record_costs_that_record_alone() {
    // Scrapes so far apart that the process can be killed between two.
    let (_stub, site) = loaded_site("1500ms");
    let program = site.start();
    program.wait_for_value("count(count_over_time(load_value[1m]) >= 2)", TARGETS as f64);
    let all = "{job=\"load\"}[10m]";
    let before = program.samples(all, None);
    program.kill();
    let pristine = site.path("pristine");
    std::fs::rename(site.path("data"), &pristine).unwrap();

    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, bool, Damage); 5] = [
        ("a byte short", true, |s| s.truncate(s.len() - 1)),
        ("ten bytes short", true, |s| s.truncate(s.len() - 10)),
        ("a flipped bit", true, |s| {
            let at = s.len() - 5;
            s[at] ^= 4;
        }),
        ("garbage behind", false, |s| s.extend((0..20u8).map(|i| i.wrapping_mul(37) | 1))),
        ("zeros behind", false, |s| s.extend([0; 100])),
    ];
    for (name, costs, damage) in damages {
        let data = site.path("data");
        let _ = std::fs::remove_dir_all(&data);
        copy_dir(&pristine, &data);
        let segment = newest_segment(&data);
        let mut bytes = std::fs::read(&segment).unwrap();
        damage(&mut bytes);
        std::fs::write(&segment, bytes).unwrap();

        let program = site.start();
        let after = program.samples(all, None);
        let lost = lost(&before, &after);
        let corruptions = own_metric(&program, "prometheus_tsdb_wal_corruptions_total");
        let log = program.log();
        // That the last process did not end well is said in any case.
        let complaints = log.lines().filter(|l| l.contains("level=WARN") || l.contains("level=ERROR"));
        let complaints = complaints.filter(|l| !l.contains("A lockfile from a previous execution"));
        if costs {
            assert!(lost.len() <= 1, "{name}: {lost:?}");
            assert_eq!(corruptions, 1.0, "{name}: {log}");
            assert_eq!(complaints.count(), 1, "{name}: {log}");
        } else {
            assert!(lost.is_empty(), "{name}: {lost:?}");
            assert!(complaints.count() <= 1, "{name}: {log}");
        }
        // It goes on, and the repair is lasting.
        program.wait_for_value("sum(up)", TARGETS as f64);
        let kept = program.samples(all, None);
        program.kill();
        let program = site.start();
        let lost = self::lost(&kept, &program.samples(all, None));
        assert!(lost.is_empty(), "{name}, second start: {lost:?}");
        assert_eq!(own_metric(&program, "prometheus_tsdb_wal_corruptions_total"), 0.0, "{name}");
    }
}

#[test]
fn a_lost_log_or_lost_chunk_files_leave_the_rest() {
    let (_stub, site) = loaded_site("200ms");
    let program = site.start();
    program.wait_for_value("count(count_over_time(load_value[1m]) >= 3)", TARGETS as f64);
    program.kill();
    // Files that do not belong there, and one that is empty.
    let data = site.path("data");
    std::fs::write(data.join("wal/notes.txt"), "not a segment").unwrap();
    std::fs::write(data.join("chunks_head/000099"), "").unwrap();
    std::fs::write(data.join("README"), "mine").unwrap();
    let program = site.start();
    program.wait_for_value("sum(up)", TARGETS as f64);
    let kept = program.samples("{job=\"load\"}[10m]", None);
    assert!(kept.values().any(|points| points.len() >= 3));
    program.kill();
    // Without its log, what is left is little; but it starts.
    std::fs::remove_dir_all(data.join("wal")).unwrap();
    let program = site.start();
    program.wait_for_value("sum(up)", TARGETS as f64);
    assert_eq!(std::fs::read_to_string(data.join("README")).unwrap(), "mine");
}

#[test]
fn a_clean_end_leaves_a_snapshot_where_that_is_wanted_and_the_next_start_begins_with_it() {
    let (_stub, site) = loaded_site("200ms");
    let site = site.flag("--enable-feature=memory-snapshot-on-shutdown");
    let program = site.start();
    program.wait_for("samples", |p| (!p.samples("load_value{t=\"0\"}[10m]", None).is_empty()).then_some(()));
    let before = program.samples("{job=\"load\"}[10m]", None);
    program.interrupt();
    let mut names = std::fs::read_dir(site.path("data")).unwrap().map(|e| e.unwrap().file_name());
    assert!(names.any(|name| name.to_string_lossy().starts_with("chunk_snapshot.")));
    let program = site.start();
    assert!(program.log().contains("chunk snapshot loaded"), "{}", program.log());
    let lost = lost(&before, &program.samples("{job=\"load\"}[10m]", None));
    assert!(lost.is_empty(), "{} scrapes: {lost:?}", lost.len());
}
