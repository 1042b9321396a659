//! Moving series that have ended out of memory early: when they are a large part of all, or memory is short.

use std::time::{Duration, Instant};

use block::FROM_STALE_SERIES;
use storage::MemoryStage;

use super::cut::FromHead;
use super::upkeep::Turn;
use super::{Db, DbError};
use crate::head::Samples;

/// Not done when a block of all series is due so soon.
const SOON: Duration = Duration::from_mins(10);
/// When memory is short: fewer are not worth a block.
const WORTH: f64 = 0.05;
/// When memory is short: so many at a time, since writing them takes some 100 bytes a series.
const AT_ONCE: usize = 100_000;

impl Db {
    /// Whether memory is so short that series that have ended are moved out of it early.
    pub(super) fn is_short_of_memory(&self) -> bool {
        self.options.head.memory.stage() >= MemoryStage::HoldQueries
    }

    pub(super) fn cut_stale_if_due(&self, turn: &Turn, now: i64) -> Result<(), DbError> {
        let (stale, all) = (self.head.ended_count(), self.head.series_count());
        if stale == 0 || all == 0 {
            return Ok(());
        }
        let share = stale as f64 / all as f64;
        let threshold = *self.stale_threshold.read();
        let soon = turn.last_cut.is_some_and(|last| last.elapsed() + SOON >= self.options.head.chunk_range);
        let due = threshold > 0.0 && share >= threshold && !soon;
        let needed = share >= WORTH && self.is_short_of_memory();
        if !due && !needed {
            return Ok(());
        }
        self.metrics.stale_triggered.inc();
        let began = Instant::now();
        let cut = self.cut_stale(if needed { AT_ONCE } else { usize::MAX }, now);
        self.metrics.stale_duration.observe(began.elapsed().as_secs_f64());
        match &cut {
            Ok(series) => tracing::info!(
                series,
                of = all,
                duration = ?began.elapsed(),
                "Series that have ended were moved to blocks"
            ),
            Err(DbError::Stopped) => {}
            Err(_) => self.metrics.stale_failed.inc(),
        }
        cut.map(|_| ())
    }

    /// Writes series that have ended into blocks, one a range, and drops them. Answers how many were dropped.
    fn cut_stale(&self, most: usize, now: i64) -> Result<usize, DbError> {
        let Some((oldest, newest)) = self.head.time_range() else { return Ok(0) };
        let ended = self.head.ended(most);
        let wanted = FromHead { samples: Samples::InOrder, without: Vec::new(), only: Some(&ended) };
        self.write_ranges(oldest, newest, FROM_STALE_SERIES, &wanted, now)?;
        self.head.drop_ended(&ended).map_err(|e| DbError::io(&self.dir, e))
    }
}
