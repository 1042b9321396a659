//! The blocks of a data directory.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exposition::Registry;
use model::Matcher;
use parking_lot::{Mutex, RwLock};

use crate::{Block, BlockError, Meta, Metrics, is_ulid};

/// A block that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its directory.
    pub dir: PathBuf,
    /// Why, for people.
    pub why: String,
}

/// The blocks of a data directory, read as one store. Readers keep the blocks that they began with.
pub struct Blocks {
    dir: PathBuf,
    metrics: Metrics,
    /// In order of time.
    current: RwLock<Arc<[Arc<Block>]>>,
    /// By directory; looked at again only when the process starts anew.
    damaged: Mutex<BTreeMap<PathBuf, String>>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

impl Blocks {
    /// Opens all blocks of `dir`. Damaged ones are set aside: named in the log once, and not served.
    ///
    /// # Errors
    /// When the directory cannot be listed; that it is not there is no error.
    pub fn open(dir: &Path, registry: &Registry) -> Result<Blocks, BlockError> {
        let blocks = Blocks {
            dir: dir.to_owned(),
            metrics: Metrics::register(registry),
            current: RwLock::new(Arc::new([])),
            damaged: Mutex::default(),
            reloading: Mutex::default(),
        };
        blocks.reload()?;
        Ok(blocks)
    }

    /// The blocks that are served, in order of time.
    #[must_use]
    pub fn current(&self) -> Arc<[Arc<Block>]> {
        Arc::clone(&self.current.read())
    }

    /// The blocks that are not.
    #[must_use]
    pub fn damaged(&self) -> Vec<Damaged> {
        let damaged = self.damaged.lock();
        damaged.iter().map(|(dir, why)| Damaged { dir: dir.clone(), why: why.clone() }).collect()
    }

    /// Looks for blocks that came or went since.
    ///
    /// # Errors
    /// When the directory cannot be listed; what was served is still served.
    pub fn reload(&self) -> Result<(), BlockError> {
        let _one = self.reloading.lock();
        self.metrics.reloads.inc();
        let dirs = self.block_dirs().map_err(|e| {
            self.metrics.reload_failures.inc();
            BlockError::io(&self.dir, e)
        })?;
        let before = self.current();
        let mut damaged = self.damaged.lock();
        damaged.retain(|dir, _| dirs.contains(dir));
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        for dir in dirs {
            let known = before.iter().find(|block| block.dir() == dir);
            if let Some(known) = known.filter(|known| !known.is_outdated()) {
                blocks.push(Arc::clone(known));
                continue;
            }
            if damaged.contains_key(&dir) {
                continue;
            }
            let opened = known.map_or_else(|| Block::open(&dir, &self.metrics), |known| known.reopen());
            match opened {
                Ok(block) if known.is_some() => blocks.push(Arc::new(block)),
                Ok(block) => {
                    let Meta { ulid, min_time, max_time, .. } = block.meta();
                    tracing::info!(ulid, mint = min_time, maxt = max_time, "Found healthy block");
                    blocks.push(Arc::new(block));
                }
                Err(error) => {
                    let why = error.to_string();
                    let block = dir.display().to_string();
                    tracing::error!(block, err = why, "A block is damaged; it is set aside and not served");
                    damaged.insert(dir, why);
                }
            }
        }
        self.metrics.set_aside.set(damaged.len() as f64);
        drop(damaged);
        self.put_in_force(without_replaced(blocks));
        Ok(())
    }

    /// Deletes samples between two times (both inclusive, in milliseconds) of the series that match from all blocks.
    /// Returns how many series of blocks that were.
    ///
    /// # Errors
    /// When a block is damaged or files cannot be written; the other blocks are gone through before that is told.
    pub fn delete(&self, matchers: &[Matcher], min_time: i64, max_time: i64) -> Result<usize, BlockError> {
        let mut outcome = Ok(0);
        for block in self.current().iter().filter(|block| block.overlaps(min_time, max_time)) {
            match block.delete(matchers, min_time, max_time) {
                Ok(series) => outcome = outcome.map(|all| all + series),
                Err(e) => outcome = Err(e),
            }
        }
        self.reload()?;
        outcome
    }

    fn block_dirs(&self) -> io::Result<BTreeSet<PathBuf>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries?,
        };
        let mut dirs = BTreeSet::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_ulid) && entry.path().is_dir() {
                dirs.insert(entry.path());
            }
        }
        Ok(dirs)
    }

    fn put_in_force(&self, mut blocks: Vec<Arc<Block>>) {
        blocks.sort_by(|a, b| {
            let key = |block: &Block| (block.meta().min_time, block.meta().max_time);
            key(a).cmp(&key(b)).then_with(|| a.meta().ulid.cmp(&b.meta().ulid))
        });
        self.metrics.loaded.set(blocks.len() as f64);
        self.metrics.bytes.set(blocks.iter().map(|block| block.bytes()).sum::<u64>() as f64);
        let symbols: usize = blocks.iter().map(|block| block.index().symbol_memory()).sum();
        self.metrics.symbol_bytes.set(symbols as f64);
        *self.current.write() = blocks.into();
    }
}

/// Without the blocks that others were made of, which a compaction that was interrupted has left.
fn without_replaced(blocks: Vec<Arc<Block>>) -> Vec<Arc<Block>> {
    let parents: HashSet<String> = blocks
        .iter()
        .flat_map(|block| &block.meta().compaction.parents)
        .map(|parent| parent.ulid.clone())
        .collect();
    let replaced = |meta: &Meta| parents.contains(&meta.ulid) || meta.compaction.deletable;
    blocks.into_iter().filter(|block| !replaced(block.meta())).collect()
}
