//! Native histograms as promtool prints them: `{count:3, sum:5, [-2,-1):1, (1,2]:2}`.

use std::fmt::Write as _;

use model::histogram::{Bucket, FloatHistogram, HistogramValue, IntegerHistogram};
use model::number::push_g;

pub(super) fn push(out: &mut String, value: &HistogramValue) {
    // Writing to a String cannot fail.
    let _ = match value {
        HistogramValue::Float(h) => write!(out, "{h}"),
        HistogramValue::Integer(h) => {
            push_integer(out, h);
            Ok(())
        }
    };
}

/// As that of floats, but with populations as integers, which have no exponent.
fn push_integer(out: &mut String, h: &IntegerHistogram) {
    let as_float = FloatHistogram::from(h);
    let _ = write!(out, "{{count:{}, sum:", h.count);
    push_g(out, h.sum);
    let negative = as_float.negative_buckets().zip(running(&h.negative_deltas)).collect::<Vec<_>>();
    for (bucket, count) in negative.into_iter().rev() {
        push_bucket(out, &bucket, count);
    }
    if h.zero_count != 0 {
        push_bucket(out, &as_float.zero_bucket(), h.zero_count);
    }
    for (bucket, count) in as_float.positive_buckets().zip(running(&h.positive_deltas)) {
        push_bucket(out, &bucket, count);
    }
    out.push('}');
}

fn running(deltas: &[i64]) -> impl Iterator<Item = u64> + '_ {
    deltas.iter().scan(0_i64, |count, &delta| {
        *count = count.wrapping_add(delta);
        Some(*count as u64)
    })
}

fn push_bucket(out: &mut String, bucket: &Bucket, count: u64) {
    if count == 0 {
        return;
    }
    out.push_str(if bucket.lower_inclusive { ", [" } else { ", (" });
    push_g(out, bucket.lower);
    out.push(',');
    push_g(out, bucket.upper);
    out.push(if bucket.upper_inclusive { ']' } else { ')' });
    let _ = write!(out, ":{count}");
}

#[cfg(test)]
mod tests {
    use model::histogram::Span;

    use super::*;

    #[test]
    fn integer_populations_have_no_exponent() {
        let histogram = IntegerHistogram {
            zero_threshold: 0.001,
            zero_count: 2_000_000,
            count: 12_345_678,
            sum: 12_345_678.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_deltas: vec![10_000_000, -9_654_323],
            negative_spans: vec![Span { offset: 1, length: 3 }],
            negative_deltas: vec![1, -1, 0],
            ..IntegerHistogram::default()
        };
        let mut out = String::new();
        push(&mut out, &HistogramValue::Integer(Box::new(histogram)));
        assert_eq!(
            out,
            "{count:12345678, sum:1.2345678e+07, [-2,-1):1, [-0.001,0.001]:2000000, (0.5,1]:10000000, (1,2]:345677}"
        );
    }
}
