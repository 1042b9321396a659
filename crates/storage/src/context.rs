//! What a query carries with it through every layer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use model::Labels;

use crate::budget::{MemoryAccount, MemoryStage};

/// What a sample that a query holds takes in memory, in bytes: time, value, and their share of vectors that grow.
const BYTES_PER_SAMPLE: u64 = 24;

/// What labels take in memory, in bytes.
#[must_use]
pub fn labels_size(labels: &Labels) -> u64 {
    (labels.as_bytes().len() + size_of::<Labels>() + ALLOCATION) as u64
}

/// What an allocation takes besides its bytes, about.
const ALLOCATION: usize = 24;

/// Deadline, cancellation and limits of one query. Shared by the threads that work on it.
#[derive(Debug, Default)]
pub struct QueryContext {
    deadline: Option<Instant>,
    /// 0 = none.
    max_samples: u64,
    cancelled: AtomicBool,
    samples: AtomicU64,
    /// Accounted by [`hold_bytes`](Self::hold_bytes).
    bytes: AtomicU64,
    memory: Option<MemoryAccount>,
    warnings: Warnings,
}

/// What is wrong with an answer, for whoever asked: a store that lost a part of the data says so here. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Warnings(Arc<Mutex<BTreeSet<String>>>);

impl Warnings {
    /// Equal texts are kept once.
    pub fn add(&self, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    }

    /// In order of their texts.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
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
    /// The process has no memory left for what the query would hold.
    #[error("query was stopped because the memory limit (--memory.limit) is nearly reached")]
    OutOfMemory,
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
        QueryContext {
            deadline,
            max_samples,
            cancelled: AtomicBool::new(false),
            samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            memory: None,
            warnings: Warnings::default(),
        }
    }

    /// Where stores say what is wrong with their answers.
    #[must_use]
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Accounts what the query holds.
    #[must_use]
    pub fn with_memory(mut self, account: MemoryAccount) -> Self {
        self.memory = Some(account);
        self
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
            _ => self.check_memory(),
        }
    }

    fn check_memory(&self) -> Result<(), Interrupted> {
        match &self.memory {
            Some(memory) if memory.budget().stage() >= MemoryStage::RefuseSeries => {
                Err(Interrupted::OutOfMemory)
            }
            _ => Ok(()),
        }
    }

    /// Whether `n` bytes could ever be held: to be asked before a single piece of that size is allocated.
    #[must_use]
    pub fn has_room_for(&self, n: u64) -> bool {
        let limit = self.memory.as_ref().map_or(0, |memory| memory.budget().limit());
        limit == 0 || n < limit
    }

    /// Accounts `n` bytes that the query holds until it ends and that are not samples: labels, copies of chunks.
    ///
    /// # Errors
    /// When there is no memory for that.
    pub fn hold_bytes(&self, n: u64) -> Result<(), Interrupted> {
        let Some(memory) = &self.memory else { return Ok(()) };
        self.bytes.fetch_add(n, Ordering::Relaxed);
        memory.add(n);
        self.check_memory()
    }

    /// Accounts `n` samples that are now held in memory.
    ///
    /// # Errors
    /// When that exceeds a limit.
    pub fn hold(&self, n: u64) -> Result<(), Interrupted> {
        let now = self.samples.fetch_add(n, Ordering::Relaxed) + n;
        if let Some(memory) = &self.memory {
            memory.add(n.saturating_mul(BYTES_PER_SAMPLE));
        }
        if self.max_samples > 0 && now > self.max_samples {
            return Err(Interrupted::TooManySamples);
        }
        if n > 0 { self.check_memory() } else { Ok(()) }
    }

    /// Gives back `n` samples accounted by [`hold`](Self::hold).
    pub fn release(&self, n: u64) {
        self.samples.fetch_sub(n, Ordering::Relaxed);
        if let Some(memory) = &self.memory {
            memory.sub(n.saturating_mul(BYTES_PER_SAMPLE));
        }
    }
}

impl Drop for QueryContext {
    /// What a query that failed did not give back.
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            let samples = self.samples.load(Ordering::Relaxed).saturating_mul(BYTES_PER_SAMPLE);
            memory.sub(samples.saturating_add(self.bytes.load(Ordering::Relaxed)));
        }
    }
}
