//! Deleting samples: noted per series and applied when reading, until the chunks themselves go.

use std::io;

use block::Interval;
use model::Matcher;
use storage::{QueryContext, SelectError};

use super::Head;
use super::matching::matching;
use super::select::slots;
use crate::wal::Packed;
use crate::wal::record::push_in_order_tombstone;

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
    /// and says of how many series that was. Samples out of order stay: those that are there are to be cut into blocks and
    /// deleted from these first, and those that come later, even into the range, are there.
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
            let mut record = Vec::new();
            {
                let data = shard.data.read();
                let ids = matching(ctx, &data, matchers)?;
                for slot in slots(&data, &ids) {
                    let (Some(first), Some(last)) = (data.first_time(slot), data.last_time(slot)) else {
                        continue;
                    };
                    let stone = Interval { min_time: min_time.max(first), max_time: max_time.min(last) };
                    if stone.min_time <= stone.max_time {
                        let reference = self.refs.reference(index, data.series(slot).id);
                        push_in_order_tombstone(&mut record, reference, stone.min_time, stone.max_time);
                        stones.push((slot, stone));
                    }
                }
            }
            let mut packed = Packed::default();
            packed.add(self.wal.compression(), &record)?;
            if packed.is_empty() {
                continue;
            }
            self.wal.commit(&packed)?;
            let mut data = shard.data.write();
            for (slot, stone) in &stones {
                data.deleted.entry(*slot).or_default().in_order.add(*stone);
            }
            count += stones.len();
        }
        Ok(count)
    }
}
