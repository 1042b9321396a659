//! Pages and fragments: how records lie in a segment. README.md draws the bytes.

use std::io::{self, Read};

use crate::checksum::{checksum, is_checksum};

/// A segment is a sequence of pages; a fragment never crosses from one to the next.
pub(crate) const PAGE: usize = 32 * 1024;
/// Type, length, checksum.
const HEADER: usize = 7;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const TYPE_MASK: u8 = 7;
const SNAPPY: u8 = 8;
const ZSTD: u8 = 16;

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy's block format.
    #[default]
    Snappy,
    /// One zstd frame a record.
    Zstd,
}

impl Compression {
    /// As in flags and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        }
    }

    fn flag(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Snappy => SNAPPY,
            Compression::Zstd => ZSTD,
        }
    }

    /// Compresses `record` into `out`, or leaves it when that saves nothing. Says what was done.
    pub(crate) fn pack(self, record: &[u8], out: &mut Vec<u8>) -> io::Result<Compression> {
        out.clear();
        match self {
            Compression::None => return Ok(Compression::None),
            Compression::Snappy => {
                out.resize(snap::raw::max_compress_len(record.len()), 0);
                let len = snap::raw::Encoder::new().compress(record, out).map_err(io::Error::other)?;
                out.truncate(len);
            }
            Compression::Zstd => {
                out.resize(zstd::zstd_safe::compress_bound(record.len()), 0);
                let len = zstd::bulk::compress_to_buffer(record, out, 1)?;
                out.truncate(len);
            }
        }
        Ok(if out.len() < record.len() { self } else { Compression::None })
    }

    /// Undoes [`pack`](Self::pack) into `out`.
    pub(crate) fn unpack(self, packed: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.clear();
        match self {
            Compression::None => out.extend_from_slice(packed),
            Compression::Snappy => {
                let len = snap::raw::decompress_len(packed).map_err(|_| "bad snappy length")?;
                if len > MAX_RECORD {
                    return Err("record too long");
                }
                out.resize(len, 0);
                snap::raw::Decoder::new().decompress(packed, out).map_err(|_| "bad snappy data")?;
            }
            Compression::Zstd => {
                let reader = zstd::stream::read::Decoder::with_buffer(packed).map_err(|_| "bad zstd data")?;
                reader.take(MAX_RECORD as u64 + 1).read_to_end(out).map_err(|_| "bad zstd data")?;
                if out.len() > MAX_RECORD {
                    return Err("record too long");
                }
            }
        }
        Ok(())
    }
}

/// No record is longer than a segment can be; compressed ones may unpack to this much.
const MAX_RECORD: usize = 1 << 30;

/// Bytes that a record takes when the segment is `at` bytes long, padding before it included.
pub(crate) fn framed_len(at: u64, record: usize) -> u64 {
    let mut len = 0;
    let mut left = record;
    let mut room = PAGE - (at % PAGE as u64) as usize;
    if room < HEADER {
        len += room as u64;
        room = PAGE;
    }
    loop {
        let part = left.min(room - HEADER);
        len += (HEADER + part) as u64;
        left -= part;
        if left == 0 {
            return len;
        }
        room = PAGE;
    }
}

/// What writing a record did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Framed {
    pub(crate) parts: u64,
    pub(crate) pages: u64,
}

/// Appends the fragments of a packed record to `out`, for a segment that is `at` bytes long.
pub(crate) fn frame(out: &mut Vec<u8>, at: u64, packed: &[u8], compression: Compression) -> Framed {
    let mut done = Framed::default();
    let mut room = PAGE - (at % PAGE as u64) as usize;
    if room < HEADER {
        out.resize(out.len() + room, 0);
        room = PAGE;
        done.pages += 1;
    }
    let mut rest = packed;
    let mut first = true;
    loop {
        let (part, after) = rest.split_at(rest.len().min(room - HEADER));
        let kind = match (first, after.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        out.push(kind | compression.flag());
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(&checksum(part));
        out.extend_from_slice(part);
        done.parts += 1;
        if HEADER + part.len() == room {
            done.pages += 1;
        }
        if after.is_empty() {
            return done;
        }
        (rest, first, room) = (after, false, PAGE);
    }
}

/// A stretch of a segment that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where the first record that is lost begins.
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
}

/// Reads the records of a segment, going on after damage at the next place where a record can begin.
pub(crate) struct Segment<R> {
    source: R,
    page: Vec<u8>,
    /// Of the page in the segment.
    page_start: u64,
    at: usize,
    /// Bytes of the first page that are not read.
    skip: usize,
    /// The record being put together, still packed.
    packed: Vec<u8>,
    compression: Compression,
    started: Option<u64>,
    /// What could not be read, in order.
    pub(crate) damage: Vec<Damage>,
    /// End of the last record that was read whole.
    pub(crate) good_end: u64,
    /// Where the last record began.
    pub(crate) record_start: u64,
}

impl<R: Read> Segment<R> {
    pub(crate) fn new(source: R) -> Self {
        Segment {
            source,
            page: Vec::with_capacity(PAGE),
            page_start: 0,
            at: 0,
            skip: 0,
            packed: Vec::new(),
            compression: Compression::None,
            started: None,
            damage: Vec::new(),
            good_end: 0,
            record_start: 0,
        }
    }

    /// Begins at `offset`, the end of a record; `source` begins at the page that it lies in.
    pub(crate) fn starting_at(source: R, offset: u64) -> Self {
        let skip = (offset % PAGE as u64) as usize;
        Segment { page_start: offset - skip as u64, skip, ..Segment::new(source) }
    }

    fn position(&self) -> u64 {
        self.page_start + self.at as u64
    }

    fn next_page(&mut self) -> io::Result<bool> {
        self.page_start += self.page.len() as u64;
        self.at = std::mem::take(&mut self.skip);
        self.page.clear();
        self.source.by_ref().take(PAGE as u64).read_to_end(&mut self.page)?;
        Ok(!self.page.is_empty())
    }

    fn damaged(&mut self, reason: &'static str) {
        let offset = self.started.take().unwrap_or(self.position());
        self.damage.push(Damage { offset, reason });
    }

    /// The next record as stored, with its compression; `None` at the end.
    pub(crate) fn next_packed(&mut self) -> io::Result<Option<(&[u8], Compression)>> {
        loop {
            if self.at >= self.page.len() {
                if self.next_page()? {
                    continue;
                }
                if self.started.is_some() {
                    self.damaged("the segment ends within a record");
                }
                return Ok(None);
            }
            match self.fragment() {
                Ok(Some(true)) => {
                    self.good_end = self.position();
                    return Ok(Some((&self.packed, self.compression)));
                }
                Ok(Some(false)) => {}
                Ok(None) => self.at = self.page.len(),
                Err(reason) => self.damaged(reason),
            }
        }
    }

    /// Reads a fragment: whether it ended a record; `None` when the page holds no more.
    fn fragment(&mut self) -> Result<Option<bool>, &'static str> {
        let rest = &self.page[self.at..];
        if rest[0] == 0 {
            let blank = rest.iter().all(|&b| b == 0);
            if !blank {
                self.skip_page();
                return Err("bytes after the end of a page's records");
            }
            return Ok(None);
        }
        let Some((header, body)) = rest.split_first_chunk::<HEADER>() else {
            self.skip_page();
            return Err("the segment ends within a record");
        };
        let len = usize::from(u16::from_be_bytes([header[1], header[2]]));
        let want = [header[3], header[4], header[5], header[6]];
        let kind = header[0];
        let Some(part) = body.get(..len) else {
            let short = self.page.len() < PAGE;
            self.skip_page();
            return Err(if short { "the segment ends within a record" } else { "impossible length" });
        };
        let begin = self.position();
        if !is_checksum(want, part) {
            // The length may be wrong too: if nothing sensible follows, that is the next piece of damage.
            self.at += HEADER + len;
            self.started.get_or_insert(begin);
            return Err("wrong checksum");
        }
        let compression = match kind & !TYPE_MASK {
            0 => Compression::None,
            SNAPPY => Compression::Snappy,
            ZSTD => Compression::Zstd,
            _ => {
                self.at += HEADER + len;
                return Err("unknown compression");
            }
        };
        self.at += HEADER + len;
        match kind & TYPE_MASK {
            FULL | FIRST if self.started.is_some() => {
                self.damaged("a record begins within another");
                self.begin(begin, compression);
            }
            FULL | FIRST => self.begin(begin, compression),
            MIDDLE | LAST if self.started.is_none() => {
                // The rest of a record that was already reported.
                return if self.damage.is_empty() {
                    Err("a record without its beginning")
                } else {
                    Ok(Some(false))
                };
            }
            MIDDLE | LAST => {}
            _ => return Err("unknown fragment type"),
        }
        let part_start = self.at - len;
        self.packed.extend_from_slice(&self.page[part_start..self.at]);
        let ended = matches!(kind & TYPE_MASK, FULL | LAST);
        if ended {
            self.started = None;
        }
        Ok(Some(ended))
    }

    fn begin(&mut self, at: u64, compression: Compression) {
        self.started = Some(at);
        self.record_start = at;
        self.compression = compression;
        self.packed.clear();
    }

    fn skip_page(&mut self) {
        // The position reported must be that of the damage, so it is noted before moving on.
        let at = self.position();
        self.started.get_or_insert(at);
        self.at = self.page.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(records: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            let at = out.len() as u64;
            frame(&mut out, at, record, Compression::None);
            assert_eq!(out.len() as u64, at + framed_len(at, record.len()));
        }
        out
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<Damage>) {
        let mut reader = Segment::new(bytes);
        let mut records = Vec::new();
        while let Some((packed, _)) = reader.next_packed().unwrap() {
            records.push(packed.to_vec());
        }
        (records, reader.damage)
    }

    fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let len = prop_oneof![1usize..300, 30_000usize..33_000, 60_000usize..70_000];
        prop::collection::vec((len, 1u8..255).prop_map(|(len, fill)| vec![fill; len]), 1..20)
    }

    proptest! {
        #[test]
        fn records_round_trip(records in records()) {
            prop_assert_eq!(read(&segment(&records)), (records, vec![]));
        }

        #[test]
        fn a_cut_segment_gives_the_records_before_the_cut(records in records(), cut in any::<prop::sample::Index>()) {
            let bytes = segment(&records);
            let cut = cut.index(bytes.len());
            let (got, damage) = read(&bytes[..cut]);
            prop_assert!(got.len() < records.len());
            prop_assert_eq!(&got[..], &records[..got.len()]);
            prop_assert!(damage.len() <= 1);
        }

        #[test]
        fn a_flipped_bit_costs_only_the_records_it_touches(
            records in records(), place in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let mut bytes = segment(&records);
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let (got, damage) = read(&bytes);
            // A page may be lost from the flip on; whatever is delivered is one of the records, in order.
            let mut rest = records.iter();
            prop_assert!(got.iter().all(|g| rest.any(|r| r == g)));
            prop_assert!(got.len() == records.len() || !damage.is_empty());
        }
    }

    #[test]
    fn compression_round_trips() {
        for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
            let record = b"abcabcabcabc".repeat(100);
            let (mut packed, mut back) = (Vec::new(), Vec::new());
            let used = compression.pack(&record, &mut packed).unwrap();
            assert_eq!(used, compression);
            let stored = if used == Compression::None { &record } else { &packed };
            used.unpack(stored, &mut back).unwrap();
            assert_eq!(back, record);
        }
    }
}
