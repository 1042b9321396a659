//! Mapped files: the only `unsafe` of this crate.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};

use crate::BlockError;

/// Who goes through a file does so much of it before giving it back, in bytes.
const GIVE_BACK: u64 = 4 << 20;

/// From where on what somebody goes through still counts as resident memory.
pub(crate) struct Behind(u64);

impl Behind {
    /// Begins at a place.
    pub(crate) fn from(start: u64) -> Self {
        Behind(start)
    }

    /// What to give back now that a place is reached, if that is worth it.
    pub(crate) fn reached(&mut self, place: u64) -> Option<Range<u64>> {
        (place.saturating_sub(self.0) >= GIVE_BACK).then(|| std::mem::replace(&mut self.0, place)..place)
    }
}

/// A file in the address space, as much of it as there was when it was mapped.
#[derive(Debug)]
pub(crate) struct MappedFile(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    /// Where there is nothing to map: of an empty file, or of bytes that are in no file.
    Owned(Vec<u8>),
}

impl MappedFile {
    /// Maps the whole of a file. An empty one has no bytes.
    #[allow(unsafe_code)]
    pub(crate) fn open(path: &Path) -> Result<Self, BlockError> {
        let io = |e| BlockError::io(path, e);
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Ok(MappedFile(Bytes::Owned(Vec::new())));
        }
        // SAFETY: the files of a block are complete before its directory gets its name, and are never changed
        // afterwards: tombstones are replaced by renaming, a block that is dropped is unlinked, not truncated. A foreign
        // program that truncates a file of the directory while it is in use can kill the process; no such program is
        // supported.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(MappedFile(Bytes::Mapped(map)))
    }

    /// Bytes that are in memory already.
    pub(crate) fn owned(bytes: Vec<u8>) -> Self {
        MappedFile(Bytes::Owned(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// Counts a range of the file as resident memory no longer: who has gone through it does not need it again soon. It
    /// can be read as before.
    #[allow(unsafe_code)]
    pub(crate) fn give_back(&self, range: Range<usize>) {
        let Bytes::Mapped(map) = &self.0 else { return };
        let range = range.start..range.end.min(map.len());
        if range.is_empty() {
            return;
        }
        // SAFETY: nothing is ever written through the map, so the pages that come back from the file when they are
        // touched again have the same bytes.
        let advised =
            unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        if let Err(error) = advised {
            tracing::debug!(err = error.to_string(), "Cannot give back mapped pages");
        }
    }
}
