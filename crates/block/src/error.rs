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

/// Why a block cannot be served.
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
}

impl BlockError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        BlockError::Io { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, damage: Damage) -> Self {
        BlockError::Damaged { path: path.to_owned(), damage }
    }
}
