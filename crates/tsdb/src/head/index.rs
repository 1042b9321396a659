//! Making replayed series findable.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::{NO_MAX, NO_MIN};
use crate::chunk_files::{ChunkFiles, NewChunk};
use crate::closed::{self, ClosedChunk, Place};
use crate::deleted::Deleted;
use crate::lookup::{Location, Lookup};
use crate::shard::{RefMap, ShardData};

/// What the series amount to.
pub(super) struct Indexed {
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) chunks: usize,
    /// References of series that were found to be a series twice, with the reference that it keeps.
    pub(super) aliases: HashMap<u64, u64>,
}

/// Joins series that have the same labels, and enters all in the postings of their shards.
pub(super) fn index(
    shards: &mut [ShardData],
    lookup: &Lookup,
    refs: RefMap,
    files: &ChunkFiles,
    stop: &AtomicBool,
) -> io::Result<Indexed> {
    let aliases = join_duplicates(shards, lookup, refs, files, stop)?;
    let mut total = Indexed { min_time: NO_MIN, max_time: NO_MAX, chunks: 0, aliases };
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let each = shards.len().div_ceil(cores).max(1);
    let parts = thread::scope(|scope| {
        let handles: Vec<_> = shards
            .chunks_mut(each)
            .map(|shards| scope.spawn(move || shards.iter_mut().map(index_shard).collect::<Vec<_>>()))
            .collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).flatten().collect::<Vec<_>>()
    });
    for (min_time, max_time, chunks) in parts {
        total.min_time = total.min_time.min(min_time);
        total.max_time = total.max_time.max(max_time);
        total.chunks += chunks;
    }
    Ok(total)
}

fn index_shard(data: &mut ShardData) -> (i64, i64, usize) {
    let mut slots: Vec<(u32, u32)> = data.live_slots().map(|slot| (data.series(slot).id, slot)).collect();
    slots.sort_unstable();
    let (mut min_time, mut max_time, mut chunks) = (NO_MIN, NO_MAX, 0);
    for (_, slot) in slots {
        data.index(slot);
        let series = data.series(slot);
        if let (Some(first), Some(last)) = (data.first_time(slot), data.last_time(slot)) {
            min_time = min_time.min(first);
            max_time = max_time.max(last);
        }
        chunks += closed::newest_first(&data.slab, series.closed).count()
            + usize::from(data.open_chunk(slot).is_some());
    }
    (min_time, max_time, chunks)
}

/// A series that was dropped and came back has two references in the log. The one with the newest samples takes
/// over the chunks of the other.
fn join_duplicates(
    shards: &mut [ShardData],
    lookup: &Lookup,
    refs: RefMap,
    files: &ChunkFiles,
    stop: &AtomicBool,
) -> io::Result<HashMap<u64, u64>> {
    let mut aliases = HashMap::new();
    for mut group in lookup.collisions() {
        // Oldest samples first; of two without samples the younger reference stays.
        group.sort_by_key(|at| {
            let data = &shards[at.shard()];
            let series = data.series(at.slot());
            (data.last_time(at.slot()), refs.reference(at.shard(), series.id))
        });
        while let Some(keep) = group.pop() {
            let labels = shards[keep.shard()].labels(keep.slot());
            let (same, others) =
                group.into_iter().partition(|at| shards[at.shard()].has_labels(at.slot(), &labels));
            group = others;
            let keep_ref = refs.reference(keep.shard(), shards[keep.shard()].series(keep.slot()).id);
            join(shards, keep, keep_ref, &same, files, stop)?;
            for at in same {
                aliases.insert(refs.reference(at.shard(), shards[at.shard()].series(at.slot()).id), keep_ref);
                lookup.forget(at);
                let data = &mut shards[at.shard()];
                // Not in the postings yet, and nobody reads: it can go at once.
                data.remove(&[at.slot()], 0);
                data.bury(u64::MAX);
            }
        }
    }
    Ok(aliases)
}

/// Puts the chunks of `old` series (in order of time) before those of `keep`.
fn join(
    shards: &mut [ShardData],
    keep: Location,
    series: u64,
    old: &[Location],
    files: &ChunkFiles,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut chunks: Vec<(ClosedChunk, Option<Vec<u8>>)> = Vec::new();
    let mut deleted = Deleted::default();
    let mut metadata = None;
    for at in old {
        let data = &mut shards[at.shard()];
        if let Some(of_series) = data.deleted.get(&at.slot()) {
            deleted.join(of_series);
        }
        metadata = data.metadata.get(at.slot()).cloned().or(metadata);
        if data.close_open(at.slot()).is_none() {
            continue;
        }
        let (series, slab) = data.series_and_slab(at.slot());
        let mut of_series: Vec<_> = closed::newest_first(slab, series.closed)
            .map(|c| match c.place() {
                Place::Memory(addr, len) => (c, Some(slab.bytes(addr)[..len].to_vec())),
                Place::File(..) => (c, None),
            })
            .collect();
        of_series.reverse();
        chunks.extend(of_series);
    }
    let reference = series;
    let data = &mut shards[keep.shard()];
    if !deleted.is_empty() {
        data.deleted.entry(keep.slot()).or_default().join(&deleted);
    }
    if let (Some(metadata), None) = (metadata, data.metadata.get(keep.slot())) {
        data.metadata.set(keep.slot(), &metadata);
    }
    let begins = data.first_time(keep.slot()).unwrap_or(i64::MAX);
    let (series, slab) = data.series_and_slab(keep.slot());
    let mut joined: Vec<ClosedChunk> = Vec::new();
    for (chunk, bytes) in chunks {
        let follows = joined.last().is_none_or(|last| chunk.min_time > last.max_time());
        if !follows || chunk.max_time() >= begins {
            tracing::warn!(
                chunk.min_time,
                "a chunk of a series that the log has twice overlaps another; it is left out"
            );
            continue;
        }
        let Some(bytes) = bytes else {
            joined.push(chunk);
            continue;
        };
        // Only a series' newest chunks may be in memory, so these are written before its own.
        let new = NewChunk {
            series: reference,
            min_time: chunk.min_time,
            max_time: chunk.max_time(),
            encoding: chunk.encoding(),
            bytes: &bytes,
        };
        let (file, offset) = files.write_patiently(new, false, stop)?;
        let (min_time, max_time) = (chunk.min_time, chunk.max_time());
        joined.push(ClosedChunk::in_file(min_time, max_time, chunk.encoding(), file, offset));
    }
    let mut own: Vec<ClosedChunk> = closed::newest_first(slab, series.closed).collect();
    own.reverse();
    joined.extend(own);
    closed::rebuild(slab, &mut series.closed, joined.into_iter());
    Ok(())
}
