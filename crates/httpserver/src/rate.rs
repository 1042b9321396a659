//! `rate_limit`: a bucket of tokens, of which each request takes one.

use std::time::Instant;

use crate::options::RateLimit;

#[derive(Debug)]
pub(crate) struct Bucket {
    limit: RateLimit,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(limit: RateLimit, now: Instant) -> Bucket {
        Bucket { limit, tokens: limit.burst as f64, filled: now }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.limit.interval <= 0 {
            return true;
        }
        let passed = now.saturating_duration_since(self.filled).as_nanos() as f64;
        self.filled = now;
        self.tokens = (self.tokens + passed / self.limit.interval as f64).min(self.limit.burst as f64);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_in_each_interval() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(RateLimit { burst: 2, interval: 1_000_000_000 }, begin);
        let mut at = |millis| bucket.take(begin + Duration::from_millis(millis));
        let taken: Vec<bool> =
            [0, 0, 0, 999, 1001, 1002, 9000, 9000, 9000].into_iter().map(&mut at).collect();
        assert_eq!(taken, [true, true, false, false, true, false, true, true, false]);
    }
}
