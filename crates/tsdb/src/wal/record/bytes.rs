//! Numbers and texts as records hold them: fixed widths are big endian, varints are Go's (zigzag where signed).

use model::{Labels, SortedLabels};

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

    /// Labels as they lie there, checked: [`LabelsReader`] can make a set of them.
    pub(super) fn raw_labels(&mut self) -> Result<&'a [u8], BadRecord> {
        let from = self.rest;
        let count = self.count(2)?;
        for _ in 0..2 * count {
            self.bytes()?;
        }
        let raw = &from[..from.len() - self.rest.len()];
        // One look at all bytes is cheaper than one at each text, and tells nearly always.
        if !raw.is_ascii() {
            let mut again = Cursor { rest: raw };
            again.uvarint()?;
            for _ in 0..2 * count {
                again.text()?;
            }
        }
        Ok(raw)
    }
}

/// Makes sets of labels as records have them, one after the other in the same memory.
#[derive(Default)]
pub(crate) struct LabelsReader(SortedLabels);

impl LabelsReader {
    /// The labels that lie there.
    pub(crate) fn read(&mut self, raw: &[u8]) -> Result<Labels, BadRecord> {
        match std::str::from_utf8(raw) {
            Ok(text) if raw.is_ascii() => self.ascii(text).ok_or(BadRecord),
            _ => {
                let mut cursor = Cursor { rest: raw };
                let pairs: Result<Vec<_>, _> =
                    (0..cursor.count(2)?).map(|_| Ok((cursor.text()?, cursor.text()?))).collect();
                pairs.map(Labels::from_pairs)
            }
        }
    }

    /// Where all bytes are ASCII, each length is one byte.
    fn ascii(&mut self, text: &str) -> Option<Labels> {
        let (_count, pairs) = text.split_at_checked(1)?;
        let mut before = "";
        for (name, value) in AsciiPairs(pairs) {
            if name <= before {
                // Foreign logs may have them in any order.
                self.0.take();
                return Some(Labels::from_pairs(AsciiPairs(pairs)));
            }
            self.0.push(name, value);
            before = name;
        }
        Some(self.0.take())
    }
}

/// Takes a text behind its length of one byte.
fn split_ascii<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let length = usize::from(*rest.as_bytes().first()?);
    let text = rest.get(1..1 + length)?;
    *rest = rest.get(1 + length..)?;
    Some(text)
}

struct AsciiPairs<'a>(&'a str);

impl<'a> Iterator for AsciiPairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        Some((split_ascii(&mut self.0)?, split_ascii(&mut self.0)?))
    }
}
