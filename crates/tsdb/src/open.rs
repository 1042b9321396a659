//! Open chunks. Those of encoding XOR, which nearly all series have, are in [`Series`] and the slab; the state of others
//! is in tables beside, so that a series of floats pays nothing for them. Here the two meet: what is appended to a
//! series, and what its open chunk holds, whatever it is.

use chunk::{Encoding, HistogramAppended, HistogramPoint, HistogramWriter, Xor2Appender};
use model::histogram::{CounterReset, FloatHistogram, HistogramValue, IntegerHistogram};
use storage::Rejection;

use crate::closed::{self, ClosedChunk};
use crate::newest::NewestSample;
use crate::series::{Appended, CutRules, FIRST_BYTES, FloatChunk, OpenKind, Series};
use crate::shard::ShardData;
use crate::slab::{Addr, Slab};

/// A chunk of histograms is to become about so long.
const HISTOGRAM_BYTES: usize = 1024;
/// A chunk of histograms is not cut for its size before it has so many samples.
const HISTOGRAM_SAMPLES: u16 = 10;

/// An open XOR2 chunk; its bytes are in the slab.
#[derive(Debug)]
struct OpenXor2 {
    state: Xor2Appender,
    bytes: Addr,
}

/// An open chunk of histograms.
#[derive(Debug)]
struct OpenHistograms {
    writer: HistogramWriter,
    min_time: i64,
    /// The chunk is cut at this time.
    cut_at: i64,
    /// `cut_at` is a prediction from the chunk's growth, not the end of the range.
    predicted: bool,
}

/// Entries that keep their place.
#[derive(Debug)]
struct Table<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    fn insert(&mut self, entry: T) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = Some(entry);
                place
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() as u32 - 1
            }
        }
    }

    fn get(&self, place: u32) -> Option<&T> {
        self.entries.get(place as usize).and_then(Option::as_ref)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.entries.get_mut(place as usize).and_then(Option::as_mut)
    }

    fn take(&mut self, place: u32) -> Option<T> {
        let entry = self.entries.get_mut(place as usize)?.take();
        if entry.is_some() {
            self.free.push(place);
        }
        entry
    }
}

/// The state of a shard's open chunks that are not XOR.
#[derive(Debug, Default)]
pub(crate) struct OpenChunks {
    xor2: Table<OpenXor2>,
    histograms: Table<OpenHistograms>,
}

impl OpenChunks {
    /// Bytes held, as far as they are not in the slab.
    pub(crate) fn held(&self) -> usize {
        let histograms = self.histograms.entries.iter().flatten();
        self.xor2.entries.capacity() * size_of::<Option<OpenXor2>>()
            + self.histograms.entries.capacity() * size_of::<Option<OpenHistograms>>()
            + histograms.map(|open| open.writer.bytes().len()).sum::<usize>()
    }
}

/// An open chunk as it is now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenView<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) bytes: &'a [u8],
}

impl ShardData {
    /// Whether a float would be accepted.
    #[inline]
    pub(crate) fn check_float(&self, slot: u32, t: i64, v: f64) -> Result<Appended, Rejection> {
        let series = self.series(slot);
        match series.open {
            OpenKind::Xor => series.check(&self.slab, t, v),
            OpenKind::Xor2 | OpenKind::Histogram => self.check_float_aside(series, t, v),
        }
    }

    fn check_float_aside(&self, series: &Series, t: i64, v: f64) -> Result<Appended, Rejection> {
        if series.open == OpenKind::Xor2
            && let Some(open) = self.open.xor2.get(series.place())
        {
            return compare(t, open.state.last_time(), || open.state.last_value().to_bits() == v.to_bits());
        }
        match self.open.histograms.get(series.place()).and_then(|open| open.writer.last()) {
            Some((last, _)) => compare(t, last, || false),
            None => Ok(Appended::Stored),
        }
    }

    /// The newest sample of the open chunk, if that is of floats.
    pub(crate) fn newest_float(&self, slot: u32) -> Option<f64> {
        let series = self.series(slot);
        match series.open {
            OpenKind::Xor => series.last_sample().map(|(_, v)| v),
            OpenKind::Xor2 => self.open.xor2.get(series.place()).map(|open| open.state.last_value()),
            OpenKind::Histogram => None,
        }
    }

    /// Whether a histogram would be accepted.
    pub(crate) fn check_histogram(
        &self,
        slot: u32,
        t: i64,
        value: &HistogramValue,
    ) -> Result<Appended, Rejection> {
        let series = self.series(slot);
        if series.open == OpenKind::Histogram
            && let Some((last, before)) =
                self.open.histograms.get(series.place()).and_then(|open| open.writer.last())
        {
            return compare(t, last, || same(before, value));
        }
        match self.open_chunk(slot).map(|open| open.max_time) {
            Some(last) => compare(t, last, || false),
            None => match closed::newest(&self.slab, series.closed) {
                Some(last) if t <= last.max_time() => Err(Rejection::OutOfOrder),
                _ => Ok(Appended::Stored),
            },
        }
    }

    /// Appends a float. A staleness marker takes the type of the sample before it.
    #[inline]
    pub(crate) fn append_float(
        &mut self,
        slot: u32,
        rules: &CutRules,
        start_time: i64,
        t: i64,
        v: f64,
    ) -> Result<Appended, Rejection> {
        let series = self.series(slot);
        let stale = model::is_stale(v) && series.open_samples() == 0;
        if series.open != OpenKind::Xor || rules.floats != FloatChunk::Xor || stale {
            return self.append_float_aside(slot, rules, start_time, t, v);
        }
        let before = series.last_sample().map_or_else(NewestSample::default, |(_, v)| NewestSample::float(v));
        let appended = self.append_xor(slot, rules, t, v)?;
        self.newest.change(before, NewestSample::float(v));
        Ok(appended)
    }

    #[inline]
    fn append_xor(&mut self, slot: u32, rules: &CutRules, t: i64, v: f64) -> Result<Appended, Rejection> {
        let (series, slab, _) = self.parts(slot);
        let had_open = series.open_samples() > 0;
        let appended = series.append(slab, rules, t, v)?;
        if appended == Appended::Cut && had_open {
            self.unwritten.push(slot);
        }
        Ok(appended)
    }

    fn append_float_aside(
        &mut self,
        slot: u32,
        rules: &CutRules,
        start_time: i64,
        t: i64,
        v: f64,
    ) -> Result<Appended, Rejection> {
        if self.check_float(slot, t, v)? == Appended::Unchanged {
            return Ok(Appended::Unchanged);
        }
        self.with_newest(slot, |data| data.append_float_of_any_kind(slot, rules, start_time, t, v))
    }

    fn append_float_of_any_kind(
        &mut self,
        slot: u32,
        rules: &CutRules,
        start_time: i64,
        t: i64,
        v: f64,
    ) -> Result<Appended, Rejection> {
        if model::is_stale(v)
            && let Some(value) = self.stale_histogram(slot)
        {
            return self.append_checked_histogram(slot, rules, &HistogramPoint { t, start_time, value });
        }
        let series = self.series(slot);
        let xor = match (series.open, rules.floats) {
            (OpenKind::Histogram, floats) => {
                self.end_open(slot).ok_or(Rejection::OutOfBounds)?;
                floats == FloatChunk::Xor
            }
            // A chunk goes on in the encoding in which it began, unless that has no place for start times.
            (OpenKind::Xor2, _) => false,
            (OpenKind::Xor, FloatChunk::Xor) => true,
            (OpenKind::Xor, FloatChunk::Xor2) => series.open_samples() > 0,
            (OpenKind::Xor, FloatChunk::Xor2WithStartTimes) => {
                self.end_open(slot).ok_or(Rejection::OutOfBounds)?;
                false
            }
        };
        if !xor {
            let start_time = if rules.floats == FloatChunk::Xor2WithStartTimes { start_time } else { 0 };
            return self.append_xor2(slot, rules, start_time, t, v);
        }
        self.append_xor(slot, rules, t, v)
    }

    fn append_xor2(
        &mut self,
        slot: u32,
        rules: &CutRules,
        start_time: i64,
        t: i64,
        v: f64,
    ) -> Result<Appended, Rejection> {
        let (series, slab, open) = self.parts(slot);
        let mut cut = true;
        if series.open == OpenKind::Xor2
            && let Some(open) = open.xor2.get(series.place())
        {
            let bytes = slab.bytes(open.bytes);
            let first = || chunk::first_time(Encoding::Xor2, &bytes[..open.state.len()]);
            cut = series.cut_due(
                rules,
                t,
                open.state.samples(),
                first,
                open.state.last_time(),
                open.state.len(),
            );
        }
        if cut {
            self.end_open(slot).ok_or(Rejection::OutOfBounds)?;
            let (series, slab, open) = self.parts(slot);
            let bytes = slab.alloc(FIRST_BYTES).ok_or(Rejection::OutOfBounds)?;
            let place = open.xor2.insert(OpenXor2 { state: Xor2Appender::new(), bytes });
            series.begin_aside(OpenKind::Xor2, place, rules);
        }
        let (series, slab, open) = self.parts(slot);
        let open = open.xor2.get_mut(series.place()).ok_or(Rejection::OutOfBounds)?;
        while open.state.append(slab.bytes_mut(open.bytes), start_time, t, v).is_err() {
            let len = slab.bytes(open.bytes).len();
            if len > usize::from(u16::MAX) {
                return Err(Rejection::OutOfBounds);
            }
            open.bytes = slab.grow(open.bytes, open.state.len(), len + 1).ok_or(Rejection::OutOfBounds)?;
        }
        Ok(if cut { Appended::Cut } else { Appended::Stored })
    }

    /// Appends a histogram.
    pub(crate) fn append_histogram(
        &mut self,
        slot: u32,
        rules: &CutRules,
        point: &HistogramPoint,
    ) -> Result<Appended, Rejection> {
        if self.check_histogram(slot, point.t, &point.value)? == Appended::Unchanged {
            return Ok(Appended::Unchanged);
        }
        self.with_newest(slot, |data| data.append_checked_histogram(slot, rules, point))
    }

    fn append_checked_histogram(
        &mut self,
        slot: u32,
        rules: &CutRules,
        point: &HistogramPoint,
    ) -> Result<Appended, Rejection> {
        let encoding = Encoding::of_histogram(&point.value, rules.histogram_start_times);
        let (series, _, open) = self.parts(slot);
        let mut header = CounterReset::Unknown;
        let mut predicted = false;
        if series.open == OpenKind::Histogram
            && let Some(open) = open.histograms.get_mut(series.place())
            && open.writer.encoding() == encoding
        {
            if !open.must_cut(rules, point.t) {
                match open.writer.append(point) {
                    HistogramAppended::Appended | HistogramAppended::Recoded => return Ok(Appended::Stored),
                    HistogramAppended::Incompatible(reset) => {
                        header = reset;
                        // As Prometheus: a chunk that follows a reset is not predicted anew.
                        predicted = open.predicted;
                    }
                    HistogramAppended::Full => header = open.writer.header_after(&point.value),
                    HistogramAppended::Malformed => return Err(Rejection::OutOfBounds),
                }
            } else {
                header = open.writer.header_after(&point.value);
            }
        }
        self.end_open(slot).ok_or(Rejection::OutOfBounds)?;
        let mut writer = HistogramWriter::with_header(encoding, header);
        if !matches!(writer.append(point), HistogramAppended::Appended | HistogramAppended::Recoded) {
            return Err(Rejection::OutOfBounds);
        }
        let (series, _, open) = self.parts(slot);
        let cut_at = rules.range_end(point.t);
        let place = open.histograms.insert(OpenHistograms { writer, min_time: point.t, cut_at, predicted });
        series.begin_aside(OpenKind::Histogram, place, rules);
        Ok(Appended::Cut)
    }

    /// A staleness marker as the series' newest sample requires it, if that is a histogram.
    fn stale_histogram(&self, slot: u32) -> Option<HistogramValue> {
        let newest = match self.open_chunk(slot) {
            Some(open) => open.encoding,
            None => closed::newest(&self.slab, self.series(slot).closed)?.encoding(),
        };
        let sum = model::STALE_NAN;
        match newest {
            Encoding::Xor | Encoding::Xor2 => None,
            Encoding::Histogram | Encoding::HistogramSt => {
                Some(HistogramValue::Integer(Box::new(IntegerHistogram {
                    sum,
                    ..IntegerHistogram::default()
                })))
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                Some(HistogramValue::Float(Box::new(FloatHistogram { sum, ..FloatHistogram::default() })))
            }
        }
    }

    /// The open chunk, if there is one.
    #[inline]
    pub(crate) fn open_chunk(&self, slot: u32) -> Option<OpenView<'_>> {
        let series = self.series(slot);
        match series.open {
            OpenKind::Xor => {
                let bytes = series.open_bytes(&self.slab);
                let (max_time, _) = series.last_sample()?;
                let min_time = chunk::first_time(Encoding::Xor, bytes)?;
                Some(OpenView { encoding: Encoding::Xor, min_time, max_time, bytes })
            }
            OpenKind::Xor2 => {
                let open = self.open.xor2.get(series.place())?;
                let bytes = &self.slab.bytes(open.bytes)[..open.state.len()];
                let min_time = chunk::first_time(Encoding::Xor2, bytes)?;
                let max_time = open.state.last_time();
                Some(OpenView { encoding: Encoding::Xor2, min_time, max_time, bytes })
            }
            OpenKind::Histogram => {
                let open = self.open.histograms.get(series.place())?;
                let (max_time, _) = open.writer.last()?;
                let (encoding, bytes) = (open.writer.encoding(), open.writer.bytes());
                Some(OpenView { encoding, min_time: open.min_time, max_time, bytes })
            }
        }
    }

    /// The newest sample, if it is a float in the open chunk.
    #[inline]
    pub(crate) fn last_float(&self, slot: u32) -> Option<(i64, f64)> {
        let series = self.series(slot);
        match series.open {
            OpenKind::Xor => series.last_sample(),
            OpenKind::Xor2 => {
                let open = self.open.xor2.get(series.place())?;
                Some((open.state.last_time(), open.state.last_value()))
            }
            OpenKind::Histogram => None,
        }
    }

    /// Whether the newest sample says so.
    pub(crate) fn has_ended(&self, slot: u32) -> bool {
        self.newest_sample(slot).ended
    }

    fn newest_sample(&self, slot: u32) -> NewestSample {
        match (self.last_float(slot), self.last_histogram(slot)) {
            (Some((_, v)), _) => NewestSample::float(v),
            (None, Some(value)) => NewestSample::histogram(value),
            (None, None) => NewestSample::default(),
        }
    }

    /// Makes a change that may leave the series with another newest sample.
    fn with_newest<R>(&mut self, slot: u32, change: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.newest_sample(slot);
        let result = change(self);
        self.newest.change(before, self.newest_sample(slot));
        result
    }

    /// Time of the newest sample.
    #[inline]
    pub(crate) fn last_time(&self, slot: u32) -> Option<i64> {
        let series = self.series(slot);
        if series.open == OpenKind::Xor {
            return series.last_time(&self.slab);
        }
        self.open_chunk(slot).map(|open| open.max_time)
    }

    /// Time of the oldest sample.
    pub(crate) fn first_time(&self, slot: u32) -> Option<i64> {
        closed::oldest(&self.slab, self.series(slot).closed)
            .map(|c| c.min_time)
            .or_else(|| self.open_chunk(slot).map(|open| open.min_time))
    }

    /// Gives a series that has no open chunk one that was open before a restart. `None` when it is older than what the
    /// series has, or cannot be read.
    pub(crate) fn resume_open(
        &mut self,
        slot: u32,
        rules: &CutRules,
        encoding: Encoding,
        bytes: &[u8],
    ) -> Option<()> {
        let first = chunk::first_time(encoding, bytes)?;
        if self.last_time(slot).is_some_and(|last| last >= first) {
            return None;
        }
        self.with_newest(slot, |data| data.begin_open(slot, rules, encoding, bytes, first))
    }

    fn begin_open(
        &mut self,
        slot: u32,
        rules: &CutRules,
        encoding: Encoding,
        bytes: &[u8],
        first: i64,
    ) -> Option<()> {
        let (series, slab, open) = self.parts(slot);
        match encoding {
            Encoding::Xor => series.resume(slab, rules, bytes)?,
            Encoding::Xor2 => {
                let state = Xor2Appender::resume(bytes).ok()?;
                let (samples, last) = (state.samples(), state.last_time());
                let at = slab.alloc(bytes.len())?;
                slab.bytes_mut(at)[..bytes.len()].copy_from_slice(bytes);
                let place = open.xor2.insert(OpenXor2 { state, bytes: at });
                series.begin_aside(OpenKind::Xor2, place, rules);
                series.predict_cut(rules, samples, first, last);
            }
            _ => {
                let writer = HistogramWriter::resume(encoding, bytes).ok()?;
                writer.last()?;
                let cut_at = rules.range_end(first);
                let entry = OpenHistograms { writer, min_time: first, cut_at, predicted: false };
                let place = open.histograms.insert(entry);
                series.begin_aside(OpenKind::Histogram, place, rules);
            }
        }
        Some(())
    }

    /// The newest sample of the open chunk, if that is a histogram.
    pub(crate) fn last_histogram(&self, slot: u32) -> Option<&HistogramValue> {
        let series = self.series(slot);
        if series.open != OpenKind::Histogram {
            return None;
        }
        self.open.histograms.get(series.place())?.writer.last().map(|(_, value)| value)
    }

    /// Makes the open chunk a closed one that is still in memory. `None` when there is no room to note it.
    pub(crate) fn close_open(&mut self, slot: u32) -> Option<()> {
        self.with_newest(slot, |data| data.end_open(slot))
    }

    fn end_open(&mut self, slot: u32) -> Option<()> {
        let (series, slab, open) = self.parts(slot);
        match series.open {
            OpenKind::Xor if series.open_samples() == 0 => return Some(()),
            OpenKind::Xor => series.close_open(slab)?,
            OpenKind::Xor2 => {
                let ended = open.xor2.take(series.place())?;
                let len = ended.state.len();
                let min_time = chunk::first_time(Encoding::Xor2, &slab.bytes(ended.bytes)[..len]);
                let (min_time, max_time) = (min_time?, ended.state.last_time());
                let closed = ClosedChunk::in_memory(min_time, max_time, Encoding::Xor2, ended.bytes, len);
                series.end_aside();
                closed::push(slab, &mut series.closed, closed)?;
            }
            OpenKind::Histogram => {
                let ended = open.histograms.take(series.place())?;
                series.end_aside();
                let (max_time, _) = ended.writer.last()?;
                let bytes = ended.writer.bytes();
                let at = slab.alloc(bytes.len())?;
                slab.bytes_mut(at)[..bytes.len()].copy_from_slice(bytes);
                let encoding = ended.writer.encoding();
                let closed = ClosedChunk::in_memory(ended.min_time, max_time, encoding, at, bytes.len());
                closed::push(slab, &mut series.closed, closed)?;
            }
        }
        self.unwritten.push(slot);
        Some(())
    }

    /// Drops the chunks that end before `time`, and says how many.
    pub(crate) fn drop_before(&mut self, slot: u32, time: i64) -> usize {
        let ended = self.open_chunk(slot).is_some_and(|open| open.max_time < time);
        let (series, slab, _) = self.parts(slot);
        let dropped = closed::drop_before(slab, &mut series.closed, time);
        if ended {
            self.discard(slot);
        }
        dropped + usize::from(ended)
    }

    /// Gives back all memory of a series, and its slot.
    pub(crate) fn free_series(&mut self, slot: u32) {
        self.discard(slot);
        let (series, slab, _) = self.parts(slot);
        series.free(slab);
    }

    fn discard(&mut self, slot: u32) {
        self.with_newest(slot, |data| {
            let (series, slab, open) = data.parts(slot);
            discard_open(series, slab, open);
        });
    }
}

fn discard_open(series: &mut Series, slab: &mut Slab, open: &mut OpenChunks) {
    match series.open {
        OpenKind::Xor => series.discard_xor(slab),
        OpenKind::Xor2 => {
            if let Some(ended) = open.xor2.take(series.place()) {
                slab.free(ended.bytes);
            }
            series.end_aside();
        }
        OpenKind::Histogram => {
            open.histograms.take(series.place());
            series.end_aside();
        }
    }
}

impl OpenHistograms {
    /// Prometheus' rules: chunks of about a kilobyte, of equal length within a range, with at least ten samples.
    fn must_cut(&mut self, rules: &CutRules, t: i64) -> bool {
        let (bytes, samples) = (self.writer.bytes().len(), self.writer.samples());
        let next_range = if self.predicted { rules.range_end(self.min_time) } else { self.cut_at };
        if !self.predicted && bytes >= HISTOGRAM_BYTES / 4 {
            let last = self.writer.last().map_or(self.min_time, |(t, _)| t);
            let ratio = HISTOGRAM_BYTES as f64 / bytes as f64;
            self.cut_at = crate::series::predicted_end(self.min_time, last, self.cut_at, ratio);
            self.predicted = true;
        }
        (t >= self.cut_at || bytes >= HISTOGRAM_BYTES * 2)
            && (samples >= HISTOGRAM_SAMPLES || t >= next_range)
    }
}

fn compare(t: i64, last: i64, same: impl FnOnce() -> bool) -> Result<Appended, Rejection> {
    if t > last {
        Ok(Appended::Stored)
    } else if t < last {
        Err(Rejection::OutOfOrder)
    } else if same() {
        Ok(Appended::Unchanged)
    } else {
        Err(Rejection::Duplicate)
    }
}

/// Whether both are the same histogram; empty buckets and what is known of resets make no difference.
fn same(a: &HistogramValue, b: &HistogramValue) -> bool {
    let stale = |value: &HistogramValue| model::is_stale(value.sum());
    if std::mem::discriminant(a) != std::mem::discriminant(b) || stale(a) != stale(b) {
        return false;
    }
    if stale(a) {
        return true;
    }
    let (mut a, mut b) = (a.to_float(), b.to_float());
    a.compact();
    b.compact();
    a.same(&b)
}
