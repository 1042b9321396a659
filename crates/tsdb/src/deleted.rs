//! What was deleted of a series of the head and is still in its chunks.

use block::{Interval, Intervals};

/// See the module.
#[derive(Debug, Default, Clone)]
pub(crate) struct Deleted {
    /// Of the samples that came in order: such as come later are newer.
    pub(crate) in_order: Intervals,
    /// Also of samples out of order. We cut those into blocks and delete them there, so that others can come. Prometheus takes
    /// those that are there when it starts for deleted ones until it cuts them, and what it has left is read as it reads it.
    pub(crate) late: Intervals,
}

impl Deleted {
    /// Takes in what the log says.
    pub(crate) fn replayed(&mut self, interval: Interval, in_order_only: bool) {
        self.in_order.add(interval);
        if !in_order_only {
            self.late.add(interval);
        }
    }

    /// Takes in what another series, which was the same one, has.
    pub(crate) fn join(&mut self, other: &Deleted) {
        other.in_order.iter().for_each(|interval| self.in_order.add(interval));
        other.late.iter().for_each(|interval| self.late.add(interval));
    }

    /// What is older is gone.
    pub(crate) fn truncate_before(&mut self, time: i64) {
        self.in_order.truncate_before(time);
        self.late.truncate_before(time);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// The stretches of time, and whether each is of samples in order only.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Interval, bool)> + '_ {
        self.in_order.iter().map(|i| (i, !self.late.overlaps(i.min_time, i.max_time)))
    }
}
