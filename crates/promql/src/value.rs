//! What a query answers.

use std::sync::Arc;

use model::Labels;

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
    /// The value.
    pub v: f64,
}

/// A series' samples.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Whose.
    pub labels: Labels,
    /// In milliseconds, ascending. Series with a sample at every step share one list.
    pub times: Arc<[i64]>,
    /// One value for each time.
    pub values: Vec<f64>,
}
