//! A file that is written from front to back.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};

use crate::BlockError;

const BUFFER: usize = 1 << 20;

/// Counts what it writes and, where asked to, sums it up.
pub(super) struct Output {
    path: PathBuf,
    file: BufWriter<disk::File>,
    at: u64,
    sum: Option<Digest>,
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, BlockError> {
        let file = disk::File::create(path).map_err(|e| BlockError::io(path, e))?;
        Ok(Output { path: path.to_owned(), file: BufWriter::with_capacity(BUFFER, file), at: 0, sum: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next byte goes, from the start of the file.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.file.write_all(bytes).map_err(|e| BlockError::io(&self.path, e))?;
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Zeros up to a multiple of `unit`, which is at most 16.
    pub(super) fn pad(&mut self, unit: u64) -> Result<(), BlockError> {
        let missing = (self.at.next_multiple_of(unit) - self.at) as usize;
        self.write([0; 16].get(..missing).unwrap_or_default())
    }

    /// Begins a checksum over what follows.
    pub(super) fn begin_sum(&mut self) {
        self.sum = Some(Digest::new(CrcAlgorithm::Crc32Iscsi));
    }

    /// Writes the checksum.
    pub(super) fn end_sum(&mut self) -> Result<(), BlockError> {
        let sum = self.sum.take().map_or(0, |sum| sum.finalize() as u32);
        self.write(&sum.to_be_bytes())
    }

    /// Hands everything to the file, so that it can be read.
    pub(super) fn flush(&mut self) -> Result<(), BlockError> {
        self.file.flush().map_err(|e| BlockError::io(&self.path, e))
    }

    /// Puts other bytes where some were written before.
    pub(super) fn overwrite(&mut self, bytes: &[u8], at: u64) -> Result<(), BlockError> {
        self.flush()?;
        self.file.get_ref().write_all_at(bytes, at).map_err(|e| BlockError::io(&self.path, e))
    }

    /// Makes the file durable.
    pub(super) fn finish(mut self) -> Result<(), BlockError> {
        self.flush()?;
        self.file.get_ref().sync_all().map_err(|e| BlockError::io(&self.path, e))
    }
}
