//! From label sets to series, over all shards: 8 bytes and a control byte an entry.

use hashbrown::HashTable;
use model::Labels;
use parking_lot::{RwLock, RwLockWriteGuard};

/// The table is split by the top bits of the hash, so that growing copies a small piece at a time.
const PIECE_BITS: u32 = 6;
const SHARD_BITS: u32 = 6;

/// Most shards that a [`Location`] can name.
pub(crate) const MAX_SHARDS: usize = 1 << SHARD_BITS;

/// Where a series lives: shard and slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(u32);

impl Location {
    pub(crate) fn new(shard: usize, slot: u32) -> Self {
        Location(slot << SHARD_BITS | shard as u32)
    }

    pub(crate) fn shard(self) -> usize {
        self.0 as usize & (MAX_SHARDS - 1)
    }

    pub(crate) fn slot(self) -> u32 {
        self.0 >> SHARD_BITS
    }
}

/// Most series of a shard.
pub(crate) const MAX_SLOTS: u32 = 1 << (32 - SHARD_BITS);

#[derive(Clone, Copy)]
struct Entry {
    /// Low half of the label set's hash: the upper half chose the piece.
    hash: u32,
    at: Location,
}

/// Spreads the stored half over 64 bits: the table takes low bits for the place and high bits for the tag.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// One piece, locked for a change.
pub(crate) struct Piece<'a> {
    table: RwLockWriteGuard<'a, HashTable<Entry>>,
    hash: u32,
}

impl Piece<'_> {
    pub(crate) fn find(&self, mut is: impl FnMut(Location) -> bool) -> Option<Location> {
        self.table.find(spread(self.hash), |e| e.hash == self.hash && is(e.at)).map(|e| e.at)
    }

    pub(crate) fn insert(&mut self, at: Location) {
        let entry = Entry { hash: self.hash, at };
        self.table.insert_unique(spread(self.hash), entry, |e| spread(e.hash));
    }

    pub(crate) fn remove(&mut self, at: Location) {
        let hash = self.hash;
        if let Ok(entry) = self.table.find_entry(spread(hash), |e| e.at == at) {
            entry.remove();
        }
    }
}

/// The table. A piece is locked before any shard.
pub(crate) struct Lookup {
    pieces: Box<[RwLock<HashTable<Entry>>]>,
}

impl Lookup {
    pub(crate) fn new() -> Self {
        Lookup { pieces: (0..1 << PIECE_BITS).map(|_| RwLock::new(HashTable::new())).collect() }
    }

    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(Location) -> bool) -> Option<Location> {
        let half = hash as u32;
        let table = self.pieces[(hash >> (64 - PIECE_BITS)) as usize].read();
        table.find(spread(half), |e| e.hash == half && is(e.at)).map(|e| e.at)
    }

    pub(crate) fn lock(&self, hash: u64) -> Piece<'_> {
        let table = self.pieces[(hash >> (64 - PIECE_BITS)) as usize].write();
        Piece { table, hash: hash as u32 }
    }

    /// Groups of entries that have the same hash: equal label sets, if any, are among them.
    pub(crate) fn collisions(&self) -> Vec<Vec<Location>> {
        let mut groups = Vec::new();
        for piece in &self.pieces {
            let mut entries: Vec<Entry> = piece.read().iter().copied().collect();
            entries.sort_unstable_by_key(|e| e.hash);
            let same = entries.chunk_by(|a, b| a.hash == b.hash).filter(|group| group.len() > 1);
            groups.extend(same.map(|group| group.iter().map(|e| e.at).collect()));
        }
        groups
    }

    /// Takes out the entry of a series wherever it is.
    pub(crate) fn forget(&self, at: Location) {
        for piece in &self.pieces {
            piece.write().retain(|e| e.at != at);
        }
    }

    /// Gives back memory that fewer entries do not need.
    pub(crate) fn shrink(&self) {
        for piece in &self.pieces {
            let mut table = piece.write();
            if table.capacity() > 4 * table.len() + 64 {
                let room = 2 * table.len();
                table.shrink_to(room, |e| spread(e.hash));
            }
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.pieces.iter().map(|p| p.read().allocation_size()).sum()
    }
}

/// What the table finds labels by.
pub(crate) fn hash(hasher: &foldhash::quality::FixedState, labels: &Labels) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = hasher.build_hasher();
    hasher.write(labels.as_bytes());
    hasher.finish()
}
