//! Writing XOR2 chunks.

use model::{STALE_NAN, is_stale};

use crate::bits::{self, End};
use crate::start_times::StartTimes;
use crate::window::{Significant, Window};
use crate::{ChunkError, NoRoom};

/// Appends samples to an XOR2 chunk whose bytes live in a buffer owned elsewhere: this is only the state between
/// two appends (56 bytes), and can be rebuilt from the bytes with [`Xor2Appender::resume`].
///
/// The same buffer content must be passed to each call; bytes past [`len`](Self::len) may hold anything.
#[derive(Debug, Clone, Copy)]
pub struct Xor2Appender {
    t: i64,
    /// The newest value that was no staleness marker: what the next one is compared with.
    base: f64,
    delta: i64,
    start_times: StartTimes,
    end: End,
    samples: u16,
    window: Window,
    stale: bool,
}

impl Default for Xor2Appender {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Appender {
    /// No sample takes more bytes than this; the first one also needs three for the chunk's header.
    pub const MAX_SAMPLE_LEN: usize = 32;

    /// The state before the first sample.
    #[must_use]
    pub const fn new() -> Self {
        Xor2Appender {
            t: 0,
            base: 0.0,
            delta: 0,
            start_times: StartTimes::new(),
            end: End { len: 0, free: 0 },
            samples: 0,
            window: Window::new(),
            stale: false,
        }
    }

    /// Rebuilds the state after the last sample of `bytes`.
    ///
    /// # Errors
    /// When `bytes` is damaged.
    pub fn resume(bytes: &[u8]) -> Result<Self, ChunkError> {
        crate::xor2_decode::resume(bytes)
    }

    /// With `value` being the newest one and `base` the newest that is no staleness marker.
    #[expect(clippy::too_many_arguments, reason = "the decoder's state, field by field")]
    pub(crate) fn from_state(
        t: i64,
        value: f64,
        base: f64,
        delta: i64,
        start_times: StartTimes,
        end: End,
        samples: u16,
        window: Window,
    ) -> Self {
        let stale = is_stale(value);
        Xor2Appender { t, base, delta, start_times, end, samples, window, stale }
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
        if self.stale { STALE_NAN } else { self.base }
    }

    /// Start time of the newest sample; 0 when it is not known.
    #[inline]
    #[must_use]
    pub fn last_start_time(&self) -> i64 {
        self.start_times.last()
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
        self.end.len.into()
    }

    /// Appends a sample to the chunk in `buf`; `start_time` is 0 when it is not known.
    ///
    /// # Errors
    /// When `buf` is too short, or the chunk can take no more (65,535 samples or bytes).
    #[inline]
    pub fn append(&mut self, buf: &mut [u8], start_time: i64, t: i64, v: f64) -> Result<(), NoRoom> {
        let stale = is_stale(v);
        let mut next = Xor2Appender { t, stale, ..*self };
        if !stale {
            next.base = v;
        }
        match self.samples {
            0 => next.put_first(buf, v)?,
            1 => {
                next.delta = t.wrapping_sub(self.t);
                let (bits, len) = bits::uvarint(next.delta as u64);
                next.end.put(buf, bits, len)?;
                next.put_value(buf, self.base, v)?;
            }
            _ => {
                next.delta = t.wrapping_sub(self.t);
                next.put_joint(buf, self, v)?;
            }
        }
        let (bits, len) = next.start_times.next(self.samples, self.t, t, start_time).ok_or(NoRoom)?;
        if len > 0 {
            next.end.put(buf, bits, len)?;
        }
        next.samples = self.samples.checked_add(1).ok_or(NoRoom)?;
        let [high, low] = next.samples.to_be_bytes();
        *buf.first_chunk_mut().ok_or(NoRoom)? = [high, low, next.start_times.header];
        *self = next;
        Ok(())
    }

    #[cold]
    fn put_first(&mut self, buf: &mut [u8], v: f64) -> Result<(), NoRoom> {
        self.end.len = 3;
        let (bits, len) = bits::varint(self.t);
        self.end.put(buf, bits, len)?;
        self.end.put(buf, v.to_bits().into(), 64)
    }

    /// Time and value of any sample but the first two: one prefix for both.
    #[inline]
    fn put_joint(&mut self, buf: &mut [u8], before: &Self, v: f64) -> Result<(), NoRoom> {
        let (dod, dod_len) = match self.delta.wrapping_sub(before.delta) {
            0 => return self.put_at_same_step(buf, before.base, v),
            dod @ -4_096..=4_095 => (0b110 << 13 | u128::from(dod as u64 & 0x1fff), 16),
            dod @ -524_288..=524_287 => (0b1110 << 20 | u128::from(dod as u64 & 0xf_ffff), 24),
            dod => (0b11110 << 64 | u128::from(dod as u64), 69),
        };
        self.end.put(buf, dod, dod_len)?;
        self.put_value(buf, before.base, v)
    }

    #[inline]
    fn put_at_same_step(&mut self, buf: &mut [u8], before: f64, v: f64) -> Result<(), NoRoom> {
        if self.stale {
            return self.end.put(buf, 0b11111, 5);
        }
        let xor = before.to_bits() ^ v.to_bits();
        if xor == 0 {
            return self.end.put(buf, 0, 1);
        }
        let Significant { moved, bits, len } = self.window.cut(xor);
        self.end.put(buf, (0b100 | u128::from(moved)) << len | bits, 3 + len)
    }

    /// A value whose time has a prefix of its own.
    #[inline]
    fn put_value(&mut self, buf: &mut [u8], before: f64, v: f64) -> Result<(), NoRoom> {
        if self.stale {
            return self.end.put(buf, 0b111, 3);
        }
        let xor = before.to_bits() ^ v.to_bits();
        if xor == 0 {
            return self.end.put(buf, 0, 1);
        }
        let Significant { moved, bits, len } = self.window.cut(xor);
        let (prefix, prefix_len) = if moved { (0b110, 3) } else { (0b10, 2) };
        self.end.put(buf, prefix << len | bits, prefix_len + len)
    }
}
