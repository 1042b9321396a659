//! Selectors with their matchers, and plain label sets.

use model::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::expression::is_metric_name;
use super::{Parsed, Parser, Place};
use crate::ast::{BinaryOp, DurationArg, Span, VectorSelector};
use crate::lexer::{Kind, Token};

const FIRST: Place = Place::new("label matching", "identifier or \"}\"");
const OPERATOR: Place = Place::new("label matching", "label matching operator");
const VALUE: Place = Place::new("label matching", "string");
const NEXT: Place = Place::new("label matching", "\",\" or \"}\"");

const SET_FIRST: Place = Place::new("label set", "identifier or \"}\"");
const SET_OPERATOR: Place = Place::new("label set", "\"=\"");
const SET_VALUE: Place = Place::new("label set", "string");
const SET_NEXT: Place = Place::new("label set", "\",\" or \"}\"");

impl Parser<'_> {
    /// A selector alone, without modifiers.
    pub(super) fn metric_selector(&mut self) -> Parsed<VectorSelector> {
        let token = self.peek()?;
        if token.kind == Kind::LeftBrace {
            return self.braces(None);
        }
        if !is_metric_name(token.kind) {
            return Err(self.unexpected());
        }
        self.next()?;
        self.selector(token)
    }

    /// A selector whose name has been consumed.
    pub(super) fn selector(&mut self, name: Token) -> Parsed<VectorSelector> {
        if self.peek_kind()? == Kind::LeftBrace {
            return self.braces(Some(name));
        }
        Ok(self.assemble(Some(name), Vec::new(), name.span))
    }

    fn assemble(&self, name: Option<Token>, mut matchers: Vec<Matcher>, span: Span) -> VectorSelector {
        let name = name.map(|token| token.text(self.text).to_owned());
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name.as_str()));
        }
        VectorSelector { name, matchers, offset: DurationArg::Millis(0), at: None, mode: None, span }
    }

    /// `{a="b"}`
    pub(super) fn braces(&mut self, name: Option<Token>) -> Parsed<VectorSelector> {
        let open = self.expect(Kind::LeftBrace, Place::ANY)?;
        let mut matchers = Vec::new();
        while !self.take(Kind::RightBrace)? {
            matchers.push(self.matcher()?);
            if self.peek_kind()? != Kind::Comma {
                self.expect(Kind::RightBrace, NEXT)?;
                break;
            }
            self.next()?;
        }
        let start = name.map_or(open.span.start, |token| token.span.start);
        let span = Span { start, end: self.last_closing };
        Ok(self.assemble(name, matchers, span))
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let label = self.peek()?;
        let name = match label.kind {
            Kind::Identifier => label.text(self.text).to_owned(),
            Kind::String => self.unquote(label),
            _ => return Err(self.unexpected_in(FIRST)),
        };
        self.next()?;
        let op = match self.peek_kind()? {
            Kind::Eql => MatchOp::Equal,
            Kind::Op(BinaryOp::Neq) => MatchOp::NotEqual,
            Kind::EqlRegex => MatchOp::Regex,
            Kind::NeqRegex => MatchOp::NotRegex,
            // A quoted text alone is the metric's name.
            _ if label.kind == Kind::String => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return Err(self.unexpected_in(OPERATOR)),
        };
        self.next()?;
        let token = self.expect(Kind::String, VALUE)?;
        let value = self.unquote(token);
        let span = Span { start: label.span.start, end: token.span.end };
        Matcher::new(op, name, value).map_err(|e| self.error(span, e.to_string()))
    }

    /// A metric: a name, a label set, both or neither.
    pub(super) fn metric(&mut self) -> Parsed<Labels> {
        let token = self.peek()?;
        let mut pairs = Vec::new();
        if is_metric_name(token.kind) {
            self.next()?;
            if self.peek_kind()? == Kind::LeftBrace {
                self.label_set(&mut pairs)?;
            }
            // Behind the set: the name in front wins over a `__name__` in the braces.
            pairs.push((METRIC_NAME.to_owned(), token.text(self.text).to_owned()));
        } else if token.kind == Kind::LeftBrace {
            self.label_set(&mut pairs)?;
        }
        Ok(Labels::from_pairs(pairs))
    }

    fn label_set(&mut self, pairs: &mut Vec<(String, String)>) -> Parsed<()> {
        self.expect(Kind::LeftBrace, Place::ANY)?;
        while !self.take(Kind::RightBrace)? {
            pairs.push(self.label()?);
            if self.peek_kind()? != Kind::Comma {
                self.expect(Kind::RightBrace, SET_NEXT)?;
                break;
            }
            self.next()?;
        }
        Ok(())
    }

    fn label(&mut self) -> Parsed<(String, String)> {
        let label = self.peek()?;
        let name = match label.kind {
            Kind::Identifier => label.text(self.text).to_owned(),
            Kind::String => self.unquote(label),
            _ => return Err(self.unexpected_in(SET_FIRST)),
        };
        self.next()?;
        match self.peek_kind()? {
            Kind::Eql => {
                self.next()?;
            }
            _ if label.kind == Kind::String => return Ok((METRIC_NAME.to_owned(), name)),
            _ => return Err(self.unexpected_in(SET_OPERATOR)),
        }
        let token = self.expect(Kind::String, SET_VALUE)?;
        Ok((name, self.unquote(token)))
    }
}
