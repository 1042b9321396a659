//! The write-ahead log: Prometheus' records, pages and segments.

pub(crate) mod checkpoint;
pub(crate) mod frame;
mod metrics;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod repair;
pub(crate) mod segments;
mod writer;

pub use frame::Compression;
pub(crate) use metrics::LogMetrics;
pub(crate) use writer::{Packed, Position, Wal};
