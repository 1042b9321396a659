//! The place where tests look at the operations below a directory and break them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

/// An operation that is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Op<'a> {
    Create { path: &'a Path },
    Write { path: &'a Path, at: u64, bytes: &'a [u8] },
    SetLen { path: &'a Path, len: u64 },
    SyncFile { path: &'a Path },
    SyncDir { path: &'a Path },
    CreateDir { path: &'a Path },
    Rename { from: &'a Path, to: &'a Path },
    Link { original: &'a Path, link: &'a Path },
    RemoveFile { path: &'a Path },
    RemoveDirAll { path: &'a Path },
}

impl Op<'_> {
    fn path(&self) -> &Path {
        match self {
            Op::Create { path }
            | Op::Write { path, .. }
            | Op::SetLen { path, .. }
            | Op::SyncFile { path }
            | Op::SyncDir { path }
            | Op::CreateDir { path }
            | Op::RemoveFile { path }
            | Op::RemoveDirAll { path } => path,
            Op::Rename { from, .. } => from,
            Op::Link { original, .. } => original,
        }
    }
}

/// What a watcher lets happen.
#[derive(Debug)]
pub struct Allowed {
    /// So many bytes of a write get through.
    pub bytes: usize,
    /// What the caller is told.
    pub outcome: io::Result<()>,
}

/// Sees every operation before it is done.
pub trait Watch: Send + Sync {
    /// Lets it happen, or a part of it, or not. A failed operation other than a write is not done at all.
    fn before(&self, op: &Op<'_>) -> Allowed;
}

static WATCHED: RwLock<Vec<(PathBuf, Arc<dyn Watch>)>> = RwLock::new(Vec::new());

/// Ends the watching when it is dropped.
#[derive(Debug)]
pub struct Watching {
    root: PathBuf,
}

/// Shows the operations below `root` to `watcher` for as long as the answer lives.
#[must_use]
pub fn watch(root: &Path, watcher: Arc<dyn Watch>) -> Watching {
    WATCHED.write().push((root.to_owned(), watcher));
    Watching { root: root.to_owned() }
}

impl Drop for Watching {
    fn drop(&mut self) {
        WATCHED.write().retain(|(root, _)| *root != self.root);
    }
}

fn watcher(path: &Path) -> Option<Arc<dyn Watch>> {
    WATCHED.read().iter().find(|(root, _)| path.starts_with(root)).map(|(_, watcher)| Arc::clone(watcher))
}

pub(crate) fn show(op: &Op<'_>) -> io::Result<()> {
    watcher(op.path()).map_or(Ok(()), |watcher| watcher.before(op).outcome)
}

pub(crate) fn show_write(path: &Path, at: u64, bytes: &[u8]) -> Allowed {
    let op = Op::Write { path, at, bytes };
    let mut allowed =
        watcher(path).map_or(Allowed { bytes: bytes.len(), outcome: Ok(()) }, |watcher| watcher.before(&op));
    allowed.bytes = allowed.bytes.min(bytes.len());
    allowed
}
