//! Counters and gauges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::children::Child;
use crate::family::MetricValue;

/// Adds to a float kept as its bits.
pub(super) fn add_bits(bits: &AtomicU64, v: f64) {
    let mut old = bits.load(Relaxed);
    while let Err(now) =
        bits.compare_exchange_weak(old, (f64::from_bits(old) + v).to_bits(), Relaxed, Relaxed)
    {
        old = now;
    }
}

/// A value that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<CounterParts>);

/// Whole steps are added without a retry loop; the value is the sum of both.
#[derive(Debug, Default)]
struct CounterParts {
    whole: AtomicU64,
    rest: AtomicU64,
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.whole.fetch_add(1, Relaxed);
    }

    /// Adds `v`. A negative value or NaN is ignored: a counter never falls.
    pub fn add(&self, v: f64) {
        const EXACT: f64 = (1u64 << 53) as f64;
        if (0.0..EXACT).contains(&v) && v.fract() == 0.0 {
            self.0.whole.fetch_add(v as u64, Relaxed);
        } else if v > 0.0 {
            add_bits(&self.0.rest, v);
        }
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.0.whole.load(Relaxed) as f64 + f64::from_bits(self.0.rest.load(Relaxed))
    }
}

impl Child for Counter {
    type Options = ();

    fn new((): &()) -> Self {
        Self::default()
    }

    fn value(&self) -> MetricValue {
        MetricValue::Float(self.get())
    }
}

/// A value that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, v: f64) {
        self.0.store(v.to_bits(), Relaxed);
    }

    /// Adds `v`.
    pub fn add(&self, v: f64) {
        add_bits(&self.0, v);
    }

    /// Subtracts `v`.
    pub fn sub(&self, v: f64) {
        self.add(-v);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Subtracts one.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

impl Child for Gauge {
    type Options = ();

    fn new((): &()) -> Self {
        Self::default()
    }

    fn value(&self) -> MetricValue {
        MetricValue::Float(self.get())
    }
}
