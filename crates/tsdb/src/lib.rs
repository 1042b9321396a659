//! The head: series and their samples in memory, the write-ahead log, mapped head chunks and replay.
//!
//! README.md beside this crate shows the memory of a series, the locks, and the bytes of the files.

mod agent;
mod checksum;
mod chunk_files;
mod closed;
mod db;
#[doc(hidden)]
pub mod decoders;
mod deleted;
mod dir_lock;
mod epochs;
mod exemplars;
mod follow;
mod full_disk;
mod head;
mod inspect;
mod lookup;
mod metadata;
mod metrics;
mod millis;
mod mmap;
mod newest;
mod ooo;
mod open;
mod postings;
mod series;
mod shard;
mod slab;
mod symbols;
mod wal;
mod without;

pub use agent::{Agent, AgentOptions};
pub use db::{Backfilling, Db, DbError, DbOptions, Retention, RetentionRule, cut_up_to, snapshot_name};
pub use exemplars::{Exemplar, SeriesExemplars};
pub use follow::{
    BadLogRecord, Followed, Log, LogPlace, LogRecord, keep_series_only, log_checkpoints, log_segments,
    read_log_segment,
};
pub use head::{
    DeleteError, FloatEncoding, Head, HeadOptions, HeadStats, OpenError, SeriesInOrder, WalReplay,
};
pub use inspect::{
    InspectedChunks, InspectedLog, KnownSeries, inspect_chunks_head, inspect_log, inspect_out_of_order_log,
    inspect_snapshot,
};
pub use wal::Compression;
