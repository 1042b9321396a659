//! The write-ahead log: Prometheus' records, pages and segments.

pub(crate) mod frame;
pub(crate) mod record;
pub(crate) mod segments;
mod writer;

pub use frame::Compression;
pub(crate) use writer::Wal;
