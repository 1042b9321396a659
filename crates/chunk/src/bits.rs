//! Bits, the most significant first.

use crate::NoRoom;

/// Reads bits from the front of `bytes`; beyond the end it delivers zeros, and [`overrun`](Self::overrun) tells.
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> Bits<'a> {
    /// Begins after a header of `skip` bytes.
    pub(crate) fn new(bytes: &'a [u8], skip: usize) -> Self {
        Bits { bytes, at: skip * 8 }
    }

    /// The next bits, left-aligned; at least 57 of them are real (or past the end).
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
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
    pub(crate) fn skip(&mut self, n: u32) {
        self.at += n as usize;
    }

    /// The next `n` bits, 1 to 64, right-aligned.
    #[inline]
    pub(crate) fn take(&mut self, n: u32) -> u64 {
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
    pub(crate) fn overrun(&self) -> bool {
        self.at > self.bytes.len() * 8
    }

    /// How many bits are left.
    pub(crate) fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// Bytes begun, and unused low bits of the last of them.
    pub(crate) fn end(&self) -> (usize, u8) {
        let len = self.at.div_ceil(8);
        (len, (len * 8 - self.at) as u8)
    }

    /// Unsigned LEB128; `None` when it does not end within ten bytes.
    pub(crate) fn uvarint(&mut self) -> Option<u64> {
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

    /// Signed (zigzag) LEB128.
    pub(crate) fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(|x| (x >> 1) as i64 ^ -((x & 1) as i64))
    }

    /// An unsigned varbit number: see [`varbit_unsigned`].
    #[inline]
    pub(crate) fn varbit_unsigned(&mut self) -> u64 {
        self.varbit().0
    }

    /// A signed varbit number: see [`varbit_signed`].
    #[inline]
    pub(crate) fn varbit_signed(&mut self) -> i64 {
        let (x, width) = self.varbit();
        // All but the widest class are shifted up by one: 2^(n-1) is positive.
        if (1..64).contains(&width) && x > 1 << (width - 1) { (x as i64) - (1 << width) } else { x as i64 }
    }

    /// The number's bits and how many they are.
    #[inline]
    fn varbit(&mut self) -> (u64, u32) {
        let word = self.peek();
        let class = word.leading_ones();
        if class == 0 {
            self.skip(1);
            return (0, 0);
        }
        let Some(&width) = VARBIT_WIDTHS.get(class as usize) else {
            self.skip(8);
            return (self.take(64), 64);
        };
        let prefix = class + 1;
        if prefix + width > 57 {
            self.skip(prefix);
            return (self.take(width), width);
        }
        self.skip(prefix + width);
        (word << prefix >> (64 - width), width)
    }
}

/// Widths of the classes of varbit numbers: class n has n ones and a zero before it. Beyond the last there are eight
/// ones and 64 bits.
const VARBIT_WIDTHS: [u32; 8] = [0, 3, 6, 9, 12, 18, 25, 56];

/// An unsigned number in the fewest bits that a class offers, and how many these are with their prefix.
pub(crate) fn varbit_unsigned(x: u64) -> (u128, u32) {
    let bits = 64 - x.leading_zeros();
    varbit(x, VARBIT_WIDTHS.iter().position(|&width| bits <= width))
}

/// A signed number, as above; a class of n bits holds -(2^(n-1) - 1) to 2^(n-1).
pub(crate) fn varbit_signed(x: i64) -> (u128, u32) {
    let class = match x {
        0 => 0,
        -3..=4 => 1,
        -31..=32 => 2,
        -255..=256 => 3,
        -2_047..=2_048 => 4,
        -131_071..=131_072 => 5,
        -16_777_215..=16_777_216 => 6,
        -36_028_797_018_963_967..=36_028_797_018_963_968 => 7,
        _ => return varbit(x as u64, None),
    };
    varbit(x as u64, Some(class))
}

fn varbit(x: u64, class: Option<usize>) -> (u128, u32) {
    let Some((class, width)) = class.and_then(|class| Some((class, *VARBIT_WIDTHS.get(class)?))) else {
        return (0xff << 64 | u128::from(x), 72);
    };
    let prefix = (1u128 << (class + 1)) - 2;
    (prefix << width | u128::from(x & ((1 << width) - 1)), class as u32 + 1 + width)
}

/// A number as signed (zigzag) LEB128, and its length in bits.
pub(crate) fn varint(x: i64) -> (u128, u32) {
    uvarint(((x << 1) ^ (x >> 63)) as u64)
}

/// A number as unsigned LEB128, and its length in bits.
pub(crate) fn uvarint(mut x: u64) -> (u128, u32) {
    let (mut bytes, mut len) = (0, 8);
    while x >= 0x80 {
        bytes = (bytes | u128::from(x & 0x7f | 0x80)) << 8;
        len += 8;
        x >>= 7;
    }
    (bytes | u128::from(x), len)
}

/// Where the bits in a buffer end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// In bytes, the last one included.
    pub(crate) len: u16,
    /// Unused low bits of the last byte.
    pub(crate) free: u8,
}

impl End {
    /// Appends the low `n` bits of `bits` (the others are 0) to those in `buf`.
    #[inline]
    pub(crate) fn put(&mut self, buf: &mut [u8], bits: u128, n: u32) -> Result<(), NoRoom> {
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
}

/// Bits in a vector that grows.
#[derive(Debug, Clone)]
pub(crate) struct BitVec {
    pub(crate) bytes: Vec<u8>,
    /// Unused low bits of the last byte; they are 0.
    free: u8,
}

impl BitVec {
    /// Whole bytes, and 0 to 7 low bits of the last one that are free to be used.
    pub(crate) fn new(mut bytes: Vec<u8>, free: u8) -> Self {
        if let Some(last) = bytes.last_mut() {
            *last &= 0xff << free;
        }
        BitVec { bytes, free }
    }

    /// Appends the low `n` bits of `bits` (the others are 0).
    pub(crate) fn put(&mut self, (bits, n): (u128, u32)) {
        let mut n = n;
        if let Some(last) = self.bytes.last_mut().filter(|_| self.free > 0) {
            let free = u32::from(self.free);
            if n <= free {
                *last |= (bits as u8) << (free - n);
                self.free = (free - n) as u8;
                return;
            }
            *last |= (bits >> (n - free)) as u8;
            n -= free;
            self.free = 0;
        }
        if n > 0 {
            let whole = n.div_ceil(8);
            self.bytes.extend_from_slice(&(bits << (128 - n)).to_be_bytes()[..whole as usize]);
            self.free = (whole * 8 - n) as u8;
        }
    }

    /// Appends the bits of a number.
    pub(crate) fn put_f64(&mut self, x: f64) {
        self.put((x.to_bits().into(), 64));
    }
}
