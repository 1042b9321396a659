//! Reading XOR chunks.

use crate::{ChunkError, Columns, XorAppender};

/// Reads bits from the front of `bytes`; beyond the end it delivers zeros, and [`overrun`](Self::overrun) tells.
struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    /// The next bits, left-aligned; at least 57 of them are real (or past the end).
    #[inline]
    fn peek(&self) -> u64 {
        let byte = self.at / 8;
        let word = match self.bytes.get(byte..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => u64::from_be_bytes(*word),
            None => self.peek_tail(byte),
        };
        word << (self.at % 8)
    }

    #[cold]
    fn peek_tail(&self, byte: usize) -> u64 {
        let rest = self.bytes.get(byte..).unwrap_or(&[]);
        rest.iter().take(8).enumerate().fold(0, |word, (i, &b)| word | u64::from(b) << (56 - 8 * i))
    }

    #[inline]
    fn skip(&mut self, n: u32) {
        self.at += n as usize;
    }

    /// The next `n` bits, 1 to 64, right-aligned.
    #[inline]
    fn take(&mut self, n: u32) -> u64 {
        if n <= 56 {
            let bits = self.peek() >> (64 - n);
            self.skip(n);
            return bits;
        }
        let high = self.take(32);
        let low = self.take(n - 32);
        high << (n - 32) | low
    }

    #[inline]
    fn overrun(&self) -> bool {
        self.at > self.bytes.len() * 8
    }

    /// Unsigned LEB128; `None` when it does not end within ten bytes.
    fn uvarint(&mut self) -> Option<u64> {
        let mut x = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(8);
            x |= (byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(x);
            }
        }
        None
    }
}

fn unzigzag(x: u64) -> i64 {
    (x >> 1) as i64 ^ -((x & 1) as i64)
}

struct Decoder<'a> {
    bits: Bits<'a>,
    t: i64,
    delta: i64,
    value: u64,
    leading: u32,
    /// Of the window; 0 before the first.
    significant: u32,
}

impl<'a> Decoder<'a> {
    /// Starts a chunk and reads its first sample.
    fn start(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let mut bits = Bits { bytes, at: 16 };
        let t = unzigzag(bits.uvarint().ok_or(ChunkError::Truncated(0))?);
        let value = bits.take(64);
        if bits.overrun() {
            return Err(ChunkError::Truncated(0));
        }
        Ok(Decoder { bits, t, delta: 0, value, leading: 0, significant: 0 })
    }

    fn second(&mut self) -> Result<(), ChunkError> {
        self.delta = self.bits.uvarint().ok_or(ChunkError::Truncated(1))? as i64;
        self.t = self.t.wrapping_add(self.delta);
        self.read_value();
        if self.bits.overrun() { Err(ChunkError::Truncated(1)) } else { Ok(()) }
    }

    #[inline]
    fn read_time(&mut self) {
        let word = self.bits.peek();
        let dod = match word.leading_ones() {
            0 => {
                self.bits.skip(1);
                0
            }
            1 => self.signed(word << 2, 14, 16),
            2 => self.signed(word << 3, 17, 20),
            3 => self.signed(word << 4, 20, 24),
            _ => {
                self.bits.skip(4);
                self.bits.take(64) as i64
            }
        };
        self.delta = self.delta.wrapping_add(dod);
        self.t = self.t.wrapping_add(self.delta);
    }

    /// A number of `n` bits at the left of `word`, whose range is shifted up by one: 2^(n-1) is positive.
    #[inline]
    fn signed(&mut self, word: u64, n: u32, used: u32) -> i64 {
        self.bits.skip(used);
        let x = (word >> (64 - n)) as i64;
        if x > 1 << (n - 1) { x - (1 << n) } else { x }
    }

    #[inline]
    fn read_value(&mut self) {
        let word = self.bits.peek();
        if word >> 63 == 0 {
            self.bits.skip(1);
            return;
        }
        if word >> 62 == 0b10 {
            self.bits.skip(2);
        } else {
            self.bits.skip(13);
            self.leading = (word >> 57 & 31) as u32;
            self.significant = match (word >> 51 & 63) as u32 {
                0 => 64,
                n => n,
            };
        }
        // Damaged bytes may refer to a window that was never set, or name one wider than 64 bits.
        if self.significant == 0 {
            return;
        }
        let trailing = 64u32.saturating_sub(self.leading + self.significant);
        self.value ^= self.bits.take(self.significant) << trailing;
    }
}

pub(crate) fn decode(bytes: &[u8], limit: u16, out: &mut Columns) -> Result<(), ChunkError> {
    let total = crate::sample_count(crate::Encoding::Xor, bytes).min(limit) as usize;
    if bytes.len() < 2 && limit > 0 {
        return Err(ChunkError::Truncated(0));
    }
    if total == 0 {
        return Ok(());
    }
    // A sample takes at least two bits: a damaged count cannot make us reserve more than the bytes can hold.
    let possible = total.min(bytes.len() * 4);
    out.times.reserve(possible);
    out.values.reserve(possible);
    let mut d = Decoder::start(bytes)?;
    let mut push = |t, v| {
        out.times.push(t);
        out.values.push(f64::from_bits(v));
    };
    push(d.t, d.value);
    if total == 1 {
        return Ok(());
    }
    d.second()?;
    push(d.t, d.value);
    let mut i = 2;
    while i < total {
        // Two zero bits: the same step in time, the same value. Often there are many in a row.
        let same = (d.bits.peek() & (u64::MAX << 8)).leading_zeros().min(56) / 2;
        if same > 0 {
            let n = (same as usize).min(total - i);
            d.bits.skip(n as u32 * 2);
            if d.bits.overrun() {
                return Err(ChunkError::Truncated(i));
            }
            for _ in 0..n {
                d.t = d.t.wrapping_add(d.delta);
                push(d.t, d.value);
            }
            i += n;
            continue;
        }
        d.read_time();
        d.read_value();
        if d.bits.overrun() {
            return Err(ChunkError::Truncated(i));
        }
        push(d.t, d.value);
        i += 1;
    }
    Ok(())
}

pub(crate) fn first_time(bytes: &[u8]) -> Option<i64> {
    (crate::sample_count(crate::Encoding::Xor, bytes) > 0).then(|| Decoder::start(bytes).ok().map(|d| d.t)).flatten()
}

pub(crate) fn resume(bytes: &[u8]) -> Result<XorAppender, ChunkError> {
    let total = crate::sample_count(crate::Encoding::Xor, bytes);
    if total == 0 {
        return Ok(XorAppender::new());
    }
    let mut d = Decoder::start(bytes)?;
    if total > 1 {
        d.second()?;
    }
    for i in 2..total {
        d.read_time();
        d.read_value();
        if d.bits.overrun() {
            return Err(ChunkError::Truncated(i.into()));
        }
    }
    let len = u16::try_from(d.bits.at.div_ceil(8)).map_err(|_| ChunkError::Truncated(total.into()))?;
    let free = (usize::from(len) * 8 - d.bits.at) as u8;
    let (leading, trailing) = match d.significant {
        0 => (0xff, 0),
        n => (d.leading as u8, 64u32.saturating_sub(d.leading + n) as u8),
    };
    Ok(XorAppender::from_state(d.t, f64::from_bits(d.value), d.delta, len, total, leading, trailing, free))
}
