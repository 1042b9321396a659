//! Buckets with their bounds.

use std::fmt;

use super::logarithm::log2;
use super::{FloatHistogram, bounds};
use crate::number;

/// A bucket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bucket {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Whether `lower` itself belongs to it.
    pub lower_inclusive: bool,
    /// Whether `upper` itself belongs to it.
    pub upper_inclusive: bool,
    /// Its population.
    pub count: f64,
}

impl Bucket {
    /// The share of the bucket's width below `v`, which lies inside: by distance, or by the distance of logarithms.
    pub(super) fn fraction_below(&self, v: f64, linear: bool) -> f64 {
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, at) = (log2(self.lower.abs()), log2(self.upper.abs()), log2(v.abs()));
        if v > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{},{}{}:{}",
            if self.lower_inclusive { '[' } else { '(' },
            number::format_g(self.lower),
            number::format_g(self.upper),
            if self.upper_inclusive { ']' } else { ')' },
            number::format_g(self.count)
        )
    }
}

impl FloatHistogram {
    fn bucket(&self, positive: bool, index: i32, count: f64) -> Bucket {
        let upper = bounds::upper(index, self.schema, &self.custom_values);
        let lower = bounds::upper(index.wrapping_sub(1), self.schema, &self.custom_values);
        let (lower, upper) = if positive { (lower, upper) } else { (-upper, -lower) };
        let custom = self.has_custom_buckets();
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
        }
    }

    /// The buckets above zero, or with custom bounds all, ascending.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive.iter().map(|&(index, count)| self.bucket(true, index, count))
    }

    /// The buckets below zero, from zero on.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative.iter().map(|&(index, count)| self.bucket(false, index, count))
    }

    /// The bucket around zero.
    #[must_use]
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets, ascending. One that overlaps the zero bucket begins where that ends.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let outside = |mut bucket: Bucket| {
            if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
                bucket.upper = -self.zero_threshold;
            } else if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
                bucket.lower = self.zero_threshold;
            }
            bucket
        };
        let negative = self.negative_buckets().rev().map(outside);
        negative.chain(zero).chain(self.positive_buckets().map(outside))
    }
}

/// As `count_values` shows a histogram: `{count:3, sum:5, [-2,-1):1, (1,2]:2}`.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", number::format_g(self.count), number::format_g(self.sum))?;
        let populated = |b: &Bucket| b.count != 0.0;
        for bucket in self.negative_buckets().rev().filter(populated) {
            write!(f, ", {bucket}")?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for bucket in self.positive_buckets().filter(populated) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}
