//! The tree as the JSON of `/api/v1/parse_query`. Keys come in alphabetical order, as Go writes them.

use std::fmt::Write;

use model::Matcher;
use model::go_json::{self, Encoder};
use model::number::{format_f, push_api_value};

use crate::ast::{
    Aggregate, At, Binary, Call, DurationArg, DurationExpr, DurationKind, Expr, MatrixSelector, RangeMode,
    Subquery, VectorSelector,
};

/// Appends the tree as JSON.
pub fn push_ast_json(out: &mut String, expr: &Expr) {
    match expr {
        Expr::Number(e) => {
            out.push_str("{\"type\":\"numberLiteral\",\"val\":\"");
            out.push_str(&format_f(e.value));
            out.push_str("\"}");
        }
        Expr::String(e) => {
            out.push_str("{\"type\":\"stringLiteral\",\"val\":");
            push_string(out, &e.value);
            out.push('}');
        }
        Expr::Vector(e) => push_vector(out, e),
        Expr::Matrix(e) => push_matrix(out, e),
        Expr::Subquery(e) => push_subquery(out, e),
        Expr::Aggregate(e) => push_aggregate(out, e),
        Expr::Binary(e) => push_binary(out, e),
        Expr::Call(e) => push_call(out, e),
        Expr::Unary(e) => {
            out.push_str("{\"expr\":");
            push_ast_json(out, &e.expr);
            out.push_str(",\"op\":");
            push_string(out, e.op.as_str());
            out.push_str(",\"type\":\"unaryExpr\"}");
        }
        Expr::Paren(e) => {
            out.push_str("{\"expr\":");
            push_ast_json(out, &e.expr);
            out.push_str(",\"type\":\"parenExpr\"}");
        }
    }
}

/// The tree as JSON.
#[must_use]
pub fn ast_json(expr: &Expr) -> String {
    let mut out = String::new();
    push_ast_json(&mut out, expr);
    out
}

fn push_vector(out: &mut String, e: &VectorSelector) {
    push_selector_head(out, e);
    push_selector_tail(out, e);
    out.push_str(",\"type\":\"vectorSelector\"}");
}

fn push_matrix(out: &mut String, e: &MatrixSelector) {
    push_selector_head(out, &e.selector);
    push_duration(out, "range", Some(&e.range));
    push_selector_tail(out, &e.selector);
    out.push_str(",\"type\":\"matrixSelector\"}");
}

fn push_selector_head(out: &mut String, e: &VectorSelector) {
    let _ = write!(out, "{{\"anchored\":{},\"matchers\":[", e.mode == Some(RangeMode::Anchored));
    for (i, matcher) in e.matchers.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_matcher(out, matcher);
    }
    out.push_str("],\"name\":");
    push_string(out, e.name.as_deref().unwrap_or(""));
    push_duration(out, "offset", Some(&e.offset));
}

fn push_selector_tail(out: &mut String, e: &VectorSelector) {
    let _ = write!(out, ",\"smoothed\":{}", e.mode == Some(RangeMode::Smoothed));
    push_start_or_end(out, e.at);
    push_timestamp(out, e.at);
}

fn push_matcher(out: &mut String, matcher: &Matcher) {
    out.push_str("{\"name\":");
    push_string(out, &matcher.name);
    let _ = write!(out, ",\"type\":\"{}\",\"value\":", matcher.op.as_str());
    push_string(out, &matcher.value);
    out.push('}');
}

fn push_subquery(out: &mut String, e: &Subquery) {
    out.push_str("{\"expr\":");
    push_ast_json(out, &e.expr);
    push_duration(out, "offset", Some(&e.offset));
    push_duration(out, "range", Some(&e.range));
    push_start_or_end(out, e.at);
    push_duration(out, "step", e.step.as_ref());
    push_timestamp(out, e.at);
    out.push_str(",\"type\":\"subquery\"}");
}

/// `,"offset":300000,"offsetExpr":null`: one of the two says it.
fn push_duration(out: &mut String, key: &str, duration: Option<&DurationArg>) {
    let millis = match duration {
        Some(DurationArg::Millis(millis)) => *millis,
        Some(DurationArg::Expr(_)) | None => 0,
    };
    let _ = write!(out, ",\"{key}\":{millis},\"{key}Expr\":");
    match duration {
        Some(DurationArg::Expr(e)) => push_duration_expr(out, e),
        Some(DurationArg::Millis(_)) | None => out.push_str("null"),
    }
}

fn push_duration_expr(out: &mut String, e: &DurationExpr) {
    let (op, left, right) = match &e.kind {
        DurationKind::Literal(n) => {
            let value = format_f(n.value);
            let _ =
                write!(out, "{{\"duration\":{},\"type\":\"numberLiteral\",\"val\":\"{value}\"}}", n.duration);
            return;
        }
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::MinOf(a, b) => ("min_of", Some(a), Some(b)),
        DurationKind::MaxOf(a, b) => ("max_of", Some(a), Some(b)),
        DurationKind::Unary(op, a) => (op.as_str(), None, Some(a)),
        DurationKind::Binary(op, a, b) => (op.as_str(), Some(a), Some(b)),
    };
    let push_side = |out: &mut String, side: Option<&DurationExpr>| match side {
        Some(side) => push_duration_expr(out, side),
        None => out.push_str("null"),
    };
    out.push_str("{\"lhs\":");
    push_side(out, left.map(|b| &**b));
    let _ = write!(out, ",\"op\":\"{op}\",\"rhs\":");
    push_side(out, right.map(|b| &**b));
    let _ = write!(out, ",\"type\":\"durationExpr\",\"wrapped\":{}}}", e.wrapped);
}

fn push_start_or_end(out: &mut String, at: Option<At>) {
    out.push_str(match at {
        Some(At::Start) => ",\"startOrEnd\":\"start\"",
        Some(At::End) => ",\"startOrEnd\":\"end\"",
        Some(At::Time(_)) | None => ",\"startOrEnd\":null",
    });
}

fn push_timestamp(out: &mut String, at: Option<At>) {
    match at {
        Some(At::Time(millis)) => {
            let _ = write!(out, ",\"timestamp\":{millis}");
        }
        Some(At::Start | At::End) | None => out.push_str(",\"timestamp\":null"),
    }
}

fn push_aggregate(out: &mut String, e: &Aggregate) {
    out.push_str("{\"expr\":");
    push_ast_json(out, &e.expr);
    out.push_str(",\"grouping\":");
    push_strings(out, e.grouping.iter().map(String::as_str));
    let _ = write!(out, ",\"op\":\"{}\",\"param\":", e.op.as_str());
    match &e.param {
        Some(param) => push_ast_json(out, param),
        None => out.push_str("null"),
    }
    let _ = write!(out, ",\"type\":\"aggregation\",\"without\":{}}}", e.without);
}

fn push_binary(out: &mut String, e: &Binary) {
    let _ = write!(out, "{{\"bool\":{},\"lhs\":", e.return_bool);
    push_ast_json(out, &e.left);
    out.push_str(",\"matching\":");
    match &e.matching {
        None => out.push_str("null"),
        Some(m) => {
            let _ = write!(out, "{{\"card\":\"{}\",\"fillValues\":{{\"lhs\":", m.card.as_str());
            push_fill(out, m.fill_left);
            out.push_str(",\"rhs\":");
            push_fill(out, m.fill_right);
            out.push_str("},\"include\":");
            push_strings(out, m.include.iter().map(String::as_str));
            out.push_str(",\"labels\":");
            push_strings(out, m.labels.iter().map(String::as_str));
            let _ = write!(out, ",\"on\":{}}}", m.on);
        }
    }
    out.push_str(",\"op\":");
    push_string(out, e.op.as_str());
    out.push_str(",\"rhs\":");
    push_ast_json(out, &e.right);
    out.push_str(",\"type\":\"binaryExpr\"}");
}

/// Not-a-number and infinities, which JSON does not have, become texts.
fn push_fill(out: &mut String, fill: Option<f64>) {
    match fill {
        None => out.push_str("null"),
        Some(v) if v.is_finite() => push_api_value(out, v),
        Some(v) => {
            let _ = write!(out, "\"{}\"", format_f(v));
        }
    }
}

fn push_call(out: &mut String, e: &Call) {
    out.push_str("{\"args\":[");
    for (i, arg) in e.args.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_ast_json(out, arg);
    }
    out.push_str("],\"func\":{\"argTypes\":");
    push_strings(out, e.function.args.iter().map(|t| t.as_str()));
    let (name, returns, variadic) = (e.function.name, e.function.returns.as_str(), e.function.variadic);
    let _ = write!(out, ",\"name\":\"{name}\",\"returnType\":\"{returns}\",\"variadic\":{variadic}}}");
    out.push_str(",\"type\":\"call\"}");
}

fn push_strings<'a>(out: &mut String, texts: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (i, text) in texts.enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_string(out, text);
    }
    out.push(']');
}

/// As the API's encoder writes it.
fn push_string(out: &mut String, text: &str) {
    go_json::push_string(out, text, Encoder::Jsoniter);
}
