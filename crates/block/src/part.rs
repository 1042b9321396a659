//! A part of an answer: series of one or several blocks, with their chunks where they lie.

use std::ops::Range;
use std::sync::Arc;

use chunk::{Columns, Encoding};
use model::histogram::HistogramSample;
use model::{Labels, Sample};
use storage::merge::{Joiner, Wanted};
use storage::{ChunkView, SelectError, SeriesPart, SeriesView, Warnings};

use crate::index::{ChunkMeta, SeriesEntry};
use crate::{Block, Interval};

/// A series' entry in one of the blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) block: u32,
    pub(crate) number: u32,
}

/// A series: the next so many members.
pub(crate) struct Group {
    /// All labels; `None` where they are yet to be read from the only member.
    pub(crate) labels: Option<Labels>,
    pub(crate) members: u32,
}

#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) last_only: bool,
}

/// A chunk that is to be delivered.
struct Planned {
    member: Member,
    chunk: ChunkMeta,
    /// Some of it was deleted.
    cut: bool,
}

/// See the module.
pub(crate) struct Part {
    blocks: Arc<[Arc<Block>]>,
    wanted: Wanted,
    span: Span,
    groups: std::vec::IntoIter<Group>,
    members: std::vec::IntoIter<Member>,
    warnings: Warnings,
    planned: Vec<Planned>,
    columns: Columns,
    /// What is left of chunks of which some samples were deleted, one after the other.
    left: Vec<Sample>,
    left_histograms: Vec<HistogramSample>,
    joiner: Joiner,
    /// Of each block, the chunks that were looked at: from the first to behind the last.
    looked_at: Vec<Range<u64>>,
}

/// So much of a file, in bytes, is left where it is: giving back less would cost more than it saves.
const LEFT_MAPPED: u64 = 64 << 10;

/// What a part went through is not soon needed again, and a query through everything is not to make everything count as
/// resident memory.
impl Drop for Part {
    fn drop(&mut self) {
        for (block, looked_at) in self.blocks.iter().zip(&self.looked_at) {
            if looked_at.end.saturating_sub(looked_at.start) > LEFT_MAPPED {
                block.give_back_chunks(looked_at.clone());
            }
        }
    }
}

impl Part {
    pub(crate) fn new(
        blocks: Arc<[Arc<Block>]>,
        wanted: Wanted,
        span: Span,
        groups: Vec<Group>,
        members: Vec<Member>,
        warnings: Warnings,
    ) -> Self {
        Part {
            looked_at: vec![0..0; blocks.len()],
            blocks,
            wanted,
            span,
            groups: groups.into_iter(),
            members: members.into_iter(),
            warnings,
            planned: Vec::new(),
            columns: Columns::default(),
            left: Vec::new(),
            left_histograms: Vec::new(),
            joiner: Joiner::default(),
        }
    }

    /// Plans the chunks of the next series that has any; returns its labels.
    fn advance(&mut self) -> Option<Labels> {
        loop {
            let group = self.groups.next()?;
            self.planned.clear();
            let mut labels = None;
            let mut entry = SeriesEntry::default();
            for member in self.members.by_ref().take(group.members as usize) {
                let Some(block) = self.blocks.get(member.block as usize) else { continue };
                if !block.read_series(member.number, &mut entry) {
                    self.warnings.add(missing(block));
                    continue;
                }
                let deleted = block.tombstones().of(u64::from(member.number));
                for &chunk in chunks_in(&entry, &self.span, deleted) {
                    let cut =
                        deleted.iter().any(|i| i.min_time <= chunk.max_time && chunk.min_time <= i.max_time);
                    self.planned.push(Planned { member, chunk, cut });
                }
                if group.labels.is_none() {
                    labels = Some(entry.filtered(|name| self.wanted.keeps(name)));
                }
            }
            if self.planned.is_empty() {
                continue;
            }
            if self.span.last_only {
                self.keep_newest();
            }
            return labels.or_else(|| group.labels.map(|labels| self.wanted.project(&labels)));
        }
    }

    /// Drops chunks that end before the newest begins, where nothing was deleted.
    fn keep_newest(&mut self) {
        let newest = self.planned.iter().map(|p| p.chunk.min_time).max();
        if let Some(newest) = newest
            && !self.planned.iter().any(|p| p.cut)
        {
            self.planned.retain(|p| p.chunk.max_time >= newest);
        }
    }

    fn views(&mut self) -> Result<Vec<ChunkView<'_>>, SelectError> {
        // First what must be decoded, so that views can point into the finished buffers.
        self.left.clear();
        self.left_histograms.clear();
        let mut stored = Vec::with_capacity(self.planned.len());
        for planned in &self.planned {
            let Some(block) = self.blocks.get(planned.member.block as usize) else { continue };
            let Some((number, bytes)) = block.chunk(planned.chunk.reference) else {
                self.warnings.add(missing(block));
                continue;
            };
            if let Some(looked_at) = self.looked_at.get_mut(planned.member.block as usize) {
                let reference = planned.chunk.reference;
                looked_at.start = if looked_at.end == 0 { reference } else { looked_at.start.min(reference) };
                looked_at.end = looked_at.end.max(reference + bytes.len() as u64);
            }
            let Ok(encoding) = Encoding::try_from(number) else {
                block.note_skipped(number);
                self.warnings.add(missing(block));
                continue;
            };
            let ChunkMeta { min_time, max_time, reference } = planned.chunk;
            let samples = chunk::sample_count(encoding, bytes);
            let view = ChunkView::Encoded { encoding, min_time, max_time, samples, bytes };
            if !planned.cut {
                stored.push(Stored::Whole(view));
                continue;
            }
            let deleted = block.tombstones().of(u64::from(planned.member.number));
            let (columns, left) = (&mut self.columns, &mut self.left);
            let outcome = if encoding.is_float() {
                let start = left.len();
                columns.clear();
                let outcome = chunk::decode(encoding, bytes, samples, columns);
                let samples = columns.times.iter().zip(&columns.values);
                let kept = samples.filter(|(t, _)| !is_deleted(**t, deleted));
                left.extend(kept.map(|(&t, &v)| Sample { t, v }));
                stored.push(Stored::Floats(start..left.len()));
                outcome
            } else {
                let start = self.left_histograms.len();
                let outcome = view.histograms(&mut self.left_histograms);
                let decoded = self.left_histograms.split_off(start);
                self.left_histograms.extend(decoded.into_iter().filter(|h| !is_deleted(h.t, deleted)));
                stored.push(Stored::Histograms(start..self.left_histograms.len()));
                outcome
            };
            outcome.map_err(|e| {
                SelectError::Corrupt(format!("{} at {reference}: {e}", block.dir().display()))
            })?;
        }
        let views = stored.into_iter().filter_map(|stored| match stored {
            Stored::Whole(view) => Some(view),
            Stored::Floats(range) => {
                self.left.get(range).filter(|left| !left.is_empty()).map(ChunkView::Samples)
            }
            Stored::Histograms(range) => {
                self.left_histograms.get(range).filter(|left| !left.is_empty()).map(ChunkView::Histograms)
            }
        });
        self.joiner.join(views.collect())
    }
}

/// For whoever reads an answer that lacks something.
fn missing(block: &Block) -> String {
    let name = block.dir().file_name().unwrap_or_default().to_string_lossy();
    format!("the answer is incomplete: a part of block {name} is damaged and was left out")
}

/// A chunk that is to be shown: as it lies in the block, or what is left of it.
enum Stored<'a> {
    Whole(ChunkView<'a>),
    Floats(Range<usize>),
    Histograms(Range<usize>),
}

/// The chunks of an entry that may have samples in the span that were not deleted.
pub(crate) fn chunks_in<'e>(
    entry: &'e SeriesEntry<'_>,
    span: &Span,
    deleted: &[Interval],
) -> impl Iterator<Item = &'e ChunkMeta> {
    let Span { min_time, max_time, .. } = *span;
    entry.chunks.iter().filter(move |chunk| {
        let covered = deleted.iter().any(|i| i.min_time <= chunk.min_time && chunk.max_time <= i.max_time);
        chunk.min_time <= max_time && chunk.max_time >= min_time && !covered
    })
}

fn is_deleted(t: i64, deleted: &[Interval]) -> bool {
    deleted.iter().any(|i| i.min_time <= t && t <= i.max_time)
}

impl SeriesPart for Part {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        let Some(labels) = self.advance() else { return Ok(None) };
        Ok(Some(SeriesView::new(labels, self.views()?)))
    }

    fn size_hint(&self) -> usize {
        self.groups.len()
    }
}
