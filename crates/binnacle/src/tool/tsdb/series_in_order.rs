//! All series of a directory in order of their labels, blocks and head joined, one series in memory at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use block::{Block, BlockError, Interval, SeriesEntry};
use chunk::{Columns, Encoding, HistogramPoint};
use model::histogram::HistogramValue;
use model::{Labels, Matcher};
use storage::{ChunkView, QueryContext};
use tsdb::{Head, SeriesInOrder};

use crate::tool::Failure;

/// Damaged places that are named.
const MOST_DAMAGED: usize = 20;

/// What to read.
pub(super) struct Wanted {
    /// Series that match all matchers of one of these.
    pub(super) selectors: Vec<Vec<Matcher>>,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    /// Whether samples are needed at all.
    pub(super) samples: bool,
}

impl Wanted {
    fn selects(&self, labels: &Labels) -> bool {
        let all_match = |matchers: &Vec<Matcher>| matchers.iter().all(|m| m.matches_labels(labels));
        self.selectors.iter().any(|matchers| !matchers.is_empty() && all_match(matchers))
    }

    fn time(&self, t: i64) -> bool {
        self.min_time <= t && t <= self.max_time
    }
}

/// A series with its samples in order of time.
#[derive(Default)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) floats: Columns,
    pub(super) histograms: Vec<HistogramPoint>,
}

impl Series {
    fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }

    /// Puts samples of several chunks or stores in order; of those with the same time the first stays.
    fn settle(&mut self) {
        if !self.floats.times.is_sorted_by(|a, b| a < b) {
            let mut all: Vec<(i64, f64)> =
                self.floats.times.drain(..).zip(self.floats.values.drain(..)).collect();
            all.sort_by_key(|sample| sample.0);
            all.dedup_by_key(|sample| sample.0);
            (self.floats.times, self.floats.values) = all.into_iter().unzip();
        }
        if !self.histograms.is_sorted_by(|a, b| a.t < b.t) {
            self.histograms.sort_by_key(|point| point.t);
            self.histograms.dedup_by_key(|point| point.t);
        }
    }

    fn take(&mut self, chunk: &ChunkView<'_>) -> Result<(), chunk::ChunkError> {
        match chunk {
            ChunkView::Encoded { encoding, samples, bytes, .. } => {
                return self.decode(*encoding, bytes, *samples);
            }
            ChunkView::Samples(samples) => {
                self.floats.times.extend(samples.iter().map(|s| s.t));
                self.floats.values.extend(samples.iter().map(|s| s.v));
            }
            ChunkView::Histograms(samples) => {
                self.histograms.extend(samples.iter().map(|s| HistogramPoint {
                    t: s.t,
                    start_time: 0,
                    value: HistogramValue::Float(Box::new((*s.histogram).clone())),
                }));
            }
        }
        Ok(())
    }

    fn decode(&mut self, encoding: Encoding, bytes: &[u8], limit: u16) -> Result<(), chunk::ChunkError> {
        if encoding.is_float() {
            chunk::decode(encoding, bytes, limit, &mut self.floats)
        } else {
            chunk::decode_histograms(encoding, bytes, limit, &mut self.histograms)
        }
    }

    /// Keeps the samples from the given places on that `keep` accepts by their time.
    fn retain(&mut self, floats: usize, histograms: usize, keep: impl Fn(i64) -> bool) {
        let all = self.floats.times.get(floats..).unwrap_or_default();
        if !all.iter().all(|&t| keep(t)) {
            let mut kept = floats;
            for i in floats..self.floats.times.len() {
                if keep(self.floats.times[i]) {
                    self.floats.times[kept] = self.floats.times[i];
                    self.floats.values[kept] = self.floats.values[i];
                    kept += 1;
                }
            }
            self.floats.times.truncate(kept);
            self.floats.values.truncate(kept);
        }
        let mut at = 0;
        self.histograms.retain(|point| {
            at += 1;
            at <= histograms || keep(point.t)
        });
    }
}

/// Series of one store, in order of labels.
trait Source {
    /// Reads the next series into `series`, which is empty; `false` at the end. What is damaged is left out and named
    /// in `damaged`.
    fn next(&mut self, series: &mut Series, damaged: &mut Vec<String>) -> Result<bool, Failure>;
}

/// See the module.
pub(super) struct InOrder<'a> {
    sources: Vec<(Box<dyn Source + 'a>, Series)>,
    /// The labels that each source, by place, is at.
    waiting: BinaryHeap<Reverse<(Labels, usize)>>,
    series: Series,
    /// What could not be read, a line each; not all of it when there is much.
    pub(super) damaged: Vec<String>,
}

impl<'a> InOrder<'a> {
    /// The head's samples go before those of blocks with the same time.
    pub(super) fn new(
        head: Option<&'a Head>,
        blocks: &'a [Block],
        wanted: &'a Wanted,
    ) -> Result<Self, Failure> {
        let mut all: Vec<Box<dyn Source + 'a>> = Vec::new();
        if let Some(head) = head {
            all.push(Box::new(OfHead::new(head, wanted)?));
        }
        for block in blocks.iter().filter(|block| block.overlaps(wanted.min_time, wanted.max_time)) {
            all.push(Box::new(OfBlock::new(block, wanted)?));
        }
        let sources = all.into_iter().map(|source| (source, Series::default())).collect();
        let mut in_order =
            InOrder { sources, waiting: BinaryHeap::new(), series: Series::default(), damaged: Vec::new() };
        for source in 0..in_order.sources.len() {
            in_order.advance(source)?;
        }
        Ok(in_order)
    }

    /// The next series.
    pub(super) fn next(&mut self) -> Result<Option<&Series>, Failure> {
        let Some(Reverse((labels, first))) = self.waiting.pop() else { return Ok(None) };
        self.series.clear();
        let mut source = first;
        loop {
            let of_source = &mut self.sources[source].1;
            if source == first {
                std::mem::swap(&mut self.series, of_source);
            } else {
                self.series.floats.times.append(&mut of_source.floats.times);
                self.series.floats.values.append(&mut of_source.floats.values);
                self.series.histograms.append(&mut of_source.histograms);
            }
            self.advance(source)?;
            match self.waiting.peek() {
                Some(Reverse((next, place))) if *next == labels => source = *place,
                _ => break,
            }
            self.waiting.pop();
        }
        self.series.labels = labels;
        self.series.settle();
        Ok(Some(&self.series))
    }

    fn advance(&mut self, place: usize) -> Result<(), Failure> {
        let (source, series) = &mut self.sources[place];
        series.clear();
        let more = source.next(series, &mut self.damaged)?;
        self.damaged.truncate(MOST_DAMAGED);
        if more {
            self.waiting.push(Reverse((series.labels.clone(), place)));
        }
        Ok(())
    }
}

struct OfBlock<'a> {
    block: &'a Block,
    wanted: &'a Wanted,
    numbers: std::vec::IntoIter<u32>,
    entry: SeriesEntry<'a>,
}

impl<'a> OfBlock<'a> {
    fn new(block: &'a Block, wanted: &'a Wanted) -> Result<Self, Failure> {
        let mut numbers = Vec::new();
        for matchers in wanted.selectors.iter().filter(|matchers| !matchers.is_empty()) {
            numbers.append(&mut block.matching(&QueryContext::unlimited(), matchers)?);
        }
        if wanted.selectors.len() > 1 {
            numbers.sort_unstable();
            numbers.dedup();
        }
        Ok(OfBlock { block, wanted, numbers: numbers.into_iter(), entry: SeriesEntry::default() })
    }
}

impl Source for OfBlock<'_> {
    fn next(&mut self, series: &mut Series, damaged: &mut Vec<String>) -> Result<bool, Failure> {
        let (block, wanted) = (self.block, self.wanted);
        for number in self.numbers.by_ref() {
            if let Err(damage) = block.index().series(number, &mut self.entry) {
                let path = block.dir().join("index");
                damaged.push(BlockError::Damaged { path, damage }.to_string());
                continue;
            }
            let deleted = block.tombstones().of(u64::from(number));
            let mut any = false;
            for stored in &self.entry.chunks {
                let within = stored.min_time <= wanted.max_time && wanted.min_time <= stored.max_time;
                if !within || covers(deleted, stored.min_time, stored.max_time) {
                    continue;
                }
                any = true;
                if !wanted.samples {
                    break;
                }
                let (floats, histograms) = (series.floats.times.len(), series.histograms.len());
                let decoded = block.stored_chunk(stored.reference).map_err(|e| e.to_string());
                let decoded = decoded.and_then(|(encoding, bytes)| {
                    Encoding::try_from(encoding)
                        .and_then(|encoding| series.decode(encoding, bytes, u16::MAX))
                        .map_err(|e| undecodable(block.dir(), stored.reference, &e))
                });
                damaged.extend(decoded.err());
                series.retain(floats, histograms, |t| wanted.time(t) && !covers(deleted, t, t));
            }
            if any {
                series.labels = self.entry.label_set();
                series.settle();
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn undecodable(dir: &Path, reference: u64, error: &chunk::ChunkError) -> String {
    let (segment, offset) = ((reference >> 32).saturating_add(1), reference as u32);
    format!("{}/chunks/{segment:06}: at offset {offset}: {error}", dir.display())
}

/// Whether one of the ranges has all of this time.
fn covers(deleted: &[Interval], min_time: i64, max_time: i64) -> bool {
    deleted.iter().any(|i| i.min_time <= min_time && max_time <= i.max_time)
}

struct OfHead<'a> {
    wanted: &'a Wanted,
    series: SeriesInOrder<'a>,
}

impl<'a> OfHead<'a> {
    fn new(head: &'a Head, wanted: &'a Wanted) -> Result<Self, Failure> {
        Ok(OfHead { wanted, series: head.series_in_order(wanted.min_time, wanted.max_time)? })
    }
}

impl Source for OfHead<'_> {
    fn next(&mut self, series: &mut Series, damaged: &mut Vec<String>) -> Result<bool, Failure> {
        loop {
            let view = match self.series.next() {
                Ok(Some(view)) => view,
                Ok(None) => return Ok(false),
                Err(error) => {
                    damaged.push(error.to_string());
                    continue;
                }
            };
            if view.chunks.is_empty() || !self.wanted.selects(&view.labels) {
                continue;
            }
            if self.wanted.samples {
                for chunk in view.chunks.iter() {
                    let taken = series.take(chunk);
                    damaged.extend(taken.err().map(|e| format!("the head, {}: {e}", view.labels)));
                }
                series.retain(0, 0, |t| self.wanted.time(t));
            }
            series.labels = view.labels;
            series.settle();
            return Ok(true);
        }
    }
}
