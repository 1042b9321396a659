//! Which segments of the logs another program has written: Prometheus in the same directory, between an end of this program
//! and its next start. What they say about series is read; their samples were for that program to send, and are not sent once
//! more.
//!
//! When the logs are closed, a file says which segments were the last. It goes at the next start: who is killed leaves none, and
//! all that the logs have then is taken to be this program's own. Nothing is lost that way, at worst it is sent twice.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tsdb::{Followed, Log};

use super::place::index;

/// Segments of others, by log.
pub(super) type Others = [Range<u32>; 2];

fn file(data: &Path) -> PathBuf {
    data.join("remote_write").join("end")
}

/// What was written between the end that was noted and the segments that the logs are at now. Forgets what was noted.
pub(super) fn since_the_end(data: &Path, store: &dyn Followed) -> Others {
    let path = file(data);
    let Ok(noted) = std::fs::read_to_string(&path) else { return Others::default() };
    if let Err(err) = remove(&path) {
        // It would be believed at the next start.
        tracing::warn!(component = "remote", file = %path.display(), %err, "The file cannot be deleted");
        return Others::default();
    }
    let mut others = Others::default();
    for log in Log::ALL {
        let last =
            noted.lines().find_map(|line| line.strip_prefix(log.dir_name())?.trim().parse::<u32>().ok());
        let (Some(last), Some(now)) = (last, store.log_end(log)) else { continue };
        let range = last.saturating_add(1)..now.segment;
        if !range.is_empty() {
            tracing::info!(
                component = "remote",
                log = log.dir_name(),
                first = range.start,
                last = range.end - 1,
                "Segments were written by another program: their samples are not sent"
            );
            others[index(log)] = range;
        }
    }
    others
}

/// For good, also if the machine dies now.
fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

/// Notes where the logs end, once nothing more comes.
pub(super) fn note_end(data: &Path, store: &dyn Followed) -> io::Result<()> {
    let path = file(data);
    if !path.parent().is_some_and(Path::is_dir) {
        return Ok(());
    }
    let lines = Log::ALL
        .into_iter()
        .filter_map(|log| Some(format!("{} {}\n", log.dir_name(), store.log_end(log)?.segment)));
    std::fs::write(path, lines.collect::<String>())
}
