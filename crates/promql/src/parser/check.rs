//! Types of arguments and operands, and the rules that syntax alone does not hold.

use model::METRIC_NAME;
use model::number::quote;

use super::help;
use crate::ast::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, Span, Subquery, Unary, ValueType, VectorSelector,
};
use crate::error::{ParseError, ParseErrors};
use crate::lexer::is_space;

/// Checks the whole tree, and completes the matching of binary operators: set operators are many-to-many, operators
/// with a scalar have none.
pub(super) fn check(text: &str, expr: &mut Expr) -> Result<(), ParseErrors> {
    let mut checker = Checker { text, errors: Vec::new() };
    checker.expr(expr);
    if checker.errors.is_empty() { Ok(()) } else { Err(ParseErrors(checker.errors)) }
}

/// A hostile expression may be wrong in very many places; nobody reads that far.
const MAX_ERRORS: usize = 32;

struct Checker<'a> {
    text: &'a str,
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    fn error(&mut self, span: Span, message: String) {
        self.error_with_help(span, message, None);
    }

    fn error_with_help(&mut self, span: Span, message: String, help: Option<String>) {
        if self.errors.len() < MAX_ERRORS {
            let mut error = ParseError::new(self.text, span, message);
            error.help = help;
            self.errors.push(error);
        }
    }

    fn expr(&mut self, expr: &mut Expr) -> ValueType {
        match expr {
            Expr::Aggregate(e) => self.aggregate(e),
            Expr::Binary(e) => self.binary(e),
            Expr::Call(e) => self.call(e),
            Expr::Paren(e) => return self.expr(&mut e.expr),
            Expr::Unary(e) => return self.unary(e),
            Expr::Subquery(e) => self.subquery(e),
            Expr::Matrix(e) => self.selector(&e.selector, false),
            Expr::Vector(e) => self.selector(e, false),
            Expr::Number(_) | Expr::String(_) => {}
        }
        expr.value_type()
    }

    fn expect_type(&mut self, expr: &mut Expr, wanted: ValueType, place: &str) {
        let got = self.expr(expr);
        if got != wanted {
            let message =
                format!("expected type {} in {place}, got {}", wanted.documented(), got.documented());
            self.error_with_help(expr.span(), message, help::wrong_type(wanted, got));
        }
    }

    fn aggregate(&mut self, e: &mut Aggregate) {
        self.expect_type(&mut e.expr, ValueType::Vector, "aggregation expression");
        if let Some(param) = &mut e.param {
            let wanted = if e.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
            self.expect_type(param, wanted, "aggregation parameter");
        }
    }

    fn unary(&mut self, e: &mut Unary) -> ValueType {
        let got = self.expr(&mut e.expr);
        if !is_operand(got) {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                quote(got.documented())
            );
            self.error(e.span, message);
        }
        got
    }

    fn subquery(&mut self, e: &mut Subquery) {
        let got = self.expr(&mut e.expr);
        if got != ValueType::Vector {
            self.error(
                e.span,
                format!("subquery is only allowed on instant vector, got {} instead", got.as_str()),
            );
        }
    }

    fn binary(&mut self, e: &mut Binary) {
        let left = self.expr(&mut e.left);
        let right = self.expr(&mut e.right);
        let (vectors, scalars) = (
            left == ValueType::Vector && right == ValueType::Vector,
            left == ValueType::Scalar && right == ValueType::Scalar,
        );
        if e.return_bool && !e.op.is_comparison() {
            let span = self.operator_span(e);
            self.error(span, "bool modifier can only be used on comparison operators".to_owned());
        }
        if e.op.is_comparison() && !e.return_bool && scalars {
            let span = self.operator_span(e);
            self.error_with_help(
                span,
                "comparisons between scalars must use BOOL modifier".to_owned(),
                Some(format!("write {} bool", e.op.as_str())),
            );
        }
        let Some(mut matching) = e.matching.take() else { return };
        if e.op.is_set() && matching.card == Cardinality::OneToOne {
            matching.card = Cardinality::ManyToMany;
        }
        if matching.on {
            for label in matching.labels.iter().filter(|label| matching.include.contains(label)) {
                let span = self.operator_span(e);
                self.error(
                    span,
                    format!("label {} must not occur in ON and GROUP clause at once", quote(label)),
                );
            }
        }
        for (side, got) in [(&e.left, left), (&e.right, right)] {
            if !is_operand(got) {
                self.error(
                    side.span(),
                    "binary expression must contain only scalar and instant vector types".to_owned(),
                );
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if !vectors {
            if !matching.labels.is_empty() {
                self.error(e.span, "vector matching only allowed between instant vectors".to_owned());
            }
            if fills {
                self.error(
                    e.span,
                    "filling in missing series only allowed between instant vectors".to_owned(),
                );
            }
        } else if e.op.is_set() {
            if matching.card != Cardinality::ManyToMany {
                self.error(e.span, format!("no grouping allowed for {} operation", quote(e.op.as_str())));
                self.error(e.span, "set operations must always be many-to-many".to_owned());
            }
            if fills {
                self.error(e.span, "filling in missing series not allowed for set operators".to_owned());
            }
        }
        if (left == ValueType::Scalar || right == ValueType::Scalar) && e.op.is_set() {
            let op = quote(e.op.as_str());
            self.error(e.span, format!("set operator {op} not allowed in binary scalar expression"));
        }
        e.matching = vectors.then_some(matching);
    }

    /// The operator with its modifiers: what is between the operands. Ends at its last byte, not behind it, as in
    /// Prometheus.
    fn operator_span(&self, e: &Binary) -> Span {
        let (start, end) = (e.left.span().end as usize, e.right.span().start as usize);
        let between = self.text.get(start..end).unwrap_or("");
        let start = end - between.trim_start_matches(is_space).len();
        let end = end - (between.len() - between.trim_end_matches(is_space).len());
        Span { start: start as u32, end: end.saturating_sub(1).max(start) as u32 }
    }

    fn call(&mut self, e: &mut Call) {
        self.argument_count(e);
        let signature = e.function;
        let name = quote(signature.name);
        let place = format!("call to function {name}");
        let labels_only = signature.name == "info";
        if let Some(second) = e.args.get(1).filter(|_| labels_only) {
            let (span, got) = (second.span(), second.value_type());
            if got != ValueType::Vector {
                let message = format!(
                    "expected type {} in {place}, got {}",
                    ValueType::Vector.documented(),
                    got.documented()
                );
                self.error(e.span, message);
            }
            match second {
                Expr::Vector(v) if v.name.is_none() => {}
                Expr::Vector(_) => {
                    self.error(span, "expected label selectors only, got vector selector instead".to_owned());
                }
                _ => self.error(span, "expected label selectors only".to_owned()),
            }
        }
        for (i, arg) in e.args.iter_mut().enumerate() {
            let wanted = match (signature.args.get(i), signature.args.last()) {
                (Some(wanted), _) => *wanted,
                (None, Some(last)) if signature.variadic != 0 => *last,
                _ => return,
            };
            match arg {
                Expr::Vector(selector) if labels_only && i == 1 => self.selector(selector, true),
                arg => self.expect_type(arg, wanted, &place),
            }
        }
    }

    fn argument_count(&mut self, e: &Call) {
        let (signature, got) = (e.function, e.args.len());
        let (name, wanted) = (quote(signature.name), signature.args.len());
        let least = wanted.saturating_sub(1);
        let most = least + signature.variadic.max(0) as usize;
        let message = match signature.variadic {
            0 if got != wanted => format!("expected {wanted} argument(s) in call to {name}, got {got}"),
            0 => return,
            _ if got < least => format!("expected at least {least} argument(s) in call to {name}, got {got}"),
            n if n > 0 && got > most => {
                format!("expected at most {most} argument(s) in call to {name}, got {got}")
            }
            _ => return,
        };
        self.error_with_help(e.span, message, Some(help::usage(signature)));
    }

    fn selector(&mut self, e: &VectorSelector, may_be_empty: bool) {
        if let Some(name) = &e.name {
            // The last matcher is the one for the name in front of the braces.
            let inside = e.matchers.len().saturating_sub(1);
            for matcher in e.matchers.iter().take(inside).filter(|m| &*m.name == METRIC_NAME) {
                let (name, other) = (quote(name), quote(&matcher.value));
                self.error(e.span, format!("metric name must not be set twice: {name} or {other}"));
            }
        } else if !may_be_empty && e.matchers.iter().all(model::Matcher::matches_empty) {
            self.error_with_help(
                e.span,
                "vector selector must contain at least one non-empty matcher".to_owned(),
                Some("to select every series write {__name__=~\".+\"}".to_owned()),
            );
        }
    }
}

fn is_operand(got: ValueType) -> bool {
    matches!(got, ValueType::Scalar | ValueType::Vector)
}
