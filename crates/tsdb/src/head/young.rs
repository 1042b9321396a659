//! Taking samples while the log is still being replayed.
//!
//! Nothing is known yet of the series that the log has, so each gets a *temporary* reference, and samples go to the
//! log under it and nowhere else. All that is kept is a hash of each series' labels and its reference: about 20 bytes.
//! When the replay has read the old log it goes on with these records as it does with any others: [`super::foreign`]
//! finds which series a temporary reference stands for.
//!
//! A temporary reference has bit 39 set: the head's own are below, and Prometheus, which must be able to read the log,
//! takes no reference of more than 40 bits. Below follow 15 bits of the number of the first segment of this start,
//! so that several starts, each killed while it replayed, leave references that differ, and 24 bits that count up.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashTable;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::{AppendError, Batch, Outcome, Rejection, Resolved, SeriesRef};

use super::Head;
use crate::wal::record::SamplesEncoder;

/// Bit 39.
const TEMPORARY: u64 = 1 << 39;
const COUNTER_BITS: u32 = 24;
const SEGMENT_BITS: u32 = 15;
/// The table is split by some bits of the hash, so that growing copies a small piece at a time.
const PIECES: usize = 64;

/// Series that were seen since the start.
pub(super) struct Young {
    /// The references of this start are this plus a number from `next`.
    base: u64,
    next: AtomicU32,
    /// Two keyed hashes that nobody outside can aim at: 96 of their bits stand for the labels.
    hashers: [RandomState; 2],
    pieces: Box<[Mutex<HashTable<Entry>>]>,
}

struct Entry {
    hash: [u32; 3],
    number: u32,
}

/// The table takes its place and its tag from 64 bits.
fn place(hash: &[u32; 3]) -> u64 {
    u64::from(hash[0]) | u64::from(hash[1]) << 32
}

impl Young {
    /// `first_segment`: the log's first of this start.
    pub(super) fn new(first_segment: u32) -> Self {
        let start = u64::from(first_segment) & ((1 << SEGMENT_BITS) - 1);
        Young {
            base: TEMPORARY | start << COUNTER_BITS,
            next: AtomicU32::new(0),
            hashers: [RandomState::new(), RandomState::new()],
            pieces: (0..PIECES).map(|_| Mutex::default()).collect(),
        }
    }

    fn hash(&self, labels: &Labels) -> ([u32; 3], usize) {
        let [a, b] = [&self.hashers[0], &self.hashers[1]].map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write(labels.as_bytes());
            hasher.finish()
        });
        ([a as u32, (a >> 32) as u32, b as u32], (b >> 32) as usize % PIECES)
    }

    /// The reference that stands for `labels`. Of a new one the log is told through `note`, before anybody can use it;
    /// `None` when there are `most` already.
    fn resolve(&self, labels: &Labels, most: usize, note: impl FnOnce(u64)) -> Option<Resolved> {
        let (hash, piece) = self.hash(labels);
        let mut piece = self.pieces[piece].lock();
        let found = piece.find(place(&hash), |e| e.hash == hash).map(|e| e.number);
        if let Some(number) = found {
            return Some(Resolved { series: SeriesRef(self.base + u64::from(number)), created: false });
        }
        let take = |n: u32| ((n as usize) < most.min(1 << COUNTER_BITS)).then_some(n + 1);
        let number = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        let reference = self.base + u64::from(number);
        note(reference);
        piece.insert_unique(place(&hash), Entry { hash, number }, |e| place(&e.hash));
        Some(Resolved { series: SeriesRef(reference), created: true })
    }

    fn knows(&self, reference: u64) -> bool {
        reference.wrapping_sub(self.base) < u64::from(self.next.load(Ordering::Relaxed))
    }
}

/// What the head is while it replays: appends go through here, and wait while the two are joined.
pub(super) type YoungGate = RwLock<Option<Young>>;

/// Buffers of one append, reused.
#[derive(Default)]
pub(super) struct YoungScratch {
    record: SamplesEncoder,
    packed: Vec<u8>,
}

impl Head {
    /// [`resolve`](storage::Append::resolve) while the log is replayed; `None` once it was.
    pub(super) fn resolve_young(&self, labels: &Labels) -> Option<Result<Resolved, AppendError>> {
        let young = self.young.read();
        let young = young.as_ref()?;
        if let Err(refused) = self.check_limits(labels) {
            return Some(Err(refused));
        }
        let most = match self.options.max_series {
            0 => usize::MAX,
            max => max,
        };
        let mut many = false;
        let note = |reference| many = self.wal.note_series(reference, labels);
        let Some(resolved) = young.resolve(labels, most, note) else {
            self.metrics.series_refused.inc();
            let text = "too many series before the log is replayed: try again when it is";
            return Some(Err(AppendError::SeriesLimit(text.into())));
        };
        if many {
            // Should that fail, they keep waiting, and the next batch reports it.
            let _ = self.wal.commit(&[], crate::Compression::None);
        }
        Some(Ok(resolved))
    }

    /// [`append`](storage::Append::append) while the log is replayed; `None` once it was. Nothing can be compared with
    /// what the series have: samples that they would refuse are left out when the replay comes to them.
    pub(super) fn append_young(
        &self,
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> Option<Result<(), AppendError>> {
        let young = self.young.read();
        let young = young.as_ref()?;
        if self.is_closed() {
            return Some(Err(AppendError::Closed));
        }
        let mut scratch = YoungScratch::default();
        for (i, sample) in batch.samples.iter().enumerate() {
            if young.knows(sample.series.0) {
                scratch.record.push(sample.series.0, 0, sample.t, sample.v);
                outcome.appended += 1;
            } else {
                outcome.rejected.push((i as u32, Rejection::UnknownSeries));
            }
        }
        if outcome.appended == 0 {
            return Some(Ok(()));
        }
        let logged = self.log(&scratch.record.buf, &mut scratch.packed).map_err(AppendError::Log);
        match &logged {
            Ok(()) => self.metrics.samples_appended.add(outcome.appended as f64),
            Err(_) => outcome.clear(),
        }
        Some(logged)
    }

    fn log(&self, record: &[u8], packed: &mut Vec<u8>) -> std::io::Result<()> {
        let used = self.wal.compression().pack(record, packed)?;
        let stored = if used == crate::Compression::None { record } else { packed };
        self.metrics.wal.bytes_saved.add((record.len() - stored.len()) as f64);
        self.wal.commit(stored, used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(i: usize) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
    }

    #[test]
    fn labels_keep_their_reference_and_no_two_share_one() {
        let young = Young::new(3);
        let mut noted = Vec::new();
        let mut first = Vec::new();
        for i in 0..10_000 {
            let resolved = young.resolve(&named(i), usize::MAX, |r| noted.push(r)).unwrap();
            assert!(resolved.created);
            first.push(resolved.series.0);
        }
        assert_eq!(first, noted);
        assert!(first.windows(2).all(|w| w[0] < w[1]));
        for (i, &reference) in first.iter().enumerate() {
            let again = young.resolve(&named(i), usize::MAX, |_| panic!("noted twice")).unwrap();
            assert_eq!((again.series.0, again.created), (reference, false));
            assert!(young.knows(reference));
        }
        assert!(!young.knows(first[9_999] + 1));
        assert!(!young.knows(7));
    }

    #[test]
    fn references_of_two_starts_differ_and_fit_into_40_bits() {
        let reference = |segment| Young::new(segment).resolve(&named(0), 1, |_| {}).unwrap().series.0;
        assert_ne!(reference(4), reference(5));
        assert!(reference(u32::MAX) < 1 << 40);
    }

    #[test]
    fn no_more_series_than_allowed() {
        let young = Young::new(0);
        assert!(young.resolve(&named(0), 1, |_| {}).is_some());
        assert!(young.resolve(&named(1), 1, |_| {}).is_none());
        assert!(young.resolve(&named(0), 1, |_| {}).is_some());
    }
}
