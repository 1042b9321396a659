//! Which expressions have the same value at every step.

use crate::ast::Expr;

/// Whether the expression's value does not depend on the step: all of its selectors have a fixed time, and no
/// function looks at the step's time.
pub(crate) fn is_invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::String(_) => true,
        Expr::Vector(e) => e.at.is_some(),
        Expr::Matrix(e) => e.selector.at.is_some(),
        Expr::Subquery(e) => e.at.is_some(),
        // Prometheus looks past the parameter here.
        Expr::Aggregate(e) => is_invariant(&e.expr),
        Expr::Binary(e) => is_invariant(&e.left) && is_invariant(&e.right),
        Expr::Unary(e) => is_invariant(&e.expr),
        Expr::Paren(e) => is_invariant(&e.expr),
        Expr::Call(e) => match e.function.name {
            // Known once the query's range is.
            "start" | "end" | "range" | "step" => true,
            "time" | "predict_linear" | "days_in_month" | "day_of_month" | "day_of_week" | "day_of_year"
            | "hour" | "minute" | "month" | "year" => false,
            "timestamp" => e.args.iter().all(|a| matches!(strip(a), Expr::Vector(_)) && is_invariant(a)),
            _ => e.args.iter().all(is_invariant),
        },
    }
}

/// The expression inside of parentheses.
pub(crate) fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => strip(&paren.expr),
        other => other,
    }
}
