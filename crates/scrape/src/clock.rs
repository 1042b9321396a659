//! The time that samples are stamped with.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch.
    fn now_nanos(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_nanos(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
        }
    }
}

/// Keeps timestamps on the grid of a target's times: a scrape that starts within `tolerance` after its time is stamped with that
/// time, so that intervals are exact, over reloads and restarts too, and timestamps compress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlignedTime {
    aligned: i64,
    interval: i64,
    tolerance: i64,
}

impl AlignedTime {
    /// `first` is one of the times.
    pub(crate) fn start(first: i64, interval: i64, tolerance: i64) -> Self {
        AlignedTime { aligned: first, interval: interval.max(1), tolerance: tolerance.min(interval / 100) }
    }

    /// The timestamp, in nanoseconds, of a scrape that starts at `now`.
    pub(crate) fn stamp(&mut self, now: i64) -> i64 {
        let late = now - self.aligned;
        if late < -self.interval {
            // The clock was set back: start a new grid rather than stamp into the future.
            self.aligned = now;
            return now;
        }
        if late >= self.interval {
            self.aligned += late / self.interval * self.interval;
        }
        // Just before its time counts too: timers and the wall clock drift apart by fractions of a millisecond.
        let ahead = self.aligned + self.interval - now;
        if ahead > 0 && ahead <= self.tolerance {
            self.aligned += self.interval;
        }
        if (now - self.aligned).abs() <= self.tolerance { self.aligned } else { now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn timestamps_stay_on_the_grid_within_the_tolerance() {
        let start = 1_000_000_123_456;
        let mut time = AlignedTime::start(start, 15_000 * MS, 2 * MS);
        assert_eq!(time.stamp(start + MS / 2), start);
        assert_eq!(time.stamp(start + 15_001 * MS), start + 15_000 * MS);
        assert_eq!(time.stamp(start + 30_002 * MS), start + 30_000 * MS);
        let late = start + 45_003 * MS;
        assert_eq!(time.stamp(late), late);
        assert_eq!(time.stamp(start + 60_000 * MS - MS), start + 60_000 * MS);
        let back = start - 3_600_000 * MS;
        assert_eq!(time.stamp(back), back);
    }

    #[test]
    fn the_tolerance_is_at_most_a_hundredth_of_the_interval() {
        let mut time = AlignedTime::start(0, 100 * MS, 2 * MS);
        assert_eq!(time.stamp(101 * MS), 100 * MS);
        assert_eq!(time.stamp(202 * MS), 202 * MS);
    }
}
