//! A page line by line, at any place: what [`exposition`] reads, as [`crate::walk`] wants it.

pub(crate) use exposition::{PageFormat, ParseError as SyntaxError};

use exposition::{
    Entry, MetricKind, PageParser, ProtobufEntry, ProtobufOptions, ProtobufParser, RawExemplar, SeriesLine,
    ValuePart,
};

use crate::metadata::{MetadataBuilder, PageMetadata};

/// A line and where the next one begins.
pub(crate) enum Line<'p> {
    Sample {
        series: &'p [u8],
        value: f64,
        timestamp: Option<i64>,
        exemplar: Option<RawExemplar<'p>>,
        next: usize,
    },
    /// Any `#` line (with blank lines before it), without its line feed.
    Comment {
        text: &'p [u8],
        is_type: bool,
        /// What a `# UNIT` line tells.
        unit: Option<Box<str>>,
        next: usize,
    },
    End,
}

/// Value and timestamp of a line, and where the next one begins.
pub(crate) struct Value<'p> {
    pub(crate) value: f64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) exemplar: Option<RawExemplar<'p>>,
    pub(crate) next: usize,
}

/// Parses the line at `pos`.
pub(crate) fn line_at(page: &[u8], pos: usize, format: PageFormat) -> Result<Line<'_>, SyntaxError> {
    let mut parser = PageParser::new(format, page.get(pos..).unwrap_or_default());
    let entry = parser.next()?;
    let next = pos + parser.offset();
    Ok(match entry {
        Entry::Series(line) => {
            let SeriesLine { series, value, timestamp_ms: timestamp, exemplar } = line;
            Line::Sample { series, value, timestamp, exemplar, next }
        }
        Entry::Eof => Line::End,
        other => {
            let text = page.get(pos..next).unwrap_or_default();
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let (is_type, unit) = match other {
                Entry::Type { .. } => (true, None),
                Entry::Unit { unit, .. } => (false, Some((&*unit).into())),
                _ => (false, None),
            };
            Line::Comment { text, is_type, unit, next }
        }
    })
}

/// Value and timestamp of a line whose series part, known to be one, is `page[start..end]`. None: parse the line.
#[inline]
pub(crate) fn value_after(page: &[u8], start: usize, end: usize, format: PageFormat) -> Option<Value<'_>> {
    if !matches!(page.get(end), Some(b' ' | b'\t')) {
        return None;
    }
    let line = page.get(start..)?;
    let part = exposition::value_after(format, line, end - start)?.ok()?;
    let ValuePart { value, timestamp_ms: timestamp, exemplar, len } = part;
    Some(Value { value, timestamp, exemplar, next: start + len })
}

/// The type that the `# TYPE` line at `type_line` tells.
pub(crate) fn kind_at(page: &[u8], type_line: Option<usize>, format: PageFormat) -> MetricKind {
    let Some(line) = type_line.and_then(|pos| page.get(pos..)) else { return MetricKind::Untyped };
    match PageParser::new(format, line).next() {
        Ok(Entry::Type { kind, .. }) => kind,
        _ => MetricKind::Untyped,
    }
}

/// What the `#` lines of a page say, or of as much of it as was read.
pub(crate) fn metadata(page: &[u8], format: PageFormat) -> PageMetadata {
    let mut found = MetadataBuilder::default();
    let mut pos = 0;
    while let Some(rest) = page.get(pos..).filter(|rest| !rest.is_empty()) {
        if rest.first().is_some_and(|b| matches!(b, b'#' | b' ' | b'\t')) {
            let mut parser = PageParser::new(format, rest);
            match parser.next() {
                Ok(Entry::Type { name, kind }) => found.family(&name).kind = kind,
                Ok(Entry::Help { name, text }) => found.family(&name).help = (&*text).into(),
                Ok(Entry::Unit { name, unit }) => found.family(&name).unit = (&*unit).into(),
                _ => {}
            }
        }
        match memchr::memchr(b'\n', rest) {
            Some(end) => pos += end + 1,
            None => break,
        }
    }
    found.finish()
}

/// What a protobuf page says about its families, up to where it is broken.
pub(crate) fn protobuf_metadata(page: &[u8]) -> PageMetadata {
    let mut found = MetadataBuilder::default();
    // Histograms are not looked into; native ones come as the few series of classic ones.
    let mut parser = ProtobufParser::new(page, ProtobufOptions::default());
    loop {
        match parser.next() {
            Ok(ProtobufEntry::Family(told)) => {
                let family = found.family(told.name);
                family.kind = told.kind;
                family.help = told.help.into();
                family.unit = told.unit.into();
            }
            Ok(ProtobufEntry::Eof) | Err(_) => return found.finish(),
            Ok(_) => {}
        }
    }
}
