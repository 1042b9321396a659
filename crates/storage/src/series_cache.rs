//! Which series labels stand for, by a hash of their bytes on the wire: senders write the same series again and again.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{MemoryAccount, MemoryBudget, MemoryStage, SeriesRef};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

/// What is not asked for during so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 60);
/// How often it is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// About what an entry takes, in bytes.
const ENTRY: u64 = 56;

/// Stands for labels. Of 128 bits under a seed of this process, so that equal keys of different labels do not happen and
/// cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesKey(u64, u64);

impl SeriesKey {
    /// Enough to tell whether it is the same as last time.
    #[must_use]
    pub fn short(self) -> u64 {
        self.0
    }

    /// All of it, for maps of one's own.
    #[must_use]
    pub fn parts(self) -> (u64, u64) {
        (self.0, self.1)
    }
}

struct Entry {
    key: SeriesKey,
    series: SeriesRef,
    /// In seconds since the cache was made.
    used: AtomicU32,
    /// Hash of what was last said about the metric; 0: nothing.
    metadata: AtomicU64,
}

/// What is known of a series.
pub struct KnownSeries<'a> {
    entry: &'a Entry,
}

impl KnownSeries<'_> {
    /// The series.
    #[must_use]
    pub fn series(&self) -> SeriesRef {
        self.entry.series
    }

    /// Whether that was not said before; from now on it was.
    pub fn is_news(&self, metadata: u64) -> bool {
        self.entry.metadata.swap(metadata, Ordering::Relaxed) != metadata
    }
}

/// Known series of one kind of sender, by a hash of the bytes that stand for their labels.
pub struct SeriesCache {
    hashers: [FixedState; 2],
    began: Instant,
    table: RwLock<HashTable<Entry>>,
    swept: Mutex<Instant>,
    account: MemoryAccount,
}

impl SeriesCache {
    /// An empty one, whose memory goes on that account of the budget.
    #[must_use]
    pub fn new(memory: &MemoryBudget, account: &'static str) -> Self {
        let seed = || std::hash::RandomState::new().hash_one(0u8);
        SeriesCache {
            hashers: [FixedState::with_seed(seed()), FixedState::with_seed(seed())],
            began: Instant::now(),
            table: RwLock::default(),
            swept: Mutex::new(Instant::now()),
            account: memory.account(account),
        }
    }

    /// The key of bytes.
    #[must_use]
    pub fn key(&self, bytes: &[u8]) -> SeriesKey {
        let [a, b] = &self.hashers;
        let hash = |state: &FixedState| {
            let mut hasher = state.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        SeriesKey(hash(a), hash(b))
    }

    /// The key of a sequence of keys.
    pub fn key_of(&self, keys: impl Iterator<Item = SeriesKey>) -> SeriesKey {
        let [mut a, mut b] = [self.hashers[0].build_hasher(), self.hashers[1].build_hasher()];
        for SeriesKey(x, y) in keys {
            a.write_u64(x);
            b.write_u64(y);
        }
        SeriesKey(a.finish(), b.finish())
    }

    /// The key of what has a key, with something added.
    #[inline]
    #[must_use]
    pub fn with(&self, SeriesKey(x, y): SeriesKey, more: &[u8]) -> SeriesKey {
        let hash = |state: &FixedState, seed: u64| {
            let mut hasher = state.build_hasher();
            hasher.write_u64(seed);
            hasher.write(more);
            hasher.finish()
        };
        SeriesKey(hash(&self.hashers[0], x), hash(&self.hashers[1], y))
    }

    /// For the look-ups of one request.
    #[must_use]
    pub fn read(&self) -> SeriesLookups<'_> {
        let now = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
        SeriesLookups { table: self.table.read(), now }
    }

    /// Adds series, or replaces what was known under their keys. Forgets those that are not used any more.
    pub fn insert(&self, found: &[(SeriesKey, SeriesRef)]) {
        let mut table = self.table.write();
        let now = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.sweep(&mut table, now);
        if self.account.budget().stage() >= MemoryStage::ShrinkCaches {
            return;
        }
        for &(key, series) in found {
            let (used, metadata) = (AtomicU32::new(now), AtomicU64::new(0));
            let entry = Entry { key, series, used, metadata };
            match table.find_mut(key.0, |other| other.key == key) {
                Some(known) => *known = entry,
                None => {
                    table.insert_unique(key.0, entry, |entry| entry.key.0);
                }
            }
        }
        self.account.set(table.capacity() as u64 * ENTRY);
    }

    fn sweep(&self, table: &mut HashTable<Entry>, now: u32) {
        let short_of_memory = self.account.budget().stage() >= MemoryStage::ShrinkCaches;
        let mut swept = self.swept.lock();
        if !short_of_memory && swept.elapsed() < SWEEP_EVERY {
            return;
        }
        *swept = Instant::now();
        if short_of_memory {
            *table = HashTable::new();
        } else {
            let oldest = now.saturating_sub(FORGOTTEN_AFTER.as_secs() as u32);
            table.retain(|entry| entry.used.load(Ordering::Relaxed) >= oldest);
            if table.len() < table.capacity() / 4 {
                table.shrink_to_fit(|entry| entry.key.0);
            }
        }
        self.account.set(table.capacity() as u64 * ENTRY);
    }

    /// Number of series that are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Look-ups; what is to be added must wait for its end.
pub struct SeriesLookups<'a> {
    table: RwLockReadGuard<'a, HashTable<Entry>>,
    now: u32,
}

impl SeriesLookups<'_> {
    /// What is known under a key.
    #[inline]
    #[must_use]
    pub fn find(&self, key: SeriesKey) -> Option<KnownSeries<'_>> {
        let entry = self.table.find(key.0, |entry| entry.key == key)?;
        if entry.used.load(Ordering::Relaxed) != self.now {
            entry.used.store(self.now, Ordering::Relaxed);
        }
        Some(KnownSeries { entry })
    }
}
