//! What of the logs is kept for destinations alone, and no longer than they need it.
//!
//! The head moves segments and checkpoints that it needs no more to a directory. They are deleted here when no destination
//! has to read them any more, or when they become too many: then samples are taken out of the oldest, and lost to whoever
//! was not given them.

use std::io;
use std::path::{Path, PathBuf};

use tsdb::{Log, keep_series_only, log_checkpoints, log_segments};

use super::place::{Place, Places, index};
use super::reader::{LogDirs, SERIES_ONLY, bare_segments};

/// What was lost to make room.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) segments: u64,
    pub(super) bytes: u64,
    /// The last of them, by log.
    pub(super) upto: [Option<u32>; 2],
}

/// Deletes what nobody needs who has got to `places` (none: there is nobody), and what is more than `limit` bytes. Answers
/// how many bytes are left.
pub(super) fn tidy(dirs: &LogDirs, places: Option<Places>, limit: u64) -> io::Result<(u64, Lost)> {
    let Some(places) = places else {
        remove_all(&dirs.retired)?;
        return Ok((0, Lost::default()));
    };
    remove_read(dirs, places)?;
    let mut lost = Lost::default();
    let mut size = Log::ALL.iter().map(|log| size_of(&dirs.retired(*log))).sum::<u64>();
    if size <= limit {
        return Ok((size, lost));
    }
    for log in Log::ALL {
        let Place { segment: needed, .. } = places[index(log)];
        for (number, path) in log_segments(&dirs.retired(log))? {
            if size <= limit {
                return Ok((size, lost));
            }
            let bytes = path.metadata()?.len();
            let kept = take_samples_out(&path)?;
            size = size.saturating_sub(bytes).saturating_add(kept);
            if number >= needed {
                lost.segments += 1;
                lost.bytes += bytes;
                lost.upto[index(log)] = Some(number);
            }
        }
    }
    Ok((size, lost))
}

/// What comes before the newest checkpoint that all can begin with is not read again.
fn remove_read(dirs: &LogDirs, places: Places) -> io::Result<()> {
    let needed = places[index(Log::InOrder)].segment;
    if let Some((stands_for, _)) = dirs.checkpoint_before(needed)? {
        let dir = dirs.retired(Log::InOrder);
        for (number, path) in log_checkpoints(&dir)? {
            if number < stands_for {
                std::fs::remove_dir_all(path)?;
            }
        }
        remove_segments(&dir, stands_for + 1)?;
        // One that the log has itself is not needed here.
        if log_checkpoints(&dirs.live(Log::InOrder))?.iter().any(|(number, _)| *number == stands_for) {
            remove_all(&dir.join(format!("checkpoint.{stands_for:08}")))?;
        }
    }
    remove_segments(&dirs.retired(Log::OutOfOrder), places[index(Log::OutOfOrder)].segment)
}

fn remove_segments(dir: &Path, before: u32) -> io::Result<()> {
    let all = log_segments(dir)?.into_iter().chain(bare_segments(dir)?);
    all.filter(|(number, _)| *number < before).try_for_each(|(_, path)| std::fs::remove_file(path))
}

fn take_samples_out(path: &Path) -> io::Result<u64> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{SERIES_ONLY}"));
    let bare = PathBuf::from(name);
    let temporary = bare.with_extension("tmp");
    remove_all(&temporary)?;
    let kept = keep_series_only(path, &temporary)?;
    std::fs::rename(&temporary, &bare)?;
    std::fs::remove_file(path)?;
    Ok(kept)
}

fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
