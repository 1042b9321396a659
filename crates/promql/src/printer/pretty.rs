//! The form of `format_query`: what does not fit on a line is split at its outermost operator, call or parenthesis,
//! and its parts are indented.

use std::fmt::Write;

use super::{write_aggregate_head, write_operator, write_subquery_suffix};
use crate::ast::Expr;

/// Longest text, in bytes and without indentation, that stays on one line.
const LINE: usize = 100;

/// The expression over as many lines as it needs, as Prometheus' `format_query` and `promtool promql format` write it.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_expr(&mut out, expr, 0);
    out
}

fn write_expr(out: &mut String, expr: &Expr, level: usize) -> std::fmt::Result {
    match expr {
        Expr::Unary(e) => {
            indent(out, level);
            out.push_str(e.op.as_str());
            // The operand brings an indentation of its own, which the sign has already.
            let start = out.len();
            write_expr(out, &e.expr, level)?;
            let blank = out.get(start..).map_or(0, |operand| operand.len() - operand.trim_start().len());
            out.drain(start..start + blank);
            Ok(())
        }
        // Prometheus forgets the indentation of a subquery that fits.
        Expr::Subquery(e) if fits(expr) => write!(out, "{e}"),
        Expr::Subquery(e) => {
            write_expr(out, &e.expr, level)?;
            write_subquery_suffix(out, e)
        }
        expr if fits(expr) => {
            indent(out, level);
            write!(out, "{expr}")
        }
        Expr::Aggregate(e) => {
            indent(out, level);
            write_aggregate_head(out, e)?;
            out.push_str("(\n");
            if let Some(param) = &e.param {
                write_expr(out, param, level + 1)?;
                out.push_str(",\n");
            }
            write_expr(out, &e.expr, level + 1)?;
            close(out, level);
            Ok(())
        }
        Expr::Binary(e) => {
            write_expr(out, &e.left, level + 1)?;
            out.push('\n');
            indent(out, level);
            write_operator(out, e)?;
            out.push('\n');
            write_expr(out, &e.right, level + 1)
        }
        Expr::Call(e) => {
            indent(out, level);
            out.push_str(e.function.name);
            out.push_str("(\n");
            for (i, arg) in e.args.iter().enumerate() {
                out.push_str(if i > 0 { ",\n" } else { "" });
                write_expr(out, arg, level + 1)?;
            }
            close(out, level);
            Ok(())
        }
        Expr::Paren(e) => {
            indent(out, level);
            out.push_str("(\n");
            write_expr(out, &e.expr, level + 1)?;
            close(out, level);
            Ok(())
        }
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {
            indent(out, level);
            write!(out, "{expr}")
        }
    }
}

fn close(out: &mut String, level: usize) {
    out.push('\n');
    indent(out, level);
    out.push(')');
}

fn indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str("  ");
    }
}

/// Whether the one-line form is short enough. Printing stops as soon as it is not, so that asking at every node of a
/// large tree stays cheap.
fn fits(expr: &Expr) -> bool {
    struct Room(usize);
    impl Write for Room {
        fn write_str(&mut self, s: &str) -> std::fmt::Result {
            self.0 = self.0.checked_sub(s.len()).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    write!(Room(LINE), "{expr}").is_ok()
}
