//! Reading chunks of native histograms.

use model::histogram::{CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, populations};

use super::float::Windows;
use super::integer::Steps;
use super::layout::Layout;
use super::{HEADER_LEN, HistogramPoint, buckets, counter_reset_header, resolution};
use crate::bits::Bits;
use crate::start_times::ReadStartTimes;
use crate::window::ReadWindow;
use crate::{ChunkError, Encoding};

/// Spans and custom bounds are in the chunk once but in every histogram that comes out of it: no honest chunk makes as
/// many of them as this (32 MiB), and damaged bytes must not make more.
const MOST_COPIES: usize = 1 << 22;

/// Reads one sample after the other.
pub(super) struct Reader<'a> {
    pub(super) bits: Bits<'a>,
    pub(super) total: u16,
    pub(super) header: CounterReset,
    pub(super) start_times: Option<ReadStartTimes>,
    pub(super) start_time: i64,
    encoding: Encoding,
    /// How many samples have been read.
    read: usize,
    pub(super) t: i64,
    pub(super) delta: i64,
    pub(super) current: Current,
    copies_left: usize,
}

/// The newest sample, and what the next one is read with.
pub(super) enum Current {
    Nothing,
    Integer(IntegerHistogram, Steps<ReadWindow>),
    Float(FloatHistogram, Windows<ReadWindow>),
}

impl<'a> Reader<'a> {
    /// Stands before the first sample.
    pub(super) fn new(encoding: Encoding, bytes: &'a [u8]) -> Result<Self, ChunkError> {
        if encoding.is_float() {
            return Err(ChunkError::WrongKind(encoding));
        }
        let Some(&[_, _, start_times]) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(ChunkError::Truncated(0));
        };
        Ok(Reader {
            bits: Bits::new(bytes, HEADER_LEN),
            total: crate::sample_count(encoding, bytes),
            header: counter_reset_header(encoding, bytes),
            start_times: encoding.has_start_times().then(|| ReadStartTimes::new(start_times)),
            start_time: 0,
            encoding,
            read: 0,
            t: 0,
            delta: 0,
            current: Current::Nothing,
            copies_left: MOST_COPIES,
        })
    }

    /// Reads the next sample.
    pub(super) fn advance(&mut self) -> Result<(), ChunkError> {
        let before = self.t;
        match &mut self.current {
            Current::Nothing => self.read_first()?,
            Current::Integer(h, steps) => {
                self.delta = self.delta.wrapping_add(self.bits.varbit_signed());
                self.t = before.wrapping_add(self.delta);
                steps.read(&mut self.bits, h);
            }
            Current::Float(h, windows) => {
                self.delta = self.delta.wrapping_add(self.bits.varbit_signed());
                self.t = before.wrapping_add(self.delta);
                windows.read(&mut self.bits, h);
            }
        }
        let cut = ChunkError::Truncated(self.read);
        if let Some(start_times) = &mut self.start_times {
            let read = start_times.read(&mut self.bits, self.read, before, self.t);
            self.start_time = read.ok_or_else(|| cut.clone())?;
        }
        if self.bits.overrun() {
            return Err(cut);
        }
        self.read += 1;
        Ok(())
    }

    fn read_first(&mut self) -> Result<(), ChunkError> {
        let integer = matches!(self.encoding, Encoding::Histogram | Encoding::HistogramSt);
        let layout = Layout::read(&mut self.bits, if integer { 1 } else { 64 })?;
        self.t = self.bits.varbit_signed();
        let Layout { schema, zero_threshold, positive, negative, custom_values } = layout;
        let zeros = |spans| vec![0.0; buckets::indices(spans).count()];
        if integer {
            let mut h = IntegerHistogram {
                schema,
                zero_threshold,
                positive_deltas: vec![0; buckets::indices(&positive).count()],
                negative_deltas: vec![0; buckets::indices(&negative).count()],
                positive_spans: positive,
                negative_spans: negative,
                custom_values,
                ..IntegerHistogram::default()
            };
            let steps = Steps::read_first(&mut self.bits, &mut h);
            self.current = Current::Integer(h, steps);
        } else {
            let mut h = FloatHistogram {
                schema,
                zero_threshold,
                positive: populations(&positive, &zeros(&positive)),
                negative: populations(&negative, &zeros(&negative)),
                custom_values,
                ..FloatHistogram::default()
            };
            let windows = Windows::read_first(&mut self.bits, &mut h);
            self.current = Current::Float(h, windows);
        }
        Ok(())
    }

    /// The newest sample as a reader gets it.
    pub(super) fn point(&mut self) -> Result<HistogramPoint, ChunkError> {
        let mut value = self.value()?;
        resolution::reduce(&mut value);
        Ok(HistogramPoint { t: self.t, start_time: self.start_time, value })
    }

    /// The newest sample as it stands in the chunk.
    pub(super) fn value(&mut self) -> Result<HistogramValue, ChunkError> {
        let reset = match self.header {
            CounterReset::Gauge => CounterReset::Gauge,
            _ if self.read > 1 => CounterReset::NotReset,
            _ => CounterReset::Unknown,
        };
        let copies = match &self.current {
            Current::Nothing => 0,
            Current::Integer(h, _) => h.positive_spans.len() + h.negative_spans.len() + h.custom_values.len(),
            Current::Float(h, _) => h.custom_values.len(),
        };
        let left = self.copies_left.checked_sub(copies);
        self.copies_left = left.ok_or(ChunkError::Buckets("too many spans and custom bounds"))?;
        Ok(match &self.current {
            Current::Nothing => return Err(ChunkError::Truncated(0)),
            Current::Integer(h, _) if model::is_stale(h.sum) => {
                let marker = IntegerHistogram { sum: h.sum, ..IntegerHistogram::default() };
                HistogramValue::Integer(Box::new(marker))
            }
            Current::Integer(h, _) => {
                HistogramValue::Integer(Box::new(IntegerHistogram { reset, ..h.clone() }))
            }
            Current::Float(h, _) if model::is_stale(h.sum) => {
                HistogramValue::Float(Box::new(FloatHistogram { sum: h.sum, ..FloatHistogram::default() }))
            }
            Current::Float(h, _) => HistogramValue::Float(Box::new(FloatHistogram { reset, ..h.clone() })),
        })
    }
}
