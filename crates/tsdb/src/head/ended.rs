//! Series that have ended: moving them out of memory before the block that is cut of all of them.

use std::io;
use std::sync::atomic::Ordering;

use super::Head;
use crate::shard::ShardData;
use crate::wal::Packed;
use crate::wal::record::push_tombstone;

/// Series looked at under one lock.
const STEP: usize = 4096;

/// Series whose newest sample was a staleness marker at some moment.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// By shard: id and time of the newest sample, in order of id.
    shards: Vec<Vec<(u32, i64)>>,
}

impl Ended {
    pub(crate) fn contains(&self, shard: usize, id: u32) -> bool {
        self.shards.get(shard).is_some_and(|ids| ids.binary_search_by_key(&id, |(id, _)| *id).is_ok())
    }
}

/// When the series ended, if it has.
fn end_of(data: &ShardData, slot: u32) -> Option<i64> {
    // What came out of order is cut into blocks of its own, and the series is needed until then.
    if !data.is_live(slot) || data.ooo.get(slot).is_some() {
        return None;
    }
    if data.has_ended(slot) { data.last_time(slot) } else { None }
}

impl Head {
    /// How many series have ended.
    pub(crate) fn ended_count(&self) -> usize {
        self.newest.ended()
    }

    /// Series that have ended, about `most` of them if there are more.
    pub(crate) fn ended(&self, most: usize) -> Ended {
        let most = most.div_ceil(self.shards.len());
        let of_shard = |shard: &crate::shard::Shard| {
            let mut ids = Vec::new();
            let mut at = 0;
            loop {
                let data = shard.data.read();
                let end = (at + STEP as u32).min(data.slot_count());
                if at >= end {
                    break;
                }
                ids.extend(
                    (at..end).filter_map(|slot| end_of(&data, slot).map(|end| (data.series(slot).id, end))),
                );
                at = end;
            }
            ids.sort_unstable();
            ids.truncate(most);
            ids
        };
        Ended { shards: self.shards.iter().map(of_shard).collect() }
    }

    /// Drops those of the series that have got no samples since, because blocks have them; answers how many. The log
    /// says so as Prometheus' does: by a deletion of all times.
    pub(crate) fn drop_ended(&self, ended: &Ended) -> io::Result<usize> {
        let before = self.series.load(Ordering::Relaxed);
        {
            let _one = self.maintaining.lock();
            for (shard, ids) in ended.shards.iter().enumerate() {
                for some in ids.chunks(STEP) {
                    self.drop_some(shard, some)?;
                }
            }
        }
        self.truncate(self.let_go_before.load(Ordering::Relaxed))?;
        Ok(before.saturating_sub(self.series.load(Ordering::Relaxed)))
    }

    fn drop_some(&self, index: usize, ids: &[(u32, i64)]) -> io::Result<()> {
        let shard = &self.shards[index];
        // Held to the end: in the log no sample may come after the deletion.
        let _order = shard.order.lock();
        let mut dead: Vec<(u32, u64)> = Vec::new();
        let mut record = Vec::new();
        {
            let data = shard.data.read();
            for &(id, end) in ids {
                let Some(slot) = data.slot_of(id).filter(|&slot| end_of(&data, slot) == Some(end)) else {
                    continue;
                };
                push_tombstone(&mut record, self.refs.reference(index, id), i64::MIN, i64::MAX);
                dead.push((slot, self.hash(&data.labels(slot))));
            }
        }
        if dead.is_empty() {
            return Ok(());
        }
        let mut packed = Packed::default();
        packed.add(self.wal.compression(), &record)?;
        self.wal.commit(&packed)?;
        let dropped: usize = {
            let mut data = shard.data.write();
            dead.iter().map(|&(slot, _)| data.drop_before(slot, i64::MAX)).sum()
        };
        self.chunks.fetch_sub(dropped, Ordering::Relaxed);
        self.metrics.chunks_removed.add(dropped as f64);
        self.remove_series(index, &dead);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use exposition::Registry;
    use model::{Labels, STALE_NAN};
    use storage::{Affinity, Append, Batch, BatchSample, Outcome};

    use super::super::HeadOptions;
    use super::*;

    fn append(head: &Head, name: &str, t: i64, v: f64) {
        let labels = Labels::from_pairs([("__name__", name)]);
        let series = head.resolve(Affinity(0), &labels).unwrap().series;
        let batch = Batch { samples: vec![BatchSample { series, t, v }], ..Batch::default() };
        head.append(&batch, &mut Outcome::default()).unwrap();
    }

    /// A cut that failed leaves the head frozen up to its end, but with all that it has.
    #[test]
    fn dropping_what_has_ended_drops_nothing_that_is_still_to_be_cut() {
        let dir = tempfile::tempdir().unwrap();
        let head = Head::open(dir.path(), HeadOptions::default(), &Registry::new()).unwrap();
        append(&head, "old", 1_000, 1.0);
        append(&head, "ended", 2_000, STALE_NAN);
        append(&head, "new", 9_000, 1.0);
        head.freeze_before(5_000);
        assert_eq!(head.drop_ended(&head.ended(10)).unwrap(), 1);
        assert_eq!(head.time_range(), Some((1_000, 9_000)));
    }
}
