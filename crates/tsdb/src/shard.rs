//! A shard: the series of some targets with everything that belongs to them, under one lock.

use std::collections::HashMap;
use std::sync::Arc;

use model::Labels;
use parking_lot::{Mutex, RwLock};

use crate::deleted::Deleted;
use crate::metadata::SeriesMetadata;
use crate::newest::Newest;
use crate::ooo::Table;
use crate::open::OpenChunks;
use crate::postings::Postings;
use crate::series::{Series, State};
use crate::slab::{Addr, Slab};
use crate::symbols::Symbols;

/// Ids are handed to shards in extents of this many.
pub(crate) const EXTENT_BITS: u32 = 9;
const EXTENT: usize = 1 << EXTENT_BITS;
/// Series structs are allocated this many at a time.
const PAGE_BITS: u32 = 10;
const PAGE: usize = 1 << PAGE_BITS;

/// How references map to shards: extents of 512 references go round the shards in turn. A reference is made of the
/// shard and the id within it, and none is stored: with another number of shards the same references spread anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefMap {
    bits: u32,
}

impl RefMap {
    /// `shards` is a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        RefMap { bits: shards.trailing_zeros() }
    }

    #[inline]
    pub(crate) fn shard_of(self, r: u64) -> usize {
        (r >> EXTENT_BITS) as usize & ((1 << self.bits) - 1)
    }

    /// The id within its shard; `None` for references beyond what a shard can hold (they occur in damaged files).
    #[inline]
    pub(crate) fn id_of(self, r: u64) -> Option<u32> {
        let id = (r >> (EXTENT_BITS + self.bits)) << EXTENT_BITS | r & (EXTENT as u64 - 1);
        u32::try_from(id).ok()
    }

    /// The first id of a shard such that neither it nor any later one makes a reference up to `last`.
    pub(crate) fn first_free_after(self, shard: usize, last: u64) -> u32 {
        let round = last >> (EXTENT_BITS + self.bits);
        let id = round << EXTENT_BITS;
        let id = match self.shard_of(last).cmp(&shard) {
            std::cmp::Ordering::Less => id,
            std::cmp::Ordering::Equal => id + (last & (EXTENT as u64 - 1)) + 1,
            std::cmp::Ordering::Greater => id + EXTENT as u64,
        };
        u32::try_from(id).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(crate) fn reference(self, shard: usize, id: u32) -> u64 {
        let id = u64::from(id);
        ((id >> EXTENT_BITS) << self.bits | shard as u64) << EXTENT_BITS | id & (EXTENT as u64 - 1)
    }
}

/// A shard with its locks.
///
/// `order` is held by whoever writes samples, from checking them until they are in the log and in memory: batches
/// that share a series are logged in the order in which they are applied. `data` is only held while memory is
/// read or changed, never over I/O. Several shards are locked in ascending order.
pub(crate) struct Shard {
    pub(crate) order: Mutex<()>,
    pub(crate) data: RwLock<ShardData>,
}

struct Extent {
    /// Slot per id; `NO_SLOT` where there is no series.
    slots: Box<[u32; EXTENT]>,
    live: u16,
}

const NO_SLOT: u32 = u32::MAX;
/// An id beyond this is damage: ids of new series must still fit behind it.
pub(crate) const MAX_ID: u32 = u32::MAX - (1 << 20);

/// The memory of a shard.
pub(crate) struct ShardData {
    /// Of all shards.
    pub(crate) newest: Arc<Newest>,
    pub(crate) slab: Slab,
    pub(crate) open: OpenChunks,
    pub(crate) symbols: Symbols,
    /// All live series.
    pub(crate) all: Postings,
    /// Label pairs of the series created last, and of those before it where they had more. None was forgotten since.
    previous: Vec<u32>,
    /// Empty where all slots of a page were free and it was given back.
    pages: Vec<Box<[Series]>>,
    slots: u32,
    /// Free slots of pages that are there.
    free: Vec<u32>,
    /// Pages that were given back.
    vacant: Vec<u32>,
    extents: HashMap<u32, Extent, foldhash::fast::FixedState>,
    /// The next series created gets this id.
    pub(crate) next_id: u32,
    /// Removed series with the epoch of their removal, oldest first.
    pub(crate) removed: Vec<(u64, u32)>,
    /// Samples out of order.
    pub(crate) ooo: Table,
    /// Slots with full chunks that are still in memory.
    pub(crate) unwritten: Vec<u32>,
    pub(crate) metadata: SeriesMetadata,
    /// What was deleted of series and is still in their chunks, by slot.
    pub(crate) deleted: HashMap<u32, Deleted, foldhash::fast::FixedState>,
}

impl ShardData {
    pub(crate) fn new(index: usize, seed: u64, newest: Arc<Newest>) -> Self {
        ShardData {
            newest,
            slab: Slab::new(),
            open: OpenChunks::default(),
            symbols: Symbols::new(seed),
            all: Postings::default(),
            previous: Vec::new(),
            pages: Vec::new(),
            slots: 0,
            free: Vec::new(),
            vacant: Vec::new(),
            extents: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed)),
            // Reference 0 means "none" in files.
            next_id: u32::from(index == 0),
            removed: Vec::new(),
            ooo: Table::default(),
            unwritten: Vec::new(),
            metadata: SeriesMetadata::default(),
            deleted: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed)),
        }
    }

    #[inline]
    pub(crate) fn series(&self, slot: u32) -> &Series {
        &self.pages[(slot >> PAGE_BITS) as usize][(slot & ((1 << PAGE_BITS) - 1)) as usize]
    }

    #[inline]
    pub(crate) fn series_mut(&mut self, slot: u32) -> &mut Series {
        &mut self.pages[(slot >> PAGE_BITS) as usize][(slot & ((1 << PAGE_BITS) - 1)) as usize]
    }

    /// Series and slab at once.
    #[inline]
    pub(crate) fn series_and_slab(&mut self, slot: u32) -> (&mut Series, &mut Slab) {
        let series = &mut self.pages[(slot >> PAGE_BITS) as usize][(slot & ((1 << PAGE_BITS) - 1)) as usize];
        (series, &mut self.slab)
    }

    /// Series, slab and open chunks at once.
    #[inline]
    pub(crate) fn parts(&mut self, slot: u32) -> (&mut Series, &mut Slab, &mut OpenChunks) {
        let series = &mut self.pages[(slot >> PAGE_BITS) as usize][(slot & ((1 << PAGE_BITS) - 1)) as usize];
        (series, &mut self.slab, &mut self.open)
    }

    /// The slot of a series by its id.
    pub(crate) fn slot_of(&self, id: u32) -> Option<u32> {
        let extent = self.extents.get(&(id >> EXTENT_BITS))?;
        let slot = extent.slots[id as usize % EXTENT];
        (slot != NO_SLOT).then_some(slot)
    }

    /// Finds slots of many ids, most of them close to the one before.
    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder { shard: self, extent: u32::MAX, slots: None }
    }

    /// Number of live series.
    pub(crate) fn live(&self) -> usize {
        self.slots as usize - self.free.len() - self.removed.len() - self.vacant.len() * PAGE
    }

    /// Slots below this were given out.
    pub(crate) fn slot_count(&self) -> u32 {
        self.slots
    }

    pub(crate) fn is_live(&self, slot: u32) -> bool {
        let page = self.pages.get((slot >> PAGE_BITS) as usize);
        let series = page.and_then(|page| page.get(slot as usize % PAGE));
        series.is_some_and(|series| series.state == State::Live)
    }

    /// All slots that hold a live series.
    pub(crate) fn live_slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.slots).filter(|&slot| self.is_live(slot))
    }

    /// Creates a series under a given id, without entering it in the postings. `None` when memory for its labels
    /// is refused (absurdly many labels).
    pub(crate) fn create(&mut self, id: u32, labels: &Labels) -> Option<u32> {
        let mut encoded = [0u8; 5 * 255];
        let (mut len, mut count) = (0, 0u8);
        for (i, (name, value)) in labels.iter().enumerate() {
            // Series that come one after the other have most pairs in common.
            let pair = match self.previous.get(i) {
                Some(&pair) if self.symbols.pair(pair) == (name, value) => pair,
                _ => self.symbols.intern(name, value),
            };
            match self.previous.get_mut(i) {
                Some(previous) => *previous = pair,
                None => self.previous.push(pair),
            }
            if count == u8::MAX {
                return None;
            }
            len += put_pair(&mut encoded[len..], pair);
            count += 1;
        }
        let addr = if len == 0 { Addr::NONE } else { self.slab.alloc(len)? };
        if len > 0 {
            self.slab.bytes_mut(addr)[..len].copy_from_slice(&encoded[..len]);
        }
        let mut at = 0;
        for _ in 0..count {
            self.symbols.hold(get_pair(&encoded, &mut at));
        }
        let slot = self.free_slot();
        *self.series_mut(slot) = Series::new(id, addr, count);
        let extent = self
            .extents
            .entry(id >> EXTENT_BITS)
            .or_insert_with(|| Extent { slots: Box::new([NO_SLOT; EXTENT]), live: 0 });
        extent.slots[id as usize % EXTENT] = slot;
        extent.live += 1;
        Some(slot)
    }

    fn free_slot(&mut self) -> u32 {
        let new_page = || vec![Series::FREE; PAGE].into_boxed_slice();
        if self.free.is_empty()
            && let Some(page) = self.vacant.pop()
        {
            self.pages[page as usize] = new_page();
            self.free.extend((page << PAGE_BITS..(page + 1) << PAGE_BITS).rev());
        }
        self.free.pop().unwrap_or_else(|| {
            if self.slots as usize == self.pages.len() << PAGE_BITS {
                self.pages.push(new_page());
            }
            self.slots += 1;
            self.slots - 1
        })
    }

    /// Gives back pages without series, if they may be many.
    fn vacate(&mut self) {
        if self.free.len() < PAGE.max(self.slots as usize / 8) {
            return;
        }
        let mut free = vec![0; self.pages.len()];
        for slot in &self.free {
            free[(slot >> PAGE_BITS) as usize] += 1;
        }
        for (page, free) in (0..).zip(free) {
            if free == PAGE {
                self.pages[page as usize] = Box::default();
                self.vacant.push(page);
            }
        }
        let pages = &self.pages;
        self.free.retain(|slot| !pages[(slot >> PAGE_BITS) as usize].is_empty());
        self.free.shrink_to(PAGE);
    }

    /// Enters a series in the postings; series are entered in ascending order of id.
    pub(crate) fn index(&mut self, slot: u32) {
        let series = *self.series(slot);
        self.all.push(series.id);
        let bytes = self.slab.bytes_or_empty(series.labels);
        let mut at = 0;
        for _ in 0..series.label_count {
            self.symbols.postings_mut(get_pair(bytes, &mut at)).push(series.id);
        }
    }

    /// Takes series out of the index and of the table of ids; their memory stays until [`bury`](Self::bury).
    pub(crate) fn remove(&mut self, slots: &[u32], epoch: u64) {
        let mut ids: Vec<u32> = Vec::with_capacity(slots.len());
        let mut pairs: Vec<u32> = Vec::new();
        for &slot in slots {
            self.series_mut(slot).state = State::Removed;
            let id = self.series(slot).id;
            ids.push(id);
            pairs.extend(self.pairs(slot));
            self.removed.push((epoch, slot));
            if let Some(extent) = self.extents.get_mut(&(id >> EXTENT_BITS)) {
                extent.slots[id as usize % EXTENT] = NO_SLOT;
                extent.live -= 1;
                if extent.live == 0 {
                    self.extents.remove(&(id >> EXTENT_BITS));
                }
            }
        }
        ids.sort_unstable();
        pairs.sort_unstable();
        pairs.dedup();
        let gone = |id: u32| ids.binary_search(&id).is_ok();
        self.all.remove(gone);
        for pair in pairs {
            self.symbols.postings_mut(pair).remove(gone);
        }
    }

    /// Gives back the memory of series removed before `epoch`.
    pub(crate) fn bury(&mut self, epoch: u64) {
        let removed = std::mem::take(&mut self.removed);
        for (when, slot) in removed {
            if when >= epoch {
                self.removed.push((when, slot));
                continue;
            }
            let pairs: Vec<u32> = self.pairs(slot).collect();
            pairs.into_iter().for_each(|pair| self.symbols.release(pair));
            self.ooo.remove(slot);
            self.free_series(slot);
            self.metadata.clear(slot);
            self.deleted.remove(&slot);
            self.free.push(slot);
        }
        let mut unwritten = std::mem::take(&mut self.unwritten);
        unwritten.retain(|&slot| self.series(slot).state != State::Free);
        self.unwritten = unwritten;
        self.previous.clear();
        self.symbols.sweep();
        self.vacate();
    }

    /// Something refers to a series of that id that is not known: it must not be given to another.
    #[cold]
    pub(crate) fn pass_over(&mut self, id: u32) {
        if id < MAX_ID {
            self.next_id = self.next_id.max(id + 1);
        }
    }

    /// The label pairs of a series, in order of name.
    pub(crate) fn pairs(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let series = self.series(slot);
        let bytes = self.slab.bytes_or_empty(series.labels);
        let mut at = 0;
        (0..series.label_count).map(move |_| get_pair(bytes, &mut at))
    }

    /// Whether the series has exactly these labels.
    pub(crate) fn has_labels(&self, slot: u32, labels: &Labels) -> bool {
        if !self.is_live(slot) {
            return false;
        }
        self.pairs(slot).map(|pair| self.symbols.pair(pair)).eq(labels)
    }

    /// The labels of a series.
    pub(crate) fn labels(&self, slot: u32) -> Labels {
        Labels::from_sorted(self.pairs(slot).map(|pair| self.symbols.pair(pair)))
    }

    /// Bytes held by all of this, used or not.
    pub(crate) fn held(&self) -> usize {
        self.slab.held()
            + self.open.held()
            + self.metadata.held()
            + self.symbols.held()
            + self.all.heap()
            + (self.pages.len() - self.vacant.len()) * (size_of::<Series>() << PAGE_BITS)
            + self.extents.len() * (EXTENT * 4 + 32)
            + self.ooo.held()
    }
}

/// See [`ShardData::finder`].
pub(crate) struct Finder<'a> {
    shard: &'a ShardData,
    extent: u32,
    slots: Option<&'a [u32; EXTENT]>,
}

impl Finder<'_> {
    #[inline]
    pub(crate) fn slot(&mut self, id: u32) -> Option<u32> {
        if id >> EXTENT_BITS != self.extent {
            self.extent = id >> EXTENT_BITS;
            self.slots = self.shard.extents.get(&self.extent).map(|e| &*e.slots);
        }
        self.slots.map(|slots| slots[id as usize % EXTENT]).filter(|&slot| slot != NO_SLOT)
    }
}

fn put_pair(bytes: &mut [u8], mut pair: u32) -> usize {
    let mut len = 0;
    while pair >= 0x80 {
        bytes[len] = pair as u8 | 0x80;
        pair >>= 7;
        len += 1;
    }
    bytes[len] = pair as u8;
    len + 1
}

#[inline]
fn get_pair(bytes: &[u8], at: &mut usize) -> u32 {
    let (mut pair, mut shift) = (0, 0);
    while let Some(&b) = bytes.get(*at) {
        *at += 1;
        pair |= u32::from(b & 0x7f) << shift;
        if b < 0x80 {
            break;
        }
        shift += 7;
    }
    pair
}
