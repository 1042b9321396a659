//! The chunks of a series in order of time, those that overlap made into one.
//!
//! Which of two samples of the same time is taken is a matter of how the chunks lie to each other; it is decided as
//! Prometheus decides it, so that both read the same from one directory.

use chunk::{ChunkError, Encoding};

use super::buffer::Late;
use super::encode::{self, Encoded};

/// Samples of a chunk that is made by merging.
const MOST: usize = 120;

/// A chunk of a series. In-order chunks are listed before others, each kind in order of age.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) encoding: Encoding,
    pub(crate) bytes: &'a [u8],
}

/// What is to be delivered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Merged {
    /// The source at this place, unchanged.
    AsIs(usize),
    /// A new chunk.
    New(Encoded),
}

/// Puts chunks in order; what lies in no other's time comes as it is.
pub(crate) fn merge(sources: &[Source<'_>]) -> Result<Vec<Merged>, (usize, ChunkError)> {
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by_key(|&i| sources[i].min_time);
    let mut out = Vec::new();
    let mut at = 0;
    while at < order.len() {
        let mut end = at + 1;
        let mut max_time = sources[order[at]].max_time;
        while end < order.len() && sources[order[end]].min_time <= max_time {
            max_time = max_time.max(sources[order[end]].max_time);
            end += 1;
        }
        let group = &order[at..end];
        match group {
            [only] => out.push(Merged::AsIs(*only)),
            _ => {
                let samples = chain(sources, group)?;
                let mut chunks = Vec::new();
                encode::encode(&samples, encode::lossless(&samples), MOST, &mut chunks);
                out.extend(chunks.into_iter().map(Merged::New));
            }
        }
        at = end;
    }
    Ok(out)
}

/// The samples of one source that are still to come.
type Rest = std::vec::IntoIter<Late>;

fn next_time(rest: &Rest) -> i64 {
    rest.as_slice().first().map_or(i64::MAX, |sample| sample.t)
}

/// All samples in order of time, one for each.
///
/// One source is read from while its next sample is older than those of the others, which wait in a heap. When it is
/// not, even if only as old as, it goes into the heap and another one is taken from the top: so of two samples of the
/// same time, that of the source that was *not* being read from is taken, and the order of the heap decides further
/// ones.
fn chain(sources: &[Source<'_>], group: &[usize]) -> Result<Vec<Late>, (usize, ChunkError)> {
    let mut rests: Vec<Rest> = Vec::with_capacity(group.len());
    for &i in group {
        let mut samples = Vec::new();
        let Source { encoding, bytes, .. } = sources[i];
        encode::decode(encoding, bytes, &mut samples).map_err(|e| (i, e))?;
        rests.push(samples.into_iter());
    }
    let total = rests.iter().map(ExactSizeIterator::len).sum();
    let mut out: Vec<Late> = Vec::with_capacity(total);
    let mut waiting = rests.into_iter();
    let Some(mut current) = waiting.next() else { return Ok(out) };
    let mut heap = Heap::default();
    waiting.filter(|rest| rest.len() > 0).for_each(|rest| heap.push(rest));
    let mut last = None;
    loop {
        let other_is_next = match current.as_slice().first() {
            Some(next) if Some(next.t) == last => {
                current.next();
                continue;
            }
            Some(next) => heap.top().is_some_and(|top| next.t >= top),
            None => true,
        };
        if other_is_next {
            if current.len() > 0 {
                heap.push(current);
            }
            match heap.pop() {
                Some(other) => current = other,
                None => return Ok(out),
            }
        }
        if let Some(sample) = current.next().filter(|sample| Some(sample.t) != last) {
            last = Some(sample.t);
            out.push(sample);
        }
    }
}

/// A binary heap by next time, that moves its entries in the textbook way: equal ones come out in a certain order.
#[derive(Default)]
struct Heap {
    rests: Vec<Rest>,
}

impl Heap {
    fn top(&self) -> Option<i64> {
        self.rests.first().map(next_time)
    }

    fn less(&self, a: usize, b: usize) -> bool {
        next_time(&self.rests[a]) < next_time(&self.rests[b])
    }

    fn push(&mut self, rest: Rest) {
        self.rests.push(rest);
        let mut at = self.rests.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(at, parent) {
                break;
            }
            self.rests.swap(at, parent);
            at = parent;
        }
    }

    fn pop(&mut self) -> Option<Rest> {
        let last = self.rests.len().checked_sub(1)?;
        self.rests.swap(0, last);
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= last {
                break;
            }
            let right = left + 1;
            let child = if right < last && self.less(right, left) { right } else { left };
            if !self.less(child, at) {
                break;
            }
            self.rests.swap(at, child);
            at = child;
        }
        self.rests.pop()
    }
}
