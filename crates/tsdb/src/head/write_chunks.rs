//! Moving full chunks from memory to `chunks_head`.

use std::io;
use std::ops::Range;

use super::Head;
use crate::chunk_files::{ChunkFiles, NewChunk};
use crate::closed::{self, ClosedChunk, Place};
use crate::shard::{RefMap, ShardData};

/// Copies of full chunks that are still in memory.
pub(super) struct Unwritten {
    slots: Vec<u32>,
    chunks: Vec<(u64, ClosedChunk, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Unwritten {
    /// Copies what a shard has to write; `None` when there is nothing.
    pub(super) fn collect(data: &ShardData, shard: usize, refs: RefMap) -> Option<Self> {
        if data.unwritten.is_empty() {
            return None;
        }
        let mut slots = data.unwritten.clone();
        slots.sort_unstable();
        slots.dedup();
        let mut copies = Unwritten { slots, chunks: Vec::new(), bytes: Vec::new() };
        for &slot in &copies.slots {
            let series = data.series(slot);
            let first = copies.chunks.len();
            for closed in closed::newest_first(&data.slab, series.closed) {
                let Place::Memory(addr, len) = closed.place() else { break };
                let start = copies.bytes.len();
                copies.bytes.extend_from_slice(&data.slab.bytes(addr)[..len]);
                let range = start..copies.bytes.len();
                copies.chunks.push((refs.reference(shard, series.id), closed, range));
            }
            copies.chunks[first..].reverse();
        }
        Some(copies)
    }

    /// Appends the copies to the files; returns where each is.
    pub(super) fn write(&self, files: &ChunkFiles) -> io::Result<Vec<(u32, u32)>> {
        files.write(self.chunks.iter().map(|(series, closed, range)| NewChunk {
            series: *series,
            min_time: closed.min_time,
            max_time: closed.max_time(),
            encoding: closed.encoding(),
            bytes: &self.bytes[range.clone()],
        }))
    }

    /// Lets the series refer to the files, and frees the memory.
    pub(super) fn install(self, data: &mut ShardData, places: Vec<(u32, u32)>) {
        let mut written: Vec<(ClosedChunk, (u32, u32))> =
            self.chunks.iter().map(|(_, closed, _)| *closed).zip(places).collect();
        written.sort_unstable_by_key(|(closed, _)| closed.place_key());
        data.unwritten.clear();
        for slot in self.slots {
            let (series, slab) = data.series_and_slab(slot);
            closed::move_out(slab, series.closed, |closed| {
                let i = written.binary_search_by_key(&closed.place_key(), |(c, _)| c.place_key()).ok()?;
                let (file, offset) = written[i].1;
                Some(ClosedChunk::in_file(
                    closed.min_time,
                    closed.max_time(),
                    closed.encoding(),
                    file,
                    offset,
                ))
            });
        }
    }
}

impl Head {
    /// Writes the shard's full chunks. Its `order` is held by the caller, or nobody else has the head yet.
    pub(super) fn write_closed_chunks(&self, shard: usize) -> io::Result<()> {
        let Some(copies) = Unwritten::collect(&self.shards[shard].data.read(), shard, self.refs) else {
            return Ok(());
        };
        let places = copies.write(&self.chunk_files)?;
        self.metrics.chunks_mapped.add(places.len() as f64);
        copies.install(&mut self.shards[shard].data.write(), places);
        Ok(())
    }
}
