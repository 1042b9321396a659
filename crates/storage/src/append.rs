//! Writing samples.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use model::Labels;
use model::histogram::HistogramValue;

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

impl Affinity {
    /// That of samples which are pushed: series of one target, as `job` and `instance` tell it, lie side by side.
    #[must_use]
    pub fn of_target(labels: &Labels) -> Self {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        for name in ["job", "instance"] {
            hasher.write(labels.value(name).as_bytes());
        }
        Affinity(hasher.finish())
    }
}

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

/// A native histogram of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchHistogram {
    /// Whose.
    pub series: SeriesRef,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// When the counting began, in milliseconds since the Unix epoch; 0 when that is not known.
    pub start_time: i64,
    /// The value.
    pub value: HistogramValue,
}

/// An exemplar of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchExemplar {
    /// The series that it is an example of.
    pub series: SeriesRef,
    /// The exemplar's own labels.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// Whether the source gave the time; else `t` is when it was read, and the same exemplar read again is no news.
    pub timed: bool,
    /// The value.
    pub v: f64,
}

/// What a series' metric is, as its source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Whose.
    pub series: SeriesRef,
    /// What is said.
    pub metadata: Metadata,
}

/// What is said about a metric besides its values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Metadata {
    /// `counter`, `gauge`, `histogram`, …; empty or `unknown` when that is not known.
    pub kind: String,
    /// The unit; often empty.
    pub unit: String,
    /// The help text; often empty.
    pub help: String,
}

/// What becomes visible together. Reused by its owner: `clear` keeps the memory.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// In any order of series; samples of one series in order of time.
    pub samples: Vec<BatchSample>,
    /// When the counting of each of `samples` began, in milliseconds since the Unix epoch, 0 where that is not known.
    /// Empty, or as long as `samples`.
    pub start_times: Vec<i64>,
    /// Native histograms, as `samples`. Of a series that has both in one batch, floats count as the older ones.
    pub histograms: Vec<BatchHistogram>,
    /// Examples, stored after the samples.
    pub exemplars: Vec<BatchExemplar>,
    /// News about what the metrics are.
    pub metadata: Vec<BatchMetadata>,
    /// What is older than a series' newest sample is refused, even where samples out of order are taken.
    pub in_order_only: bool,
    /// The same for staleness markers alone: what ended is no news of a series that someone else went on with.
    pub in_order_markers: bool,
    /// Nothing of it is stored: what would be refused is told.
    pub only_checked: bool,
    /// Nothing of it is stored if what the store has already speaks against one of its floats or histograms.
    pub all_or_nothing: bool,
    /// Samples that only others of the same batch speak against are not told as refused, but by themselves: see
    /// [`Outcome::within`].
    pub tells_within: bool,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.start_times.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.in_order_only = false;
        self.in_order_markers = false;
        self.only_checked = false;
        self.all_or_nothing = false;
        self.tells_within = false;
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
            && self.histograms.is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_empty()
    }
}

/// Why one sample of a batch was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The handle is not, or no longer, known.
    UnknownSeries,
    /// Older than the series' newest sample, and samples out of order are not taken.
    OutOfOrder,
    /// The series has another value at that time. (The same value again is no error.)
    Duplicate,
    /// Older than the window in which samples out of order are taken.
    TooOld,
    /// Outside of the time range that the store accepts.
    OutOfBounds,
    /// A histogram that cannot be: see [`HistogramValue::validate`].
    Invalid,
}

/// What became of a batch. Reused by its owner.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// How many samples were stored.
    pub appended: usize,
    /// Index into the batch's samples and reason of each that was not.
    pub rejected: Vec<(u32, Rejection)>,
    /// Index into the batch's samples of each [`Rejection::Duplicate`], and the value that the series has at that time;
    /// none where that is a histogram. Stores that do not know leave it out.
    pub existing: Vec<(u32, Option<f64>)>,
    /// With [`Batch::tells_within`], index of each sample that was not stored because of others of the batch: appended once
    /// more, it is looked at beside these.
    pub within: Vec<u32>,
    /// How many native histograms were stored.
    pub appended_histograms: usize,
    /// Index into the batch's histograms and reason of each that was not.
    pub rejected_histograms: Vec<(u32, Rejection)>,
    /// As `within`, of the batch's histograms.
    pub within_histograms: Vec<u32>,
    /// How many exemplars were stored.
    pub appended_exemplars: usize,
    /// Index into the batch's exemplars and reason of each that was not. An exemplar that the series has already is
    /// not stored again and not rejected.
    pub rejected_exemplars: Vec<(u32, Rejection)>,
}

impl Outcome {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.appended = 0;
        self.rejected.clear();
        self.existing.clear();
        self.within.clear();
        self.within_histograms.clear();
        self.appended_histograms = 0;
        self.rejected_histograms.clear();
        self.appended_exemplars = 0;
        self.rejected_exemplars.clear();
    }
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

    /// As [`resolve`](Self::resolve), for the few series by which a writer reports about itself (`up`): they are needed
    /// most when limits are reached, so that limits on the number of series do not hold for them.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    fn resolve_report(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.resolve(affinity, labels)
    }

    /// Stores a batch. When it returns, what was stored is in the log and survives the death of the process, and a
    /// reader sees all of it or (if it looked before) nothing of it. Samples that are refused do not keep the
    /// others out. `outcome` is overwritten.
    ///
    /// # Errors
    /// When nothing at all was stored.
    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError>;
}

/// Appends once more what [`Outcome::within`] tells. Samples of one series may come in any order: those that are older
/// than others of the request are samples out of order. If they are not taken nobody is told, as with Prometheus.
///
/// # Errors
/// When nothing of it was stored.
pub fn append_within(store: &dyn Append, batch: &Batch, outcome: &Outcome) -> Result<(), AppendError> {
    let Outcome { within, within_histograms, .. } = outcome;
    if within.is_empty() && within_histograms.is_empty() {
        return Ok(());
    }
    let mut samples: Vec<(BatchSample, i64)> = Vec::with_capacity(within.len());
    for &i in within {
        let start_time = batch.start_times.get(i as usize).copied().unwrap_or(0);
        samples.extend(batch.samples.get(i as usize).map(|sample| (*sample, start_time)));
    }
    samples.sort_by_key(|(sample, _)| sample.t);
    let mut rest = Batch::default();
    rest.samples.extend(samples.iter().map(|(sample, _)| *sample));
    if !batch.start_times.is_empty() {
        rest.start_times.extend(samples.iter().map(|(_, start_time)| *start_time));
    }
    let histograms = within_histograms.iter().filter_map(|i| batch.histograms.get(*i as usize));
    rest.histograms.extend(histograms.cloned());
    rest.histograms.sort_by_key(|histogram| histogram.t);
    store.append(&rest, &mut Outcome::default())
}
