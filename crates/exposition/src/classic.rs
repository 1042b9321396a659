//! Classic histograms to native ones with custom buckets.

use model::histogram::{CUSTOM_BUCKETS, FloatHistogram, HistogramValue, IntegerHistogram, Span};
use model::number::format_g;

use crate::page::ParseError;

/// Which series of a classic histogram a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassicPart {
    /// `…_bucket`.
    Bucket,
    /// `…_sum`.
    Sum,
    /// `…_count`.
    Count,
}

/// Which series of a classic histogram `name` could be, and the name of that histogram.
#[must_use]
pub fn classic_part(name: &str) -> Option<(ClassicPart, &str)> {
    [("_bucket", ClassicPart::Bucket), ("_sum", ClassicPart::Sum), ("_count", ClassicPart::Count)]
        .into_iter()
        .find_map(|(suffix, part)| Some((part, name.strip_suffix(suffix)?)))
}

/// Integer histograms keep runs of so many empty buckets, which cost less than another span.
const EMPTY_BUCKETS_KEPT: usize = 2;

/// The series of one classic histogram, collected in any order. After the first error nothing more is taken; the texts
/// are Prometheus'.
#[derive(Debug, Default)]
pub struct ClassicHistogram {
    /// Upper bound and cumulative count, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<ParseError>,
}

impl ClassicHistogram {
    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = None;
        self.sum = 0.0;
        self.error = None;
    }

    /// `…_sum`.
    pub fn set_sum(&mut self, sum: f64) {
        if self.error.is_none() {
            self.sum = sum;
        }
    }

    /// `…_count`.
    pub fn set_count(&mut self, count: f64) {
        if self.error.is_some() {
        } else if count < 0.0 {
            self.refuse(format!("count must be non-negative: count={}", format_g(count)));
        } else {
            self.count = Some(count);
        }
    }

    /// `…_bucket` with the upper bound. One that is there already is left as it is.
    pub fn set_bucket(&mut self, bound: f64, count: f64) {
        if self.error.is_some() {
            return;
        }
        if bound.is_nan() {
            return self.refuse("NaN is not a valid bucket boundary".to_owned());
        }
        if count < 0.0 {
            let (bound, count) = (format_g(bound), format_g(count));
            return self.refuse(format!("bucket count must be non-negative: le={bound}, count={count}"));
        }
        let at = self.buckets.partition_point(|&(other, _)| other < bound);
        if self.buckets.get(at).is_some_and(|&(other, _)| other == bound) {
            return;
        }
        let before = at.checked_sub(1).and_then(|i| self.buckets.get(i)).map(|&(_, count)| count);
        let after = self.buckets.get(at).map(|&(_, count)| count);
        let not_cumulative = |sign: char, other: f64| {
            format!("count is not cumulative: {} {sign} {}", format_g(count), format_g(other))
        };
        match (before, after) {
            (Some(before), _) if count < before => self.refuse(not_cumulative('<', before)),
            (_, Some(after)) if count > after => self.refuse(not_cumulative('>', after)),
            _ => self.buckets.insert(at, (bound, count)),
        }
    }

    fn refuse(&mut self, text: String) {
        self.error = Some(ParseError::new(text));
    }

    /// The native histogram: with integer populations if all counts are integers.
    ///
    /// # Errors
    /// What was collected contradicts itself.
    pub fn convert(&mut self) -> Result<HistogramValue, ParseError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let (bound, highest) = self.buckets.last().copied().unwrap_or_default();
        let integers = is_integer(count) && self.buckets.iter().all(|&(_, count)| is_integer(count));
        // NaN is not equal to itself, which Prometheus refuses, too.
        if count != highest {
            let (count, bound, highest) = (format_g(count), format_g(bound), format_g(highest));
            return Err(ParseError::new(format!(
                "count mismatch: count={count} != le={bound} count={highest}"
            )));
        }
        let custom_values =
            self.buckets.iter().map(|&(bound, _)| bound).filter(|b| *b != f64::INFINITY).collect();
        Ok(if integers {
            let mut histogram = IntegerHistogram {
                schema: CUSTOM_BUCKETS,
                count: count as u64,
                sum: self.sum,
                positive_spans: vec![Span { offset: 0, length: self.buckets.len() as u32 }],
                positive_deltas: self.deltas(),
                custom_values,
                ..IntegerHistogram::default()
            };
            histogram.compact(EMPTY_BUCKETS_KEPT);
            HistogramValue::Integer(Box::new(histogram))
        } else {
            let mut before = 0.0;
            let populations = self.buckets.iter().zip(0i32..).map(|(&(_, count), i)| {
                let own = count - before;
                before = count;
                (i, own)
            });
            let mut histogram = FloatHistogram {
                schema: CUSTOM_BUCKETS,
                count,
                sum: self.sum,
                positive: populations.collect(),
                custom_values,
                ..FloatHistogram::default()
            };
            histogram.compact();
            HistogramValue::Float(Box::new(histogram))
        })
    }

    fn deltas(&self) -> Vec<i64> {
        let (mut cumulative, mut own) = (0i64, 0i64);
        let deltas = self.buckets.iter().map(|&(_, count)| {
            let (count, before) = (count as i64, own);
            own = count.wrapping_sub(cumulative);
            cumulative = count;
            own.wrapping_sub(before)
        });
        deltas.collect()
    }
}

fn is_integer(count: f64) -> bool {
    count == count.round() as i64 as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(buckets: &[(f64, f64)], count: Option<f64>) -> Result<FloatHistogram, String> {
        let mut classic = ClassicHistogram::default();
        for &(bound, count) in buckets {
            classic.set_bucket(bound, count);
        }
        if let Some(count) = count {
            classic.set_count(count);
        }
        classic.set_sum(2.5);
        classic.convert().map(|value| value.to_float()).map_err(|err| err.to_string())
    }

    #[test]
    fn buckets_in_any_order_make_one_histogram() {
        let inf = f64::INFINITY;
        let expected = convert(&[(1.0, 1.0), (2.0, 3.0), (inf, 4.0)], Some(4.0)).unwrap();
        assert_eq!(expected.positive, [(0, 1.0), (1, 2.0), (2, 1.0)]);
        assert_eq!((expected.count, expected.sum, &expected.custom_values[..]), (4.0, 2.5, &[1.0, 2.0][..]));
        for shuffled in [[(inf, 4.0), (2.0, 3.0), (1.0, 1.0)], [(2.0, 3.0), (1.0, 1.0), (inf, 4.0)]] {
            assert_eq!(convert(&shuffled, None).unwrap(), expected);
        }
        assert_eq!(convert(&[(1.0, 1.0), (2.0, 3.0)], Some(4.0)).unwrap(), expected);
        let halves = convert(&[(1.0, 0.5), (inf, 4.0)], None).unwrap();
        assert_eq!(halves.positive, [(0, 0.5), (1, 3.5)]);
        let none = convert(&[], Some(4.0)).unwrap();
        assert_eq!((none.positive, none.custom_values), (vec![(0, 4.0)], vec![]));
    }

    #[test]
    fn contradictions_are_refused() {
        for (buckets, count, expected) in [
            (vec![(1.0, 9.0), (2.0, 3.0)], None, "count is not cumulative: 3 < 9"),
            (vec![(2.0, 3.0), (1.0, 9.0)], None, "count is not cumulative: 9 > 3"),
            (vec![(f64::NAN, 1.0)], None, "NaN is not a valid bucket boundary"),
            (vec![(1.0, -1.0)], None, "bucket count must be non-negative: le=1, count=-1"),
            (vec![(f64::INFINITY, 3.0)], Some(4.0), "count mismatch: count=4 != le=+Inf count=3"),
            (vec![], Some(-4.0), "count must be non-negative: count=-4"),
        ] {
            assert_eq!(convert(&buckets, count).unwrap_err(), expected);
        }
    }

    #[test]
    fn names_tell_the_part() {
        assert_eq!(classic_part("a_bucket"), Some((ClassicPart::Bucket, "a")));
        assert_eq!(classic_part("a_sum"), Some((ClassicPart::Sum, "a")));
        assert_eq!(classic_part("a_count"), Some((ClassicPart::Count, "a")));
        assert_eq!(classic_part("a"), None);
    }
}
