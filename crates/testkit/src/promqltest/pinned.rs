//! A query whose selectors have a fixed time says the same whenever it is asked.

use promql::ast::{At, Expr};

/// Functions whose value depends on when they are asked all the same.
const TELLING_TIME: [&str; 15] = [
    "time",
    "timestamp",
    "predict_linear",
    "start",
    "end",
    "range",
    "step",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
];

/// The query with `@ t` at every selector and outermost subquery that has none; `None` if that does not fix its value.
pub(super) fn pinned(query: &str, t: i64) -> Option<String> {
    let mut words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    if words.any(|word| TELLING_TIME.contains(&word)) {
        return None;
    }
    let mut expr = promql::parse(query, &promql::ParseOptions::all()).ok()?;
    pin(&mut expr, At::Time(t));
    Some(expr.to_string())
}

fn pin(expr: &mut Expr, at: At) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(e) => drop(e.at.get_or_insert(at)),
        Expr::Matrix(e) => drop(e.selector.at.get_or_insert(at)),
        // What is inside is evaluated at the subquery's steps.
        Expr::Subquery(e) => drop(e.at.get_or_insert(at)),
        Expr::Aggregate(e) => {
            pin(&mut e.expr, at);
            e.param.iter_mut().for_each(|param| pin(param, at));
        }
        Expr::Binary(e) => {
            pin(&mut e.left, at);
            pin(&mut e.right, at);
        }
        Expr::Call(e) => e.args.iter_mut().for_each(|arg| pin(arg, at)),
        Expr::Unary(e) => pin(&mut e.expr, at),
        Expr::Paren(e) => pin(&mut e.expr, at),
    }
}
