//! Why a text is not a valid expression.

use std::fmt;

use crate::ast::Span;

/// One thing that is wrong with a text, and where.
///
/// `Display` gives Prometheus' words, `1:5: parse error: …`; the line and column are counted from 1, the column in
/// bytes. `help` is ours and never part of that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The place that is wrong.
    pub span: Span,
    /// What is wrong, without the position.
    pub message: String,
    /// One line that says what would be right.
    pub help: Option<String>,
    /// From 1; 0 when the text is empty and there is no place in it.
    pub line: u32,
    /// From 1, in bytes.
    pub column: u32,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: String) -> Self {
        let (line, column) = position(query, span.start as usize);
        ParseError { span, message, help: None, line, column }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

fn position(query: &str, at: usize) -> (u32, u32) {
    if query.is_empty() {
        return (0, 0);
    }
    let before = query.as_bytes().get(..at).unwrap_or(query.as_bytes());
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
    (line as u32, column as u32)
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "unknown position: parse error: {}", self.message),
            line => write!(f, "{line}:{}: parse error: {}", self.column, self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// Everything that was found wrong, in the order found; never empty. `Display` shows the first, as Prometheus does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors(pub(crate) Vec<ParseError>);

impl ParseErrors {
    /// The errors, first found first.
    #[must_use]
    pub fn as_slice(&self) -> &[ParseError] {
        &self.0
    }
}

impl From<ParseError> for ParseErrors {
    fn from(error: ParseError) -> Self {
        ParseErrors(vec![error])
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.first().map_or(Ok(()), |first| first.fmt(f))
    }
}

impl std::error::Error for ParseErrors {}
