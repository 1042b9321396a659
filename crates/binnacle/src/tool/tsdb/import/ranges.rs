//! Samples by the block that they go to, encoded as they come.

use std::collections::{BTreeMap, HashMap};

use chunk::XorAppender;
use model::number::format_g;

/// promtool commits after so many samples of a block; only then are they looked at by those that follow.
const BATCH: u64 = 5000;
/// What the state of a series of a range takes beside its bytes, about.
const SERIES_MEMORY: usize = 256;

/// Prometheus' rules of where a chunk ends.
mod rules {
    pub(super) const SAMPLES: u16 = 120;
    /// A chunk of this many bytes takes no more samples.
    pub(super) const FULL_BYTES: usize = 1024 - 19;
}

/// The blocks to be, from a time on.
pub(super) struct Ranges {
    from: i64,
    /// What lies at or after this was not gathered.
    pub(super) end: i64,
    length: i64,
    memory: usize,
    used: usize,
    /// By begin.
    pub(super) gathered: BTreeMap<i64, Range>,
}

/// The samples of one block to be.
#[derive(Default)]
pub(super) struct Range {
    series: HashMap<u32, Box<OneSeries>>,
    /// Samples that were taken or passed over.
    seen: u64,
    used: usize,
    /// Why promtool would stop here.
    pub(super) failed: Option<String>,
}

/// A chunk that is complete.
pub(super) struct Chunk<'a> {
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) bytes: &'a [u8],
}

struct Full {
    min_time: i64,
    max_time: i64,
    bytes: Box<[u8]>,
}

struct OneSeries {
    full: Vec<Full>,
    open: XorAppender,
    bytes: Vec<u8>,
    first: i64,
    last: (i64, f64),
    cut_at: i64,
    /// Batch of the last sample.
    batch: u64,
    /// The last sample of earlier batches.
    committed: Option<(i64, f64)>,
}

impl Ranges {
    /// Ranges of `length` from `from` on, of which as many are gathered as fit into `memory`, but one at least.
    pub(super) fn new(from: i64, length: i64, memory: usize) -> Self {
        Ranges { from, end: i64::MAX, length, memory, used: 0, gathered: BTreeMap::new() }
    }

    /// The begin of the range that a time belongs to, if that is being gathered.
    pub(super) fn of(&self, t: i64) -> Option<i64> {
        (self.from <= t && t < self.end).then(|| t - (t - self.from) % self.length)
    }

    /// Adds a sample of a series, by number, to the range that begins at `range`.
    pub(super) fn add(&mut self, range: i64, series: u32, t: i64, v: f64) {
        let gathered = self.gathered.entry(range).or_default();
        let before = gathered.used;
        gathered.add(series, t, v, 2 * self.length);
        self.used += gathered.used - before;
        while self.used > self.memory && self.gathered.len() > 1 {
            self.drop_last();
        }
    }

    /// Notes that promtool would stop over a sample of this range.
    pub(super) fn fail(&mut self, range: i64, why: String) {
        self.gathered.entry(range).or_default().failed.get_or_insert(why);
    }

    fn drop_last(&mut self) {
        if let Some((begin, range)) = self.gathered.pop_last() {
            self.used -= range.used;
            self.end = begin;
        }
    }
}

impl Range {
    fn add(&mut self, number: u32, t: i64, v: f64, chunk_range: i64) {
        if self.failed.is_some() {
            return;
        }
        let batch = self.seen / BATCH;
        self.seen += 1;
        let mut added = 0;
        let series = self.series.entry(number).or_insert_with(|| {
            added += SERIES_MEMORY;
            Box::new(OneSeries::new(batch))
        });
        match series.add(t, v, batch, chunk_range) {
            Ok(bytes) => self.used += bytes + added,
            Err(why) => self.failed = Some(why),
        }
    }

    /// The numbers of its series, in order.
    pub(super) fn series(&self) -> impl Iterator<Item = u32> {
        let mut numbers: Vec<u32> = self.series.keys().copied().collect();
        numbers.sort_unstable();
        numbers.into_iter()
    }

    /// The chunks of a series.
    pub(super) fn chunks(&self, series: u32) -> impl Iterator<Item = Chunk<'_>> {
        self.series.get(&series).into_iter().flat_map(|series| series.chunks())
    }
}

impl OneSeries {
    fn new(batch: u64) -> Self {
        OneSeries {
            full: Vec::new(),
            open: XorAppender::new(),
            bytes: Vec::new(),
            first: 0,
            last: (i64::MIN, 0.0),
            cut_at: 0,
            batch,
            committed: None,
        }
    }

    /// Adds a sample if it is newer than all before; says how many more bytes that takes.
    fn add(&mut self, t: i64, v: f64, batch: u64, chunk_range: i64) -> Result<usize, String> {
        if self.batch < batch {
            self.committed = Some(self.last);
            self.batch = batch;
        }
        if let Some((last, value)) = self.committed {
            if t < last {
                return Err("out of order sample".to_owned());
            }
            if t == last && v.to_bits() != value.to_bits() {
                return Err(format!(
                    "duplicate sample for timestamp {t}; overrides not allowed: existing {}, new value {}",
                    format_g(value),
                    format_g(v)
                ));
            }
        }
        let empty = self.open.samples() == 0;
        if t <= self.last.0 && (!empty || !self.full.is_empty()) {
            return Ok(0);
        }
        let before = self.bytes.capacity();
        let mut taken = 0;
        if empty || self.must_cut(t) {
            taken += self.close();
            self.first = t;
            self.cut_at = t - t.rem_euclid(chunk_range) + chunk_range;
        }
        if self.bytes.len() < self.open.len() + XorAppender::MAX_SAMPLE_LEN + 2 {
            self.bytes.resize((self.bytes.len() * 5 / 4).max(self.open.len() + 32), 0);
        }
        // There is room for the longest sample.
        let _ = self.open.append(&mut self.bytes, t, v);
        self.last = (t, v);
        Ok((taken + self.bytes.capacity()).saturating_sub(before))
    }

    fn must_cut(&mut self, t: i64) -> bool {
        let samples = self.open.samples();
        if samples == rules::SAMPLES / 4 {
            self.cut_at = predicted_end(self.first, self.last.0, self.cut_at);
        }
        t >= self.cut_at || samples >= 2 * rules::SAMPLES || self.open.len() > rules::FULL_BYTES
    }

    /// Ends the open chunk; says how many bytes it takes.
    fn close(&mut self) -> usize {
        let length = self.open.len();
        if self.open.samples() > 0 {
            let bytes = Box::from(self.bytes.get(..length).unwrap_or_default());
            self.full.push(Full { min_time: self.first, max_time: self.last.0, bytes });
        }
        self.open = XorAppender::new();
        length + size_of::<Full>()
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> {
        let full = self.full.iter().map(|chunk| Chunk {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            bytes: &chunk.bytes,
        });
        let open = (self.open.samples() > 0).then(|| Chunk {
            min_time: self.first,
            max_time: self.last.0,
            bytes: self.bytes.get(..self.open.len()).unwrap_or_default(),
        });
        full.chain(open)
    }
}

/// Where a chunk should end so that the time up to `end` is shared evenly among chunks like it, when a quarter of its
/// samples came between `first` and `last`.
fn predicted_end(first: i64, last: i64, end: i64) -> i64 {
    let n = (end - first) as f64 / ((last - first + 1) as f64 * 4.0);
    if n <= 1.0 { end } else { (first as f64 + (end - first) as f64 / n.floor()) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(ranges: &Ranges) -> Vec<(i64, u32, usize)> {
        let mut all = Vec::new();
        for (begin, range) in &ranges.gathered {
            for number in range.series() {
                let samples =
                    range.chunks(number).map(|c| chunk::sample_count(chunk::Encoding::Xor, c.bytes));
                let samples = samples.map(usize::from).sum();
                all.push((*begin, number, samples));
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn ranges_beyond_the_memory_are_left_for_later() {
        let mut ranges = Ranges::new(0, 1000, 3 * (SERIES_MEMORY + 100));
        for series in 0..2 {
            for t in (0..10_000).step_by(100) {
                if let Some(range) = ranges.of(t) {
                    ranges.add(range, series, t, 1.0);
                }
            }
        }
        assert_eq!(ranges.end, 1000);
        assert_eq!(samples(&ranges), [(0, 0, 10), (0, 1, 10)]);
        assert_eq!((ranges.of(999), ranges.of(1000), ranges.of(-1)), (Some(0), None, None));
    }

    #[test]
    fn old_samples_are_passed_over_until_promtool_would_see_them() {
        let mut ranges = Ranges::new(0, 1_000_000, usize::MAX);
        for t in [5, 3, 5, 6] {
            ranges.add(0, 1, t, t as f64);
        }
        assert_eq!(samples(&ranges), [(0, 1, 2)]);
        for t in 0..5000 {
            ranges.add(0, 2, t, 0.0);
        }
        assert_eq!(ranges.gathered[&0].failed, None);
        ranges.add(0, 1, 6, 6.0);
        assert_eq!(ranges.gathered[&0].failed, None);
        ranges.add(0, 1, 6, 7.0);
        let why = "duplicate sample for timestamp 6; overrides not allowed: existing 6, new value 7";
        assert_eq!(ranges.gathered[&0].failed.as_deref(), Some(why));
    }
}
