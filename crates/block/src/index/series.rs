//! Series entries: labels and where chunks are.

use model::Labels;

use super::symbols::Symbols;
use super::toc::Toc;
use crate::Damage;
use crate::cursor::Cursor;

/// Entries begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 16;

/// Where a chunk is and what time it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of the oldest sample, in milliseconds.
    pub min_time: i64,
    /// Time of the newest sample, in milliseconds.
    pub max_time: i64,
    /// Number of the segment from 0 in the upper 32 bits, offset in it in the lower.
    pub reference: u64,
}

/// What the index says about a series.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SeriesEntry<'a> {
    /// Names and values, in order of names.
    pub labels: Vec<(&'a str, &'a str)>,
    /// In the file's order, which is that of time.
    pub chunks: Vec<ChunkMeta>,
}

impl SeriesEntry<'_> {
    /// The labels as a set.
    #[must_use]
    pub fn label_set(&self) -> Labels {
        self.filtered(|_| true)
    }

    /// The labels that `keep` accepts.
    pub(crate) fn filtered(&self, keep: impl Fn(&str) -> bool) -> Labels {
        let kept = self.labels.iter().copied().filter(|(name, _)| keep(name));
        if self.labels.is_sorted_by(|a, b| a.0 < b.0) {
            Labels::from_sorted(kept)
        } else {
            Labels::from_pairs(kept)
        }
    }

    /// The value of a label; empty when there is none.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.labels.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }
}

pub(super) fn read<'a>(
    file: &'a [u8],
    place: usize,
    symbols: &Symbols,
    entry: &mut SeriesEntry<'a>,
) -> Result<(), Damage> {
    let outcome = fill(file, place, symbols, entry);
    if outcome.is_err() {
        entry.labels.clear();
        entry.chunks.clear();
    }
    outcome
}

fn fill<'a>(
    file: &'a [u8],
    place: usize,
    symbols: &Symbols,
    entry: &mut SeriesEntry<'a>,
) -> Result<(), Damage> {
    entry.labels.clear();
    entry.chunks.clear();
    let mut cursor = Cursor::new(file, place..file.len());
    let length = cursor.uvarint32()?;
    let mut content = cursor.checked(length as usize)?;
    for _ in 0..content.uvarint32()? {
        let (name, value) = (content.uvarint32()?, content.uvarint32()?);
        entry.labels.push((symbols.get(file, name)?, symbols.get(file, value)?));
    }
    let (mut time, mut reference) = (0i64, 0u64);
    for i in 0..content.uvarint32()? {
        // The first time is signed, the following count from the end of the chunk before; references likewise.
        let min_time = if i == 0 { content.varint()? } else { time.wrapping_add(content.uvarint()? as i64) };
        let max_time = min_time.wrapping_add(content.uvarint()? as i64);
        reference =
            if i == 0 { content.uvarint()? } else { reference.wrapping_add_signed(content.varint()?) };
        time = max_time;
        entry.chunks.push(ChunkMeta { min_time, max_time, reference });
    }
    Ok(())
}

/// Calls `each` with the places of all entries whose checksum holds. Behind a damaged length the next multiple that fits is taken.
pub(super) fn scan(file: &[u8], toc: &Toc, mut each: impl FnMut(usize)) {
    let end = toc.end_of(toc.series, file.len());
    let mut at = usize::try_from(toc.series).unwrap_or(usize::MAX);
    while at < end {
        at = at.next_multiple_of(ALIGNMENT);
        let mut cursor = Cursor::new(file, at..end);
        let whole = cursor
            .uvarint32()
            .and_then(|n| if n == 0 { Ok(None) } else { cursor.checked(n as usize).map(Some) });
        if let Ok(Some(_)) = whole {
            each(at);
            at = cursor.at();
        } else {
            at += ALIGNMENT;
        }
    }
}
