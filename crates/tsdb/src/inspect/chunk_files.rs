//! Mapped chunks of the head.

use std::fs::File;
use std::io;
use std::path::Path;

use block::Inspector;
use chunk::{Columns, Encoding, HistogramPoint};

use crate::chunk_files::{
    CHUNK_HEADER, DROPPED, FILE_HEADER, MAGIC, UNKNOWN_ENCODING, VERSION, chunk_at, chunk_length,
};
use crate::mmap::MappedFile;
use crate::wal::segments;

/// What an inspection found in `chunks_head`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct InspectedChunks {
    /// Files that were read.
    pub files: u64,
    /// Chunks that can be read.
    pub chunks: u64,
    /// Samples in them.
    pub samples: u64,
}

/// Checks `chunks_head/` of a data directory.
///
/// # Errors
/// When files cannot be read.
pub fn inspect_chunks_head(data: &Path, inspector: &mut dyn Inspector) -> io::Result<InspectedChunks> {
    let all = segments::list(&data.join("chunks_head"))?;
    let mut walk = Walk {
        inspector,
        found: InspectedChunks::default(),
        floats: Columns::default(),
        histograms: Vec::new(),
    };
    let mut before = None;
    for (i, (number, path)) in all.iter().enumerate() {
        if before.is_some_and(|before: u32| before.saturating_add(1) != *number) {
            walk.inspector.damaged(path, None, "the file before it is missing");
        }
        before = Some(*number);
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        walk.found.files += 1;
        if length > 0 {
            walk.file(path, &MappedFile::open(&file)?, i + 1 == all.len());
        } else {
            walk.inspector.noticed(path, "the file is empty");
        }
        walk.inspector.advanced(length);
    }
    Ok(walk.found)
}

struct Walk<'a> {
    inspector: &'a mut dyn Inspector,
    found: InspectedChunks,
    floats: Columns,
    histograms: Vec<HistogramPoint>,
}

impl Walk<'_> {
    fn file(&mut self, path: &Path, file: &MappedFile, last: bool) {
        let bytes = file.bytes();
        let header = bytes.get(..FILE_HEADER).unwrap_or_default();
        if last && bytes.iter().all(|&b| b == 0) {
            return self.inspector.noticed(path, "nothing was written to the file yet");
        }
        if header.get(..4) != Some(&MAGIC.to_be_bytes()) || header.get(4) != Some(&VERSION) {
            return self.inspector.damaged(path, Some(0), "this is not a file of chunks");
        }
        let mut at = FILE_HEADER;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            // Room that was reserved, behind the last chunk.
            if rest.iter().take(CHUNK_HEADER).all(|&b| b == 0) {
                if let Some(stray) = rest.iter().position(|&b| b != 0) {
                    let offset = Some((at + stray) as u64);
                    self.inspector.damaged(path, offset, "bytes behind the last chunk");
                }
                return;
            }
            let length = chunk_length(rest);
            if let Err(what) = self.chunk(file, at, rest) {
                self.inspector.damaged(path, Some(at as u64), &what);
            }
            match length.filter(|length| *length <= rest.len()) {
                Some(length) => at += length,
                // Where the next chunk begins is not known.
                None => return,
            }
        }
    }

    fn chunk(&mut self, file: &MappedFile, at: usize, bytes: &[u8]) -> Result<(), String> {
        let offset = u32::try_from(at).map_err(|_| "beyond 4 GiB")?;
        let (encoding, content) = match chunk_at(file, offset) {
            Err(UNKNOWN_ENCODING) if bytes.get(CHUNK_HEADER - 1) == Some(&DROPPED) => return Ok(()),
            found => found?,
        };
        let (first, last) = self.samples(encoding, content)?;
        let time = |at: usize| {
            let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
            number.map(|number| i64::from_be_bytes(*number))
        };
        if (time(8), time(16)) != (first, last) {
            return Err("a chunk covers another time than its header says".to_owned());
        }
        self.found.chunks += 1;
        Ok(())
    }

    /// Times of the oldest and newest sample.
    fn samples(&mut self, encoding: Encoding, content: &[u8]) -> Result<(Option<i64>, Option<i64>), String> {
        let disorder = || "the samples of a chunk are not in order of time".to_owned();
        if encoding.is_float() {
            self.floats.clear();
            chunk::decode(encoding, content, u16::MAX, &mut self.floats).map_err(|e| e.to_string())?;
            let times = &self.floats.times;
            self.found.samples += times.len() as u64;
            if !times.is_sorted_by(|a, b| a < b) {
                return Err(disorder());
            }
            return Ok((times.first().copied(), times.last().copied()));
        }
        self.histograms.clear();
        chunk::decode_histograms(encoding, content, u16::MAX, &mut self.histograms)
            .map_err(|e| e.to_string())?;
        let points = &self.histograms;
        self.found.samples += points.len() as u64;
        if !points.is_sorted_by(|a, b| a.t < b.t) {
            return Err(disorder());
        }
        Ok((points.first().map(|p| p.t), points.last().map(|p| p.t)))
    }
}
