//! Handing samples out of order over to blocks: what the head does before and after those are written.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::encode::{self, Encoded, Encodings};
use super::table::Place;
use super::{NO_MAX, NO_MIN, OutOfOrder};
use crate::chunk_files::ChunkFiles;
use crate::follow::{Log, retire};
use crate::shard::{RefMap, Shard};

/// What was in the head when a cut began; nothing that comes later is part of it.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// Times of the oldest and newest sample.
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    /// Number of series.
    pub(crate) series: usize,
    /// The last chunk, by shard.
    upto: Vec<Place>,
    /// The last segment of the log all of whose samples are in chunks.
    segment: Option<u32>,
}

impl Cut {
    /// Up to which place the chunks of a shard are part of the cut.
    pub(crate) fn upto(&self, shard: usize) -> Place {
        self.upto.get(shard).copied().unwrap_or_default()
    }
}

/// Series whose buffers are written under one lock.
const STEP: usize = 1024;

impl OutOfOrder {
    /// Writes what is in buffers to `chunks_head`, so that all samples so far are in chunks. `None` when there are none.
    pub(crate) fn begin_cut(
        &self,
        shards: &[Shard],
        refs: RefMap,
        how: Encodings,
        files: &ChunkFiles,
    ) -> io::Result<Option<Cut>> {
        // Batches that are in the segments ended here are in memory once their shard's `order` can be had.
        let segment = self.log().map(|log| log.end_segment()).transpose()?;
        let mut cut = Cut { min_time: NO_MIN, max_time: NO_MAX, series: 0, upto: Vec::new(), segment };
        for (i, shard) in shards.iter().enumerate() {
            self.write_buffers(i, shard, refs, how, files)?;
            let _order = shard.order.lock();
            let data = shard.data.read();
            let mut upto = Place::default();
            for (_, series) in data.ooo.iter().filter(|(_, series)| !series.mapped.is_empty()) {
                cut.series += 1;
                for chunk in &series.mapped {
                    upto = upto.max(chunk.place);
                    cut.min_time = cut.min_time.min(chunk.min_time);
                    cut.max_time = cut.max_time.max(chunk.max_time);
                }
            }
            cut.upto.push(upto);
        }
        Ok((cut.series > 0).then_some(cut))
    }

    fn write_buffers(
        &self,
        index: usize,
        shard: &Shard,
        refs: RefMap,
        how: Encodings,
        files: &ChunkFiles,
    ) -> io::Result<()> {
        let open: Vec<u32> = {
            let data = shard.data.read();
            data.ooo.iter().filter(|(_, series)| !series.open.is_empty()).map(|(slot, _)| slot).collect()
        };
        for some in open.chunks(STEP) {
            let _order = shard.order.lock();
            let mut chunks: Vec<(u32, u64, Encoded)> = Vec::new();
            {
                let data = shard.data.read();
                for &slot in some {
                    // Whoever held the lock meanwhile may have emptied it.
                    let Some(series) = data.ooo.get(slot) else { continue };
                    let mut encoded = Vec::new();
                    encode::encode(series.open.samples(), how, self.cap, &mut encoded);
                    let reference = refs.reference(index, data.series(slot).id);
                    chunks.extend(encoded.into_iter().map(|chunk| (slot, reference, chunk)));
                }
            }
            let places =
                files.write_out_of_order(chunks.iter().map(|(_, reference, chunk)| chunk.of(*reference)))?;
            let mut data = shard.data.write();
            for ((slot, _, chunk), (file, offset)) in chunks.iter().zip(places) {
                let series = data.ooo.entry(*slot);
                series.open.clear();
                series.mapped.push(chunk.at(Place { file, offset }));
            }
        }
        Ok(())
    }

    /// Drops what was cut, from memory and from the log: blocks have it. Returns how many chunks.
    ///
    /// `newest` is the head's newest sample.
    pub(crate) fn end_cut(
        &self,
        shards: &[Shard],
        cut: &Cut,
        newest: i64,
        retired: Option<&Path>,
    ) -> io::Result<usize> {
        let mut dropped = 0;
        // Samples that are taken meanwhile are in the window.
        let mut oldest = match self.window() {
            0 => NO_MIN,
            window => newest.saturating_sub(window),
        };
        for (i, shard) in shards.iter().enumerate() {
            let _order = shard.order.lock();
            let mut data = shard.data.write();
            dropped += data.ooo.drop_upto(cut.upto(i));
            oldest = oldest.min(data.ooo.bounds().map_or(NO_MIN, |(oldest, _)| oldest));
        }
        self.min_time.store(oldest, Ordering::Relaxed);
        if let (Some(upto), Some(log)) = (cut.segment, self.log()) {
            log.truncate(upto, |path| retire(path, retired, Log::OutOfOrder))?;
        }
        Ok(dropped)
    }
}
