//! Sample encodings: bytes to samples and back. Pure: no I/O, no threads, no knowledge of files.
//!
//! Nothing outside of this crate assumes a particular encoding: writers take [`XorAppender`], readers [`decode`].
//! README.md beside this crate draws the bytes.

mod xor;
mod xor_decode;

pub use xor::{NoRoom, XorAppender};

/// How the bytes of a chunk hold its samples. The discriminants are Prometheus' on-disk numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Gorilla-style XOR of floats.
    Xor = 1,
}

impl TryFrom<u8> for Encoding {
    type Error = ChunkError;

    fn try_from(number: u8) -> Result<Self, ChunkError> {
        match number {
            1 => Ok(Encoding::Xor),
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
}

/// Decoded float samples, as two columns of equal length.
#[derive(Debug, Default, Clone)]
pub struct Columns {
    /// Milliseconds since the Unix epoch, ascending.
    pub times: Vec<i64>,
    /// The values.
    pub values: Vec<f64>,
}

impl Columns {
    /// Empties both columns and keeps their memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
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
}

/// Appends the first `limit` samples of a chunk to `out`.
///
/// Times are delivered as stored; only damaged bytes hold times that do not ascend.
///
/// # Errors
/// When `bytes` is damaged; what was decoded before the damage stays in `out`.
pub fn decode(encoding: Encoding, bytes: &[u8], limit: u16, out: &mut Columns) -> Result<(), ChunkError> {
    match encoding {
        Encoding::Xor => xor_decode::decode(bytes, limit, out),
    }
}

/// How many samples a chunk says that it holds; 0 when it is too short to say.
#[must_use]
pub fn sample_count(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |head| u16::from_be_bytes(*head))
}

/// Time of a chunk's oldest sample, in milliseconds; `None` when it holds none.
#[must_use]
pub fn first_time(encoding: Encoding, bytes: &[u8]) -> Option<i64> {
    match encoding {
        Encoding::Xor => xor_decode::first_time(bytes),
    }
}
