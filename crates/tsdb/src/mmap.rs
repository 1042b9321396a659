//! Mapped files: the only `unsafe` of this crate.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Mmap, MmapOptions};

/// A file of which a part may still be written by this process.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
    file: File,
    /// So many bytes of the map are in the file. Never decreases, never more than the map has.
    written: AtomicUsize,
}

impl MappedFile {
    /// Maps the whole of `file` as it is long now.
    pub(crate) fn open(file: &File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        Self::map(file, len, len)
    }

    /// Maps a file that grows up to `max_len` bytes, and none of it yet: what is written to it can be read when
    /// [`grown`](Self::grown) has been told. The map may be longer than the file; the pages come with what is written.
    pub(crate) fn growing(file: &File, max_len: usize) -> io::Result<Self> {
        Self::map(file, max_len, 0)
    }

    #[allow(unsafe_code)]
    fn map(file: &File, len: usize, written: usize) -> io::Result<Self> {
        // SAFETY: `bytes` gives out what is in the file alone, and that is never changed again: files of `chunks_head`
        // are only ever appended to, by this process, which holds the directory's lock; a file that is dropped is
        // unlinked, not truncated, while a map of it lives. A foreign program that truncates a file of the directory
        // while it is in use can kill the process; no such program is supported.
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(MappedFile { map, file: file.try_clone()?, written: AtomicUsize::new(written) })
    }

    /// The file's first `len` bytes have been written for good.
    pub(crate) fn grown(&self, len: usize) {
        self.written.fetch_max(len.min(self.map.len()), Ordering::Release);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map[..self.written.load(Ordering::Acquire)]
    }

    /// Replaces `bytes` by what the file has from `at` on, at most `len` bytes. Nothing of the map is touched, and so
    /// nothing of it gets resident.
    pub(crate) fn read(&self, bytes: &mut Vec<u8>, at: usize, len: usize) -> io::Result<()> {
        let written = self.written.load(Ordering::Acquire);
        bytes.resize(len.min(written.saturating_sub(at)), 0);
        self.file.read_exact_at(bytes, at as u64)
    }
}
