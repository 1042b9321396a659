//! What a query carries with it through every layer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Deadline, cancellation and limits of one query. Shared by the threads that work on it.
#[derive(Debug, Default)]
pub struct QueryContext {
    deadline: Option<Instant>,
    /// 0 = none.
    max_samples: u64,
    cancelled: AtomicBool,
    samples: AtomicU64,
}

/// Why a query has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The deadline has passed.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The caller has gone.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// More samples would be held at once than is allowed.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
}

impl QueryContext {
    /// A context without deadline and limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// A context that ends at `deadline` and allows `max_samples` samples in memory (0: any number).
    #[must_use]
    pub fn new(deadline: Option<Instant>, max_samples: u64) -> Self {
        QueryContext { deadline, max_samples, ..Self::default() }
    }

    /// Asks the query to stop at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// To be called now and then in long loops.
    ///
    /// # Errors
    /// When the query has to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Interrupted::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Interrupted::Timeout),
            _ => Ok(()),
        }
    }

    /// Accounts `n` samples that are now held in memory.
    ///
    /// # Errors
    /// When that exceeds the limit.
    pub fn hold(&self, n: u64) -> Result<(), Interrupted> {
        let now = self.samples.fetch_add(n, Ordering::Relaxed) + n;
        if self.max_samples > 0 && now > self.max_samples { Err(Interrupted::TooManySamples) } else { Ok(()) }
    }

    /// Gives back `n` samples accounted by [`hold`](Self::hold).
    pub fn release(&self, n: u64) {
        self.samples.fetch_sub(n, Ordering::Relaxed);
    }
}
