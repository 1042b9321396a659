//! Compacting blocks: several become one, and what was deleted from them goes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use block::{Block, BlockError, Meta, Ulid};

use super::delay::UploadList;
use super::upkeep::Turn;
use super::{Db, DbError, leftovers};

impl Db {
    /// Merges blocks as long as there is a plan to, and no cut is due, which would hold more and more in memory.
    pub(super) fn compact_what_is_due(&self, turn: &mut Turn, now: i64) -> Result<(), DbError> {
        loop {
            self.stop.check()?;
            if self.head.has_full_range() && !turn.delay.holds(Instant::now()) {
                tracing::warn!("aborting block compactions to persist the head block");
                return Ok(());
            }
            let planned = self.plan();
            if planned.is_empty() {
                return Ok(());
            }
            self.compact(&planned, now)?;
        }
    }

    /// The blocks that are to be made into one next.
    fn plan(&self) -> Vec<Arc<Block>> {
        let current = self.blocks.current();
        let mut blocks: Vec<&Arc<Block>> = current.iter().collect();
        // A block with samples that came in order says that there are none before its end in the head any more. Those out
        // of order may be newer: merged with others, they would make it say so too soon.
        let cut = blocks.iter().map(|block| block.meta()).filter(|meta| !super::beside_the_head(meta));
        let cut = cut.map(|meta| meta.max_time).max();
        blocks.retain(|block| {
            let meta = block.meta();
            !meta.compaction.is_out_of_order() || cut.is_some_and(|end| meta.max_time <= end)
        });
        if let Some(list) = self.options.upload_list.clone().map(UploadList) {
            // As Prometheus: nothing that comes after a block that waits for its upload either.
            blocks.sort_by(|a, b| a.meta().ulid.cmp(&b.meta().ulid));
            let pending = list.pending();
            let waiting = blocks.iter().position(|block| pending(block.meta())).unwrap_or(blocks.len());
            blocks.truncate(waiting);
        }
        let range = self.head.block_range();
        let longest = crate::millis::millis(self.options.max_block);
        let ranges = block::block_ranges(range, longest);
        let metas: Vec<&Meta> = blocks.iter().map(|block| block.meta()).collect();
        let overlapping = self.options.compact_overlapping && self.backfilling.load(Ordering::Relaxed) == 0;
        let planned = block::plan(&metas, &ranges, overlapping);
        planned.iter().filter_map(|&i| blocks.get(i)).map(|block| Arc::clone(block)).collect()
    }

    fn compact(&self, blocks: &[Arc<Block>], now: i64) -> Result<(), DbError> {
        let ulid = Ulid::generate(now);
        let sources: Vec<&Block> = blocks.iter().map(|block| &**block).collect();
        if overlap(&sources) {
            self.metrics.vertical.inc();
        }
        let merged =
            self.write_compacted(|| block::merge(&sources, &self.dir, ulid, &self.merge_options()))?;
        self.replace(&sources, merged.map(|_| ulid))
    }

    /// Runs what writes a block, and measures it.
    pub(super) fn measured<T>(&self, write: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        self.metrics.populating.set(1.0);
        let written = write();
        self.metrics.populating.set(0.0);
        self.metrics.run.inc();
        self.metrics.duration.observe(began.elapsed().as_secs_f64());
        written
    }

    /// Runs a compaction and tells what came of it.
    pub(super) fn write_compacted(
        &self,
        compact: impl FnOnce() -> Result<Option<Meta>, BlockError>,
    ) -> Result<Option<Meta>, DbError> {
        let began = Instant::now();
        let written = self.measured(compact);
        match &written {
            Ok(Some(meta)) => tracing::info!(
                mint = meta.min_time,
                maxt = meta.max_time,
                ulid = meta.ulid,
                level = meta.compaction.level,
                sources = meta.compaction.parents.iter().map(|p| p.ulid.as_str()).collect::<Vec<_>>().join(" "),
                duration = ?began.elapsed(),
                "compact blocks"
            ),
            Ok(None) => tracing::info!(duration = ?began.elapsed(), "compact blocks resulted in empty block"),
            Err(_) => {}
        }
        // A source that turned out to be damaged was marked so.
        if written.is_err() {
            self.blocks.reload()?;
        }
        Ok(written?)
    }

    /// Serves a block (if there is anything left to serve) instead of those that it was made of, and deletes these.
    pub(super) fn replace(&self, sources: &[&Block], by: Option<Ulid>) -> Result<(), DbError> {
        if let Some(ulid) = by {
            self.serve_new_block(ulid)?;
        }
        for source in sources {
            leftovers::delete_block(source.dir()).map_err(|e| DbError::io(source.dir(), e))?;
        }
        self.blocks.reload()?;
        Ok(())
    }

    /// Directories of blocks that a block which is served was made of, or that were emptied: an interrupted compaction
    /// has left them.
    pub(super) fn replaced_blocks(&self) -> Result<Vec<PathBuf>, DbError> {
        let failed = |e| DbError::io(&self.dir, e);
        let current = self.blocks.current();
        let parents = current.iter().flat_map(|block| &block.meta().compaction.parents);
        let parents: Vec<&str> = parents.map(|parent| parent.ulid.as_str()).collect();
        let mut replaced = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !block::is_ulid(name) || !path.is_dir() || current.iter().any(|block| block.dir() == path) {
                continue;
            }
            if parents.contains(&name) || Meta::read(&path).is_ok_and(|meta| meta.compaction.deletable) {
                replaced.push(path);
            }
        }
        Ok(replaced)
    }
}

/// Whether any two blocks have a time in common.
fn overlap(blocks: &[&Block]) -> bool {
    let mut ranges: Vec<(i64, i64)> =
        blocks.iter().map(|block| (block.meta().min_time, block.meta().max_time)).collect();
    ranges.sort_unstable();
    ranges.windows(2).any(|pair| pair[1].0 < pair[0].1)
}
