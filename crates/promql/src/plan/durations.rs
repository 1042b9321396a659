//! Duration expressions, once step and range of the query are known.

use super::QueryRange;
use crate::ast::{BinaryOp, DurationArg, DurationExpr, DurationKind, Expr, Span, VectorSelector};
use crate::engine::QueryError;

/// Refuses durations that cannot be, before anything else about the query is.
pub(super) fn check(expr: &Expr, range: &QueryRange) -> Result<(), QueryError> {
    let selector = |s: &VectorSelector| millis(&s.offset, range, true);
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(e) => {
            selector(e)?;
        }
        Expr::Matrix(e) => {
            millis(&e.range, range, false)?;
            selector(&e.selector)?;
        }
        Expr::Subquery(e) => {
            millis(&e.offset, range, true)?;
            if let Some(step) = &e.step {
                millis(step, range, false)?;
            }
            millis(&e.range, range, false)?;
            check(&e.expr, range)?;
        }
        Expr::Aggregate(e) => {
            check(&e.expr, range)?;
            e.param.iter().try_for_each(|param| check(param, range))?;
        }
        Expr::Binary(e) => {
            check(&e.left, range)?;
            check(&e.right, range)?;
        }
        Expr::Call(e) => e.args.iter().try_for_each(|arg| check(arg, range))?,
        Expr::Unary(e) => check(&e.expr, range)?,
        Expr::Paren(e) => check(&e.expr, range)?,
    }
    Ok(())
}

/// Milliseconds of a duration.
pub(super) fn millis(
    arg: &DurationArg,
    range: &QueryRange,
    may_be_negative: bool,
) -> Result<i64, QueryError> {
    let expr = match arg {
        DurationArg::Millis(ms) => return Ok(*ms),
        DurationArg::Expr(expr) => expr,
    };
    let place = place(expr);
    let fail = |what: &str| Err(QueryError::Invalid(format!("{}:{}: {what}", place.start, place.end)));
    let seconds = seconds(expr, range)?;
    if !seconds.is_finite() {
        return fail("duration is NaN or infinite");
    }
    if seconds <= 0.0 && !may_be_negative {
        return fail("duration must be greater than 0");
    }
    // What Prometheus' nanoseconds can hold.
    if seconds.abs() > 9_223_372_036.854_775 {
        return fail("duration is out of range");
    }
    Ok((seconds * 1000.0) as i64)
}

/// Where Prometheus says that a duration expression is: from the first to the last number in it, so that of a function
/// only what stands between its parentheses counts.
fn place(expr: &DurationExpr) -> Span {
    match &expr.kind {
        DurationKind::MinOf(a, b) | DurationKind::MaxOf(a, b) | DurationKind::Binary(_, a, b) => {
            Span { start: place(a).start, end: place(b).end }
        }
        DurationKind::Unary(_, a) => Span { start: expr.span.start, end: place(a).end },
        _ => expr.span,
    }
}

fn seconds(expr: &DurationExpr, range: &QueryRange) -> Result<f64, QueryError> {
    Ok(match &expr.kind {
        DurationKind::Literal(number) => number.value,
        DurationKind::Step if range.instant => 0.0,
        DurationKind::Step => range.step as f64 / 1000.0,
        DurationKind::Range => (range.end - range.start) as f64 / 1000.0,
        DurationKind::MinOf(a, b) => crate::eval::min_of(seconds(a, range)?, seconds(b, range)?),
        DurationKind::MaxOf(a, b) => crate::eval::max_of(seconds(a, range)?, seconds(b, range)?),
        DurationKind::Unary(BinaryOp::Sub, a) => -seconds(a, range)?,
        DurationKind::Unary(_, a) => seconds(a, range)?,
        DurationKind::Binary(op, a, b) => {
            let (a, b) = (seconds(a, range)?, seconds(b, range)?);
            let by_zero = |what: &str| {
                let place = place(expr);
                Err(QueryError::Invalid(format!("{}:{}: {what} by zero", place.start, place.end)))
            };
            match op {
                BinaryOp::Div if b == 0.0 => return by_zero("division"),
                BinaryOp::Mod if b == 0.0 => return by_zero("modulo"),
                op => crate::eval::scalar_binary(*op, a, b),
            }
        }
    })
}
