//! Samples in plain memory.

use model::histogram::HistogramSample;
use model::{Labels, Sample};

/// A series with its samples, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSamples {
    /// Whose.
    pub labels: Labels,
    /// Floats, staleness markers among them, in order of time.
    pub samples: Vec<Sample>,
    /// Native histograms in order of time, none of a time that a float has.
    pub histograms: Vec<HistogramSample>,
}
