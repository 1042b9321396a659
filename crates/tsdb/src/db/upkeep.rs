//! The loop that cuts, compacts and drops what is past its retention.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use super::delay::CutDelay;
use super::{Db, DbError};
use crate::millis::millis;

/// How often the head is asked whether a block can be cut.
const TICK: Duration = Duration::from_secs(1);
/// How often all of the upkeep is done, at least, while memory is short.
const SHORT_OF_MEMORY: Duration = Duration::from_secs(10);
/// After a failure the next attempt waits this long, then twice as long, up to a minute.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// What the holder of the turn knows.
pub(super) struct Turn {
    pub(super) delay: CutDelay,
    /// When the head was cut last.
    pub(super) last_cut: Option<Instant>,
    /// Blocks (by ULID) from which what retention rules say was taken out, each up to this time.
    pub(super) without_expired: HashMap<String, Vec<i64>>,
}

impl Turn {
    pub(super) fn new(delay: CutDelay) -> Self {
        Turn { delay, last_cut: None, without_expired: HashMap::new() }
    }
}

/// Asks the upkeep to end.
#[derive(Default)]
pub(super) struct Stop {
    requested: AtomicBool,
    waiting: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn request(&self) {
        let _waiting = self.waiting.lock();
        self.requested.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Lets the holder of the turn write one thing more. Whoever runs the upkeep may miss the request, and then waits for the
    /// turn until it is made again.
    pub(super) fn withdraw(&self) {
        self.requested.store(false, Ordering::SeqCst);
    }

    /// Set once it is requested.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.requested
    }

    /// # Errors
    /// [`DbError::Stopped`] once it is requested.
    pub(super) fn check(&self) -> Result<(), DbError> {
        if self.requested.load(Ordering::SeqCst) { Err(DbError::Stopped) } else { Ok(()) }
    }

    /// Waits; `true` when it is requested.
    fn wait(&self, time: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        if self.check().is_ok() {
            self.changed.wait_for(&mut waiting, time);
        }
        self.check().is_err()
    }
}

impl Db {
    /// Keeps the directory in order until [`stop_upkeep`](Self::stop_upkeep) or [`close`](Self::close): to be run on a
    /// thread of its own. Failures are logged, counted and tried again, less and less often.
    pub fn run_upkeep(&self) {
        let mut last = Instant::now();
        let mut next = last + self.options.reload_interval;
        let mut backoff = Duration::ZERO;
        let mut not_before = Instant::now();
        while !self.stop.wait(TICK.min(self.options.reload_interval)) {
            let now = Instant::now();
            if self.is_short_of_memory() {
                next = next.min(last + SHORT_OF_MEMORY);
            }
            let due = now >= next;
            if now < not_before || !due && !self.can_cut(now) {
                continue;
            }
            let outcome = self.upkeep(now_millis(), due);
            if due {
                last = Instant::now();
                next = last + self.options.reload_interval;
            }
            backoff = match outcome {
                Ok(()) => Duration::ZERO,
                Err(DbError::Stopped) => return,
                Err(error) => {
                    self.note_failure(&error);
                    (backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF)
                }
            };
            not_before = Instant::now() + backoff;
        }
    }

    fn can_cut(&self, now: Instant) -> bool {
        self.head.has_full_range() && !self.turn.lock().delay.holds(now)
    }

    /// Ends [`run_upkeep`](Self::run_upkeep), in the middle of a compaction if need be.
    pub fn stop_upkeep(&self) {
        self.stop.request();
    }

    /// One turn of the upkeep at `now` (milliseconds since the Unix epoch): drops what is past its retention, cuts what
    /// is due, compacts what is due. `thorough` also looks for blocks that came or went and tidies the head up.
    ///
    /// # Errors
    /// When files cannot be read or written; what could not be done is still to be done, and nothing is lost.
    pub fn upkeep(&self, now: i64, thorough: bool) -> Result<(), DbError> {
        let mut turn = self.turn.lock();
        self.stop.check()?;
        if thorough {
            self.blocks.reload()?;
        }
        // First what makes room.
        self.apply_retention(now)?;
        // Where it fails, for want of room perhaps, what is due is to be cut and compacted all the same.
        let tidied = if thorough { self.head.tidy().map_err(|e| DbError::io(&self.dir, e)) } else { Ok(()) };
        self.metrics.triggered.inc();
        let compacted = self.cut_and_compact(&mut turn, now, thorough);
        if !matches!(compacted, Ok(()) | Err(DbError::Stopped)) {
            self.metrics.failed.inc();
        }
        let outcome = compacted.and(tidied);
        self.metrics.disk_full.for_blocks(outcome.as_ref().is_err_and(DbError::is_disk_full));
        outcome
    }

    fn cut_and_compact(&self, turn: &mut Turn, now: i64, thorough: bool) -> Result<(), DbError> {
        self.cut_what_is_due(turn, now)?;
        if thorough {
            self.cut_stale_if_due(turn, now)?;
        }
        self.apply_retention_rules(turn, now)?;
        self.compact_what_is_due(turn, now)
    }

    fn note_failure(&self, error: &DbError) {
        let err = error.to_string();
        if error.is_disk_full() {
            tracing::error!(
                err,
                "The disk is full: blocks and checkpoints cannot be written. Nothing is deleted for that; samples stay in the head"
            );
        } else {
            tracing::error!(err, "compaction failed");
        }
    }
}

pub(super) fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
