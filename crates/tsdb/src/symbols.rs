//! Label pairs of one shard: each distinct name and value once, named by a number.

use hashbrown::HashTable;

use crate::postings::Postings;

/// Arena blocks hold this many bytes; a longer text gets a block of its own.
const BLOCK: usize = 64 * 1024;

/// Where a text lies: block in the high half, offset in the low.
#[derive(Debug, Clone, Copy, Default)]
struct Text {
    at: u32,
    len: u32,
}

/// Texts one after the other. Freed texts are only counted; [`Symbols::compact`] copies the others away.
#[derive(Default)]
struct Arena {
    blocks: Vec<String>,
    bytes: usize,
}

impl Arena {
    fn push(&mut self, text: &str) -> Text {
        self.bytes += text.len();
        let room =
            self.blocks.last().is_some_and(|b| b.capacity() - b.len() >= text.len() && b.len() < BLOCK);
        if !room {
            self.blocks.push(String::with_capacity(BLOCK.max(text.len())));
        }
        let block = self.blocks.len() - 1;
        let buf = &mut self.blocks[block];
        let at = (block as u32) << 16 | buf.len() as u32;
        buf.push_str(text);
        Text { at, len: text.len() as u32 }
    }

    #[inline]
    fn get(&self, text: Text) -> &str {
        let start = (text.at & 0xffff) as usize;
        &self.blocks[(text.at >> 16) as usize][start..start + text.len as usize]
    }
}

/// The value of a label pair, and the series that have it.
struct Pair {
    value: Text,
    series: Postings,
    /// Series that use the pair; more than `series` holds while removed series are still being read.
    uses: u32,
}

/// A label name and the pairs that have it.
struct Name {
    text: Text,
    /// In no order; holes are not kept.
    pairs: Vec<u32>,
    /// Series that have the label.
    series: u64,
}

/// The label pairs of a shard.
pub(crate) struct Symbols {
    arena: Arena,
    /// Bytes of the arena that no pair uses any more.
    dead: usize,
    names: Vec<Name>,
    name_table: HashTable<u32>,
    pairs: Vec<Pair>,
    /// The name of each pair, apart from the rest, because queries look for those of a name among all of a series.
    names_of: Vec<u32>,
    free: Vec<u32>,
    /// Pairs that nobody uses, to be forgotten by [`sweep`](Self::sweep).
    unused: Vec<u32>,
    table: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
}

/// Stands for a name's number where a name itself is hashed.
const NAME: u32 = u32::MAX;

fn hash_pair(hasher: &foldhash::fast::FixedState, name: u32, value: &str) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut h = hasher.build_hasher();
    h.write_u32(name);
    h.write(value.as_bytes());
    h.finish()
}

impl Symbols {
    /// `seed` keeps strangers from choosing labels that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Symbols {
            arena: Arena::default(),
            dead: 0,
            names: Vec::new(),
            name_table: HashTable::new(),
            pairs: Vec::new(),
            names_of: Vec::new(),
            free: Vec::new(),
            unused: Vec::new(),
            table: HashTable::new(),
            hasher: foldhash::fast::FixedState::with_seed(seed),
        }
    }

    pub(crate) fn name_id(&self, name: &str) -> Option<u32> {
        let hash = hash_pair(&self.hasher, NAME, name);
        self.name_table.find(hash, |&id| self.name_text(id) == name).copied()
    }

    fn add_name(&mut self, name: &str) -> u32 {
        let text = self.arena.push(name);
        let id = self.names.len() as u32;
        self.names.push(Name { text, pairs: Vec::new(), series: 0 });
        let (names, arena, hasher) = (&self.names, &self.arena, &self.hasher);
        self.name_table.insert_unique(hash_pair(hasher, NAME, name), id, |&id| {
            hash_pair(hasher, NAME, arena.get(names[id as usize].text))
        });
        id
    }

    /// The number of a pair, made up if it is new. It is not in use until [`hold`](Self::hold).
    pub(crate) fn intern(&mut self, name: &str, value: &str) -> u32 {
        let name_id = match self.name_id(name) {
            Some(id) => id,
            None => self.add_name(name),
        };
        let hash = hash_pair(&self.hasher, name_id, value);
        if let Some(id) = self.find_hashed(hash, name_id, value) {
            return id;
        }
        let pair = Pair { value: self.arena.push(value), series: Postings::default(), uses: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.pairs[id as usize] = pair;
                self.names_of[id as usize] = name_id;
                id
            }
            None => {
                self.pairs.push(pair);
                self.names_of.push(name_id);
                self.pairs.len() as u32 - 1
            }
        };
        self.names[name_id as usize].pairs.push(id);
        let (pairs, names_of, arena, hasher) = (&self.pairs, &self.names_of, &self.arena, &self.hasher);
        self.table.insert_unique(hash, id, |&id| {
            hash_pair(hasher, names_of[id as usize], arena.get(pairs[id as usize].value))
        });
        id
    }

    /// Counts one more series that uses the pair.
    pub(crate) fn hold(&mut self, pair: u32) {
        self.pairs[pair as usize].uses += 1;
        self.names[self.names_of[pair as usize] as usize].series += 1;
    }

    /// Counts one series less. A pair that nobody uses any more is forgotten by [`sweep`](Self::sweep).
    pub(crate) fn release(&mut self, id: u32) {
        let pair = &mut self.pairs[id as usize];
        pair.uses -= 1;
        self.names[self.names_of[id as usize] as usize].series -= 1;
        if pair.uses == 0 {
            self.unused.push(id);
        }
    }

    /// Forgets the pairs that nobody uses any more.
    pub(crate) fn sweep(&mut self) {
        let mut names = Vec::new();
        for id in std::mem::take(&mut self.unused) {
            let (pair, name_of) = (&mut self.pairs[id as usize], &mut self.names_of[id as usize]);
            // Used again since, or listed twice.
            if pair.uses > 0 || *name_of == NAME {
                continue;
            }
            let name = std::mem::replace(name_of, NAME);
            let hash = hash_pair(&self.hasher, name, self.arena.get(pair.value));
            if let Ok(entry) = self.table.find_entry(hash, |&p| p == id) {
                entry.remove();
            }
            self.dead += pair.value.len as usize;
            names.push(name);
            *pair = Pair { value: Text::default(), series: Postings::default(), uses: 0 };
            self.free.push(id);
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            let pairs = &self.pairs;
            self.names[name as usize].pairs.retain(|&p| pairs[p as usize].uses > 0);
        }
        self.shrink();
        self.compact();
    }

    /// Gives back memory that fewer pairs do not need. The numbers of pairs in use stay.
    fn shrink(&mut self) {
        let len = self.names_of.iter().rposition(|&name| name != NAME).map_or(0, |last| last + 1);
        if self.pairs.capacity() > 2 * len + 64 {
            self.pairs.truncate(len);
            self.pairs.shrink_to_fit();
            self.names_of.truncate(len);
            self.names_of.shrink_to_fit();
            self.free.retain(|&id| (id as usize) < len);
            self.free.shrink_to_fit();
        }
        if self.table.capacity() > 4 * self.table.len() + 64 {
            let room = 2 * self.table.len();
            let (pairs, names_of, arena, hasher) = (&self.pairs, &self.names_of, &self.arena, &self.hasher);
            self.table.shrink_to(room, |&id| {
                hash_pair(hasher, names_of[id as usize], arena.get(pairs[id as usize].value))
            });
        }
    }

    /// Copies the texts in use together when more than half of them are not.
    fn compact(&mut self) {
        if self.dead < BLOCK || self.dead * 2 < self.arena.bytes {
            return;
        }
        let mut fresh = Arena::default();
        for name in &mut self.names {
            name.text = fresh.push(self.arena.get(name.text));
            for &id in &name.pairs {
                let pair = &mut self.pairs[id as usize];
                pair.value = fresh.push(self.arena.get(pair.value));
            }
        }
        self.arena = fresh;
        self.dead = 0;
    }

    pub(crate) fn pair(&self, id: u32) -> (&str, &str) {
        (self.name_text(self.name_of(id)), self.value_text(id))
    }

    /// The number of a pair that exists.
    pub(crate) fn find(&self, name: u32, value: &str) -> Option<u32> {
        self.find_hashed(hash_pair(&self.hasher, name, value), name, value)
    }

    fn find_hashed(&self, hash: u64, name: u32, value: &str) -> Option<u32> {
        self.table.find(hash, |&id| self.name_of(id) == name && self.value_text(id) == value).copied()
    }

    pub(crate) fn name_of(&self, pair: u32) -> u32 {
        self.names_of[pair as usize]
    }

    pub(crate) fn name_text(&self, name: u32) -> &str {
        self.arena.get(self.names[name as usize].text)
    }

    pub(crate) fn value_text(&self, pair: u32) -> &str {
        self.arena.get(self.pairs[pair as usize].value)
    }

    /// The names in use.
    pub(crate) fn names(&self) -> impl Iterator<Item = (u32, &str)> {
        let used = self.names.iter().enumerate().filter(|(_, n)| !n.pairs.is_empty());
        used.map(|(i, n)| (i as u32, self.arena.get(n.text)))
    }

    /// The pairs of a name, in no order.
    pub(crate) fn pairs_of(&self, name: u32) -> &[u32] {
        &self.names[name as usize].pairs
    }

    pub(crate) fn postings(&self, pair: u32) -> &Postings {
        &self.pairs[pair as usize].series
    }

    pub(crate) fn postings_mut(&mut self, pair: u32) -> &mut Postings {
        &mut self.pairs[pair as usize].series
    }

    /// Bytes of texts and tables.
    pub(crate) fn held(&self) -> usize {
        self.arena.blocks.iter().map(String::capacity).sum::<usize>()
            + self.pairs.capacity() * size_of::<Pair>()
            + self.names_of.capacity() * size_of::<u32>()
            + self.pairs.iter().map(|p| p.series.heap()).sum::<usize>()
            + self.table.capacity() * 5
    }
}
