//! Checking what the head keeps on disk, for a person who wants to know what is damaged. Nothing is changed.

mod chunk_files;
mod logs;

pub use chunk_files::{InspectedChunks, inspect_chunks_head};
pub use logs::{InspectedLog, KnownSeries, inspect_log, inspect_out_of_order_log, inspect_snapshot};
