//! Pages in place: entries that borrow from the page, one after the other.
//!
//! Accepted and refused is what Prometheus 3.14 accepts and refuses, with its error texts.

mod cursor;
mod format;
mod labels;
mod lexer;
mod openmetrics;
mod series;
mod text;
mod value;

use std::borrow::Cow;

use crate::family::MetricKind;
use cursor::{Cursor, State};

pub use cursor::ParseError;
pub(crate) use cursor::quote_bytes;
pub use format::PageFormat;
pub(crate) use labels::push_openmetrics_number;
pub use labels::{InvalidNames, LabelsBuf, LabelsError, labels_of};
pub use series::{RawExemplar, SeriesLine, ValuePart, value_after};

/// One entry of a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    /// A sample.
    Series(SeriesLine<'a>),
    /// The help text of a family, unescaped.
    Help {
        /// Name as it stands on the page.
        name: Cow<'a, str>,
        /// Help text.
        text: Cow<'a, str>,
    },
    /// The type of a family.
    Type {
        /// Name as it stands on the page.
        name: Cow<'a, str>,
        /// Type.
        kind: MetricKind,
    },
    /// The unit of a family (OpenMetrics).
    Unit {
        /// Name as it stands on the page.
        name: Cow<'a, str>,
        /// Unit.
        unit: Cow<'a, str>,
    },
    /// A comment, with its `#` and without its line feed.
    Comment(&'a [u8]),
    /// The end of the page, and a good one.
    Eof,
}

/// Reads a page entry by entry. Nothing is allocated for a sample.
#[derive(Debug, Clone)]
pub struct PageParser<'a> {
    cursor: Cursor<'a>,
    format: PageFormat,
    kind: MetricKind,
}

impl<'a> PageParser<'a> {
    /// A parser at the beginning of `page`.
    #[must_use]
    pub fn new(format: PageFormat, page: &'a [u8]) -> Self {
        let cursor = Cursor::new(page, format == PageFormat::Text);
        PageParser { cursor, format, kind: MetricKind::Untyped }
    }

    /// The next entry. After an error or [`Entry::Eof`] there is nothing more to read.
    ///
    /// # Errors
    /// The page is refused. What was returned before stands in Prometheus' counts but is not to be stored.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator could not tell a good end from a bad one")]
    pub fn next(&mut self) -> Result<Entry<'a>, ParseError> {
        if let Some(line) = self.plain_series() {
            return Ok(Entry::Series(line));
        }
        match self.format {
            PageFormat::Text => self.next_text(),
            PageFormat::OpenMetrics => self.next_openmetrics(),
        }
    }

    /// Reads the next entry only if it is a sample whose series text is `series`, byte for byte: then no label is looked at. `None` leaves the
    /// parser where it was; [`next`](Self::next) decides then.
    ///
    /// The labels of such a line are those of before if [`kind`](Self::kind) is that of before too.
    #[inline]
    pub fn next_if(&mut self, series: &[u8]) -> Option<Result<SeriesLine<'a>, ParseError>> {
        let rest = self.rest();
        let blank = rest.get(series.len()).is_some_and(|&b| b == b' ' || b == b'\t');
        if self.cursor.state != State::Init || !blank || !rest.starts_with(series) || series.is_empty() {
            return None;
        }
        let start = self.cursor.at;
        let end = start + series.len();
        if let Some(line) = self.plain_value((start, end)) {
            return Some(Ok(line));
        }
        // A brace after blanks: the labels of this name, or an error that the whole line tells.
        let behind = rest.get(series.len()..).unwrap_or_default();
        if behind.iter().find(|b| !matches!(b, b' ' | b'\t')) == Some(&b'{')
            && self.format == PageFormat::Text
        {
            return None;
        }
        self.cursor.entry = start;
        self.cursor.at = end;
        self.cursor.state = State::Value;
        Some(self.end_of_series((start, end)))
    }

    /// The type last told by a `TYPE` line, whatever its name.
    #[must_use]
    pub fn kind(&self) -> MetricKind {
        self.kind
    }

    /// What is not read yet.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.cursor.data.get(self.cursor.at..).unwrap_or_default()
    }

    /// Where the next entry begins, in bytes from the beginning of the page.
    #[inline]
    #[must_use]
    pub fn offset(&self) -> usize {
        self.cursor.at.min(self.cursor.data.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Entries up to the error or the end, with the token path alone.
    fn by_tokens(format: PageFormat, page: &[u8]) -> Vec<Result<Entry<'_>, ParseError>> {
        let mut parser = PageParser::new(format, page);
        let mut entries = Vec::new();
        loop {
            entries.push(match format {
                PageFormat::Text => parser.next_text(),
                PageFormat::OpenMetrics => parser.next_openmetrics(),
            });
            if matches!(entries.last(), Some(Err(_) | Ok(Entry::Eof))) {
                return entries;
            }
        }
    }

    fn entries(format: PageFormat, page: &[u8]) -> Vec<Result<Entry<'_>, ParseError>> {
        let mut parser = PageParser::new(format, page);
        let mut entries = Vec::new();
        loop {
            let before = parser.clone();
            let entry = parser.next();
            if let Ok(Entry::Series(line)) = &entry {
                let mut again = before;
                if let Some(known) = again.next_if(line.series) {
                    assert_eq!(format!("{known:?}"), format!("{:?}", Ok::<_, ParseError>(*line)));
                    assert_eq!(again.rest(), parser.rest());
                } else {
                    assert_eq!(format!("{:?}", again.next()), format!("{entry:?}"));
                }
                let _ = labels_of(format, line.series, parser.kind());
            }
            entries.push(entry);
            if matches!(entries.last(), Some(Err(_) | Ok(Entry::Eof))) {
                return entries;
            }
        }
    }

    fn check(page: &[u8]) {
        for format in [PageFormat::Text, PageFormat::OpenMetrics] {
            // By their text, since NaN is not equal to itself.
            assert_eq!(format!("{:?}", entries(format, page)), format!("{:?}", by_tokens(format, page)));
        }
    }

    /// Lines made of the pieces that lines are made of, in any order.
    fn scraps() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "a",
            "abc_total",
            "{",
            "}",
            "=",
            "\"",
            "\"x\"",
            "a=\"b\"",
            ",",
            " ",
            " ",
            "\t",
            "\n",
            "\n",
            "1",
            "-2.5e3",
            "NaN",
            "1e400",
            "0x1p1",
            "# ",
            "#",
            "# TYPE ",
            "# HELP ",
            "# UNIT ",
            "# EOF",
            " # {",
            "\\",
            "\0",
            "é",
            "1700000000000",
            "histogram",
            "le=\"1\"",
            "\r",
            "a 1\n",
            "a{b=\"c\"} 1\n",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn scraps_of_lines_read_the_same_on_every_path(page in scraps()) {
            check(&page);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(page in prop::collection::vec(any::<u8>(), 0..200)) {
            check(&page);
        }
    }

    #[test]
    fn a_known_series_is_not_taken_for_a_longer_one() {
        for (page, known) in [
            ("ab 1\n", "a"),
            ("a {x=\"y\"} 1\n", "a"),
            ("a{x=\"y\"} 1\n", "a"),
            (" a 1\n", "a"),
            ("a", "a"),
            ("a 1\n", ""),
        ] {
            let mut parser = PageParser::new(PageFormat::Text, page.as_bytes());
            assert!(parser.next_if(known.as_bytes()).is_none(), "{page:?} {known:?}");
            assert_eq!(parser.offset(), 0);
        }
        let page = b"a{x=\"y\"}   1.5 17\nb 2\n";
        let part = value_after(PageFormat::Text, page, 8).unwrap().unwrap();
        assert_eq!((part.value, part.timestamp_ms, part.len), (1.5, Some(17), 18));
        assert!(value_after(PageFormat::Text, b"a x\n", 1).unwrap().is_err());
        assert!(value_after(PageFormat::Text, b"a 1\n", 99).is_none());
    }
}
