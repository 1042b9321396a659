//! Sums of many histograms that lose no digits.

use super::arithmetic::{beyond, combine_resets};
use super::{Combined, FloatHistogram, IncompatibleSchemas, Population, bounds, custom};

/// Adds with Kahan's compensation in Neumaier's variant; an infinite sum has none.
#[inline]
pub(super) fn add_compensated(v: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + v;
    if total.is_infinite() {
        *compensation = 0.0;
    } else if sum.abs() >= v.abs() {
        *compensation += (*sum - total) + v;
    } else {
        *compensation += (v - total) + *sum;
    }
    *sum = total;
}

/// A bucket's index, its population and what rounding took from that.
type Compensated = (i32, f64, f64);

/// A sum of histograms, each number with what rounding took from it.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    /// All but the buckets.
    head: FloatHistogram,
    zero_c: f64,
    count_c: f64,
    sum_c: f64,
    positive: Vec<Compensated>,
    negative: Vec<Compensated>,
}

fn with_compensation(populations: &[Population]) -> Vec<Compensated> {
    populations.iter().map(|&(index, count)| (index, count, 0.0)).collect()
}

/// Puts buckets together whose index `to` maps to the same one.
fn regrouped(buckets: &[Compensated], to: impl Fn(i32) -> i32) -> Vec<Compensated> {
    let mut out: Vec<Compensated> = Vec::with_capacity(buckets.len());
    for &(index, count, lost) in buckets {
        let index = to(index);
        match out.last_mut() {
            Some(last) if last.0 == index => {
                add_compensated(count, &mut last.1, &mut last.2);
                add_compensated(lost, &mut last.1, &mut last.2);
            }
            _ => out.push((index, count, lost)),
        }
    }
    out
}

fn merge(a: &[Compensated], b: &[Compensated]) -> Vec<Compensated> {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (Some(&&(i, x, lost)), Some(&&(j, y, lost_b))) if i == j => {
                let (mut count, mut lost) = (x, lost);
                add_compensated(y, &mut count, &mut lost);
                if lost_b != 0.0 {
                    add_compensated(lost_b, &mut count, &mut lost);
                }
                out.push((i, count, lost));
                a.next();
                b.next();
            }
            (Some(&&bucket), other) if other.is_none_or(|b| bucket.0 < b.0) => {
                out.push(bucket);
                a.next();
            }
            (_, Some(&&bucket)) => {
                out.push(bucket);
                b.next();
            }
            _ => return out,
        }
    }
}

impl HistogramSum {
    /// The sum of one histogram.
    #[must_use]
    pub fn new(first: &FloatHistogram) -> Self {
        HistogramSum {
            positive: with_compensation(&first.positive),
            negative: with_compensation(&first.negative),
            head: FloatHistogram {
                positive: Vec::new(),
                negative: Vec::new(),
                custom_values: first.custom_values.clone(),
                ..*first
            },
            zero_c: 0.0,
            count_c: 0.0,
            sum_c: 0.0,
        }
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// When only one of both has custom bounds; then nothing is changed.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, IncompatibleSchemas> {
        self.merge(&HistogramSum::new(other))
    }

    /// Adds another sum.
    ///
    /// # Errors
    /// When only one of both has custom bounds; then nothing is changed.
    pub fn merge(&mut self, other: &HistogramSum) -> Result<Combined, IncompatibleSchemas> {
        self.head.check_schemas(&other.head)?;
        let (reset, reset_collision) = combine_resets(self.head.reset, other.head.reset);
        self.head.reset = reset;
        let mut combined = Combined { reset_collision, reconciled: false };
        if !self.head.has_custom_buckets() {
            let (count, lost) = self.reconcile_zero(other);
            add_compensated(count, &mut self.head.zero_count, &mut self.zero_c);
            add_compensated(lost, &mut self.head.zero_count, &mut self.zero_c);
        }
        for (v, lost, sum, compensation) in [
            (other.head.count, other.count_c, &mut self.head.count, &mut self.count_c),
            (other.head.sum, other.sum_c, &mut self.head.sum, &mut self.sum_c),
        ] {
            add_compensated(v, sum, compensation);
            if lost != 0.0 {
                add_compensated(lost, sum, compensation);
            }
        }
        if self.head.has_custom_buckets() {
            if self.head.custom_values == other.head.custom_values {
                self.positive = merge(&self.positive, &other.positive);
            } else {
                combined.reconciled = true;
                let common = custom::intersection(&self.head.custom_values, &other.head.custom_values);
                let onto = |buckets: &[Compensated], from: &[f64]| {
                    regrouped(buckets, |index| custom::target(index, from, &common))
                };
                let mine = onto(&self.positive, &self.head.custom_values);
                self.positive = merge(&mine, &onto(&other.positive, &other.head.custom_values));
                self.head.custom_values = common;
            }
            return Ok(combined);
        }
        let schema = self.head.schema.min(other.head.schema);
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            if self.head.schema > schema {
                *mine = regrouped(mine, |index| bounds::coarser(index, self.head.schema, schema));
            }
            let theirs = if other.head.schema > schema {
                regrouped(theirs, |index| bounds::coarser(index, other.head.schema, schema))
            } else {
                theirs.clone()
            };
            let within =
                theirs.iter().take_while(|b| bounds::exponential(b.0, schema) <= self.head.zero_threshold);
            let within = within.count();
            *mine = merge(mine, theirs.get(within..).unwrap_or_default());
        }
        self.head.schema = schema;
        Ok(combined)
    }

    /// Makes the zero buckets equally wide; returns what the other one then holds, and what rounding took from it.
    fn reconcile_zero(&mut self, other: &HistogramSum) -> (f64, f64) {
        if self.head.zero_threshold == other.head.zero_threshold {
            return (other.head.zero_count, other.zero_c);
        }
        // Rare: thresholds hardly ever change. Here the compensations may be added in.
        let mine = self.value();
        let theirs = other.value();
        let (mut count, mut threshold) = (theirs.zero_count, theirs.zero_threshold);
        let mut wide = mine;
        while threshold != wide.zero_threshold {
            if wide.zero_threshold > threshold {
                (count, threshold) = theirs.zero_bucket_up_to(wide.zero_threshold);
            }
            if threshold > wide.zero_threshold {
                (wide.zero_count, wide.zero_threshold) = wide.zero_bucket_up_to(threshold);
                wide.drop_buckets_within_zero();
            } else if threshold != wide.zero_threshold {
                break;
            }
        }
        if wide.zero_threshold != self.head.zero_threshold {
            self.head.zero_threshold = wide.zero_threshold;
            self.head.zero_count = wide.zero_count;
            self.zero_c = 0.0;
            let keep = |buckets: &mut Vec<Compensated>, kept: &[Population]| {
                buckets.retain(|b| kept.binary_search_by_key(&b.0, |k| k.0).is_ok());
            };
            keep(&mut self.positive, &wide.positive);
            keep(&mut self.negative, &wide.negative);
        }
        (count, 0.0)
    }

    /// Multiplies everything.
    pub fn multiply(&mut self, factor: f64) {
        self.head.multiply(factor);
        for v in [&mut self.zero_c, &mut self.count_c, &mut self.sum_c] {
            *v *= factor;
        }
        for (_, count, lost) in self.positive.iter_mut().chain(&mut self.negative) {
            *count *= factor;
            *lost *= factor;
        }
    }

    /// Divides everything.
    pub fn divide(&mut self, divisor: f64) {
        self.head.divide(divisor);
        for v in [&mut self.zero_c, &mut self.count_c, &mut self.sum_c] {
            *v /= divisor;
        }
        for (_, count, lost) in self.positive.iter_mut().chain(&mut self.negative) {
            *count /= divisor;
            *lost /= divisor;
        }
    }

    /// Whether any number became infinite.
    #[must_use]
    pub fn overflows(&self) -> bool {
        self.head.overflows() || self.positive.iter().chain(&self.negative).any(|b| b.1.is_infinite())
    }

    /// The sum.
    #[must_use]
    pub fn value(&self) -> FloatHistogram {
        let buckets = |side: &[Compensated]| -> Vec<Population> {
            side.iter().map(|&(index, count, lost)| (index, count + lost)).collect()
        };
        let head = &self.head;
        let mut value = FloatHistogram {
            zero_count: head.zero_count + self.zero_c,
            count: head.count + self.count_c,
            sum: head.sum + self.sum_c,
            positive: buckets(&self.positive),
            negative: buckets(&self.negative),
            custom_values: head.custom_values.clone(),
            ..*head
        };
        if !value.has_custom_buckets() {
            for side in [&mut value.positive, &mut value.negative] {
                let kept = beyond(side, head.schema, head.zero_threshold).len();
                if kept < side.len() && side.iter().take(side.len() - kept).all(|p| p.1 == 0.0) {
                    side.drain(..side.len() - kept);
                }
            }
        }
        value
    }
}
