//! Prometheus' blocks: `meta.json`, index, chunk segments, tombstones; and [`storage::Select`] over them.
//!
//! [`Block`] is one directory, mapped; [`Blocks`] are those of a data directory, read as one store. [`BlockWriter`] writes
//! one, [`merge()`] and [`write_block`] make one of several. Nothing here spawns a thread. README.md beside this crate draws
//! the bytes.

mod analysis;
mod block;
mod blocks;
mod cursor;
mod error;
mod files;
mod index;
mod inspect;
mod intervals;
mod mapped;
mod matching;
mod merge;
mod meta;
mod metrics;
mod part;
mod plan;
mod put;
mod segments;
mod select;
mod times;
mod tombstones;
mod ulid;
mod write;

pub use analysis::{Analysis, ChunkShapes, Distribution, Ranking};
pub use block::Block;
pub use blocks::{Blocks, Damaged};
pub use error::{BlockError, Damage};
pub use index::{ChunkMeta, Index, Postings, SeriesEntry, Toc};
pub use inspect::{Inspected, Inspector, inspect};
pub use intervals::{Interval, Intervals};
pub use merge::{
    MergeOptions, SeriesSource, SymbolIter, clean, expired, merge, without, write_block, write_samples,
};
pub use meta::{Compaction, FROM_OUT_OF_ORDER, FROM_STALE_SERIES, Meta, Parent, Stats};
pub use metrics::Metrics;
pub use plan::{block_ranges, plan};
pub use tombstones::Tombstones;
pub use ulid::{Ulid, is_ulid};
pub use write::{BlockWriter, CREATION_SUFFIX, NewChunk, WriteOptions};
