//! What all samples of a chunk have in common: schema, zero threshold, buckets, custom bounds.

use model::histogram::{CUSTOM_BUCKETS, Span};

use super::buckets;
use crate::ChunkError;
use crate::bits::{self, BitVec, Bits};

/// As it is read.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
    pub(super) custom_values: Vec<f64>,
}

impl Layout {
    /// Reads it from where a chunk's header ends; `bucket_bits` is the least that a bucket of the first sample takes.
    pub(super) fn read(bits: &mut Bits<'_>, bucket_bits: u64) -> Result<Self, ChunkError> {
        let zero_threshold = read_zero_threshold(bits);
        let schema = bits.varbit_signed();
        let positive = read_spans(bits)?;
        let negative = read_spans(bits)?;
        let schema = i32::try_from(schema)
            .ok()
            .filter(|&s| s == CUSTOM_BUCKETS || (-9..=52).contains(&s))
            .ok_or(ChunkError::UnknownSchema(schema))?;
        let custom_values = if schema == CUSTOM_BUCKETS { read_bounds(bits)? } else { Vec::new() };
        if bits.overrun() {
            return Err(ChunkError::Truncated(0));
        }
        let count = |spans| buckets::count(spans).ok_or(ChunkError::Buckets("spans out of order"));
        if (count(&positive)? + count(&negative)?).saturating_mul(bucket_bits) > bits.left() as u64 {
            return Err(ChunkError::Truncated(0));
        }
        Ok(Layout { schema, zero_threshold, positive, negative, custom_values })
    }
}

/// Writes it after a chunk's header.
pub(super) fn write(
    bits: &mut BitVec,
    schema: i32,
    zero_threshold: f64,
    [positive, negative]: [&[Span]; 2],
    custom_values: &[f64],
) {
    write_zero_threshold(bits, zero_threshold);
    bits.put(bits::varbit_signed(schema.into()));
    for spans in [positive, negative] {
        bits.put(bits::varbit_unsigned(spans.len() as u64));
        for span in spans {
            bits.put(bits::varbit_unsigned(span.length.into()));
            bits.put(bits::varbit_signed(span.offset.into()));
        }
    }
    if schema == CUSTOM_BUCKETS {
        bits.put(bits::varbit_unsigned(custom_values.len() as u64));
        for &bound in custom_values {
            write_bound(bits, bound);
        }
    }
}

fn read_spans(bits: &mut Bits<'_>) -> Result<Vec<Span>, ChunkError> {
    let mut spans = Vec::new();
    for _ in 0..bits.varbit_unsigned() {
        let length = bits.varbit_unsigned();
        let offset = bits.varbit_signed();
        if bits.overrun() {
            return Err(ChunkError::Truncated(0));
        }
        let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else {
            return Err(ChunkError::Buckets("a span that is too long"));
        };
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn read_bounds(bits: &mut Bits<'_>) -> Result<Vec<f64>, ChunkError> {
    let mut bounds = Vec::new();
    for _ in 0..bits.varbit_unsigned() {
        bounds.push(match bits.varbit_unsigned() {
            0 => f64::from_bits(bits.take(64)),
            n => (n - 1) as f64 / 1000.0,
        });
        if bits.overrun() {
            return Err(ChunkError::Truncated(0));
        }
    }
    Ok(bounds)
}

/// Thousandths up to the most that a four-byte number holds are written as one; any other bound as `0` and its bits.
fn write_bound(bits: &mut BitVec, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    if bound * 1000.0 >= 0.0 && bound * 1000.0 <= 33_554_430.0 && thousandths / 1000.0 == bound {
        bits.put(bits::varbit_unsigned(thousandths as u64 + 1));
    } else {
        bits.put((0, 1));
        bits.put_f64(bound);
    }
}

/// Exponent of two that the byte 0 would stand for if it did not mean zero.
const THRESHOLD_BASE: i64 = -244;
/// A threshold that follows as a number.
const THRESHOLD_IN_FULL: u8 = 255;

fn read_zero_threshold(bits: &mut Bits<'_>) -> f64 {
    match bits.take(8) as u8 {
        0 => 0.0,
        THRESHOLD_IN_FULL => f64::from_bits(bits.take(64)),
        n => f64::from_bits(((THRESHOLD_BASE + i64::from(n) + 1023) as u64) << 52),
    }
}

fn write_zero_threshold(bits: &mut BitVec, threshold: f64) {
    let raw = threshold.to_bits();
    // Sign and exponent of a power of two; its fraction is zero.
    let exponent = (raw >> 52) as i64 - 1023;
    let byte = exponent - THRESHOLD_BASE;
    if threshold == 0.0 {
        bits.put((0, 8));
    } else if raw << 12 == 0 && (1..THRESHOLD_IN_FULL.into()).contains(&byte) {
        bits.put((byte as u128, 8));
    } else {
        bits.put((THRESHOLD_IN_FULL.into(), 8));
        bits.put_f64(threshold);
    }
}
