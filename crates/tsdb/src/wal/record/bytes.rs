//! Numbers and texts as records hold them: fixed widths are big endian, varints are Go's (zigzag where signed).

use model::Labels;

use super::BadRecord;

pub(super) fn put_uvarint(buf: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        buf.push(x as u8 | 0x80);
        x >>= 7;
    }
    buf.push(x as u8);
}

#[inline]
pub(super) fn put_varint(buf: &mut Vec<u8>, x: i64) {
    put_uvarint(buf, ((x << 1) ^ (x >> 63)) as u64);
}

pub(super) fn put_f64(buf: &mut Vec<u8>, x: f64) {
    buf.extend_from_slice(&x.to_bits().to_be_bytes());
}

pub(super) fn put_text(buf: &mut Vec<u8>, text: &str) {
    put_uvarint(buf, text.len() as u64);
    buf.extend_from_slice(text.as_bytes());
}

pub(super) fn put_labels(buf: &mut Vec<u8>, labels: &Labels) {
    put_uvarint(buf, labels.len() as u64);
    for (name, value) in labels {
        put_text(buf, name);
        put_text(buf, value);
    }
}

/// What is left of a record.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Behind the type, if it is one of `kinds`.
    pub(super) fn after_kind(record: &'a [u8], kinds: &[u8]) -> Result<Self, BadRecord> {
        match record.split_first() {
            Some((kind, rest)) if kinds.contains(kind) => Ok(Cursor { rest }),
            _ => Err(BadRecord),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, BadRecord> {
        let (&byte, rest) = self.rest.split_first().ok_or(BadRecord)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, BadRecord> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(BadRecord)?;
        self.rest = rest;
        Ok(u64::from_be_bytes(*head))
    }

    #[inline]
    pub(super) fn f64(&mut self) -> Result<f64, BadRecord> {
        self.u64().map(f64::from_bits)
    }

    #[inline]
    pub(super) fn uvarint(&mut self) -> Result<u64, BadRecord> {
        let mut x = 0;
        for (i, &b) in self.rest.iter().take(10).enumerate() {
            x |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(x);
            }
        }
        Err(BadRecord)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<i64, BadRecord> {
        let x = self.uvarint()?;
        Ok((x >> 1) as i64 ^ -((x & 1) as i64))
    }

    /// A number of entries that follow, each at least `least` bytes long: a damaged one is refused before memory is
    /// taken for it.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, BadRecord> {
        let count = usize::try_from(self.uvarint()?).map_err(|_| BadRecord)?;
        if count > self.rest.len() / least { Err(BadRecord) } else { Ok(count) }
    }

    /// Bytes behind their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], BadRecord> {
        let len = usize::try_from(self.uvarint()?).map_err(|_| BadRecord)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(BadRecord)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, BadRecord> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BadRecord)
    }

    /// Labels; `pairs` is memory to work in.
    pub(super) fn labels(&mut self, pairs: &mut Vec<(&'a str, &'a str)>) -> Result<Labels, BadRecord> {
        pairs.clear();
        for _ in 0..self.count(2)? {
            pairs.push((self.text()?, self.text()?));
        }
        let sorted = pairs.is_sorted_by(|a, b| a.0 < b.0);
        Ok(if sorted {
            Labels::from_sorted(pairs.iter().copied())
        } else {
            Labels::from_pairs(pairs.iter().copied())
        })
    }
}
