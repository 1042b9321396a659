//! OpenMetrics text.

use super::cursor::{ParseError, Token, quote_bytes};
use super::text::help_text;
use super::{Entry, PageFormat, PageParser};
use crate::family::MetricKind;

const FORMAT: PageFormat = PageFormat::OpenMetrics;

impl<'a> PageParser<'a> {
    pub(super) fn next_openmetrics(&mut self) -> Result<Entry<'a>, ParseError> {
        self.cursor.entry = self.cursor.at;
        let token = self.cursor.next_token(FORMAT);
        match token {
            Token::EofWord => match self.cursor.next_token(FORMAT) {
                Token::Eof => Ok(Entry::Eof),
                _ => Err(ParseError::new("unexpected data after # EOF")),
            },
            Token::Eof => Err(no_eof()),
            Token::Help | Token::Type | Token::Unit => self.openmetrics_metadata(token),
            Token::BraceOpen | Token::MetricName => self.series_entry(token).map(Entry::Series),
            _ => Err(self.cursor.unexpected("expected a valid start token", token)),
        }
    }

    fn openmetrics_metadata(&mut self, what: Token) -> Result<Entry<'a>, ParseError> {
        let name = self.metadata_name(what)?;
        if self.cursor.next_token(FORMAT) != Token::Text {
            return Err(ParseError::new(format!("expected text in {}", what.name())));
        }
        // Between the blank after the name and the line feed.
        let token = self.cursor.token_bytes();
        let text = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
        match what {
            Token::Type => {
                self.kind = match text {
                    b"counter" => MetricKind::Counter,
                    b"gauge" => MetricKind::Gauge,
                    b"histogram" => MetricKind::Histogram,
                    b"gaugehistogram" => MetricKind::GaugeHistogram,
                    b"summary" => MetricKind::Summary,
                    b"info" => MetricKind::Info,
                    b"stateset" => MetricKind::StateSet,
                    b"unknown" => MetricKind::Untyped,
                    _ => return Err(ParseError::new(format!("invalid metric type {}", quote_bytes(text)))),
                };
                Ok(Entry::Type { name, kind: self.kind })
            }
            Token::Unit => {
                let unit = String::from_utf8_lossy(text);
                if !text.is_empty() && !has_unit(&name, &unit) {
                    let (unit, name) = (quote_bytes(text), model::number::quote(&name));
                    return Err(ParseError::new(format!("unit {unit} not a suffix of metric {name}")));
                }
                Ok(Entry::Unit { name, unit })
            }
            _ => Ok(Entry::Help { name, text: help_text(text, true)? }),
        }
    }
}

fn has_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|before| before.ends_with('_'))
}

pub(super) fn no_eof() -> ParseError {
    ParseError::new("data does not end with # EOF")
}
