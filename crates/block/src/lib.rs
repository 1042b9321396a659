//! Prometheus' blocks: `meta.json`, index, chunk segments, tombstones; and [`storage::Select`] over them.
//!
//! [`Block`] is one directory, mapped; [`Blocks`] are those of a data directory, read as one store. Nothing here
//! spawns a thread or writes to a block. README.md beside this crate draws the bytes.

mod analysis;
mod block;
mod blocks;
mod cursor;
mod error;
mod index;
mod mapped;
mod matching;
mod meta;
mod metrics;
mod part;
mod segments;
mod select;
mod tombstones;
mod ulid;

pub use analysis::{Analysis, ChunkShapes, Distribution, Ranking};
pub use block::Block;
pub use blocks::{Blocks, Damaged};
pub use error::{BlockError, Damage};
pub use index::{ChunkMeta, Index, Postings, SeriesEntry, Toc};
pub use meta::{Compaction, Meta, Parent, Stats};
pub use metrics::Metrics;
pub use tombstones::{Interval, Tombstones};
pub use ulid::is_ulid;
