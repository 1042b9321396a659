//! Types 7 to 10, 12 and 13: native histograms. Integer and float populations lie in records of their own, and in the
//! first versions so do exponential and custom buckets.

use std::collections::HashMap;

use model::histogram::{
    CUSTOM_BUCKETS, CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Span, populations, spans,
};

use super::bytes::{Cursor, put_f64, put_uvarint, put_varint};
use super::samples::StartTimes;
use super::{
    BadRecord, CUSTOM_FLOAT_HISTOGRAMS, CUSTOM_HISTOGRAMS, FLOAT_HISTOGRAMS, FLOAT_HISTOGRAMS_V2, HISTOGRAMS,
    HISTOGRAMS_V2,
};

/// The finest resolution that is stored.
const FINEST_SCHEMA: i32 = 8;
/// Schemas that a record may hold: finer ones are brought down to [`FINEST_SCHEMA`], as a later version may write them.
const SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

/// A histogram of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HistogramEntry {
    pub(crate) reference: u64,
    /// 0: none.
    pub(crate) start_time: i64,
    pub(crate) t: i64,
    pub(crate) value: HistogramValue,
}

/// A record that is being written.
#[derive(Debug, Default)]
struct Open {
    buf: Vec<u8>,
    first_time: i64,
    base_ref: u64,
    starts: StartTimes,
}

/// Records of one kind follow those of another when they are read back, so a series may go on within a group only
/// to a kind that comes later: here is their order.
const KINDS: [u8; 4] = [HISTOGRAMS, CUSTOM_HISTOGRAMS, FLOAT_HISTOGRAMS, CUSTOM_FLOAT_HISTOGRAMS];
const KINDS_V2: [u8; 4] = [HISTOGRAMS_V2, HISTOGRAMS_V2, FLOAT_HISTOGRAMS_V2, FLOAT_HISTOGRAMS_V2];

/// Writes histogram records.
#[derive(Debug, Default)]
pub(crate) struct HistogramsEncoder {
    with_start_times: bool,
    /// By place in [`KINDS`]; the second version uses the even ones.
    open: [Open; 4],
    /// First reference and time of integer and of float histograms, whatever their buckets: the first version counts
    /// from there.
    first: [Option<(u64, i64)>; 2],
    /// The last kind of each series of the group.
    kinds: HashMap<u64, usize>,
    /// Records of groups that ended, in order.
    ended: Vec<Vec<u8>>,
}

impl HistogramsEncoder {
    /// Of the second version, which has start times, or of the first.
    pub(crate) fn new(with_start_times: bool) -> Self {
        HistogramsEncoder { with_start_times, ..Self::default() }
    }

    pub(crate) fn clear(&mut self) {
        self.open.iter_mut().for_each(|open| open.buf.clear());
        self.first = [None; 2];
        self.kinds.clear();
        self.ended.clear();
    }

    /// Appends a histogram. `start_time` is 0 where there is none; the first version drops it.
    pub(crate) fn push(&mut self, reference: u64, start_time: i64, t: i64, value: &HistogramValue) {
        let (float, custom) = match value {
            HistogramValue::Integer(h) => (0, h.schema == CUSTOM_BUCKETS),
            HistogramValue::Float(h) => (2, h.schema == CUSTOM_BUCKETS),
        };
        let kind = float + usize::from(custom && !self.with_start_times);
        if self.kinds.insert(reference, kind).is_some_and(|before| before > kind) {
            self.end_group();
            self.kinds.insert(reference, kind);
        }
        let (base_ref, first_time) = *self.first[kind / 2].get_or_insert((reference, t));
        let open = &mut self.open[kind];
        if self.with_start_times {
            open.begin_v2(KINDS_V2[kind], reference, start_time, t);
        } else {
            let first = if custom && open.buf.is_empty() { (reference, t) } else { (base_ref, first_time) };
            open.begin(KINDS[kind], first, reference, t);
        }
        match value {
            HistogramValue::Integer(h) => put_integer(&mut open.buf, h),
            HistogramValue::Float(h) => put_float(&mut open.buf, h),
        }
    }

    /// The records, in the order in which they must be written.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let open = self.open.iter().map(|open| &open.buf[..]);
        self.ended.iter().map(Vec::as_slice).chain(open).filter(|record| !record.is_empty())
    }

    fn end_group(&mut self) {
        let records = self.open.iter_mut().map(|open| std::mem::take(&mut open.buf));
        self.ended.extend(records.filter(|record| !record.is_empty()));
        self.first = [None; 2];
        self.kinds.clear();
    }
}

impl Open {
    fn begin(&mut self, kind: u8, first: (u64, i64), reference: u64, t: i64) {
        if self.buf.is_empty() {
            (self.base_ref, self.first_time) = first;
            self.buf.push(kind);
            self.buf.extend_from_slice(&self.base_ref.to_be_bytes());
            self.buf.extend_from_slice(&self.first_time.to_be_bytes());
        }
        put_varint(&mut self.buf, reference.wrapping_sub(self.base_ref) as i64);
        put_varint(&mut self.buf, t.wrapping_sub(self.first_time));
    }

    fn begin_v2(&mut self, kind: u8, reference: u64, start_time: i64, t: i64) {
        if self.buf.is_empty() {
            self.buf.push(kind);
            put_varint(&mut self.buf, reference as i64);
            put_varint(&mut self.buf, t);
            put_varint(&mut self.buf, start_time);
            self.first_time = t;
            self.starts = StartTimes::begin(start_time);
        } else {
            put_varint(&mut self.buf, reference.wrapping_sub(self.base_ref) as i64);
            put_varint(&mut self.buf, t.wrapping_sub(self.first_time));
            self.starts.put(&mut self.buf, start_time);
        }
        self.base_ref = reference;
    }
}

fn reset_number(reset: CounterReset) -> u8 {
    match reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    }
}

fn reset_of(number: u8) -> CounterReset {
    match number {
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

/// A histogram alone, without reference and times.
pub(super) fn put_value(buf: &mut Vec<u8>, value: &HistogramValue) {
    match value {
        HistogramValue::Integer(h) => put_integer(buf, h),
        HistogramValue::Float(h) => put_float(buf, h),
    }
}

fn put_spans(buf: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(buf, spans.len() as u64);
    for span in spans {
        put_varint(buf, span.offset.into());
        put_uvarint(buf, span.length.into());
    }
}

fn put_custom_values(buf: &mut Vec<u8>, schema: i32, values: &[f64]) {
    if schema == CUSTOM_BUCKETS {
        put_uvarint(buf, values.len() as u64);
        values.iter().for_each(|&v| put_f64(buf, v));
    }
}

fn put_integer(buf: &mut Vec<u8>, h: &IntegerHistogram) {
    buf.push(reset_number(h.reset));
    put_varint(buf, h.schema.into());
    put_f64(buf, h.zero_threshold);
    put_uvarint(buf, h.zero_count);
    put_uvarint(buf, h.count);
    put_f64(buf, h.sum);
    put_spans(buf, &h.positive_spans);
    put_spans(buf, &h.negative_spans);
    for deltas in [&h.positive_deltas, &h.negative_deltas] {
        put_uvarint(buf, deltas.len() as u64);
        deltas.iter().for_each(|&delta| put_varint(buf, delta));
    }
    put_custom_values(buf, h.schema, &h.custom_values);
}

fn put_float(buf: &mut Vec<u8>, h: &FloatHistogram) {
    buf.push(reset_number(h.reset));
    put_varint(buf, h.schema.into());
    put_f64(buf, h.zero_threshold);
    put_f64(buf, h.zero_count);
    put_f64(buf, h.count);
    put_f64(buf, h.sum);
    put_spans(buf, &spans(&h.positive));
    put_spans(buf, &spans(&h.negative));
    for populations in [&h.positive, &h.negative] {
        put_uvarint(buf, populations.len() as u64);
        populations.iter().for_each(|&(_, count)| put_f64(buf, count));
    }
    put_custom_values(buf, h.schema, &h.custom_values);
}

/// Calls `each` with every histogram of a record of any of the kinds. Those of unknown schemas are passed over.
pub(crate) fn read_histograms(record: &[u8], mut each: impl FnMut(HistogramEntry)) -> Result<(), BadRecord> {
    let kind = record.first().copied().unwrap_or_default();
    let read_value = match kind {
        HISTOGRAMS | CUSTOM_HISTOGRAMS | HISTOGRAMS_V2 => read_integer,
        FLOAT_HISTOGRAMS | CUSTOM_FLOAT_HISTOGRAMS | FLOAT_HISTOGRAMS_V2 => read_float,
        _ => return Err(BadRecord),
    };
    let mut cursor = Cursor::after_kind(record, &[kind])?;
    if cursor.is_empty() {
        return Ok(());
    }
    if matches!(kind, HISTOGRAMS_V2 | FLOAT_HISTOGRAMS_V2) {
        return read_v2(&mut cursor, read_value, each);
    }
    let first_ref = cursor.u64()?;
    let first_time = cursor.u64()? as i64;
    while !cursor.is_empty() {
        let reference = first_ref.wrapping_add(cursor.varint()? as u64);
        let t = first_time.wrapping_add(cursor.varint()?);
        if let Some(value) = read_value(&mut cursor)? {
            each(HistogramEntry { reference, start_time: 0, t, value });
        }
    }
    Ok(())
}

fn read_v2<'a>(
    cursor: &mut Cursor<'a>,
    read_value: impl Fn(&mut Cursor<'a>) -> Result<Option<HistogramValue>, BadRecord>,
    mut each: impl FnMut(HistogramEntry),
) -> Result<(), BadRecord> {
    let mut reference = cursor.varint()? as u64;
    let first_time = cursor.varint()?;
    let mut starts = StartTimes::begin(cursor.varint()?);
    let (mut t, mut start_time) = (first_time, starts.first);
    loop {
        if let Some(value) = read_value(cursor)? {
            each(HistogramEntry { reference, start_time, t, value });
        }
        if cursor.is_empty() {
            return Ok(());
        }
        reference = reference.wrapping_add(cursor.varint()? as u64);
        t = first_time.wrapping_add(cursor.varint()?);
        start_time = starts.read(cursor)?;
    }
}

fn read_schema(cursor: &mut Cursor<'_>) -> Result<i32, BadRecord> {
    i32::try_from(cursor.varint()?).map_err(|_| BadRecord)
}

fn read_spans(cursor: &mut Cursor<'_>) -> Result<Vec<Span>, BadRecord> {
    (0..cursor.count(2)?)
        .map(|_| {
            let offset = i32::try_from(cursor.varint()?).map_err(|_| BadRecord)?;
            let length = u32::try_from(cursor.uvarint()?).map_err(|_| BadRecord)?;
            Ok(Span { offset, length })
        })
        .collect()
}

fn read_floats(cursor: &mut Cursor<'_>) -> Result<Vec<f64>, BadRecord> {
    (0..cursor.count(8)?).map(|_| cursor.f64()).collect()
}

fn read_deltas(cursor: &mut Cursor<'_>) -> Result<Vec<i64>, BadRecord> {
    (0..cursor.count(1)?).map(|_| cursor.varint()).collect()
}

fn read_custom_values(cursor: &mut Cursor<'_>, schema: i32) -> Result<Vec<f64>, BadRecord> {
    if schema == CUSTOM_BUCKETS { read_floats(cursor) } else { Ok(Vec::new()) }
}

/// Spans may name no more buckets than there are populations for.
fn check_spans(spans: &[Span], buckets: usize) -> Result<(), BadRecord> {
    let named: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if named == buckets as u64 { Ok(()) } else { Err(BadRecord) }
}

fn read_integer(cursor: &mut Cursor<'_>) -> Result<Option<HistogramValue>, BadRecord> {
    let reset = reset_of(cursor.byte()?);
    let schema = read_schema(cursor)?;
    let mut h = IntegerHistogram {
        schema,
        reset,
        zero_threshold: cursor.f64()?,
        zero_count: cursor.uvarint()?,
        count: cursor.uvarint()?,
        sum: cursor.f64()?,
        positive_spans: read_spans(cursor)?,
        negative_spans: read_spans(cursor)?,
        positive_deltas: read_deltas(cursor)?,
        negative_deltas: read_deltas(cursor)?,
        custom_values: read_custom_values(cursor, schema)?,
    };
    check_spans(&h.positive_spans, h.positive_deltas.len())?;
    check_spans(&h.negative_spans, h.negative_deltas.len())?;
    if schema != CUSTOM_BUCKETS && !SCHEMAS.contains(&schema) {
        return Ok(None);
    }
    if schema > FINEST_SCHEMA {
        (h.positive_spans, h.positive_deltas) = coarser(&h.positive_spans, &h.positive_deltas, schema);
        (h.negative_spans, h.negative_deltas) = coarser(&h.negative_spans, &h.negative_deltas, schema);
        h.schema = FINEST_SCHEMA;
    }
    Ok(Some(HistogramValue::Integer(Box::new(h))))
}

fn read_float(cursor: &mut Cursor<'_>) -> Result<Option<HistogramValue>, BadRecord> {
    let reset = reset_of(cursor.byte()?);
    let schema = read_schema(cursor)?;
    let mut h = FloatHistogram {
        schema,
        reset,
        zero_threshold: cursor.f64()?,
        zero_count: cursor.f64()?,
        count: cursor.f64()?,
        sum: cursor.f64()?,
        ..FloatHistogram::default()
    };
    let positive_spans = read_spans(cursor)?;
    let negative_spans = read_spans(cursor)?;
    let positive = read_floats(cursor)?;
    let negative = read_floats(cursor)?;
    h.custom_values = read_custom_values(cursor, schema)?;
    check_spans(&positive_spans, positive.len())?;
    check_spans(&negative_spans, negative.len())?;
    h.positive = populations(&positive_spans, &positive);
    h.negative = populations(&negative_spans, &negative);
    if schema != CUSTOM_BUCKETS && !SCHEMAS.contains(&schema) {
        return Ok(None);
    }
    if schema > FINEST_SCHEMA {
        h.reduce_schema(FINEST_SCHEMA);
    }
    Ok(Some(HistogramValue::Float(Box::new(h))))
}

/// Buckets of the finest schema that is stored, from those of a finer one.
fn coarser(spans: &[Span], deltas: &[i64], schema: i32) -> (Vec<Span>, Vec<i64>) {
    let mut out: Vec<(i32, i64)> = Vec::new();
    let mut deltas = deltas.iter();
    let (mut index, mut count) = (0i32, 0i64);
    for span in spans {
        index = index.wrapping_add(span.offset);
        for delta in deltas.by_ref().take(span.length as usize) {
            count = count.wrapping_add(*delta);
            let steps = (schema - FINEST_SCHEMA).min(31);
            let into = (index.wrapping_sub(1) >> steps).wrapping_add(1);
            match out.last_mut() {
                Some(last) if last.0 == into => last.1 = last.1.wrapping_add(count),
                _ => out.push((into, count)),
            }
            index = index.wrapping_add(1);
        }
    }
    let mut before = 0;
    let populations: Vec<_> = out.iter().map(|&(index, count)| (index, count as f64)).collect();
    let deltas =
        out.iter().map(|&(_, count)| count.wrapping_sub(std::mem::replace(&mut before, count))).collect();
    (self::spans(&populations), deltas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets() -> impl Strategy<Value = Vec<(i32, u32)>> {
        prop::collection::btree_map(-40i32..40, any::<u32>(), 0..12).prop_map(|map| map.into_iter().collect())
    }

    fn resets() -> impl Strategy<Value = CounterReset> {
        (0u8..4).prop_map(reset_of)
    }

    fn values() -> impl Strategy<Value = HistogramValue> {
        let parts =
            (any::<bool>(), any::<bool>(), -4i32..=8, resets(), any::<(u32, u32)>(), any::<(u64, u64)>());
        (parts, buckets(), buckets(), prop::collection::vec(any::<u64>(), 0..5)).prop_map(
            |((float, custom, schema, reset, counts, floats), positive, negative, bounds)| {
                let schema = if custom { CUSTOM_BUCKETS } else { schema };
                let custom_values: Vec<f64> =
                    if custom { bounds.iter().map(|b| *b as f64).collect() } else { Vec::new() };
                let (zero_threshold, sum) = (floats.0 as f64, floats.1 as f64 / 7.0);
                let as_f64 = |buckets: &[(i32, u32)]| -> Vec<(i32, f64)> {
                    buckets.iter().map(|&(i, n)| (i, f64::from(n) / 3.0)).collect()
                };
                let deltas = |buckets: &[(i32, u32)]| -> Vec<i64> {
                    let mut before = 0;
                    buckets
                        .iter()
                        .map(|&(_, n)| i64::from(n) - std::mem::replace(&mut before, n.into()))
                        .collect()
                };
                if float {
                    HistogramValue::Float(Box::new(FloatHistogram {
                        schema,
                        reset,
                        zero_threshold,
                        zero_count: counts.0.into(),
                        count: counts.1.into(),
                        sum,
                        positive: as_f64(&positive),
                        negative: as_f64(&negative),
                        custom_values,
                    }))
                } else {
                    HistogramValue::Integer(Box::new(IntegerHistogram {
                        schema,
                        reset,
                        zero_threshold,
                        zero_count: counts.0.into(),
                        count: counts.1.into(),
                        sum,
                        positive_spans: spans(&as_f64(&positive)),
                        positive_deltas: deltas(&positive),
                        negative_spans: spans(&as_f64(&negative)),
                        negative_deltas: deltas(&negative),
                        custom_values,
                    }))
                }
            },
        )
    }

    proptest! {
        #[test]
        fn histograms_round_trip_and_those_of_a_series_keep_their_order(
            all in prop::collection::vec((0u64..5, prop_oneof![Just(0), Just(9), any::<i64>()], values()), 1..20),
            with_start_times in any::<bool>(),
        ) {
            let mut encoder = HistogramsEncoder::new(with_start_times);
            for (i, (reference, start_time, value)) in all.iter().enumerate() {
                encoder.push(*reference, *start_time, i as i64, value);
            }
            let mut back: Vec<HistogramEntry> = Vec::new();
            for record in encoder.records() {
                read_histograms(record, |entry| back.push(entry)).unwrap();
            }
            for reference in 0..5 {
                let of_series: Vec<_> = back.iter().filter(|entry| entry.reference == reference).collect();
                prop_assert!(of_series.is_sorted_by_key(|entry| entry.t));
            }
            back.sort_by_key(|entry| entry.t);
            let want: Vec<_> = all
                .into_iter()
                .enumerate()
                .map(|(i, (reference, start_time, value))| HistogramEntry {
                    reference,
                    start_time: if with_start_times { start_time } else { 0 },
                    t: i as i64,
                    value,
                })
                .collect();
            prop_assert_eq!(back, want);
        }
    }

    #[test]
    fn histograms_of_a_finer_schema_are_brought_down() {
        let value = |schema, spans: &[(i32, u32)], deltas: &[i64]| {
            HistogramValue::Integer(Box::new(IntegerHistogram {
                schema,
                positive_spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
                positive_deltas: deltas.to_vec(),
                ..IntegerHistogram::default()
            }))
        };
        let cases = [
            // Buckets 1 to 4 hold 1, 2, 3, 4; in the next coarser schema 1 and 2 hold 3 and 7.
            (9, value(9, &[(1, 4)], &[1, 1, 1, 1]), Some(value(8, &[(1, 2)], &[3, 4]))),
            (10, value(10, &[(1, 4)], &[1, 1, 1, 1]), Some(value(8, &[(1, 1)], &[10]))),
            (53, value(53, &[], &[]), None),
            (-20, value(-20, &[], &[]), None),
        ];
        for (schema, written, want) in cases {
            let mut encoder = HistogramsEncoder::new(false);
            encoder.push(1, 0, 1, &written);
            let mut back = None;
            for record in encoder.records() {
                read_histograms(record, |entry| back = Some(entry.value)).unwrap();
            }
            assert_eq!(back, want, "schema {schema}");
        }
    }
}
