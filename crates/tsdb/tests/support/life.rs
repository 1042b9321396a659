//! The life of a small database, and what has to be in it at any moment of that life.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use disk::simulate::{Allowed, Op, Watch};
use exposition::{MetricValue, Registry};
use model::{Labels, MatchOp, Matcher};
use storage::{
    Affinity, Append, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, Metadata, Outcome,
};
use tsdb::{Db, DbOptions, HeadOptions, Retention};

use super::{everything_with_histograms, named};

/// A multiple of the range.
pub(crate) const START: i64 = 1_700_000_040_000;
pub(crate) const RANGE: i64 = 20_000;
const STEP: i64 = 1_000;
const FLOATS: usize = 4;

pub(crate) fn options() -> DbOptions {
    DbOptions {
        head: HeadOptions {
            chunk_range: Duration::from_millis(RANGE as u64),
            samples_per_chunk: 8,
            out_of_order_window: Duration::from_secs(60),
            out_of_order_cap: 4,
            wal_segment_size: 32 * 1024,
            snapshot_on_shutdown: true,
            exemplars: true,
            metadata_wal_records: true,
            // A process that is dead holds no lock; here it is this one.
            lock_file: false,
            shards: 2,
            ..HeadOptions::default()
        },
        max_block: Duration::from_millis(9 * RANGE as u64),
        retention: Retention::default(),
        ..DbOptions::default()
    }
}

/// In memory where there is such a place: thousands of directories are laid out.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A sample: whose, and when.
pub(crate) type Key = (String, i64);
/// Samples with their values as text.
pub(crate) type Found = BTreeMap<Key, String>;

pub(crate) fn found(db: &Db) -> Found {
    let mut found = Found::new();
    for (labels, samples) in everything_with_histograms(db) {
        let labels = labels.to_string();
        found.extend(samples.into_iter().map(|(t, value)| ((labels.clone(), t), value.to_string())));
    }
    found
}

/// What is wrong with the exemplars: each scrape brings one, of the time of its histogram. The newest must be there; older
/// ones may have gone with their part of the log. None must be there that no scrape brought.
pub(crate) fn check_exemplars(db: &Db, must: &Found, may: &Found, whole: bool) -> Result<(), String> {
    const KEPT: i64 = 10_000;
    let native = named("native", 0).to_string();
    let all = [vec![Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()]];
    let found = db.head().exemplars(&all, i64::MIN, i64::MAX);
    let found: BTreeSet<i64> = found.iter().flat_map(|series| &series.exemplars).map(|e| e.t).collect();
    if let Some(t) = found.iter().find(|t| !may.contains_key(&(native.clone(), **t))) {
        return Err(format!("an exemplar at {t} never was"));
    }
    let wanted: Vec<i64> = must.keys().filter(|key| key.0 == native).map(|key| key.1).collect();
    let newest = wanted.iter().copied().max().unwrap_or(0);
    match wanted.iter().find(|t| whole && **t > newest - KEPT && !found.contains(t)) {
        Some(t) => Err(format!("the exemplar at {t} is lost; newest {newest}")),
        None => Ok(()),
    }
}

/// Something that happened between two numbers of operations.
struct Fact {
    begin: usize,
    /// `None`: it was answered with an error.
    end: Option<usize>,
    what: What,
}

enum What {
    Written(Vec<(Key, String)>),
    /// Of series whose text contains this, and samples before that.
    Gone(String, i64),
}

/// What happened, in order.
#[derive(Default)]
pub(crate) struct Journal {
    facts: Vec<Fact>,
    /// After so many operations so many facts are on the disk.
    synced: Vec<(usize, usize)>,
}

impl Journal {
    /// What must be and what may be found when the process is killed after `n` operations, perhaps in the middle of the
    /// next one.
    pub(crate) fn killed_after(&self, n: usize) -> (Found, Found) {
        self.left(n, self.facts.len())
    }

    /// The same when the machine loses its power.
    pub(crate) fn power_lost_after(&self, n: usize) -> (Found, Found) {
        let durable = self.synced.iter().rev().find(|(end, _)| *end <= n).map_or(0, |(_, facts)| *facts);
        self.left(n, durable)
    }

    /// At the end.
    pub(crate) fn all(&self) -> (Found, Found) {
        self.killed_after(usize::MAX)
    }

    fn left(&self, n: usize, safe: usize) -> (Found, Found) {
        let (mut must, mut may) = (Found::new(), Found::new());
        for (i, fact) in self.facts.iter().enumerate().filter(|(_, fact)| fact.begin <= n) {
            let done = fact.end.is_some_and(|end| end <= n) && i < safe;
            match &fact.what {
                What::Written(samples) => {
                    may.extend(samples.iter().cloned());
                    if done {
                        must.extend(samples.iter().cloned());
                    }
                }
                What::Gone(series, before) => {
                    let stays = |key: &Key| !key.0.contains(series) || key.1 >= *before;
                    must.retain(|key, _| stays(key));
                    if done && !series.is_empty() {
                        may.retain(|key, _| stays(key));
                    }
                }
            }
        }
        (must, may)
    }
}

/// Lives a database's life in a directory.
pub(crate) struct Life<'a> {
    dir: PathBuf,
    db: Option<Db>,
    pub(crate) journal: Journal,
    /// How many operations there were.
    clock: &'a dyn Fn() -> usize,
    t: i64,
    /// Whether samples come while the log is replayed.
    scrapes_early: bool,
    /// Failures are to be expected, but not when opening.
    pub(crate) errors: usize,
    pub(crate) last_error: Option<String>,
    pub(crate) not_opened: Vec<String>,
}

impl<'a> Life<'a> {
    pub(crate) fn new(dir: &Path, scrapes_early: bool, clock: &'a dyn Fn() -> usize) -> Self {
        let mut life = Life {
            dir: dir.to_owned(),
            db: None,
            journal: Journal::default(),
            clock,
            t: START,
            scrapes_early,
            errors: 0,
            last_error: None,
            not_opened: Vec::new(),
        };
        life.open();
        life
    }

    pub(crate) fn db(&self) -> Option<&Db> {
        self.db.as_ref()
    }

    fn open(&mut self) {
        match Db::open_replaying(&self.dir, options(), &Registry::new()) {
            Ok(db) => self.db = Some(db),
            Err(error) => return self.not_opened.push(error.to_string()),
        }
        if self.scrapes_early {
            self.scrapes(3);
        }
        if let Some(Err(error)) = self.db.as_ref().map(Db::replay) {
            self.not_opened.push(error.to_string());
            self.db = None;
        }
    }

    /// Everything that happens to a database, in a few hundred operations on files.
    pub(crate) fn live(&mut self) {
        for round in 0..4 {
            self.scrapes(12);
            self.late();
            self.scrapes(25);
            self.upkeep(false);
            self.late();
            self.scrapes(8);
            match round {
                0 => self.restart(),
                1 => self.delete(),
                2 => {
                    self.snapshot();
                    self.delete_late();
                }
                _ => self.upkeep(true),
            }
        }
        self.expire();
        self.scrapes(3);
        self.upkeep(true);
        self.scrapes(5);
        self.restart();
        self.late();
        self.scrapes(4);
    }

    pub(crate) fn scrapes(&mut self, count: i64) {
        for _ in 0..count {
            self.t += STEP;
            let t = self.t;
            let series = (0..FLOATS).map(|i| named("m", i));
            let mut samples: Vec<_> = series
                .enumerate()
                .map(|(i, labels)| (labels, t, (t - START) as f64 / 8.0 + i as f64))
                .collect();
            // Comes and goes.
            samples.push((named("churn", ((t - START) / RANGE) as usize), t, 1.0));
            self.append(&samples, true);
        }
    }

    /// Samples older than those that were written last, at times of their own.
    pub(crate) fn late(&mut self) {
        for i in 0..7 {
            let t = self.t - 15_000 + i * STEP - 500;
            self.append(&[(named("m", 0), t, -1.5 * i as f64), (named("m", 1), t, 7.0)], false);
        }
    }

    fn append(&mut self, samples: &[(Labels, i64, f64)], with_others: bool) {
        let Some(db) = &self.db else { return };
        let begin = (self.clock)();
        let mut batch = Batch::default();
        let mut written = Vec::new();
        for (labels, t, v) in samples {
            let Ok(resolved) = db.resolve(Affinity(labels.value("i").len() as u64), labels) else { continue };
            batch.samples.push(BatchSample { series: resolved.series, t: *t, v: *v });
            written.push(((labels.to_string(), *t), model::number::format_g(*v)));
        }
        let native = named("native", 0);
        if let (true, Ok(resolved)) = (with_others, db.resolve(Affinity(1), &native)) {
            let (series, t) = (resolved.series, self.t);
            let value = super::integer(((t - START) / STEP) as u64);
            written.push(((native.to_string(), t), value.to_float().to_string()));
            batch.histograms.push(BatchHistogram { series, t, start_time: 0, value });
            let labels = Labels::from_pairs([("trace", &*t.to_string())]);
            batch.exemplars.push(BatchExemplar { series, labels, t, timed: true, v: 1.0 });
            let metadata = Metadata { kind: "histogram".into(), unit: "s".into(), help: "H.".into() };
            batch.metadata.push(BatchMetadata { series, metadata });
        }
        let mut outcome = Outcome::default();
        let appended = db.append(&batch, &mut outcome);
        assert!(
            outcome.rejected.is_empty() && outcome.rejected_histograms.is_empty(),
            "{:?} {:?}",
            outcome.rejected,
            outcome.rejected_histograms
        );
        if let Err(error) = &appended {
            self.failed(error);
        }
        let end = appended.is_ok().then(|| (self.clock)());
        self.journal.facts.push(Fact { begin, end, what: What::Written(written) });
    }

    pub(crate) fn upkeep(&mut self, thorough: bool) {
        let Some(db) = &self.db else { return };
        let facts = self.journal.facts.len();
        match db.upkeep(self.t, thorough) {
            // A thorough one forces the log to the disk.
            Ok(()) if thorough => self.journal.synced.push(((self.clock)(), facts)),
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &dyn std::fmt::Display) {
        self.errors += 1;
        self.last_error = Some(error.to_string());
    }

    pub(crate) fn restart(&mut self) {
        if let Some(db) = self.db.take() {
            let facts = self.journal.facts.len();
            match db.close() {
                Ok(()) => self.journal.synced.push(((self.clock)(), facts)),
                Err(error) => self.failed(&error),
            }
        }
        self.open();
    }

    fn gone(&mut self, series: &str, before: i64, act: impl FnOnce(&Db, i64) -> bool) {
        let Some(db) = &self.db else { return };
        let begin = (self.clock)();
        let done = act(db, self.t);
        self.errors += usize::from(!done);
        let end = done.then(|| (self.clock)());
        self.journal.facts.push(Fact { begin, end, what: What::Gone(series.to_owned(), before) });
    }

    /// Of blocks only: what is in the head has other ways.
    fn delete(&mut self) {
        let matchers = [Matcher::new(MatchOp::Equal, "i", "2").unwrap()];
        let end = START + RANGE - 1;
        self.gone("i=\"2\"", end + 1, |db, t| {
            db.delete(&matchers, START, end, t).is_ok() && db.clean_tombstones(t).is_ok()
        });
        self.gone("i=\"3\"", end + 1, |db, t| {
            let matchers = [Matcher::new(MatchOp::Equal, "i", "3").unwrap()];
            db.delete(&matchers, START, end, t).is_ok()
        });
    }

    /// With samples out of order that are in memory; some come again.
    fn delete_late(&mut self) {
        self.late();
        let before = self.t - 12_000;
        self.gone("i=\"1\"", before, |db, t| {
            let matchers = [Matcher::new(MatchOp::Equal, "i", "1").unwrap()];
            db.delete(&matchers, i64::MIN, before - 1, t).is_ok()
        });
        for back in [15_500, 14_200, 13_500] {
            self.append(&[(named("m", 1), self.t - back, 7.0)], false);
        }
    }

    fn snapshot(&mut self) {
        let Some(db) = &self.db else { return };
        self.errors += usize::from(db.snapshot("s", false, self.t).is_err());
    }

    fn expire(&mut self) {
        let kept = 4 * RANGE;
        // Whole blocks go, so samples near the border stay; those before it may.
        let before = self.t - kept + RANGE;
        self.gone("", before, |db, t| {
            db.set_retention(Retention { time: Duration::from_millis(kept as u64), ..Retention::default() });
            db.upkeep(t, false).is_ok()
        });
    }

    /// Ends like a process that is killed, once nobody watches its directory any more.
    pub(crate) fn die(self) -> Journal {
        let _killed = disk::simulate::watch(&self.dir, Arc::new(Killed));
        drop(self.db);
        self.journal
    }
}

/// Lets nothing reach the disk. (Forgetting the database instead would cost its memory, thousands of times.)
struct Killed;

impl Watch for Killed {
    fn before(&self, _: &Op<'_>) -> Allowed {
        Allowed { bytes: 0, outcome: Err(std::io::Error::other("the process was killed")) }
    }
}

/// Metrics of damage that are not zero.
pub(crate) fn damage(registry: &Registry) -> Vec<(String, f64)> {
    const NAMES: [&str; 6] = [
        "prometheus_tsdb_wal_corruptions_total",
        "prometheus_tsdb_mmap_chunk_corruptions_total",
        "prometheus_tsdb_snapshot_replay_error_total",
        "binnacle_tsdb_blocks_set_aside",
        "binnacle_tsdb_block_damaged_reads_total",
        "binnacle_tsdb_replay_skipped_records_total",
    ];
    let mut found = Vec::new();
    for family in registry.gather() {
        let more = family.name.contains("wbl") && family.name.contains("corrupt");
        if !more && !NAMES.contains(&family.name.as_str()) {
            continue;
        }
        for metric in &family.metrics {
            if let MetricValue::Float(v) = metric.value
                && v != 0.0
            {
                found.push((family.name.clone(), v));
            }
        }
    }
    found
}

/// The first few that one has and the other has not.
pub(crate) fn missing(of: &Found, from: &Found) -> Vec<(Key, String)> {
    let lost = of.iter().filter(|(key, value)| from.get(*key) != Some(value));
    lost.map(|(key, value)| (key.clone(), value.clone())).take(4).collect()
}

/// How many times something is tried: a few in every run of the tests, as often as there are possibilities with
/// `BINNACLE_CRASH=all` (`make crash`), or any number of times.
pub(crate) fn times(few: usize) -> usize {
    match std::env::var("BINNACLE_CRASH") {
        Err(_) => few,
        Ok(number) => number.parse().unwrap_or(usize::MAX),
    }
}

/// Chooses what is tried where not everything is; the same for the same `BINNACLE_CRASH_SEED`.
pub(crate) fn seed() -> usize {
    std::env::var("BINNACLE_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
