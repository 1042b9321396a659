//! The series of an agent: labels as numbers of a table, and the time of the newest sample.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::{Affinity, AppendError, MemoryStage, Resolved, SeriesRef};

use super::Agent;
use crate::lookup::{self, Location, MAX_SLOTS};
use crate::newest::Newest;
use crate::shard::ShardData;
use crate::wal::Packed;

/// A series notes the number of its labels in a byte.
const MAX_LABELS: usize = 255;
/// What a new series is taken to cost until memory is measured again.
const BYTES_PER_SERIES: u64 = 150;

/// Stands for the time of a sample where there was none yet.
pub(super) const NO_TIME: i64 = i64::MIN;

/// A part of the series, under locks of its own. `order` is held from checking samples until they are in the log and
/// their times are noted; several shards are locked in ascending order.
pub(super) struct Shard {
    pub(super) order: Mutex<()>,
    pub(super) data: RwLock<Data>,
}

/// See [`Shard`].
pub(super) struct Data {
    /// The head's table of series, without index and chunks.
    pub(super) table: ShardData,
    /// Time of the newest sample, by slot.
    pub(super) newest: Vec<i64>,
}

impl Shard {
    pub(super) fn new(index: usize, seed: u64) -> Self {
        let table = ShardData::new(index, seed, Arc::new(Newest::default()));
        Shard { order: Mutex::new(()), data: RwLock::new(Data { table, newest: Vec::new() }) }
    }
}

impl Data {
    /// Creates a series; `None` when memory for its labels is refused.
    pub(super) fn create(&mut self, id: u32, labels: &Labels) -> Option<u32> {
        let slot = self.table.create(id, labels)?;
        let at = slot as usize;
        if at >= self.newest.len() {
            self.newest.resize(at + 1, NO_TIME);
        }
        self.newest[at] = NO_TIME;
        Some(slot)
    }

    /// The series has a sample at `t`.
    #[inline]
    pub(super) fn note(&mut self, slot: u32, t: i64) {
        if let Some(newest) = self.newest.get_mut(slot as usize) {
            *newest = t.max(*newest);
        }
    }

    #[inline]
    pub(super) fn newest(&self, slot: u32) -> i64 {
        self.newest.get(slot as usize).copied().unwrap_or(NO_TIME)
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        self.table.held() + self.newest.capacity() * size_of::<i64>()
    }
}

impl Agent {
    pub(super) fn hash(&self, labels: &Labels) -> u64 {
        lookup::hash(&self.hasher, labels)
    }

    /// The series of these labels, if there is one.
    pub(super) fn find(&self, hash: u64, labels: &Labels) -> Option<u64> {
        let mut id = 0;
        let at = self.lookup.find(hash, |at| self.is_at(at, labels, &mut id))?;
        Some(self.refs.reference(at.shard(), id))
    }

    fn is_at(&self, at: Location, labels: &Labels, id: &mut u32) -> bool {
        let data = self.shards[at.shard()].data.read();
        let found = data.table.has_labels(at.slot(), labels);
        if found {
            *id = data.table.series(at.slot()).id;
        }
        found
    }

    pub(super) fn resolve_within(
        &self,
        affinity: Affinity,
        labels: &Labels,
        limited: bool,
    ) -> Result<Resolved, AppendError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(AppendError::Closed);
        }
        let hash = self.hash(labels);
        if let Some(reference) = self.find(hash, labels) {
            return Ok(Resolved { series: SeriesRef(reference), created: false });
        }
        let mut piece = self.lookup.lock(hash);
        let mut id = 0;
        if let Some(at) = piece.find(|at| self.is_at(at, labels, &mut id)) {
            return Ok(Resolved { series: SeriesRef(self.refs.reference(at.shard(), id)), created: false });
        }
        self.check_limits(labels, limited)?;
        let index = self.shard_for(affinity);
        let mut data = self.shards[index].data.write();
        let id = data.table.next_id;
        let full = data.table.live() as u32 >= MAX_SLOTS - 1;
        let Some(slot) = (!full).then(|| data.create(id, labels)).flatten() else {
            return Err(AppendError::SeriesLimit("the memory of a shard of the agent is full".into()));
        };
        data.table.next_id += 1;
        let reference = self.refs.reference(index, id);
        let many = self.wal.note_series(reference, labels);
        drop(data);
        piece.insert(Location::new(index, slot));
        drop(piece);
        if many {
            // Should that fail, they keep waiting, and the next batch reports it.
            let _ = self.wal.commit(&Packed::default());
        }
        let series = self.series.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.active_series.set(series as f64);
        self.memory.add(BYTES_PER_SERIES);
        Ok(Resolved { series: SeriesRef(reference), created: true })
    }

    fn check_limits(&self, labels: &Labels, limited: bool) -> Result<(), AppendError> {
        if labels.len() > MAX_LABELS {
            let count = labels.len();
            return Err(AppendError::SeriesLimit(format!(
                "a series may have {MAX_LABELS} labels, this one has {count}"
            )));
        }
        if limited && self.memory.budget().stage() >= MemoryStage::RefuseSeries {
            return Err(AppendError::SeriesLimit(
                "memory is nearly used up (--memory.limit): no series are created".into(),
            ));
        }
        Ok(())
    }

    /// The shard of new series of `affinity`: those that are written together shall lie together.
    fn shard_for(&self, affinity: Affinity) -> usize {
        let spread = affinity.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        spread as usize & (self.shards.len() - 1)
    }
}
