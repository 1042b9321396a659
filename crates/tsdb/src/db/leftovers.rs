//! What an interrupted process leaves behind: directories that were not finished, or not deleted to the end.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// A block that is being deleted loses its name first, so that it is not taken for one when that is interrupted.
const DELETION: &str = "tmp-for-deletion";
const SUFFIXES: [&str; 3] = [block::CREATION_SUFFIX, DELETION, "tmp"];

/// Removes them. Only what is surely a block, a checkpoint or a snapshot of chunks is touched.
pub(super) fn remove_leftovers(dir: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if !is_leftover(&path) || !path.is_dir() {
            continue;
        }
        let shown = path.display().to_string();
        match disk::remove_dir_all(&path) {
            Ok(()) => tracing::info!(dir = shown, "Found and deleted tmp block dir"),
            Err(e) => tracing::error!(dir = shown, err = e.to_string(), "failed to delete tmp block dir"),
        }
    }
    Ok(())
}

fn is_leftover(path: &Path) -> bool {
    let suffix = path.extension().and_then(OsStr::to_str);
    let Some(stem) = path.file_stem().and_then(OsStr::to_str) else { return false };
    suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix))
        && (block::is_ulid(stem) || stem.starts_with("checkpoint.") || stem.starts_with("chunk_snapshot."))
}

/// Deletes a block's directory.
pub(super) fn delete_block(dir: &Path) -> io::Result<()> {
    let doomed = dir.with_extension(DELETION);
    if doomed.exists() {
        disk::remove_dir_all(&doomed)?;
    }
    disk::rename(dir, &doomed)?;
    disk::remove_dir_all(&doomed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_program_and_prometheus_leave_behind_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let ulid = "01M7YKC5ZBBZ15Z0VZEQSYF7VP";
        let gone = [
            format!("{ulid}.tmp-for-creation"),
            format!("{ulid}.tmp-for-deletion"),
            format!("{ulid}.tmp"),
            "chunk_snapshot.000001.0000000001.tmp".to_owned(),
            "checkpoint.000001.tmp".to_owned(),
        ];
        let kept = [ulid, "wal", "notes.tmp", "backup.tmp-for-deletion", "lost+found"];
        for name in gone.iter().map(String::as_str).chain(kept) {
            std::fs::create_dir_all(dir.path().join(name).join("chunks")).unwrap();
        }
        remove_leftovers(dir.path()).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut kept = kept.map(str::to_owned);
        kept.sort();
        assert_eq!(left, kept);
        remove_leftovers(&dir.path().join("missing")).unwrap();
    }
}
