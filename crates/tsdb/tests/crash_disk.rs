//! A process that is killed, a machine that loses its power, a bit that flips, a disk that fills up, at any point of a
//! database's life: the next start serves everything that was acknowledged, and nothing that never was.
//!
//! Every run of the tests tries some points; `make crash` tries them all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use exposition::{MetricValue, Registry};
use storage::{Affinity, Append, Batch, BatchSample, Outcome};
use support::life::{self, Found, Journal, Life};
use support::{log, named};
use testkit::disk::{Full, Image, Operation, Recorder};
use tsdb::Db;

/// A whole life, and what it did to the disk.
fn recorded() -> (Vec<Operation>, Journal) {
    let dir = life::scratch();
    let recorder = Arc::new(Recorder::new(dir.path()));
    let watching = disk::simulate::watch(dir.path(), Arc::clone(&recorder) as _);
    let clock = || recorder.len();
    let mut life = Life::new(dir.path(), true, &clock);
    life.live();
    assert_eq!((life.errors, &life.not_opened), (0, &Vec::new()));
    let (must, _) = life.journal.all();
    let found = life::found(life.db().unwrap());
    assert!(life::missing(&must, &found).is_empty());
    drop(watching);
    let journal = life.die();
    (recorder.operations(), journal)
}

/// What is wrong after a start from `image`, if anything.
fn start(image: &Image, must: &Found, may: &Found, whole: bool, work: bool) -> Result<(), String> {
    let dir = life::scratch();
    image.write_to(dir.path()).unwrap();
    let registry = Registry::new();
    let db = Db::open(dir.path(), life::options(), &registry).map_err(|e| format!("does not start: {e}"))?;
    let found = life::found(&db);
    check("first start", &found, must, may)?;
    life::check_exemplars(&db, must, may, whole)?;
    let damage = life::damage(&registry);
    if whole && !damage.is_empty() {
        return Err(format!("says that something is damaged: {damage:?}"));
    }
    if work {
        db.upkeep(life::START + 300_000, true).map_err(|e| format!("upkeep: {e}"))?;
        check("after upkeep", &life::found(&db), must, may)?;
    }
    // Killed again.
    drop(db);
    let registry = Registry::new();
    let db =
        Db::open(dir.path(), life::options(), &registry).map_err(|e| format!("does not start again: {e}"))?;
    let again = life::found(&db);
    if !work && again != found {
        return Err(format!("the second start differs: {}", differences(&found, &again)));
    }
    check("second start", &again, must, may)?;
    let damage = life::damage(&registry);
    if damage.is_empty() { Ok(()) } else { Err(format!("still damaged at the second start: {damage:?}")) }
}

fn differences(before: &Found, after: &Found) -> String {
    format!("lost {:?}, new {:?}", life::missing(before, after), life::missing(after, before))
}

fn check(when: &str, found: &Found, must: &Found, may: &Found) -> Result<(), String> {
    let lost = life::missing(must, found);
    if !lost.is_empty() {
        return Err(format!("{when}: lost {lost:?}"));
    }
    let invented = life::missing(found, may);
    if invented.is_empty() { Ok(()) } else { Err(format!("{when}: never was, or was deleted: {invented:?}")) }
}

/// Calls `each` with so many numbers below `all`, spread over them, or with all of them.
fn spread(all: usize, times: usize, mut each: impl FnMut(usize)) {
    let stride = (all / times.max(1)).max(1);
    for group in 0..all.div_ceil(stride) {
        // Not always the same place in a group of operations that repeats itself.
        let n = group * stride + group.wrapping_mul(life::seed()) % stride;
        if n < all {
            each(n);
        }
    }
}

#[derive(Default)]
struct Trials {
    tried: usize,
    wrong: Vec<String>,
}

impl Trials {
    fn note(&mut self, what: impl FnOnce() -> String, outcome: Result<(), String>) {
        self.tried += 1;
        if let Err(why) = outcome {
            self.wrong.push(format!("{}: {why}", what()));
        }
    }

    fn end(mut self) {
        println!("{} starts", self.tried);
        assert!(self.tried > 0);
        let count = self.wrong.len();
        self.wrong.truncate(20);
        assert!(self.wrong.is_empty(), "{count} of {} starts:\n{}", self.tried, self.wrong.join("\n"));
    }
}

/// Calls `each` with the image before many operations.
fn at_many_points(operations: &[Operation], times: usize, mut each: impl FnMut(usize, &Image, &Operation)) {
    let (mut image, mut done) = (Image::default(), 0);
    spread(operations.len(), times, |n| {
        operations[done..n].iter().for_each(|operation| image.apply(operation));
        done = n;
        each(n, &image, &operations[n]);
    });
}

fn shown(n: usize, operation: &Operation) -> String {
    let text = format!("{operation:?}");
    format!("before operation {n}, {}", text.chars().take(150).collect::<String>())
}

#[test]
fn a_process_killed_at_any_operation_loses_nothing_acknowledged() {
    let (operations, journal) = recorded();
    let mut trials = Trials::default();
    at_many_points(&operations, life::times(70), |n, image, operation| {
        let (must, may) = journal.killed_after(n);
        trials.note(|| shown(n, operation), start(image, &must, &may, true, n % 5 == 0));
    });
    trials.end();
}

#[test]
fn a_process_killed_within_an_operation_loses_what_was_being_written() {
    let (operations, journal) = recorded();
    let mut trials = Trials::default();
    at_many_points(&operations, life::times(60), |n, image, operation| {
        let parts = image.parts(operation);
        if parts < 2 {
            return;
        }
        let (must, may) = journal.killed_after(n);
        spread(parts - 1, life::times(1).min(24), |part| {
            let mut torn = image.clone();
            torn.apply_torn(operation, part + 1);
            let what = || format!("{}, after {} of {parts}", shown(n, operation), part + 1);
            trials.note(what, start(&torn, &must, &may, false, false));
        });
    });
    trials.end();
}

#[test]
fn a_machine_that_loses_power_keeps_what_was_forced_to_its_disk() {
    let (operations, journal) = recorded();
    let mut trials = Trials::default();
    at_many_points(&operations, life::times(30), |n, image, operation| {
        let (must, may) = journal.power_lost_after(n);
        // Nothing else is there; and different parts of the rest.
        let random = (n * 3 + life::seed()) as u64;
        for seed in [0, random + 1, random + 2] {
            let what = || format!("{}, seed {seed}", shown(n, operation));
            trials.note(what, start(&image.after_power_loss(seed), &must, &may, false, n % 4 == 0));
        }
    });
    trials.end();
}

/// What a start without damage finds, and without a file or a block.
fn found_in(image: &Image) -> Found {
    let dir = life::scratch();
    image.write_to(dir.path()).unwrap();
    life::found(&Db::open(dir.path(), life::options(), &Registry::new()).unwrap())
}

/// The block that a file belongs to, or the file: what a flipped bit in it may cost at most.
fn unit(file: &Path) -> PathBuf {
    let first = Path::new(file.iter().next().unwrap());
    if block::is_ulid(first.to_str().unwrap()) { first.to_owned() } else { file.to_owned() }
}

/// What is wrong after a start with a flipped bit, if anything.
fn start_damaged(image: &Image, must: &Found, may: &Found, whole: &Found, file: &Path) -> Result<(), String> {
    let dir = life::scratch();
    image.write_to(dir.path()).unwrap();
    let registry = Registry::new();
    let ((db, found), lines) = log::lines_of(|| {
        let db = Db::open(dir.path(), life::options(), &registry).map_err(|e| format!("does not start: {e}"));
        let found = db.as_ref().map(life::found).unwrap_or_default();
        (db, found)
    });
    let db = db?;
    check("first start", &found, must, may)?;
    let lost = life::missing(whole, &found);
    let damage = life::damage(&registry);
    if !lost.is_empty() && (damage.is_empty() || lines.is_empty()) {
        return Err(format!("lost {lost:?}; damage {damage:?}, log {lines:?}"));
    }
    if lines.len() > 3 {
        return Err(format!("too many lines: {lines:?}"));
    }
    let chunk = file.to_str().unwrap().contains("/chunks/");
    let count = whole.keys().filter(|key| !found.contains_key(*key)).count();
    if chunk && count > 120 && !damage.iter().any(|(name, _)| name == "binnacle_tsdb_blocks_set_aside") {
        return Err(format!("a chunk has no {count} samples"));
    }
    drop(db);
    let again = life::found(
        &Db::open(dir.path(), life::options(), &Registry::new())
            .map_err(|e| format!("does not start again: {e}"))?,
    );
    if again == found {
        return Ok(());
    }
    Err(format!("the second start differs: {}", differences(&found, &again)))
}

#[test]
fn a_flipped_bit_costs_no_more_than_what_it_is_in() {
    let (operations, journal) = recorded();
    let mut image = Image::default();
    operations.iter().for_each(|operation| image.apply(operation));
    let (_, may) = journal.all();
    let whole = found_in(&image);
    let mut trials = Trials::default();
    let files: Vec<(PathBuf, usize)> = image.files().map(|(file, len)| (file.to_owned(), len)).collect();
    let read = |file: &&(PathBuf, usize)| file.1 > 0 && !file.0.starts_with("snapshots");
    for (file, len) in files.iter().filter(read) {
        let unit = unit(file);
        let (mut without, mut alone) = (image.clone(), image.clone());
        for (other, _) in &files {
            if other.starts_with(&unit) { without.remove(other) } else { alone.remove(other) }
        }
        let mut must = found_in(&without);
        if unit != *file {
            // Where the block is not served the log may have the same.
            let in_block = found_in(&alone);
            must.retain(|key, _| !in_block.contains_key(key));
        }
        spread(*len, life::times(3).min(400), |at| {
            let mut flipped = image.clone();
            let bit = (at * 5 + life::seed()) % 8;
            flipped.flip(file, at, 1 << bit);
            let what = || format!("bit {bit} of byte {at} of {len} of {}", file.display());
            trials.note(what, start_damaged(&flipped, &must, &may, &whole, file));
        });
    }
    trials.end();
}

/// A life during which the disk fills up or breaks. Says what is wrong, if anything.
fn fill(full: Full, breaks: bool) -> Result<(), String> {
    let dir = life::scratch();
    let clock = || 0;
    // What was taken in early makes a start wait for room.
    let mut life = Life::new(dir.path(), false, &clock);
    let full = Arc::new(full);
    let watching = disk::simulate::watch(dir.path(), Arc::clone(&full) as _);
    life.live();
    let verify = |life: &Life<'_>, when: &str| {
        if !life.not_opened.is_empty() {
            return Err(format!("{when}: does not start: {:?}", life.not_opened));
        }
        let (must, may) = life.journal.all();
        check(when, &life::found(life.db().unwrap()), &must, &may)
    };
    if breaks {
        life.errors += std::mem::take(&mut life.not_opened).len();
    } else {
        verify(&life, "full")?;
    }
    let errors = life.errors;
    // A chunk or two that stay in memory for a while concern nobody.
    if full.refused() > 11 && errors == 0 {
        return Err("nobody was told".to_owned());
    }
    // What could not be written has left nothing in the way.
    full.free();
    if life.db().is_none() {
        life.restart();
    }
    life.scrapes(3);
    life.upkeep(true);
    life.late();
    life.scrapes(2);
    if life.errors > errors {
        return Err(format!("does not go on when there is room: {:?}", life.last_error));
    }
    verify(&life, "with room again")?;
    life.restart();
    verify(&life, "started again")?;
    let (must, may) = life.journal.all();
    drop(watching);
    drop(life.die());
    let registry = Registry::new();
    let db = Db::open(dir.path(), life::options(), &registry).map_err(|e| e.to_string())?;
    check("killed and started again", &life::found(&db), &must, &may)?;
    let damage = life::damage(&registry);
    if damage.is_empty() { Ok(()) } else { Err(format!("left damage: {damage:?}")) }
}

#[test]
fn a_disk_that_fills_up_costs_nothing_acknowledged_and_goes_on_when_there_is_room() {
    let (operations, _) = recorded();
    let written = |operation: &Operation| match operation {
        Operation::Write { bytes, .. } => bytes.len(),
        _ => 0,
    };
    let bytes: usize = operations.iter().map(written).sum();
    let mut trials = Trials::default();
    spread(bytes, life::times(8).min(2_000), |room| {
        trials.note(|| format!("room for {room} bytes"), fill(Full::after(room as u64), false));
    });
    let needing_room = |operation: &&Operation| {
        matches!(
            operation,
            Operation::Write { .. }
                | Operation::Create(_)
                | Operation::CreateDir(_)
                | Operation::Link { .. }
                | Operation::Rename { .. }
        )
    };
    let count = operations.iter().filter(needing_room).count();
    spread(count, life::times(8), |room| {
        let full = Full::after_operations(room as u64);
        trials.note(|| format!("room for {room} operations"), fill(full, false));
    });
    trials.end();
}

/// Neither the upkeep of the head nor a checkpoint may take it for cut.
#[test]
fn what_could_not_be_cut_into_a_block_stays_in_the_head() {
    let dir = life::scratch();
    let clock = || 0;
    let mut life = Life::new(dir.path(), false, &clock);
    life.scrapes(35);
    let full = Arc::new(Full::after(0));
    let watching = disk::simulate::watch(dir.path(), Arc::clone(&full) as _);
    life.upkeep(false);
    assert_eq!(
        (life.errors, life.last_error.as_deref().map(|e| e.contains("no storage space"))),
        (1, Some(true))
    );
    drop(watching);
    life.db().unwrap().head().checkpoint_now().unwrap();
    life.upkeep(true);
    life.restart();
    assert_eq!(life.errors, 1);
    let (must, may) = life.journal.all();
    assert_eq!(must.len(), 35 * 6);
    assert_eq!(check("cut later", &life::found(life.db().unwrap()), &must, &may), Ok(()));
    assert_eq!(life.db().unwrap().blocks().current().len(), 1);
}

#[test]
fn a_disk_that_breaks_costs_nothing_acknowledged_and_goes_on_when_it_is_mended() {
    let (operations, _) = recorded();
    let mut trials = Trials::default();
    spread(operations.len(), life::times(5), |n| {
        let broken = || Full::broken_after_operations(n as u64);
        trials.note(|| format!("broken after {n} operations"), fill(broken(), true));
        let refusals = 1 + (n * 7 + life::seed()) as u64 % 11;
        let what = || format!("{refusals} operations after {n} fail");
        trials.note(what, fill(broken().mending_after(refusals), true));
        let full = Full::after_operations(n as u64).mending_after(refusals);
        trials.note(|| format!("after {n} operations {refusals} find no room"), fill(full, false));
    });
    trials.end();
}

/// Appends a sample of a time after all others; the error, if it is refused.
fn append(db: &Db, t: i64) -> Option<String> {
    let series = match db.resolve(Affinity(0), &named("m", 0)) {
        Ok(resolved) => resolved.series,
        Err(error) => return Some(error.to_string()),
    };
    let batch = Batch { samples: vec![BatchSample { series, t, v: 1.0 }], ..Batch::default() };
    db.append(&batch, &mut Outcome::default()).err().map(|error| error.to_string())
}

#[test]
fn a_start_on_a_full_disk_serves_everything_and_refuses_samples_until_there_is_room() {
    let (operations, journal) = recorded();
    let mut trials = Trials::default();
    at_many_points(&operations, life::times(20), |n, image, operation| {
        if image.files().any(|(file, _)| file.starts_with("wal-young")) {
            return; // it would wait for room
        }
        let (must, may) = journal.killed_after(n);
        let dir = life::scratch();
        image.write_to(dir.path()).unwrap();
        if !dir.path().join("wbl").is_dir() || !dir.path().join("chunks_head").is_dir() {
            return; // a directory that is not set up yet
        }
        let full = Arc::new(Full::after(0));
        let _watching = disk::simulate::watch(dir.path(), Arc::clone(&full) as _);
        let outcome = (|| {
            let registry = Registry::new();
            let db = Db::open(dir.path(), life::options(), &registry).map_err(|e| e.to_string())?;
            check("full", &life::found(&db), &must, &may)?;
            let last = life::START + 10_000_000;
            match append(&db, last) {
                Some(error) if error.contains("no storage space") => {}
                other => return Err(format!("appended on a full disk: {other:?}")),
            }
            says_full(&registry, 1.0)?;
            full.free();
            append(&db, last + 1).map_or(Ok(()), Err)?;
            says_full(&registry, 0.0)?;
            drop(db);
            let db = Db::open(dir.path(), life::options(), &Registry::new()).map_err(|e| e.to_string())?;
            let (mut must, mut may) = (must, may);
            for found in [&mut must, &mut may] {
                found.insert((named("m", 0).to_string(), last + 1), "1".to_owned());
            }
            check("started again", &life::found(&db), &must, &may)
        })();
        trials.note(|| shown(n, operation), outcome);
    });
    trials.end();
}

fn says_full(registry: &Registry, expected: f64) -> Result<(), String> {
    let gauge = registry.gather().into_iter().find(|family| family.name == "binnacle_tsdb_disk_full");
    let said = gauge.and_then(|family| family.metrics.first().map(|metric| metric.value.clone()));
    match said {
        Some(MetricValue::Float(v)) if v == expected => Ok(()),
        other => Err(format!("binnacle_tsdb_disk_full is {other:?}, not {expected}")),
    }
}

/// Says what is wrong with a start that waits for room, if anything.
fn wait(image: &Image, must: &Found, may: &Found) -> Result<(), String> {
    let dir = life::scratch();
    image.write_to(dir.path()).unwrap();
    let full = Arc::new(Full::after(0));
    let _watching = disk::simulate::watch(dir.path(), Arc::clone(&full) as _);
    let db = thread::scope(|scope| {
        let opening = scope.spawn(|| Db::open(dir.path(), life::options(), &Registry::new()));
        while full.refused() < 5 && !opening.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        full.free();
        opening.join().unwrap()
    });
    let db = db.map_err(|e| format!("does not start: {e}"))?;
    check("with room", &life::found(&db), must, may)?;
    append(&db, life::START + 10_000_000).map_or(Ok(()), Err)
}

#[test]
fn a_start_that_cannot_do_without_room_waits_for_it() {
    let (operations, journal) = recorded();
    let mut trials = Trials::default();
    let (mut image, mut early) = (Image::default(), Vec::new());
    for (n, operation) in operations.iter().enumerate() {
        image.apply(operation);
        // Samples that came while the last process replayed the log.
        if matches!(operation, Operation::Write { path, .. } if path.starts_with("wal-young")) {
            early.push((n + 1, image.clone()));
        }
    }
    spread(early.len(), life::times(2), |i| {
        let (n, image) = &early[i];
        let (must, may) = journal.killed_after(*n);
        trials.note(|| format!("after operation {n}"), wait(image, &must, &may));
    });
    // Chunks behind damage are written anew.
    let file = image.files().map(|(file, _)| file.to_owned()).find(|file| file.starts_with("chunks_head"));
    image.flip(&file.unwrap(), 20, 1);
    trials.note(|| "damaged".to_owned(), wait(&image, &Found::new(), &journal.all().1));
    trials.end();
}
