//! What is kept, and for how long.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use block::Ulid;
use model::Matcher;

use super::delay::UploadList;
use super::upkeep::Turn;
use super::{Db, DbError, leftovers};
use crate::millis::millis;

/// How long and how much is kept.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// How long; zero is for ever. Counted back from the end of the newest block.
    pub time: Duration,
    /// How many bytes blocks, log and mapped chunks may take together; 0 is any number.
    pub bytes: u64,
    /// Which share of the disk they may take, in per cent; 0 is all of it. Goes before `bytes`.
    pub percentage: f64,
    /// What is kept for a shorter time.
    pub rules: Vec<RetentionRule>,
}

/// Series that are kept for a shorter time than the rest.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// All must match. At least one does not match the empty string.
    pub matchers: Vec<Matcher>,
    /// How long.
    pub time: Duration,
}

/// What matters of a block here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) max_time: i64,
    pub(super) bytes: u64,
}

/// The blocks (by their places in the list) that are past what is kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) by_time: Vec<usize>,
    pub(super) by_size: Vec<usize>,
}

/// The time that ages are counted from: the end of the newest block, but not what is ahead of the clock.
pub(super) fn newest(ends: impl Iterator<Item = i64>, now: i64) -> Option<i64> {
    ends.max().map(|newest| newest.min(now))
}

impl Retention {
    /// How many bytes may be taken of a disk of this size; `None` is any number.
    pub(super) fn byte_limit(&self, disk: Option<u64>) -> Option<u64> {
        match disk {
            Some(disk) if self.percentage > 0.0 => Some((disk as f64 * self.percentage / 100.0) as u64),
            _ => (self.bytes > 0).then_some(self.bytes),
        }
    }

    /// Which blocks have to go. `head` are the bytes of log and mapped chunks, `limit` what [`byte_limit`](Self::byte_limit) says.
    ///
    /// As in Prometheus age is counted from the newest block, so that a directory that nobody adds to keeps what it has;
    /// a block that ends after `now` counts as ending now: a clock that was ahead once must not cost the others.
    pub(super) fn expired(&self, blocks: &[Kept], head: u64, limit: Option<u64>, now: i64) -> Expired {
        let mut newest_first: Vec<usize> = (0..blocks.len()).collect();
        newest_first.sort_by_key(|&i| std::cmp::Reverse(blocks[i].max_time));
        let mut expired = Expired::default();
        let Some(newest) = newest(blocks.iter().map(|block| block.max_time), now) else { return expired };
        let age = millis(self.time);
        if age > 0 {
            let old =
                newest_first.iter().skip(1).filter(|&&i| newest.saturating_sub(blocks[i].max_time) >= age);
            expired.by_time = old.copied().collect();
        }
        if let Some(limit) = limit {
            let mut total = head;
            for (n, &i) in newest_first.iter().enumerate() {
                total += blocks[i].bytes;
                if total > limit {
                    expired.by_size = newest_first[n..].to_vec();
                    break;
                }
            }
        }
        expired
    }

    /// The rules by which series of a block from `min_time` to `max_time` are past what is kept, each with the time
    /// before which they are. `newest` is what [`newest`] says.
    ///
    /// A block must be written anew for that, so it waits until half of the block is that old, and then all of it.
    pub(super) fn rules_for(
        &self,
        min_time: i64,
        max_time: i64,
        newest: i64,
    ) -> impl Iterator<Item = (&[Matcher], i64)> {
        let half = min_time + max_time.saturating_sub(min_time) / 2;
        self.rules.iter().filter_map(move |rule| {
            let before = newest.saturating_sub(millis(rule.time));
            let before = [max_time, half].into_iter().find(|&end| end <= before)?;
            Some((&*rule.matchers, before))
        })
    }
}

impl Db {
    /// Deletes the blocks that are past the retention, and those that others have replaced.
    pub(super) fn apply_retention(&self, now: i64) -> Result<(), DbError> {
        let blocks = self.blocks.current();
        let kept: Vec<Kept> = blocks
            .iter()
            .map(|block| Kept { max_time: block.meta().max_time, bytes: block.bytes() })
            .collect();
        let retention = self.retention.read().clone();
        let disk = (retention.percentage > 0.0).then(|| disk_size(&self.dir)).transpose();
        let disk = disk.map_err(|e| DbError::io(&self.dir, e))?;
        let limit = retention.byte_limit(disk);
        let head = limit.map_or(0, |_| self.head.disk_size());
        let expired = retention.expired(&kept, head, limit, now);
        if !expired.by_time.is_empty() {
            self.metrics.time_retentions.inc();
        }
        if !expired.by_size.is_empty() {
            self.metrics.size_retentions.inc();
        }
        let mut doomed: Vec<usize> = expired.by_time.into_iter().chain(expired.by_size).collect();
        doomed.sort_unstable();
        doomed.dedup();
        // Oldest first: what is interrupted leaves no hole.
        doomed.sort_by_key(|&i| kept[i].max_time);
        let mut dirs: Vec<_> = doomed.into_iter().map(|i| blocks[i].dir().to_owned()).collect();
        dirs.extend(self.replaced_blocks()?);
        if dirs.is_empty() {
            return Ok(());
        }
        for dir in dirs {
            tracing::info!(block = dir.display().to_string(), "Deleting obsolete block");
            leftovers::delete_block(&dir).map_err(|e| DbError::io(&dir, e))?;
        }
        self.blocks.reload()?;
        Ok(())
    }

    /// Makes blocks anew without the series that rules keep for a shorter time, once half of a block or all of it is
    /// that old. Those that wait for their upload stay as they are.
    pub(super) fn apply_retention_rules(&self, turn: &mut Turn, now: i64) -> Result<(), DbError> {
        let retention = self.retention.read().clone();
        if self.rules_changed.swap(false, Ordering::Relaxed) {
            turn.without_expired.clear();
        }
        if retention.rules.is_empty() {
            return Ok(());
        }
        let current = self.blocks.current();
        let Some(newest) = newest(current.iter().map(|block| block.meta().max_time), now) else {
            return Ok(());
        };
        let pending = self.options.upload_list.clone().map(|list| UploadList(list).pending());
        for block in current.iter() {
            self.stop.check()?;
            let meta = block.meta();
            if pending.as_ref().is_some_and(|pending| pending(meta)) {
                continue;
            }
            let rules: Vec<_> = retention.rules_for(meta.min_time, meta.max_time, newest).collect();
            // A block never gets new series: what was looked for once need not be again.
            let until: Vec<i64> = rules.iter().map(|(_, before)| *before).collect();
            if rules.is_empty() || turn.without_expired.get(&meta.ulid) == Some(&until) {
                continue;
            }
            let doomed = block::expired(block, &rules)?;
            if !doomed.is_empty() {
                self.metrics.rule_retentions.inc();
                tracing::info!(
                    ulid = meta.ulid,
                    "Deleting series that a retention rule keeps for a shorter time"
                );
                let ulid = Ulid::generate(now);
                let options = self.merge_options();
                let left =
                    self.write_compacted(|| block::without(block, &doomed, &self.dir, ulid, &options))?;
                self.replace(&[&**block], left.is_some().then_some(ulid))?;
            }
            turn.without_expired.insert(meta.ulid.clone(), until);
        }
        let current = self.blocks.current();
        turn.without_expired.retain(|ulid, _| current.iter().any(|block| block.meta().ulid == *ulid));
        Ok(())
    }
}

/// Bytes of the file system that the directory is on.
fn disk_size(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(of: &[(i64, u64)]) -> Vec<Kept> {
        of.iter().map(|&(max_time, bytes)| Kept { max_time, bytes }).collect()
    }

    #[test]
    fn old_blocks_and_those_beyond_the_size_expire() {
        let by_time = |ms: u64| Retention { time: Duration::from_millis(ms), ..Retention::default() };
        let by_size = |bytes: u64| Retention { bytes, ..Retention::default() };
        let four = blocks(&[(100, 10), (200, 10), (300, 10), (400, 10)]);
        let none: Vec<usize> = Vec::new();
        for (retention, head, by_time, by_size) in [
            (Retention::default(), 0, none.clone(), none.clone()),
            (by_time(301), 0, none.clone(), none.clone()),
            (by_time(300), 0, vec![0], none.clone()),
            (by_time(1), 0, vec![2, 1, 0], none.clone()),
            (by_size(40), 0, none.clone(), none.clone()),
            (by_size(40), 1, none.clone(), vec![0]),
            (by_size(39), 0, none.clone(), vec![0]),
            (by_size(5), 0, none.clone(), vec![3, 2, 1, 0]),
            (by_size(40), 100, none, vec![3, 2, 1, 0]),
        ] {
            let expired = retention.expired(&four, head, retention.byte_limit(None), 1_000);
            assert_eq!(expired, Expired { by_time, by_size }, "{retention:?}, head {head}");
        }
    }

    #[test]
    fn a_block_from_the_future_costs_no_others() {
        let retention = Retention { time: Duration::from_millis(300), ..Retention::default() };
        let ahead = blocks(&[(100, 1), (200, 1), (90_000, 1)]);
        assert_eq!(retention.expired(&ahead, 0, None, 300), Expired::default());
        assert_eq!(retention.expired(&ahead, 0, None, 400).by_time, [0]);
    }

    #[test]
    fn a_share_of_the_disk_goes_before_a_number_of_bytes() {
        let retention = Retention { bytes: 7, percentage: 25.0, ..Retention::default() };
        assert_eq!(retention.byte_limit(Some(1_000)), Some(250));
        assert_eq!(retention.byte_limit(None), Some(7));
        assert_eq!(Retention::default().byte_limit(Some(1_000)), None);
    }

    #[test]
    fn a_rule_holds_once_half_of_the_block_is_too_old() {
        let rule =
            RetentionRule { matchers: vec![Matcher::equal("job", "debug")], time: Duration::from_millis(50) };
        let retention = Retention { rules: vec![rule], ..Retention::default() };
        let before = |now| retention.rules_for(60, 100, now).map(|(_, before)| before).collect::<Vec<_>>();
        assert!(before(129).is_empty());
        assert_eq!((before(130), before(149), before(150)), (vec![80], vec![80], vec![100]));
    }
}
