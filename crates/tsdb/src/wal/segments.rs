//! The files of a log directory.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What the names of checkpoints begin with.
pub(crate) const CHECKPOINT: &str = "checkpoint.";

/// Number and path of each segment, in order.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    numbered(dir, |name| (name.len() >= 6 && name.bytes().all(|b| b.is_ascii_digit())).then_some(name))
}

/// Number and path of each checkpoint, in order.
pub(crate) fn checkpoints(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    numbered(dir, |name| name.strip_prefix(CHECKPOINT))
}

fn numbered(dir: &Path, number: impl Fn(&str) -> Option<&str>) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if let Some(n) = entry.file_name().to_str().and_then(&number).and_then(|n| n.parse().ok()) {
            found.push((n, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The number of the segment to begin: after all segments and checkpoints.
pub(crate) fn next(dir: &Path) -> io::Result<u32> {
    let last = list(dir)?.into_iter().chain(checkpoints(dir)?).map(|(n, _)| n).max();
    Ok(last.map_or(0, |n| n + 1))
}

/// Most numbers that gaps are filled with: more are missing only where a stray file has a number far away.
const MOST_FILLED: u32 = 10_000;

/// The numbers that are missing from `first` (or the first that is there, if that is less) up to `end`.
pub(crate) fn gaps(present: impl IntoIterator<Item = u32>, first: u32, end: u32) -> Vec<Range<u32>> {
    let mut present = present.into_iter().peekable();
    let mut next = present.peek().map_or(first, |&n| n.min(first));
    let mut gaps = Vec::new();
    for n in present.chain([end]) {
        if n > next {
            gaps.push(next..n);
        }
        next = next.max(n.saturating_add(1));
    }
    gaps
}

/// Numbers of gaps, as text.
pub(crate) fn describe(gaps: &[Range<u32>]) -> String {
    let text = |gap: &Range<u32>| match gap.len() {
        1 => gap.start.to_string(),
        _ => format!("{} to {}", gap.start, gap.end - 1),
    };
    gaps.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Calls `fill` for each missing number, then makes the new names durable. Nobody else opens a directory with gaps.
pub(crate) fn fill(
    dir: &Path,
    gaps: &[Range<u32>],
    mut fill: impl FnMut(u32) -> io::Result<()>,
) -> io::Result<()> {
    if gaps.is_empty()
        || gaps.iter().map(|gap| gap.end - gap.start).fold(0, u32::saturating_add) > MOST_FILLED
    {
        return Ok(());
    }
    gaps.iter().cloned().flatten().try_for_each(&mut fill)?;
    sync_dir(dir)
}

pub(crate) fn path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}"))
}

/// Bytes of all files in a directory, checkpoints included.
pub(crate) fn total_size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => total_size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Where a file of that name can be put beside others that were called so.
pub(crate) fn free_name(dir: &Path, name: &str) -> io::Result<PathBuf> {
    let free = (0..).map(|i| dir.join(format!("{name}.{i}"))).find(|path| !path.exists());
    free.ok_or_else(|| io::Error::other("no free name"))
}

/// Makes the creation, removal or renaming of files in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    disk::sync_dir(dir)
}
