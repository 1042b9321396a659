//! Small byte buffers of changing size, packed into pages.
//!
//! Buffers longer than the largest class (closed histogram chunks, mostly) are allocated one by one.
//!
//! A page holds slots of one size class. When its last slot is freed the page goes back to a pool that all
//! classes share, so memory that one generation of chunks leaves behind (all series growing from 48 to 64 bytes
//! at about the same time) is there for the next. A buffer is named by 4 bytes; nothing is stored beside it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

const PAGE: usize = 16 * 1024;
/// Pages are allocated this many at a time (from the system: untouched ones are not resident).
const REGION_PAGES: usize = 64;
/// Unused pages that are kept for the next use.
const KEPT_PAGES: usize = 2 * REGION_PAGES;
/// Slots start at multiples of this.
const UNIT: usize = 8;
const PAGE_UNITS: u32 = (PAGE / UNIT) as u32;

/// Slot sizes, multiples of [`UNIT`]. Steps of about a fifth keep the slack of growing buffers near a tenth.
const CLASSES: [u16; 30] = [
    8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 152, 176, 208, 248, 296, 352, 416, 496, 592, 704,
    840, 1000, 1192, 1424, 1704, 2040, 4096,
];

/// Names a buffer of a [`Slab`]. 0 is never a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Addr(u32);

impl Addr {
    pub(crate) const NONE: Addr = Addr(0);

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Addr(bits)
    }

    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }
}

const NO_PAGE: u32 = u32::MAX;
const NO_SLOT: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Page {
    class: u8,
    live: u16,
    /// Head of the list of freed slots, in units; the next one is in the slot's first two bytes.
    free: u16,
    /// Slots from this unit on were never handed out.
    fresh: u16,
    /// Neighbours in the class's list of pages with room.
    prev: u32,
    next: u32,
}

/// The buffers of one shard.
pub(crate) struct Slab {
    regions: Vec<Box<[u8]>>,
    pages: Vec<Page>,
    /// First page with room, per class.
    open: [u32; CLASSES.len()],
    /// Pages that belong to no class; the lowest is used first, so that the last regions become empty.
    pool: BinaryHeap<Reverse<u32>>,
    /// Pages of each region that are in the pool.
    pooled: Vec<u16>,
    /// Regions that were given back to the system.
    returned: Vec<u32>,
    /// Buffers of more than a slot; unused places are empty.
    long: Vec<Box<[u8]>>,
    unused_long: Vec<u32>,
}

/// Marks the address of a long buffer; the other bits are its place.
const LONG: u32 = 1 << 31;
/// Nothing that is kept is longer.
const MAX_LONG: usize = 1 << 24;

fn class_of(len: usize) -> Option<usize> {
    let class = CLASSES.partition_point(|&size| usize::from(size) < len);
    (class < CLASSES.len()).then_some(class)
}

impl Slab {
    pub(crate) fn new() -> Self {
        Slab {
            regions: Vec::new(),
            pages: Vec::new(),
            open: [NO_PAGE; CLASSES.len()],
            pool: BinaryHeap::new(),
            pooled: Vec::new(),
            returned: Vec::new(),
            long: Vec::new(),
            unused_long: Vec::new(),
        }
    }

    /// Hands out a buffer of at least `len` bytes, of any content. `None` when `len` is above 16 MiB
    /// or the slab is full (16 GiB).
    pub(crate) fn alloc(&mut self, len: usize) -> Option<Addr> {
        let Some(class) = class_of(len) else { return self.alloc_long(len) };
        if self.open[class] == NO_PAGE {
            let index = self.take_page()?;
            self.pages[index as usize] =
                Page { class: class as u8, live: 0, free: NO_SLOT, fresh: 0, prev: NO_PAGE, next: NO_PAGE };
            // Unit 0 of page 0 would be address 0.
            if index == 0 {
                self.pages[0].fresh = CLASSES[class] / UNIT as u16;
            }
            self.open[class] = index;
        }
        let index = self.open[class];
        let size = usize::from(CLASSES[class]);
        let page = &mut self.pages[index as usize];
        let unit = if page.free == NO_SLOT {
            let unit = page.fresh;
            page.fresh += (size / UNIT) as u16;
            unit
        } else {
            let unit = page.free;
            let at = index as usize % REGION_PAGES * PAGE + usize::from(unit) * UNIT;
            let slot = &self.regions[index as usize / REGION_PAGES][at..at + 2];
            page.free = u16::from_le_bytes([slot[0], slot[1]]);
            unit
        };
        page.live += 1;
        if page.free == NO_SLOT && usize::from(page.fresh) * UNIT + size > PAGE {
            self.unlink(index);
        }
        Some(Addr(index * PAGE_UNITS + u32::from(unit)))
    }

    #[cold]
    fn alloc_long(&mut self, len: usize) -> Option<Addr> {
        if len > MAX_LONG {
            return None;
        }
        let buffer = vec![0; len].into_boxed_slice();
        let place = match self.unused_long.pop() {
            Some(place) => {
                self.long[place as usize] = buffer;
                place
            }
            None => {
                self.long.push(buffer);
                u32::try_from(self.long.len() - 1).ok().filter(|place| *place < LONG)?
            }
        };
        Some(Addr(LONG | place))
    }

    /// Takes a buffer back.
    pub(crate) fn free(&mut self, addr: Addr) {
        if addr.is_none() {
            return;
        }
        if addr.0 & LONG != 0 {
            self.long[(addr.0 & !LONG) as usize] = Box::default();
            self.unused_long.push(addr.0 & !LONG);
            return;
        }
        let index = addr.0 / PAGE_UNITS;
        let unit = (addr.0 % PAGE_UNITS) as u16;
        let page = self.pages[index as usize];
        let size = usize::from(CLASSES[usize::from(page.class)]);
        let was_full = page.free == NO_SLOT && usize::from(page.fresh) * UNIT + size > PAGE;
        self.bytes_mut(addr)[..2].copy_from_slice(&page.free.to_le_bytes());
        let page = &mut self.pages[index as usize];
        page.free = unit;
        page.live -= 1;
        if page.live == 0 {
            if !was_full {
                self.unlink(index);
            }
            self.give_page(index);
        } else if was_full {
            self.link(index);
        }
    }

    /// The buffer: as long as its size class, which may be more than was asked for.
    #[inline]
    pub(crate) fn bytes(&self, addr: Addr) -> &[u8] {
        if addr.0 & LONG != 0 {
            return &self.long[(addr.0 & !LONG) as usize];
        }
        let (region, at, size) = self.locate(addr);
        &self.regions[region][at..at + size]
    }

    /// As [`bytes`](Self::bytes); [`Addr::NONE`] is no bytes.
    pub(crate) fn bytes_or_empty(&self, addr: Addr) -> &[u8] {
        if addr.is_none() { &[] } else { self.bytes(addr) }
    }

    /// As [`bytes`](Self::bytes), to write.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, addr: Addr) -> &mut [u8] {
        if addr.0 & LONG != 0 {
            return &mut self.long[(addr.0 & !LONG) as usize];
        }
        let (region, at, size) = self.locate(addr);
        &mut self.regions[region][at..at + size]
    }

    /// Moves the first `keep` bytes into a buffer of at least `len` bytes.
    pub(crate) fn grow(&mut self, addr: Addr, keep: usize, len: usize) -> Option<Addr> {
        let bigger = self.alloc(len)?;
        if (addr.0 | bigger.0) & LONG != 0 {
            let kept = self.bytes(addr)[..keep].to_vec();
            self.bytes_mut(bigger)[..keep].copy_from_slice(&kept);
            self.free(addr);
            return Some(bigger);
        }
        let (from_region, from, _) = self.locate(addr);
        let (to_region, to, _) = self.locate(bigger);
        if from_region == to_region {
            self.regions[from_region].copy_within(from..from + keep, to);
        } else if let Ok([a, b]) = self.regions.get_disjoint_mut([from_region, to_region]) {
            b[to..to + keep].copy_from_slice(&a[from..from + keep]);
        }
        self.free(addr);
        Some(bigger)
    }

    /// Bytes of memory held, used or not.
    pub(crate) fn held(&self) -> usize {
        (self.regions.len() - self.returned.len()) * REGION_PAGES * PAGE
            + self.pages.capacity() * size_of::<Page>()
            + self.long.iter().map(|buffer| size_of::<Box<[u8]>>() + buffer.len()).sum::<usize>()
    }

    #[inline]
    fn locate(&self, addr: Addr) -> (usize, usize, usize) {
        let index = (addr.0 / PAGE_UNITS) as usize;
        let size = usize::from(CLASSES[usize::from(self.pages[index].class)]);
        (index / REGION_PAGES, index % REGION_PAGES * PAGE + (addr.0 % PAGE_UNITS) as usize * UNIT, size)
    }

    fn take_page(&mut self) -> Option<u32> {
        if self.pool.is_empty()
            && let Some(region) = self.returned.pop()
        {
            self.regions[region as usize] = vec![0; REGION_PAGES * PAGE].into_boxed_slice();
            let first = region * REGION_PAGES as u32;
            self.pool.extend((first..first + REGION_PAGES as u32).map(Reverse));
            self.pooled[region as usize] = REGION_PAGES as u16;
        }
        if let Some(Reverse(index)) = self.pool.pop() {
            self.pooled[index as usize / REGION_PAGES] -= 1;
            return Some(index);
        }
        let index = self.pages.len();
        if index as u64 * u64::from(PAGE_UNITS) > u64::from(LONG - PAGE_UNITS) {
            return None;
        }
        if index.is_multiple_of(REGION_PAGES) {
            self.regions.push(vec![0; REGION_PAGES * PAGE].into_boxed_slice());
            self.pooled.push(0);
        }
        self.pages.push(Page { class: 0, live: 0, free: NO_SLOT, fresh: 0, prev: NO_PAGE, next: NO_PAGE });
        Some(index as u32)
    }

    /// Takes a page into the pool. A region of which all pages are there goes back to the system, unless the pool is
    /// small: the chunks of most series are cut at about the same time, and leave half of the memory unused.
    fn give_page(&mut self, index: u32) {
        let region = index as usize / REGION_PAGES;
        self.pool.push(Reverse(index));
        self.pooled[region] += 1;
        if usize::from(self.pooled[region]) == REGION_PAGES && self.pool.len() >= KEPT_PAGES {
            self.pool.retain(|page| page.0 as usize / REGION_PAGES != region);
            self.pooled[region] = 0;
            self.regions[region] = Box::default();
            self.returned.push(region as u32);
        }
    }

    fn link(&mut self, index: u32) {
        let class = usize::from(self.pages[index as usize].class);
        let next = self.open[class];
        self.pages[index as usize].prev = NO_PAGE;
        self.pages[index as usize].next = next;
        if next != NO_PAGE {
            self.pages[next as usize].prev = index;
        }
        self.open[class] = index;
    }

    fn unlink(&mut self, index: u32) {
        let Page { class, prev, next, .. } = self.pages[index as usize];
        match prev {
            NO_PAGE => self.open[usize::from(class)] = next,
            prev => self.pages[prev as usize].next = next,
        }
        if next != NO_PAGE {
            self.pages[next as usize].prev = prev;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buffers_do_not_overlap_and_keep_their_bytes(ops in prop::collection::vec((0u8..4, prop_oneof![1usize..1500, 4000usize..9000], any::<u8>()), 1..120)) {
            let mut slab = Slab::new();
            let mut live: Vec<(Addr, usize, u8)> = Vec::new();
            for (op, len, fill) in ops {
                match op {
                    0 if !live.is_empty() => {
                        let (addr, ..) = live.swap_remove(len % live.len());
                        slab.free(addr);
                    }
                    1 if !live.is_empty() => {
                        let i = len % live.len();
                        let (addr, old, fill) = live[i];
                        let addr = slab.grow(addr, old, old.max(len)).unwrap();
                        slab.bytes_mut(addr)[..old.max(len)].fill(fill);
                        live[i] = (addr, old.max(len), fill);
                    }
                    _ => {
                        let addr = slab.alloc(len).unwrap();
                        prop_assert!(!addr.is_none());
                        slab.bytes_mut(addr)[..len].fill(fill);
                        live.push((addr, len, fill));
                    }
                }
                for &(addr, len, fill) in &live {
                    prop_assert!(slab.bytes(addr)[..len].iter().all(|&b| b == fill));
                }
            }
        }
    }

    #[test]
    fn unused_memory_goes_back_and_comes_again() {
        let mut slab = Slab::new();
        let keep: Vec<Addr> = (0..1000).map(|_| slab.alloc(40).unwrap()).collect();
        keep.iter().for_each(|&addr| slab.bytes_mut(addr).fill(7));
        for _ in 0..3 {
            let many: Vec<Addr> = (0..50_000).map(|_| slab.alloc(400).unwrap()).collect();
            many.iter().for_each(|&addr| slab.bytes_mut(addr).fill(9));
            let full = slab.held();
            many.into_iter().for_each(|addr| slab.free(addr));
            assert!(slab.held() < full / 4, "{} of {full}", slab.held());
        }
        assert!(keep.iter().all(|&addr| slab.bytes(addr).iter().all(|&b| b == 7)));
    }

    #[test]
    fn memory_of_one_size_serves_another() {
        let mut slab = Slab::new();
        let small: Vec<Addr> = (0..100_000).map(|_| slab.alloc(48).unwrap()).collect();
        let held = slab.held();
        small.into_iter().for_each(|addr| slab.free(addr));
        for _ in 0..60_000 {
            slab.alloc(72).unwrap();
        }
        assert!(slab.held() <= held);
        assert_eq!(slab.alloc(MAX_LONG + 1), None);
    }
}
