//! Leaving a log that every reader accepts.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};

use exposition::Counter;

use super::frame::{self, Damage, Segment};
use super::segments::{self, CHECKPOINT};
use crate::full_disk::is_full;

/// Extension of what is about to replace a file.
pub(crate) const REWRITTEN: &str = "rewritten";

/// Ends or undoes what a process that died in the middle of a repair or a checkpoint left behind.
pub(crate) fn finish(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some(REWRITTEN) if !path.with_extension("").exists() => {
                disk::rename(&path, &path.with_extension(""))?;
            }
            Some(REWRITTEN) => disk::remove_file(&path)?,
            Some("tmp") if path.is_dir() => disk::remove_dir_all(&path)?,
            _ if is_checkpoint(&path) => finish(&path)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_checkpoint(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(CHECKPOINT)) && path.is_dir()
}

/// Repairs a segment that was read to its end, with `damage` found and the last good record ending at `good_end`: a
/// torn end (of the `last` segment) is cut off; a segment damaged in the middle is set aside whole, in a directory
/// beside the log's that is named after it, and replaced by one of its good records. On a full disk it stays as it is
/// until the next start.
pub(crate) fn repair(path: &Path, last: bool, damage: &[Damage], good_end: u64) -> io::Result<()> {
    let torn = last && damage.iter().all(|d| d.offset >= good_end);
    if torn {
        let file = disk::File::open_existing(path)?;
        let lost = file.as_std().metadata()?.len().saturating_sub(good_end);
        file.set_len(good_end)?;
        file.sync_all()?;
        tracing::warn!(
            segment = %path.display(), offset = good_end, bytes = lost,
            "the write-ahead log ends in a record that was not written to its end; it was dropped"
        );
        return Ok(());
    }
    put_right(path, damage, "the write-ahead log")
}

/// Repairs a segment of a checkpoint as [`repair`] does one of the log that is damaged in the middle.
pub(crate) fn repair_checkpoint(path: &Path, damage: &[Damage]) -> io::Result<()> {
    put_right(path, damage, "a checkpoint of the write-ahead log")
}

fn put_right(path: &Path, damage: &[Damage], what: &str) -> io::Result<()> {
    match replace(path) {
        Ok(aside) => tracing::error!(
            segment = %path.display(), damage = %describe(damage), set_aside = %aside.display(),
            "{what} is damaged; all records that can be read are kept"
        ),
        Err(error) if is_full(&error) => tracing::error!(
            segment = %path.display(), damage = %describe(damage), err = %error,
            "{what} is damaged; all records that can be read are used, and it stays as it is"
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Says which segments of a log are missing, and how it is counted.
pub(crate) fn report_missing(dir: &Path, gaps: &[Range<u32>], corruptions: &Counter) {
    if gaps.is_empty() {
        return;
    }
    corruptions.add(gaps.len() as f64);
    tracing::error!(
        dir = %dir.display(), segments = segments::describe(gaps),
        "segments of the write-ahead log are missing, and what was in them is lost; empty ones take their place"
    );
}

/// Puts empty segments where some are missing: Prometheus opens no log with a gap. On a full disk the gaps stay.
pub(crate) fn fill_gaps(dir: &Path, gaps: &[Range<u32>]) -> io::Result<()> {
    let filled =
        segments::fill(dir, gaps, |segment| disk::File::create_new(&segments::path(dir, segment)).map(drop));
    filled.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
}

/// Puts a segment's good records in its place, and it aside.
fn replace(path: &Path) -> io::Result<PathBuf> {
    let rewritten = path.with_extension(REWRITTEN);
    let aside = rewrite(path, &rewritten).and_then(|()| set_aside_path(path)).inspect_err(|_| {
        let _ = disk::remove_file(&rewritten);
    })?;
    disk::rename(path, &aside)?;
    disk::rename(&rewritten, path)?;
    if let Some(dir) = path.parent() {
        segments::sync_dir(dir)?;
    }
    Ok(aside)
}

/// In a directory beside the log's; what is of a checkpoint says so.
fn set_aside_path(segment: &Path) -> io::Result<PathBuf> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = segment.parent().unwrap_or(segment);
    let (log, file) = match (name(parent), parent.parent()) {
        (checkpoint, Some(log)) if checkpoint.starts_with(CHECKPOINT) => {
            (log, format!("{checkpoint}.{}", name(segment)))
        }
        _ => (parent, name(segment)),
    };
    let dir = log.with_file_name(format!("{}-damaged", name(log)));
    disk::create_dir_all(&dir)?;
    segments::free_name(&dir, &file)
}

/// The first pieces of damage, in words.
pub(crate) fn describe(damage: &[Damage]) -> String {
    let mut places: Vec<String> =
        damage.iter().take(5).map(|d| format!("{} at offset {}", d.reason, d.offset)).collect();
    if damage.len() > places.len() {
        places.push(format!("and {} more", damage.len() - places.len()));
    }
    places.join("; ")
}

/// Copies the good records of a segment.
fn rewrite(from: &Path, to: &Path) -> io::Result<()> {
    let mut segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(from)?));
    let file = disk::File::create(to)?;
    let (mut out, mut at, mut unpacked) = (Vec::new(), 0, Vec::new());
    while let Some((packed, compression)) = segment.next_packed()? {
        if compression.unpack(packed, &mut unpacked).is_err() || unpacked.is_empty() {
            continue;
        }
        out.clear();
        frame::frame(&mut out, at, packed, compression);
        file.append_all(&out)?;
        at += out.len() as u64;
    }
    file.sync_all()
}
