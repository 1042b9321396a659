//! What was deleted from a block and is still in its chunks.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cursor::{Cursor, crc32c};
use crate::files::replace_file;
use crate::{BlockError, Damage, Interval, Intervals};

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
/// Magic and version.
const HEADER: usize = 5;

/// Deleted ranges by series.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u64, Intervals>);

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
        let mut all = Tombstones::default();
        while !entries.is_empty() {
            let series = entries.uvarint()?;
            all.add(series, Interval { min_time: entries.varint()?, max_time: entries.varint()? });
        }
        Ok(all)
    }

    /// Reads `tombstones` of a block's directory. A missing file means that nothing was deleted.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read(dir: &Path) -> Result<Self, BlockError> {
        let path = dir.join("tombstones");
        match std::fs::read(&path) {
            Ok(file) => Self::parse(&file).map_err(|damage| BlockError::damaged(&path, damage)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Tombstones::default()),
            Err(e) => Err(BlockError::io(&path, e)),
        }
    }

    /// The bytes of the file `tombstones`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = MAGIC.to_be_bytes().to_vec();
        file.push(VERSION);
        for (&series, intervals) in &self.0 {
            for interval in intervals.iter() {
                crate::put::uvarint(&mut file, series);
                crate::put::varint(&mut file, interval.min_time);
                crate::put::varint(&mut file, interval.max_time);
            }
        }
        let sum = crc32c(file.get(HEADER..).unwrap_or_default());
        file.extend_from_slice(&sum.to_be_bytes());
        file
    }

    /// Writes the file `tombstones` of a block's directory, so that at any moment either the old or the new one is
    /// there. Returns its length.
    ///
    /// # Errors
    /// When it cannot be written; the old file is still there.
    pub fn write(&self, dir: &Path) -> Result<u64, BlockError> {
        let bytes = self.to_bytes();
        replace_file(&dir.join("tombstones"), &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Adds a deleted range of a series, by its number in the index. One that ends before it begins adds nothing.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.min_time <= interval.max_time {
            self.0.entry(series).or_default().add(interval);
        }
    }

    /// What was deleted of a series, by its number in the index; in order of time, not overlapping.
    #[must_use]
    pub fn of(&self, series: u64) -> &[Interval] {
        self.0.get(&series).map_or(&[], Intervals::as_slice)
    }

    /// Series and what was deleted of them, in order of the series' numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Intervals)> {
        self.0.iter().map(|(&series, intervals)| (series, intervals))
    }

    /// Number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(Intervals::len).sum()
    }

    /// Whether nothing was deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(ranges in prop::collection::vec((any::<u64>(), any::<i64>(), any::<i64>()), 0..20)) {
            let mut stones = Tombstones::default();
            for (series, a, b) in ranges {
                stones.add(series, Interval { min_time: a.min(b), max_time: a.max(b) });
            }
            prop_assert_eq!(Tombstones::parse(&stones.to_bytes()), Ok(stones));
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Tombstones::parse(&bytes);
            let mut file = MAGIC.to_be_bytes().to_vec();
            file.push(VERSION);
            file.extend(&bytes);
            file.extend(crc32c(&bytes).to_be_bytes());
            let _ = Tombstones::parse(&file);
        }
    }
}
