//! Whether a sample that has no place in order is taken all the same.

use std::sync::atomic::Ordering;

use storage::Rejection;

use super::OutOfOrder;

/// What the samples of one batch are measured by: the state of the head when the batch came.
pub(crate) struct Limits<'a> {
    /// Older ones have no place in order.
    pub(crate) min_valid: i64,
    /// The newest sample in order of the head.
    newest: i64,
    window: i64,
    ooo: &'a OutOfOrder,
}

impl OutOfOrder {
    pub(crate) fn limits(&self, min_valid: i64, newest: i64) -> Limits<'_> {
        Limits { min_valid, newest, window: self.window.load(Ordering::Relaxed), ooo: self }
    }
}

impl Limits<'_> {
    /// Whether a sample is taken that in order was refused for the reason given; otherwise the reason that is told.
    pub(crate) fn late(&self, t: i64, in_order: Rejection) -> Result<(), Rejection> {
        if !matches!(in_order, Rejection::OutOfOrder | Rejection::OutOfBounds) {
            return Err(in_order);
        }
        if self.window == 0 && in_order == Rejection::OutOfBounds {
            return Err(in_order);
        }
        let delta = self.newest.saturating_sub(t);
        if delta > 0 {
            self.ooo.metrics.delta.observe(delta as f64 / 1000.0);
        }
        if self.window == 0 {
            Err(in_order)
        } else if t >= self.newest.saturating_sub(self.window) {
            Ok(())
        } else {
            Err(Rejection::TooOld)
        }
    }
}
