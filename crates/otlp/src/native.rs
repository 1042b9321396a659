//! Histograms of OpenTelemetry to native ones.

use model::STALE_NAN;
use model::histogram::{CUSTOM_BUCKETS, CounterReset, HistogramValue, IntegerHistogram, Span};

use crate::point::Measured;

/// Schemas of exponential buckets.
const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;

/// Of what observations count as zero OpenTelemetry's senders mostly say nothing, and Prometheus does not ask.
const ZERO_THRESHOLD: f64 = 1e-128;

/// A point of an exponential histogram.
///
/// # Errors
/// When its buckets are coarser than any schema.
pub(crate) fn exponential(point: &Measured, delta: bool) -> Result<IntegerHistogram, String> {
    if point.scale < MIN_SCHEMA {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {MIN_SCHEMA}, was {}",
            point.scale
        ));
    }
    let down = point.scale.saturating_sub(MAX_SCHEMA).max(0) as u32;
    let index = |offset: i32| shifted(offset, down).wrapping_add(1);
    let side = |offset, counts: &[u64]| layout(counts, offset, down, index(offset));
    let (positive_spans, positive_deltas) = side(point.positive.offset, &point.positive.counts);
    let (negative_spans, negative_deltas) = side(point.negative.offset, &point.negative.counts);
    Ok(totals(
        point,
        IntegerHistogram {
            schema: point.scale.min(MAX_SCHEMA),
            reset: reset(delta),
            zero_threshold: ZERO_THRESHOLD,
            zero_count: point.zero_count,
            positive_spans,
            positive_deltas,
            negative_spans,
            negative_deltas,
            ..IntegerHistogram::default()
        },
    ))
}

/// A point of a histogram with bounds.
pub(crate) fn custom(point: &Measured, delta: bool) -> IntegerHistogram {
    let empty = point.counts.iter().take_while(|count| **count == 0).count();
    let (counts, offset) = (point.counts.get(empty..).unwrap_or_default(), empty as i32);
    let (positive_spans, positive_deltas) = layout(counts, offset, 0, offset);
    totals(
        point,
        IntegerHistogram {
            schema: CUSTOM_BUCKETS,
            reset: reset(delta),
            positive_spans,
            positive_deltas,
            custom_values: point.bounds.clone(),
            ..IntegerHistogram::default()
        },
    )
}

pub(crate) fn into_value(histogram: IntegerHistogram) -> HistogramValue {
    HistogramValue::Integer(Box::new(histogram))
}

/// What is counted anew from point to point is no counter.
fn reset(delta: bool) -> CounterReset {
    if delta { CounterReset::Gauge } else { CounterReset::Unknown }
}

fn totals(point: &Measured, histogram: IntegerHistogram) -> IntegerHistogram {
    let (sum, count) = match point.is_end() {
        true => (STALE_NAN, STALE_NAN.to_bits()),
        false => (point.sum.unwrap_or(0.0), point.count),
    };
    IntegerHistogram { sum, count, ..histogram }
}

fn shifted(index: i32, down: u32) -> i32 {
    index >> down.min(31)
}

/// Neighbouring buckets from index `offset` on as spans and differences, 2^`down` buckets made one. The first span begins
/// at `first`. Gaps of up to two buckets are filled up.
fn layout(counts: &[u64], offset: i32, down: u32, first: i32) -> (Vec<Span>, Vec<i64>) {
    if counts.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut out = Layout {
        spans: vec![Span { offset: first, length: 0 }],
        deltas: Vec::with_capacity(counts.len() >> down.min(31)),
        before: 0,
    };
    let index = |i: usize| shifted((i as i32).wrapping_add(offset), down).wrapping_add(1);
    let (mut current, mut sum) = (index(0), 0i64);
    for (i, &count) in counts.iter().enumerate() {
        let next = index(i);
        if next == current {
            sum = sum.wrapping_add(count as i64);
            continue;
        }
        if sum == 0 {
            sum = count as i64;
            continue;
        }
        out.push(next.wrapping_sub(current).wrapping_sub(1), sum);
        (sum, current) = (count as i64, next);
    }
    out.push(index(counts.len() - 1).wrapping_sub(current), sum);
    (out.spans, out.deltas)
}

struct Layout {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    before: i64,
}

impl Layout {
    fn push(&mut self, gap: i32, count: i64) {
        if gap > 2 {
            self.spans.push(Span { offset: gap, length: 0 });
        } else {
            (0..gap).for_each(|_| self.one(0));
        }
        self.one(count);
    }

    fn one(&mut self, count: i64) {
        if let Some(span) = self.spans.last_mut() {
            span.length += 1;
        }
        self.deltas.push(count.wrapping_sub(self.before));
        self.before = count;
    }
}
