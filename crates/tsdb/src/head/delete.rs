//! Deleting samples: noted per series and applied when reading, until the chunks themselves go.

use std::io;
use std::sync::atomic::Ordering;

use block::Interval;
use model::Matcher;
use storage::{QueryContext, SelectError};

use super::Head;
use super::matching::matching;
use super::select::slots;
use crate::ooo::Stone;
use crate::wal::Packed;
use crate::wal::record::push_tombstone;

/// Why samples could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The series could not be found.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The log could not be written.
    #[error("write-ahead log: {0}")]
    Log(#[from] io::Error),
}

impl Head {
    /// Deletes the samples from `min_time` to `max_time` (both inclusive, in milliseconds) of the series that match,
    /// and says of how many series that was. Samples that
    /// are newer than all that the series has now are there; those that come late, into the range, are deleted with it.
    ///
    /// # Errors
    /// When the query has to stop or the log cannot be written: some series may have lost their samples by then.
    pub fn delete(
        &self,
        ctx: &QueryContext,
        matchers: &[Matcher],
        min_time: i64,
        max_time: i64,
    ) -> Result<usize, DeleteError> {
        let mut count = 0;
        for (index, shard) in self.shards.iter().enumerate() {
            ctx.check().map_err(SelectError::from)?;
            // What is appended meanwhile must not come between looking at a series' times and noting the deletion.
            let _order = shard.order.lock();
            let mut stones: Vec<(u32, Interval)> = Vec::new();
            let mut late: Vec<(u32, Stone)> = Vec::new();
            let (mut record, mut late_record) = (Vec::new(), Vec::new());
            let mut found = 0;
            {
                let data = shard.data.read();
                let ids = matching(ctx, &data, matchers)?;
                for slot in slots(&data, &ids) {
                    let reference = self.refs.reference(index, data.series(slot).id);
                    let in_order = data.first_time(slot).zip(data.last_time(slot));
                    let in_order = in_order.map(|(first, last)| Interval {
                        min_time: min_time.max(first),
                        max_time: max_time.min(last),
                    });
                    let in_order = in_order.filter(|stone| stone.min_time <= stone.max_time);
                    let out_of_order = data.ooo.stone(slot, Interval { min_time, max_time });
                    found += usize::from(in_order.is_some() || out_of_order.is_some());
                    if let Some(stone) = in_order {
                        push_tombstone(&mut record, reference, stone.min_time, stone.max_time);
                        stones.push((slot, stone));
                    }
                    if let Some(stone) = out_of_order {
                        stone.push(&mut late_record, reference, true);
                        late.push((slot, stone));
                    }
                }
            }
            let mut packed = Packed::default();
            packed.add(self.wal.compression(), &record)?;
            if !packed.is_empty() {
                self.wal.commit(&packed)?;
                let mut data = shard.data.write();
                for (slot, stone) in &stones {
                    data.deleted.entry(*slot).or_default().add(*stone);
                }
            }
            if !late.is_empty() {
                self.ooo.log_deletions(&late_record)?;
                let mut data = shard.data.write();
                let dropped: usize = late.iter().map(|&(slot, stone)| data.ooo.delete(slot, stone)).sum();
                self.chunks.fetch_sub(dropped, Ordering::Relaxed);
                self.metrics.chunks_removed.add(dropped as f64);
            }
            count += found;
        }
        Ok(count)
    }
}
