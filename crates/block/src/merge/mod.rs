//! Making one block of several sources of series.

mod encode;
mod given;
mod heap;
mod overlap;
mod samples;
mod source;

use std::borrow::Cow;
use std::iter::Peekable;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use chunk::{ChunkError, Encoding};
use model::{Labels, Matcher};
use storage::QueryContext;

pub use self::given::write_samples;
use self::heap::Heap;
use self::overlap::Overlaps;
use self::samples::{cut, decode};
use self::source::BlockSource;
pub use self::source::SeriesSource;
use crate::index::SeriesEntry;
use crate::{
    Block, BlockError, BlockWriter, Interval, Meta, NewChunk, Tombstones, Ulid, WriteOptions, matching,
};

/// How blocks are merged.
#[derive(Clone)]
pub struct MergeOptions<'a> {
    /// How they are written.
    pub write: WriteOptions,
    /// What floats are encoded with where overlapping chunks are made anew ([`Encoding::Xor`] or [`Encoding::Xor2`]).
    /// Samples with a start time are in XOR2 whatever is said here.
    pub floats: Encoding,
    /// Once it is set the merge ends soon with [`BlockError::Interrupted`] and leaves nothing.
    pub stop: Option<&'a AtomicBool>,
    /// Is shown each chunk that is written.
    pub observe: Option<&'a dyn Fn(&NewChunk<'_>)>,
}

impl Default for MergeOptions<'_> {
    fn default() -> Self {
        MergeOptions { write: WriteOptions::default(), floats: Encoding::Xor, stop: None, observe: None }
    }
}

/// Makes one block of several, without what was deleted from them. Chunks that do not overlap are copied; those that
/// do are made anew, of samples with the same time one being left. Returns `None` when no samples are left: no block is
/// written then, and the sources are marked deletable. Where one of them is damaged, they are marked as failed.
///
/// # Errors
/// When a source is damaged or files cannot be written; nothing is left of the new block then.
pub fn merge(
    sources: &[&Block],
    parent: &Path,
    ulid: Ulid,
    options: &MergeOptions<'_>,
) -> Result<Option<Meta>, BlockError> {
    let mut blocks = sources.to_vec();
    blocks.sort_by_key(|block| block.meta().min_time);
    let metas: Vec<&Meta> = blocks.iter().map(|block| block.meta()).collect();
    merge_blocks(&blocks, None, parent, Meta::compacted(ulid, &metas), ulid, options)
}

/// Makes a block anew without what was deleted from it. `None` as with [`merge`].
///
/// # Errors
/// As [`merge`].
pub fn clean(
    block: &Block,
    parent: &Path,
    ulid: Ulid,
    options: &MergeOptions<'_>,
) -> Result<Option<Meta>, BlockError> {
    merge_blocks(&[block], None, parent, block.meta().cleaned(ulid), ulid, options)
}

/// Makes a block anew without what was deleted from it, and without more that is named here: see [`expired`]. `None` as
/// with [`merge`].
///
/// # Errors
/// As [`merge`].
pub fn without(
    block: &Block,
    doomed: &Tombstones,
    parent: &Path,
    ulid: Ulid,
    options: &MergeOptions<'_>,
) -> Result<Option<Meta>, BlockError> {
    let meta = Meta::compacted(ulid, &[block.meta()]);
    merge_blocks(&[block], Some(doomed), parent, meta, ulid, options)
}

/// What has to go from a block by rules: of the series that match all of a rule's matchers, the samples before its time
/// (in milliseconds). Empty when nothing of that is in the block (any more).
///
/// # Errors
/// When the index is damaged.
pub fn expired(block: &Block, rules: &[(&[Matcher], i64)]) -> Result<Tombstones, BlockError> {
    let ctx = QueryContext::unlimited();
    let mut doomed = Tombstones::default();
    let mut entry = SeriesEntry::default();
    for &(matchers, before) in rules {
        if before <= block.meta().min_time {
            continue;
        }
        for number in matching::matching(&ctx, block, matchers).unwrap_or_default() {
            block.index().series(number, &mut entry).map_err(|damage| block.index_damaged(damage))?;
            let deleted = block.tombstones().of(u64::from(number));
            let covered = |c: &crate::ChunkMeta| {
                let until = c.max_time.min(before - 1);
                deleted.iter().any(|i| i.contains(c.min_time) && i.contains(until))
            };
            if entry.chunks.iter().any(|c| c.min_time < before && !covered(c)) {
                doomed.add(u64::from(number), Interval { min_time: i64::MIN, max_time: before - 1 });
            }
        }
    }
    Ok(doomed)
}

fn merge_blocks(
    blocks: &[&Block],
    doomed: Option<&Tombstones>,
    parent: &Path,
    meta: Meta,
    ulid: Ulid,
    options: &MergeOptions<'_>,
) -> Result<Option<Meta>, BlockError> {
    let outcome = open_sources(blocks, doomed).and_then(|mut sources| {
        let mut sources: Vec<&mut dyn SeriesSource> =
            sources.iter_mut().map(|source| source as &mut dyn SeriesSource).collect();
        write_block(&mut sources, parent, ulid, meta, options)
    });
    let mark = |mark: fn(&Block) -> Result<(), BlockError>| {
        for block in blocks {
            if let Err(e) = mark(block) {
                let block = block.dir().display().to_string();
                tracing::error!(block, err = e.to_string(), "Cannot write down what became of a compaction");
            }
        }
    };
    match &outcome {
        Ok(None) => mark(Block::mark_deletable),
        Err(BlockError::Damaged { .. } | BlockError::Chunk { .. } | BlockError::Order { .. }) => {
            mark(Block::mark_failed);
        }
        Ok(Some(_)) | Err(_) => {}
    }
    outcome
}

fn open_sources<'a>(
    blocks: &[&'a Block],
    doomed: Option<&'a Tombstones>,
) -> Result<Vec<BlockSource<'a>>, BlockError> {
    blocks.iter().map(|block| BlockSource::open(block, doomed)).collect()
}

/// Writes the block `parent/ulid` from the series of all sources, as far as they are in the time that `meta` says: from
/// its `min_time` to before its `max_time`. Chunks that reach beyond are cut. Of sources that have the same series
/// those named first are taken to be older. Returns `None` and leaves nothing when there are no samples.
///
/// # Errors
/// When a source fails or files cannot be written; nothing is left of the new block then.
pub fn write_block(
    sources: &mut [&mut dyn SeriesSource],
    parent: &Path,
    ulid: Ulid,
    mut meta: Meta,
    options: &MergeOptions<'_>,
) -> Result<Option<Meta>, BlockError> {
    meta.ulid = ulid.to_string();
    let mut writer = {
        let mut symbols = Symbols::of(sources)?;
        let writer = BlockWriter::create(parent, ulid, &options.write, &mut symbols);
        match symbols.failed {
            Some(e) => return Err(e),
            None => writer?,
        }
    };
    let span = Interval { min_time: meta.min_time, max_time: meta.max_time.saturating_sub(1) };
    let mut waiting: Heap<usize> = Heap::default();
    for at in 0..sources.len() {
        advance(sources, at, &mut waiting)?;
    }
    let overlaps = Overlaps::new(options.floats);
    let mut same = Vec::new();
    while let Some(labels) = take_same(sources, &mut waiting, &mut same) {
        if options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(BlockError::Interrupted);
        }
        let mut runs = Vec::with_capacity(same.len());
        for (at, source) in sources.iter_mut().enumerate() {
            if let Some(order) = same.iter().position(|&s| s == at) {
                runs.push((order, pieces(&mut **source, span).map_err(|e| e.of_series(&labels))?));
            }
        }
        runs.sort_by_key(|(order, _)| *order);
        let mut runs: Vec<_> = runs.into_iter().map(|(_, run)| run).collect();
        let pieces = match runs.len() {
            1 => runs.pop().unwrap_or_default(),
            _ => overlaps.resolve(runs).map_err(|e| e.of_series(&labels))?,
        };
        let chunks: Vec<NewChunk<'_>> = pieces.iter().map(Piece::chunk).collect();
        if let Some(observe) = options.observe {
            chunks.iter().for_each(observe);
        }
        writer.add_series(&labels, &chunks)?;
        for &at in &same {
            advance(sources, at, &mut waiting)?;
        }
    }
    let meta = writer.finish(meta)?;
    Ok((meta.stats.num_samples > 0).then_some(meta))
}

/// Goes to a source's next series; without one it waits no longer.
fn advance(
    sources: &mut [&mut dyn SeriesSource],
    at: usize,
    waiting: &mut Heap<usize>,
) -> Result<(), BlockError> {
    if let Some(source) = sources.get_mut(at)
        && source.advance()?
    {
        waiting.push(at, |a, b| labels_of(sources, *a) < labels_of(sources, *b));
    }
    Ok(())
}

fn labels_of<'a>(sources: &'a [&mut dyn SeriesSource], at: usize) -> Option<&'a Labels> {
    sources.get(at).map(|source| source.labels())
}

/// The labels that come next, and the sources that have them.
fn take_same(
    sources: &[&mut dyn SeriesSource],
    waiting: &mut Heap<usize>,
    same: &mut Vec<usize>,
) -> Option<Labels> {
    let before = |a: &usize, b: &usize| labels_of(sources, *a) < labels_of(sources, *b);
    same.clear();
    let labels = labels_of(sources, *waiting.first()?)?;
    while let Some(&next) = waiting.first()
        && labels_of(sources, next) == Some(labels)
    {
        same.extend(waiting.pop(before));
    }
    Some(labels.clone())
}

/// A chunk on its way: as it is stored, or made anew.
#[derive(Debug, Clone)]
struct Piece<'a> {
    encoding: Encoding,
    min_time: i64,
    max_time: i64,
    bytes: Cow<'a, [u8]>,
}

impl Piece<'_> {
    fn chunk(&self) -> NewChunk<'_> {
        let Piece { encoding, min_time, max_time, ref bytes } = *self;
        NewChunk { encoding, min_time, max_time, bytes }
    }
}

/// Why the chunks of a series could not be merged.
enum Trouble {
    /// They could not be got.
    Source(BlockError),
    /// A chunk does not decode.
    Chunk(i64, ChunkError),
}

impl From<BlockError> for Trouble {
    fn from(error: BlockError) -> Self {
        Trouble::Source(error)
    }
}

impl Trouble {
    fn of_series(self, labels: &Labels) -> BlockError {
        match self {
            Trouble::Source(error) => error,
            Trouble::Chunk(min_time, source) => {
                BlockError::Chunk { series: labels.to_string(), min_time, source }
            }
        }
    }
}

/// The chunks of a source's series that have samples in the span, those cut of which some have to go.
fn pieces<'a>(source: &'a mut dyn SeriesSource, span: Interval) -> Result<Vec<Piece<'a>>, Trouble> {
    let mut stored = Vec::new();
    let deleted = source.chunks(&mut stored)?;
    let mut kept = Vec::with_capacity(stored.len());
    for NewChunk { encoding, min_time, max_time, bytes } in stored {
        let covered = deleted.iter().any(|i| i.contains(min_time) && i.contains(max_time));
        if covered || !span.overlaps(min_time, max_time) {
            continue;
        }
        let within = span.contains(min_time) && span.contains(max_time);
        if within && !deleted.iter().any(|i| i.overlaps(min_time, max_time)) {
            kept.push(Piece { encoding, min_time, max_time, bytes: Cow::Borrowed(bytes) });
            continue;
        }
        let keep = |t| span.contains(t) && !deleted.iter().any(|i| i.contains(t));
        let points = decode(encoding, bytes).map_err(|e| Trouble::Chunk(min_time, e))?;
        kept.extend(cut(encoding, points, keep).map_err(|e| Trouble::Chunk(min_time, e))?);
    }
    Ok(kept)
}

/// All symbols of all sources, in order, each once.
struct Symbols<'a> {
    sources: Vec<Peekable<SymbolIter<'a>>>,
    failed: Option<BlockError>,
}

/// Names and values of labels, sorted and distinct.
pub type SymbolIter<'a> = Box<dyn Iterator<Item = Result<Cow<'a, str>, BlockError>> + 'a>;

impl<'a> Symbols<'a> {
    fn of(sources: &'a [&mut dyn SeriesSource]) -> Result<Self, BlockError> {
        let mut all = Vec::with_capacity(sources.len());
        for source in sources {
            all.push(source.symbols()?.peekable());
        }
        Ok(Symbols { sources: all, failed: None })
    }
}

impl<'a> Iterator for Symbols<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let mut least: Option<Cow<'a, str>> = None;
        for source in &mut self.sources {
            match source.peek() {
                Some(Ok(symbol)) if least.as_ref().is_none_or(|least| symbol < least) => {
                    least = Some(symbol.clone());
                }
                Some(Err(_)) => {
                    self.failed = source.next().and_then(Result::err);
                    return None;
                }
                Some(Ok(_)) | None => {}
            }
        }
        let least = least?;
        for source in &mut self.sources {
            source.next_if(|symbol| symbol.as_ref().is_ok_and(|symbol| *symbol == least));
        }
        Some(least)
    }
}
