//! How long to wait before the next attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Chance, good enough to spread clients out.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        Chance(RandomState::new().hash_one(0) | 1)
    }

    /// At least 0 and less than 1.
    pub(crate) fn next(&mut self) -> f64 {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration from `range.0` to `range.1`.
    pub(crate) fn between(&mut self, range: (Duration, Duration)) -> Duration {
        range.0 + range.1.saturating_sub(range.0).mul_f64(self.next())
    }
}

/// Pauses that double from failure to failure, each made up to twice as long by chance, and begin anew after a time
/// without failures.
pub(crate) struct BackOff {
    first: Duration,
    longest: Duration,
    next: Duration,
    last: Option<Instant>,
}

/// So long without failures, and the next one is the first again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);

impl BackOff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        BackOff { first, longest, next: first, last: None }
    }

    /// Something has worked: the next pause is the first again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait now.
    pub(crate) fn pause(&mut self, chance: &mut Chance) -> Duration {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) > FORGOTTEN_AFTER) {
            self.next = self.first;
        }
        self.last = Some(now);
        let pause = self.next;
        self.next = (self.next * 2).min(self.longest);
        pause.mul_f64(1.0 + chance.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        let mut chance = Chance::new();
        let mut back_off = BackOff::new(Duration::from_millis(800), Duration::from_secs(30));
        for base in [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
            let pause = back_off.pause(&mut chance);
            assert!(
                pause >= Duration::from_millis(base) && pause <= Duration::from_millis(2 * base),
                "{pause:?}"
            );
        }
        back_off.reset();
        assert!(back_off.pause(&mut chance) <= Duration::from_millis(1600));
        let pauses: Vec<Duration> =
            (0..8).map(|_| chance.between((Duration::from_secs(300), Duration::from_secs(600)))).collect();
        assert!(pauses.iter().all(|p| (300..=600).contains(&p.as_secs())));
        assert!(pauses.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
