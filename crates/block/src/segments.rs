//! Chunk segments: `chunks/000001` and so on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::cursor::{Cursor, matches};
use crate::mapped::MappedFile;
use crate::{BlockError, Damage};

pub(crate) const MAGIC: u32 = 0x85bd_40dd;
pub(crate) const VERSION: u8 = 1;
pub(crate) const HEADER: usize = 8;

/// The segments of a block, mapped.
#[derive(Debug)]
pub(crate) struct Segments {
    /// By number, from 0: the file `000001` is segment 0.
    files: BTreeMap<u32, MappedFile>,
    bytes: u64,
}

impl Segments {
    pub(crate) fn open(dir: &Path) -> Result<Self, BlockError> {
        let mut files = BTreeMap::new();
        let mut bytes = 0;
        for entry in std::fs::read_dir(dir).map_err(|e| BlockError::io(dir, e))? {
            let path = entry.map_err(|e| BlockError::io(dir, e))?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
            let Some(number) = number.and_then(|n| n.checked_sub(1)) else { continue };
            let file = MappedFile::open(&path)?;
            check_header(file.bytes()).map_err(|damage| BlockError::damaged(&path, damage))?;
            bytes += file.bytes().len() as u64;
            files.insert(number, file);
        }
        Ok(Segments { files, bytes })
    }

    /// Of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts what lies from one chunk to another, or to the end of the first one's segment, as resident memory no longer.
    pub(crate) fn give_back(&self, references: Range<u64>) {
        let Range { start, end } = references;
        let end = if start >> 32 == end >> 32 { end as u32 } else { u32::MAX };
        if let Some(file) = self.files.get(&((start >> 32) as u32)) {
            file.give_back(start as u32 as usize..end as usize);
        }
    }

    /// A chunk's encoding and content; `reference` is segment and offset, 32 bits each.
    pub(crate) fn chunk(&self, reference: u64) -> Result<(u8, &[u8]), Damage> {
        let offset = reference as u32 as usize;
        let missing = Damage { offset, what: "the segment is missing" };
        let file = self.files.get(&((reference >> 32) as u32)).ok_or(missing)?;
        chunk_at(file.bytes(), offset)
    }
}

fn check_header(file: &[u8]) -> Result<(), Damage> {
    let mut cursor = Cursor::new(file, 0..HEADER);
    if cursor.u32()? != MAGIC {
        return Err(Damage { offset: 0, what: "this is not a chunk segment" });
    }
    if cursor.u8()? != VERSION {
        return Err(Damage { offset: 4, what: "the version is not known" });
    }
    cursor.take(3).map(|_| ())
}

fn chunk_at(file: &[u8], offset: usize) -> Result<(u8, &[u8]), Damage> {
    let mut cursor = Cursor::new(file, offset..file.len());
    let length = cursor.uvarint32()? as usize;
    let start = cursor.at();
    let stored = cursor.take(length.saturating_add(1))?;
    if !matches(cursor.u32()?, stored) {
        return Err(Damage { offset: start, what: "the checksum does not match" });
    }
    stored.split_first().map(|(&encoding, bytes)| (encoding, bytes)).ok_or(cursor.damage("no chunk"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(file in prop::collection::vec(any::<u8>(), 0..200), offset in 0usize..220) {
            let _ = check_header(&file);
            let _ = chunk_at(&file, offset);
        }
    }
}
