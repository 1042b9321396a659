//! Replay when files of mapped chunks are damaged.
//!
//! Chunks of the first damaged file and of those after it are held back: were they attached at once, the samples
//! that the damage took would count as older than those and be refused. The log holds an unbroken stretch of each
//! series up to its end, so it fills whatever it can; a held chunk is used where it ends before that stretch begins.
//! What is used is written anew, and the old files are set aside.

use std::io;
use std::sync::atomic::AtomicBool;

use crate::chunk_files::{ChunkFiles, FoundChunk, NewChunk, chunk_at};
use crate::closed::{self, ClosedChunk, Place};
use crate::shard::{RefMap, ShardData};

/// Takes the chunks that must be held back out of `found`.
pub(super) fn split_off(found: &mut Vec<FoundChunk>, first_damaged: Option<u32>) -> Vec<FoundChunk> {
    let Some(first) = first_damaged else { return Vec::new() };
    let (held, usable) = std::mem::take(found).into_iter().partition(|chunk| chunk.file >= first);
    *found = usable;
    held
}

/// Gives each series the held chunks that end before its samples from the log begin. `held` is ordered by series
/// and time.
pub(super) fn use_what_the_log_lacks(
    data: &mut ShardData,
    held: &[FoundChunk],
    refs: RefMap,
    files: &ChunkFiles,
    stop: &AtomicBool,
) -> io::Result<()> {
    let Some(first_damaged) = held.iter().map(|chunk| chunk.file).min() else { return Ok(()) };
    for of_series in held.chunk_by(|a, b| a.series == b.series) {
        let slot = refs.id_of(of_series[0].series).and_then(|id| data.slot_of(id));
        let Some(slot) = slot else { continue };
        let open = data.open_chunk(slot).map(|open| open.min_time);
        let (series, slab) = data.series_and_slab(slot);
        let mut own: Vec<ClosedChunk> = closed::newest_first(slab, series.closed).collect();
        own.reverse();
        let of_old_files =
            |c: &&ClosedChunk| matches!(c.place(), Place::File(file, _) if file < first_damaged);
        let prefix = own.iter().take_while(of_old_files).count();
        let log_begins = own.get(prefix).map(|c| c.min_time).or(open).unwrap_or(i64::MAX);
        let mut chain = own[..prefix].to_vec();
        for chunk in of_series {
            let follows = chain.last().is_none_or(|last| chunk.min_time > last.max_time());
            if !follows || chunk.max_time >= log_begins {
                continue;
            }
            let Some(file) = files.file(chunk.file) else { continue };
            let Ok((encoding, bytes)) = chunk_at(&file, chunk.offset) else { continue };
            let (min_time, max_time) = (chunk.min_time, chunk.max_time);
            let new = NewChunk { encoding, ..chunk.with(bytes) };
            let (file, offset) = files.write_patiently(new, false, stop)?;
            chain.push(ClosedChunk::in_file(min_time, max_time, encoding, file, offset));
        }
        chain.extend_from_slice(&own[prefix..]);
        closed::rebuild(slab, &mut series.closed, chain.into_iter());
    }
    Ok(())
}
