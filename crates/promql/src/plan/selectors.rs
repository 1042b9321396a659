//! What is read for a selector, and which reads are one.

use model::{METRIC_NAME, MatchOp};
use storage::Newest;

use super::build::Planner;
use super::{Read, Wanted};
use crate::ast::{At, RangeMode, VectorSelector};
use crate::eval::Grid;

/// The time range of a selector's windows or lookbacks.
pub(super) struct Reach {
    /// Length of the window; `None` for the newest sample within the lookback.
    pub(super) range: Option<i64>,
    /// In milliseconds, positive into the past.
    pub(super) offset: i64,
    /// A fixed time.
    pub(super) at: Option<i64>,
}

/// There are no samples as far off as this, and offsets and lookbacks do not reach the end of the numbers from here.
const FURTHEST: i64 = i64::MAX / 4;

impl Planner<'_> {
    /// Milliseconds of an `@`.
    pub(super) fn fixed_time(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Time(t) => t.clamp(-FURTHEST, FURTHEST),
            At::Start => self.range.start,
            At::End => self.range.end,
        })
    }

    /// Notes that the selector is read over `grid`.
    pub(super) fn read(
        &mut self,
        selector: &VectorSelector,
        reach: &Reach,
        grid: Grid,
        newest: Option<Newest>,
    ) -> usize {
        let first = reach.at.unwrap_or(grid.start) - reach.offset;
        let last = reach.at.unwrap_or_else(|| grid.last()) - reach.offset;
        let lookback = self.lookback;
        let before = match (reach.range, selector.mode) {
            (None, _) => lookback,
            (Some(range), Some(_)) => range + lookback,
            (Some(range), None) => range,
        };
        let behind = if selector.mode == Some(RangeMode::Smoothed) { lookback } else { 0 };
        self.reads.push(Read {
            matchers: selector.matchers.clone(),
            min_time: first - before + 1,
            max_time: last + behind,
            labels: Wanted::All,
            newest,
            uses: 1,
        });
        self.reads.len() - 1
    }
}

/// The metric's name, if the matchers fix it.
pub(super) fn fixed_name(selector: &VectorSelector) -> Option<String> {
    selector
        .matchers
        .iter()
        .find(|m| &*m.name == METRIC_NAME && m.op == MatchOp::Equal && !m.value.is_empty())
        .map(|m| m.value.to_string())
}

/// Merges reads of the same series whose time ranges touch. Returns the reads that remain, and which of them each
/// one became.
pub(super) fn merge(reads: Vec<Read>) -> (Vec<Read>, Vec<usize>) {
    let mut merged: Vec<Read> = Vec::with_capacity(reads.len());
    let mut became = Vec::with_capacity(reads.len());
    for read in reads {
        let near = |old: &Read| old.matchers == read.matchers && touch(old, &read);
        let Some(at) = merged.iter().position(near) else {
            became.push(merged.len());
            merged.push(read);
            continue;
        };
        became.push(at);
        if let Some(old) = merged.get_mut(at) {
            widen(old, &read);
        }
    }
    (merged, became)
}

/// Whether the time ranges have a time in common.
fn touch(a: &Read, b: &Read) -> bool {
    a.min_time <= b.max_time && b.min_time <= a.max_time
}

/// Makes of a read one that has all that another of the same matchers wants, if their time ranges touch; whether it did.
pub(crate) fn widen(old: &mut Read, read: &Read) -> bool {
    if !touch(old, read) {
        return false;
    }
    let same_range = (old.min_time, old.max_time) == (read.min_time, read.max_time);
    if !same_range || old.newest != read.newest {
        old.newest = None;
    }
    old.min_time = old.min_time.min(read.min_time);
    old.max_time = old.max_time.max(read.max_time);
    if old.labels != read.labels {
        old.labels = std::mem::replace(&mut old.labels, Wanted::All).or(read.labels.clone());
    }
    old.uses += read.uses;
    true
}
