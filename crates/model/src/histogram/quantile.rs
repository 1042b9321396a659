//! Quantiles, fractions, averages and variances.

use super::accumulate::add_compensated;
use super::{Bucket, FloatHistogram, logarithm};

/// What observations of NaN did to a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantileNote {
    /// The rank falls among them: the result is NaN.
    IsNan,
    /// They count as larger than all numbers: the result is too high.
    Skewed,
}

impl FloatHistogram {
    /// The zero bucket of a histogram with one side only does not reach over to the other.
    fn one_sided(&self, mut bucket: Bucket) -> Bucket {
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
        bucket
    }

    /// The value below which the share `q` of the observations lies, interpolated within its bucket.
    #[must_use]
    pub fn quantile(&self, q: f64) -> (f64, Option<QuantileNote>) {
        if q < 0.0 {
            return (f64::NEG_INFINITY, None);
        }
        if q > 1.0 {
            return (f64::INFINITY, None);
        }
        if self.count == 0.0 || q.is_nan() {
            return (f64::NAN, None);
        }
        // Counting from the nearer end; observations of NaN are in no bucket, so then from the lower one.
        let upwards = self.sum.is_nan() || q < 0.5;
        let rank = if upwards { q * self.count } else { (1.0 - q) * self.count };
        let (mut bucket, mut count) = if upwards {
            first_reaching(self.buckets(), rank)
        } else {
            first_reaching(self.buckets().rev(), rank)
        };
        if self.has_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return (bucket.upper, None);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return (bucket.lower, None);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            bucket = self.one_sided(bucket);
        }
        count = count.min(self.count);
        if count < rank {
            return if self.sum.is_nan() {
                (f64::NAN, Some(QuantileNote::IsNan))
            } else {
                (bucket.upper, None)
            };
        }
        let within = if upwards { rank - (count - bucket.count) } else { count - rank };
        let mut note = None;
        if self.sum.is_nan() {
            // Prometheus goes on to the last bucket to count, and then interpolates within that one.
            let mut reached = 0.0;
            let mut counted = count;
            for next in self.buckets() {
                if reached >= rank && reached > 0.0 {
                    bucket = next;
                    counted += next.count;
                }
                reached += next.count;
            }
            if counted < self.count {
                note = Some(QuantileNote::Skewed);
            }
        }
        let fraction = within / bucket.count;
        if self.has_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return (bucket.lower + (bucket.upper - bucket.lower) * fraction, note);
        }
        let (lower, upper) = (logarithm::log2(bucket.lower.abs()), logarithm::log2(bucket.upper.abs()));
        let value = if bucket.lower > 0.0 {
            logarithm::exp2(lower + (upper - lower) * fraction)
        } else {
            -logarithm::exp2(upper + (lower - upper) * (1.0 - fraction))
        };
        (value, note)
    }

    /// The share of observations between two values, and whether observations of NaN were left out of it.
    #[must_use]
    pub fn fraction(&self, lower: f64, upper: f64) -> (f64, bool) {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return (f64::NAN, false);
        }
        if lower >= upper {
            return (0.0, false);
        }
        let custom = self.has_custom_buckets();
        let (mut rank, mut lower_rank, mut upper_rank) = (0.0, None, None);
        for mut bucket in self.buckets() {
            let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if around_zero {
                bucket = self.one_sided(bucket);
            }
            for (v, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
                if found.is_some() {
                    continue;
                }
                if bucket.lower >= v {
                    *found = Some(rank);
                } else if bucket.upper > v {
                    let linear = custom || around_zero;
                    *found = Some(if linear && bucket.lower == f64::NEG_INFINITY {
                        bucket.count
                    } else {
                        rank + bucket.count * bucket.fraction_below(v, linear)
                    });
                }
            }
            if lower_rank.is_some() && upper_rank.is_some() {
                break;
            }
            rank += bucket.count;
        }
        let (mut count, mut excluded) = (self.count, false);
        if self.sum.is_nan() {
            count = self.buckets().map(|b| b.count).sum();
            excluded = count < self.count;
        }
        let capped = |rank: Option<f64>| rank.filter(|&r| r <= count || r.is_nan()).unwrap_or(count);
        ((capped(upper_rank) - capped(lower_rank)) / self.count, excluded)
    }

    /// The mean of the observations.
    #[must_use]
    pub fn average(&self) -> f64 {
        self.sum / self.count
    }

    /// The variance, with each observation at its bucket's middle: the geometric one for exponential buckets.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let mean = self.average();
        let (mut variance, mut compensation) = (0.0, 0.0);
        for bucket in self.buckets().filter(|b| b.count != 0.0) {
            let middle = if self.has_custom_buckets() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
            };
            let delta = middle - mean;
            add_compensated(bucket.count * delta * delta, &mut variance, &mut compensation);
        }
        (variance + compensation) / self.count
    }
}

/// The first populated bucket at which the count reaches `rank` (else the last one), and that count.
fn first_reaching(buckets: impl Iterator<Item = Bucket>, rank: f64) -> (Bucket, f64) {
    let (mut last, mut count) = (Bucket::default(), 0.0);
    for bucket in buckets {
        last = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    (last, count)
}
