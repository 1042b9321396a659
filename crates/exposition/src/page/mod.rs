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
