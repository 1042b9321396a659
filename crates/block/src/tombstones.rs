//! What was deleted from a block and is still in its chunks.

use std::collections::HashMap;

use crate::Damage;
use crate::cursor::Cursor;

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;

/// A range of time that was deleted; both ends are in it, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // as said
pub struct Interval {
    pub min_time: i64,
    pub max_time: i64,
}

/// Deleted ranges by series.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tombstones(HashMap<u64, Vec<Interval>>);

impl Tombstones {
    /// Reads the file `tombstones`.
    ///
    /// # Errors
    /// When the bytes are not such a file.
    pub fn parse(file: &[u8]) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(file, 0..file.len());
        if cursor.u32()? != MAGIC {
            return Err(Damage { offset: 0, what: "this is not a tombstones file" });
        }
        if cursor.u8()? != VERSION {
            return Err(Damage { offset: 4, what: "the version is not known" });
        }
        let too_short = cursor.damage("the data ends too early");
        let length = file.len().checked_sub(cursor.at() + 4).ok_or(too_short)?;
        let mut entries = cursor.checked(length)?;
        let mut all: HashMap<u64, Vec<Interval>> = HashMap::new();
        while !entries.is_empty() {
            let series = entries.uvarint()?;
            let interval = Interval { min_time: entries.varint()?, max_time: entries.varint()? };
            all.entry(series).or_default().push(interval);
        }
        for list in all.values_mut() {
            list.sort_by_key(|i| i.min_time);
        }
        Ok(Tombstones(all))
    }

    /// What was deleted of a series, by its number in the index; in order of the ranges' begin.
    #[must_use]
    pub fn of(&self, series: u64) -> &[Interval] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }

    /// Number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether nothing was deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
