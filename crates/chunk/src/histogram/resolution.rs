//! Schemas finer than any that is in use: reserved for later versions, read by merging buckets.

use model::histogram::{HistogramValue, IntegerHistogram, Span};

use super::buckets;

/// The finest schema in use.
const FINEST: i32 = 8;

/// Brings a histogram to a schema that is in use.
pub(super) fn reduce(value: &mut HistogramValue) {
    match value {
        HistogramValue::Integer(h) if h.schema > FINEST => reduce_integer(h),
        HistogramValue::Float(h) if h.schema > FINEST => h.reduce_schema(FINEST),
        _ => {}
    }
}

fn reduce_integer(h: &mut IntegerHistogram) {
    let by = h.schema - FINEST;
    (h.positive_spans, h.positive_deltas) = merged(&h.positive_spans, &h.positive_deltas, by);
    (h.negative_spans, h.negative_deltas) = merged(&h.negative_spans, &h.negative_deltas, by);
    h.schema = FINEST;
}

/// Merges 2^`by` buckets into one; a bucket's index counts from its upper bound.
fn merged(spans: &[Span], deltas: &[i64], by: i32) -> (Vec<Span>, Vec<i64>) {
    let mut out: Vec<(i32, i64)> = Vec::new();
    for (index, count) in buckets::counts(spans, deltas) {
        let index = (index.wrapping_sub(1) >> by.min(31)).wrapping_add(1);
        match out.last_mut() {
            Some(last) if last.0 == index => last.1 = last.1.wrapping_add(count),
            _ => out.push((index, count)),
        }
    }
    (buckets::spans(out.iter().map(|b| b.0)), buckets::deltas(out.iter().map(|b| b.1)))
}
