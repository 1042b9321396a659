//! One process a directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file `lock` of a data directory, locked for as long as this lives.
pub(crate) struct DirLock {
    path: PathBuf,
    _file: File,
    /// Whether there was no lock left behind.
    pub(crate) clean: bool,
}

impl DirLock {
    /// `None` when another process holds the lock.
    pub(crate) fn acquire(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join("lock");
        let clean = !path.exists();
        let mut file = File::options().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
        file.set_len(0)?;
        // For people only, and a full disk must not be in the way of a start.
        let _ = file.write_all(std::process::id().to_string().as_bytes());
        Ok(Some(DirLock { path, _file: file, clean }))
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // A lock that cannot be removed is only reported as unclean at the next start.
        let _ = fs::remove_file(&self.path);
    }
}
