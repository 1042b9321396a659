//! Exponential histograms added up, as the collector's deltatocumulative processor does it: both are brought to one scale
//! and one zero bucket, and to no more than 160 buckets.
//!
//! Scales, offsets and thresholds come from outside and may be any: nothing here takes longer than there are buckets.

use std::f64::consts::{LN_2, LOG2_E};

use crate::point::{Buckets, Measured};

/// More buckets of one side are made coarser.
const MAX_BUCKETS: i64 = 160;

impl Buckets {
    fn lower(&self) -> i64 {
        self.offset.into()
    }

    fn upper(&self) -> i64 {
        self.lower() + self.counts.len() as i64
    }

    fn at(&self, index: i64) -> u64 {
        let place = usize::try_from(index - self.lower()).ok();
        place.and_then(|place| self.counts.get(place)).copied().unwrap_or(0)
    }

    /// Index of the first and behind the last bucket that is not empty.
    fn filled(&self) -> Option<(i64, i64)> {
        let first = self.counts.iter().position(|count| *count != 0)?;
        let last = self.counts.iter().rposition(|count| *count != 0)?;
        Some((self.lower() + first as i64, self.lower() + last as i64 + 1))
    }

    /// Makes one of every 2^`by` buckets. What is no longer needed at the end stays, empty.
    fn collapse(&mut self, by: i64) {
        let coarse = |index: i64| index >> by.clamp(0, 62);
        let (lower, offset) = (self.lower(), coarse(self.lower()));
        for i in 0..self.counts.len() {
            let count = std::mem::take(&mut self.counts[i]);
            let to = usize::try_from(coarse(lower + i as i64) - offset).unwrap_or(0);
            if let Some(sum) = self.counts.get_mut(to) {
                *sum = sum.wrapping_add(count);
            }
        }
        self.offset = offset as i32;
    }

    fn add(&mut self, other: &Buckets) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            self.clone_from(other);
            return;
        }
        let (lower, upper) = filled_range(self, other);
        let counts = (lower..upper).map(|index| self.at(index).wrapping_add(other.at(index))).collect();
        *self = Buckets { offset: lower as i32, counts };
    }

    /// Takes out the buckets up to an index; answers what was in them.
    fn take_until(&mut self, index: i64) -> u64 {
        let keep_from = (index.saturating_add(1)).clamp(self.lower(), self.upper());
        let gone = usize::try_from(keep_from - self.lower()).unwrap_or(0);
        let taken = self.counts.drain(..gone.min(self.counts.len())).fold(0u64, u64::wrapping_add);
        self.offset = keep_from as i32;
        taken
    }
}

/// The range of both without empty buckets at its ends; at least one bucket at the end stays if there is one.
fn filled_range(a: &Buckets, b: &Buckets) -> (i64, i64) {
    let upper = a.upper().max(b.upper());
    match (a.filled(), b.filled()) {
        (None, None) => (upper, upper),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
    }
}

/// The scale at which the sum of both has few enough buckets.
fn limited(scale: i32, a: &Buckets, b: &Buckets) -> i32 {
    let (mut lower, mut upper) = filled_range(a, b);
    let mut scale = scale;
    while upper - lower > MAX_BUCKETS {
        lower /= 2;
        upper /= 2;
        scale = scale.saturating_sub(1);
    }
    scale
}

fn rescale(point: &mut Measured, to: i32) {
    let by = i64::from(point.scale) - i64::from(to);
    if by > 0 {
        point.positive.collapse(by);
        point.negative.collapse(by);
        point.scale = to;
    }
}

/// The bucket that a value above zero is in.
fn index_of(value: f64, scale: i32) -> i64 {
    let bits = value.to_bits();
    let power_of_two = value.is_normal() && bits << 12 == 0;
    if power_of_two {
        let exponent = (bits >> 52 & 0x7ff) as i64 - 1023;
        let wide = match u32::try_from(scale) {
            Ok(up) => exponent.saturating_mul(1i64.checked_shl(up.min(62)).unwrap_or(i64::MAX)),
            Err(_) => exponent >> i64::from(scale).unsigned_abs().min(62),
        };
        return wide.saturating_sub(1);
    }
    (value.ln() * scaled(LOG2_E, scale)).floor() as i64
}

fn scaled(v: f64, scale: i32) -> f64 {
    v * f64::from(scale.clamp(-2000, 2000)).exp2()
}

fn widen_zero(point: &mut Measured, width: f64) {
    let zero = index_of(width, point.scale);
    for side in [&mut point.positive, &mut point.negative] {
        point.zero_count = point.zero_count.wrapping_add(side.take_until(zero));
    }
    let upper = zero.saturating_add(1) as f64;
    point.zero_threshold = (upper * scaled(LN_2, point.scale.saturating_neg())).exp();
}

/// Adds the observations of a point to those before it.
pub(crate) fn add(state: &mut Measured, point: &Measured) {
    let mut point = point.clone();
    let scale = state.scale.min(point.scale);
    rescale(state, scale);
    rescale(&mut point, scale);
    let scale = limited(scale, &state.positive, &point.positive).min(limited(
        scale,
        &state.negative,
        &point.negative,
    ));
    rescale(state, scale);
    rescale(&mut point, scale);
    if state.zero_threshold < point.zero_threshold {
        widen_zero(state, point.zero_threshold);
    } else if point.zero_threshold < state.zero_threshold {
        widen_zero(&mut point, state.zero_threshold);
    }
    state.positive.add(&point.positive);
    state.negative.add(&point.negative);
    state.count = state.count.wrapping_add(point.count);
    state.zero_count = state.zero_count.wrapping_add(point.zero_count);
    state.sum = state.sum.zip(point.sum).map(|(a, b)| a + b);
}
