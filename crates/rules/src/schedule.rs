//! When groups are evaluated: spread over their interval, always at the same place in it.

use std::time::Duration;

use xxhash_rust::xxh64::xxh64;

use crate::time::{Time, nanos};

/// How far into each interval the group is evaluated, in nanoseconds. That of Prometheus, which hashes the labels `file` and
/// `name`: each name and each value with its length before it, in one byte or in a 255 and three.
pub(crate) fn phase(file: &str, name: &str, interval: Duration) -> i64 {
    let mut bytes = Vec::with_capacity(file.len() + name.len() + 16);
    for text in ["file", file, "name", name] {
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => bytes.push(len),
            _ => {
                bytes.push(255);
                bytes.extend(text.len().to_le_bytes().iter().take(3));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    let interval = u64::try_from(nanos(interval)).unwrap_or(1).max(1);
    i64::try_from(xxh64(&bytes, 0) % interval).unwrap_or(0)
}

/// The last time at or before `now` for which the group is to be evaluated.
pub(crate) fn slot(now: Time, interval: Duration, phase: i64) -> Time {
    let interval = nanos(interval).max(1);
    let adjusted = now.0.saturating_sub(phase);
    Time(adjusted - adjusted % interval + phase)
}

/// The last time at or before `at` for which a server evaluates the group that is written in `file` under `name`.
#[must_use]
pub fn slot_of(file: &str, name: &str, interval: Duration, at: Time) -> Time {
    slot(at, interval, phase(file, name, interval))
}

/// The time for which to evaluate a group that was last evaluated for `last`, and how many evaluations that leaves out.
pub(crate) fn next(last: Time, now: Time, interval: Duration) -> (Time, i64) {
    let interval = nanos(interval).max(1);
    // Negative if the clock was set back.
    let missed = now.since(last) / interval - 1;
    (Time(last.0.saturating_add((missed + 1).saturating_mul(interval))), missed.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn evaluations_that_are_missed_are_counted_and_left_out() {
        let next = |last: i64, now: i64| {
            let (at, missed) = next(Time(last), Time(now), Duration::from_secs(10));
            (at.0 / SECOND, missed)
        };
        assert_eq!(next(100 * SECOND, 110 * SECOND + 5), (110, 0));
        assert_eq!(next(100 * SECOND, 125 * SECOND), (120, 1));
        assert_eq!(next(100 * SECOND, 150 * SECOND), (150, 4));
        assert_eq!(next(1000 * SECOND, 910 * SECOND), (910, 0), "the clock was set back");
    }

    #[test]
    fn a_slot_is_not_in_the_future_and_less_than_an_interval_ago() {
        let interval = Duration::from_secs(30);
        for (file, name) in [("r.yml", "a"), ("r.yml", "b"), (&*"long/".repeat(60), "c")] {
            let phase = phase(file, name, interval);
            assert!((0..nanos(interval)).contains(&phase));
            for now in [0, 1_234_567_890_123_456_789, 1_700_000_000 * SECOND] {
                let at = slot(Time(now), interval, phase);
                assert!(at.0 <= now.max(phase) && now - at.0 < nanos(interval), "{now} {at:?}");
                assert_eq!((at.0 - phase) % nanos(interval), 0);
            }
        }
    }
}
