//! What can be wrong with a block.

use std::io;
use std::path::{Path, PathBuf};

/// Bytes that are not what the format says, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at offset {offset}: {what}")]
pub struct Damage {
    /// From the start of the file, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Why a block cannot be served or written.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was being read.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {damage}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What and where.
        damage: Damage,
    },
    /// `meta.json` does not parse.
    #[error("{path}: {source}")]
    Meta {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        source: serde_json::Error,
    },
    /// A chunk whose checksum holds does not decode.
    #[error("the chunk of {series} that begins at {min_time}: {source}")]
    Chunk {
        /// Labels of its series.
        series: String,
        /// Time of its oldest sample, in milliseconds.
        min_time: i64,
        /// What is wrong with it.
        source: chunk::ChunkError,
    },
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// What was to be written does not come in the order that the format needs.
    #[error("{path}: {what}")]
    Order {
        /// The file.
        path: PathBuf,
        /// What came too late, or twice.
        what: String,
    },
    /// What was to be written does not fit the format.
    #[error("{path}: {what}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
    },
}

impl BlockError {
    pub(crate) fn too_large(path: &Path, what: &'static str) -> Self {
        BlockError::TooLarge { path: path.to_owned(), what }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        BlockError::Io { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, damage: Damage) -> Self {
        BlockError::Damaged { path: path.to_owned(), damage }
    }
}
