//! What the newest samples in order are: counted as they come, for the metrics about it.

use std::sync::atomic::{AtomicIsize, Ordering};

use model::histogram::HistogramValue;

/// The newest sample of one series.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewestSample {
    /// Whether it says that the series has ended.
    pub(crate) ended: bool,
    /// The number of its buckets, if it is a histogram.
    pub(crate) buckets: Option<usize>,
}

impl NewestSample {
    pub(crate) fn histogram(value: &HistogramValue) -> Self {
        let buckets = match value {
            HistogramValue::Integer(h) => h.positive_deltas.len() + h.negative_deltas.len(),
            HistogramValue::Float(h) => h.positive.len() + h.negative.len(),
        };
        NewestSample { ended: model::is_stale(value.sum()), buckets: Some(buckets) }
    }

    #[inline]
    pub(crate) fn float(v: f64) -> Self {
        NewestSample { ended: model::is_stale(v), buckets: None }
    }
}

/// Those of all series of a head together.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    ended: AtomicIsize,
    histograms: AtomicIsize,
    buckets: AtomicIsize,
}

impl Newest {
    /// A series has another newest sample.
    #[inline]
    pub(crate) fn change(&self, before: NewestSample, after: NewestSample) {
        if before != after {
            self.count(before, -1);
            self.count(after, 1);
        }
    }

    fn count(&self, of: NewestSample, by: isize) {
        if of.ended {
            self.ended.fetch_add(by, Ordering::Relaxed);
        }
        if let Some(buckets) = of.buckets {
            self.histograms.fetch_add(by, Ordering::Relaxed);
            self.buckets.fetch_add(by * buckets as isize, Ordering::Relaxed);
        }
    }

    /// Series that have ended.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed).max(0) as usize
    }

    /// Series whose newest sample is a histogram.
    pub(crate) fn histograms(&self) -> usize {
        self.histograms.load(Ordering::Relaxed).max(0) as usize
    }

    /// Buckets of these samples.
    pub(crate) fn buckets(&self) -> usize {
        self.buckets.load(Ordering::Relaxed).max(0) as usize
    }
}
