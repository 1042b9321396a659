//! The content of log records: Prometheus' series (type 1) and samples (type 2). README.md draws the bytes.

use model::Labels;

pub(crate) const SERIES: u8 = 1;
pub(crate) const SAMPLES: u8 = 2;

/// Bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record ends too early or holds no text")]
pub(crate) struct BadRecord;

fn put_uvarint(buf: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        buf.push(x as u8 | 0x80);
        x >>= 7;
    }
    buf.push(x as u8);
}

#[inline]
fn put_varint(buf: &mut Vec<u8>, x: i64) {
    put_uvarint(buf, ((x << 1) ^ (x >> 63)) as u64);
}

/// Appends a series to a series record, which is begun with its type byte if `buf` is empty.
pub(crate) fn push_series(buf: &mut Vec<u8>, reference: u64, labels: &Labels) {
    if buf.is_empty() {
        buf.push(SERIES);
    }
    buf.extend_from_slice(&reference.to_be_bytes());
    put_uvarint(buf, labels.len() as u64);
    for (name, value) in labels {
        put_uvarint(buf, name.len() as u64);
        buf.extend_from_slice(name.as_bytes());
        put_uvarint(buf, value.len() as u64);
        buf.extend_from_slice(value.as_bytes());
    }
}

/// Writes a samples record, sample by sample.
#[derive(Debug, Default)]
pub(crate) struct SamplesEncoder {
    pub(crate) buf: Vec<u8>,
    first_ref: u64,
    first_time: i64,
}

impl SamplesEncoder {
    pub(crate) fn clear(&mut self) {
        self.buf.clear();
    }

    #[inline]
    pub(crate) fn push(&mut self, reference: u64, t: i64, v: f64) {
        if self.buf.is_empty() {
            self.buf.push(SAMPLES);
            self.buf.extend_from_slice(&reference.to_be_bytes());
            self.buf.extend_from_slice(&t.to_be_bytes());
            (self.first_ref, self.first_time) = (reference, t);
        }
        put_varint(&mut self.buf, reference.wrapping_sub(self.first_ref) as i64);
        put_varint(&mut self.buf, t.wrapping_sub(self.first_time));
        self.buf.extend_from_slice(&v.to_bits().to_be_bytes());
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn u64(&mut self) -> Result<u64, BadRecord> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(BadRecord)?;
        self.rest = rest;
        Ok(u64::from_be_bytes(*head))
    }

    #[inline]
    fn uvarint(&mut self) -> Result<u64, BadRecord> {
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
    fn varint(&mut self) -> Result<i64, BadRecord> {
        let x = self.uvarint()?;
        Ok((x >> 1) as i64 ^ -((x & 1) as i64))
    }

    fn text(&mut self) -> Result<&'a str, BadRecord> {
        let len = usize::try_from(self.uvarint()?).map_err(|_| BadRecord)?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(BadRecord)?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| BadRecord)
    }
}

/// Calls `each` with the reference and labels of every series of a series record (with its type byte).
pub(crate) fn read_series(record: &[u8], mut each: impl FnMut(u64, Labels)) -> Result<(), BadRecord> {
    let mut cursor = Cursor { rest: record.get(1..).ok_or(BadRecord)? };
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    while !cursor.rest.is_empty() {
        let reference = cursor.u64()?;
        pairs.clear();
        for _ in 0..cursor.uvarint()? {
            pairs.push((cursor.text()?, cursor.text()?));
        }
        let sorted = pairs.is_sorted_by(|a, b| a.0 < b.0);
        let labels = if sorted {
            Labels::from_sorted(pairs.iter().copied())
        } else {
            Labels::from_pairs(pairs.iter().copied())
        };
        each(reference, labels);
    }
    Ok(())
}

/// Calls `each` with reference, time and value of every sample of a samples record (with its type byte).
#[inline]
pub(crate) fn read_samples(record: &[u8], mut each: impl FnMut(u64, i64, f64)) -> Result<(), BadRecord> {
    let mut cursor = Cursor { rest: record.get(1..).ok_or(BadRecord)? };
    if cursor.rest.is_empty() {
        return Ok(());
    }
    let first_ref = cursor.u64()?;
    let first_time = cursor.u64()? as i64;
    while !cursor.rest.is_empty() {
        let reference = first_ref.wrapping_add(cursor.varint()? as u64);
        let t = first_time.wrapping_add(cursor.varint()?);
        each(reference, t, f64::from_bits(cursor.u64()?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_round_trip(samples in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>()), 0..50)) {
            let mut encoder = SamplesEncoder::default();
            samples.iter().for_each(|&(r, t, v)| encoder.push(r, t, f64::from_bits(v)));
            let mut back = Vec::new();
            if !encoder.buf.is_empty() {
                read_samples(&encoder.buf, |r, t, v| back.push((r, t, v.to_bits()))).unwrap();
            }
            prop_assert_eq!(back, samples);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_samples(&bytes, |_, _, _| {});
            let _ = read_series(&bytes, |_, _| {});
        }
    }

    #[test]
    fn series_round_trip() {
        let sets = [Labels::empty(), Labels::from_pairs([("__name__", "up"), ("é", &"x".repeat(300))])];
        let mut buf = Vec::new();
        sets.iter().enumerate().for_each(|(i, l)| push_series(&mut buf, i as u64 + 7, l));
        let mut back = Vec::new();
        read_series(&buf, |r, l| back.push((r, l))).unwrap();
        assert_eq!(back, sets.into_iter().enumerate().map(|(i, l)| (i as u64 + 7, l)).collect::<Vec<_>>());
    }
}
