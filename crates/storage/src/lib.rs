//! The two doors of every store: [`Append`] for writers, [`Select`] for readers.
//!
//! A writer resolves label sets to [`SeriesRef`]s once and then appends batches of plain numbers. A reader gets
//! series with their chunks *still encoded*, split into parts that different threads can decode at once.

mod append;
mod budget;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod context;
mod memory;
pub mod merge;
mod refusal;
mod select;
mod series_cache;
mod series_samples;
mod unreadable;
mod within;

pub use append::{
    Affinity, Append, AppendError, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample,
    Metadata, Outcome, Rejection, Resolved, SeriesRef, append_within,
};
pub use budget::{MemoryAccount, MemoryBudget, MemoryStage};
pub use context::{Interrupted, QueryContext, Warnings, labels_size};
pub use memory::MemoryStore;
pub use merge::Merged;
pub use refusal::{TOO_FAR_AHEAD, refusal_of_histogram, refusal_of_sample};
pub use select::{
    ChunkView, Chunks, Newest, Projection, Request, Select, SelectError, SeriesPart, SeriesView,
};
pub use series_cache::{KnownSeries, SeriesCache, SeriesKey, SeriesLookups};
pub use series_samples::SeriesSamples;
pub use unreadable::Unreadable;
pub use within::Within;
