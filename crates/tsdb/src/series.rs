//! One series in memory, and the rules by which its open chunk is cut.

use chunk::XorAppender;
use storage::Rejection;

use crate::closed::{self, ClosedChunk};
use crate::slab::{Addr, Slab};

/// When chunks are cut: Prometheus' `samples-per-chunk` and the range of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutRules {
    /// Milliseconds. A chunk never crosses a multiple of this.
    pub(crate) chunk_range: i64,
    /// Aimed at, not promised: twice as many is the limit.
    pub(crate) samples_per_chunk: u16,
    /// What chunks of floats are.
    pub(crate) floats: FloatChunk,
    /// Whether chunks of histograms are of the encodings with start times.
    pub(crate) histogram_start_times: bool,
}

impl CutRules {
    /// End of the chunk range that `t` is in.
    pub(crate) fn range_end(&self, t: i64) -> i64 {
        (t - t.rem_euclid(self.chunk_range)).saturating_add(self.chunk_range)
    }
}

/// The encoding of new chunks of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatChunk {
    Xor,
    Xor2,
    Xor2WithStartTimes,
}

/// What an open chunk is; the state of all but XOR is in [`crate::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OpenKind {
    /// Or there is no open chunk.
    Xor,
    Xor2,
    Histogram,
}

/// A chunk of this many bytes takes no more samples (Prometheus: 1024 less the longest sample).
const FULL_BYTES: usize = 1024 - 19;

/// The bytes first given to an open chunk: two samples of a constant.
pub(crate) const FIRST_BYTES: usize = 24;

/// What a series is, in 56 bytes. Everything of varying size is in the shard's slab.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series {
    /// State of the open chunk if it is XOR; no samples: there is no such chunk.
    xor: XorAppender,
    /// Within the shard; never reused.
    pub(crate) id: u32,
    /// The label pairs' numbers as LEB128, in order of name.
    pub(crate) labels: Addr,
    /// The open chunk or, if it is not XOR, its place in the table of its kind.
    chunk: Addr,
    /// Full chunks: see [`closed`].
    pub(crate) closed: Addr,
    /// The open chunk is cut at this time, counted in milliseconds from the start of its chunk range.
    cut_after: u32,
    pub(crate) label_count: u8,
    pub(crate) state: State,
    /// Had no samples when maintenance last came by.
    pub(crate) idle: bool,
    pub(crate) open: OpenKind,
}

const _: () = assert!(size_of::<Series>() == 56);

/// Where a slot of the series table is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Nobody's.
    Free,
    /// In the index.
    Live,
    /// Out of the index, kept for readers that found it before.
    Removed,
}

/// What an accepted sample did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Appended to the open chunk.
    Stored,
    /// Began a new chunk; an open chunk before it, if any, is now closed and in memory.
    Cut,
    /// The series has this very sample already.
    Unchanged,
}

impl Series {
    pub(crate) const FREE: Series = Series {
        xor: XorAppender::new(),
        id: 0,
        labels: Addr::NONE,
        chunk: Addr::NONE,
        closed: Addr::NONE,
        cut_after: 0,
        label_count: 0,
        state: State::Free,
        idle: false,
        open: OpenKind::Xor,
    };

    pub(crate) fn new(id: u32, labels: Addr, label_count: u8) -> Self {
        Series { id, labels, label_count, state: State::Live, ..Series::FREE }
    }

    /// Samples in the open chunk.
    pub(crate) fn open_samples(&self) -> u16 {
        self.xor.samples()
    }

    /// Bytes of the open chunk; empty when there is none.
    #[inline]
    pub(crate) fn open_bytes<'a>(&self, slab: &'a Slab) -> &'a [u8] {
        if self.xor.samples() == 0 { &[] } else { &slab.bytes(self.chunk)[..self.xor.len()] }
    }

    /// The byte of the open chunk that is written to next.
    #[inline]
    pub(crate) fn open_end(&self, slab: &Slab) -> u8 {
        self.open_bytes(slab).last().copied().unwrap_or_default()
    }

    /// Time of the newest sample.
    #[inline]
    pub(crate) fn last_time(&self, slab: &Slab) -> Option<i64> {
        if self.xor.samples() > 0 {
            return Some(self.xor.last_time());
        }
        closed::newest(slab, self.closed).map(|c| c.max_time())
    }

    /// The newest sample, if it is in the open chunk.
    #[inline]
    pub(crate) fn last_sample(&self) -> Option<(i64, f64)> {
        (self.xor.samples() > 0).then(|| (self.xor.last_time(), self.xor.last_value()))
    }

    /// Place of the open chunk in the table of its kind.
    pub(crate) fn place(&self) -> u32 {
        self.chunk.to_bits()
    }

    /// Notes that an open chunk of another encoding than XOR was begun. The one before is closed.
    pub(crate) fn begin_aside(&mut self, kind: OpenKind, place: u32, rules: &CutRules) {
        self.open = kind;
        self.chunk = Addr::from_bits(place);
        self.cut_after = u32::try_from(rules.chunk_range).unwrap_or(u32::MAX);
    }

    /// Notes that such a chunk has ended.
    pub(crate) fn end_aside(&mut self) {
        self.open = OpenKind::Xor;
        self.chunk = Addr::NONE;
        self.xor = XorAppender::new();
    }

    /// Whether a sample would be accepted, if the open chunk is XOR.
    #[inline]
    pub(crate) fn check(&self, slab: &Slab, t: i64, v: f64) -> Result<Appended, Rejection> {
        if self.xor.samples() > 0 {
            let last = self.xor.last_time();
            return if t > last {
                Ok(Appended::Stored)
            } else if t < last {
                Err(Rejection::OutOfOrder)
            } else if v.to_bits() == self.xor.last_value().to_bits() {
                Ok(Appended::Unchanged)
            } else {
                Err(Rejection::Duplicate)
            };
        }
        match closed::newest(slab, self.closed) {
            Some(last) if t <= last.max_time() => Err(Rejection::OutOfOrder),
            _ => Ok(Appended::Stored),
        }
    }

    /// Appends a sample, if the open chunk is XOR.
    #[inline]
    pub(crate) fn append(
        &mut self,
        slab: &mut Slab,
        rules: &CutRules,
        t: i64,
        v: f64,
    ) -> Result<Appended, Rejection> {
        if self.check(slab, t, v)? == Appended::Unchanged {
            return Ok(Appended::Unchanged);
        }
        let cut = self.xor.samples() == 0 || self.must_cut(slab, rules, t);
        if cut {
            self.close_open(slab).ok_or(Rejection::OutOfBounds)?;
            self.chunk = slab.alloc(FIRST_BYTES).ok_or(Rejection::OutOfBounds)?;
            self.xor = XorAppender::new();
            self.cut_after = u32::try_from(rules.chunk_range).unwrap_or(u32::MAX);
        }
        while self.xor.append(slab.bytes_mut(self.chunk), t, v).is_err() {
            let bytes = slab.bytes(self.chunk).len();
            match slab.grow(self.chunk, self.xor.len(), bytes + 1) {
                Some(bigger) => self.chunk = bigger,
                None => return Err(Rejection::OutOfBounds), // the slab's 32 GiB are full
            }
        }
        Ok(if cut { Appended::Cut } else { Appended::Stored })
    }

    #[inline]
    fn must_cut(&mut self, slab: &Slab, rules: &CutRules, t: i64) -> bool {
        let xor = self.xor;
        let bytes = self.open_bytes(slab);
        let first = || chunk::first_time(chunk::Encoding::Xor, bytes);
        self.cut_due(rules, t, xor.samples(), first, xor.last_time(), xor.len())
    }

    /// Whether a chunk of floats that is so full must be cut before a sample of this time. `first` and `last` are the
    /// times of its oldest and newest sample.
    #[inline]
    pub(crate) fn cut_due(
        &mut self,
        rules: &CutRules,
        t: i64,
        samples: u16,
        first: impl FnOnce() -> Option<i64>,
        last: i64,
        bytes: usize,
    ) -> bool {
        let range_start = last - last.rem_euclid(rules.chunk_range);
        if samples == rules.samples_per_chunk / 4 {
            let end = range_start + i64::from(self.cut_after);
            let predicted = predicted_end(first().unwrap_or(last), last, end, 4.0);
            self.cut_after = u32::try_from(predicted - range_start).unwrap_or(self.cut_after);
        }
        t.saturating_sub(range_start) >= i64::from(self.cut_after)
            || samples >= rules.samples_per_chunk.saturating_mul(2)
            || bytes > FULL_BYTES
    }

    /// Begins an open chunk with these bytes, which are XOR; there is none.
    pub(crate) fn resume(&mut self, slab: &mut Slab, rules: &CutRules, bytes: &[u8]) -> Option<()> {
        let xor = XorAppender::resume(bytes).ok()?;
        let first = chunk::first_time(chunk::Encoding::Xor, bytes)?;
        let at = slab.alloc(xor.len().max(FIRST_BYTES))?;
        slab.bytes_mut(at)[..xor.len()].copy_from_slice(&bytes[..xor.len()]);
        (self.xor, self.chunk) = (xor, at);
        self.predict_cut(rules, xor.samples(), first, xor.last_time());
        Some(())
    }

    /// When a chunk that goes on after a restart is cut. The prediction that was made when it was a quarter full is
    /// made again as if its samples were equally far apart.
    pub(crate) fn predict_cut(&mut self, rules: &CutRules, samples: u16, first: i64, last: i64) {
        self.cut_after = u32::try_from(rules.chunk_range).unwrap_or(u32::MAX);
        let quarter = rules.samples_per_chunk / 4;
        if samples <= quarter || quarter == 0 {
            return;
        }
        let range_start = last - last.rem_euclid(rules.chunk_range);
        let then = first + (last - first) / i64::from(samples - 1) * i64::from(quarter - 1);
        let end = range_start.saturating_add(rules.chunk_range);
        let predicted = predicted_end(first, then, end, 4.0);
        self.cut_after = u32::try_from(predicted - range_start).unwrap_or(self.cut_after);
    }

    /// Makes the open chunk a closed one that is still in memory. `None` when there is no room to note it.
    pub(crate) fn close_open(&mut self, slab: &mut Slab) -> Option<()> {
        if self.xor.samples() == 0 {
            return Some(());
        }
        let bytes = self.open_bytes(slab);
        let min_time = chunk::first_time(chunk::Encoding::Xor, bytes).unwrap_or(self.xor.last_time());
        let (max_time, len) = (self.xor.last_time(), self.xor.len());
        let full = ClosedChunk::in_memory(min_time, max_time, chunk::Encoding::Xor, self.chunk, len);
        closed::push(slab, &mut self.closed, full)?;
        self.chunk = Addr::NONE;
        self.xor = XorAppender::new();
        Some(())
    }

    /// Gives back the memory of the open chunk, which is XOR.
    pub(crate) fn discard_xor(&mut self, slab: &mut Slab) {
        slab.free(self.chunk);
        self.chunk = Addr::NONE;
        self.xor = XorAppender::new();
    }

    /// Gives back all memory. There is no open chunk any more.
    pub(crate) fn free(&mut self, slab: &mut Slab) {
        closed::clear(slab, &mut self.closed);
        slab.free(self.labels);
        *self = Series::FREE;
    }
}

/// Where to cut a chunk that is full to one part in `to_full` so that the chunks up to `end` get equally many samples.
pub(crate) fn predicted_end(first: i64, last: i64, end: i64, to_full: f64) -> i64 {
    let n = (end - first) as f64 / ((last - first + 1) as f64 * to_full);
    if n <= 1.0 { end } else { (first as f64 + (end - first) as f64 / n.floor()) as i64 }
}
