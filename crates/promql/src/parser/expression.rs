//! Expressions: operators by precedence, calls, aggregations, and what may follow an expression.

use super::{MAX_NESTING, Parsed, Parser, Place, help};
use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, NumberLiteral, Paren, Span,
    StringLiteral, Unary, VectorMatching,
};
use crate::functions;
use crate::lexer::{Keyword, Kind, Preprocessor, Token, is_space};

/// How strongly operators bind; equal ones from left to right, except for the power.
mod binding {
    pub(super) const NONE: u8 = 0;
    pub(super) const PRODUCT: u8 = 5;
    pub(super) const POWER: u8 = 6;
}

pub(super) fn binding_power(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Eql
        | BinaryOp::Neq
        | BinaryOp::Gtr
        | BinaryOp::Lss
        | BinaryOp::Gte
        | BinaryOp::Lte
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => binding::PRODUCT,
        BinaryOp::Pow => binding::POWER,
    }
}

/// The weakest operator that the right operand of `op` may hold without parentheses.
pub(super) fn right_binding_power(op: BinaryOp) -> u8 {
    if op == BinaryOp::Pow { binding::POWER } else { binding_power(op) + 1 }
}

/// The weakest operator that the operand of a sign may hold: `-a ^ b` is `-(a ^ b)`, `-a * b` is `(-a) * b`.
pub(super) const SIGN_BINDING: u8 = binding::PRODUCT + 1;

/// An expression and the height of its tree.
pub(super) struct Tree {
    pub(super) expr: Expr,
    pub(super) height: u32,
}

impl Tree {
    fn leaf(expr: Expr) -> Self {
        Tree { expr, height: 1 }
    }
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        Ok(self.tree(binding::NONE)?.expr)
    }

    /// An expression of operators that bind at least as strongly as `weakest`.
    pub(super) fn tree(&mut self, weakest: u8) -> Parsed<Tree> {
        self.check_depth(self.depth + 1, MAX_NESTING)?;
        self.depth += 1;
        let mut left = self.operand()?;
        while let Some(token) = self.take_operator(weakest)? {
            left = self.operation(left, token)?;
            self.check_height(left.height)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// Consumes the next token if it continues an expression: an operator that binds strongly enough, or what may
    /// follow any operand.
    fn take_operator(&mut self, weakest: u8) -> Parsed<Option<Token>> {
        let token = self.peek()?;
        let continues = match token.kind {
            Kind::Op(op) => binding_power(op) >= weakest,
            Kind::Keyword(Keyword::Offset | Keyword::Anchored | Keyword::Smoothed) => true,
            Kind::At | Kind::LeftBracket => true,
            _ => false,
        };
        if continues {
            self.next()?;
        }
        Ok(continues.then_some(token))
    }

    fn operation(&mut self, mut left: Tree, token: Token) -> Parsed<Tree> {
        match token.kind {
            Kind::Op(op) => return self.binary(left, op),
            Kind::LeftBracket => return self.brackets(left, token.span),
            Kind::At => self.at(&mut left.expr)?,
            Kind::Keyword(Keyword::Offset) => self.offset(&mut left.expr)?,
            kind => self.range_mode(&mut left.expr, kind == Kind::Keyword(Keyword::Anchored))?,
        }
        Ok(left)
    }

    fn operand(&mut self) -> Parsed<Tree> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration | Kind::String => self.literal(token),
            Kind::LeftParen => self.paren(token),
            Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next()?;
                self.tree(SIGN_BINDING).map(|operand| signed(op, token.span, operand))
            }
            Kind::Aggregate(op) => {
                self.next()?;
                match self.peek_kind()? {
                    Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without) => {
                        self.aggregate(op, token)
                    }
                    _ => self.selector_or_name(token),
                }
            }
            Kind::Identifier | Kind::Preprocessor(_) => {
                self.next()?;
                match self.peek_kind()? {
                    Kind::LeftParen => self.call(token),
                    _ => self.selector_or_name(token),
                }
            }
            Kind::LeftBrace => Ok(Tree::leaf(Expr::Vector(self.braces(None)?))),
            kind if is_metric_name(kind) => {
                self.next()?;
                self.selector_or_name(token)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn literal(&mut self, token: Token) -> Parsed<Tree> {
        self.next()?;
        if token.kind == Kind::String {
            let (value, bytes) = match String::from_utf8(self.unquote_bytes(token)) {
                Ok(value) => (value, None),
                Err(e) => (String::from_utf8_lossy(e.as_bytes()).into_owned(), Some(e.into_bytes())),
            };
            return Ok(Tree::leaf(Expr::String(StringLiteral { value, bytes, span: token.span })));
        }
        Ok(Tree::leaf(Expr::Number(self.number_literal(token)?)))
    }

    fn paren(&mut self, open: Token) -> Parsed<Tree> {
        self.next()?;
        let inner = self.tree(binding::NONE)?;
        let close = self.expect(Kind::RightParen, Place::ANY)?;
        let span = Span { start: open.span.start, end: close.span.end };
        let height = inner.height + 1;
        Ok(Tree { expr: Expr::Paren(Paren { expr: Box::new(inner.expr), span }), height })
    }

    fn selector_or_name(&mut self, name: Token) -> Parsed<Tree> {
        Ok(Tree::leaf(Expr::Vector(self.selector(name)?)))
    }

    fn call(&mut self, name: Token) -> Parsed<Tree> {
        let (args, height) = self.arguments()?;
        let text = name.text(self.text);
        let Some(function) = functions::lookup(text) else {
            let quoted = model::number::quote(text);
            let mut error = self.error(name.span, format!("unknown function with name {quoted}"));
            error.help = help::unknown_function(text);
            return Err(error);
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self
                .error(name.span, format!("function {} is not enabled", model::number::quote(text)))
                .with_help("start with --enable-feature=promql-experimental-functions"));
        }
        let span = Span { start: name.span.start, end: self.last_closing };
        Ok(Tree { expr: Expr::Call(Call { function, args, span }), height: height + 1 })
    }

    /// `(a, b)` and the height of the tallest argument.
    fn arguments(&mut self) -> Parsed<(Vec<Expr>, u32)> {
        self.expect(Kind::LeftParen, Place::ANY)?;
        let (mut args, mut height) = (Vec::new(), 0);
        if self.take(Kind::RightParen)? {
            return Ok((args, height));
        }
        loop {
            let arg = self.tree(binding::NONE)?;
            height = height.max(arg.height);
            args.push(arg.expr);
            let token = self.peek()?;
            if token.kind != Kind::Comma {
                self.expect(Kind::RightParen, Place::ANY)?;
                return Ok((args, height));
            }
            self.next()?;
            let next = self.peek_kind()?;
            if !starts_expression(next) {
                return Err(self.error(token.span, "trailing commas not allowed in function call args"));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Parsed<Tree> {
        self.open_aggregations += 1;
        let mut modifier = self.aggregate_modifier()?;
        let (args, height) = self.arguments()?;
        self.open_aggregations -= 1;
        let mut end = self.last_closing;
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
            end = if modifier.is_some() { self.last_closing } else { self.previous_paren() };
        }
        let span = Span { start: name.span.start, end };
        let (without, grouping) = modifier.unwrap_or_default();
        let (param, expr) = self.aggregate_arguments(op, span, args)?;
        let aggregate = Aggregate { op, param, expr: Box::new(expr), grouping, without, span };
        Ok(Tree { expr: Expr::Aggregate(aggregate), height: height + 1 })
    }

    fn aggregate_arguments(
        &self,
        op: AggregateOp,
        span: Span,
        args: Vec<Expr>,
    ) -> Parsed<(Option<Box<Expr>>, Expr)> {
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        let experimental = matches!(op, AggregateOp::LimitK | AggregateOp::LimitRatio);
        if experimental && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(self.error(span, message));
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        let got = args.len();
        let mut args = args.into_iter();
        let param = if op.has_param() { args.next().map(Box::new) } else { None };
        match (args.next(), args.next()) {
            (Some(expr), None) => Ok((param, expr)),
            _ => Err(self
                .error(
                    span,
                    format!(
                        "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
                    ),
                )
                .with_help(help::aggregate_usage(op))),
        }
    }

    /// Whether it is `without`, and the labels.
    fn aggregate_modifier(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.peek_kind()? {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some((without, self.grouping_labels()?)))
    }

    /// Where an aggregation without modifier ends, once the token behind it has been looked at: that token may have
    /// moved `last_closing`. Only blanks are stepped over, so with a comment in between the end stays wrong, as in
    /// Prometheus.
    fn previous_paren(&self) -> u32 {
        if self.last.kind != Kind::RightParen || self.last.span.start == 0 {
            return self.last_closing;
        }
        let before = self.text.get(..self.last.span.start as usize).unwrap_or("").trim_end_matches(is_space);
        if before.ends_with(')') && before.len() > 1 { before.len() as u32 } else { self.last_closing }
    }

    fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        self.expect(Kind::LeftParen, Place::new("grouping opts", "\"(\""))?;
        let mut labels = Vec::new();
        if self.take(Kind::RightParen)? {
            return Ok(labels);
        }
        loop {
            labels.push(self.grouping_label()?);
            let place = Place::new("grouping opts", "\",\" or \")\"");
            if self.peek_kind()? != Kind::Comma {
                self.expect(Kind::RightParen, place)?;
                return Ok(labels);
            }
            self.next()?;
            if self.take(Kind::RightParen)? {
                return Ok(labels);
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.peek()?;
        if token.kind == Kind::String {
            self.next()?;
            let bytes = self.unquote_bytes(token);
            return match String::from_utf8(bytes) {
                Ok(label) if !label.is_empty() => Ok(label),
                Ok(_) => Err(self.error(token.span, "invalid label name for grouping: \"\"")),
                Err(e) => {
                    let quoted = super::literal::quote_bytes(e.as_bytes());
                    Err(self.error(token.span, format!("invalid label name for grouping: {quoted}")))
                }
            };
        }
        if !is_label_name(token.kind) {
            return Err(self.unexpected_in(Place::new("grouping opts", "label")));
        }
        self.next()?;
        Ok(token.text(self.text).to_owned())
    }

    fn binary(&mut self, left: Tree, op: BinaryOp) -> Parsed<Tree> {
        let return_bool = self.take(Kind::Keyword(Keyword::Bool))?;
        let matching = self.matching()?;
        let right = self.tree(right_binding_power(op))?;
        let span = Span { start: left.expr.span().start, end: right.expr.span().end };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.binop_fill_modifiers {
            return Err(self
                .error(span, "binop fill modifiers are experimental and not enabled")
                .with_help("start with --enable-feature=promql-binop-fill-modifiers"));
        }
        let height = left.height.max(right.height) + 1;
        let (left, right) = (Box::new(left.expr), Box::new(right.expr));
        let binary = Binary { op, left, right, matching: Some(matching), return_bool, span };
        Ok(Tree { expr: Expr::Binary(binary), height })
    }

    fn matching(&mut self) -> Parsed<VectorMatching> {
        let mut matching = VectorMatching {
            card: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let kind = self.peek_kind()?;
        if matches!(kind, Kind::Keyword(Keyword::On | Keyword::Ignoring)) {
            self.next()?;
            matching.on = kind == Kind::Keyword(Keyword::On);
            matching.labels = self.grouping_labels()?;
            matching.card = match self.peek_kind()? {
                Kind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
                Kind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
                _ => Cardinality::OneToOne,
            };
            if matching.card != Cardinality::OneToOne {
                self.next()?;
                // The labels may be missing, but only in front of something that can follow.
                if !starts_expression(self.peek_kind()?) || self.peek_kind()? == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fill_modifiers(&mut matching)?;
        Ok(matching)
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        match self.peek_kind()? {
            Kind::Keyword(Keyword::Fill) => {
                let value = self.fill_value()?;
                (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            }
            Kind::Keyword(Keyword::FillLeft) => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek_kind()? == Kind::Keyword(Keyword::FillRight) {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            Kind::Keyword(Keyword::FillRight) => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek_kind()? == Kind::Keyword(Keyword::FillLeft) {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `fill (-1)`: the keyword, a number with or without sign in parentheses.
    fn fill_value(&mut self) -> Parsed<f64> {
        self.next()?;
        self.expect(Kind::LeftParen, Place::ANY)?;
        let negative = self.peek_kind()? == Kind::Op(BinaryOp::Sub);
        if negative || self.peek_kind()? == Kind::Op(BinaryOp::Add) {
            self.next()?;
        }
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected());
        }
        self.next()?;
        let value = self.number_literal(token)?.value;
        self.expect(Kind::RightParen, Place::ANY)?;
        Ok(if negative { -value } else { value })
    }
}

/// A sign in front of a number literal becomes part of it.
fn signed(op: BinaryOp, sign: Span, operand: Tree) -> Tree {
    let span = Span { start: sign.start, end: operand.expr.span().end };
    match operand.expr {
        Expr::Number(n) => {
            let value = if op == BinaryOp::Sub { -n.value } else { n.value };
            Tree::leaf(Expr::Number(NumberLiteral { value, span, ..n }))
        }
        expr => {
            let height = operand.height + 1;
            Tree { expr: Expr::Unary(Unary { op, expr: Box::new(expr), span }), height }
        }
    }
}

fn starts_expression(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Number
            | Kind::Duration
            | Kind::String
            | Kind::LeftParen
            | Kind::LeftBrace
            | Kind::Op(BinaryOp::Add | BinaryOp::Sub)
    ) || is_metric_name(kind)
}

/// Words that may be a metric's name.
pub(super) fn is_metric_name(kind: Kind) -> bool {
    match kind {
        Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) | Kind::Preprocessor(_) => true,
        Kind::Op(op) => op.is_set(),
        Kind::Keyword(k) => !matches!(
            k,
            Keyword::Bool | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Ignoring | Keyword::On
        ),
        _ => false,
    }
}

/// Words that may be a label's name in `by`, `on` and the like.
fn is_label_name(kind: Kind) -> bool {
    match kind {
        Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) | Kind::Preprocessor(_) => true,
        Kind::Op(op) => op.is_set() || op == BinaryOp::Atan2,
        Kind::Keyword(k) => k != Keyword::Without,
        _ => false,
    }
}

/// Whether `@` may be followed by this word and parentheses.
pub(super) fn is_at_function(kind: Kind) -> bool {
    matches!(kind, Kind::Preprocessor(Preprocessor::Start | Preprocessor::End))
}
