//! The series of the head in order of their labels, as blocks hold them, while appending goes on.
//!
//! Series lie in shards and in order of creation. What is kept here for each that has data in the range is its slot;
//! in addition, while a shard is being sorted, the ranks of its label pairs (4 bytes a pair), and for good the texts of
//! the pairs, each once. Locks are held for a few thousand series at a time. Chunks are copied when their turn comes.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use block::{BlockError, Interval, NewChunk, SeriesSource, SymbolIter};
use model::{Labels, Matcher};
use storage::{ChunkView, Chunks, Projection, QueryContext, SelectError, SeriesPart, SeriesView};

use super::Head;
use super::ended::Ended;
use super::matching::matching;
use super::part::{Part, Span, Wanted, Which};
use super::select::has_data;
use crate::epochs::Reader;
use crate::ooo::cut::Cut;
use crate::postings::RunSet;

/// Series looked at under one lock.
const STEP: usize = 4096;
/// Series of a shard whose chunks are copied together.
const BATCH: usize = 256;

/// Which of the samples.
#[derive(Clone, Copy)]
pub(crate) enum Samples<'a> {
    All,
    /// Those that came in order.
    InOrder,
    /// Those out of order that are part of the cut.
    Late(&'a Cut),
}

impl Samples<'_> {
    fn of_shard(self, shard: usize) -> Which {
        match self {
            Samples::All => Which::All,
            Samples::InOrder => Which::InOrder,
            Samples::Late(cut) => Which::OutOfOrder(cut.upto(shard)),
        }
    }
}

/// See the module.
pub(crate) struct Ordered<'a> {
    head: &'a Head,
    span: Span,
    texts: Texts,
    /// The distinct label names and values, in order, by their places in `texts`.
    symbols: Vec<u32>,
    /// Keeps the slots from being given to other series.
    reader: Arc<Reader>,
    runs: Vec<Run<'a>>,
    /// Runs that have series left, the one with the smallest next at the end.
    waiting: Vec<usize>,
    /// The run that has the current series, and its labels.
    current: Option<usize>,
    labels: Labels,
}

/// The series of one shard, in order.
struct Run<'a> {
    shard: usize,
    which: Which,
    slots: std::vec::IntoIter<u32>,
    /// By number of the pair.
    ranks: Vec<u32>,
    /// What the next series have, and their labels.
    part: Option<Part<'a>>,
    labels: VecDeque<Labels>,
    /// The ranks of the series in the part, and where those of each end.
    keys: Vec<u32>,
    ends: std::vec::IntoIter<usize>,
    /// Where the ranks of the next series begin and end.
    next: (usize, usize),
}

/// Texts one after the other.
#[derive(Default)]
struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) -> u32 {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        self.ends.len() as u32 - 1
    }

    fn get(&self, i: u32) -> &str {
        let i = i as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start..self.ends[i]]
    }
}

/// What one shard has in the range.
#[derive(Default)]
struct Found {
    slots: Vec<u32>,
    /// Whether a series of `slots` has the pair, by number of the pair.
    used: Vec<bool>,
}

/// A pair of one shard that is in use.
struct UsedPair {
    name: u32,
    value: u32,
    shard: u32,
    pair: u32,
}

impl Head {
    /// The series that have samples from `min_time` to `max_time` (both inclusive), with those of the samples that are
    /// asked for. Left out are series that all matchers of one of the lists `without` match, those that are not among
    /// `only`, and series that are created later.
    pub(crate) fn in_label_order(
        &self,
        min_time: i64,
        max_time: i64,
        of: Samples<'_>,
        without: &[&[Matcher]],
        only: Option<&Ended>,
    ) -> Result<Ordered<'_>, SelectError> {
        let span = Span { min_time, max_time, newest: None };
        let reader = self.epochs.enter();
        let found: Vec<Found> =
            (0..self.shards.len()).map(|i| self.find(i, span, without, only)).collect::<Result<_, _>>()?;
        let (texts, symbols, ranks) = self.rank(&found);
        let mut runs = Vec::new();
        for ((shard, found), ranks) in found.into_iter().enumerate().zip(ranks) {
            let slots = self.sort(shard, &found.slots, &ranks);
            drop(found);
            runs.push(Run {
                shard,
                which: of.of_shard(shard),
                slots: slots.into_iter(),
                ranks,
                part: None,
                labels: VecDeque::new(),
                keys: Vec::new(),
                ends: Vec::new().into_iter(),
                next: (0, 0),
            });
        }
        let waiting = Vec::new();
        let labels = Labels::empty();
        let mut ordered =
            Ordered { head: self, span, texts, symbols, reader, runs, waiting, current: None, labels };
        for run in 0..ordered.runs.len() {
            ordered.go_on(run);
        }
        Ok(ordered)
    }

    fn find(
        &self,
        shard: usize,
        span: Span,
        without: &[&[Matcher]],
        only: Option<&Ended>,
    ) -> Result<Found, SelectError> {
        let ctx = QueryContext::unlimited();
        let unwanted: Vec<RunSet> = without
            .iter()
            .map(|matchers| matching(&ctx, &self.shards[shard].data.read(), matchers))
            .collect::<Result<_, _>>()?;
        let mut found = Found::default();
        let mut at = 0;
        loop {
            let data = self.shards[shard].data.read();
            let end = (at + STEP as u32).min(data.slot_count());
            if at >= end {
                return Ok(found);
            }
            for slot in at..end {
                if !data.is_live(slot) {
                    continue;
                }
                let id = data.series(slot).id;
                if only.is_some_and(|only| !only.contains(shard, id))
                    || unwanted.iter().any(|ids| contains(ids, id))
                    || !has_data(&data, slot, span.min_time, span.max_time)
                {
                    continue;
                }
                found.slots.push(slot);
                for pair in data.pairs(slot) {
                    let pair = pair as usize;
                    if pair >= found.used.len() {
                        found.used.resize(pair + 1, false);
                    }
                    found.used[pair] = true;
                }
            }
            at = end;
        }
    }

    /// Copies the texts of the pairs in use, and gives each pair its rank among those of all shards: pairs compare by
    /// name, then by value.
    fn rank(&self, found: &[Found]) -> (Texts, Vec<u32>, Vec<Vec<u32>>) {
        let mut texts = Texts::default();
        let names = self.names(found);
        for name in &names {
            texts.push(name);
        }
        let mut pairs: Vec<UsedPair> = Vec::new();
        for (shard, found) in found.iter().enumerate() {
            let used: Vec<u32> =
                found.used.iter().zip(0..).filter(|(used, _)| **used).map(|(_, i)| i).collect();
            for some in used.chunks(STEP) {
                let data = self.shards[shard].data.read();
                for &pair in some {
                    let (name, value) = data.symbols.pair(pair);
                    let name = names.binary_search_by(|known| known.as_str().cmp(name)).unwrap_or_default();
                    let value = texts.push(value);
                    pairs.push(UsedPair { name: name as u32, value, shard: shard as u32, pair });
                }
            }
        }
        pairs.sort_unstable_by(|a, b| {
            a.name.cmp(&b.name).then_with(|| texts.get(a.value).cmp(texts.get(b.value)))
        });
        let mut ranks: Vec<Vec<u32>> = found.iter().map(|found| vec![0; found.used.len()]).collect();
        let mut order: Vec<u32> = (0..names.len() as u32).collect();
        let mut rank = 0;
        let mut last: Option<&UsedPair> = None;
        for pair in &pairs {
            let same = last
                .is_some_and(|last| last.name == pair.name && texts.get(last.value) == texts.get(pair.value));
            if !same {
                rank += 1;
                order.push(pair.value);
            }
            ranks[pair.shard as usize][pair.pair as usize] = rank;
            last = Some(pair);
        }
        drop(pairs);
        order.sort_unstable_by(|&a, &b| texts.get(a).cmp(texts.get(b)));
        order.dedup_by(|a, b| texts.get(*a) == texts.get(*b));
        (texts, order, ranks)
    }

    /// The label names in use, in order.
    fn names(&self, found: &[Found]) -> Vec<String> {
        let mut names = BTreeSet::new();
        for (shard, found) in self.shards.iter().zip(found) {
            let data = shard.data.read();
            for (name, text) in data.symbols.names() {
                let in_use = |&pair: &u32| found.used.get(pair as usize).is_some_and(|used| *used);
                if data.symbols.pairs_of(name).iter().any(in_use) {
                    names.insert(text.to_owned());
                }
            }
        }
        names.into_iter().collect()
    }

    fn sort(&self, shard: usize, slots: &[u32], ranks: &[u32]) -> Vec<u32> {
        let mut keys: Vec<u32> = Vec::new();
        let mut ends: Vec<usize> = Vec::with_capacity(slots.len());
        for some in slots.chunks(STEP) {
            let data = self.shards[shard].data.read();
            for &slot in some {
                keys.extend(data.pairs(slot).map(|pair| ranks[pair as usize]));
                ends.push(keys.len());
            }
        }
        let key = |i: u32| {
            let i = i as usize;
            let start = if i == 0 { 0 } else { ends[i - 1] };
            &keys[start..ends[i]]
        };
        let mut order: Vec<u32> = (0..slots.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| key(a).cmp(key(b)));
        order.iter_mut().for_each(|i| *i = slots[*i as usize]);
        order
    }
}

/// Whether an id is in one of the runs, which are in order.
fn contains(runs: &RunSet, id: u32) -> bool {
    let at = runs.partition_point(|&(_, end)| end < id);
    runs.get(at).is_some_and(|&(start, _)| start <= id)
}

impl Ordered<'_> {
    /// Whether there is nothing; a series that is there may still turn out to have no data.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.current.is_none()
    }

    /// Goes to the next series of a run and puts the run in its place among the others.
    fn go_on(&mut self, index: usize) {
        let run = &mut self.runs[index];
        let end = match run.ends.next() {
            Some(end) => end,
            None => {
                run.fill(self.head, &self.reader, self.span);
                match run.ends.next() {
                    Some(end) => end,
                    None => return,
                }
            }
        };
        run.next = (run.next.1, end);
        let place = self.waiting.partition_point(|&other| self.runs[other].key() > self.runs[index].key());
        self.waiting.insert(place, index);
    }
}

/// All series of a head in order of their labels.
pub struct SeriesInOrder<'a>(Ordered<'a>);

impl Head {
    /// The series that have samples from `min_time` to `max_time` (both inclusive), one after the other in order of
    /// their labels. Chunks are copied for a few hundred series at a time.
    ///
    /// # Errors
    /// When the series cannot be found.
    pub fn series_in_order(&self, min_time: i64, max_time: i64) -> Result<SeriesInOrder<'_>, SelectError> {
        self.in_label_order(min_time, max_time, Samples::All, &[], None).map(SeriesInOrder)
    }
}

impl SeriesInOrder<'_> {
    /// The next series with all of its labels.
    ///
    /// # Errors
    /// When a mapped chunk is damaged; the series after it can still be read.
    #[expect(clippy::should_implement_trait, reason = "what is returned borrows from this")]
    pub fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        if !self.0.advance().map_err(|e| SelectError::Corrupt(e.to_string()))? {
            return Ok(None);
        }
        let labels = std::mem::take(&mut self.0.labels);
        let part = self.0.current.and_then(|run| self.0.runs[run].part.as_mut());
        let view = part.map_or(Ok(None), SeriesPart::next)?;
        let chunks = view.map_or(Chunks::Kept(&[]), |view| view.chunks);
        Ok(Some(SeriesView { labels, chunks }))
    }
}

impl SeriesSource for Ordered<'_> {
    fn symbols(&self) -> Result<SymbolIter<'_>, BlockError> {
        Ok(Box::new(self.symbols.iter().map(|&i| Ok(Cow::Borrowed(self.texts.get(i))))))
    }

    fn advance(&mut self) -> Result<bool, BlockError> {
        if let Some(run) = self.current.take() {
            self.go_on(run);
        }
        // Nobody asks for them any more.
        self.symbols = Vec::new();
        self.texts = Texts::default();
        let Some(run) = self.waiting.pop() else { return Ok(false) };
        self.current = Some(run);
        self.labels = self.runs[run].labels.pop_front().unwrap_or_default();
        Ok(true)
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    /// To be called once a series.
    fn chunks<'c>(&'c mut self, out: &mut Vec<NewChunk<'c>>) -> Result<&'c [Interval], BlockError> {
        let part = self.current.and_then(|run| self.runs[run].part.as_mut());
        let view = match part.map_or(Ok(None), SeriesPart::next) {
            Ok(view) => view,
            Err(error) => {
                // Better a block without it than none ever again.
                let (series, err) = (self.labels.to_string(), error.to_string());
                tracing::error!(series, err, "A series cannot be read: it is left out of the block");
                self.head.metrics.chunk_corruptions.inc();
                None
            }
        };
        let Some(view) = view else { return Ok(&[]) };
        for chunk in view.chunks.iter() {
            if let ChunkView::Encoded { encoding, min_time, max_time, bytes, .. } = *chunk {
                out.push(NewChunk { encoding, min_time, max_time, bytes });
            }
        }
        Ok(&[])
    }
}

impl<'a> Run<'a> {
    fn key(&self) -> &[u32] {
        &self.keys[self.next.0..self.next.1]
    }

    /// Copies what the next series have.
    fn fill(&mut self, head: &'a Head, reader: &Arc<Reader>, span: Span) {
        let shard = &head.shards[self.shard];
        self.keys.clear();
        self.labels.clear();
        self.next = (0, 0);
        let mut ends = Vec::with_capacity(BATCH);
        while ends.is_empty() && !self.slots.as_slice().is_empty() {
            let data = shard.data.read();
            // The labels are needed before the chunks.
            let wanted = Wanted::new(&data, Projection::Only(&[]));
            let mut part = Part::new(shard, Arc::clone(reader), wanted, BATCH).only(self.which);
            for slot in self.slots.by_ref().take(BATCH) {
                let before = part.size_hint();
                part.add(&data, &head.chunk_files, slot, span);
                if part.size_hint() > before {
                    self.keys.extend(data.pairs(slot).map(|pair| self.ranks[pair as usize]));
                    self.labels.push_back(data.labels(slot));
                    ends.push(self.keys.len());
                }
            }
            drop(data);
            part.copy_files();
            self.part = Some(part);
        }
        self.ends = ends.into_iter();
    }
}
