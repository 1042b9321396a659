//! A part of an answer: series with copies of their open chunks and the places of their full ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chunk::Encoding;
use model::{Labels, Sample};
use storage::{ChunkView, Projection, SelectError, SeriesPart, SeriesView};

use crate::chunk_files::{ChunkFiles, chunk_at};
use crate::closed::{self, ClosedChunk, Place};
use crate::epochs::Reader;
use crate::mmap::MappedFile;
use crate::series::Series;
use crate::shard::{Shard, ShardData};

/// Labels are looked up for this many series at a time, under one lock.
const AHEAD: usize = 64;

/// Where the data of a piece is.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// In this file at this offset.
    File(u32, u32),
    /// In the arena: start and length.
    Copied(u32, u32),
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    min_time: i64,
    max_time: i64,
    source: Source,
}

enum Content {
    /// The pieces up to this index, from where the series before ended.
    Pieces(u32),
    Newest(Sample),
}

/// Which labels to build, by the numbers that names have in the shard. (Names keep their number for ever.)
#[derive(Clone)]
pub(super) enum Wanted {
    All,
    Only(Vec<u32>),
    Without(Vec<u32>),
}

impl Wanted {
    pub(super) fn new(data: &ShardData, projection: Projection<'_>) -> Self {
        let ids = |names: &[&str]| names.iter().filter_map(|name| data.symbols.name_id(name)).collect();
        match projection {
            Projection::All => Wanted::All,
            Projection::Only(names) => Wanted::Only(ids(names)),
            Projection::Without(names) => Wanted::Without(ids(names)),
        }
    }

    pub(super) fn labels(&self, data: &ShardData, slot: u32) -> Labels {
        let pairs = data.pairs(slot).filter(|&pair| match self {
            Wanted::All => true,
            Wanted::Only(names) => names.contains(&data.symbols.name_of(pair)),
            Wanted::Without(names) => !names.contains(&data.symbols.name_of(pair)),
        });
        Labels::from_sorted(pairs.map(|pair| data.symbols.pair(pair)))
    }
}

/// See the module.
pub(super) struct Part<'a> {
    shard: &'a Shard,
    /// Keeps the slots from being given to other series.
    _reader: Arc<Reader>,
    wanted: Wanted,
    series: Vec<(u32, Content)>,
    pieces: Vec<Piece>,
    files: BTreeMap<u32, Arc<MappedFile>>,
    arena: Vec<u8>,
    newest: [Sample; 1],
    at: usize,
    /// Where the pieces of the next series begin.
    piece_at: u32,
    labels: VecDeque<Labels>,
}

/// The time range and kind of a request.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) newest_only: bool,
}

impl<'a> Part<'a> {
    pub(super) fn new(shard: &'a Shard, reader: Arc<Reader>, wanted: Wanted, series: usize) -> Self {
        Part {
            shard,
            _reader: reader,
            wanted,
            series: Vec::with_capacity(series),
            pieces: Vec::new(),
            files: BTreeMap::new(),
            arena: Vec::new(),
            newest: [Sample { t: 0, v: 0.0 }],
            at: 0,
            piece_at: 0,
            labels: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Takes in a series, if it has data in the span.
    pub(super) fn add(&mut self, data: &ShardData, files: &ChunkFiles, slot: u32, span: Span) {
        let series = data.series(slot);
        let Some(last) = series.last_time(&data.slab) else { return };
        if last < span.min_time {
            return;
        }
        if span.newest_only
            && last <= span.max_time
            && let Some((t, v)) = series.last_sample()
        {
            self.series.push((slot, Content::Newest(Sample { t, v })));
            return;
        }
        let first_piece = self.pieces.len();
        self.add_open(data, series, span);
        for chunk in closed::newest_first(&data.slab, series.closed) {
            if chunk.max_time() < span.min_time || span.newest_only && self.pieces.len() > first_piece {
                break;
            }
            if chunk.min_time <= span.max_time {
                self.add_closed(data, files, &chunk);
            }
        }
        if self.pieces.len() > first_piece {
            self.pieces[first_piece..].reverse();
            self.series.push((slot, Content::Pieces(self.pieces.len() as u32)));
        }
    }

    fn add_open(&mut self, data: &ShardData, series: &Series, span: Span) {
        let bytes = series.open_bytes(&data.slab);
        let (Some(min_time), Some((max_time, _))) =
            (chunk::first_time(Encoding::Xor, bytes), series.last_sample())
        else {
            return;
        };
        if min_time <= span.max_time && max_time >= span.min_time {
            self.copy(bytes, min_time, max_time);
        }
    }

    fn add_closed(&mut self, data: &ShardData, files: &ChunkFiles, chunk: &ClosedChunk) {
        match chunk.place() {
            Place::Memory(addr, len) => {
                self.copy(&data.slab.bytes(addr)[..len], chunk.min_time, chunk.max_time());
            }
            Place::File(number, offset) => {
                if !self.files.contains_key(&number)
                    && let Some(file) = files.file(number)
                {
                    self.files.insert(number, file);
                }
                self.pieces.push(Piece {
                    min_time: chunk.min_time,
                    max_time: chunk.max_time(),
                    source: Source::File(number, offset),
                });
            }
        }
    }

    fn copy(&mut self, bytes: &[u8], min_time: i64, max_time: i64) {
        let source = Source::Copied(self.arena.len() as u32, bytes.len() as u32);
        self.arena.extend_from_slice(bytes);
        self.pieces.push(Piece { min_time, max_time, source });
    }

    fn view(&self, piece: &Piece) -> Result<ChunkView<'_>, SelectError> {
        let (encoding, bytes) = match piece.source {
            Source::Copied(start, len) => {
                (Encoding::Xor, &self.arena[start as usize..start as usize + len as usize])
            }
            Source::File(number, offset) => {
                let corrupt = |why: &str| {
                    SelectError::Corrupt(format!("chunks_head/{number:06} at offset {offset}: {why}"))
                };
                let file = self.files.get(&number).ok_or_else(|| corrupt("the file is missing"))?;
                chunk_at(file, offset).map_err(corrupt)?
            }
        };
        let samples = chunk::sample_count(encoding, bytes);
        let (min_time, max_time) = (piece.min_time, piece.max_time);
        Ok(ChunkView::Encoded { encoding, min_time, max_time, samples, bytes })
    }
}

impl SeriesPart for Part<'_> {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        if self.labels.is_empty() {
            let data = self.shard.data.read();
            let next = self.series[self.at..].iter().take(AHEAD);
            self.labels.extend(next.map(|&(slot, _)| self.wanted.labels(&data, slot)));
        }
        let Some((_, content)) = self.series.get(self.at) else { return Ok(None) };
        let labels = self.labels.pop_front().unwrap_or_default();
        self.at += 1;
        match *content {
            Content::Newest(sample) => {
                self.newest = [sample];
                Ok(Some(SeriesView::new(labels, vec![ChunkView::Samples(&self.newest)])))
            }
            Content::Pieces(end) => {
                let start = std::mem::replace(&mut self.piece_at, end);
                let pieces = &self.pieces[start as usize..end as usize];
                let views = pieces.iter().map(|piece| self.view(piece)).collect::<Result<Vec<_>, _>>()?;
                Ok(Some(SeriesView::new(labels, views)))
            }
        }
    }

    fn size_hint(&self) -> usize {
        self.series.len() - self.at
    }
}
