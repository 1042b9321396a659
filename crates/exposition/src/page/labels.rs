//! The label part of a series line.

use model::{Labels, METRIC_NAME, METRIC_TYPE, METRIC_UNIT, is_legacy_label_name};

use super::cursor::{Cursor, ParseError, Span, Token, quote_bytes};
use super::format::PageFormat;
use crate::family::MetricKind;

/// Which label block is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    Series,
    Exemplar,
}

impl Cursor<'_> {
    /// Reads a label block whose opening brace is behind the cursor, up to and with the closing one. `pair` gets the spans of each name and
    /// value, without quotes; a metric name among the labels goes to `name`.
    pub(super) fn label_block(
        &mut self,
        format: PageFormat,
        block: Block,
        name: &mut Option<Span>,
        mut pair: impl FnMut(Span, Span),
    ) -> Result<(), ParseError> {
        let mut token = self.next_token(format);
        loop {
            let mut label = self.token_span();
            let quoted = match token {
                Token::BraceClose => return Ok(()),
                Token::LabelName => false,
                Token::QuotedString => true,
                _ => return Err(self.unexpected("expected label name", token)),
            };
            if quoted {
                label = (label.0 + 1, label.1 - 1);
            }
            token = self.next_token(format);
            // A quoted string that has no value is the metric's name.
            if quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if block == Block::Exemplar {
                    return Err(self.unexpected("expected label name", token));
                }
                if name.replace(label).is_some() {
                    let text = format!("metric name already set while parsing: {}", self.entry_so_far());
                    return Err(ParseError::new(text));
                }
                if token == Token::BraceClose {
                    return Ok(());
                }
                token = self.next_token(format);
                continue;
            }
            if token != Token::Equal {
                return Err(self.unexpected("expected equal", token));
            }
            token = self.next_token(format);
            if token != Token::LabelValue {
                return Err(self.unexpected("expected label value", token));
            }
            if std::str::from_utf8(self.token_bytes()).is_err() {
                let text = format!("invalid UTF-8 label value: {}", quote_bytes(self.token_bytes()));
                return Err(ParseError::new(text));
            }
            let (from, to) = self.token_span();
            pair(label, (from + 1, to - 1));
            token = self.next_token(format);
            if token == Token::Comma {
                token = self.next_token(format);
            } else if format == PageFormat::OpenMetrics && token != Token::BraceClose {
                return Err(self.unexpected("expected comma or brace close", token));
            }
        }
    }
}

/// Why a series line has no label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// The text is not what [`PageParser`](super::PageParser) returns as a series.
    #[error(transparent)]
    Syntax(#[from] ParseError),
    /// Two values for one label.
    #[error("label name \"{0}\" is not unique: invalid sample")]
    Duplicate(Box<str>),
    /// A name is not UTF-8. Prometheus tells all labels, the target's too: see [`InvalidNames::with`].
    #[error("{0}")]
    NotUtf8(InvalidNames),
}

/// Labels of which at least one name is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidNames(Vec<(Vec<u8>, Vec<u8>)>);

impl From<&Labels> for InvalidNames {
    fn from(labels: &Labels) -> Self {
        InvalidNames(labels.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl InvalidNames {
    /// The labels with those of `target` that they do not have themselves.
    #[must_use]
    pub fn with(mut self, target: &Labels) -> Self {
        for (name, value) in target {
            if !self.0.iter().any(|(own, _)| own == name.as_bytes()) {
                self.0.push((name.into(), value.into()));
            }
        }
        self
    }
}

impl std::fmt::Display for InvalidNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort();
        f.write_str("invalid metric name or label names: {")?;
        for (i, (name, value)) in pairs.into_iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            match std::str::from_utf8(name) {
                Ok(name) if is_legacy_label_name(name) => f.write_str(name)?,
                _ => f.write_str(&quote_bytes(name))?,
            }
            write!(f, "={}", quote_bytes(value))?;
        }
        f.write_str("}")
    }
}

/// Room to read the labels of one series line after the other without allocating.
#[derive(Debug, Default)]
pub struct LabelsBuf {
    /// All names and values, unescaped.
    text: String,
    /// Spans of names and values in `text`, sorted by name; a name with an empty value is not among them.
    pairs: Vec<(Span, Span)>,
    /// Names that were given an empty value, which removes the label.
    removed: Vec<Span>,
}

impl LabelsBuf {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the labels of `series`, which a [`PageParser`](super::PageParser) of the same format has returned while `kind` was the type
    /// last told. The name is a label too. The bounds of classic histograms and the quantiles of summaries are written as OpenMetrics has
    /// them (`1` becomes `1.0`).
    ///
    /// # Errors
    /// [`LabelsError`]; the buffer is empty then.
    pub fn read(&mut self, format: PageFormat, series: &[u8], kind: MetricKind) -> Result<(), LabelsError> {
        let result = self.try_read(format, series, kind);
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Reads labels that are not part of a line: unescaped, in any order.
    pub(crate) fn read_pairs<'a>(
        &mut self,
        pairs: impl Iterator<Item = Result<(&'a str, &'a str), ParseError>>,
    ) -> Result<(), LabelsError> {
        self.clear();
        for pair in pairs {
            let (name, value) = match pair {
                Ok(pair) => pair,
                Err(err) => {
                    self.clear();
                    return Err(err.into());
                }
            };
            let name = self.push_text(name);
            if value.is_empty() {
                self.removed.push(name);
            } else {
                let value = self.push_text(value);
                self.pairs.push((name, value));
            }
        }
        let settled = self.settle();
        if settled.is_err() {
            self.clear();
        }
        settled
    }

    /// Replaces the name and drops `label`: what is left of a classic histogram's series.
    pub fn rename_without(&mut self, name: &str, label: &str) {
        let name = self.push_text(name);
        let text = &self.text;
        let get = |(from, to): Span| text.get(from..to).unwrap_or_default();
        self.pairs.retain(|pair| get(pair.0) != label);
        self.removed.retain(|&removed| get(removed) != label);
        for pair in self.pairs.iter_mut().filter(|pair| get(pair.0) == METRIC_NAME) {
            pair.1 = name;
        }
    }

    /// Writes what is known of type and unit into the labels `__type__` and `__unit__`, over what the line says there.
    pub fn set_type_and_unit(&mut self, kind: MetricKind, unit: &str) {
        let kind = if kind == MetricKind::Untyped { "" } else { kind.as_str() };
        for (name, value) in [(METRIC_TYPE, kind), (METRIC_UNIT, unit)] {
            if value.is_empty() {
                continue;
            }
            let value = self.push_text(value);
            let text = &self.text;
            let get = |(from, to): Span| text.get(from..to).unwrap_or_default();
            self.removed.retain(|&removed| get(removed) != name);
            match self.pairs.binary_search_by(|pair| get(pair.0).cmp(name)) {
                Ok(place) => self.pairs[place].1 = value,
                Err(place) => {
                    let name = self.push_text(name);
                    self.pairs.insert(place, (name, value));
                }
            }
        }
    }

    fn push_text(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        (start, self.text.len())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.pairs.clear();
        self.removed.clear();
    }

    fn try_read(&mut self, format: PageFormat, series: &[u8], kind: MetricKind) -> Result<(), LabelsError> {
        self.clear();
        let mut cursor = Cursor::new(series, false);
        let mut name = None;
        let mut all_utf8 = true;
        let mut token = cursor.next_token(format);
        if token == Token::MetricName {
            // From the very start: blanks before a name belong to it.
            name = Some((0, cursor.at));
            token = cursor.next_token(format);
        }
        if token == Token::BraceOpen {
            cursor.label_block(format, Block::Series, &mut name, |label, value| {
                all_utf8 &= self.push(slice(series, label), slice(series, value), kind);
            })?;
        }
        let Some(name) = name else {
            return Err(cursor.unexpected("expected a valid start token", token).into());
        };
        all_utf8 &= self.push(METRIC_NAME.as_bytes(), slice(series, name), MetricKind::Untyped);
        if !all_utf8 {
            return Err(LabelsError::NotUtf8(raw_pairs(format, series)));
        }
        self.settle()
    }

    /// Appends a pair; `false` when it is not UTF-8.
    fn push(&mut self, name: &[u8], value: &[u8], kind: MetricKind) -> bool {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return false;
        };
        let name = push_unescaped(&mut self.text, name);
        let is_bound = match kind {
            MetricKind::Histogram => self.get(name) == "le",
            MetricKind::Summary => self.get(name) == "quantile",
            _ => false,
        };
        let value = push_unescaped(&mut self.text, value);
        let value = if is_bound { self.push_canonical(value) } else { value };
        if value.0 == value.1 {
            self.removed.push(name);
        } else {
            self.pairs.push((name, value));
        }
        true
    }

    fn push_canonical(&mut self, value: Span) -> Span {
        let Some(bound) = model::number::parse_float(self.get(value)) else { return value };
        let start = self.text.len();
        push_openmetrics_number(&mut self.text, bound);
        (start, self.text.len())
    }

    /// Sorts the pairs, drops what an empty value removes and refuses what is left twice.
    fn settle(&mut self) -> Result<(), LabelsError> {
        let text = &self.text;
        let get = |(from, to): Span| text.get(from..to).unwrap_or_default();
        self.pairs.sort_unstable_by(|a, b| get(a.0).cmp(get(b.0)));
        if !self.removed.is_empty() {
            let removed = &self.removed;
            self.pairs.retain(|pair| !removed.iter().any(|&name| get(name) == get(pair.0)));
        }
        let twice = self.pairs.windows(2).find_map(|pair| match pair {
            [a, b] if get(a.0) == get(b.0) => Some(get(a.0).into()),
            _ => None,
        });
        twice.map_or(Ok(()), |name| Err(LabelsError::Duplicate(name)))
    }

    fn get(&self, (from, to): Span) -> &str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Names and values, sorted by name; no value is empty.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|&(name, value)| (self.get(name), self.get(value)))
    }

    /// The names that stand on the line with an empty value. With `honor_labels` they remove the target's label of that name.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.removed.iter().map(|&name| self.get(name))
    }

    /// The label set. It has no `__name__` if the name on the line is empty.
    #[must_use]
    pub fn labels(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}

/// The labels of one series line: see [`LabelsBuf::read`].
///
/// # Errors
/// [`LabelsError`].
pub fn labels_of(format: PageFormat, series: &[u8], kind: MetricKind) -> Result<Labels, LabelsError> {
    let mut buf = LabelsBuf::new();
    buf.read(format, series, kind)?;
    Ok(buf.labels())
}

fn slice(bytes: &[u8], (from, to): Span) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

fn raw_pairs(format: PageFormat, series: &[u8]) -> InvalidNames {
    let mut cursor = Cursor::new(series, false);
    let mut name = None;
    let mut pairs = Vec::new();
    if cursor.next_token(format) == Token::MetricName {
        name = Some((0, cursor.at));
        cursor.next_token(format);
    }
    let read = cursor.label_block(format, Block::Series, &mut name, |label, value| {
        pairs.push((slice(series, label).to_vec(), slice(series, value).to_vec()));
    });
    debug_assert!(read.is_ok(), "read before");
    pairs.extend(name.map(|name| (METRIC_NAME.into(), slice(series, name).to_vec())));
    InvalidNames(pairs)
}

/// Appends `raw` with `\\`, `\"` and `\n` replaced; any other backslash stays.
fn push_unescaped(out: &mut String, raw: &str) -> Span {
    let start = out.len();
    unescape(out, raw, true);
    (start, out.len())
}

/// Appends `raw` with `\\`, `\n` and, if `quotes`, `\"` replaced; any other backslash stays.
pub(super) fn unescape(out: &mut String, raw: &str, quotes: bool) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (before, from_backslash) = rest.split_at(at);
        out.push_str(before);
        let replaced = match from_backslash.as_bytes().get(1) {
            Some(b'\\') => Some('\\'),
            Some(b'n') => Some('\n'),
            Some(b'"') if quotes => Some('"'),
            _ => None,
        };
        let used = if replaced.is_some() { 2 } else { 1 };
        out.push(replaced.unwrap_or('\\'));
        rest = from_backslash.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// A float with a point or an exponent, always: how OpenMetrics writes bounds and quantiles.
pub(crate) fn push_openmetrics_number(out: &mut String, v: f64) {
    if v == 0.0 {
        out.push_str("0.0");
        return;
    }
    let start = out.len();
    model::number::push_g(out, v);
    if v.is_finite() && !out.get(start..).unwrap_or_default().contains(['.', 'e']) {
        out.push_str(".0");
    }
}
