//! Sample lines: where the series text ends, and what stands behind it.

use model::Labels;

use super::cursor::{
    Cursor, PLAIN, ParseError, Span, State, Token, is_label_byte, is_label_start, is_name_byte, is_name_start,
};
use super::labels::Block;
use super::openmetrics::no_eof;
use super::value::{not_finite, parse_milliseconds, parse_value, scan_decimal, to_milliseconds};
use super::{PageFormat, PageParser};

/// A sample as it stands on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesLine<'a> {
    /// Name and labels as they are written: what [`labels_of`](super::labels_of) reads.
    pub series: &'a [u8],
    /// The value. NaN is never a staleness marker.
    pub value: f64,
    /// Unix milliseconds, if the line has a time.
    pub timestamp_ms: Option<i64>,
    /// The exemplar, if the line has one (OpenMetrics).
    pub exemplar: Option<RawExemplar<'a>>,
}

/// An exemplar whose labels are not read yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawExemplar<'a> {
    /// The labels between their braces, as they are written.
    pub labels: &'a [u8],
    /// The value.
    pub value: f64,
    /// Unix milliseconds, if the exemplar has a time of its own.
    pub timestamp_ms: Option<i64>,
}

impl RawExemplar<'_> {
    /// The label set. Values are taken as they are written, escapes included, as Prometheus does; of equal names the last wins.
    ///
    /// # Errors
    /// A name is not UTF-8. (Prometheus stores such an exemplar; a label set here cannot.)
    pub fn labels(&self) -> Result<Labels, ParseError> {
        let mut cursor = Cursor::new(self.labels, false);
        cursor.state = State::Exemplar;
        let mut pairs = Vec::new();
        let text = |(from, to): Span| std::str::from_utf8(self.labels.get(from..to).unwrap_or_default());
        cursor.label_block(PageFormat::OpenMetrics, Block::Exemplar, &mut None, |name, value| {
            pairs.push((text(name), text(value)));
        })?;
        let pairs: Option<Vec<_>> =
            pairs.into_iter().map(|(name, value)| name.ok().zip(value.ok())).collect();
        pairs
            .map(Labels::from_pairs)
            .ok_or_else(|| ParseError::new("exemplar label name is not a valid utf8 string"))
    }
}

/// What follows the series text of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValuePart<'a> {
    /// The value.
    pub value: f64,
    /// Unix milliseconds, if the line has a time.
    pub timestamp_ms: Option<i64>,
    /// The exemplar, if the line has one.
    pub exemplar: Option<RawExemplar<'a>>,
    /// Where the next line begins, from the beginning of `line`.
    pub len: usize,
}

/// Reads the value, time and exemplar behind the first `series_len` bytes of `line`, which are known to be the series text of an earlier page
/// of the same format; `line` may go on with the rest of the page. `None` if they are not the whole series text here.
///
/// # Errors
/// What [`PageParser::next`] would say.
#[inline]
pub fn value_after(
    format: PageFormat,
    line: &[u8],
    series_len: usize,
) -> Option<Result<ValuePart<'_>, ParseError>> {
    let mut parser = PageParser::new(format, line);
    let read = parser.next_if(line.get(..series_len)?)?;
    let len = parser.offset();
    Some(read.map(|line| ValuePart {
        value: line.value,
        timestamp_ms: line.timestamp_ms,
        exemplar: line.exemplar,
        len,
    }))
}

impl<'a> PageParser<'a> {
    /// The next entry if it is a sample of the usual form, which both formats share: the name at the very start of the line, labels without
    /// blanks, escapes or characters beyond ASCII, one blank, a short decimal, and perhaps a short time. Anything else is `None`, with the
    /// parser where it was.
    #[inline]
    pub(super) fn plain_series(&mut self) -> Option<SeriesLine<'a>> {
        if self.cursor.state != State::Init {
            return None;
        }
        let start = self.cursor.at;
        let data = self.cursor.data;
        if !is_name_start(*data.get(start)?) {
            return None;
        }
        let mut at = start + 1;
        while is_name_byte(*data.get(at)?) {
            at += 1;
        }
        if data.get(at) == Some(&b'{') {
            at = plain_label_block(data, at + 1)?;
        }
        self.plain_value((start, at))
    }

    /// The sample whose series text is known, if what follows is of the usual form.
    #[inline]
    pub(super) fn plain_value(&mut self, series: Span) -> Option<SeriesLine<'a>> {
        let data = self.cursor.data;
        let mut at = series.1;
        if data.get(at) != Some(&b' ') {
            return None;
        }
        at += 1;
        let (value, len) = scan_decimal(data.get(at..)?)?;
        at += len;
        let mut timestamp_ms = None;
        if data.get(at) == Some(&b' ') && self.format == PageFormat::Text {
            let mut time = 0i64;
            let first = at + 1;
            at = first;
            while let Some(digit) = data.get(at).map(|b| b.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
                time = time.wrapping_mul(10).wrapping_add(i64::from(digit));
                at += 1;
            }
            if !(1..=18).contains(&(at - first)) {
                return None;
            }
            timestamp_ms = Some(time);
        }
        if data.get(at) != Some(&b'\n') {
            return None;
        }
        self.cursor.at = at + 1;
        Some(SeriesLine { series: data.get(series.0..series.1)?, value, timestamp_ms, exemplar: None })
    }

    /// Value, time and exemplar after a series text.
    pub(super) fn end_of_series(&mut self, series: Span) -> Result<SeriesLine<'a>, ParseError> {
        let token = self.cursor.next_token(self.format);
        self.value_token(series, token)
    }

    /// As [`end_of_series`](Self::end_of_series), the first token being read.
    pub(super) fn value_token(&mut self, series: Span, token: Token) -> Result<SeriesLine<'a>, ParseError> {
        if token != Token::Value {
            return Err(self.cursor.unexpected("expected value after metric", token));
        }
        let value = self.number_token()?;
        let (timestamp_ms, exemplar) = match self.format {
            PageFormat::Text => (self.text_time()?, None),
            PageFormat::OpenMetrics => self.openmetrics_time_and_exemplar()?,
        };
        Ok(SeriesLine { series: self.cursor.slice(series), value, timestamp_ms, exemplar })
    }

    /// The number that the last token is. In OpenMetrics the token has the blank before it.
    fn number_token(&self) -> Result<f64, ParseError> {
        let text = self.cursor.token_bytes();
        let text =
            if self.format == PageFormat::OpenMetrics { text.get(1..).unwrap_or_default() } else { text };
        parse_value(text).map_err(|error| self.while_parsing(&error))
    }

    fn while_parsing(&self, error: &ParseError) -> ParseError {
        ParseError::new(format!("{error} while parsing: {}", self.cursor.entry_so_far()))
    }

    fn text_time(&mut self) -> Result<Option<i64>, ParseError> {
        match self.cursor.next_token(PageFormat::Text) {
            Token::Linebreak => Ok(None),
            Token::Timestamp => {
                let time = parse_milliseconds(self.cursor.token_bytes())
                    .map_err(|error| self.while_parsing(&error))?;
                match self.cursor.next_token(PageFormat::Text) {
                    Token::Linebreak => Ok(Some(time)),
                    token => Err(self.cursor.unexpected("expected next entry after timestamp", token)),
                }
            }
            token => Err(self.cursor.unexpected("expected timestamp or new record", token)),
        }
    }

    fn openmetrics_time_and_exemplar(
        &mut self,
    ) -> Result<(Option<i64>, Option<RawExemplar<'a>>), ParseError> {
        match self.cursor.next_token(PageFormat::OpenMetrics) {
            Token::Eof => Err(no_eof()),
            Token::Comment => Ok((None, Some(self.exemplar()?))),
            Token::Timestamp => {
                let time = self.seconds_token("timestamp")?;
                match self.cursor.next_token(PageFormat::OpenMetrics) {
                    Token::Linebreak => Ok((Some(time), None)),
                    Token::Comment => Ok((Some(time), Some(self.exemplar()?))),
                    token => Err(self.cursor.unexpected("expected next entry after timestamp", token)),
                }
            }
            // What is neither is left to the next entry, which it breaks: the sample before it counts.
            _ => Ok((None, None)),
        }
    }

    fn exemplar(&mut self) -> Result<RawExemplar<'a>, ParseError> {
        const FORMAT: PageFormat = PageFormat::OpenMetrics;
        let start = self.cursor.at;
        self.cursor.label_block(FORMAT, Block::Exemplar, &mut None, |_, _| {})?;
        let labels = self.cursor.slice((start, self.cursor.at));
        let token = self.cursor.next_token(FORMAT);
        if token != Token::Value {
            return Err(self.cursor.unexpected("expected value after exemplar labels", token));
        }
        let value = self.number_token()?;
        let timestamp_ms = match self.cursor.next_token(FORMAT) {
            Token::Eof => return Err(no_eof()),
            Token::Linebreak => None,
            Token::Timestamp => {
                let time = self.seconds_token("exemplar timestamp")?;
                match self.cursor.next_token(FORMAT) {
                    Token::Linebreak => Some(time),
                    token => {
                        return Err(self
                            .cursor
                            .unexpected("expected next entry after exemplar timestamp", token));
                    }
                }
            }
            token => return Err(self.cursor.unexpected("expected timestamp or comment", token)),
        };
        Ok(RawExemplar { labels, value, timestamp_ms })
    }

    fn seconds_token(&self, what: &str) -> Result<i64, ParseError> {
        let seconds = self.number_token()?;
        if !seconds.is_finite() {
            return Err(ParseError::new(format!("invalid {what} {}", not_finite(seconds))));
        }
        Ok(to_milliseconds(seconds))
    }
}

/// The end of a label block of the usual form, whose opening brace is behind `at`.
#[inline]
fn plain_label_block(data: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let first = *data.get(at)?;
        if first == b'}' {
            return Some(at + 1);
        }
        if !is_label_start(first) {
            return None;
        }
        at += 1;
        while is_label_byte(*data.get(at)?) {
            at += 1;
        }
        if data.get(at..at + 2)? != b"=\"" {
            return None;
        }
        at += 2;
        while PLAIN[usize::from(*data.get(at)?)] {
            at += 1;
        }
        if data.get(at) != Some(&b'"') {
            return None;
        }
        at += 1;
        match data.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}
