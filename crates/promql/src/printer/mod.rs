//! Tree → text, as Prometheus prints it: `Display` on one line, [`pretty`] as `format_query` does.

mod pretty;

use std::fmt::{self, Display, Formatter};

use model::number::{format_f, format_g, quote};
use model::{METRIC_NAME, MatchOp, Matcher};

pub use pretty::pretty;

use crate::ast::{
    Aggregate, At, Binary, BinaryOp, Call, Cardinality, DurationArg, DurationExpr, DurationKind, Expr,
    MatrixSelector, NumberLiteral, Paren, RangeMode, StringLiteral, Subquery, Unary, VectorMatching,
    VectorSelector,
};
use crate::parser::quote_bytes;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(e) => e.fmt(f),
            Expr::String(e) => e.fmt(f),
            Expr::Vector(e) => e.fmt(f),
            Expr::Matrix(e) => e.fmt(f),
            Expr::Subquery(e) => e.fmt(f),
            Expr::Aggregate(e) => e.fmt(f),
            Expr::Binary(e) => e.fmt(f),
            Expr::Call(e) => e.fmt(f),
            Expr::Unary(e) => e.fmt(f),
            Expr::Paren(e) => e.fmt(f),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.duration {
            return f.write_str(&format_f(self.value));
        }
        let sign = if self.value < 0.0 { "-" } else { "" };
        let millis = (self.value.abs() * 1e9) as i64 / 1_000_000;
        write!(f, "{sign}{}", model::duration::format(millis))
    }
}

impl Display for StringLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.bytes {
            None => f.write_str(&quote(&self.value)),
            Some(bytes) => f.write_str(&quote_bytes(bytes)),
        }
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_series(f, self)?;
        write_at(f, self.at)?;
        write_mode(f, self.mode)?;
        write_offset(f, &self.offset)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_series(f, &self.selector)?;
        write!(f, "[{}]", self.range)?;
        write_mode(f, self.selector.mode)?;
        write_at(f, self.selector.at)?;
        write_offset(f, &self.selector.offset)
    }
}

impl Display for Subquery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        write_subquery_suffix(f, self)
    }
}

/// `[1h:5m] @ 1.000 offset 5m`
fn write_subquery_suffix(f: &mut impl fmt::Write, e: &Subquery) -> fmt::Result {
    write!(f, "[{}:", e.range)?;
    if let Some(step) = &e.step {
        write!(f, "{step}")?;
    }
    f.write_char(']')?;
    write_at(f, e.at)?;
    write_offset(f, &e.offset)
}

/// Name and matchers; the matchers are sorted by their text.
fn write_series(f: &mut Formatter<'_>, e: &VectorSelector) -> fmt::Result {
    let name = e.name.as_deref().unwrap_or("");
    let is_name = |m: &Matcher| &*m.name == METRIC_NAME && m.op == MatchOp::Equal && &*m.value == name;
    f.write_str(name)?;
    let mut matchers: Vec<String> =
        e.matchers.iter().filter(|m| name.is_empty() || !is_name(m)).map(ToString::to_string).collect();
    if matchers.is_empty() {
        return Ok(());
    }
    matchers.sort_unstable();
    write!(f, "{{{}}}", matchers.join(","))
}

fn write_at(f: &mut impl fmt::Write, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Time(millis)) => write!(f, " @ {:.3}", millis as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn write_mode(f: &mut impl fmt::Write, mode: Option<RangeMode>) -> fmt::Result {
    f.write_str(match mode {
        None => "",
        Some(RangeMode::Anchored) => " anchored",
        Some(RangeMode::Smoothed) => " smoothed",
    })
}

fn write_offset(f: &mut impl fmt::Write, offset: &DurationArg) -> fmt::Result {
    match offset {
        DurationArg::Millis(0) => Ok(()),
        DurationArg::Millis(millis) if *millis < 0 => {
            write!(f, " offset -{}", model::duration::format(millis.saturating_neg()))
        }
        offset => write!(f, " offset {offset}"),
    }
}

impl Display for DurationArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationArg::Millis(millis) => f.write_str(&model::duration::format(*millis)),
            DurationArg::Expr(e) => e.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationKind::Literal(n) => n.fmt(f)?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::MinOf(a, b) => write!(f, "min_of({a}, {b})")?,
            DurationKind::MaxOf(a, b) => write!(f, "max_of({a}, {b})")?,
            // A plus is kept in the tree only to be left out here.
            DurationKind::Unary(BinaryOp::Add, a) => a.fmt(f)?,
            DurationKind::Unary(op, a) => write!(f, "{}{a}", op.as_str())?,
            DurationKind::Binary(op, a, b) => write!(f, "{a} {} {b}", op.as_str())?,
        }
        if self.wrapped {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_aggregate_head(f, self)?;
        f.write_str("(")?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

/// `sum by (a) `; an empty `by` is left out.
fn write_aggregate_head(f: &mut impl fmt::Write, e: &Aggregate) -> fmt::Result {
    f.write_str(e.op.as_str())?;
    if !e.without && e.grouping.is_empty() {
        return Ok(());
    }
    f.write_str(if e.without { " without " } else { " by " })?;
    write_labels(f, &e.grouping)?;
    f.write_char(' ')
}

fn write_labels(f: &mut impl fmt::Write, labels: &[String]) -> fmt::Result {
    f.write_char('(')?;
    for (i, label) in labels.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        if model::is_legacy_label_name(label) {
            f.write_str(label)?;
        } else {
            f.write_str(&quote(label))?;
        }
    }
    f.write_char(')')
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.left)?;
        write_operator(f, self)?;
        write!(f, " {}", self.right)
    }
}

/// `== bool on (a) group_left (b) fill (0)`
fn write_operator(f: &mut impl fmt::Write, e: &Binary) -> fmt::Result {
    f.write_str(e.op.as_str())?;
    if e.return_bool {
        f.write_str(" bool")?;
    }
    e.matching.as_ref().map_or(Ok(()), |matching| write_matching(f, matching))
}

fn write_matching(f: &mut impl fmt::Write, m: &VectorMatching) -> fmt::Result {
    let group = match m.card {
        Cardinality::ManyToOne => Some(" group_left "),
        Cardinality::OneToMany => Some(" group_right "),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !m.labels.is_empty() || m.on || group.is_some() {
        f.write_str(if m.on { " on " } else { " ignoring " })?;
        write_labels(f, &m.labels)?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        write_labels(f, &m.include)?;
    }
    match (m.fill_left, m.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_g(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", format_g(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", format_g(right))?;
            }
            Ok(())
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name)?;
        for (i, arg) in self.args.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            arg.fmt(f)?;
        }
        f.write_str(")")
    }
}

impl Display for Unary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.op.as_str(), self.expr)
    }
}

impl Display for Paren {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.expr)
    }
}
