//! Prometheus' text format.

use std::borrow::Cow;

use super::cursor::{ParseError, Token, quote_bytes};
use super::labels::{Block, unescape};
use super::{Entry, PageFormat, PageParser};
use crate::family::MetricKind;

const FORMAT: PageFormat = PageFormat::Text;

impl<'a> PageParser<'a> {
    pub(super) fn next_text(&mut self) -> Result<Entry<'a>, ParseError> {
        loop {
            self.cursor.entry = self.cursor.at;
            let token = self.cursor.next_token(FORMAT);
            return match token {
                Token::Eof => Ok(Entry::Eof),
                Token::Linebreak => continue,
                Token::Help | Token::Type => self.text_metadata(token),
                Token::Comment => {
                    let text = self.cursor.token_bytes();
                    self.linebreak("linebreak expected after comment")?;
                    Ok(Entry::Comment(text))
                }
                Token::BraceOpen | Token::MetricName => self.series_entry(token).map(Entry::Series),
                _ => Err(self.cursor.unexpected("expected a valid start token", token)),
            };
        }
    }

    fn linebreak(&mut self, expected: &str) -> Result<(), ParseError> {
        match self.cursor.next_token(FORMAT) {
            Token::Linebreak => Ok(()),
            token => Err(self.cursor.unexpected(expected, token)),
        }
    }

    fn text_metadata(&mut self, what: Token) -> Result<Entry<'a>, ParseError> {
        let name = self.metadata_name(what)?;
        let token = self.cursor.next_token(FORMAT);
        if token != Token::Text {
            let text = format!("expected text in {}, got {}", what.name(), token.name());
            return Err(ParseError::new(text));
        }
        // The first byte is the blank after the name, or is taken for it.
        let text = self.cursor.token_bytes().get(1..).unwrap_or_default();
        let entry = if what == Token::Type {
            self.kind = match text {
                b"counter" => MetricKind::Counter,
                b"gauge" => MetricKind::Gauge,
                b"histogram" => MetricKind::Histogram,
                b"summary" => MetricKind::Summary,
                b"untyped" => MetricKind::Untyped,
                _ => return Err(ParseError::new(format!("invalid metric type {}", quote_bytes(text)))),
            };
            Entry::Type { name, kind: self.kind }
        } else {
            Entry::Help { name, text: help_text(text, false)? }
        };
        self.linebreak("linebreak expected after metadata")?;
        Ok(entry)
    }

    /// The name after `HELP`, `TYPE` or `UNIT`, without quotes.
    pub(super) fn metadata_name(&mut self, what: Token) -> Result<Cow<'a, str>, ParseError> {
        let token = self.cursor.next_token(self.format);
        if token != Token::MetricName {
            return Err(self
                .cursor
                .unexpected(&format!("expected metric name after {}", what.name()), token));
        }
        let name = self.cursor.token_bytes();
        let unquoted = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\""));
        Ok(String::from_utf8_lossy(unquoted.unwrap_or(name)))
    }

    /// A sample from its first token on.
    pub(super) fn series_entry(&mut self, first: Token) -> Result<super::SeriesLine<'a>, ParseError> {
        let start = self.cursor.entry;
        let mut name = (first == Token::MetricName).then_some((start, self.cursor.at));
        let mut end = self.cursor.at;
        let mut token = first;
        if first == Token::MetricName {
            token = self.cursor.next_token(self.format);
        }
        if token == Token::BraceOpen {
            self.cursor.label_block(self.format, Block::Series, &mut name, |_, _| {})?;
            end = self.cursor.at;
            token = self.cursor.next_token(self.format);
        }
        if name.is_none() {
            let text = format!("metric name not set while parsing: {}", self.cursor.entry_so_far());
            return Err(ParseError::new(text));
        }
        self.value_token((start, end), token)
    }
}

pub(super) fn help_text(raw: &[u8], quotes: bool) -> Result<Cow<'_, str>, ParseError> {
    let Ok(text) = std::str::from_utf8(raw) else {
        return Err(ParseError::new(format!("help text {} is not a valid utf8 string", quote_bytes(raw))));
    };
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    unescape(&mut out, text, quotes);
    Ok(Cow::Owned(out))
}
