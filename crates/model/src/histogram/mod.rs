//! Native histograms: exponential buckets (schema -4 to 8) and custom bounds (schema -53).
//!
//! Populations are kept as pairs of bucket index and count, in order of the index; spans are how chunks and the wire
//! write the same thing. Formulas are Prometheus'.

mod accumulate;
mod arithmetic;
mod bounds;
mod bounds_table;
mod buckets;
mod custom;
mod integer;
mod logarithm;
mod quantile;
mod reset;
mod trim;
mod validate;

pub use accumulate::HistogramSum;
pub use arithmetic::{Combined, IncompatibleSchemas};
pub use buckets::Bucket;
pub use quantile::QuantileNote;
pub use validate::InvalidHistogram;

use std::sync::Arc;

/// The schema of histograms with custom bounds.
pub const CUSTOM_BUCKETS: i32 = -53;

/// What is known about a counter reset before a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum CounterReset {
    /// Nothing: it has to be looked for.
    #[default]
    Unknown,
    /// There was one.
    Reset,
    /// There was none.
    NotReset,
    /// The histogram is no counter.
    Gauge,
}

/// Neighbouring buckets: the distance from the end of the span before (from 0 for the first), and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// May be negative for the first span only.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// One histogram sample of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value; shared, since queries hand it on unchanged more often than not.
    pub histogram: Arc<FloatHistogram>,
}

/// A bucket's index and population.
pub type Population = (i32, f64);

/// A native histogram with float populations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FloatHistogram {
    /// -4 to 8, or [`CUSTOM_BUCKETS`].
    pub schema: i32,
    /// What is known about a counter reset.
    pub reset: CounterReset,
    /// Observations up to this distance from zero are in the zero bucket.
    pub zero_threshold: f64,
    /// Population of the zero bucket.
    pub zero_count: f64,
    /// Observations, those of NaN included.
    pub count: f64,
    /// Sum of the observations.
    pub sum: f64,
    /// Buckets above zero; with custom bounds all buckets. Ascending by index.
    pub positive: Vec<Population>,
    /// Buckets below zero, by distance from it. Ascending by index.
    pub negative: Vec<Population>,
    /// Upper bounds of custom buckets, ascending, without infinity.
    pub custom_values: Vec<f64>,
}

/// A native histogram with integer populations, as clients send them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IntegerHistogram {
    /// -4 to 8, or [`CUSTOM_BUCKETS`].
    pub schema: i32,
    /// What is known about a counter reset.
    pub reset: CounterReset,
    /// Observations up to this distance from zero are in the zero bucket.
    pub zero_threshold: f64,
    /// Population of the zero bucket.
    pub zero_count: u64,
    /// Observations, those of NaN included.
    pub count: u64,
    /// Sum of the observations.
    pub sum: f64,
    /// Which buckets above zero there are.
    pub positive_spans: Vec<Span>,
    /// Their populations: the first, then the difference of each to the one before.
    pub positive_deltas: Vec<i64>,
    /// Which buckets below zero there are.
    pub negative_spans: Vec<Span>,
    /// Their populations, as above.
    pub negative_deltas: Vec<i64>,
    /// Upper bounds of custom buckets, ascending, without infinity.
    pub custom_values: Vec<f64>,
}

/// A native histogram as it is stored: integer populations stay integers.
#[derive(Debug, Clone, PartialEq)]
pub enum HistogramValue {
    /// With integer populations.
    Integer(Box<IntegerHistogram>),
    /// With float populations.
    Float(Box<FloatHistogram>),
}

impl HistogramValue {
    /// What is known about a counter reset before it.
    #[must_use]
    pub fn reset(&self) -> CounterReset {
        match self {
            HistogramValue::Integer(h) => h.reset,
            HistogramValue::Float(h) => h.reset,
        }
    }

    /// Sum of the observations; the staleness marker marks the end of the series.
    #[must_use]
    pub fn sum(&self) -> f64 {
        match self {
            HistogramValue::Integer(h) => h.sum,
            HistogramValue::Float(h) => h.sum,
        }
    }

    /// A histogram of the same layout without observations: what a counter that just began holds.
    #[must_use]
    pub fn zero(&self) -> HistogramValue {
        match self {
            HistogramValue::Integer(h) => HistogramValue::Integer(Box::new(IntegerHistogram {
                schema: h.schema,
                reset: CounterReset::Reset,
                zero_threshold: h.zero_threshold,
                custom_values: h.custom_values.clone(),
                ..IntegerHistogram::default()
            })),
            HistogramValue::Float(h) => HistogramValue::Float(Box::new(FloatHistogram {
                schema: h.schema,
                reset: CounterReset::Reset,
                zero_threshold: h.zero_threshold,
                custom_values: h.custom_values.clone(),
                ..FloatHistogram::default()
            })),
        }
    }

    /// As queries see it.
    #[must_use]
    pub fn to_float(&self) -> FloatHistogram {
        match self {
            HistogramValue::Integer(h) => FloatHistogram::from(&**h),
            HistogramValue::Float(h) => (**h).clone(),
        }
    }
}

impl From<&IntegerHistogram> for FloatHistogram {
    fn from(h: &IntegerHistogram) -> Self {
        let counts = |deltas: &[i64]| {
            let running = deltas.iter().scan(0_i64, |count, &delta| {
                *count = count.wrapping_add(delta);
                Some(*count as f64)
            });
            running.collect::<Vec<f64>>()
        };
        FloatHistogram {
            schema: h.schema,
            reset: h.reset,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count as f64,
            count: h.count as f64,
            sum: h.sum,
            positive: populations(&h.positive_spans, &counts(&h.positive_deltas)),
            negative: populations(&h.negative_spans, &counts(&h.negative_deltas)),
            custom_values: h.custom_values.clone(),
        }
    }
}

/// Pairs of index and count from spans and counts.
#[must_use]
pub fn populations(spans: &[Span], counts: &[f64]) -> Vec<Population> {
    let mut out = Vec::with_capacity(counts.len());
    let mut counts = counts.iter();
    let mut index = 0_i32;
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(&count) = counts.next() else { return out };
            out.push((index, count));
            index = index.wrapping_add(1);
        }
    }
    out
}

/// The spans of populations.
#[must_use]
pub fn spans(populations: &[Population]) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut next = 0;
    for &(index, _) in populations {
        match out.last_mut() {
            Some(last) if index == next => last.length += 1,
            _ => out.push(Span { offset: index.wrapping_sub(next), length: 1 }),
        }
        next = index.wrapping_add(1);
    }
    out
}

impl FloatHistogram {
    /// Whether the bounds are custom ones.
    #[must_use]
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// Removes buckets without observations.
    pub fn compact(&mut self) {
        self.positive.retain(|&(_, count)| count != 0.0);
        self.negative.retain(|&(_, count)| count != 0.0);
    }

    /// Whether both hold the same observations in the same buckets, to the last bit; what is known about resets does
    /// not matter.
    #[must_use]
    pub fn same(&self, other: &FloatHistogram) -> bool {
        let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let equal = |a: &[Population], b: &[Population]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && bits(a.1, b.1))
        };
        self.schema == other.schema
            && bits(self.count, other.count)
            && bits(self.sum, other.sum)
            && (!self.has_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && bits(self.zero_count, other.zero_count)
            && equal(&self.positive, &other.positive)
            && equal(&self.negative, &other.negative)
    }

    /// Whether any number in it became infinite.
    #[must_use]
    pub fn overflows(&self) -> bool {
        let populations = self.positive.iter().chain(&self.negative).map(|p| p.1);
        [self.zero_count, self.count, self.sum]
            .into_iter()
            .chain(populations)
            .chain(self.custom_values.iter().copied())
            .any(f64::is_infinite)
    }
}

#[cfg(test)]
mod tests;
