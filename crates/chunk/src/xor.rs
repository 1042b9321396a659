//! Writing XOR chunks.

use crate::bits::{self, End};
use crate::window::Window;

/// The buffer is too short for the sample. Nothing was written; a buffer longer by
/// [`XorAppender::MAX_SAMPLE_LEN`] is certain to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

/// Appends samples to an XOR chunk whose bytes live in a buffer owned elsewhere: this is only the state between
/// two appends (32 bytes), and can be rebuilt from the bytes with [`XorAppender::resume`].
///
/// The same buffer content must be passed to each call; bytes past [`len`](Self::len) may hold anything.
#[derive(Debug, Clone, Copy)]
pub struct XorAppender {
    t: i64,
    v: f64,
    delta: i64,
    end: End,
    samples: u16,
    window: Window,
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// No sample takes more bytes than this; the first one also needs two for the chunk's sample count.
    pub const MAX_SAMPLE_LEN: usize = 20;

    /// The state before the first sample.
    #[must_use]
    pub const fn new() -> Self {
        XorAppender {
            t: 0,
            v: 0.0,
            delta: 0,
            end: End { len: 0, free: 0 },
            samples: 0,
            window: Window::new(),
        }
    }

    /// Rebuilds the state after the last sample of `bytes`.
    ///
    /// # Errors
    /// When `bytes` is damaged.
    pub fn resume(bytes: &[u8]) -> Result<Self, crate::ChunkError> {
        crate::xor_decode::resume(bytes)
    }

    pub(crate) fn from_state(t: i64, v: f64, delta: i64, end: End, samples: u16, window: Window) -> Self {
        XorAppender { t, v, delta, end, samples, window }
    }

    /// Time of the newest sample (meaningless while empty).
    #[inline]
    #[must_use]
    pub fn last_time(&self) -> i64 {
        self.t
    }

    /// Value of the newest sample (meaningless while empty).
    #[inline]
    #[must_use]
    pub fn last_value(&self) -> f64 {
        self.v
    }

    /// Number of samples.
    #[inline]
    #[must_use]
    pub fn samples(&self) -> u16 {
        self.samples
    }

    /// Length of the chunk in bytes.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a length in bytes; samples() tells whether it is empty")]
    pub fn len(&self) -> usize {
        self.end.len as usize
    }

    /// Appends a sample to the chunk in `buf`.
    ///
    /// # Errors
    /// When `buf` is too short, or the chunk can take no more (65,535 samples or bytes).
    #[inline]
    pub fn append(&mut self, buf: &mut [u8], t: i64, v: f64) -> Result<(), NoRoom> {
        if self.samples < 2 {
            return self.append_early(buf, t, v);
        }
        let delta = t.wrapping_sub(self.t);
        let (time_bits, time_len) = time_bits(delta.wrapping_sub(self.delta));
        let mut next = XorAppender { t, v, delta, ..*self };
        let (value_bits, value_len) = next.window.value_bits(self.v, v);
        if time_len + value_len <= 128 {
            next.end.put(buf, time_bits << value_len | value_bits, time_len + value_len)?;
        } else {
            next.end.put(buf, time_bits, time_len)?;
            next.end.put(buf, value_bits, value_len)?;
        }
        next.finish(buf)?;
        *self = next;
        Ok(())
    }

    /// The first two samples hold their time as bytes.
    #[cold]
    fn append_early(&mut self, buf: &mut [u8], t: i64, v: f64) -> Result<(), NoRoom> {
        let mut next = XorAppender { t, v, ..*self };
        if self.samples == 0 {
            next = XorAppender { t, v, end: End { len: 2, free: 0 }, ..Self::new() };
            let (bits, len) = bits::varint(t);
            next.end.put(buf, bits, len)?;
            next.end.put(buf, v.to_bits().into(), 64)?;
        } else {
            next.delta = t.wrapping_sub(self.t);
            let (bits, len) = bits::uvarint(next.delta as u64);
            next.end.put(buf, bits, len)?;
            let (bits, len) = next.window.value_bits(self.v, v);
            next.end.put(buf, bits, len)?;
        }
        next.finish(buf)?;
        *self = next;
        Ok(())
    }

    fn finish(&mut self, buf: &mut [u8]) -> Result<(), NoRoom> {
        self.samples = self.samples.checked_add(1).ok_or(NoRoom)?;
        *buf.first_chunk_mut().ok_or(NoRoom)? = self.samples.to_be_bytes();
        Ok(())
    }
}

#[inline]
fn time_bits(delta_of_delta: i64) -> (u128, u32) {
    let low = |n: u32| u128::from(delta_of_delta as u64 & ((1 << n) - 1));
    match delta_of_delta {
        0 => (0, 1),
        -8_191..=8_192 => (0b10 << 14 | low(14), 16),
        -65_535..=65_536 => (0b110 << 17 | low(17), 20),
        -524_287..=524_288 => (0b1110 << 20 | low(20), 24),
        _ => (0b1111 << 64 | u128::from(delta_of_delta as u64), 68),
    }
}
