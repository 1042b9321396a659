//! What follows an expression: `offset`, `@`, `anchored`, `[5m]`, `[1h:5m]`, and the durations in them.

use super::expression::{SIGN_BINDING, Tree, binding_power, is_at_function, right_binding_power};
use super::{Parsed, Parser, Place};
use crate::ast::{
    At, BinaryOp, DurationArg, DurationExpr, DurationKind, Expr, MatrixSelector, NumberLiteral, RangeMode,
    Span, Subquery,
};
use crate::lexer::{Kind, Preprocessor, Token};

const OFFSET: Place = Place::new("offset", "number, duration, step(), or range()");
const AT: Place = Place::new("@", "timestamp");
const RANGE: Place = Place::new("subquery or range selector", "number, duration, step(), or range()");
const RANGE_END: Place = Place::new("subquery or range", "\":\" or \"]\"");
const STEP: Place = Place::new("subquery selector", "number, duration, step(), range(), or \"]\"");
const STEP_END: Place = Place::new("subquery selector", "\"]\"");

/// The largest number of seconds that Go's 64-bit nanoseconds hold.
const MAX_SECONDS: f64 = 9_223_372_036.854_776;

/// What `offset` and `@` change, wherever the node keeps it.
struct Modifiers<'e> {
    offset: &'e mut DurationArg,
    at: &'e mut Option<At>,
    span: &'e mut Span,
}

fn modifiers(expr: &mut Expr) -> Option<Modifiers<'_>> {
    match expr {
        Expr::Vector(e) => Some(Modifiers { offset: &mut e.offset, at: &mut e.at, span: &mut e.span }),
        Expr::Matrix(e) => {
            Some(Modifiers { offset: &mut e.selector.offset, at: &mut e.selector.at, span: &mut e.span })
        }
        Expr::Subquery(e) => Some(Modifiers { offset: &mut e.offset, at: &mut e.at, span: &mut e.span }),
        _ => None,
    }
}

const AFTER_SELECTOR: &str =
    "must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// Behind `offset`.
    pub(super) fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        let offset = self.offset_duration()?;
        let whole = expr.span();
        let Some(modifiers) = modifiers(expr) else {
            return Err(self.error(whole, format!("offset modifier {AFTER_SELECTOR}")));
        };
        if *modifiers.offset != DurationArg::Millis(0) {
            return Err(self.error(whole, "offset may not be set multiple times"));
        }
        *modifiers.offset = argument(offset);
        modifiers.span.end = self.last_closing;
        Ok(())
    }

    /// Behind `@`.
    pub(super) fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        let whole = expr.span();
        let token = self.peek()?;
        let at = if is_at_function(token.kind) {
            self.next()?;
            self.empty_parentheses(AT)?;
            if token.kind == Kind::Preprocessor(Preprocessor::Start) { At::Start } else { At::End }
        } else {
            let seconds = self.signed_number(AT)?;
            // Exclusive bounds: i64::MAX as a float is one too large.
            if !(seconds > i64::MIN as f64 && seconds < i64::MAX as f64) {
                let shown = go_fixed(seconds);
                return Err(self.error(whole, format!("timestamp out of bounds for @ modifier: {shown}")));
            }
            At::Time((seconds * 1000.0).round() as i64)
        };
        let Some(modifiers) = modifiers(expr) else {
            return Err(self.error(whole, format!("@ modifier {AFTER_SELECTOR}")));
        };
        if modifiers.at.is_some() {
            return Err(self.error(whole, "@ <timestamp> may not be set multiple times"));
        }
        *modifiers.at = Some(at);
        modifiers.span.end = self.last_closing;
        Ok(())
    }

    /// Behind `anchored` or `smoothed`. The node's span stays as it is, as in Prometheus.
    pub(super) fn range_mode(&mut self, expr: &mut Expr, anchored: bool) -> Parsed<()> {
        let (mode, name) =
            if anchored { (RangeMode::Anchored, "anchored") } else { (RangeMode::Smoothed, "smoothed") };
        let span = expr.span();
        if !self.options.extended_range_selectors {
            return Err(self
                .error(span, format!("{name} modifier is experimental and not enabled"))
                .with_help("start with --enable-feature=promql-extended-range-selectors"));
        }
        let slot = match expr {
            Expr::Vector(e) => &mut e.mode,
            Expr::Matrix(e) => &mut e.selector.mode,
            Expr::Subquery(_) => {
                return Err(self.error(span, format!("{name} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(span, format!("{name} modifier not implemented"))),
        };
        if slot.is_some_and(|other| other != mode) {
            return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
        }
        *slot = Some(mode);
        Ok(())
    }

    /// Behind `[`.
    pub(super) fn brackets(&mut self, tree: Tree, open: Span) -> Parsed<Tree> {
        let range = self.positive_duration(RANGE)?;
        if self.peek_kind()? == Kind::Colon {
            self.next()?;
            return self.subquery(tree, argument(range));
        }
        let close = self.expect(Kind::RightBracket, RANGE_END)?;
        let brackets = Span { start: open.start, end: close.span.end };
        let refused = match &tree.expr {
            Expr::Vector(e) if matches!(e.offset, DurationArg::Millis(ms) if ms != 0) => {
                "no offset modifiers allowed before range"
            }
            Expr::Vector(e) if e.at.is_some() => "no @ modifiers allowed before range",
            Expr::Vector(_) => "",
            _ => "ranges only allowed for vector selectors",
        };
        match tree.expr {
            Expr::Vector(selector) if refused.is_empty() => {
                let span = Span { start: selector.span.start, end: self.last_closing };
                let matrix = MatrixSelector { selector, range: argument(range), span };
                Ok(Tree { expr: Expr::Matrix(matrix), height: tree.height })
            }
            _ => Err(self.error(brackets, refused).with_help(match refused {
                "ranges only allowed for vector selectors" => {
                    "a window over an expression is a subquery: expr[5m:]"
                }
                _ => "write the modifier behind the range: metric[5m] offset 1h",
            })),
        }
    }

    /// Behind the colon.
    fn subquery(&mut self, tree: Tree, range: DurationArg) -> Parsed<Tree> {
        let step = match self.peek_kind()? {
            Kind::RightBracket => None,
            _ => Some(argument(self.positive_duration(STEP)?)),
        };
        let close = self.expect(Kind::RightBracket, STEP_END)?;
        let span = Span { start: tree.expr.span().start, end: close.span.end };
        let expr = Box::new(tree.expr);
        let subquery = Subquery { expr, range, step, offset: DurationArg::Millis(0), at: None, span };
        Ok(Tree { expr: Expr::Subquery(subquery), height: tree.height + 1 })
    }

    fn positive_duration(&mut self, place: Place) -> Parsed<DurationExpr> {
        let duration = self.duration(0, place)?;
        // A NaN passes, as in Prometheus.
        if literal_value(&duration).is_some_and(|value| value <= 0.0) {
            return Err(self.error(duration.span, "duration must be greater than 0"));
        }
        Ok(duration)
    }

    /// The duration of an offset. A plain one ends at once, `a offset 5m ^ 2` is `(a offset 5m) ^ 2`; one that starts
    /// with a parenthesis or two signs goes on as long as it can.
    fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => self.signed_offset(op, token.span),
            Kind::LeftParen => {
                let left = self.duration_operand(OFFSET)?;
                self.duration_operators(left, 0, OFFSET)
            }
            _ => self.duration_operand(OFFSET),
        }
    }

    fn signed_offset(&mut self, op: BinaryOp, sign: Span) -> Parsed<DurationExpr> {
        self.next()?;
        match self.peek_kind()? {
            Kind::LeftParen => {
                self.next()?;
                let mut inner = self.duration(0, OFFSET)?;
                self.expect(Kind::RightParen, OFFSET)?;
                wrap(&mut inner);
                self.apply_sign(op, sign, inner)
            }
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let inner = self.duration(SIGN_BINDING, OFFSET)?;
                let left = self.apply_sign(op, sign, inner)?;
                self.duration_operators(left, 0, OFFSET)
            }
            Kind::Preprocessor(_) => {
                let inner = self.duration_operand(OFFSET)?;
                let span = Span { start: sign.start, end: inner.span.end };
                Ok(DurationExpr { kind: DurationKind::Unary(op, Box::new(inner)), wrapped: false, span })
            }
            Kind::Number | Kind::Duration => {
                let token = self.next()?;
                let literal = literal_expr(self.number_literal(token)?);
                self.apply_sign(op, sign, literal)
            }
            _ => Err(self.unexpected_in(OFFSET)),
        }
    }

    fn duration(&mut self, weakest: u8, place: Place) -> Parsed<DurationExpr> {
        self.descend(|p| {
            let left = p.duration_operand(place)?;
            p.duration_operators(left, weakest, place)
        })
    }

    /// The operators behind `left` that bind at least as strongly as `weakest`.
    fn duration_operators(
        &mut self,
        mut left: DurationExpr,
        weakest: u8,
        place: Place,
    ) -> Parsed<DurationExpr> {
        let mut height = 0;
        loop {
            let token = self.peek()?;
            let Kind::Op(op) = token.kind else { return Ok(left) };
            if !is_arithmetic(op) || binding_power(op) < weakest {
                return Ok(left);
            }
            self.next()?;
            let right = self.duration(right_binding_power(op), place)?;
            self.check_duration_expressions(left.span)?;
            if literal_value(&right) == Some(0.0) {
                match op {
                    BinaryOp::Div => return Err(self.error(token.span, "division by zero")),
                    BinaryOp::Mod => return Err(self.error(token.span, "modulo by zero")),
                    _ => {}
                }
            }
            let span = Span { start: left.span.start, end: right.span.end };
            let kind = DurationKind::Binary(op, Box::new(left), Box::new(right));
            left = DurationExpr { kind, wrapped: false, span };
            height += 1;
            self.check_height(self.depth + height)?;
        }
    }

    fn duration_operand(&mut self, place: Place) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                self.next()?;
                let literal = self.number_literal(token)?;
                self.check_literal_range(&literal, literal.span)?;
                Ok(literal_expr(literal))
            }
            Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next()?;
                let inner = self.duration(SIGN_BINDING, place)?;
                self.apply_sign(op, token.span, inner)
            }
            Kind::LeftParen => {
                self.next()?;
                let mut inner = self.duration(0, place)?;
                self.expect(Kind::RightParen, place)?;
                self.check_duration_expressions(inner.span)?;
                wrap(&mut inner);
                Ok(inner)
            }
            Kind::Preprocessor(p) if !is_at_function(token.kind) => {
                self.next()?;
                self.duration_function(p, token, place)
            }
            _ => Err(self.unexpected_in(place)),
        }
    }

    fn duration_function(
        &mut self,
        function: Preprocessor,
        name: Token,
        place: Place,
    ) -> Parsed<DurationExpr> {
        let (kind, end) = match function {
            Preprocessor::MinOf | Preprocessor::MaxOf => {
                self.expect(Kind::LeftParen, place)?;
                let left = Box::new(self.duration(0, place)?);
                self.expect(Kind::Comma, place)?;
                let right = Box::new(self.duration(0, place)?);
                let close = self.expect(Kind::RightParen, place)?;
                let kind = match function {
                    Preprocessor::MinOf => DurationKind::MinOf(left, right),
                    _ => DurationKind::MaxOf(left, right),
                };
                (kind, close.span.end)
            }
            _ => {
                let close = self.empty_parentheses(place)?;
                let kind = match function {
                    Preprocessor::Step => DurationKind::Step,
                    _ => DurationKind::Range,
                };
                (kind, close.span.end)
            }
        };
        let span = Span { start: name.span.start, end };
        self.check_duration_expressions(span)?;
        Ok(DurationExpr { kind, wrapped: false, span })
    }

    fn empty_parentheses(&mut self, place: Place) -> Parsed<Token> {
        self.expect(Kind::LeftParen, place)?;
        self.expect(Kind::RightParen, place)
    }

    /// Signs become part of literals; a plus in front of anything else disappears.
    fn apply_sign(&self, op: BinaryOp, sign: Span, inner: DurationExpr) -> Parsed<DurationExpr> {
        match inner.kind {
            DurationKind::Literal(n) if !inner.wrapped => {
                let value = if op == BinaryOp::Sub { -n.value } else { n.value };
                let span = Span { start: sign.start, end: n.span.end };
                let literal = NumberLiteral { value, span, ..n };
                self.check_literal_range(&literal, sign)?;
                Ok(literal_expr(literal))
            }
            _ if op == BinaryOp::Sub => {
                let span = Span { start: sign.start, end: inner.span.end };
                Ok(DurationExpr { kind: DurationKind::Unary(op, Box::new(inner)), wrapped: false, span })
            }
            _ => Ok(inner),
        }
    }

    fn check_literal_range(&self, literal: &NumberLiteral, span: Span) -> Parsed<()> {
        if literal.value > MAX_SECONDS || literal.value < -MAX_SECONDS {
            return Err(self.error(span, "duration out of range"));
        }
        Ok(())
    }

    fn check_duration_expressions(&self, span: Span) -> Parsed<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(span, "experimental duration expression is not enabled"))
    }
}

fn is_arithmetic(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow)
}

fn literal_expr(literal: NumberLiteral) -> DurationExpr {
    let span = literal.span;
    DurationExpr { kind: DurationKind::Literal(literal), wrapped: false, span }
}

/// Puts parentheses around it; those around parentheses are not remembered.
fn wrap(duration: &mut DurationExpr) {
    duration.wrapped = true;
}

/// The value of a literal, whatever signs and parentheses are around it.
fn literal_value(duration: &DurationExpr) -> Option<f64> {
    match &duration.kind {
        DurationKind::Literal(n) => Some(n.value),
        DurationKind::Unary(BinaryOp::Sub, inner) => literal_value(inner).map(|value| -value),
        DurationKind::Unary(_, inner) => literal_value(inner),
        _ => None,
    }
}

/// Whole nanoseconds, then whole milliseconds, as Prometheus computes a literal's length.
fn argument(duration: DurationExpr) -> DurationArg {
    match duration.kind {
        DurationKind::Literal(n) if !duration.wrapped => {
            DurationArg::Millis((n.value * 1e9).round() as i64 / 1_000_000)
        }
        _ => DurationArg::Expr(Box::new(duration)),
    }
}

/// Go's `%f`.
fn go_fixed(v: f64) -> String {
    match v {
        v if v.is_nan() => "NaN".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        v => format!("{v:.6}"),
    }
}
