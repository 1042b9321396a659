//! Sample encodings: bytes to samples and back. Pure: no I/O, no threads, no knowledge of files.
//!
//! Nothing outside of this crate assumes a particular encoding: writers take [`XorAppender`], [`Xor2Appender`] or
//! [`HistogramWriter`], readers [`decode`] or [`decode_histograms`], and [`rewrite_floats`] or [`rewrite_histograms`] for what
//! these have read. README.md beside this crate draws the bytes.

mod bits;
mod histogram;
mod rewrite;
mod start_times;
mod window;
mod xor;
mod xor2;
mod xor2_decode;
mod xor_decode;

pub use histogram::{HistogramAppended, HistogramPoint, HistogramWriter};
pub use rewrite::{Rewritten, rewrite_floats, rewrite_histograms};
pub use xor::{NoRoom, XorAppender};
pub use xor2::Xor2Appender;

use model::histogram::CounterReset;

/// How the bytes of a chunk hold its samples. The discriminants are Prometheus' on-disk numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Gorilla-style XOR of floats.
    Xor = 1,
    /// Native histograms with integer populations.
    Histogram = 2,
    /// Native histograms with float populations.
    FloatHistogram = 3,
    /// XOR of floats with one control prefix for time and value, and start times.
    Xor2 = 4,
    /// [`Histogram`](Encoding::Histogram) with start times.
    HistogramSt = 5,
    /// [`FloatHistogram`](Encoding::FloatHistogram) with start times.
    FloatHistogramSt = 6,
}

impl Encoding {
    /// Whether the samples are floats; otherwise they are native histograms.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Encoding::Xor | Encoding::Xor2)
    }

    /// Whether it has a place for start times.
    #[must_use]
    pub fn has_start_times(self) -> bool {
        matches!(self, Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt)
    }

    /// The encoding of native histograms of this kind of population.
    #[must_use]
    pub fn of_histogram(value: &model::histogram::HistogramValue, start_times: bool) -> Self {
        use model::histogram::HistogramValue::{Float, Integer};
        match (value, start_times) {
            (Integer(_), false) => Encoding::Histogram,
            (Float(_), false) => Encoding::FloatHistogram,
            (Integer(_), true) => Encoding::HistogramSt,
            (Float(_), true) => Encoding::FloatHistogramSt,
        }
    }
}

impl TryFrom<u8> for Encoding {
    type Error = ChunkError;

    fn try_from(number: u8) -> Result<Self, ChunkError> {
        match number {
            1 => Ok(Encoding::Xor),
            2 => Ok(Encoding::Histogram),
            3 => Ok(Encoding::FloatHistogram),
            4 => Ok(Encoding::Xor2),
            5 => Ok(Encoding::HistogramSt),
            6 => Ok(Encoding::FloatHistogramSt),
            other => Err(ChunkError::UnknownEncoding(other)),
        }
    }
}

/// Why bytes are not a chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end before the last sample.
    #[error("chunk ends within sample {0}")]
    Truncated(usize),
    /// The encoding's number is not known.
    #[error("unknown chunk encoding {0}")]
    UnknownEncoding(u8),
    /// The chunk holds the other kind of samples: floats where histograms were asked for, or the reverse.
    #[error("chunk of encoding {0:?} holds another kind of samples")]
    WrongKind(Encoding),
    /// The schema of the histograms is not one that was ever assigned.
    #[error(
        "histogram has an unknown schema, which must be between -9 and 52 for exponential buckets, or -53 for \
         custom buckets, got schema {0}"
    )]
    UnknownSchema(i64),
    /// The buckets that the histograms are said to have cannot be.
    #[error("histogram chunk with {0}")]
    Buckets(&'static str),
}

/// Decoded float samples, as columns of equal length.
#[derive(Debug, Default, Clone)]
pub struct Columns {
    /// Milliseconds since the Unix epoch, ascending.
    pub times: Vec<i64>,
    /// The values.
    pub values: Vec<f64>,
    /// When the counting of each sample began, in milliseconds since the Unix epoch, 0 where that is not known.
    /// Empty when it is known of none.
    pub start_times: Vec<i64>,
}

impl Columns {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.start_times.clear();
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Start time, 0 where that is not known, time and value of each sample.
    pub fn samples(&self) -> impl Iterator<Item = (i64, i64, f64)> + '_ {
        let start_time = |i: usize| self.start_times.get(i).copied().unwrap_or_default();
        self.times.iter().zip(&self.values).enumerate().map(move |(i, (&t, &v))| (start_time(i), t, v))
    }
}

/// Appends the first `limit` samples of a chunk of floats to `out`.
///
/// Times are delivered as stored; only damaged bytes hold times that do not ascend.
///
/// # Errors
/// When `bytes` is damaged; what was decoded before the damage stays in `out`. When the chunk holds histograms.
pub fn decode(encoding: Encoding, bytes: &[u8], limit: u16, out: &mut Columns) -> Result<(), ChunkError> {
    let decoded = match encoding {
        Encoding::Xor => xor_decode::decode(bytes, limit, out),
        Encoding::Xor2 => xor2_decode::decode(bytes, limit, out),
        _ => Err(ChunkError::WrongKind(encoding)),
    };
    if !out.start_times.is_empty() {
        out.start_times.resize(out.times.len(), 0);
    }
    decoded
}

/// Appends the first `limit` samples of a chunk of native histograms to `out`. Integer populations stay integers.
///
/// What is known about counter resets is as Prometheus' reader tells it: nothing about the first sample, whatever the
/// chunk's header says (the chunk before may be gone, or another may have come between), no reset before the others;
/// of gauges, that they are gauges. Of a staleness marker only the sum is set.
///
/// # Errors
/// When `bytes` is damaged; what was decoded before the damage stays in `out`. When the chunk holds floats.
pub fn decode_histograms(
    encoding: Encoding,
    bytes: &[u8],
    limit: u16,
    out: &mut Vec<HistogramPoint>,
) -> Result<(), ChunkError> {
    histogram::decode(encoding, bytes, limit, out)
}

/// How many samples a chunk says that it holds; 0 when it is too short to say.
#[must_use]
pub fn sample_count(encoding: Encoding, bytes: &[u8]) -> u16 {
    let count = bytes.first_chunk().map_or(0, |head| u16::from_be_bytes(*head));
    match encoding {
        Encoding::HistogramSt | Encoding::FloatHistogramSt => count & histogram::MAX_SAMPLES_ST,
        _ => count,
    }
}

/// Time of a chunk's oldest sample, in milliseconds; `None` when it holds none.
#[must_use]
pub fn first_time(encoding: Encoding, bytes: &[u8]) -> Option<i64> {
    match encoding {
        Encoding::Xor => xor_decode::first_time(bytes),
        Encoding::Xor2 => xor2_decode::first_time(bytes),
        _ => histogram::first_time(encoding, bytes),
    }
}

/// Time of a chunk's newest sample, in milliseconds; `None` when it holds none or is damaged. Reads the whole chunk.
#[must_use]
pub fn last_time(encoding: Encoding, bytes: &[u8]) -> Option<i64> {
    match encoding {
        Encoding::Xor => XorAppender::resume(bytes).ok().filter(|a| a.samples() > 0).map(|a| a.last_time()),
        Encoding::Xor2 => Xor2Appender::resume(bytes).ok().filter(|a| a.samples() > 0).map(|a| a.last_time()),
        _ => HistogramWriter::resume(encoding, bytes).ok()?.last().map(|(t, _)| t),
    }
}

/// What the header of a chunk of histograms says about a counter reset before its first sample; of a chunk of floats,
/// nothing.
#[must_use]
pub fn counter_reset_header(encoding: Encoding, bytes: &[u8]) -> CounterReset {
    histogram::counter_reset_header(encoding, bytes)
}
