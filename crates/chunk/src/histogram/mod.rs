//! Chunks of native histograms.

use model::histogram::{CounterReset, HistogramValue};

use crate::{ChunkError, Encoding};

/// The most samples that a chunk with start times can count.
pub(crate) const MAX_SAMPLES_ST: u16 = 0x3fff;

/// A native histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPoint {
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// When the counting began, in milliseconds since the Unix epoch; 0 when that is not known.
    pub start_time: i64,
    /// The value.
    pub value: HistogramValue,
}

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
}

/// Builds a chunk of native histograms.
#[derive(Debug, Clone)]
pub struct HistogramWriter {
    encoding: Encoding,
    bytes: Vec<u8>,
    last: Option<(i64, HistogramValue)>,
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
    pub fn with_header(encoding: Encoding, _header: CounterReset) -> Self {
        HistogramWriter { encoding, bytes: Vec::new(), last: None }
    }

    /// Goes on with a chunk.
    ///
    /// # Errors
    /// When `bytes` is damaged, or `encoding` one of floats.
    pub fn resume(encoding: Encoding, _bytes: &[u8]) -> Result<Self, ChunkError> {
        Err(ChunkError::WrongKind(encoding))
    }

    /// What the header of a chunk that begins with `value` says when it follows this one because it was cut for its
    /// size or time, rather than because `value` does not fit.
    #[must_use]
    pub fn header_after(&self, _value: &HistogramValue) -> CounterReset {
        CounterReset::Unknown
    }

    /// Appends a histogram, whose spans and populations must agree in number.
    pub fn append(&mut self, _point: &HistogramPoint) -> HistogramAppended {
        HistogramAppended::Full
    }

    /// The chunk as it is now.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its encoding.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> u16 {
        0
    }

    /// The newest sample as it was written: with the empty buckets that the chunk has besides its own.
    #[must_use]
    pub fn last(&self) -> Option<(i64, &HistogramValue)> {
        self.last.as_ref().map(|(t, value)| (*t, value))
    }
}

pub(crate) fn decode(
    encoding: Encoding,
    _bytes: &[u8],
    _limit: u16,
    _out: &mut Vec<HistogramPoint>,
) -> Result<(), ChunkError> {
    Err(ChunkError::WrongKind(encoding))
}

pub(crate) fn first_time(_encoding: Encoding, _bytes: &[u8]) -> Option<i64> {
    None
}

pub(crate) fn counter_reset_header(_encoding: Encoding, _bytes: &[u8]) -> CounterReset {
    CounterReset::Unknown
}
