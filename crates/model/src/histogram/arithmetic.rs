//! Adding, subtracting and scaling.

use super::{CounterReset, FloatHistogram, Population, bounds, custom};

/// One histogram has exponential buckets, the other custom bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the histograms have incompatible schemas")]
pub struct IncompatibleSchemas;

/// What there is to remark about a sum or difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Combined {
    /// One operand had a counter reset before it, the other had none.
    pub reset_collision: bool,
    /// Different custom bounds were reduced to those that both have.
    pub reconciled: bool,
}

/// What is known of the sum of histograms, and whether that is a contradiction.
pub(super) fn combine_resets(a: CounterReset, b: CounterReset) -> (CounterReset, bool) {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    match (a, b) {
        _ if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Reset, NotReset) | (NotReset, Reset) => (Unknown, true),
        _ => (Unknown, false),
    }
}

/// Populations in the buckets of a coarser schema.
pub(super) fn reduced(populations: &[Population], from: i32, to: i32) -> Vec<Population> {
    let mut out: Vec<Population> = Vec::with_capacity(populations.len());
    for &(index, count) in populations {
        let index = bounds::coarser(index, from, to);
        match out.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => out.push((index, count)),
        }
    }
    out
}

/// Merges `b`, times `sign`, into `a`.
pub(super) fn merge(a: &[Population], b: &[Population], sign: f64) -> Vec<Population> {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (Some(&&(i, x)), Some(&&(j, y))) if i == j => {
                out.push((i, x + sign * y));
                a.next();
                b.next();
            }
            (Some(&&(i, x)), other) if other.is_none_or(|&&(j, _)| i < j) => {
                out.push((i, x));
                a.next();
            }
            (_, Some(&&(j, y))) => {
                out.push((j, sign * y));
                b.next();
            }
            _ => return out,
        }
    }
}

/// The populations whose buckets reach beyond the zero bucket: those below are in it already.
pub(super) fn beyond(populations: &[Population], schema: i32, threshold: f64) -> &[Population] {
    let within = populations.iter().take_while(|p| bounds::exponential(p.0, schema) <= threshold).count();
    populations.get(within..).unwrap_or_default()
}

impl FloatHistogram {
    /// # Errors
    /// When only one of both has custom bounds.
    pub fn check_schemas(&self, other: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        if self.has_custom_buckets() == other.has_custom_buckets() {
            Ok(())
        } else {
            Err(IncompatibleSchemas)
        }
    }

    /// Adds another histogram; the result has the coarser schema and the larger zero bucket of both.
    ///
    /// # Errors
    /// When only one of both has custom bounds; then nothing is changed.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, 1.0)
    }

    /// Subtracts another histogram, as [`add`](Self::add) adds one.
    ///
    /// # Errors
    /// When only one of both has custom bounds; then nothing is changed.
    pub fn subtract(&mut self, other: &FloatHistogram) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &FloatHistogram, sign: f64) -> Result<Combined, IncompatibleSchemas> {
        self.check_schemas(other)?;
        let (reset, reset_collision) = combine_resets(self.reset, other.reset);
        self.reset = reset;
        let mut combined = Combined { reset_collision, reconciled: false };
        if !self.has_custom_buckets() {
            self.zero_count += sign * self.reconcile_zero(other);
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if self.has_custom_buckets() {
            if self.custom_values == other.custom_values {
                self.positive = merge(&self.positive, &other.positive, sign);
            } else {
                combined.reconciled = true;
                let common = custom::intersection(&self.custom_values, &other.custom_values);
                let mine = custom::mapped(&self.positive, &self.custom_values, &common);
                let theirs = custom::mapped(&other.positive, &other.custom_values, &common);
                self.positive = merge(&mine, &theirs, sign);
                self.custom_values = common;
            }
            return Ok(combined);
        }
        self.reduce_schema(other.schema);
        let threshold = self.zero_threshold;
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            let theirs = reduced(theirs, other.schema, self.schema);
            *mine = merge(mine, beyond(&theirs, self.schema, threshold), sign);
        }
        Ok(combined)
    }

    /// Puts the populations into the buckets of a schema, if that is coarser.
    pub fn reduce_schema(&mut self, schema: i32) {
        if schema < self.schema && !self.has_custom_buckets() {
            self.positive = reduced(&self.positive, self.schema, schema);
            self.negative = reduced(&self.negative, self.schema, schema);
            self.schema = schema;
        }
    }

    /// Multiplies all populations and the sum.
    pub fn multiply(&mut self, factor: f64) {
        self.each_number(|v| v * factor);
        if factor < 0.0 {
            self.reset = CounterReset::Gauge;
        }
    }

    /// Divides all populations and the sum; division by zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        self.each_number(|v| v / divisor);
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        } else if divisor < 0.0 {
            self.reset = CounterReset::Gauge;
        }
    }

    fn each_number(&mut self, f: impl Fn(f64) -> f64) {
        self.zero_count = f(self.zero_count);
        self.count = f(self.count);
        self.sum = f(self.sum);
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            *count = f(*count);
        }
    }

    /// Makes the zero bucket as wide as that of `other`, if it is narrower; returns the population of `other`'s zero
    /// bucket if that were as wide.
    fn reconcile_zero(&mut self, other: &FloatHistogram) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (count, threshold) = other.zero_bucket_up_to(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.zero_bucket_up_to(threshold);
                self.drop_buckets_within_zero();
            } else if threshold != self.zero_threshold {
                // Only NaN as a threshold leads here.
                break;
            }
        }
        count
    }

    /// Removes the buckets that the zero bucket covers.
    pub(super) fn drop_buckets_within_zero(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|&(index, n)| {
                n != 0.0 && bounds::exponential(index.wrapping_sub(1), schema) >= threshold
            });
        }
    }

    /// Population and threshold of a wider zero bucket: at least up to `threshold`, and beyond that to the end of a
    /// populated bucket.
    pub(super) fn zero_bucket_up_to(&self, threshold: f64) -> (f64, f64) {
        let mut threshold = threshold;
        if threshold <= self.zero_threshold {
            return (self.zero_count, self.zero_threshold.max(threshold));
        }
        loop {
            let (mut count, mut compensation) = (self.zero_count, 0.0);
            let mut wider = threshold;
            for side in [&self.positive, &self.negative] {
                for &(index, n) in side {
                    if bounds::exponential(index.wrapping_sub(1), self.schema) >= threshold {
                        break;
                    }
                    super::accumulate::add_compensated(n, &mut count, &mut compensation);
                    let upper = bounds::exponential(index, self.schema);
                    if upper > threshold {
                        if n != 0.0 {
                            wider = wider.max(upper);
                        }
                        break;
                    }
                }
            }
            if wider == threshold {
                return (count + compensation, threshold);
            }
            threshold = wider;
        }
    }
}
