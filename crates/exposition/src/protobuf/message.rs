//! A `Metric` message, decoded into memory that is used again.

use model::histogram::Span;

use super::wire::{BYTES, FIXED64, Reader, Tag, VARINT, refused, unzigzag};
use crate::page::ParseError;

/// What a family's head says. The bytes are not checked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head<'a> {
    pub(super) name: &'a [u8],
    pub(super) help: &'a [u8],
    pub(super) unit: &'a [u8],
    pub(super) kind: i32,
}

/// Reads a `MetricFamily` without what is in its metrics, whose bytes are put into `metrics`.
pub(super) fn read_family<'a>(data: &'a [u8], metrics: &mut Vec<&'a [u8]>) -> Result<Head<'a>, ParseError> {
    let mut head = Head::default();
    metrics.clear();
    let mut reader = Reader::new("MetricFamily", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => head.name = bytes(&mut reader, tag, "Name")?,
            2 => head.help = bytes(&mut reader, tag, "Help")?,
            3 => {
                tag.expect(VARINT, "Type")?;
                head.kind = reader.varint()? as i32;
            }
            4 => metrics.push(bytes(&mut reader, tag, "Metric")?),
            5 => head.unit = bytes(&mut reader, tag, "Unit")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(head)
}

/// A bucket of a classic histogram.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClassicBucket<'a> {
    count: u64,
    count_float: f64,
    pub(super) bound: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

impl ClassicBucket<'_> {
    pub(super) fn count(&self) -> f64 {
        float_or(self.count_float, self.count)
    }
}

fn float_or(float: f64, integer: u64) -> f64 {
    if float == 0.0 { integer as f64 } else { float }
}

/// One side of a native histogram.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) spans: Vec<Span>,
    pub(super) deltas: Vec<i64>,
    pub(super) counts: Vec<f64>,
}

impl Side {
    fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
    }
}

/// The fields of a metric of any kind.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    /// `LabelPair` messages.
    pub(super) labels: Vec<&'a [u8]>,
    pub(super) timestamp_ms: i64,
    pub(super) counter: Simple<'a>,
    pub(super) gauge: f64,
    pub(super) untyped: f64,
    pub(super) summary: Summary,
    pub(super) histogram: Histogram<'a>,
}

#[derive(Debug, Default)]
pub(super) struct Simple<'a> {
    pub(super) value: f64,
    pub(super) exemplar: Option<&'a [u8]>,
    pub(super) start: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) start: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Histogram<'a> {
    pub(super) count_integer: u64,
    pub(super) count_float: f64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<ClassicBucket<'a>>,
    pub(super) start: Option<i64>,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: u64,
    pub(super) zero_count_float: f64,
    pub(super) positive: Side,
    pub(super) negative: Side,
    pub(super) exemplars: Vec<&'a [u8]>,
}

impl<'a> Metric<'a> {
    fn clear(&mut self) {
        self.labels.clear();
        self.timestamp_ms = 0;
        self.counter = Simple::default();
        (self.gauge, self.untyped) = (0.0, 0.0);
        let mut quantiles = std::mem::take(&mut self.summary.quantiles);
        quantiles.clear();
        self.summary = Summary { quantiles, ..Summary::default() };
        self.histogram.clear();
    }

    pub(super) fn read(&mut self, data: &'a [u8]) -> Result<(), ParseError> {
        self.clear();
        let mut reader = Reader::new("Metric", data);
        while let Some(tag) = reader.tag()? {
            match tag.field {
                1 => self.labels.push(bytes(&mut reader, tag, "Label")?),
                2 => self.gauge = read_value("Gauge", bytes(&mut reader, tag, "Gauge")?, self.gauge)?,
                3 => self.counter.read(bytes(&mut reader, tag, "Counter")?)?,
                4 => self.summary.read(bytes(&mut reader, tag, "Summary")?)?,
                5 => self.untyped = read_value("Untyped", bytes(&mut reader, tag, "Untyped")?, self.untyped)?,
                6 => {
                    tag.expect(VARINT, "TimestampMs")?;
                    self.timestamp_ms = reader.varint()? as i64;
                }
                7 => self.histogram.read(bytes(&mut reader, tag, "Histogram")?)?,
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }
}

fn bytes<'a>(reader: &mut Reader<'a>, tag: Tag, field: &str) -> Result<&'a [u8], ParseError> {
    tag.expect(BYTES, field)?;
    reader.bytes()
}

fn double(reader: &mut Reader<'_>, tag: Tag, field: &str) -> Result<f64, ParseError> {
    tag.expect(FIXED64, field)?;
    reader.double()
}

/// `Gauge` and `Untyped`.
fn read_value(message: &'static str, data: &[u8], before: f64) -> Result<f64, ParseError> {
    let mut value = before;
    let mut reader = Reader::new(message, data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => value = double(&mut reader, tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(value)
}

/// A `Timestamp` in milliseconds.
fn read_timestamp(data: &[u8]) -> Result<i64, ParseError> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let mut reader = Reader::new("Timestamp", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => {
                tag.expect(VARINT, "Seconds")?;
                seconds = reader.varint()? as i64;
            }
            2 => {
                tag.expect(VARINT, "Nanos")?;
                nanos = reader.varint()? as i32;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(seconds.wrapping_mul(1000).wrapping_add(i64::from(nanos / 1_000_000)))
}

impl<'a> Simple<'a> {
    fn read(&mut self, data: &'a [u8]) -> Result<(), ParseError> {
        let mut reader = Reader::new("Counter", data);
        while let Some(tag) = reader.tag()? {
            match tag.field {
                1 => self.value = double(&mut reader, tag, "Value")?,
                2 => self.exemplar = Some(checked_exemplar(bytes(&mut reader, tag, "Exemplar")?)?),
                3 => self.start = Some(read_timestamp(bytes(&mut reader, tag, "StartTimestamp")?)?),
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }
}

impl Summary {
    fn read(&mut self, data: &[u8]) -> Result<(), ParseError> {
        let mut reader = Reader::new("Summary", data);
        while let Some(tag) = reader.tag()? {
            match tag.field {
                1 => {
                    tag.expect(VARINT, "SampleCount")?;
                    self.count = reader.varint()?;
                }
                2 => self.sum = double(&mut reader, tag, "SampleSum")?,
                3 => self.quantiles.push(read_quantile(bytes(&mut reader, tag, "Quantile")?)?),
                4 => self.start = Some(read_timestamp(bytes(&mut reader, tag, "StartTimestamp")?)?),
                _ => reader.skip(tag)?,
            }
        }
        Ok(())
    }
}

fn read_quantile(data: &[u8]) -> Result<(f64, f64), ParseError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new("Quantile", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => quantile = double(&mut reader, tag, "Quantile")?,
            2 => value = double(&mut reader, tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok((quantile, value))
}

impl<'a> Histogram<'a> {
    fn clear(&mut self) {
        let mut old = std::mem::take(self);
        old.buckets.clear();
        old.positive.clear();
        old.negative.clear();
        old.exemplars.clear();
        *self = Histogram {
            buckets: old.buckets,
            positive: old.positive,
            negative: old.negative,
            exemplars: old.exemplars,
            ..Histogram::default()
        };
    }

    fn read(&mut self, data: &'a [u8]) -> Result<(), ParseError> {
        let mut reader = Reader::new("Histogram", data);
        let r = &mut reader;
        while let Some(tag) = r.tag()? {
            match tag.field {
                1 => {
                    tag.expect(VARINT, "SampleCount")?;
                    self.count_integer = r.varint()?;
                }
                2 => self.sum = double(r, tag, "SampleSum")?,
                3 => self.buckets.push(read_bucket(bytes(r, tag, "Bucket")?)?),
                4 => self.count_float = double(r, tag, "SampleCountFloat")?,
                5 => {
                    tag.expect(VARINT, "Schema")?;
                    self.schema = r.zigzag()? as i32;
                }
                6 => self.zero_threshold = double(r, tag, "ZeroThreshold")?,
                7 => {
                    tag.expect(VARINT, "ZeroCount")?;
                    self.zero_count = r.varint()?;
                }
                8 => self.zero_count_float = double(r, tag, "ZeroCountFloat")?,
                9 => self.negative.spans.push(read_span(bytes(r, tag, "NegativeSpan")?)?),
                10 => read_deltas(r, tag, "NegativeDelta", &mut self.negative.deltas)?,
                11 => read_doubles(r, tag, "NegativeCount", &mut self.negative.counts)?,
                12 => self.positive.spans.push(read_span(bytes(r, tag, "PositiveSpan")?)?),
                13 => read_deltas(r, tag, "PositiveDelta", &mut self.positive.deltas)?,
                14 => read_doubles(r, tag, "PositiveCount", &mut self.positive.counts)?,
                15 => self.start = Some(read_timestamp(bytes(r, tag, "StartTimestamp")?)?),
                16 => self.exemplars.push(checked_exemplar(bytes(r, tag, "Exemplars")?)?),
                _ => r.skip(tag)?,
            }
        }
        Ok(())
    }

    pub(super) fn count(&self) -> f64 {
        float_or(self.count_float, self.count_integer)
    }

    /// Whether its counts are floats.
    pub(super) fn is_float(&self) -> bool {
        self.count_float > 0.0 || self.zero_count_float > 0.0
    }

    /// A native histogram has spans, a zero bucket or at least a width of one.
    pub(super) fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    /// Refuses spans that are not as long as there are counts.
    pub(super) fn check_spans(&self) -> Result<(), String> {
        let float = self.is_float();
        for (name, side) in [("positive", &self.positive), ("negative", &self.negative)] {
            let have = if float { side.counts.len() } else { side.deltas.len() };
            let required: u64 = side.spans.iter().map(|span| u64::from(span.length)).sum();
            if required != have as u64 {
                return Err(format!("{name} side: spans require {required} buckets, have {have}"));
            }
        }
        Ok(())
    }
}

fn read_bucket(data: &[u8]) -> Result<ClassicBucket<'_>, ParseError> {
    let mut bucket = ClassicBucket::default();
    let mut reader = Reader::new("Bucket", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => {
                tag.expect(VARINT, "CumulativeCount")?;
                bucket.count = reader.varint()?;
            }
            2 => bucket.bound = double(&mut reader, tag, "UpperBound")?,
            3 => bucket.exemplar = Some(checked_exemplar(bytes(&mut reader, tag, "Exemplar")?)?),
            4 => bucket.count_float = double(&mut reader, tag, "CumulativeCountFloat")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok(bucket)
}

fn read_span(data: &[u8]) -> Result<Span, ParseError> {
    let mut span = Span::default();
    let mut reader = Reader::new("BucketSpan", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => {
                tag.expect(VARINT, "Offset")?;
                span.offset = reader.zigzag()? as i32;
            }
            2 => {
                tag.expect(VARINT, "Length")?;
                span.length = reader.varint()? as u32;
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(span)
}

fn read_deltas(
    reader: &mut Reader<'_>,
    tag: Tag,
    field: &'static str,
    out: &mut Vec<i64>,
) -> Result<(), ParseError> {
    match tag.wire {
        VARINT => out.push(reader.zigzag()?),
        BYTES => {
            let mut packed = Reader::new(field, reader.bytes()?);
            while !packed.is_empty() {
                out.push(unzigzag(packed.varint()?));
            }
        }
        _ => return Err(tag.wrong(field)),
    }
    Ok(())
}

fn read_doubles(
    reader: &mut Reader<'_>,
    tag: Tag,
    field: &'static str,
    out: &mut Vec<f64>,
) -> Result<(), ParseError> {
    match tag.wire {
        FIXED64 => out.push(reader.double()?),
        BYTES => {
            let mut packed = Reader::new(field, reader.bytes()?);
            while !packed.is_empty() {
                out.push(packed.double()?);
            }
        }
        _ => return Err(tag.wrong(field)),
    }
    Ok(())
}

/// An exemplar whose labels are not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Example {
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
}

/// Reads an `Exemplar`; `label` gets names and values.
pub(super) fn read_exemplar<'a>(
    data: &'a [u8],
    mut label: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<Example, ParseError> {
    let mut example = Example::default();
    let mut reader = Reader::new("Exemplar", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => {
                let (name, value) = read_pair(bytes(&mut reader, tag, "Label")?)?;
                label(name, value);
            }
            2 => example.value = double(&mut reader, tag, "Value")?,
            3 => example.timestamp_ms = Some(read_timestamp(bytes(&mut reader, tag, "Timestamp")?)?),
            _ => reader.skip(tag)?,
        }
    }
    Ok(example)
}

fn checked_exemplar(data: &[u8]) -> Result<&[u8], ParseError> {
    read_exemplar(data, |_, _| {})?;
    Ok(data)
}

/// Name and value of a `LabelPair`.
pub(super) fn read_pair(data: &[u8]) -> Result<(&[u8], &[u8]), ParseError> {
    let (mut name, mut value): (&[u8], &[u8]) = Default::default();
    let mut reader = Reader::new("LabelPair", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => name = bytes(&mut reader, tag, "Name")?,
            2 => value = bytes(&mut reader, tag, "Value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok((name, value))
}

/// As [`read_pair`], of a series: both must be UTF-8, and the name not empty.
pub(super) fn read_label(data: &[u8]) -> Result<(&str, &str), ParseError> {
    fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, ParseError> {
        std::str::from_utf8(bytes)
            .map_err(|_| refused(format!("invalid label {what}: {}", String::from_utf8_lossy(bytes))))
    }
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new("LabelPair", data);
    while let Some(tag) = reader.tag()? {
        match tag.field {
            1 => {
                name = text(bytes(&mut reader, tag, "Name")?, "name")?;
                if name.is_empty() {
                    return Err(refused("invalid label name: "));
                }
            }
            2 => value = text(bytes(&mut reader, tag, "Value")?, "value")?,
            _ => reader.skip(tag)?,
        }
    }
    Ok((name, value))
}
