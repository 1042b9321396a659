//! Who may still look at series that were removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts readers by the epoch in which they came.
#[derive(Debug, Default, Clone)]
pub(crate) struct Epochs(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: u64,
    readers: BTreeMap<u64, usize>,
}

/// A reader; while it lives, nothing that it may have seen is freed.
#[derive(Debug)]
pub(crate) struct Reader {
    epochs: Epochs,
    epoch: u64,
}

impl Epochs {
    pub(crate) fn enter(&self) -> Arc<Reader> {
        let mut state = self.0.lock();
        let epoch = state.now;
        *state.readers.entry(epoch).or_default() += 1;
        Arc::new(Reader { epochs: self.clone(), epoch })
    }

    /// The epoch to note beside what is removed now.
    pub(crate) fn now(&self) -> u64 {
        self.0.lock().now
    }

    /// Ends the epoch: readers that come from now on do not see what was removed in it.
    pub(crate) fn advance(&self) {
        self.0.lock().now += 1;
    }

    /// What was removed before this epoch is seen by nobody.
    pub(crate) fn unseen_before(&self) -> u64 {
        let state = self.0.lock();
        state.readers.keys().next().copied().unwrap_or(state.now)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.epochs.0.lock();
        if let Some(count) = state.readers.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                state.readers.remove(&self.epoch);
            }
        }
    }
}
