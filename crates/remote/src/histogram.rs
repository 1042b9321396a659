//! `prometheus.Histogram` and `io.prometheus.write.v2.Histogram`, which differ in the start time alone.

use exposition::ParseError;
use exposition::protobuf_wire::{BYTES, FIXED64, Reader, Tag, VARINT, unzigzag};
use exposition::protobuf_write;
use model::histogram::{
    CUSTOM_BUCKETS, CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Span, populations, spans,
};

use crate::encode;

/// A native histogram of a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WireHistogram {
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// When the counting began, in milliseconds since the Unix epoch; 0 when that is not known.
    pub start_time: i64,
    count: Count,
    zero_count: Count,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    reset: u64,
    positive: Side,
    negative: Side,
    custom_values: Vec<f64>,
}

/// Of which one is there: an integer or a float.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Count {
    #[default]
    None,
    Integer(u64),
    Float(f64),
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl WireHistogram {
    /// Reads the message.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(data: &[u8]) -> Result<Self, ParseError> {
        let mut h = WireHistogram::default();
        let mut r = Reader::new("Histogram", data);
        while let Some(tag) = r.tag()? {
            match tag.field {
                1 => h.count = Count::Integer(integer(&mut r, tag, "CountInt")?),
                2 => h.count = Count::Float(double(&mut r, tag, "CountFloat")?),
                3 => h.sum = double(&mut r, tag, "Sum")?,
                4 => h.schema = unzigzag(integer(&mut r, tag, "Schema")? & 0xffff_ffff) as i32,
                5 => h.zero_threshold = double(&mut r, tag, "ZeroThreshold")?,
                6 => h.zero_count = Count::Integer(integer(&mut r, tag, "ZeroCountInt")?),
                7 => h.zero_count = Count::Float(double(&mut r, tag, "ZeroCountFloat")?),
                8 => h.negative.spans.push(span(&mut r, tag, "NegativeSpans")?),
                9 => integers(&mut r, tag, "NegativeDeltas", &mut h.negative.deltas)?,
                10 => doubles(&mut r, tag, "NegativeCounts", &mut h.negative.counts)?,
                11 => h.positive.spans.push(span(&mut r, tag, "PositiveSpans")?),
                12 => integers(&mut r, tag, "PositiveDeltas", &mut h.positive.deltas)?,
                13 => doubles(&mut r, tag, "PositiveCounts", &mut h.positive.counts)?,
                14 => h.reset = integer(&mut r, tag, "ResetHint")?,
                15 => h.t = integer(&mut r, tag, "Timestamp")? as i64,
                16 => doubles(&mut r, tag, "CustomValues", &mut h.custom_values)?,
                17 => h.start_time = integer(&mut r, tag, "StartTimestamp")? as i64,
                _ => r.skip(tag)?,
            }
        }
        Ok(h)
    }

    /// The histogram in the finest schema that is stored.
    ///
    /// # Errors
    /// When spans and populations contradict each other, in Prometheus' words. What else a histogram must be like,
    /// [`HistogramValue::validate`] says.
    pub fn into_value(self) -> Result<HistogramValue, String> {
        let reset = match self.reset {
            1 => CounterReset::Reset,
            2 => CounterReset::NotReset,
            3 => CounterReset::Gauge,
            _ => CounterReset::Unknown,
        };
        let mut value = match self.count {
            Count::Float(count) => {
                if self.schema == CUSTOM_BUCKETS {
                    self.positive.check("custom buckets")?;
                } else {
                    self.positive.check("positive side")?;
                    self.negative.check("negative side")?;
                }
                HistogramValue::Float(Box::new(FloatHistogram {
                    schema: self.schema,
                    reset,
                    zero_threshold: self.zero_threshold,
                    zero_count: if let Count::Float(zero) = self.zero_count { zero } else { 0.0 },
                    count,
                    sum: self.sum,
                    positive: populations(&self.positive.spans, &self.positive.counts),
                    negative: populations(&self.negative.spans, &self.negative.counts),
                    custom_values: self.custom_values,
                }))
            }
            count => HistogramValue::Integer(Box::new(IntegerHistogram {
                schema: self.schema,
                reset,
                zero_threshold: self.zero_threshold,
                zero_count: if let Count::Integer(zero) = self.zero_count { zero } else { 0 },
                count: if let Count::Integer(count) = count { count } else { 0 },
                sum: self.sum,
                positive_spans: self.positive.spans,
                positive_deltas: self.positive.deltas,
                negative_spans: self.negative.spans,
                negative_deltas: self.negative.deltas,
                custom_values: self.custom_values,
            })),
        };
        if (MAX_SCHEMA + 1..=MAX_RESERVED_SCHEMA).contains(&self.schema) {
            if let HistogramValue::Integer(h) = &value {
                // What is made coarser is read along the spans: they must fit before.
                Side::check_spans(&h.positive_spans, h.positive_deltas.len(), "positive side")?;
                Side::check_spans(&h.negative_spans, h.negative_deltas.len(), "negative side")?;
            }
            match &mut value {
                HistogramValue::Integer(h) => h.reduce_schema(MAX_SCHEMA),
                HistogramValue::Float(h) => h.reduce_schema(MAX_SCHEMA),
            }
        }
        Ok(value)
    }
}

/// The finest schema that is stored, and that there will ever be.
const MAX_SCHEMA: i32 = 8;
const MAX_RESERVED_SCHEMA: i32 = 52;

impl Side {
    fn check(&self, side: &str) -> Result<(), String> {
        Self::check_spans(&self.spans, self.counts.len(), side)
    }

    /// As Prometheus checks them. A histogram of floats is kept without spans, so that this can only be told here.
    fn check_spans(spans: &[Span], have: usize, side: &str) -> Result<(), String> {
        let mut need = 0u64;
        for (i, span) in spans.iter().enumerate() {
            if i > 0 && span.offset < 0 {
                return Err(format!(
                    "{side}: span number {} with offset {}: histogram has a span whose offset is negative",
                    i + 1,
                    span.offset
                ));
            }
            need += u64::from(span.length);
        }
        if need != have as u64 {
            return Err(format!(
                "{side}: spans need {need} buckets, have {have} buckets: histogram spans specify different number of buckets than \
                 provided"
            ));
        }
        Ok(())
    }
}

fn integer(r: &mut Reader<'_>, tag: Tag, field: &str) -> Result<u64, ParseError> {
    tag.expect(VARINT, field)?;
    r.varint()
}

fn double(r: &mut Reader<'_>, tag: Tag, field: &str) -> Result<f64, ParseError> {
    tag.expect(FIXED64, field)?;
    r.double()
}

fn span(r: &mut Reader<'_>, tag: Tag, field: &str) -> Result<Span, ParseError> {
    tag.expect(BYTES, field)?;
    let mut span = Span::default();
    let mut r = Reader::new("BucketSpan", r.bytes()?);
    while let Some(tag) = r.tag()? {
        match tag.field {
            1 => span.offset = unzigzag(integer(&mut r, tag, "Offset")? & 0xffff_ffff) as i32,
            2 => span.length = integer(&mut r, tag, "Length")? as u32,
            _ => r.skip(tag)?,
        }
    }
    Ok(span)
}

/// Packed, or one of them.
fn integers(r: &mut Reader<'_>, tag: Tag, field: &str, out: &mut Vec<i64>) -> Result<(), ParseError> {
    if tag.wire != BYTES {
        out.push(unzigzag(integer(r, tag, field)?));
        return Ok(());
    }
    let mut list = Reader::new("Histogram", r.bytes()?);
    while !list.is_empty() {
        out.push(unzigzag(list.varint()?));
    }
    Ok(())
}

fn doubles(r: &mut Reader<'_>, tag: Tag, field: &str, out: &mut Vec<f64>) -> Result<(), ParseError> {
    if tag.wire != BYTES {
        out.push(double(r, tag, field)?);
        return Ok(());
    }
    let mut list = Reader::new("Histogram", r.bytes()?);
    while !list.is_empty() {
        out.push(list.double()?);
    }
    Ok(())
}

/// Writes the message. The first version has no place for start times: 0 is left out.
pub(crate) fn write(out: &mut Vec<u8>, t: i64, start_time: i64, value: &HistogramValue) {
    let (schema, threshold, sum, custom) = match value {
        HistogramValue::Integer(h) => {
            protobuf_write::push_varint(out, 1, h.count);
            (h.schema, h.zero_threshold, h.sum, &h.custom_values)
        }
        HistogramValue::Float(h) => {
            protobuf_write::push_double(out, 2, h.count);
            (h.schema, h.zero_threshold, h.sum, &h.custom_values)
        }
    };
    encode::double(out, 3, sum);
    encode::integer(out, 4, protobuf_write::zigzag(schema.into()));
    encode::double(out, 5, threshold);
    match value {
        HistogramValue::Integer(h) => {
            protobuf_write::push_varint(out, 6, h.zero_count);
            write_spans(out, 8, &h.negative_spans);
            encode::packed(out, 9, h.negative_deltas.iter().map(|delta| protobuf_write::zigzag(*delta)));
            write_spans(out, 11, &h.positive_spans);
            encode::packed(out, 12, h.positive_deltas.iter().map(|delta| protobuf_write::zigzag(*delta)));
        }
        HistogramValue::Float(h) => {
            protobuf_write::push_double(out, 7, h.zero_count);
            write_spans(out, 8, &spans(&h.negative));
            encode::packed_doubles(out, 10, h.negative.iter().map(|(_, count)| *count));
            write_spans(out, 11, &spans(&h.positive));
            encode::packed_doubles(out, 13, h.positive.iter().map(|(_, count)| *count));
        }
    }
    let reset = match value.reset() {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    encode::integer(out, 14, reset);
    encode::integer(out, 15, t as u64);
    encode::packed_doubles(out, 16, custom.iter().copied());
    encode::integer(out, 17, start_time as u64);
}

fn write_spans(out: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        encode::nested(out, field, |out| {
            encode::integer(out, 1, protobuf_write::zigzag(span.offset.into()));
            encode::integer(out, 2, span.length.into());
        });
    }
}
