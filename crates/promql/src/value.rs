//! What a query answers.

use std::sync::Arc;

use model::histogram::HistogramSample;
use model::{FloatHistogram, Labels};

/// The value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Scalar {
        /// Time of evaluation, in milliseconds.
        t: i64,
        /// The number.
        v: f64,
    },
    /// A text.
    String {
        /// Time of evaluation, in milliseconds.
        t: i64,
        /// The text.
        v: String,
    },
    /// Series with one sample each; the order means something after `sort`, `topk` and their like.
    Vector(Vec<VectorSample>),
    /// Series with many samples each, ordered by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A series' sample at the time of evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// Whose.
    pub labels: Labels,
    /// Time of evaluation, in milliseconds.
    pub t: i64,
    /// The value; 0 where it is a histogram.
    pub v: f64,
    /// The value, where it is a histogram.
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// A series' samples.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Whose.
    pub labels: Labels,
    /// Of the floats: in milliseconds, ascending. Series with a sample at every step share one list.
    pub times: Arc<[i64]>,
    /// One value for each time.
    pub values: Vec<f64>,
    /// Histograms, in order of time.
    pub histograms: Vec<HistogramSample>,
}
