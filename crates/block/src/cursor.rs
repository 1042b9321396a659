//! Reading numbers and texts from bytes that nobody vouches for.

use std::ops::Range;

use crate::Damage;

/// Reads forwards through a range of a file; offsets are those of the file.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// Over `range` of `file`; what lies beyond the file's end does not exist.
    pub(crate) fn new(file: &'a [u8], range: Range<usize>) -> Self {
        Cursor { bytes: file, at: range.start, end: range.end.min(file.len()) }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    pub(crate) fn damage(&self, what: &'static str) -> Damage {
        Damage { offset: self.at, what }
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Damage> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.end);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(self.damage("the data ends too early"))?;
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let here = self.at;
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or(Damage { offset: here, what: "the data ends too early" })
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damage> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_be_bytes)
    }

    /// Unsigned LEB128.
    pub(crate) fn uvarint(&mut self) -> Result<u64, Damage> {
        let start = self.damage("a number is too long");
        let mut x = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(start);
            }
            x |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(x);
            }
        }
        Err(start)
    }

    /// A number that has to fit 32 bits.
    pub(crate) fn uvarint32(&mut self) -> Result<u32, Damage> {
        let here = self.damage("a number is too large");
        u32::try_from(self.uvarint()?).map_err(|_| here)
    }

    /// Signed, zigzag.
    pub(crate) fn varint(&mut self) -> Result<i64, Damage> {
        let x = self.uvarint()?;
        Ok((x >> 1) as i64 ^ -((x & 1) as i64))
    }

    /// Bytes preceded by their number.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Damage> {
        let n = self.uvarint32()?;
        self.take(n as usize)
    }

    /// A text preceded by its length.
    pub(crate) fn text(&mut self) -> Result<&'a str, Damage> {
        let here = self.damage("a text is not UTF-8");
        std::str::from_utf8(self.sized()?).map_err(|_| here)
    }

    /// Content of `n` bytes that a checksum follows.
    pub(crate) fn checked(&mut self, n: usize) -> Result<Cursor<'a>, Damage> {
        let start = self.at;
        let content = self.take(n)?;
        if !matches(self.u32()?, content) {
            return Err(Damage { offset: start, what: "the checksum does not match" });
        }
        Ok(Cursor::new(self.bytes, start..start + n))
    }

    /// Content preceded by its length as four bytes, with a checksum behind it.
    pub(crate) fn section(&mut self) -> Result<Cursor<'a>, Damage> {
        let n = self.u32()?;
        self.checked(n as usize)
    }
}

/// Whether a checksum is that of these bytes. To a fuzzer every one is, since it would hardly ever guess one.
#[allow(unexpected_cfgs, reason = "set by cargo fuzz")]
pub(crate) fn matches(sum: u32, content: &[u8]) -> bool {
    cfg!(fuzzing) || sum == crc32c(content)
}

/// CRC-32C (Castagnoli).
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
