//! Reading XOR chunks.

use crate::bits::{Bits, End};
use crate::window::ReadWindow;
use crate::{ChunkError, Columns, Encoding, XorAppender};

struct Decoder<'a> {
    bits: Bits<'a>,
    t: i64,
    delta: i64,
    value: u64,
    window: ReadWindow,
}

impl<'a> Decoder<'a> {
    /// Starts a chunk and reads its first sample.
    fn start(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let mut bits = Bits::new(bytes, 2);
        let t = bits.varint().ok_or(ChunkError::Truncated(0))?;
        let value = bits.take(64);
        if bits.overrun() {
            return Err(ChunkError::Truncated(0));
        }
        Ok(Decoder { bits, t, delta: 0, value, window: ReadWindow::default() })
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

    /// Reads a sample whose step in time is that before it and all of whose bits are in `word`, the next ones: most are.
    #[inline]
    fn read_at_once(&mut self, word: u64) -> bool {
        if word >> 62 != 0b01 {
            return false;
        }
        let moved = word >> 61 & 1 == 1;
        let mut window = self.window;
        if moved {
            window.set(word << 3);
        }
        let used = if moved { 14 } else { 3 };
        let Some(xor) = window.read_from(word, used) else { return false };
        self.bits.skip(used + window.significant());
        self.window = window;
        self.value ^= xor;
        self.t = self.t.wrapping_add(self.delta);
        true
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
        self.window.read_value(&mut self.bits, &mut self.value);
    }
}

pub(crate) fn decode(bytes: &[u8], limit: u16, out: &mut Columns) -> Result<(), ChunkError> {
    let total = crate::sample_count(Encoding::Xor, bytes).min(limit) as usize;
    if bytes.len() < 2 && limit > 0 {
        return Err(ChunkError::Truncated(0));
    }
    if total == 0 {
        return Ok(());
    }
    // A sample takes at least two bits: a damaged count cannot make us reserve more than the bytes can hold.
    let start = out.times.len();
    out.times.resize(start + total.min(bytes.len() * 4), 0);
    out.values.resize(out.times.len(), 0.0);
    let times = out.times.get_mut(start..).unwrap_or_default();
    let values = out.values.get_mut(start..).unwrap_or_default();
    let decoded = decode_into(bytes, total, times, values);
    if let Err(ChunkError::Truncated(whole)) = decoded {
        out.times.truncate(start + whole);
        out.values.truncate(start + whole);
    }
    decoded
}

fn decode_into(bytes: &[u8], total: usize, times: &mut [i64], values: &mut [f64]) -> Result<(), ChunkError> {
    let mut d = Decoder::start(bytes)?;
    let mut put = |i, t, v| {
        if let (Some(time), Some(value)) = (times.get_mut(i), values.get_mut(i)) {
            *time = t;
            *value = f64::from_bits(v);
        }
    };
    put(0, d.t, d.value);
    if total == 1 {
        return Ok(());
    }
    d.second()?;
    put(1, d.t, d.value);
    let mut i = 2;
    while i < total {
        let word = d.bits.peek();
        // Two zero bits: the same step in time, the same value. Often there are many in a row.
        if word >> 62 == 0 {
            let same = (word & (u64::MAX << 8)).leading_zeros().min(56) / 2;
            let n = (same as usize).min(total - i);
            d.bits.skip(n as u32 * 2);
            if d.bits.overrun() {
                return Err(ChunkError::Truncated(i));
            }
            for k in i..i + n {
                d.t = d.t.wrapping_add(d.delta);
                put(k, d.t, d.value);
            }
            i += n;
            continue;
        }
        if !d.read_at_once(word) {
            d.read_time();
            d.read_value();
        }
        if d.bits.overrun() {
            return Err(ChunkError::Truncated(i));
        }
        put(i, d.t, d.value);
        i += 1;
    }
    Ok(())
}

pub(crate) fn first_time(bytes: &[u8]) -> Option<i64> {
    (crate::sample_count(Encoding::Xor, bytes) > 0).then(|| Decoder::start(bytes).ok().map(|d| d.t)).flatten()
}

pub(crate) fn resume(bytes: &[u8]) -> Result<XorAppender, ChunkError> {
    let total = crate::sample_count(Encoding::Xor, bytes);
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
    let (len, free) = d.bits.end();
    let len = u16::try_from(len).map_err(|_| ChunkError::Truncated(total.into()))?;
    let end = End { len, free };
    Ok(XorAppender::from_state(d.t, f64::from_bits(d.value), d.delta, end, total, d.window.for_writer()))
}
