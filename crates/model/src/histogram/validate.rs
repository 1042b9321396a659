//! What a histogram must be like to be stored. Rules and texts are Prometheus'.

use std::fmt::Display;

use super::{CUSTOM_BUCKETS, FloatHistogram, HistogramValue, IntegerHistogram, Span, spans};
use crate::number::format_g;

/// Why a histogram cannot be, for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidHistogram(String);

/// Smallest and largest schema of exponential buckets.
const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=8;

const COUNT_TOO_SMALL: &str =
    "histogram's observation count should be at least the number of observations found in the buckets";
const COUNT_DIFFERS: &str = "histogram's observation count should equal the number of observations found in the buckets (in \
                             absence of NaN)";
const NEGATIVE_COUNT: &str = "histogram's observation count is negative";
const NEGATIVE_BUCKET: &str = "histogram has a bucket whose observation count is negative";
const NEGATIVE_OFFSET: &str = "histogram has a span whose offset is negative";
const SPANS_DIFFER: &str = "histogram spans specify different number of buckets than provided";
const BOUNDS_TOO_FEW: &str = "histogram custom bounds are too few";
const BOUNDS_NOT_ASCENDING: &str = "histogram custom bounds must be in strictly increasing order";
const BOUNDS_INFINITE: &str = "histogram custom bounds must be finite";

fn refused(text: impl Into<String>) -> Result<(), InvalidHistogram> {
    Err(InvalidHistogram(text.into()))
}

fn on(side: &'static str) -> impl Fn(InvalidHistogram) -> InvalidHistogram {
    move |InvalidHistogram(text)| InvalidHistogram(format!("{side}: {text}"))
}

impl HistogramValue {
    /// Whether it can be stored.
    ///
    /// # Errors
    /// When schema, spans, bounds and populations contradict each other.
    pub fn validate(&self) -> Result<(), InvalidHistogram> {
        match self {
            HistogramValue::Integer(h) => h.validate(),
            HistogramValue::Float(h) => h.validate(),
        }
    }
}

impl IntegerHistogram {
    fn validate(&self) -> Result<(), InvalidHistogram> {
        let mut negative = 0;
        if self.schema == CUSTOM_BUCKETS {
            check_bounds(&self.custom_values, &self.positive_spans, self.positive_deltas.len())
                .map_err(on("custom buckets"))?;
            check_no_others(
                self.zero_count != 0,
                self.zero_threshold,
                !self.negative_spans.is_empty(),
                !self.negative_deltas.is_empty(),
            )?;
        } else {
            check_schema(self.schema)?;
            check_spans(&self.positive_spans, self.positive_deltas.len()).map_err(on("positive side"))?;
            check_spans(&self.negative_spans, self.negative_deltas.len()).map_err(on("negative side"))?;
            negative = observations(&self.negative_deltas).map_err(on("negative side"))?;
            check_no_bounds(&self.custom_values)?;
        }
        let positive = observations(&self.positive_deltas).map_err(on("positive side"))?;
        let found = negative.wrapping_add(positive).wrapping_add(self.zero_count);
        let told = |why| {
            format!("{found} observations found in buckets, but the Count field is {}: {why}", self.count)
        };
        if self.sum.is_nan() && found > self.count {
            return refused(told(COUNT_TOO_SMALL));
        }
        if !self.sum.is_nan() && found != self.count {
            return refused(told(COUNT_DIFFERS));
        }
        Ok(())
    }
}

impl FloatHistogram {
    fn validate(&self) -> Result<(), InvalidHistogram> {
        if self.schema == CUSTOM_BUCKETS {
            check_bounds(&self.custom_values, &spans(&self.positive), self.positive.len())
                .map_err(on("custom buckets"))?;
            let negative = !self.negative.is_empty();
            check_no_others(self.zero_count != 0.0, self.zero_threshold, negative, negative)?;
        } else {
            check_schema(self.schema)?;
            check_counts(&self.negative).map_err(on("negative side"))?;
            if self.zero_count < 0.0 {
                let count = format_g(self.zero_count);
                return refused(format!("zero bucket has observation count of {count}: {NEGATIVE_BUCKET}"));
            }
            check_no_bounds(&self.custom_values)?;
        }
        if self.count < 0.0 {
            return refused(format!("observation count is  {}: {NEGATIVE_COUNT}", format_g(self.count)));
        }
        check_counts(&self.positive).map_err(on("positive side"))
    }
}

fn check_schema(schema: i32) -> Result<(), InvalidHistogram> {
    if EXPONENTIAL.contains(&schema) {
        return Ok(());
    }
    refused(format!(
        "histogram has an invalid schema, which must be between {} and {} for exponential buckets, or {CUSTOM_BUCKETS} for \
         custom buckets, got schema {schema}",
        EXPONENTIAL.start(),
        EXPONENTIAL.end()
    ))
}

fn check_no_bounds(bounds: &[f64]) -> Result<(), InvalidHistogram> {
    if bounds.is_empty() {
        return Ok(());
    }
    refused("histogram with exponential schema must not have custom bounds")
}

fn check_no_others(
    zero_count: bool,
    zero_threshold: f64,
    spans: bool,
    buckets: bool,
) -> Result<(), InvalidHistogram> {
    if zero_count {
        return refused("custom buckets: must have zero count of 0");
    }
    if zero_threshold != 0.0 {
        return refused("custom buckets: must have zero threshold of 0");
    }
    if spans {
        return refused("custom buckets: must not have negative spans");
    }
    if buckets {
        return refused("custom buckets: must not have negative buckets");
    }
    Ok(())
}

fn check_offset(number: usize, span: &Span) -> Result<(), InvalidHistogram> {
    if span.offset >= 0 {
        return Ok(());
    }
    refused(format!("span number {number} with offset {}: {NEGATIVE_OFFSET}", span.offset))
}

fn check_number(spans: &[Span], buckets: usize) -> Result<(), InvalidHistogram> {
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed == buckets as u64 {
        return Ok(());
    }
    refused(format!("spans need {needed} buckets, have {buckets} buckets: {SPANS_DIFFER}"))
}

fn check_spans(spans: &[Span], buckets: usize) -> Result<(), InvalidHistogram> {
    (1..).zip(spans).skip(1).try_for_each(|(number, span)| check_offset(number, span))?;
    check_number(spans, buckets)
}

fn check_bounds(bounds: &[f64], spans: &[Span], buckets: usize) -> Result<(), InvalidHistogram> {
    let mut before = f64::NEG_INFINITY;
    for (i, &bound) in bounds.iter().enumerate() {
        if bound.is_nan() {
            return refused("histogram custom bounds must not be NaN");
        }
        if i > 0 && bound <= before {
            return refused(format!(
                "previous bound is {before:.6} and current is {bound:.6}: {BOUNDS_NOT_ASCENDING}"
            ));
        }
        before = bound;
    }
    if before == f64::INFINITY {
        return refused(format!("last +Inf bound must not be explicitly defined: {BOUNDS_INFINITE}"));
    }
    (1..).zip(spans).try_for_each(|(number, span)| check_offset(number, span))?;
    check_number(spans, buckets)?;
    let spanned: i64 = spans.iter().map(|span| i64::from(span.length) + i64::from(span.offset)).sum();
    if spanned > bounds.len() as i64 + 1 {
        return refused(format!(
            "only {} custom bounds defined which is insufficient to cover total span length of {spanned}: {BOUNDS_TOO_FEW}",
            bounds.len()
        ));
    }
    Ok(())
}

fn negative_bucket(number: usize, count: impl Display) -> Result<(), InvalidHistogram> {
    refused(format!("bucket number {number} has observation count of {count}: {NEGATIVE_BUCKET}"))
}

fn check_counts(populations: &[(i32, f64)]) -> Result<(), InvalidHistogram> {
    match (1..).zip(populations).find(|(_, (_, count))| *count < 0.0) {
        Some((number, (_, count))) => negative_bucket(number, format_g(*count)),
        None => Ok(()),
    }
}

/// How many observations there are in buckets.
fn observations(deltas: &[i64]) -> Result<u64, InvalidHistogram> {
    let (mut count, mut all) = (0i64, 0u64);
    for (number, delta) in (1..).zip(deltas) {
        count = count.wrapping_add(*delta);
        if count < 0 {
            negative_bucket(number, count)?;
        }
        all = all.wrapping_add(count as u64);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> IntegerHistogram {
        IntegerHistogram {
            count: 9,
            zero_count: 2,
            sum: 1.0,
            positive_spans: vec![Span { offset: -3, length: 1 }, Span { offset: 2, length: 1 }],
            positive_deltas: vec![3, 1],
            ..IntegerHistogram::default()
        }
    }

    fn custom() -> IntegerHistogram {
        IntegerHistogram {
            schema: CUSTOM_BUCKETS,
            count: 3,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_deltas: vec![1, 1],
            custom_values: vec![0.5, 1.0],
            ..IntegerHistogram::default()
        }
    }

    fn why(value: IntegerHistogram) -> String {
        HistogramValue::Integer(Box::new(value))
            .validate()
            .map_or_else(|e| e.to_string(), |()| "valid".to_owned())
    }

    #[test]
    fn what_cannot_be_is_refused_in_prometheus_words() {
        let span = |offset, length| vec![Span { offset, length }];
        for (value, want) in [
            (sound(), "valid"),
            (custom(), "valid"),
            (IntegerHistogram { count: 10, sum: f64::NAN, ..sound() }, "valid"),
            (IntegerHistogram { sum: f64::NAN, ..IntegerHistogram::default() }, "valid"),
            (
                IntegerHistogram { count: 10, ..sound() },
                "9 observations found in buckets, but the Count field is 10: histogram's observation count should equal the \
                 number of observations found in the buckets (in absence of NaN)",
            ),
            (
                IntegerHistogram { count: 8, sum: f64::NAN, ..sound() },
                "9 observations found in buckets, but the Count field is 8: histogram's observation count should be at least \
                 the number of observations found in the buckets",
            ),
            (
                IntegerHistogram { positive_deltas: vec![3, -4], ..sound() },
                "positive side: bucket number 2 has observation count of -1: histogram has a bucket whose observation count is \
                 negative",
            ),
            (
                IntegerHistogram { negative_spans: span(0, 3), ..sound() },
                "negative side: spans need 3 buckets, have 0 buckets: histogram spans specify different number of buckets \
                 than provided",
            ),
            (
                IntegerHistogram { schema: 9, ..sound() },
                "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
                 buckets, got schema 9",
            ),
            (
                IntegerHistogram { custom_values: vec![1.0], ..sound() },
                "histogram with exponential schema must not have custom bounds",
            ),
            (
                IntegerHistogram { custom_values: vec![1.0, 1.0], ..custom() },
                "custom buckets: previous bound is 1.000000 and current is 1.000000: histogram custom bounds must be in \
                 strictly increasing order",
            ),
            (
                IntegerHistogram { custom_values: vec![1.0], ..custom() },
                "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3: histogram \
                 custom bounds are too few",
            ),
            (
                IntegerHistogram { custom_values: vec![1.0, f64::INFINITY], ..custom() },
                "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
            ),
            (IntegerHistogram { zero_count: 1, ..custom() }, "custom buckets: must have zero count of 0"),
            (
                IntegerHistogram { negative_spans: span(0, 0), ..custom() },
                "custom buckets: must not have negative spans",
            ),
        ] {
            assert_eq!(why(value), want);
        }
        let floats = FloatHistogram { count: -1.0, ..FloatHistogram::default() };
        let floats = HistogramValue::Float(Box::new(floats)).validate();
        let text = "observation count is  -1: histogram's observation count is negative";
        assert_eq!(floats, Err(InvalidHistogram(text.to_owned())));
    }
}
