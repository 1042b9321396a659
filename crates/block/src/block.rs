//! One block.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use model::Matcher;
use storage::{QueryContext, SelectError};

use crate::index::{Index, SeriesEntry};
use crate::mapped::MappedFile;
use crate::segments::Segments;
use crate::{BlockError, Damage, Meta, Metrics, Tombstones, matching};

/// A block directory, open for reading: its files are mapped.
pub struct Block {
    dir: PathBuf,
    meta: Meta,
    index: Index,
    segments: Segments,
    tombstones: Tombstones,
    bytes: u64,
    metrics: Metrics,
    /// One log line about each is enough; the metrics count on.
    damage_logged: AtomicBool,
    skip_logged: AtomicBool,
}

impl Block {
    /// Opens a block. A missing `tombstones` file means that nothing was deleted.
    ///
    /// # Errors
    /// When a file is missing, or damaged where it is checked at once: headers, table of contents, symbols, the table
    /// of postings, tombstones.
    pub fn open(dir: &Path, metrics: &Metrics) -> Result<Block, BlockError> {
        let meta = Meta::read(dir)?;
        let path = dir.join("index");
        let index =
            Index::open(MappedFile::open(&path)?).map_err(|damage| BlockError::damaged(&path, damage))?;
        let segments = Segments::open(&dir.join("chunks"))?;
        let path = dir.join("tombstones");
        let (tombstones, length) = match std::fs::read(&path) {
            Ok(file) => {
                let parsed = Tombstones::parse(&file).map_err(|damage| BlockError::damaged(&path, damage))?;
                (parsed, file.len() as u64)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => (Tombstones::default(), 0),
            Err(e) => return Err(BlockError::io(&path, e)),
        };
        let meta_bytes = std::fs::metadata(dir.join("meta.json")).map_or(0, |m| m.len());
        let bytes = meta_bytes + index.file_bytes() + segments.bytes() + length;
        Ok(Block {
            dir: dir.to_owned(),
            meta,
            index,
            segments,
            tombstones,
            bytes,
            metrics: metrics.clone(),
            damage_logged: AtomicBool::new(false),
            skip_logged: AtomicBool::new(false),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it says about itself.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its index.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What was deleted from it.
    #[must_use]
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// Length of all its files, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The series that match all matchers, by number, in order of their labels.
    ///
    /// # Errors
    /// When the query is interrupted.
    pub fn matching(&self, ctx: &QueryContext, matchers: &[Matcher]) -> Result<Vec<u32>, SelectError> {
        matching::matching(ctx, self, matchers)
    }

    /// A chunk as it is stored: its encoding's number and its content.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn stored_chunk(&self, reference: u64) -> Result<(u8, &[u8]), BlockError> {
        self.segments.chunk(reference).map_err(|damage| {
            let file = self.dir.join("chunks").join(format!("{:06}", (reference >> 32).saturating_add(1)));
            BlockError::damaged(&file, damage)
        })
    }

    pub(crate) fn index_damaged(&self, damage: Damage) -> BlockError {
        BlockError::damaged(&self.dir.join("index"), damage)
    }

    /// A chunk, unless it is damaged (which is counted and logged): its encoding's number and its content.
    pub(crate) fn chunk(&self, reference: u64) -> Option<(u8, &[u8])> {
        let outcome = self.segments.chunk(reference);
        let file = || format!("chunks/{:06}", (reference >> 32).saturating_add(1));
        outcome.inspect_err(|&damage| self.note_damage(&file(), damage)).ok()
    }

    /// Reads a series' entry; `false` when it is damaged, which is counted and logged.
    pub(crate) fn read_series<'a>(&'a self, number: u32, entry: &mut SeriesEntry<'a>) -> bool {
        let outcome = self.index.series(number, entry);
        outcome.inspect_err(|&damage| self.note_damage("index", damage)).is_ok()
    }

    /// Something could not be read, and the answer goes without it (or finds it in a longer way).
    pub(crate) fn note_damage(&self, file: &str, damage: Damage) {
        self.metrics.damaged_reads.inc();
        if !self.damage_logged.swap(true, Ordering::Relaxed) {
            let path = self.dir.join(file).display().to_string();
            tracing::error!(path, err = damage.to_string(), "A block is damaged; serving the rest of it");
        }
    }

    /// A chunk cannot be decoded yet.
    pub(crate) fn note_skipped(&self, encoding: u8) {
        self.metrics.chunks_skipped.inc();
        if !self.skip_logged.swap(true, Ordering::Relaxed) {
            let block = self.dir.display().to_string();
            tracing::warn!(block, encoding, "Leaving out chunks of an encoding that is not known");
        }
    }
}
