//! Tokens → tree. A Pratt parser that finds the same errors in the same order as Prometheus' generated one: a token
//! is looked at only where that parser would need it, since looking may bring up a lexical error first.

mod check;
mod duration;
mod expression;
mod help;
mod literal;
mod selector;
mod series;

use model::{Labels, Matcher};

pub(crate) use literal::quote_bytes;
pub use series::{HistogramLiteral, SeriesItem, SeriesPoint};

use crate::ast::{Expr, Span};
use crate::error::{ParseError, ParseErrors};
use crate::lexer::{Kind, Lexer, Token};

/// Which parts of the language are on, and how much of it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions and aggregations that need `promql-experimental-functions`.
    pub experimental_functions: bool,
    /// `[5m * 2]`, `step()` in durations.
    pub duration_expressions: bool,
    /// `anchored`, `smoothed`: `promql-extended-range-selectors`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`: `promql-binop-fill-modifiers`.
    pub binop_fill_modifiers: bool,
    /// Height of the tree, as of `a or b or c …`; everything that walks a tree may recurse this deep. Parentheses,
    /// calls and signs may nest 128 deep at most, since parsing them takes much more of the stack.
    pub max_depth: u32,
}

impl Default for ParseOptions {
    /// Prometheus 3.14 without feature flags.
    fn default() -> Self {
        ParseOptions {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            binop_fill_modifiers: false,
            max_depth: 400,
        }
    }
}

impl ParseOptions {
    /// Every experimental part on.
    #[must_use]
    pub fn all() -> Self {
        ParseOptions {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            binop_fill_modifiers: true,
            ..ParseOptions::default()
        }
    }
}

/// Parses and type-checks an expression.
///
/// # Errors
/// In Prometheus' words and at its positions; a syntax error comes alone, type errors all together.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Expr, ParseErrors> {
    let mut parser = Parser::new(text, options, false)?;
    if parser.peek_kind()? == Kind::Eof {
        return Err(parser.error(Span::default(), "no expression found in input").into());
    }
    let mut expr = parser.expression()?;
    parser.end()?;
    check::check(text, &mut expr)?;
    Ok(expr)
}

/// Parses a selector without offset or range, as in `match[]`: `up{job="a"}`.
///
/// # Errors
/// As [`parse`]; a selector that matches everything is not refused here.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, ParseErrors> {
    let options = ParseOptions::default();
    let mut parser = Parser::new(text, &options, false)?;
    let selector = parser.metric_selector()?;
    parser.end()?;
    Ok(selector.matchers)
}

/// Parses the labels of one series: `up{job="a"}`, `{}`, or nothing at all.
///
/// # Errors
/// As [`parse`].
pub fn parse_metric(text: &str) -> Result<Labels, ParseErrors> {
    let options = ParseOptions::default();
    let mut parser = Parser::new(text, &options, false)?;
    let labels = parser.metric()?;
    parser.end()?;
    Ok(labels)
}

/// Parses a series of the unit-test language: `up{job="a"} 1+1x5 _x3 stale {{schema:1 sum:2}}`.
///
/// # Errors
/// As [`parse`].
pub fn parse_series_desc(text: &str) -> Result<(Labels, Vec<SeriesItem>), ParseErrors> {
    let options = ParseOptions::default();
    let mut parser = Parser::new(text, &options, true)?;
    let labels = parser.metric()?;
    let items = parser.series_values()?;
    parser.end()?;
    Ok((labels, items))
}

/// How deep operands may nest.
const MAX_NESTING: u32 = 128;

type Parsed<T> = Result<T, ParseError>;

struct Parser<'a> {
    text: &'a str,
    options: &'a ParseOptions,
    lexer: Lexer<'a>,
    /// The token looked at but not consumed.
    ahead: Option<Token>,
    /// The token read last, looked at or consumed: the one that errors name.
    last: Token,
    /// End of the last token read that can close an expression. It may belong to the token looked at: Prometheus
    /// takes ends of nodes from here.
    last_closing: u32,
    /// How many aggregations are being read: an unexpected token inside of one is said to be in an aggregation.
    open_aggregations: u32,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &'a ParseOptions, series_desc: bool) -> Result<Self, ParseErrors> {
        // Spans are 32 bits wide.
        if text.len() > i32::MAX as usize {
            return Err(ParseError::new("", Span::default(), "expression too long".to_owned()).into());
        }
        let none = Token { kind: Kind::Eof, span: Span::default() };
        Ok(Parser {
            text,
            options,
            lexer: Lexer::new(text, series_desc),
            ahead: None,
            last: none,
            last_closing: 0,
            open_aggregations: 0,
            depth: 0,
        })
    }

    fn read(&mut self) -> Parsed<Token> {
        let token = self.lexer.next_token().map_err(|e| {
            let help = help::lexical(&e.message);
            let mut error = ParseError::new(self.text, e.span, e.message);
            error.help = help;
            error
        })?;
        if matches!(
            token.kind,
            Kind::RightBrace | Kind::RightParen | Kind::RightBracket | Kind::Duration | Kind::Number
        ) {
            self.last_closing = token.span.end;
        }
        self.last = token;
        Ok(token)
    }

    fn peek(&mut self) -> Parsed<Token> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.read()?;
        self.ahead = Some(token);
        Ok(token)
    }

    fn peek_kind(&mut self) -> Parsed<Kind> {
        Ok(self.peek()?.kind)
    }

    fn next(&mut self) -> Parsed<Token> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.read(),
        }
    }

    /// Consumes the next token if it is of this kind.
    fn take(&mut self, kind: Kind) -> Parsed<bool> {
        let found = self.peek_kind()? == kind;
        if found {
            self.ahead = None;
        }
        Ok(found)
    }

    /// Consumes a token of this kind, or reports the one that is there, with the words of `place`.
    fn expect(&mut self, kind: Kind, place: Place) -> Parsed<Token> {
        let token = self.peek()?;
        if token.kind != kind {
            return Err(self.unexpected_in(place));
        }
        self.ahead = None;
        Ok(token)
    }

    fn end(&mut self) -> Parsed<()> {
        self.expect(Kind::Eof, Place::ANY).map(|_| ())
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message.into())
    }

    /// The token read last cannot stand where it does.
    fn unexpected_in(&self, place: Place) -> ParseError {
        let context = match place.context {
            "" if self.open_aggregations > 0 => "aggregation",
            context => context,
        };
        let mut message = format!("unexpected {}", self.last.describe(self.text));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !place.expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(place.expected);
        }
        let mut error = self.error(self.last.span, message);
        error.help = help::unexpected(self.last.kind, self.last.text(self.text), place);
        error
    }

    fn unexpected(&self) -> ParseError {
        self.unexpected_in(Place::ANY)
    }

    /// Goes one level deeper.
    fn descend<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.check_depth(self.depth + 1, MAX_NESTING)?;
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn check_height(&self, height: u32) -> Parsed<()> {
        self.check_depth(height, self.options.max_depth)
    }

    fn check_depth(&self, depth: u32, limit: u32) -> Parsed<()> {
        if depth <= limit {
            return Ok(());
        }
        Err(self
            .error(
                self.last.span,
                format!("expression nested too deeply, at most {limit} levels are allowed"),
            )
            .with_help("split the expression, for instance with a recording rule"))
    }
}

/// The words of an error about an unexpected token: where it stands, and what could stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    context: &'static str,
    expected: &'static str,
}

impl Place {
    const ANY: Place = Place { context: "", expected: "" };

    const fn new(context: &'static str, expected: &'static str) -> Self {
        Place { context, expected }
    }
}
