//! Snapshots: a directory that holds all of the data as of now, and costs next to nothing.

use std::path::{Path, PathBuf};

use block::{Meta, Ulid};

use super::cut::FromHead;
use super::{Db, DbError};
use crate::head::Samples;

/// The name of a snapshot that is taken at this time: `20261121T143735Z-137c891f48911aba`.
#[must_use]
pub fn snapshot_name(now: i64, random: u64) -> String {
    let second = model::timestamp::format_rfc3339(now.div_euclid(1000) * 1000).replace(['-', ':'], "");
    // As random as Prometheus': 63 bits.
    format!("{second}-{:016x}", random >> 1)
}

impl Db {
    /// Writes all data into `snapshots/NAME` of the data directory: blocks as hard links, and the head as a block unless
    /// it is to be left out. Appending goes on meanwhile. Returns the directory.
    ///
    /// # Errors
    /// When files cannot be written; nothing of the snapshot is left then.
    pub fn snapshot(&self, name: &str, skip_head: bool, now: i64) -> Result<PathBuf, DbError> {
        let _turn = self.turn.lock();
        let dir = self.dir.join("snapshots").join(name);
        disk::create_dir_all(&dir).map_err(|e| DbError::io(&dir, e))?;
        let taken = self.snapshot_into(&dir, skip_head, now);
        if taken.is_err() {
            let _ = disk::remove_dir_all(&dir);
        }
        taken.map(|()| dir)
    }

    fn snapshot_into(&self, dir: &Path, skip_head: bool, now: i64) -> Result<(), DbError> {
        for block in self.blocks.current().iter() {
            tracing::info!(block = block.meta().ulid, "Snapshotting block");
            link_block(block.dir(), &dir.join(&block.meta().ulid))?;
        }
        let range = self.head.whole_time_range().filter(|_| !skip_head);
        let Some((min_time, newest)) = range else { return Ok(()) };
        let ulid = Ulid::generate(now);
        let meta = Meta::new(ulid, min_time, newest.saturating_add(1));
        let wanted = FromHead { samples: Samples::All, without: Vec::new(), only: None };
        self.write_head(dir, ulid, meta, &wanted)?;
        Ok(())
    }
}

/// Makes a second block of the same files. None of them is ever changed in place.
fn link_block(from: &Path, to: &Path) -> Result<(), DbError> {
    let chunks = to.join("chunks");
    disk::create_dir_all(&chunks).map_err(|e| DbError::io(&chunks, e))?;
    for name in ["meta.json", "index", "tombstones"] {
        link(&from.join(name), &to.join(name), name == "tombstones")?;
    }
    let segments = from.join("chunks");
    for entry in std::fs::read_dir(&segments).map_err(|e| DbError::io(&segments, e))? {
        let entry = entry.map_err(|e| DbError::io(&segments, e))?;
        link(&entry.path(), &chunks.join(entry.file_name()), false)?;
    }
    Ok(())
}

fn link(from: &Path, to: &Path, may_be_missing: bool) -> Result<(), DbError> {
    match disk::hard_link(from, to) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && may_be_missing => Ok(()),
        Err(e) => Err(DbError::io(from, e)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_by_their_time() {
        for (now, want) in [
            (0, "19700101T000000Z"),
            (1_795_271_855_999, "20261121T143735Z"),
            (1_709_164_800_000, "20240229T000000Z"),
            (951_782_399_000, "20000228T235959Z"),
            (1_735_689_599_999, "20241231T235959Z"),
        ] {
            assert_eq!(snapshot_name(now, 3), format!("{want}-0000000000000001"));
        }
        assert!(snapshot_name(0, u64::MAX).ends_with("-7fffffffffffffff"));
    }
}
