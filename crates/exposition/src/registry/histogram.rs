//! Classic histograms.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::children::Child;
use super::scalar::add_bits;
use crate::family::MetricValue;

/// Counts of observations by upper bound.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: Box<[f64]>,
    /// Not cumulative; one more than bounds, the last for what is above all.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Adds one observation.
    pub fn observe(&self, v: f64) {
        // NaN is above all bounds, as in Go's client.
        let at =
            if v.is_nan() { self.0.bounds.len() } else { self.0.bounds.partition_point(|&bound| bound < v) };
        if let Some(count) = self.0.counts.get(at) {
            count.fetch_add(1, Relaxed);
        }
        add_bits(&self.0.sum, v);
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Sum of the observations.
    #[must_use]
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum.load(Relaxed))
    }
}

impl Child for Histogram {
    type Options = Box<[f64]>;

    fn new(bounds: &Box<[f64]>) -> Self {
        let bounds: Box<[f64]> = bounds.iter().copied().filter(|bound| bound.is_finite()).collect();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    fn value(&self) -> MetricValue {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.0.counts.len());
        for (i, in_bucket) in self.0.counts.iter().enumerate() {
            count += in_bucket.load(Relaxed);
            buckets.push((self.0.bounds.get(i).copied().unwrap_or(f64::INFINITY), count));
        }
        MetricValue::Histogram { buckets, sum: self.sum(), count }
    }
}
