//! Every change that the database makes to files: created, written, renamed, removed, forced to the disk.
//!
//! In the program these are the calls of `std::fs` and nothing else. With the feature `simulate`, which only tests
//! enable, each is first shown to the watcher of its directory (see [`simulate`]): that is how tests cut the power, tear a
//! write or fill the disk at any point. Reading needs no such place and uses `std::fs`.

mod file;
#[cfg(feature = "simulate")]
pub mod simulate;

use std::fs;
use std::io;
use std::path::Path;

pub use file::File;

/// Shows an operation to the watcher, if there is one.
#[cfg(feature = "simulate")]
macro_rules! show {
    ($op:expr) => {
        $crate::simulate::show(&{
            use $crate::simulate::Op::*;
            $op
        })?
    };
}
#[cfg(not(feature = "simulate"))]
macro_rules! show {
    ($op:expr) => {};
}
pub(crate) use show;

/// Creates a directory and those above it; their names are durable then.
///
/// # Errors
/// As `std::fs::create_dir_all`.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    let new: Vec<&Path> =
        path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    if new.is_empty() {
        return Ok(());
    }
    show!(CreateDir { path });
    fs::create_dir_all(path)?;
    // From the top: each is in one that is there.
    new.iter().rev().filter_map(|dir| dir.parent()).try_for_each(sync_dir)
}

/// Gives a file or directory another name; one that has that name already is replaced.
///
/// # Errors
/// As `std::fs::rename`.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    show!(Rename { from, to });
    fs::rename(from, to)
}

/// Gives a file a second name.
///
/// # Errors
/// As `std::fs::hard_link`.
pub fn hard_link(original: &Path, link: &Path) -> io::Result<()> {
    show!(Link { original, link });
    fs::hard_link(original, link)
}

/// Removes a file.
///
/// # Errors
/// As `std::fs::remove_file`.
pub fn remove_file(path: &Path) -> io::Result<()> {
    show!(RemoveFile { path });
    fs::remove_file(path)
}

/// Removes a directory and everything in it. When that fails or the process dies, any part of it may be left.
///
/// # Errors
/// As `std::fs::remove_dir_all`.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    show!(RemoveDirAll { path });
    fs::remove_dir_all(path)
}

/// Makes the names in a directory durable.
///
/// # Errors
/// As `std::fs::File::sync_all`.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    show!(SyncDir { path });
    fs::File::open(path)?.sync_all()
}

/// Creates or empties a file, writes `content` to it and forces it to the disk.
///
/// # Errors
/// As those of `std::fs::File`.
pub fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = File::create(path)?;
    file.append_all(content)?;
    file.sync_all()
}
