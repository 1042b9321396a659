#![allow(clippy::unwrap_used)] // a test

use super::*;

fn histogram(schema: i32, positive: &[Population]) -> FloatHistogram {
    let count = positive.iter().map(|p| p.1).sum();
    FloatHistogram { schema, count, sum: count, positive: positive.to_vec(), ..FloatHistogram::default() }
}

#[test]
fn spans_and_populations_say_the_same() {
    let pairs = vec![(-3, 1.0), (-2, 0.0), (1, 4.0), (5, 2.0)];
    let spans = spans(&pairs);
    let want = [(-3, 2), (2, 1), (3, 1)].map(|(offset, length)| Span { offset, length });
    assert_eq!(spans, want);
    assert_eq!(populations(&spans, &[1.0, 0.0, 4.0, 2.0]), pairs);
}

#[test]
fn a_sum_has_the_coarser_schema() {
    let mut a = histogram(1, &[(1, 1.0), (2, 2.0), (3, 4.0)]);
    a.add(&histogram(0, &[(1, 10.0), (2, 20.0)])).unwrap();
    assert_eq!((a.schema, a.count), (0, 37.0));
    assert_eq!(a.positive, [(1, 13.0), (2, 24.0)]);
}

#[test]
fn a_wider_zero_bucket_swallows_buckets() {
    let mut a = histogram(0, &[(0, 1.0), (1, 2.0), (3, 4.0)]);
    let wide = FloatHistogram { zero_threshold: 1.5, zero_count: 8.0, count: 8.0, ..histogram(0, &[]) };
    a.add(&wide).unwrap();
    assert_eq!((a.zero_threshold, a.zero_count), (2.0, 11.0));
    assert_eq!(a.positive, [(3, 4.0)]);
}

#[test]
fn sums_lose_no_digits() {
    let mut sum = HistogramSum::new(&histogram(0, &[(1, 1e17)]));
    for _ in 0..10 {
        sum.add(&histogram(0, &[(1, 1.0)])).unwrap();
    }
    sum.add(&histogram(0, &[(1, -1e17)])).unwrap();
    assert_eq!(sum.value().positive, [(1, 10.0)]);
}

#[test]
fn different_custom_bounds_are_reduced_to_the_common_ones() {
    let custom = |bounds: &[f64], counts: &[Population]| FloatHistogram {
        custom_values: bounds.to_vec(),
        ..histogram(CUSTOM_BUCKETS, counts)
    };
    let mut a = custom(&[1.0, 2.0, 5.0], &[(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]);
    let combined = a.add(&custom(&[2.0, 5.0, 9.0], &[(0, 10.0), (2, 20.0)])).unwrap();
    assert!(combined.reconciled);
    assert_eq!(a.custom_values, [2.0, 5.0]);
    assert_eq!(a.positive, [(0, 13.0), (1, 3.0), (2, 24.0)]);
    assert!(a.add(&histogram(0, &[])).is_err());
}

#[test]
fn a_fallen_bucket_is_a_reset() {
    let before = histogram(1, &[(1, 1.0), (2, 2.0)]);
    assert!(!histogram(0, &[(1, 3.0), (4, 1.0)]).is_reset_from(&before));
    assert!(histogram(0, &[(1, 2.0), (4, 9.0)]).is_reset_from(&before));
    assert!(histogram(2, &[(1, 9.0)]).is_reset_from(&before));
    let told = FloatHistogram { reset: CounterReset::NotReset, ..histogram(0, &[]) };
    assert!(!told.is_reset_from(&before));
}

#[test]
fn quantiles_interpolate_between_logarithms() {
    let h = histogram(0, &[(1, 2.0), (2, 2.0)]);
    for (q, want) in [(0.0, 1.0), (0.25, 2_f64.sqrt()), (0.75, 8_f64.sqrt()), (1.0, 4.0)] {
        assert!((h.quantile(q).0 - want).abs() < 1e-12, "{q}");
    }
    assert_eq!(h.fraction(1.0, 2.0), (0.5, false));
}

#[test]
fn trimming_keeps_one_side() {
    let mut h = histogram(0, &[(1, 2.0), (2, 4.0)]);
    h.trim(2.0, true);
    assert_eq!((h.count, h.positive.as_slice()), (2.0, &[(1, 2.0)][..]));
    assert!((h.sum - 2.0 * 2_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn text_lists_the_populated_buckets() {
    let mut h = histogram(0, &[(1, 2.0), (2, 0.0)]);
    h.negative = vec![(1, 1.0)];
    h.count = 3.0;
    assert_eq!(h.to_string(), "{count:3, sum:2, [-2,-1):1, (1,2]:2}");
}
