//! Where series come from.

use std::borrow::Cow;

use chunk::Encoding;
use model::Labels;

use super::SymbolIter;
use crate::index::SeriesEntry;
use crate::mapped::Behind;
use crate::{Block, BlockError, ChunkMeta, Damage, Interval, Intervals, NewChunk, Postings, Tombstones};

/// Series in order of their labels, each with its chunks.
pub trait SeriesSource {
    /// Names and values of all labels to come, sorted and distinct; more are allowed. Asked for before the first series.
    ///
    /// # Errors
    /// When they cannot be read.
    fn symbols(&self) -> Result<SymbolIter<'_>, BlockError>;

    /// Goes to the next series, which at first is the first. `false` at the end.
    ///
    /// # Errors
    /// When it cannot be read.
    fn advance(&mut self) -> Result<bool, BlockError>;

    /// Labels of the series.
    fn labels(&self) -> &Labels;

    /// Appends the chunks of the series, in order of time and without overlaps. Returns what was deleted from them and
    /// is still in them.
    ///
    /// # Errors
    /// When they cannot be read.
    fn chunks<'a>(&'a mut self, out: &mut Vec<NewChunk<'a>>) -> Result<&'a [Interval], BlockError>;
}

/// The series of a block.
pub(super) struct BlockSource<'a> {
    block: &'a Block,
    numbers: Postings<'a>,
    next: usize,
    entry: SeriesEntry<'a>,
    labels: Labels,
    /// What is to go besides what was deleted.
    doomed: Option<&'a Tombstones>,
    deleted: Vec<Interval>,
    /// By place in the index.
    entries_behind: Behind,
    /// By reference.
    chunks_behind: Behind,
}

impl<'a> BlockSource<'a> {
    /// All series of a block; besides what was deleted from it, what `doomed` says is to be taken for deleted.
    ///
    /// # Errors
    /// When the list of series is damaged.
    pub(super) fn open(block: &'a Block, doomed: Option<&'a Tombstones>) -> Result<Self, BlockError> {
        let numbers = block.index().postings("", "").map_err(|damage| block.index_damaged(damage))?;
        Ok(BlockSource {
            block,
            numbers,
            next: 0,
            entry: SeriesEntry::default(),
            labels: Labels::empty(),
            doomed,
            deleted: Vec::new(),
            entries_behind: Behind::from(block.index().toc().series),
            chunks_behind: Behind::from(0),
        })
    }
}

impl BlockSource<'_> {
    /// Gives back what lies before a series and its chunks: nobody merges it again.
    fn give_back_before(&mut self, number: u32) {
        let index = self.block.index();
        if let Some(entries) = self.entries_behind.reached(index.place_of(number)) {
            index.give_back(entries);
        }
        if let Some(chunk) = self.entry.chunks.first()
            && let Some(chunks) = self.chunks_behind.reached(chunk.reference)
        {
            self.block.give_back_chunks(chunks);
        }
    }

    fn gather_deleted(&mut self, number: u64) {
        self.deleted.clear();
        self.deleted.extend(self.block.tombstones().of(number));
        let doomed = self.doomed.map_or(&[][..], |doomed| doomed.of(number));
        if !doomed.is_empty() {
            let mut all: Intervals = self.deleted.drain(..).collect();
            all.extend(doomed.iter().copied());
            self.deleted.extend(all.iter());
        }
    }
}

impl SeriesSource for BlockSource<'_> {
    fn symbols(&self) -> Result<SymbolIter<'_>, BlockError> {
        let damaged = |damage: Damage| self.block.index_damaged(damage);
        Ok(Box::new(self.block.index().each_symbol().map(move |s| s.map(Cow::Borrowed).map_err(damaged))))
    }

    /// Series of which nothing is left are passed over.
    fn advance(&mut self) -> Result<bool, BlockError> {
        while let Some(number) = self.numbers.get(self.next) {
            self.next += 1;
            let read = self.block.index().series(number, &mut self.entry);
            read.map_err(|damage| self.block.index_damaged(damage))?;
            self.give_back_before(number);
            self.gather_deleted(u64::from(number));
            let covered = |chunk: &ChunkMeta| {
                self.deleted.iter().any(|i| i.contains(chunk.min_time) && i.contains(chunk.max_time))
            };
            if !self.entry.chunks.iter().all(covered) {
                self.labels = self.entry.label_set();
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn chunks<'a>(&'a mut self, out: &mut Vec<NewChunk<'a>>) -> Result<&'a [Interval], BlockError> {
        for stored in &self.entry.chunks {
            let (encoding, bytes) = self.block.stored_chunk(stored.reference)?;
            let encoding = Encoding::try_from(encoding).map_err(|source| BlockError::Chunk {
                series: self.labels.to_string(),
                min_time: stored.min_time,
                source,
            })?;
            out.push(NewChunk { encoding, min_time: stored.min_time, max_time: stored.max_time, bytes });
        }
        Ok(&self.deleted)
    }
}
