//! Writing a block, series by series.

mod index;
mod output;
mod segments;
mod symbols;

use std::path::{Path, PathBuf};

use chunk::Encoding;
use model::Labels;

use self::index::IndexWriter;
use self::segments::SegmentWriter;
use crate::files::{remove_dir, sync_dir};
use crate::meta::Stats;
use crate::{BlockError, Meta, Tombstones, Ulid};

/// What a block's directory is called until it is whole.
pub const CREATION_SUFFIX: &str = "tmp-for-creation";

/// How blocks are written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// No segment of chunks grows beyond this, in bytes, unless a single chunk does.
    pub segment_size: u64,
    /// What gathering postings may take, in bytes, unless eight bytes a series are more. With less the series are gone
    /// through more often at the end.
    pub postings_memory: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions { segment_size: 512 << 20, postings_memory: 8 << 20 }
    }
}

/// A chunk that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewChunk<'a> {
    /// How the samples are encoded.
    pub encoding: Encoding,
    /// Time of the oldest sample, in milliseconds.
    pub min_time: i64,
    /// Time of the newest sample, in milliseconds.
    pub max_time: i64,
    /// What [`chunk`] decodes.
    pub bytes: &'a [u8],
}

/// Writes a block into a directory that gets its name at the end. Dropped before that, it leaves nothing.
///
/// In memory are the chunks of one series at a time, the places of symbols (some 16 bytes each), the numbers of label
/// pairs (some 24 bytes each), and at the end as many postings as [`WriteOptions::postings_memory`] allows.
pub struct BlockWriter {
    target: PathBuf,
    temporary: Temporary,
    index: IndexWriter,
    segments: SegmentWriter,
    stats: Stats,
    places: Vec<(NewChunkTimes, u64)>,
}

type NewChunkTimes = (i64, i64);

/// A directory that is removed unless it has been renamed.
struct Temporary {
    dir: PathBuf,
    keep: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = remove_dir(&self.dir)
        {
            tracing::warn!(
                err = e.to_string(),
                "Cannot remove what was written of a block; the next start will"
            );
        }
    }
}

impl BlockWriter {
    /// Begins the block `parent/ulid` as `parent/ulid.tmp-for-creation`. `symbols` are all names and values of the
    /// labels to come, sorted and distinct; more are allowed.
    ///
    /// # Errors
    /// When files cannot be written, or the symbols are out of order or too many.
    pub fn create<S: AsRef<str>>(
        parent: &Path,
        ulid: Ulid,
        options: &WriteOptions,
        symbols: impl Iterator<Item = S>,
    ) -> Result<Self, BlockError> {
        let target = parent.join(ulid.to_string());
        let dir = target.with_extension(CREATION_SUFFIX);
        remove_dir(&dir)?;
        let chunks = dir.join("chunks");
        let temporary = Temporary { dir, keep: false };
        disk::create_dir_all(&chunks).map_err(|e| BlockError::io(&chunks, e))?;
        Ok(BlockWriter {
            index: IndexWriter::create(&temporary.dir.join("index"), symbols, options.postings_memory)?,
            segments: SegmentWriter::new(chunks, options.segment_size),
            target,
            temporary,
            stats: Stats::default(),
            places: Vec::new(),
        })
    }

    /// Adds a series. Series come in order of their labels, their chunks in order of time and without overlaps.
    /// A series without chunks is left out.
    ///
    /// # Errors
    /// When files cannot be written, or the order is not kept.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[NewChunk<'_>]) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.places.clear();
        self.segments.begin_series();
        for (i, chunk) in chunks.iter().enumerate() {
            let place = self.segments.add(i == 0, chunk.encoding, chunk.bytes)?;
            self.places.push(((chunk.min_time, chunk.max_time), place));
            self.count(chunk);
        }
        self.stats.num_series += 1;
        self.index.add_series(labels, &self.places)
    }

    fn count(&mut self, chunk: &NewChunk<'_>) {
        let samples = u64::from(chunk::sample_count(chunk.encoding, chunk.bytes));
        self.stats.num_chunks += 1;
        self.stats.num_samples += samples;
        if chunk.encoding.is_float() {
            self.stats.num_float_samples += samples;
        } else {
            self.stats.num_histogram_samples += samples;
        }
    }

    /// Numbers of what was added so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Completes the block, makes it durable and gives it its name. `meta` gets its sizes filled in and is returned.
    /// A block without samples is not kept: nothing is left of it then.
    ///
    /// # Errors
    /// When files cannot be written; nothing is left then.
    pub fn finish(mut self, mut meta: Meta) -> Result<Meta, BlockError> {
        meta.stats = self.stats.clone();
        if meta.stats.num_samples == 0 {
            return Ok(meta);
        }
        self.segments.finish()?;
        self.index.finish()?;
        let dir = &self.temporary.dir;
        meta.write(dir)?;
        Tombstones::default().write(dir)?;
        sync_dir(dir)?;
        remove_dir(&self.target)?;
        disk::rename(dir, &self.target).map_err(|e| BlockError::io(&self.target, e))?;
        self.temporary.keep = true;
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))?;
        Ok(meta)
    }
}
