//! Chunks of one series that overlap.
//!
//! Chunks are taken in order of time; those that overlap are decoded, and their samples taken in order of time.

use std::collections::VecDeque;

use chunk::Encoding;

use super::encode::ChunkSplitter;
use super::heap::Heap;
use super::samples::{Point, decode};
use super::{Piece, Trouble};

/// Resolves overlaps, series by series.
pub(super) struct Overlaps {
    floats: Encoding,
}

/// The chunks of one source that are left.
type Run<'a> = VecDeque<Piece<'a>>;

fn begins_before(a: &Run<'_>, b: &Run<'_>) -> bool {
    let times = |run: &Run<'_>| run.front().map(|piece| (piece.min_time, piece.max_time));
    times(a) < times(b)
}

impl Overlaps {
    pub(super) fn new(floats: Encoding) -> Self {
        Overlaps { floats }
    }

    /// The chunks of all runs, each of which is in order, in order and without overlaps.
    pub(super) fn resolve<'a>(&self, runs: Vec<Vec<Piece<'a>>>) -> Result<Vec<Piece<'a>>, Trouble> {
        let mut heap = Heap::default();
        for run in runs.into_iter().filter(|run| !run.is_empty()) {
            heap.push(Run::from(run), begins_before);
        }
        let mut done = Vec::new();
        while let Some(first) = take_first(&mut heap) {
            let mut end = first.max_time;
            let mut group: Vec<Piece<'a>> = Vec::new();
            while let Some(next) = heap.first().and_then(|run| run.front())
                && next.min_time <= end
            {
                let Some(next) = take_first(&mut heap) else { break };
                if !same(&next, group.last().unwrap_or(&first)) {
                    end = end.max(next.max_time);
                    group.push(next);
                }
            }
            if group.is_empty() {
                done.push(first);
                continue;
            }
            group.push(first);
            let mut made = self.mix(&group)?.into_iter();
            done.extend(made.next());
            // What follows overlaps nothing any more, but has its place in the heap.
            let rest: Run<'a> = made.collect();
            if !rest.is_empty() {
                heap.push(rest, begins_before);
            }
        }
        Ok(done)
    }

    /// The samples of all chunks in order of time, in chunks again.
    fn mix(&self, group: &[Piece<'_>]) -> Result<Vec<Piece<'static>>, Trouble> {
        let mut sources = Vec::with_capacity(group.len());
        for piece in group {
            let points =
                decode(piece.encoding, &piece.bytes).map_err(|e| Trouble::Chunk(piece.min_time, e))?;
            sources.push(points.into_iter().collect::<VecDeque<_>>());
        }
        let mut out = ChunkSplitter::new(self.floats);
        let mut chain = Chain::new(sources);
        while let Some(point) = chain.next() {
            let t = point.t;
            out.push(point).map_err(|e| Trouble::Chunk(t, e))?;
        }
        Ok(out.finish())
    }
}

fn take_first<'a>(heap: &mut Heap<Run<'a>>) -> Option<Piece<'a>> {
    let mut run = heap.pop(begins_before)?;
    let first = run.pop_front();
    if !run.is_empty() {
        heap.push(run, begins_before);
    }
    first
}

fn same(a: &Piece<'_>, b: &Piece<'_>) -> bool {
    (a.min_time, a.max_time) == (b.min_time, b.max_time) && a.bytes == b.bytes
}

/// The samples of several sources in order of time, each time once.
struct Chain {
    /// All but the current one; those without samples are not in it.
    others: Heap<VecDeque<Point>>,
    current: VecDeque<Point>,
    last: Option<i64>,
    /// Nothing was taken yet.
    fresh: bool,
}

fn earlier(a: &VecDeque<Point>, b: &VecDeque<Point>) -> bool {
    a.front().map(|p| p.t) < b.front().map(|p| p.t)
}

impl Chain {
    fn new(sources: Vec<VecDeque<Point>>) -> Self {
        let mut sources = sources.into_iter();
        let current = sources.next().unwrap_or_default();
        let mut others = Heap::default();
        for source in sources.filter(|source| !source.is_empty()) {
            others.push(source, earlier);
        }
        Chain { others, current, last: None, fresh: true }
    }

    /// Goes on with the current source while it is the earliest. On the same time the source that waits comes first.
    fn next(&mut self) -> Option<Point> {
        let mut moved = std::mem::take(&mut self.fresh);
        loop {
            let waiting = self.others.first().and_then(|source| source.front()).map(|p| p.t);
            match (self.current.front().map(|p| p.t), waiting) {
                (Some(t), _) if self.last == Some(t) => {
                    self.current.pop_front();
                    continue;
                }
                (Some(_), None) => break,
                (Some(t), Some(waiting)) if t < waiting => break,
                (None, None) => return None,
                (None, Some(_)) => self.current = self.others.pop(earlier)?,
                (Some(_), Some(_)) => {
                    self.others.push(std::mem::take(&mut self.current), earlier);
                    self.current = self.others.pop(earlier)?;
                }
            }
            moved = true;
            if self.current.front().map(|p| p.t) != self.last {
                break;
            }
        }
        let mut point = self.current.pop_front()?;
        if moved {
            point.value.forget_reset();
        }
        self.last = Some(point.t);
        Some(point)
    }
}
