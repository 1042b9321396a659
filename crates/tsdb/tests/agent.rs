//! The store of an agent: what it takes, what its log says afterwards, and what is left of both in time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use exposition::{MetricValue, Registry};
use model::{Labels, STALE_NAN};
use storage::{
    Affinity, Append, Batch, BatchExemplar, BatchHistogram, BatchSample, Outcome, Rejection, SeriesRef,
};
use support::{integer, named};
use tsdb::{Agent, AgentOptions, Followed, Log, log_checkpoints, log_segments, read_log_segment};

struct Opened {
    agent: Agent,
    registry: Registry,
}

fn open(dir: &Path, options: AgentOptions) -> Opened {
    let registry = Registry::new();
    Opened { agent: Agent::open(dir, options, &registry).unwrap(), registry }
}

impl Opened {
    fn series(&self, name: &str, i: usize) -> SeriesRef {
        self.agent.resolve(Affinity(i as u64 % 3), &named(name, i)).unwrap().series
    }

    fn append(&self, batch: &Batch) -> Outcome {
        let mut outcome = Outcome::default();
        self.agent.append(batch, &mut outcome).unwrap();
        outcome
    }

    fn put(&self, series: SeriesRef, t: i64, v: f64) -> Outcome {
        self.append(&Batch { samples: vec![BatchSample { series, t, v }], ..Batch::default() })
    }

    /// The value of a metric without labels, or the sum over all.
    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let floats = family.metrics.iter().map(|metric| match metric.value {
            MetricValue::Float(v) => v,
            _ => 0.0,
        });
        floats.sum()
    }
}

/// All that a log says: labels by reference; times and values; histograms; exemplars.
#[derive(Debug, Default, PartialEq)]
struct Said {
    series: BTreeMap<u64, Labels>,
    floats: Vec<(u64, i64, u64)>,
    histograms: usize,
    exemplars: usize,
}

fn read(paths: impl IntoIterator<Item = std::path::PathBuf>) -> Said {
    let mut said = Said::default();
    for path in paths {
        read_log_segment(&path, 0, None, |record, _| {
            record.series(|reference, labels| drop(said.series.insert(reference, labels))).unwrap();
            record.samples(|reference, _, t, v| said.floats.push((reference, t, v.to_bits()))).unwrap();
            record.histograms(|_, _, _, _| said.histograms += 1).unwrap();
            record.exemplars(|_, _, _, _| said.exemplars += 1).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    said
}

fn log(dir: &Path) -> Said {
    read(log_segments(&dir.join("wal")).unwrap().into_iter().map(|(_, path)| path))
}

fn checkpoint(dir: &Path) -> Said {
    let (_, newest) = log_checkpoints(&dir.join("wal")).unwrap().pop().unwrap();
    read(log_segments(&newest).unwrap().into_iter().map(|(_, path)| path))
}

#[test]
fn everything_is_in_the_log_once_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path(), AgentOptions::default());
    let (a, b) = (opened.series("a", 1), opened.series("b", 2));
    assert_eq!(opened.series("a", 1), a);
    let exemplar = BatchExemplar {
        series: a,
        labels: Labels::from_pairs([("trace_id", "x"), ("empty", "")]),
        t: 1_000,
        timed: false,
        v: 1.0,
    };
    let batch = Batch {
        samples: vec![
            BatchSample { series: a, t: 1_000, v: 1.5 },
            BatchSample { series: b, t: 1_000, v: STALE_NAN },
        ],
        histograms: vec![BatchHistogram { series: b, t: 2_000, start_time: 0, value: integer(3) }],
        exemplars: vec![exemplar.clone()],
        ..Batch::default()
    };
    let outcome = opened.append(&batch);
    assert_eq!((outcome.appended, outcome.appended_histograms, outcome.appended_exemplars), (2, 1, 1));
    // The same exemplar with the next scrape is no news, another one is.
    let again = BatchExemplar { t: 2_000, ..exemplar.clone() };
    let other = BatchExemplar { v: 2.0, t: 2_000, ..exemplar };
    let outcome = opened.append(&Batch { exemplars: vec![again, other], ..Batch::default() });
    assert_eq!((outcome.appended_exemplars, outcome.rejected_exemplars.len()), (1, 0));
    assert_eq!(opened.agent.appended(), [2.0, 1.0, 2.0]);
    assert_eq!(opened.agent.newest_time(), Some(2_000));
    assert_eq!(opened.agent.log_end(Log::OutOfOrder), None);
    opened.agent.close().unwrap();
    let said = log(dir.path());
    assert_eq!(said.series, BTreeMap::from([(a.0, named("a", 1)), (b.0, named("b", 2))]));
    assert_eq!(said.floats, [(a.0, 1_000, 1.5f64.to_bits()), (b.0, 1_000, STALE_NAN.to_bits())]);
    assert_eq!((said.histograms, said.exemplars), (1, 2));
    let outside = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
    let outside: BTreeSet<String> = outside.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(outside, ["lock", "wal"].map(str::to_owned).into());
    assert!(opened.agent.resolve(Affinity(0), &named("late", 1)).is_err());
}

#[test]
fn a_sample_must_be_newer_than_the_newest_less_the_window() {
    // Window, what was there, what comes, whether it is taken.
    let cases = [
        (0, 10_000, 10_001, true),
        (0, 10_000, 10_000, false),
        (0, 10_000, 9_000, false),
        (5_000, 10_000, 10_000, true),
        (5_000, 10_000, 5_001, true),
        (5_000, 10_000, 5_000, false),
    ];
    for (window, before, t, taken) in cases {
        let dir = tempfile::tempdir().unwrap();
        let options =
            AgentOptions { out_of_order_window: Duration::from_millis(window), ..AgentOptions::default() };
        let opened = open(dir.path(), options);
        let series = opened.series("x", 0);
        opened.put(series, before, 1.0);
        let outcome = opened.put(series, t, 1.0);
        assert_eq!(outcome.appended == 1, taken, "window {window}, {before} then {t}");
        let want = if taken { vec![] } else { vec![(0, Rejection::OutOfOrder)] };
        assert_eq!(outcome.rejected, want);
        let counted = opened.metric("prometheus_agent_out_of_order_samples_total");
        assert_eq!(counted, f64::from(u8::from(!taken)));
        let histogram = BatchHistogram { series, t, start_time: 0, value: integer(1) };
        let outcome = opened.append(&Batch { histograms: vec![histogram], ..Batch::default() });
        // A float that was taken is what the histogram is measured against.
        assert_eq!(
            outcome.appended_histograms == 1,
            taken && window > 0,
            "window {window}, {before} then {t}"
        );
    }
}

#[test]
fn references_and_newest_times_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), AgentOptions::default());
    let all: Vec<SeriesRef> = (0..3_000).map(|i| first.series("s", i)).collect();
    for &series in &all {
        first.put(series, 5_000, 1.0);
    }
    // Killed: nothing is closed, and the lock is left behind.
    std::mem::forget(first);
    std::fs::remove_file(dir.path().join("lock")).unwrap();
    let second = open(dir.path(), AgentOptions::default());
    assert_eq!(second.agent.series(), 3_000);
    for (i, &series) in all.iter().enumerate() {
        assert_eq!(second.series("s", i), series);
    }
    assert_eq!(second.put(all[7], 5_000, 1.0).rejected, [(0, Rejection::OutOfOrder)]);
    assert_eq!(second.put(all[7], 5_001, 1.0).appended, 1);
    let new = second.series("new", 0);
    assert!(!all.contains(&new));
    assert_eq!(second.put(SeriesRef(new.0 + 512 * 64), 1, 1.0).rejected, [(0, Rejection::UnknownSeries)]);
}

/// Four truncations make the first checkpoint, as in Prometheus: the lower two thirds of the whole segments.
fn truncated(from_memory: bool) -> (tempfile::TempDir, Opened, [SeriesRef; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let options = AgentOptions { checkpoint_from_memory: from_memory, ..AgentOptions::default() };
    let opened = open(dir.path(), options);
    let series = [opened.series("lives", 0), opened.series("ended", 1), opened.series("never", 2)];
    opened.put(series[1], 500, 1.0);
    for t in 1..=4 {
        opened.put(series[0], t * 1_000, t as f64);
        opened.agent.truncate_before(1_000).unwrap();
    }
    (dir, opened, series)
}

#[test]
fn truncation_forgets_what_ended_and_keeps_what_is_needed() {
    for from_memory in [false, true] {
        let (dir, opened, [lives, ended, never]) = truncated(from_memory);
        assert_eq!(opened.agent.series(), 1, "what never had a sample goes the second time");
        assert_eq!(opened.metric("prometheus_agent_active_series"), 1.0);
        assert_eq!(opened.metric("prometheus_agent_checkpoint_creations_total"), 1.0);
        let kept: Vec<u32> =
            log_segments(&dir.path().join("wal")).unwrap().into_iter().map(|(n, _)| n).collect();
        assert_eq!(kept, [2, 3, 4]);
        let said = checkpoint(dir.path());
        // Later segments cannot have samples of what ended in the first one.
        assert_eq!(said.series.keys().copied().collect::<Vec<_>>(), [lives.0], "{from_memory}");
        let want: Vec<(u64, i64, u64)> = match from_memory {
            // The time counts alone.
            true => vec![(lives.0, 4_000, 0)],
            false => [1u64, 2].map(|t| (lives.0, t as i64 * 1_000, (t as f64).to_bits())).into(),
        };
        assert_eq!(said.floats, want);
        for gone in [ended, never] {
            assert_eq!(opened.put(gone, 9_000, 1.0).rejected, [(0, Rejection::UnknownSeries)]);
        }
        let back = opened.series("ended", 1);
        assert_ne!(back, ended, "a reference is never given out again");
        assert_eq!(opened.put(back, 9_000, 1.0).appended, 1);
        opened.agent.close().unwrap();
        drop(opened);
        let again = open(dir.path(), AgentOptions::default());
        assert_eq!(again.series("lives", 0), lives);
        assert_eq!(again.series("ended", 1), back);
        assert_eq!(again.put(lives, 4_000, 1.0).rejected, [(0, Rejection::OutOfOrder)]);
    }
}

#[test]
fn what_was_not_sent_goes_only_when_it_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let options = AgentOptions {
        truncate_frequency: Duration::from_secs(60),
        min_time: Duration::from_secs(300),
        max_time: Duration::from_secs(3_600),
        ..AgentOptions::default()
    };
    let opened = open(dir.path(), options);
    let now = 1_700_000_000_000;
    // Age of the newest sample, up to when all was sent, whether the series stays; seconds before now.
    let cases = [
        (200, Some(0), true),
        (299, Some(0), true),
        (301, Some(0), false),
        (301, Some(30), true),
        (3_500, None, true),
        (3_700, None, false),
        (3_700, Some(3_690), false),
    ];
    for (i, (age, sent, stays)) in cases.into_iter().enumerate() {
        let series = opened.series("s", i);
        opened.put(series, now - age * 1_000, 1.0);
        opened.agent.truncate(sent.map(|ago| now - ago * 1_000), now).unwrap();
        let known = opened.put(series, now, 1.0).appended == 1;
        assert_eq!(known, stays, "{age} s old, sent up to {sent:?}");
    }
}

#[test]
fn what_is_taken_out_of_the_log_can_be_kept_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path(), AgentOptions::default());
    let kept = dir.path().join("kept");
    opened.agent.retire_logs_to(Some(kept.clone()));
    let series = opened.series("s", 0);
    for t in 1..=8 {
        opened.put(series, t, t as f64);
        opened.agent.truncate_before(1).unwrap();
    }
    opened.agent.close().unwrap();
    let mut floats = log(dir.path()).floats;
    floats.extend(read(log_segments(&kept.join("wal")).unwrap().into_iter().map(|(_, path)| path)).floats);
    floats.sort_unstable();
    let want: Vec<_> = (1..=8).map(|t| (series.0, t, (t as f64).to_bits())).collect();
    assert_eq!(floats, want, "each sample is in one of the two");
}

#[test]
fn one_process_a_directory_and_damage_costs_what_it_hits() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), AgentOptions::default());
    assert!(matches!(
        Agent::open(dir.path(), AgentOptions::default(), &Registry::new()),
        Err(tsdb::OpenError::InUse(_))
    ));
    let series = first.series("s", 0);
    first.put(series, 1_000, 1.0);
    let other = first.series("t", 1);
    first.put(other, 1_000, 1.0);
    first.agent.close().unwrap();
    drop(first);
    let (_, path) = log_segments(&dir.path().join("wal")).unwrap().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let second = open(dir.path(), AgentOptions::default());
    assert_eq!(second.agent.corruptions(), 1);
    assert_eq!(second.agent.series(), 1);
    assert_ne!(second.series("s", 0), series, "its samples are in the log: the reference stays its own");
    assert_eq!(second.series("t", 1), other);
}
