//! The typed plan of a query: what to read, and what to compute from it.
//!
//! Planning happens for a known time range, so that every node knows its steps, every selector its bounds, and
//! whatever does not depend on the step is computed once.

mod build;
mod calls;
mod durations;
mod invariant;
mod selectors;

use model::{FloatHistogram, Labels, Matcher};
use storage::Newest;

pub(crate) use build::Planner;
pub(crate) use invariant::{is_invariant, strip};
pub(crate) use selectors::widen;

use crate::ast::{AggregateOp, BinaryOp, RangeMode, Span, VectorMatching};
use crate::eval::{Grid, WindowFn};

/// The time range of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryRange {
    /// First step, in milliseconds.
    pub(crate) start: i64,
    /// No step is later.
    pub(crate) end: i64,
    /// In milliseconds.
    pub(crate) step: i64,
    /// A query at one time rather than over a range.
    pub(crate) instant: bool,
}

impl QueryRange {
    /// One time.
    pub(crate) fn instant(t: i64) -> Self {
        QueryRange { start: t, end: t, step: 1, instant: true }
    }
}

/// What a query computes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The outermost expression.
    pub(crate) root: Root,
    /// What is read; equal reads once.
    pub(crate) reads: Vec<Read>,
    /// Where subqueries stand, and over how many steps they go.
    pub(crate) subqueries: Vec<(Span, usize)>,
}

/// The outermost expression, by type.
#[derive(Debug)]
pub(crate) enum Root {
    /// `1 + time()`
    Scalar(Scalar),
    /// `"text"`
    String(String),
    /// `sum(up)`
    Vector(Vector),
    /// `up[5m]`
    Samples(Scan),
    /// `rate(x[1m])[5m:1m]`, and the steps at which the inside is evaluated.
    Subquery(Box<Vector>, Grid),
    /// The same over a scalar.
    ScalarSubquery(Scalar, Grid),
}

/// One read of the store.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// All must match.
    pub(crate) matchers: Vec<Matcher>,
    /// Inclusive, in milliseconds.
    pub(crate) min_time: i64,
    /// Inclusive, in milliseconds.
    pub(crate) max_time: i64,
    /// Labels that are looked at.
    pub(crate) labels: Wanted,
    /// Only that sample matters.
    pub(crate) newest: Option<Newest>,
    /// How many scans use it; what several use is decoded once and kept.
    pub(crate) uses: usize,
}

/// Labels that are looked at; the names are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All.
    All,
    /// Only these.
    Only(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

impl Wanted {
    /// Labels that are looked at here or there.
    pub(crate) fn or(self, other: Wanted) -> Wanted {
        match (self, other) {
            (Wanted::All, _) | (_, Wanted::All) => Wanted::All,
            (Wanted::Only(mut names), Wanted::Only(more)) => {
                names.extend(more);
                names.sort_unstable();
                names.dedup();
                Wanted::Only(names)
            }
            (Wanted::Without(mut names), Wanted::Without(others)) => {
                names.retain(|name| others.binary_search(name).is_ok());
                Wanted::Without(names)
            }
            (Wanted::Only(only), Wanted::Without(mut names))
            | (Wanted::Without(mut names), Wanted::Only(only)) => {
                names.retain(|name| only.binary_search(name).is_err());
                Wanted::Without(names)
            }
        }
    }
}

/// An expression of one number a step.
#[derive(Debug)]
pub(crate) enum Scalar {
    /// A number.
    Const(f64),
    /// The step's time, in seconds.
    Time,
    /// A function of a number.
    Apply(fn(f64) -> f64, Box<Scalar>),
    /// A function of two numbers.
    Zip(fn(f64, f64) -> f64, Box<Scalar>, Box<Scalar>),
    /// An operator between numbers.
    Binary(BinaryOp, Box<Scalar>, Box<Scalar>),
    /// `scalar(v)`
    OfVector(Box<Vector>),
}

/// A computation on each series for itself.
#[derive(Debug)]
pub(crate) enum Stage {
    /// A function of the value, and its name.
    Math(&'static str, fn(f64) -> f64),
    /// `-v`
    Negate,
    /// A function of native histograms, and its name; floats are left out.
    OfHistogram(&'static str, fn(&FloatHistogram) -> f64),
    /// `clamp`, `clamp_min`, `clamp_max`
    Clamp(Option<Scalar>, Option<Scalar>),
    /// `round(v, nearest)`
    Round(Scalar),
    /// An operator with a scalar on one side.
    WithScalar {
        /// Which.
        op: BinaryOp,
        /// The scalar.
        scalar: Scalar,
        /// The scalar is the left operand.
        scalar_left: bool,
        /// Comparisons give 0 or 1.
        return_bool: bool,
        /// The operation's place.
        span: Span,
    },
    /// The step's time in place of each value.
    StepTime,
    /// Nothing: what was computed has no start timestamp.
    Nothing,
}

impl Stage {
    /// Whether the result is no longer the metric that was measured.
    pub(crate) fn drops_name(&self) -> bool {
        let keeps =
            |op: &BinaryOp| op.is_comparison() || matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        !matches!(self, Stage::WithScalar { op, return_bool: false, .. } if keeps(op))
    }
}

/// How a series' samples become one value a step.
#[derive(Debug)]
pub(crate) enum Source {
    /// The newest sample within the lookback.
    Instant,
    /// That sample's time, in seconds.
    Timestamp,
    /// When its counting began, in seconds.
    StartTime,
    /// Interpolated between the samples around; where the selector stands.
    Smoothed(Span),
    /// A function of a window.
    Window(WindowCall),
}

/// A function applied to windows.
#[derive(Debug)]
pub(crate) struct WindowCall {
    /// Which.
    pub(crate) function: WindowFn,
    /// Length of the window, in milliseconds.
    pub(crate) range: i64,
    /// `anchored`, `smoothed`
    pub(crate) mode: Option<RangeMode>,
    /// Its scalar arguments.
    pub(crate) args: Vec<Scalar>,
    /// Place of the first argument, which remarks point to.
    pub(crate) span: Span,
    /// Place of the call.
    pub(crate) whole: Span,
    /// Why the function cannot have such a range.
    pub(crate) misuse: Option<String>,
}

/// Reading series and computing on each of them for itself.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Index into the plan's reads.
    pub(crate) read: usize,
    /// In milliseconds, positive into the past.
    pub(crate) offset: i64,
    /// A fixed time.
    pub(crate) at: Option<i64>,
    /// From samples to values.
    pub(crate) source: Source,
    /// What is done with the values, in order.
    pub(crate) stages: Vec<Stage>,
    /// The metric's name where the matchers fix it: such series stay distinct without their name.
    pub(crate) name: Option<String>,
    /// Of histograms only count and sum will be looked at; then resets are found while reading.
    pub(crate) counts_only: bool,
    /// An aggregation takes the series in as they come: what it holds is held once for each group of series.
    pub(crate) taken_in: bool,
    /// Where it is counted what each part of the query gives: the parts that are computed after so many stages.
    pub(crate) parts: Vec<(usize, Span)>,
}

/// A window function over the steps of a subquery.
#[derive(Debug)]
pub(crate) struct SubqueryScan {
    /// What is inside.
    pub(crate) input: Box<Vector>,
    /// The steps at which it is evaluated.
    pub(crate) grid: Grid,
    /// In milliseconds, positive into the past.
    pub(crate) offset: i64,
    /// A fixed time.
    pub(crate) at: Option<i64>,
    /// The function.
    pub(crate) call: WindowCall,
}

/// An aggregation.
#[derive(Debug)]
pub(crate) struct Aggregation {
    /// Which.
    pub(crate) op: AggregateOp,
    /// `k`, ratio or quantile.
    pub(crate) param: Option<Scalar>,
    /// Whether the parameter is a literal: then its bounds are itself.
    pub(crate) param_const: bool,
    /// Place of the parameter.
    pub(crate) param_span: Span,
    /// Label of `count_values`.
    pub(crate) label: String,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    /// `without` rather than `by`.
    pub(crate) without: bool,
    /// What is aggregated.
    pub(crate) input: Box<Vector>,
    /// Place of what is aggregated.
    pub(crate) input_span: Span,
    /// Place of the aggregation.
    pub(crate) span: Span,
}

/// An operator between vectors.
#[derive(Debug)]
pub(crate) struct VectorBinary {
    /// Which.
    pub(crate) op: BinaryOp,
    /// Left operand.
    pub(crate) left: Box<Vector>,
    /// Right operand.
    pub(crate) right: Box<Vector>,
    /// Which series belong together.
    pub(crate) matching: VectorMatching,
    /// Comparisons give 0 or 1.
    pub(crate) return_bool: bool,
    /// The operation's place.
    pub(crate) span: Span,
}

/// What `histogram_quantile` and its like compute from classic buckets.
#[derive(Debug)]
pub(crate) enum BucketCall {
    /// The quantile, and where it stands.
    Quantile(Scalar, Span),
    /// Several quantiles, told apart by a label.
    Quantiles(String, Vec<(Scalar, Span)>),
    /// The fraction between two values.
    Fraction(Scalar, Scalar),
}

/// How a vector is ordered.
#[derive(Debug)]
pub(crate) enum SortBy {
    /// By value.
    Value,
    /// By labels, in natural order.
    Labels(Vec<String>),
}

/// An expression of series with one value each a step.
#[derive(Debug)]
pub(crate) enum Vector {
    /// Reading.
    Scan(Scan),
    /// A window function over a subquery.
    Subquery(SubqueryScan),
    /// Computing on each series for itself.
    Map(Box<Vector>, Vec<Stage>),
    /// One series without labels.
    FromScalar(Scalar),
    /// Aggregating.
    Aggregate(Aggregation),
    /// An operator between vectors.
    Binary(VectorBinary),
    /// `absent(v)`, or `absent_over_time` of a window function that is present where the window has samples.
    Absent(Box<Vector>, Labels),
    /// `label_replace`
    LabelReplace {
        /// What is relabelled.
        input: Box<Vector>,
        /// Label that is set.
        target: String,
        /// To what.
        replacement: String,
        /// From which label.
        source: String,
        /// What that must match.
        regex: model::Regex,
    },
    /// `label_join`
    LabelJoin {
        /// What is relabelled.
        input: Box<Vector>,
        /// Label that is set.
        target: String,
        /// Between the values.
        separator: String,
        /// From which labels.
        sources: Vec<String>,
    },
    /// `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`
    Sort {
        /// What is sorted.
        input: Box<Vector>,
        /// By what.
        by: SortBy,
        /// Largest first.
        descending: bool,
        /// The call's place.
        span: Span,
    },
    /// Functions of histograms, classic and native.
    Buckets {
        /// The series with the label `le`.
        input: Box<Vector>,
        /// Which function.
        call: BucketCall,
        /// Place of the vector.
        span: Span,
    },
    /// `info`
    Info {
        /// What labels are added to.
        input: Box<Vector>,
        /// On which labels, and of which info metrics.
        matchers: Option<Vec<Matcher>>,
        /// Offset of the first selector inside.
        offset: i64,
        /// Fixed time of the first selector inside.
        at: Option<i64>,
        /// The call's place.
        span: Span,
    },
    /// Does not depend on the step.
    Invariant(Box<Vector>),
    /// What the part of the query that stands there gives; only where it is counted what each part gives.
    At(Span, Box<Vector>),
}
