//! The symbols of an index that is being written.

use hashbrown::HashTable;

use super::output::Output;
use crate::BlockError;
use crate::cursor::{Cursor, crc32c};
use crate::mapped::MappedFile;
use crate::put;

/// Numbers of symbols by text. The texts themselves are read back from the file.
pub(super) struct SymbolTable {
    file: MappedFile,
    /// Where each symbol is in the file.
    places: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
}

fn hash(hasher: &foldhash::fast::FixedState, text: &str) -> u64 {
    use std::hash::BuildHasher;
    hasher.hash_one(text)
}

impl SymbolTable {
    /// Writes the section and learns the symbols.
    pub(super) fn write<S: AsRef<str>>(
        out: &mut Output,
        symbols: impl Iterator<Item = S>,
    ) -> Result<Self, BlockError> {
        let start = out.at();
        out.write(&[0; 8])?;
        let mut places = Vec::new();
        let mut numbers = HashTable::new();
        let hasher = foldhash::fast::FixedState::default();
        let mut hashes = Vec::new();
        let mut buffer = Vec::new();
        let mut before: Option<String> = None;
        for symbol in symbols {
            let symbol = symbol.as_ref();
            if before.as_deref().is_some_and(|before| before >= symbol) {
                return Err(out_of_order(
                    out,
                    format!("the symbol {symbol:?} does not come after {before:?}"),
                ));
            }
            match &mut before {
                Some(before) => symbol.clone_into(before),
                None => before = Some(symbol.to_owned()),
            }
            places.push(u32::try_from(out.at()).map_err(|_| too_large(out))?);
            hashes.push(hash(&hasher, symbol));
            buffer.clear();
            put::text(&mut buffer, symbol);
            out.write(&buffer)?;
        }
        let content = out.at() - start - 4;
        let length = u32::try_from(content).map_err(|_| too_large(out))?;
        let mut head = length.to_be_bytes().to_vec();
        head.extend((places.len() as u32).to_be_bytes());
        out.overwrite(&head, start)?;
        let file = MappedFile::open(out.path())?;
        let stored = file.bytes().get(start as usize + 4..).unwrap_or_default();
        out.write(&crc32c(stored).to_be_bytes())?;
        numbers.reserve(places.len(), |&n: &u32| hashes.get(n as usize).copied().unwrap_or_default());
        for (number, &hashed) in (0u32..).zip(&hashes) {
            numbers.insert_unique(hashed, number, |&n| hashes.get(n as usize).copied().unwrap_or_default());
        }
        places.shrink_to_fit();
        Ok(SymbolTable { file, places, numbers, hasher })
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> &str {
        let Some(&place) = self.places.get(number as usize) else { return "" };
        let bytes = self.file.bytes();
        Cursor::new(bytes, place as usize..bytes.len()).text().unwrap_or("")
    }

    pub(super) fn number(&self, text: &str) -> Option<u32> {
        self.numbers.find(hash(&self.hasher, text), |&number| self.text(number) == text).copied()
    }
}

fn too_large(out: &Output) -> BlockError {
    BlockError::too_large(out.path(), "symbols take more than 4 GiB")
}

fn out_of_order(out: &Output, what: String) -> BlockError {
    BlockError::Order { path: out.path().to_owned(), what }
}
