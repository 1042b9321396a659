//! A part of an answer: series with copies of their open chunks and the places of their full ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use block::Intervals;
use chunk::{Encoding, Rewritten};
use model::{Labels, Sample, is_stale};
use storage::{ChunkView, Newest, Projection, SelectError, SeriesPart, SeriesView};

use crate::chunk_files::{ChunkFiles, Window, chunk_at};
use crate::closed::{self, ClosedChunk, Place};
use crate::deleted::Deleted;
use crate::epochs::Reader;
use crate::mmap::MappedFile;
use crate::ooo;
use crate::ooo::read::{self, Copied, Delivered};
use crate::shard::{Shard, ShardData};
use crate::without::without;

/// Labels are looked up for this many series at a time, under one lock.
const AHEAD: usize = 64;

/// Where the data of a piece is.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// In this file at this offset.
    File(u32, u32),
    /// In the arena: start and length.
    Copied(Encoding, u32, u32),
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
    /// The pieces up to this index, and the copy of this number of what came out of order.
    Late(u32, u32),
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

    /// The labels of a series; `latest` is for the series one after the other under one lock.
    pub(super) fn labels(&self, data: &ShardData, slot: u32, latest: &mut Latest) -> Labels {
        let keeps = |pair: &u32| match self {
            Wanted::All => true,
            Wanted::Only(names) => names.contains(&data.symbols.name_of(*pair)),
            Wanted::Without(names) => !names.contains(&data.symbols.name_of(*pair)),
        };
        match self {
            Wanted::All => return data.labels(slot),
            Wanted::Only(names) if names.is_empty() => return Labels::empty(),
            _ => {}
        }
        latest.next.clear();
        latest.next.extend(data.pairs(slot).filter(keeps));
        if latest.next != latest.pairs {
            std::mem::swap(&mut latest.next, &mut latest.pairs);
            latest.labels = Labels::from_sorted(latest.pairs.iter().map(|&pair| data.symbols.pair(pair)));
        }
        latest.labels.clone()
    }
}

/// The labels of a series and their pairs: with some labels left out, the next series often has the same.
#[derive(Default)]
pub(super) struct Latest {
    pairs: Vec<u32>,
    labels: Labels,
    /// Those of the next series.
    next: Vec<u32>,
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
    /// Which samples are wanted.
    which: Which,
    late: Vec<Copied>,
    delivered: Delivered,
    /// What was deleted, by place in `series`.
    deleted: BTreeMap<usize, Deleted>,
    /// Chunks of the current series that were written anew without that.
    rest: Vec<Rewritten>,
    rest_of_late: Vec<Rewritten>,
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
    pub(super) newest: Option<Newest>,
}

/// Which samples a part delivers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    All,
    /// Those that came in order.
    InOrder,
    /// Those that came out of order, in chunks up to a place.
    OutOfOrder(ooo::Place),
}

impl<'a> Part<'a> {
    /// Delivers only these samples.
    pub(super) fn only(self, which: Which) -> Self {
        Part { which, ..self }
    }

    pub(super) fn new(shard: &'a Shard, reader: Arc<Reader>, wanted: Wanted, series: usize) -> Self {
        Part {
            shard,
            _reader: reader,
            wanted,
            series: Vec::with_capacity(series),
            pieces: Vec::new(),
            files: BTreeMap::new(),
            arena: Vec::new(),
            which: Which::All,
            late: Vec::new(),
            delivered: Vec::new(),
            deleted: BTreeMap::new(),
            rest: Vec::new(),
            rest_of_late: Vec::new(),
            newest: [Sample { t: 0, v: 0.0 }],
            at: 0,
            piece_at: 0,
            labels: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.series.capacity() * size_of::<(u32, Content)>()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.arena.capacity()
            + self.late.iter().map(|late| size_of::<Copied>() + late.held()).sum::<usize>()
    }

    /// Takes in a series, if it has data in the span.
    pub(super) fn add(&mut self, data: &ShardData, files: &ChunkFiles, slot: u32, span: Span) {
        let deleted = match self.which {
            // Prometheus writes them to blocks, too, whatever was deleted from the head.
            Which::OutOfOrder(_) => None,
            _ if data.deleted.is_empty() => None,
            _ => data.deleted.get(&slot),
        };
        let Some(deleted) = deleted else { return self.add_whole(data, files, slot, span) };
        let place = self.series.len();
        // What was deleted may be the newest samples.
        self.add_whole(data, files, slot, Span { newest: None, ..span });
        if self.series.len() > place {
            self.deleted.insert(place, deleted.clone());
        }
    }

    fn add_whole(&mut self, data: &ShardData, files: &ChunkFiles, slot: u32, span: Span) {
        if let Some(late) = data.ooo.get(slot)
            && self.add_late(data, files, slot, late, span)
        {
            return;
        }
        if let Which::OutOfOrder(_) = self.which {
            return;
        }
        let Some(last) = data.last_time(slot) else { return };
        if last < span.min_time {
            return;
        }
        if let Some(newest) = span.newest
            && last <= span.max_time
            && let Some((t, v)) = data.last_float(slot)
            && (newest == Newest::Last || !is_stale(v))
        {
            self.series.push((slot, Content::Newest(Sample { t, v })));
            return;
        }
        let first_piece = self.pieces.len();
        self.add_pieces(data, files, slot, span);
        if self.pieces.len() > first_piece {
            self.pieces[first_piece..].reverse();
            self.series.push((slot, Content::Pieces(self.pieces.len() as u32)));
        }
    }

    /// The chunks of a series, newest first.
    fn add_pieces(&mut self, data: &ShardData, files: &ChunkFiles, slot: u32, span: Span) {
        let first_piece = self.pieces.len();
        if let Some(open) = data.open_chunk(slot)
            && open.min_time <= span.max_time
            && open.max_time >= span.min_time
        {
            self.copy(open.encoding, open.bytes, open.min_time, open.max_time);
        }
        for chunk in closed::newest_first(&data.slab, data.series(slot).closed) {
            if chunk.max_time() < span.min_time
                || span.newest == Some(Newest::Last) && self.pieces.len() > first_piece
            {
                break;
            }
            if chunk.min_time <= span.max_time {
                self.add_closed(data, files, &chunk);
            }
        }
    }

    /// Takes in a series with samples out of order; `false` when none of these is wanted.
    fn add_late(
        &mut self,
        data: &ShardData,
        files: &ChunkFiles,
        slot: u32,
        late: &ooo::Series,
        span: Span,
    ) -> bool {
        let upto = match self.which {
            Which::All => None,
            Which::InOrder => return false,
            Which::OutOfOrder(upto) => Some(upto),
        };
        let in_order_last = data.last_time(slot);
        let newest_in_order = in_order_last.is_some_and(|last| {
            last <= span.max_time && late.bounds().is_none_or(|(_, newest)| newest < last)
        });
        if span.newest == Some(Newest::Last) && upto.is_none() && newest_in_order {
            return false;
        }
        let Some(copied) = late.copy(span.min_time, span.max_time, upto) else { return false };
        for number in copied.files() {
            self.hold(files, number);
        }
        let first_piece = self.pieces.len();
        if upto.is_none() {
            self.add_pieces(data, files, slot, Span { newest: None, ..span });
        }
        self.pieces[first_piece..].reverse();
        self.series.push((slot, Content::Late(self.pieces.len() as u32, self.late.len() as u32)));
        self.late.push(copied);
        true
    }

    fn add_closed(&mut self, data: &ShardData, files: &ChunkFiles, chunk: &ClosedChunk) {
        match chunk.place() {
            Place::Memory(addr, len) => {
                let bytes = &data.slab.bytes(addr)[..len];
                self.copy(chunk.encoding(), bytes, chunk.min_time, chunk.max_time());
            }
            Place::File(number, offset) => {
                self.hold(files, number);
                self.pieces.push(Piece {
                    min_time: chunk.min_time,
                    max_time: chunk.max_time(),
                    source: Source::File(number, offset),
                });
            }
        }
    }

    fn hold(&mut self, files: &ChunkFiles, number: u32) {
        if !self.files.contains_key(&number)
            && let Some(file) = files.file(number)
        {
            self.files.insert(number, file);
        }
    }

    /// Copies the chunks that are in files. One that cannot be read stays where it is: whoever asks for it is told.
    pub(super) fn copy_files(&mut self) {
        let mut places: Vec<(u32, u32, usize)> = Vec::new();
        for (i, piece) in self.pieces.iter().enumerate() {
            if let Source::File(number, offset) = piece.source {
                places.push((number, offset, i));
            }
        }
        places.sort_unstable();
        let mut window = Window::default();
        for (number, offset, i) in places {
            let Some(file) = self.files.get(&number) else { continue };
            let Ok((encoding, bytes)) = window.chunk(file, number, offset) else { continue };
            self.pieces[i].source = Source::Copied(encoding, self.arena.len() as u32, bytes.len() as u32);
            self.arena.extend_from_slice(bytes);
        }
    }

    fn copy(&mut self, encoding: Encoding, bytes: &[u8], min_time: i64, max_time: i64) {
        let source = Source::Copied(encoding, self.arena.len() as u32, bytes.len() as u32);
        self.arena.extend_from_slice(bytes);
        self.pieces.push(Piece { min_time, max_time, source });
    }
}

/// What a piece holds.
fn view<'v>(
    files: &'v BTreeMap<u32, Arc<MappedFile>>,
    arena: &'v [u8],
    piece: &Piece,
) -> Result<ChunkView<'v>, SelectError> {
    let (encoding, bytes) = match piece.source {
        Source::Copied(encoding, start, len) => {
            (encoding, &arena[start as usize..start as usize + len as usize])
        }
        Source::File(number, offset) => {
            let corrupt = |why: &str| {
                SelectError::Corrupt(format!("chunks_head/{number:06} at offset {offset}: {why}"))
            };
            let file = files.get(&number).ok_or_else(|| corrupt("the file is missing"))?;
            chunk_at(file, offset).map_err(corrupt)?
        }
    };
    let samples = chunk::sample_count(encoding, bytes);
    let (min_time, max_time) = (piece.min_time, piece.max_time);
    Ok(ChunkView::Encoded { encoding, min_time, max_time, samples, bytes })
}

/// The chunks of which some was deleted, without that.
fn write_anew(views: &[ChunkView<'_>], deleted: &Intervals) -> Result<Vec<Rewritten>, SelectError> {
    let mut rest = Vec::new();
    for view in views {
        let ChunkView::Encoded { encoding, bytes, min_time, max_time, .. } = *view else { continue };
        if deleted.overlaps(min_time, max_time) && !deleted.covers(min_time, max_time) {
            let left = without(encoding, bytes, deleted)
                .map_err(|error| SelectError::Corrupt(format!("a chunk of the head: {error}")))?;
            rest.extend(left);
        }
    }
    Ok(rest)
}

/// The views with those of which some was deleted replaced by what [`write_anew`] made of them.
fn replace<'v>(views: Vec<ChunkView<'v>>, rest: &'v [Rewritten], deleted: &Intervals) -> Vec<ChunkView<'v>> {
    let mut out = Vec::with_capacity(views.len());
    let mut rest = rest.iter().peekable();
    for view in views {
        let ChunkView::Encoded { min_time, max_time, .. } = view else { continue };
        if !deleted.overlaps(min_time, max_time) {
            out.push(view);
            continue;
        }
        while let Some(part) = rest.next_if(|part| part.max_time <= max_time) {
            out.push(ChunkView::Encoded {
                encoding: part.encoding,
                min_time: part.min_time,
                max_time: part.max_time,
                samples: chunk::sample_count(part.encoding, &part.bytes),
                bytes: &part.bytes,
            });
        }
    }
    out
}

impl SeriesPart for Part<'_> {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        if self.labels.is_empty() {
            let data = self.shard.data.read();
            let next = self.series[self.at..].iter().take(AHEAD);
            let mut latest = Latest::default();
            self.labels.extend(next.map(|&(slot, _)| self.wanted.labels(&data, slot, &mut latest)));
        }
        let Some((_, content)) = self.series.get(self.at) else { return Ok(None) };
        let deleted = self.deleted.get(&self.at);
        let labels = self.labels.pop_front().unwrap_or_default();
        self.at += 1;
        let (end, late) = match *content {
            Content::Pieces(end) => (end, None),
            Content::Late(end, copy) => (end, Some(copy)),
            Content::Newest(sample) => {
                self.newest = [sample];
                return Ok(Some(SeriesView::new(labels, ChunkView::Samples(&self.newest))));
            }
        };
        let start = std::mem::replace(&mut self.piece_at, end);
        let pieces = &self.pieces[start as usize..end as usize];
        let view = |piece| view(&self.files, &self.arena, piece);
        if let ([piece], None, None) = (pieces, &deleted, late) {
            return Ok(Some(SeriesView::new(labels, view(piece)?)));
        }
        let mut views = pieces.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        if let Some(Deleted { in_order, .. }) = deleted {
            self.rest = write_anew(&views, in_order)?;
            views = replace(views, &self.rest, in_order);
        }
        if let Some(copy) = late {
            self.late[copy as usize].encode();
            let sources = self.late[copy as usize].sources(&views, &self.files)?;
            self.delivered = read::deliver(&sources)?;
            views = read::views(&self.delivered, &sources);
            if let Some(Deleted { late, .. }) = deleted.filter(|deleted| !deleted.late.is_empty()) {
                self.rest_of_late = write_anew(&views, late)?;
                views = replace(views, &self.rest_of_late, late);
            }
        }
        Ok(Some(SeriesView::new(labels, views)))
    }

    fn size_hint(&self) -> usize {
        self.series.len() - self.at
    }
}
