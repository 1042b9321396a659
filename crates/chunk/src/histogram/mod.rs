//! Chunks of native histograms: integer or float populations, with or without start times.

mod buckets;
mod fit;
mod float;
mod integer;
mod layout;
mod read;
mod resolution;
mod write;

use model::histogram::{CounterReset, HistogramValue};

use crate::{ChunkError, Encoding};
use read::Reader;
pub use write::{HistogramAppended, HistogramWriter};

/// The most samples that a chunk with start times can count.
pub(crate) const MAX_SAMPLES_ST: u16 = 0x3fff;

/// Every chunk begins with so many bytes: the sample count, what is known about a counter reset, and with start times
/// [their byte](crate::start_times).
const HEADER_LEN: usize = 3;

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

pub(crate) fn decode(
    encoding: Encoding,
    bytes: &[u8],
    limit: u16,
    out: &mut Vec<HistogramPoint>,
) -> Result<(), ChunkError> {
    let mut reader = Reader::new(encoding, bytes)?;
    let total = usize::from(reader.total.min(limit));
    // A sample takes at least four bits: a damaged count cannot make us reserve more than the bytes can hold.
    out.reserve(total.min(bytes.len() * 2));
    for _ in 0..total {
        reader.advance()?;
        out.push(reader.point()?);
    }
    Ok(())
}

pub(crate) fn first_time(encoding: Encoding, bytes: &[u8]) -> Option<i64> {
    let mut reader = Reader::new(encoding, bytes).ok()?;
    (reader.total > 0 && reader.advance().is_ok()).then_some(reader.t)
}

pub(crate) fn counter_reset_header(encoding: Encoding, bytes: &[u8]) -> CounterReset {
    let byte = if encoding.is_float() { None } else { bytes.get(header_byte(encoding)) };
    match byte.map_or(0, |byte| byte >> 6) {
        0b00 => CounterReset::Unknown,
        0b01 => CounterReset::NotReset,
        0b10 => CounterReset::Reset,
        _ => CounterReset::Gauge,
    }
}

fn header_bits(header: CounterReset) -> u8 {
    match header {
        CounterReset::Unknown => 0b00,
        CounterReset::NotReset => 0b01,
        CounterReset::Reset => 0b10,
        CounterReset::Gauge => 0b11,
    }
}

/// Which byte of the header has the two bits about a counter reset.
fn header_byte(encoding: Encoding) -> usize {
    if encoding.has_start_times() { 0 } else { 2 }
}
