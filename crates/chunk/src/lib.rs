//! Sample encodings: bytes to samples and back. Pure: no I/O, no threads, no knowledge of files.
//!
//! Nothing outside of this crate assumes a particular encoding: writers take [`XorAppender`], readers [`decode`].

/// How the bytes of a chunk hold its samples. The discriminants are Prometheus' on-disk numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Gorilla-style XOR of floats.
    Xor = 1,
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

/// Appends the first `limit` samples of a chunk to `out`.
///
/// # Errors
/// When `bytes` is damaged; what was decoded before the damage stays in `out`.
pub fn decode(encoding: Encoding, bytes: &[u8], limit: u16, out: &mut Columns) -> Result<(), ChunkError> {
    let _ = (encoding, bytes, limit, out);
    Err(ChunkError::Truncated(0))
}
