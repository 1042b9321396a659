//! Files and directories that survive a loss of power once a call has returned.

use std::io;
use std::path::Path;

use crate::BlockError;

/// Writes a file beside its place and renames it there: at any moment the old or the new one is whole.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<(), BlockError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let written = disk::write_synced(temporary, content);
    let replaced = written.and_then(|()| disk::rename(temporary, path));
    if let Err(e) = replaced {
        // What is left of it would be ignored, but takes space that may be scarce just now.
        let _ = disk::remove_file(temporary);
        return Err(BlockError::io(path, e));
    }
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), BlockError> {
    disk::sync_dir(dir).map_err(|e| BlockError::io(dir, e))
}

/// Removes a directory and what is in it; that it is not there is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), BlockError> {
    match disk::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(BlockError::io(dir, e)),
        _ => Ok(()),
    }
}
