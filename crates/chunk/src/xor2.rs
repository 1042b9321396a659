//! Writing XOR2 chunks.

use crate::{ChunkError, NoRoom};

/// Appends samples to an XOR2 chunk whose bytes live in a buffer owned elsewhere, as [`XorAppender`](crate::XorAppender)
/// does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Xor2Appender {
    t: i64,
    v: f64,
    len: u16,
    samples: u16,
}

impl Xor2Appender {
    /// No sample takes more bytes than this; the first one also needs three for the chunk's header.
    pub const MAX_SAMPLE_LEN: usize = 32;

    /// The state before the first sample.
    #[must_use]
    pub const fn new() -> Self {
        Xor2Appender { t: 0, v: 0.0, len: 0, samples: 0 }
    }

    /// Rebuilds the state after the last sample of `bytes`.
    ///
    /// # Errors
    /// When `bytes` is damaged.
    pub fn resume(_bytes: &[u8]) -> Result<Self, ChunkError> {
        Err(ChunkError::Truncated(0))
    }

    /// Time of the newest sample (meaningless while empty).
    #[must_use]
    pub fn last_time(&self) -> i64 {
        self.t
    }

    /// Value of the newest sample (meaningless while empty).
    #[must_use]
    pub fn last_value(&self) -> f64 {
        self.v
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> u16 {
        self.samples
    }

    /// Length of the chunk in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a length in bytes; samples() tells whether it is empty")]
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Appends a sample to the chunk in `buf`; `start_time` is 0 when it is not known.
    ///
    /// # Errors
    /// When `buf` is too short, or the chunk can take no more (65,535 samples or bytes).
    pub fn append(&mut self, _buf: &mut [u8], _start_time: i64, _t: i64, _v: f64) -> Result<(), NoRoom> {
        Err(NoRoom)
    }
}
