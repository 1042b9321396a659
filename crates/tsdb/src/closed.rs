//! The full chunks of a series: where each lies, 20 bytes a chunk.
//!
//! They are kept in a chain of small slab buffers, newest chunk first, so that a reader of recent times touches
//! one buffer and old chunks are dropped at the end. A buffer holds: address of the next (older) buffer u32,
//! number of entries u32, entries in order of time.

use chunk::Encoding;

use crate::slab::{Addr, Slab};

const HEAD: usize = 8;
const ENTRY: usize = 20;
/// Entries of a buffer before another one is begun.
const BUFFER_ENTRIES: usize = 14;
/// Marks a chunk that is still in memory.
const IN_MEMORY: u32 = 1 << 31;
/// The low bits of `file` are the number of the file or, of a chunk in memory, its length; those between the encoding.
const FILE_BITS: u32 = 28;
const FILE_MASK: u32 = (1 << FILE_BITS) - 1;

/// A full chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClosedChunk {
    /// Milliseconds.
    pub(crate) min_time: i64,
    span: u32,
    file: u32,
    at: u32,
}

/// Where the bytes of a closed chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the slab, so long.
    Memory(Addr, usize),
    /// At this offset of this file of `chunks_head`.
    File(u32, u32),
}

impl ClosedChunk {
    pub(crate) fn in_memory(
        min_time: i64,
        max_time: i64,
        encoding: Encoding,
        addr: Addr,
        len: usize,
    ) -> Self {
        Self::new(min_time, max_time, IN_MEMORY | len as u32 & FILE_MASK, encoding, addr.to_bits())
    }

    pub(crate) fn in_file(min_time: i64, max_time: i64, encoding: Encoding, file: u32, offset: u32) -> Self {
        Self::new(min_time, max_time, file & FILE_MASK, encoding, offset)
    }

    fn new(min_time: i64, max_time: i64, file: u32, encoding: Encoding, at: u32) -> Self {
        let span = u32::try_from(max_time.saturating_sub(min_time)).unwrap_or(u32::MAX);
        ClosedChunk { min_time, span, file: file | (encoding as u32) << FILE_BITS, at }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        Encoding::try_from((self.file >> FILE_BITS & 7) as u8).unwrap_or(Encoding::Xor)
    }

    pub(crate) fn max_time(&self) -> i64 {
        self.min_time.saturating_add(self.span.into())
    }

    /// Orders chunks by where they are.
    pub(crate) fn place_key(&self) -> (u32, u32) {
        (self.file, self.at)
    }

    pub(crate) fn place(&self) -> Place {
        if self.file & IN_MEMORY != 0 {
            Place::Memory(Addr::from_bits(self.at), (self.file & FILE_MASK) as usize)
        } else {
            Place::File(self.file & FILE_MASK, self.at)
        }
    }

    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let min_time = i64::from(word(0)) | i64::from(word(4)) << 32;
        ClosedChunk { min_time, span: word(8), file: word(12), at: word(16) }
    }

    fn write(&self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.min_time.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.span.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.file.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.at.to_le_bytes());
    }
}

fn header(buffer: &[u8]) -> (Addr, usize) {
    let word = |at: usize| u32::from_le_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]]);
    (Addr::from_bits(word(0)), word(4) as usize)
}

fn set_header(buffer: &mut [u8], next: Addr, count: usize) {
    buffer[..4].copy_from_slice(&next.to_bits().to_le_bytes());
    buffer[4..8].copy_from_slice(&(count as u32).to_le_bytes());
}

fn entry_at(i: usize) -> usize {
    HEAD + i * ENTRY
}

/// Adds a chunk newer than all others. `None` when the slab is full.
pub(crate) fn push(slab: &mut Slab, chain: &mut Addr, chunk: ClosedChunk) -> Option<()> {
    let mut count = 0;
    if !chain.is_none() {
        count = header(slab.bytes(*chain)).1;
    }
    if chain.is_none() || count == BUFFER_ENTRIES {
        let fresh = slab.alloc(entry_at(1))?;
        set_header(slab.bytes_mut(fresh), *chain, 0);
        *chain = fresh;
        count = 0;
    }
    if slab.bytes(*chain).len() < entry_at(count + 1) {
        let room = entry_at((count * 2).min(BUFFER_ENTRIES));
        *chain = slab.grow(*chain, entry_at(count), room)?;
    }
    let buffer = slab.bytes_mut(*chain);
    let next = header(buffer).0;
    set_header(buffer, next, count + 1);
    chunk.write(&mut buffer[entry_at(count)..entry_at(count + 1)]);
    Some(())
}

pub(crate) fn newest(slab: &Slab, chain: Addr) -> Option<ClosedChunk> {
    newest_first(slab, chain).next()
}

pub(crate) fn oldest(slab: &Slab, chain: Addr) -> Option<ClosedChunk> {
    newest_first(slab, chain).last()
}

/// The chunks, newest first.
pub(crate) fn newest_first(slab: &Slab, chain: Addr) -> impl Iterator<Item = ClosedChunk> + '_ {
    let mut at = chain;
    let mut left = if at.is_none() { 0 } else { header(slab.bytes(at)).1 };
    std::iter::from_fn(move || {
        while left == 0 {
            if at.is_none() {
                return None;
            }
            at = header(slab.bytes(at)).0;
            left = if at.is_none() { 0 } else { header(slab.bytes(at)).1 };
        }
        left -= 1;
        Some(ClosedChunk::read(&slab.bytes(at)[entry_at(left)..entry_at(left + 1)]))
    })
}

/// Replaces each chunk that is in memory by what `moved` gives for it, freeing its bytes; `None` leaves it.
pub(crate) fn move_out(
    slab: &mut Slab,
    chain: Addr,
    mut moved: impl FnMut(&ClosedChunk) -> Option<ClosedChunk>,
) {
    let mut at = chain;
    while !at.is_none() {
        let (next, count) = header(slab.bytes(at));
        for i in (0..count).rev() {
            let entry = ClosedChunk::read(&slab.bytes(at)[entry_at(i)..entry_at(i + 1)]);
            let Place::Memory(addr, ..) = entry.place() else { return }; // older ones were moved before
            if let Some(place) = moved(&entry) {
                slab.free(addr);
                place.write(&mut slab.bytes_mut(at)[entry_at(i)..entry_at(i + 1)]);
            }
        }
        at = next;
    }
}

/// Drops the chunks that end before `time`, and says how many.
pub(crate) fn drop_before(slab: &mut Slab, chain: &mut Addr, time: i64) -> usize {
    if oldest(slab, *chain).is_none_or(|oldest| oldest.max_time() >= time) {
        return 0;
    }
    let all: Vec<ClosedChunk> = newest_first(slab, *chain).collect();
    let kept = all.iter().take_while(|c| c.max_time() >= time).count();
    for gone in &all[kept..] {
        if let Place::Memory(addr, ..) = gone.place() {
            slab.free(addr);
        }
    }
    rebuild(slab, chain, all[..kept].iter().rev().copied());
    all.len() - kept
}

/// Makes the chain hold these chunks (in order of time) and no others; bytes in memory stay where they are.
pub(crate) fn rebuild(slab: &mut Slab, chain: &mut Addr, chunks: impl Iterator<Item = ClosedChunk>) {
    let mut at = std::mem::take(chain);
    while !at.is_none() {
        let next = header(slab.bytes(at)).0;
        slab.free(at);
        at = next;
    }
    for chunk in chunks {
        if push(slab, chain, chunk).is_none() {
            break;
        }
    }
}

/// Drops all chunks.
pub(crate) fn clear(slab: &mut Slab, chain: &mut Addr) {
    drop_before(slab, chain, i64::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_newest_first_and_old_ones_go() {
        let mut slab = Slab::new();
        let mut chain = Addr::NONE;
        for i in 0..100 {
            push(&mut slab, &mut chain, ClosedChunk::in_file(i * 10, i * 10 + 9, Encoding::Xor, 1, i as u32))
                .unwrap();
        }
        let times: Vec<i64> = newest_first(&slab, chain).map(|c| c.min_time).collect();
        assert_eq!(times, (0..100).rev().map(|i| i * 10).collect::<Vec<_>>());
        assert_eq!(drop_before(&mut slab, &mut chain, 505), 50);
        assert_eq!(oldest(&slab, chain).map(|c| (c.min_time, c.max_time())), Some((500, 509)));
        clear(&mut slab, &mut chain);
        assert!(chain.is_none());
    }

    #[test]
    fn chunks_in_memory_are_moved_to_their_file() {
        let mut slab = Slab::new();
        let mut chain = Addr::NONE;
        let bytes: Vec<Addr> = (0..20).map(|_| slab.alloc(30).unwrap()).collect();
        for (i, &addr) in bytes.iter().enumerate() {
            let closed = ClosedChunk::in_memory(i as i64, i as i64, Encoding::Histogram, addr, 30);
            assert_eq!((closed.place(), closed.encoding()), (Place::Memory(addr, 30), Encoding::Histogram));
            push(&mut slab, &mut chain, closed).unwrap();
        }
        move_out(&mut slab, chain, |c| {
            Some(ClosedChunk::in_file(c.min_time, c.max_time(), c.encoding(), 7, c.min_time as u32))
        });
        assert!(newest_first(&slab, chain).all(|c| c.place() == Place::File(7, c.min_time as u32)));
    }
}
