//! Reading XOR2 chunks.

use model::STALE_NAN;

use crate::bits::{Bits, End};
use crate::start_times::ReadStartTimes;
use crate::window::ReadWindow;
use crate::{ChunkError, Columns, Encoding, Xor2Appender};

struct Decoder<'a> {
    bits: Bits<'a>,
    t: i64,
    delta: i64,
    value: u64,
    /// The newest value that is no staleness marker.
    base: u64,
    window: ReadWindow,
    start_times: ReadStartTimes,
    start_time: i64,
}

impl<'a> Decoder<'a> {
    /// Starts a chunk and reads its first sample.
    fn start(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let end = || ChunkError::Truncated(0);
        let mut start_times = ReadStartTimes::new(*bytes.get(2).ok_or_else(end)?);
        let mut bits = Bits::new(bytes, 3);
        let t = bits.varint().ok_or_else(end)?;
        let value = bits.take(64);
        let start_time = start_times.read(&mut bits, 0, 0, t).ok_or_else(end)?;
        if bits.overrun() {
            return Err(end());
        }
        let base = if value == STALE_NAN.to_bits() { 0 } else { value };
        Ok(Decoder { bits, t, delta: 0, value, base, window: ReadWindow::default(), start_times, start_time })
    }

    /// Reads sample `index`, which is not the first.
    #[inline]
    fn advance(&mut self, index: usize) -> Result<(), ChunkError> {
        let before = self.t;
        if index == 1 {
            self.delta = self.bits.uvarint().ok_or(ChunkError::Truncated(1))? as i64;
            self.read_value();
        } else {
            self.read_joint();
        }
        self.t = before.wrapping_add(self.delta);
        if self.start_times.any() {
            let read = self.start_times.read(&mut self.bits, index, before, self.t);
            self.start_time = read.ok_or(ChunkError::Truncated(index))?;
        }
        if self.bits.overrun() { Err(ChunkError::Truncated(index)) } else { Ok(()) }
    }

    /// Reads the step in time and the value.
    #[inline]
    fn read_joint(&mut self) {
        let word = self.bits.peek();
        let dod = match word.leading_ones() {
            0 => {
                self.bits.skip(1);
                self.value = self.base;
                return;
            }
            1 => {
                if word >> 61 == 0b100 {
                    self.bits.skip(3);
                } else {
                    self.bits.skip(14);
                    self.window.set(word << 3);
                }
                self.change();
                return;
            }
            2 => {
                self.bits.skip(16);
                ((word << 3) as i64) >> 51
            }
            3 => {
                self.bits.skip(24);
                ((word << 4) as i64) >> 44
            }
            4 => {
                self.bits.skip(5);
                self.bits.take(64) as i64
            }
            _ => {
                self.bits.skip(5);
                self.value = STALE_NAN.to_bits();
                return;
            }
        };
        self.delta = self.delta.wrapping_add(dod);
        self.read_value();
    }

    /// Reads a value whose time had a prefix of its own.
    #[inline]
    fn read_value(&mut self) {
        let word = self.bits.peek();
        match word.leading_ones() {
            0 => {
                self.bits.skip(1);
                self.value = self.base;
            }
            1 => {
                self.bits.skip(2);
                self.change();
            }
            2 => {
                self.bits.skip(14);
                self.window.set(word << 3);
                self.change();
            }
            _ => {
                self.bits.skip(3);
                self.value = STALE_NAN.to_bits();
            }
        }
    }

    #[inline]
    fn change(&mut self) {
        self.base ^= self.window.read(&mut self.bits);
        self.value = self.base;
    }
}

pub(crate) fn decode(bytes: &[u8], limit: u16, out: &mut Columns) -> Result<(), ChunkError> {
    let total = crate::sample_count(Encoding::Xor2, bytes).min(limit) as usize;
    if bytes.len() < 2 && limit > 0 {
        return Err(ChunkError::Truncated(0));
    }
    if total == 0 {
        return Ok(());
    }
    // A sample takes at least one bit: a damaged count cannot make us reserve more than the bytes can hold.
    let possible = total.min(bytes.len() * 8);
    out.times.reserve(possible);
    out.values.reserve(possible);
    let mut d = Decoder::start(bytes)?;
    if d.start_times.any() {
        return with_start_times(d, total, possible, out);
    }
    let mut push = |t, v| {
        out.times.push(t);
        out.values.push(f64::from_bits(v));
    };
    push(d.t, d.value);
    let mut i = 1;
    while i < total {
        // A zero bit: the same step in time, the same value. Often there are many in a row.
        let same = if i > 1 { (d.bits.peek() & (u64::MAX << 8)).leading_zeros().min(56) } else { 0 };
        if same > 0 {
            let n = (same as usize).min(total - i);
            d.bits.skip(n as u32);
            if d.bits.overrun() {
                return Err(ChunkError::Truncated(i));
            }
            d.value = d.base;
            for _ in 0..n {
                d.t = d.t.wrapping_add(d.delta);
                push(d.t, d.value);
            }
            i += n;
            continue;
        }
        d.advance(i)?;
        push(d.t, d.value);
        i += 1;
    }
    Ok(())
}

fn with_start_times(
    mut d: Decoder<'_>,
    total: usize,
    possible: usize,
    out: &mut Columns,
) -> Result<(), ChunkError> {
    let begin = out.times.len();
    // A chunk of many samples has bits for start times even if none is known.
    let mut known = !out.start_times.is_empty();
    out.start_times.resize(begin, 0);
    out.start_times.reserve(possible);
    let mut i = 0;
    let decoded = loop {
        out.times.push(d.t);
        out.values.push(f64::from_bits(d.value));
        out.start_times.push(d.start_time);
        known |= d.start_time != 0;
        i += 1;
        if i == total {
            break Ok(());
        }
        if let Err(e) = d.advance(i) {
            break Err(e);
        }
    };
    if !known {
        out.start_times.clear();
    }
    decoded
}

pub(crate) fn first_time(bytes: &[u8]) -> Option<i64> {
    let any = crate::sample_count(Encoding::Xor2, bytes) > 0;
    any.then(|| Decoder::start(bytes).ok().map(|d| d.t)).flatten()
}

pub(crate) fn resume(bytes: &[u8]) -> Result<Xor2Appender, ChunkError> {
    let total = crate::sample_count(Encoding::Xor2, bytes);
    if total == 0 {
        return Ok(Xor2Appender::new());
    }
    let mut d = Decoder::start(bytes)?;
    for i in 1..total {
        d.advance(i.into())?;
    }
    let (len, free) = d.bits.end();
    let len = u16::try_from(len).map_err(|_| ChunkError::Truncated(total.into()))?;
    Ok(Xor2Appender::from_state(
        d.t,
        f64::from_bits(d.value),
        f64::from_bits(d.base),
        d.delta,
        d.start_times.for_writer(),
        End { len, free },
        total,
        d.window.for_writer(),
    ))
}
