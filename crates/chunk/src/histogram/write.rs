//! Writing chunks of native histograms.

use model::histogram::{
    CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Population, Span, spans,
};

use super::fit::{Difference, Fit, fit};
use super::float::Windows;
use super::integer::Steps;
use super::read::{Current, Reader};
use super::{HEADER_LEN, HistogramPoint, MAX_SAMPLES_ST, buckets, header_bits, layout};
use crate::bits::{self, BitVec};
use crate::start_times::StartTimes;
use crate::window::Window;
use crate::{ChunkError, Encoding};

/// What became of a histogram that was to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistogramAppended {
    /// It is in the chunk; what was there before is as it was.
    Appended,
    /// It is in the chunk, all of which was written anew with more buckets.
    Recoded,
    /// Nothing was done: it does not go together with what the chunk holds. A new chunk has to begin with it, by
    /// [`HistogramWriter::with_header`] with what is here.
    Incompatible(CounterReset),
    /// Nothing was done: the chunk can count no more samples.
    Full,
    /// Nothing was done: the histogram's spans are out of order or do not agree with its populations. No chunk takes it.
    Malformed,
}

/// Builds a chunk of native histograms.
#[derive(Debug, Clone)]
pub struct HistogramWriter {
    encoding: Encoding,
    header: CounterReset,
    bits: BitVec,
    samples: u16,
    t: i64,
    delta: i64,
    start_times: StartTimes,
    last: Option<HistogramValue>,
    state: State,
}

/// What besides the newest sample the next one is written with.
#[derive(Debug, Clone)]
enum State {
    Nothing,
    Integer(Steps<Window>),
    Float(Windows<Window>),
}

impl HistogramWriter {
    /// An empty chunk about whose beginning nothing is known. With an encoding of floats it takes nothing.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self::with_header(encoding, CounterReset::Unknown)
    }

    /// An empty chunk whose header will tell this about a counter reset before its first sample, unless that sample
    /// knows better (being a gauge, or known to follow a reset).
    #[must_use]
    pub fn with_header(encoding: Encoding, header: CounterReset) -> Self {
        let mut writer = HistogramWriter {
            encoding,
            header,
            bits: BitVec::new(vec![0; HEADER_LEN], 0),
            samples: 0,
            t: 0,
            delta: 0,
            start_times: StartTimes::new(),
            last: None,
            state: State::Nothing,
        };
        writer.write_header();
        writer
    }

    /// Goes on with a chunk.
    ///
    /// # Errors
    /// When `bytes` is damaged, or `encoding` one of floats.
    pub fn resume(encoding: Encoding, bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut reader = Reader::new(encoding, bytes)?;
        if reader.total == 0 {
            return Ok(Self::with_header(encoding, reader.header));
        }
        for _ in 0..reader.total {
            reader.advance()?;
        }
        let last = reader.value()?;
        let (len, free) = reader.bits.end();
        Ok(HistogramWriter {
            encoding,
            header: reader.header,
            bits: BitVec::new(bytes.get(..len).unwrap_or(bytes).to_vec(), free),
            samples: reader.total,
            t: reader.t,
            delta: reader.delta,
            start_times: reader.start_times.map_or(StartTimes::new(), |s| s.for_writer()),
            last: Some(last),
            state: match reader.current {
                Current::Nothing => State::Nothing,
                Current::Integer(_, steps) => State::Integer(steps.for_writer()),
                Current::Float(_, windows) => State::Float(windows.for_writer()),
            },
        })
    }

    /// What the header of a chunk that begins with `next` says when it follows this one because this one was cut for
    /// its size or time, rather than because `next` does not fit.
    #[must_use]
    pub fn header_after(&self, next: &HistogramValue) -> CounterReset {
        match (&self.last, next) {
            (Some(last @ HistogramValue::Integer(_)), HistogramValue::Integer(_)) => {
                fit(self.header, last, next).map_or_else(|header| header, |_| CounterReset::NotReset)
            }
            // Of floats, Prometheus takes all that is not known to be a reset for none.
            (Some(last @ HistogramValue::Float(_)), HistogramValue::Float(_)) => {
                match fit(self.header, last, next) {
                    Err(header @ (CounterReset::Reset | CounterReset::Gauge)) => header,
                    _ => CounterReset::NotReset,
                }
            }
            _ => CounterReset::Unknown,
        }
    }

    /// Appends a histogram.
    pub fn append(&mut self, point: &HistogramPoint) -> HistogramAppended {
        let value = &point.value;
        if self.encoding != Encoding::of_histogram(value, self.encoding.has_start_times()) {
            return HistogramAppended::Incompatible(CounterReset::Unknown);
        }
        if !is_well_formed(value) {
            return HistogramAppended::Malformed;
        }
        let most = if self.encoding.has_start_times() { MAX_SAMPLES_ST } else { u16::MAX };
        let told = !self.encoding.has_start_times() || self.start_times.has_place(self.samples);
        if self.samples == most || !told {
            return HistogramAppended::Full;
        }
        let Some(last) = &self.last else {
            if let header @ (CounterReset::Gauge | CounterReset::Reset) = value.reset() {
                self.header = header;
            }
            self.put(point.t, point.start_time, stripped(value));
            return HistogramAppended::Appended;
        };
        let fit = match fit(self.header, last, value) {
            Ok(fit) => fit,
            Err(header) => return HistogramAppended::Incompatible(header),
        };
        let value = if fit.sample_lacks() { widened(value, last, fit) } else { stripped(value) };
        if !fit.chunk_lacks() {
            self.put(point.t, point.start_time, value);
            return HistogramAppended::Appended;
        }
        let Some(mut wider) = self.recoded(&value) else { return HistogramAppended::Full };
        wider.put(point.t, point.start_time, value);
        *self = wider;
        HistogramAppended::Recoded
    }

    /// The chunk as it is now.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bits.bytes
    }

    /// Its encoding.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> u16 {
        self.samples
    }

    /// The newest sample as it was written: with the empty buckets that the chunk has besides its own.
    #[must_use]
    pub fn last(&self) -> Option<(i64, &HistogramValue)> {
        self.last.as_ref().map(|value| (self.t, value))
    }

    /// The start time of the newest sample; 0 when it is not known.
    #[must_use]
    pub fn last_start_time(&self) -> i64 {
        self.start_times.last()
    }

    /// The same samples with the buckets of `like`, which has all of theirs. (`None` only of bytes that are not ours.)
    fn recoded(&self, like: &HistogramValue) -> Option<Self> {
        let mut wider = Self::with_header(self.encoding, self.header);
        let mut reader = Reader::new(self.encoding, self.bytes()).ok()?;
        for _ in 0..self.samples {
            reader.advance().ok()?;
            let value = with_buckets_of(reader.value().ok()?, like);
            wider.put(reader.t, reader.start_time, value);
        }
        Some(wider)
    }

    /// Writes a sample that fits and has the chunk's buckets, or is a stripped staleness marker.
    fn put(&mut self, t: i64, start_time: i64, value: HistogramValue) {
        let before = self.t;
        if self.samples == 0 {
            self.delta = 0;
            put_layout(&mut self.bits, &value);
            self.bits.put(bits::varbit_signed(t));
        } else {
            let delta = t.wrapping_sub(before);
            self.bits.put(bits::varbit_signed(delta.wrapping_sub(self.delta)));
            self.delta = delta;
        }
        match (&mut self.state, &self.last, &value) {
            (State::Integer(steps), Some(HistogramValue::Integer(last)), HistogramValue::Integer(h)) => {
                if model::is_stale(h.sum) {
                    steps.write_stale(&mut self.bits, last.sum, h.sum);
                } else {
                    steps.write(&mut self.bits, last, h);
                }
            }
            (State::Float(windows), Some(HistogramValue::Float(last)), HistogramValue::Float(h)) => {
                windows.write(&mut self.bits, last, h);
            }
            (_, _, HistogramValue::Integer(h)) => {
                self.state = State::Integer(Steps::write_first(&mut self.bits, h));
            }
            (_, _, HistogramValue::Float(h)) => {
                self.state = State::Float(Windows::write_first(&mut self.bits, h));
            }
        }
        if self.encoding.has_start_times()
            && let Some(bits) = self.start_times.next(self.samples, before, t, start_time)
        {
            self.bits.put(bits);
        }
        self.t = t;
        self.last = Some(value);
        self.samples += 1;
        self.write_header();
    }

    fn write_header(&mut self) {
        let reset = header_bits(self.header) << 6;
        let [high, low] = self.samples.to_be_bytes();
        let header = if self.encoding.has_start_times() {
            [high | reset, low, self.start_times.header]
        } else {
            [high, low, reset]
        };
        if let Some(place) = self.bits.bytes.first_chunk_mut() {
            *place = header;
        }
    }
}

fn put_layout(bits: &mut BitVec, value: &HistogramValue) {
    match value {
        HistogramValue::Integer(h) => layout::write(
            bits,
            h.schema,
            h.zero_threshold,
            [&h.positive_spans, &h.negative_spans],
            &h.custom_values,
        ),
        HistogramValue::Float(h) => layout::write(
            bits,
            h.schema,
            h.zero_threshold,
            [&spans(&h.positive), &spans(&h.negative)],
            &h.custom_values,
        ),
    }
}

fn is_well_formed(value: &HistogramValue) -> bool {
    match value {
        HistogramValue::Integer(h) => {
            buckets::count(&h.positive_spans) == Some(h.positive_deltas.len() as u64)
                && buckets::count(&h.negative_spans) == Some(h.negative_deltas.len() as u64)
        }
        HistogramValue::Float(h) => {
            let ascends = |populations: &[Population]| populations.is_sorted_by(|a, b| a.0 < b.0);
            ascends(&h.positive) && ascends(&h.negative)
        }
    }
}

/// A copy; of a staleness marker only what makes it one.
fn stripped(value: &HistogramValue) -> HistogramValue {
    match value {
        HistogramValue::Integer(h) if model::is_stale(h.sum) => {
            let marker = IntegerHistogram { sum: h.sum, ..IntegerHistogram::default() };
            HistogramValue::Integer(Box::new(marker))
        }
        HistogramValue::Float(h) if model::is_stale(h.sum) => {
            HistogramValue::Float(Box::new(FloatHistogram { sum: h.sum, ..FloatHistogram::default() }))
        }
        _ => value.clone(),
    }
}

/// The histogram with the buckets of the chunk besides its own.
fn widened(value: &HistogramValue, last: &HistogramValue, fit: Fit) -> HistogramValue {
    let mut wide = value.clone();
    match (&mut wide, last) {
        (HistogramValue::Integer(h), HistogramValue::Integer(last)) => {
            let gauge = h.reset == CounterReset::Gauge;
            let widen = |difference: Difference, spans: &mut Vec<Span>, deltas: &mut Vec<i64>, other| {
                if gauge || difference.sample_lacks {
                    let all = buckets::union(buckets::indices(spans), buckets::indices(other));
                    let wide = buckets::spans(all);
                    *deltas = spread_deltas(spans, deltas, &wide);
                    *spans = wide;
                }
            };
            widen(fit.positive, &mut h.positive_spans, &mut h.positive_deltas, &last.positive_spans);
            widen(fit.negative, &mut h.negative_spans, &mut h.negative_deltas, &last.negative_spans);
        }
        (HistogramValue::Float(h), HistogramValue::Float(last)) => {
            let widen = |populations: &mut Vec<Population>, other: &[Population]| {
                let own = populations.iter().map(|p| p.0);
                let all = buckets::union(own, other.iter().map(|p| p.0));
                *populations = buckets::spread(populations.iter().copied(), all).collect();
            };
            widen(&mut h.positive, &last.positive);
            widen(&mut h.negative, &last.negative);
        }
        _ => {}
    }
    wide
}

/// The histogram with the buckets of `like`, which has all of its own.
fn with_buckets_of(value: HistogramValue, like: &HistogramValue) -> HistogramValue {
    let mut wide = value;
    match (&mut wide, like) {
        (HistogramValue::Integer(h), HistogramValue::Integer(like)) => {
            h.positive_deltas = spread_deltas(&h.positive_spans, &h.positive_deltas, &like.positive_spans);
            h.negative_deltas = spread_deltas(&h.negative_spans, &h.negative_deltas, &like.negative_spans);
            h.positive_spans.clone_from(&like.positive_spans);
            h.negative_spans.clone_from(&like.negative_spans);
        }
        (HistogramValue::Float(h), HistogramValue::Float(like)) => {
            let spread = |populations: &[Population], like: &[Population]| {
                buckets::spread(populations.iter().copied(), like.iter().map(|p| p.0)).collect()
            };
            h.positive = spread(&h.positive, &like.positive);
            h.negative = spread(&h.negative, &like.negative);
        }
        _ => {}
    }
    wide
}

fn spread_deltas(spans: &[Span], deltas: &[i64], wide: &[Span]) -> Vec<i64> {
    let counts = buckets::spread(buckets::counts(spans, deltas), buckets::indices(wide));
    buckets::deltas(counts.map(|bucket| bucket.1))
}
