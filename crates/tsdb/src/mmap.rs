//! Mapped files: the only `unsafe` of this crate.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// A file of which a part may still be written by this process.
#[derive(Debug)]
pub(crate) struct MappedFile(Mmap);

impl MappedFile {
    /// Maps the whole of `file` as it is long now.
    #[allow(unsafe_code)]
    pub(crate) fn open(file: &File) -> io::Result<Self> {
        // SAFETY: bytes that were read are never changed again: files of `chunks_head` are only ever appended to
        // (inside of the length that they were created with), by this process, which holds the directory's lock;
        // a file that is dropped is unlinked, not truncated, while a map of it lives. A foreign program that
        // truncates a file of the directory while it is in use can kill the process; no such program is supported.
        unsafe { MmapOptions::new().map(file).map(MappedFile) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
