//! The table of contents, at the end of an index.

use crate::Damage;
use crate::cursor::Cursor;

/// Places of an index's sections, in bytes from the start of the file; 0 for one that is not there.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the format's names
pub struct Toc {
    pub symbols: u64,
    pub series: u64,
    pub label_indices: u64,
    pub label_offset_table: u64,
    pub postings: u64,
    pub postings_offset_table: u64,
}

const LENGTH: usize = 6 * 8;

impl Toc {
    pub(crate) fn parse(file: &[u8]) -> Result<Self, Damage> {
        let short = Damage { offset: file.len(), what: "the data ends before the table of contents" };
        let start = file.len().checked_sub(LENGTH + 4).ok_or(short)?;
        let mut toc = Cursor::new(file, start..file.len()).checked(LENGTH)?;
        Ok(Toc {
            symbols: toc.u64()?,
            series: toc.u64()?,
            label_indices: toc.u64()?,
            label_offset_table: toc.u64()?,
            postings: toc.u64()?,
            postings_offset_table: toc.u64()?,
        })
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let places = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offset_table,
            self.postings,
            self.postings_offset_table,
        ];
        places.into_iter().flat_map(u64::to_be_bytes).collect()
    }

    /// Where the section that begins at `start` ends at the latest.
    pub(crate) fn end_of(&self, start: u64, file_length: usize) -> usize {
        let all = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offset_table,
            self.postings,
            self.postings_offset_table,
        ];
        let next = all.into_iter().filter(|&place| place > start).min();
        next.and_then(|place| usize::try_from(place).ok()).unwrap_or(file_length).min(file_length)
    }
}
