//! Writing XOR chunks.

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
    len: u16,
    samples: u16,
    /// Window of significant bits of the last XOR written in full; `NO_WINDOW` before the first.
    leading: u8,
    trailing: u8,
    /// Unused low bits of the last byte.
    free: u8,
}

const NO_WINDOW: u8 = 0xff;

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
        XorAppender { t: 0, v: 0.0, delta: 0, len: 0, samples: 0, leading: NO_WINDOW, trailing: 0, free: 0 }
    }

    /// Rebuilds the state after the last sample of `bytes`.
    ///
    /// # Errors
    /// When `bytes` is damaged.
    pub fn resume(bytes: &[u8]) -> Result<Self, crate::ChunkError> {
        crate::xor_decode::resume(bytes)
    }

    #[expect(clippy::too_many_arguments, reason = "the decoder's state, field by field")]
    pub(crate) fn from_state(
        t: i64,
        v: f64,
        delta: i64,
        len: u16,
        samples: u16,
        leading: u8,
        trailing: u8,
        free: u8,
    ) -> Self {
        XorAppender { t, v, delta, len, samples, leading, trailing, free }
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
        self.len as usize
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
        let (value_bits, value_len) = next.value_bits(self.v, v);
        if time_len + value_len <= 128 {
            next.put(buf, time_bits << value_len | value_bits, time_len + value_len)?;
        } else {
            next.put(buf, time_bits, time_len)?;
            next.put(buf, value_bits, value_len)?;
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
            next = XorAppender { t, v, len: 2, ..Self::new() };
            next.put_uvarint(buf, zigzag(t))?;
            next.put(buf, v.to_bits().into(), 64)?;
        } else {
            next.delta = t.wrapping_sub(self.t);
            next.put_uvarint(buf, next.delta as u64)?;
            let (bits, len) = next.value_bits(self.v, v);
            next.put(buf, bits, len)?;
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

    /// The bits of a value after `before`, moving the window if the value does not fit in it.
    #[inline]
    fn value_bits(&mut self, before: f64, v: f64) -> (u128, u32) {
        let xor = before.to_bits() ^ v.to_bits();
        if xor == 0 {
            return (0, 1);
        }
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        if self.leading != NO_WINDOW && leading >= self.leading.into() && trailing >= self.trailing.into() {
            let significant = 64 - u32::from(self.leading) - u32::from(self.trailing);
            return (0b10 << significant | u128::from(xor >> self.trailing), 2 + significant);
        }
        self.leading = leading as u8;
        self.trailing = trailing as u8;
        let significant = 64 - leading - trailing;
        let head = 0b11 << 11 | leading << 6 | (significant & 63); // 64 is written as 0
        (u128::from(head) << significant | u128::from(xor >> trailing), 13 + significant)
    }

    /// Appends the low `n` bits of `bits` (the others are 0).
    #[inline]
    fn put(&mut self, buf: &mut [u8], bits: u128, n: u32) -> Result<(), NoRoom> {
        let free = u32::from(self.free);
        let len = usize::from(self.len);
        if free > 0 {
            let last = buf.get_mut(len - 1).ok_or(NoRoom)?;
            // Bits past the used ones may be left over from a sample that did not fit: overwrite, don't OR.
            let kept = *last & (0xff << free);
            if n <= free {
                *last = kept | (bits as u8) << (free - n);
                self.free = (free - n) as u8;
                return Ok(());
            }
            *last = kept | (bits >> (n - free)) as u8;
        }
        let n = n - free;
        if n == 0 {
            self.free = 0;
            return Ok(());
        }
        let bytes = (bits << (128 - n)).to_be_bytes();
        let whole = n.div_ceil(8) as usize;
        let end = len + whole;
        buf.get_mut(len..end).ok_or(NoRoom)?.copy_from_slice(&bytes[..whole]);
        self.len = u16::try_from(end).map_err(|_| NoRoom)?;
        self.free = (whole as u32 * 8 - n) as u8;
        Ok(())
    }

    fn put_uvarint(&mut self, buf: &mut [u8], mut x: u64) -> Result<(), NoRoom> {
        while x >= 0x80 {
            self.put(buf, u128::from(x & 0x7f | 0x80), 8)?;
            x >>= 7;
        }
        self.put(buf, x.into(), 8)
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

fn zigzag(x: i64) -> u64 {
    ((x << 1) ^ (x >> 63)) as u64
}
