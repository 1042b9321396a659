//! Writing samples.

use model::Labels;

/// A store's handle of a series: what a writer keeps instead of labels.
///
/// It stays valid until the store drops the series (no samples for longer than the head holds). Appending
/// through a handle that is gone is answered with [`Rejection::UnknownSeries`]: resolve the labels again.
/// A handle is never reused for other labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// Which series tend to be written together, normally a hash of the target. A store may lay them out side by
/// side; a batch whose series share one affinity is cheapest to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Affinity(pub u64);

/// Answer to [`Append::resolve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The handle.
    pub series: SeriesRef,
    /// Whether this call created the series.
    pub created: bool,
}

/// One sample of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchSample {
    /// Whose.
    pub series: SeriesRef,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value.
    pub v: f64,
}

/// Samples that become visible together. Reused by its owner: `clear` keeps the memory.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// In any order of series; samples of one series in order of time.
    pub samples: Vec<BatchSample>,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.samples.clear();
    }
}

/// Why one sample of a batch was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The handle is not, or no longer, known.
    UnknownSeries,
    /// Older than the series' newest sample.
    OutOfOrder,
    /// The series has another value at that time. (The same value again is no error.)
    Duplicate,
    /// Older than everything the store still accepts.
    TooOld,
    /// Outside of the time range that the store accepts.
    OutOfBounds,
}

/// What became of a batch. Reused by its owner.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// How many samples were stored.
    pub appended: usize,
    /// Index into the batch and reason of each sample that was not.
    pub rejected: Vec<(u32, Rejection)>,
}

/// Why a whole call failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A limit on series forbids creating this one; the text names limit and flag.
    #[error("{0}")]
    SeriesLimit(String),
    /// The log could not be written: nothing of the batch was stored.
    #[error("write-ahead log: {0}")]
    Log(#[source] std::io::Error),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// A store that takes samples. Calls from many threads at once are the normal case.
pub trait Append: Send + Sync {
    /// Finds the series of `labels`, creating it if need be.
    ///
    /// # Errors
    /// [`AppendError::SeriesLimit`] when it would have to be created and may not be.
    fn resolve(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError>;

    /// Stores a batch. When it returns, what was stored is in the log and survives the death of the process, and a
    /// reader sees all of it or (if it looked before) nothing of it. Samples that are refused do not keep the
    /// others out. `outcome` is overwritten.
    ///
    /// # Errors
    /// When nothing at all was stored.
    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError>;
}
