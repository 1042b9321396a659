//! Snapshots: a directory that holds all of the data as of now, and costs next to nothing.

use std::path::{Path, PathBuf};

use block::{Meta, Ulid};

use super::cut::HeadRange;
use super::{Db, DbError};
use crate::head::Samples;

/// The name of a snapshot that is taken at this time: `20261121T143735Z-137c891f48911aba`.
#[must_use]
pub fn snapshot_name(now: i64, random: u64) -> String {
    let (days, millis) = (now.div_euclid(86_400_000), now.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let seconds = millis / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // As random as Prometheus': 63 bits.
    let random = random >> 1;
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{random:016x}")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Years that begin in March: the odd day is their last. An era is 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
        let end = newest.saturating_add(1);
        let meta = Meta::new(Ulid::generate(now), min_time, end);
        let range = HeadRange { min_time, end, samples: Samples::All, without: Vec::new(), only: None };
        self.write_head(dir, meta, &range)?;
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
