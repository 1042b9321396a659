//! Operators on native histograms.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{Combined, CounterReset};

use super::column::Point;
use super::math;
use crate::ast::BinaryOp;

/// A float operand on the left of a histogram; `None` where that makes no sense.
pub(super) fn float_and_histogram(op: BinaryOp, left: f64, right: &FloatHistogram) -> Option<FloatHistogram> {
    if op != BinaryOp::Mul {
        return None;
    }
    let mut product = right.clone();
    product.multiply(left);
    product.compact();
    Some(product)
}

/// A float operand on the right of a histogram; `None` where that makes no sense.
pub(super) fn histogram_and_float(op: BinaryOp, left: &FloatHistogram, right: f64) -> Option<FloatHistogram> {
    let mut result = left.clone();
    match op {
        BinaryOp::Mul => result.multiply(right),
        BinaryOp::Div => result.divide(right),
        BinaryOp::TrimUpper => result.trim(right, true),
        BinaryOp::TrimLower => result.trim(right, false),
        _ => return None,
    }
    if matches!(op, BinaryOp::Mul | BinaryOp::Div) {
        result.compact();
    }
    Some(result)
}

/// A sample that an operator makes.
#[derive(Debug, Clone)]
pub(super) enum Made {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Why an operator makes nothing of two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The kinds of the operands do not go with it.
    Types(&'static str, &'static str),
    /// Exponential buckets and custom bounds.
    Buckets,
    /// One operand had a counter reset, the other had none.
    Resets(&'static str),
}

fn kind(point: Point<'_>) -> &'static str {
    match point {
        Point::Float(_) => "float",
        Point::Histogram(_) => "histogram",
    }
}

/// Value of an operator between samples of which one is a histogram, whether it is kept, and whether custom bounds
/// had to be reconciled.
pub(super) fn samples(op: BinaryOp, left: Point<'_>, right: Point<'_>) -> Result<(Made, bool, bool), Misfit> {
    let made = match (left, right) {
        (Point::Float(a), Point::Float(b)) => {
            let (value, keep) = math::samples(op, a, b);
            return Ok((Made::Float(value), keep, false));
        }
        (Point::Float(a), Point::Histogram(b)) => float_and_histogram(op, a, b),
        (Point::Histogram(a), Point::Float(b)) => histogram_and_float(op, a, b),
        (Point::Histogram(a), Point::Histogram(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => {
                let mut result = FloatHistogram::clone(a);
                let combined = if op == BinaryOp::Add { result.add(b) } else { result.subtract(b) };
                let Combined { reset_collision, reconciled } = combined.map_err(|_| Misfit::Buckets)?;
                if op == BinaryOp::Sub {
                    result.reset = CounterReset::Gauge;
                }
                if reset_collision {
                    return Err(Misfit::Resets(operation(op)));
                }
                result.compact();
                return Ok((Made::Histogram(Arc::new(result)), true, reconciled));
            }
            BinaryOp::Eql => return Ok((Made::Histogram(Arc::clone(a)), a.same(b), false)),
            BinaryOp::Neq => return Ok((Made::Histogram(Arc::clone(a)), !a.same(b), false)),
            _ => None,
        },
    };
    match made {
        Some(histogram) => Ok((Made::Histogram(Arc::new(histogram)), true, false)),
        None => Err(Misfit::Types(kind(left), kind(right))),
    }
}

/// The operator as remarks name it.
pub(super) fn operation(op: BinaryOp) -> &'static str {
    if op == BinaryOp::Add { "addition" } else { "subtraction" }
}
