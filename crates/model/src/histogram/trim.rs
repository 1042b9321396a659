//! The trim operators: what lies above or below a value is taken out.

use super::{Bucket, FloatHistogram};

/// A value that stands for all observations of an interval.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) => {
            if upper > 0.0 {
                upper / 2.0
            } else {
                upper
            }
        }
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let geometric = (lower * upper).abs().sqrt();
            if positive { geometric } else { -geometric }
        }
    }
}

fn zero_if_infinite(v: f64) -> f64 {
    if v.is_infinite() { 0.0 } else { v }
}

/// What remains of a custom bucket without lower or upper end, and the value that stands for it.
fn open_ended(bucket: Bucket, at: f64, keep_below: bool) -> (f64, f64) {
    if bucket.lower != f64::NEG_INFINITY {
        return if keep_below {
            (0.0, zero_if_infinite(bucket.lower))
        } else if at >= bucket.lower {
            (bucket.count, at)
        } else {
            (0.0, zero_if_infinite(bucket.lower))
        };
    }
    let ends = bucket.upper != f64::INFINITY;
    if keep_below {
        if at >= bucket.upper {
            (bucket.count, 0.0)
        } else if at > 0.0 && bucket.upper > 0.0 && ends {
            (bucket.count * at / bucket.upper, at / 2.0)
        } else if bucket.upper <= 0.0 {
            (bucket.count, at)
        } else {
            (0.0, zero_if_infinite(bucket.upper))
        }
    } else if at <= bucket.lower {
        (bucket.count, 0.0)
    } else if at >= 0.0 && bucket.upper > at && ends {
        (bucket.count * (1.0 - at / bucket.upper), (at + bucket.upper) / 2.0)
    } else {
        (0.0, zero_if_infinite(bucket.upper))
    }
}

/// What remains of a bucket, and the value that stands for it.
fn remaining(bucket: Bucket, at: f64, keep_below: bool, positive: bool, linear: bool) -> (f64, f64) {
    let whole = if keep_below { bucket.upper <= at } else { bucket.lower >= at };
    if whole {
        return (bucket.count, middle(bucket.lower, bucket.upper, positive, linear));
    }
    let inside = if keep_below { bucket.lower < at } else { bucket.upper > at };
    if !inside {
        return (0.0, 0.0);
    }
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return open_ended(bucket, at, keep_below);
    }
    let below = if at <= bucket.lower {
        0.0
    } else if at >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.fraction_below(at, linear)
    };
    if keep_below {
        (below, middle(bucket.lower, at, positive, linear))
    } else {
        (bucket.count - below, middle(at, bucket.upper, positive, linear))
    }
}

impl FloatHistogram {
    /// Keeps the observations below (or else above) a value; a bucket that holds it is divided. Count and sum are
    /// then those of the remaining buckets, as far as buckets can tell.
    pub fn trim(&mut self, at: f64, keep_below: bool) {
        let linear = self.has_custom_buckets();
        let (mut count, mut sum, mut trimmed) = (0.0, 0.0, false);
        let mut populated = [false, false];
        for (side, seen) in populated.iter_mut().enumerate() {
            let positive = side == 0;
            let buckets: Vec<Bucket> =
                if positive { self.positive_buckets().collect() } else { self.negative_buckets().collect() };
            let populations = if positive { &mut self.positive } else { &mut self.negative };
            for ((_, population), bucket) in populations.iter_mut().zip(buckets) {
                if bucket.count == 0.0 {
                    continue;
                }
                *seen = true;
                let (kept, middle) = remaining(bucket, at, keep_below, positive, linear);
                count += kept;
                sum += middle * kept;
                if kept != *population {
                    *population = kept;
                    trimmed = true;
                }
            }
        }
        if self.zero_count > 0.0 {
            let (kept, middle) = self.zero_remaining(at, keep_below, populated);
            trimmed |= kept != self.zero_count;
            self.zero_count = kept;
            count += kept;
            sum += middle * kept;
        }
        if trimmed {
            self.count = count;
            self.sum = sum;
            self.compact();
        }
    }

    fn zero_remaining(&self, at: f64, keep_below: bool, [positive, negative]: [bool; 2]) -> (f64, f64) {
        let Bucket { mut lower, mut upper, count, .. } = self.zero_bucket();
        match (negative, positive) {
            (true, false) => upper = 0.0,
            (false, true) => lower = 0.0,
            _ => {}
        }
        let (all, none) = ((count, (lower + upper) / 2.0), (0.0, 0.0));
        if at <= lower {
            return if keep_below { none } else { all };
        }
        if at >= upper {
            return if keep_below { all } else { none };
        }
        if keep_below {
            (count * ((at - lower) / (upper - lower)), (lower + at) / 2.0)
        } else {
            (count * ((upper - at) / (upper - lower)), (at + upper) / 2.0)
        }
    }
}
