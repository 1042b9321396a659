//! How many shards a queue should have: Prometheus' formula, over its moving averages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How often averages move and shards are counted anew.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// How much a new rate weighs.
const WEIGHT: f64 = 0.2;
/// So many more or fewer shards than wanted are left as they are, as a share.
const TOLERANCE: f64 = 0.3;
/// Of what is behind, so much is to be caught up with in a second.
const CATCH_UP: f64 = 0.05;
/// With more than these seconds behind no shard is taken away.
const BEHIND: f64 = 10.0;

/// An exponentially weighted moving average of events in a second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    events: AtomicU64,
    rate: Mutex<Option<f64>>,
}

impl Rate {
    pub(super) fn add(&self, events: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
    }

    /// To be called once a [`PERIOD`].
    pub(super) fn tick(&self) {
        let events = self.events.swap(0, Ordering::Relaxed);
        let now = events as f64 / PERIOD.as_secs_f64();
        let mut rate = self.rate.lock();
        *rate = match *rate {
            Some(before) => Some(before + WEIGHT * (now - before)),
            None if events > 0 => Some(now),
            None => None,
        };
    }

    pub(super) fn get(&self) -> f64 {
        self.rate.lock().unwrap_or(0.0)
    }
}

/// What the number of shards depends on. Rates are in a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Samples that come in.
    pub(super) received: f64,
    /// Samples that are sent.
    pub(super) sent: f64,
    /// Samples that are dropped before.
    pub(super) dropped: f64,
    /// Seconds that requests take.
    pub(super) sending: f64,
    /// How far what was sent is behind what came in, in seconds.
    pub(super) delay: f64,
}

/// How many shards there should be, as a fraction; none while nothing is sent.
pub(super) fn desired(load: Load) -> Option<f64> {
    if load.sent <= 0.0 {
        return None;
    }
    let kept = load.sent / (load.dropped + load.sent);
    let pending = load.delay * load.received * kept;
    Some(load.sending / load.sent * (load.received * kept + CATCH_UP * pending))
}

/// How many shards there will be.
pub(super) fn next(shards: usize, desired: f64, delay: f64, min: usize, max: usize) -> usize {
    let now = shards as f64;
    let wanted = desired.ceil();
    if now * (1.0 - TOLERANCE) <= wanted && wanted <= now * (1.0 + TOLERANCE) {
        return shards;
    }
    // Conversion saturates.
    let wanted = wanted as usize;
    if wanted < shards && delay > BEHIND {
        return shards;
    }
    wanted.clamp(min, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_follow_the_load() {
        let load = |received: f64, sent: f64, sending: f64, delay: f64| Load {
            received,
            sent,
            dropped: 0.0,
            sending,
            delay,
        };
        // Nothing was sent: no guess.
        assert_eq!(desired(load(100.0, 0.0, 0.0, 0.0)), None);
        // 10,000 samples a second, of which each takes a millisecond: ten shards.
        assert_eq!(desired(load(10_000.0, 10_000.0, 10.0, 0.0)), Some(10.0));
        // 20 seconds behind: as much again is to be caught up with.
        assert_eq!(desired(load(10_000.0, 10_000.0, 10.0, 20.0)), Some(20.0));
        for (shards, wanted, delay, next_is) in [
            (10, 10.0, 0.0, 10),
            (10, 12.4, 0.0, 10),
            (10, 13.1, 0.0, 14),
            (10, 7.0, 0.0, 10),
            (10, 5.2, 0.0, 6),
            (10, 5.2, 11.0, 10),
            (10, 900.0, 0.0, 50),
            (10, 0.1, 0.0, 2),
        ] {
            assert_eq!(next(shards, wanted, delay, 2, 50), next_is, "{shards} {wanted}");
        }
    }

    #[test]
    fn a_rate_begins_with_its_first_events_and_then_moves() {
        let rate = Rate::default();
        rate.tick();
        assert_eq!(rate.get(), 0.0);
        rate.add(100);
        rate.tick();
        assert_eq!(rate.get(), 10.0);
        rate.tick();
        assert_eq!(rate.get(), 8.0);
    }
}
