//! Which series labels stand for, by a hash of their bytes on the wire: senders write the same series again and again.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use storage::{MemoryAccount, MemoryBudget, MemoryStage, SeriesRef};

/// What is not asked for during so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 60);
/// How often it is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// About what an entry takes, in bytes.
const ENTRY: u64 = 56;

/// Stands for labels. Of 128 bits under a seed of this process, so that equal keys of different labels do not happen and
/// cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64, u64);

impl Key {
    /// Enough to tell whether it is the same as last time.
    pub(super) fn short(self) -> u64 {
        self.0
    }
}

struct Entry {
    key: Key,
    series: SeriesRef,
    /// In seconds since the cache was made.
    used: AtomicU32,
    /// Hash of what was last said about the metric; 0: nothing.
    metadata: AtomicU64,
}

/// What is known of a series.
pub(super) struct Known<'a> {
    entry: &'a Entry,
}

impl Known<'_> {
    pub(super) fn series(&self) -> SeriesRef {
        self.entry.series
    }

    /// Whether that was not said before; from now on it was.
    pub(super) fn is_news(&self, metadata: u64) -> bool {
        self.entry.metadata.swap(metadata, Ordering::Relaxed) != metadata
    }
}

/// See the module.
pub(super) struct SeriesCache {
    hashers: [FixedState; 2],
    began: Instant,
    table: RwLock<HashTable<Entry>>,
    swept: Mutex<Instant>,
    account: MemoryAccount,
}

impl SeriesCache {
    pub(super) fn new(memory: &MemoryBudget) -> Self {
        let seed = || std::hash::RandomState::new().hash_one(0u8);
        SeriesCache {
            hashers: [FixedState::with_seed(seed()), FixedState::with_seed(seed())],
            began: Instant::now(),
            table: RwLock::default(),
            swept: Mutex::new(Instant::now()),
            account: memory.account("remote_write_series"),
        }
    }

    /// The key of bytes.
    pub(super) fn key(&self, bytes: &[u8]) -> Key {
        let [a, b] = &self.hashers;
        let hash = |state: &FixedState| {
            let mut hasher = state.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        Key(hash(a), hash(b))
    }

    /// The key of a sequence of keys.
    pub(super) fn key_of(&self, keys: impl Iterator<Item = Key>) -> Key {
        let [mut a, mut b] = [self.hashers[0].build_hasher(), self.hashers[1].build_hasher()];
        for Key(x, y) in keys {
            a.write_u64(x);
            b.write_u64(y);
        }
        Key(a.finish(), b.finish())
    }

    /// For the look-ups of one request.
    pub(super) fn read(&self) -> Lookups<'_> {
        let now = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
        Lookups { table: self.table.read(), now }
    }

    /// Adds series, or replaces what was known under their keys. Forgets those that are not used any more.
    pub(super) fn insert(&self, found: &[(Key, SeriesRef)]) {
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
    pub(super) fn len(&self) -> usize {
        self.table.read().len()
    }
}

/// Look-ups; what is to be added must wait for its end.
pub(super) struct Lookups<'a> {
    table: RwLockReadGuard<'a, HashTable<Entry>>,
    now: u32,
}

impl Lookups<'_> {
    #[inline]
    pub(super) fn find(&self, key: Key) -> Option<Known<'_>> {
        let entry = self.table.find(key.0, |entry| entry.key == key)?;
        if entry.used.load(Ordering::Relaxed) != self.now {
            entry.used.store(self.now, Ordering::Relaxed);
        }
        Some(Known { entry })
    }
}
