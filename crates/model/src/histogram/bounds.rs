//! Where buckets begin and end.

use super::CUSTOM_BUCKETS;
use super::bounds_table::WITHIN_TWO;

/// `v · 2^exponent`, also where the power alone would overflow.
pub(super) fn scale(v: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    v * f64::powi(2.0, half) * f64::powi(2.0, exponent - half)
}

/// The upper bound of a bucket; its lower bound is that of the index before.
pub(super) fn upper(index: i32, schema: i32, custom_values: &[f64]) -> f64 {
    if schema == CUSTOM_BUCKETS {
        return match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(at) => custom_values.get(at).copied().unwrap_or(f64::INFINITY),
        };
    }
    exponential(index, schema)
}

/// `2^(index / 2^schema)`; the bound that would be infinite is the largest number.
pub(super) fn exponential(index: i32, schema: i32) -> f64 {
    if schema < 0 {
        let exponent = i64::from(index) << -schema;
        return match i32::try_from(exponent) {
            Ok(1024) => f64::MAX,
            Ok(exponent) if exponent.abs() < 4000 => scale(1.0, exponent),
            _ if exponent > 0 => f64::INFINITY,
            _ => 0.0,
        };
    }
    let buckets = 1 << schema;
    let fraction = index & (buckets - 1);
    let exponent = index >> schema;
    if fraction == 0 && exponent == 1024 {
        return f64::MAX;
    }
    let at = usize::try_from(fraction << (8 - schema.min(8))).unwrap_or(0);
    scale(WITHIN_TWO.get(at).copied().unwrap_or(1.0), exponent.clamp(-4000, 4000))
}

/// The index of the bucket of a coarser schema that holds a bucket.
pub(super) fn coarser(index: i32, from: i32, to: i32) -> i32 {
    (index.wrapping_sub(1) >> (from - to).clamp(0, 31)).wrapping_add(1)
}
