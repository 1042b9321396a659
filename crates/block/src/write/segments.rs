//! Chunk segments.

use std::path::PathBuf;

use chunk::Encoding;

use super::output::Output;
use crate::BlockError;
use crate::files::sync_dir;
use crate::put;
use crate::segments::{HEADER, MAGIC, VERSION};

/// What a chunk takes besides its content when a segment's room is reckoned: the longest length that 32 bits can take,
/// encoding, checksum.
const AROUND_CHUNK: u64 = 5 + 1 + 4;

/// Writes chunks and begins a new segment when one is full. As Prometheus does, room is reckoned series by series from
/// an upper bound of the chunks' lengths, so that equal chunks lie at equal places.
pub(super) struct SegmentWriter {
    dir: PathBuf,
    segment_size: u64,
    current: Option<Output>,
    /// Number of the current segment, from 0.
    number: u64,
    /// Where the series began in its first segment; `None` once it went on in another.
    series_start: Option<u64>,
    /// Upper bound of what the series has added to the current segment.
    added: u64,
    buffer: Vec<u8>,
}

impl SegmentWriter {
    pub(super) fn new(dir: PathBuf, segment_size: u64) -> Self {
        SegmentWriter {
            dir,
            segment_size,
            current: None,
            number: 0,
            series_start: None,
            added: 0,
            buffer: Vec::new(),
        }
    }

    pub(super) fn begin_series(&mut self) {
        self.series_start = self.current.as_ref().map(Output::at).filter(|&at| at > HEADER as u64);
        self.added = 0;
    }

    /// Writes a chunk; returns its place: segment and offset, 32 bits each.
    pub(super) fn add(&mut self, first: bool, encoding: Encoding, bytes: &[u8]) -> Result<u64, BlockError> {
        let size = AROUND_CHUNK + bytes.len() as u64;
        self.added += size;
        let full = match self.series_start {
            Some(start) => start + self.added > self.segment_size,
            None => !first && self.added + HEADER as u64 > self.segment_size,
        };
        if full {
            self.series_start = None;
            self.added = size;
            self.finish_current()?;
            self.number += 1;
        }
        let out = match &mut self.current {
            Some(out) => out,
            none => none.insert(begin(&self.dir.join(format!("{:06}", self.number + 1)))?),
        };
        let place = self.number << 32 | out.at();
        self.buffer.clear();
        put::uvarint(&mut self.buffer, bytes.len() as u64);
        out.write(&self.buffer)?;
        out.begin_sum();
        out.write(&[encoding as u8])?;
        out.write(bytes)?;
        out.end_sum()?;
        Ok(place)
    }

    fn finish_current(&mut self) -> Result<(), BlockError> {
        self.current.take().map_or(Ok(()), Output::finish)
    }

    pub(super) fn finish(&mut self) -> Result<(), BlockError> {
        self.finish_current()?;
        sync_dir(&self.dir)
    }
}

fn begin(path: &std::path::Path) -> Result<Output, BlockError> {
    let mut out = Output::create(path)?;
    out.write(&MAGIC.to_be_bytes())?;
    out.write(&[VERSION, 0, 0, 0])?;
    Ok(out)
}
