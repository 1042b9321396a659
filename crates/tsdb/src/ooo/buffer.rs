//! The newest samples of a series that came out of order.

use model::histogram::HistogramValue;

/// What a sample holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Float(f64),
    Histogram(HistogramValue),
}

/// A sample that came out of order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Late {
    /// Milliseconds.
    pub(crate) t: i64,
    /// When the counting began, in milliseconds; 0 when that is not known.
    pub(crate) start_time: i64,
    pub(crate) value: Value,
}

impl Late {
    /// Moves it out; what stays is of no use.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Late { t: 0, start_time: 0, value: Value::Float(0.0) })
    }
}

/// Samples in order of time, one for each: the first one that came. Not encoded, since any place may be next.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    samples: Vec<Late>,
}

impl Buffer {
    pub(crate) fn samples(&self) -> &[Late] {
        &self.samples
    }

    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Whether there is a sample of that time.
    pub(crate) fn has(&self, t: i64) -> bool {
        self.samples.last().is_some_and(|last| last.t >= t)
            && self.samples.binary_search_by_key(&t, |sample| sample.t).is_ok()
    }

    /// Puts a sample in its place; `false` when there is one of that time already.
    pub(crate) fn insert(&mut self, sample: Late) -> bool {
        // Most that come late are in order among themselves.
        if self.samples.last().is_none_or(|last| last.t < sample.t) {
            self.samples.push(sample);
            return true;
        }
        match self.samples.binary_search_by_key(&sample.t, |sample| sample.t) {
            Ok(_) => false,
            Err(place) => {
                self.samples.insert(place, sample);
                true
            }
        }
    }

    /// Takes all samples out.
    pub(crate) fn clear(&mut self) {
        self.samples = Vec::new();
    }

    /// Times of the oldest and newest sample.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        Some((self.samples.first()?.t, self.samples.last()?.t))
    }

    /// Bytes held, without those of histograms.
    pub(crate) fn held(&self) -> usize {
        self.samples.capacity() * size_of::<Late>()
    }
}
