//! The chunks of a series in order of time, those that overlap made into one.
//!
//! Which of two samples of the same time is taken is a matter of how the chunks lie to each other; it is decided as
//! Prometheus decides it, so that both read the same from one directory.

use chunk::{ChunkError, Encoding};

use super::buffer::Late;
use super::encode::{self, Encoded, Encodings};

/// Samples of a chunk that is made by merging.
const MOST: usize = 120;

/// The content of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data<'a> {
    Chunk(Encoding, &'a [u8]),
    Open(&'a [Late]),
}

/// A chunk of a series. In-order chunks are listed before others, each kind in order of age.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) data: Data<'a>,
}

/// What is to be delivered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Merged {
    /// The source at this place, unchanged.
    AsIs(usize),
    /// A new chunk.
    New(Encoded),
}

/// Puts chunks in order; what lies in no other's time comes as it is. With `trim`, samples out of the range from
/// `min_time` to `max_time` (inclusive) are left out; otherwise chunks come whole.
pub(crate) fn merge(
    sources: &[Source<'_>],
    trim: Option<(i64, i64)>,
) -> Result<Vec<Merged>, (usize, ChunkError)> {
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
        let inside = trim.is_none_or(|(min, max)| sources[order[at]].min_time >= min && max_time <= max);
        match (group, sources[order[at]].data) {
            ([only], Data::Chunk(..)) if inside => out.push(Merged::AsIs(*only)),
            _ => {
                let mut samples = chain(sources, group)?;
                if let Some((min, max)) = trim {
                    samples.retain(|sample| sample.t >= min && sample.t <= max);
                }
                let mut chunks = Vec::new();
                encode::encode(&samples, encodings(&samples), MOST, &mut chunks);
                out.extend(chunks.into_iter().map(Merged::New));
            }
        }
        at = end;
    }
    Ok(out)
}

/// Encodings that keep all there is to samples.
fn encodings(samples: &[Late]) -> Encodings {
    let start_times = samples.iter().any(|sample| sample.start_time != 0);
    Encodings {
        floats: if start_times { Encoding::Xor2 } else { Encoding::Xor },
        histogram_start_times: start_times,
    }
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
        match sources[i].data {
            Data::Open(open) => samples.extend_from_slice(open),
            Data::Chunk(encoding, bytes) => {
                encode::decode(encoding, bytes, &mut samples).map_err(|e| (i, e))?;
            }
        }
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
