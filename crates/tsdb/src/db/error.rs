//! What can go wrong with blocks of the data directory.

use std::io;
use std::path::{Path, PathBuf};

use block::BlockError;
use storage::SelectError;

use crate::full_disk::is_full;
use crate::head::DeleteError;

/// Why a cut, a compaction, a deletion or a snapshot was not done, or not to its end. Nothing that was there is lost.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A block could not be read or written.
    #[error(transparent)]
    Block(BlockError),
    /// Other files could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The head could not be read.
    #[error("reading the head: {0}")]
    Select(#[from] SelectError),
    /// Samples of the head could not be deleted.
    #[error("deleting from the head: {0}")]
    Delete(#[from] DeleteError),
    /// A block that was just written is not served: its directory, and why.
    #[error("the block {dir} cannot be read back: {why}")]
    Unreadable {
        /// The block.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server stops.
    #[error("interrupted because the server stops")]
    Stopped,
}

impl From<BlockError> for DbError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Interrupted => DbError::Stopped,
            error => DbError::Block(error),
        }
    }
}

impl DbError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        DbError::Io { path: path.to_owned(), source }
    }

    /// Whether the cause is a disk (or a quota) without space.
    #[must_use]
    pub(crate) fn is_disk_full(&self) -> bool {
        let source = match self {
            DbError::Block(BlockError::Io { source, .. })
            | DbError::Io { source, .. }
            | DbError::Delete(DeleteError::Log(source)) => source,
            _ => return false,
        };
        is_full(source)
    }
}
