//! What another server answers, checked before anything is made of it.
//!
//! Everything that is kept is accounted to the query first. What contradicts the protocol refuses the whole answer: a part of
//! one must not look like all of it.

use std::sync::Arc;

use chunk::{Columns, Encoding, HistogramPoint};
use exposition::ParseError;
use exposition::protobuf_wire::{BYTES, Reader, VARINT};
use model::histogram::HistogramSample;
use model::{Labels, METRIC_NAME, Matcher, Sample};
use storage::merge::series_per_part;
use storage::{ChunkView, Interrupted, QueryContext, SelectError, SeriesPart, SeriesView, labels_size};

use super::frames::Frames;
use crate::histogram::WireHistogram;
use crate::read::{Trimmed, trim};
use crate::sample::{Pair, WireSample, read_label};
use crate::snappy;

/// Longest answer of samples, in bytes, before and after decompression.
pub(super) const MAX_SAMPLES_ANSWER: u64 = 1 << 30;
/// Longest chunk, in bytes. Those of stores have a few kilobytes; decoded, one may take a hundred times as much.
const MAX_CHUNK: usize = 1 << 20;
/// What a chunk takes besides its bytes.
const CHUNK_OVERHEAD: u64 = 64;
/// What a bucket of a histogram takes in memory, about.
const BUCKET: u64 = 16;
/// What a sample of floats takes in memory.
const SAMPLE: u64 = size_of::<Sample>() as u64;

/// Why an answer is not used.
#[derive(Debug)]
pub(super) enum Refused {
    /// The query has to stop.
    Interrupted(Interrupted),
    /// The answer is wrong, or there is none.
    Answer(String),
}

impl From<Interrupted> for Refused {
    fn from(why: Interrupted) -> Self {
        Refused::Interrupted(why)
    }
}

impl From<ParseError> for Refused {
    fn from(error: ParseError) -> Self {
        Refused::Answer(error.to_string())
    }
}

impl From<chunk::ChunkError> for Refused {
    fn from(error: chunk::ChunkError) -> Self {
        Refused::Answer(error.to_string())
    }
}

fn refused<T>(text: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Answer(text.into()))
}

/// What was asked for, and so what may be answered.
#[derive(Debug)]
pub(super) struct Asked {
    /// As they were sent.
    pub(super) matchers: Vec<Matcher>,
    /// Names of external labels among them that are no part of the answer; sorted.
    pub(super) added: Vec<String>,
    /// In milliseconds, both inclusive.
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    /// Only which series there are.
    pub(super) names_only: bool,
}

impl Asked {
    /// In place of what was taken out.
    pub(super) fn nothing() -> Self {
        Asked { matchers: Vec::new(), added: Vec::new(), min_time: 0, max_time: 0, names_only: false }
    }
}

/// The series of an answer.
#[derive(Debug, Default)]
pub(super) struct Answer(Vec<AnsweredSeries>);

#[derive(Debug)]
struct AnsweredSeries {
    labels: Labels,
    chunks: Vec<OwnedChunk>,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
}

#[derive(Debug)]
struct OwnedChunk {
    encoding: Encoding,
    min_time: i64,
    max_time: i64,
    samples: u16,
    bytes: Box<[u8]>,
}

impl Answer {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_labels(self) -> impl Iterator<Item = Labels> {
        self.0.into_iter().map(|series| series.labels)
    }

    /// To be read by several threads.
    pub(super) fn into_parts(self) -> Vec<Box<dyn SeriesPart>> {
        let size = series_per_part(self.0.len());
        let mut series = self.0.into_iter();
        let mut parts: Vec<Box<dyn SeriesPart>> = Vec::new();
        loop {
            let own: Vec<_> = series.by_ref().take(size).collect();
            if own.is_empty() {
                return parts;
            }
            parts.push(Box::new(AnswerPart { rest: own.into_iter(), current: None }));
        }
    }
}

struct AnswerPart {
    rest: std::vec::IntoIter<AnsweredSeries>,
    current: Option<AnsweredSeries>,
}

impl SeriesPart for AnswerPart {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        self.current = self.rest.next();
        let Some(AnsweredSeries { labels, chunks, samples, histograms }) = &self.current else {
            return Ok(None);
        };
        let mut views: Vec<ChunkView<'_>> = chunks.iter().map(OwnedChunk::view).collect();
        if !samples.is_empty() {
            views.push(ChunkView::Samples(samples));
        }
        if !histograms.is_empty() {
            views.push(ChunkView::Histograms(histograms));
        }
        Ok(Some(SeriesView::new(labels.clone(), views)))
    }

    fn size_hint(&self) -> usize {
        self.rest.len()
    }
}

impl OwnedChunk {
    fn new(chunk: Trimmed<'_>) -> Self {
        let Trimmed { encoding, min_time, max_time, bytes } = chunk;
        let samples = chunk::sample_count(encoding, &bytes);
        OwnedChunk { encoding, min_time, max_time, samples, bytes: bytes.into_owned().into() }
    }

    fn view(&self) -> ChunkView<'_> {
        let OwnedChunk { encoding, min_time, max_time, samples, ref bytes } = *self;
        ChunkView::Encoded { encoding, min_time, max_time, samples, bytes }
    }
}

/// Reads an answer as it comes.
pub(super) struct AnswerReader<'a> {
    ctx: &'a QueryContext,
    asked: &'a Asked,
    answer: Answer,
    columns: Columns,
    points: Vec<HistogramPoint>,
}

impl<'a> AnswerReader<'a> {
    pub(super) fn new(ctx: &'a QueryContext, asked: &'a Asked) -> Self {
        let (columns, points) = (Columns::default(), Vec::new());
        AnswerReader { ctx, asked, answer: Answer::default(), columns, points }
    }

    pub(super) fn finish(self) -> Answer {
        self.answer
    }

    /// The content of a frame: `prometheus.ChunkedReadResponse`.
    pub(super) fn frame(&mut self, message: &[u8]) -> Result<(), Refused> {
        let mut r = Reader::new("ChunkedReadResponse", message);
        while let Some(tag) = r.tag()? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "ChunkedSeries")?;
                    self.chunked_series(r.bytes()?)?;
                }
                2 => {
                    tag.expect(VARINT, "QueryIndex")?;
                    if r.varint()? != 0 {
                        return refused("answer to a query that was not asked");
                    }
                }
                _ => r.skip(tag)?,
            }
        }
        Ok(())
    }

    /// A whole answer of samples: `prometheus.ReadResponse`, compressed.
    pub(super) fn samples(&mut self, packed: &[u8]) -> Result<(), Refused> {
        let corrupt = |_| Refused::Answer("error reading response: snappy: corrupt input".into());
        let len = snappy::decompressed_len(packed).map_err(corrupt)?;
        if len as u64 > MAX_SAMPLES_ANSWER || !self.ctx.has_room_for(len as u64) {
            return refused(format!("error reading response: {len} bytes after decompression are too many"));
        }
        self.ctx.hold_bytes(len as u64)?;
        let mut plain = Vec::new();
        snappy::decompress(packed, len, &mut plain).map_err(corrupt)?;
        let unreadable =
            |err: ParseError| Refused::Answer(format!("unable to unmarshal response body: {err}"));
        let mut results = Vec::new();
        let mut r = Reader::new("ReadResponse", &plain);
        while let Some(tag) = r.tag().map_err(unreadable)? {
            if tag.field != 1 {
                r.skip(tag).map_err(unreadable)?;
                continue;
            }
            tag.expect(BYTES, "Results").map_err(unreadable)?;
            results.push(r.bytes().map_err(unreadable)?);
        }
        let [result] = results[..] else {
            return refused(format!("responses: want 1, got {}", results.len()));
        };
        let mut r = Reader::new("QueryResult", result);
        while let Some(tag) = r.tag().map_err(unreadable)? {
            if tag.field != 1 {
                r.skip(tag).map_err(unreadable)?;
                continue;
            }
            tag.expect(BYTES, "Timeseries").map_err(unreadable)?;
            self.series(r.bytes().map_err(unreadable)?)?;
        }
        Ok(())
    }

    fn chunked_series(&mut self, data: &[u8]) -> Result<(), Refused> {
        let (mut pairs, mut chunks) = (Vec::new(), Vec::new());
        let mut r = Reader::new("ChunkedSeries", data);
        while let Some(tag) = r.tag()? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Labels")?;
                    pairs.push(read_label(r.bytes()?)?);
                }
                2 => {
                    tag.expect(BYTES, "Chunks")?;
                    self.chunk(r.bytes()?, &mut chunks)?;
                }
                _ => r.skip(tag)?,
            }
        }
        self.push(pairs, |labels| AnsweredSeries {
            labels,
            chunks,
            samples: Vec::new(),
            histograms: Vec::new(),
        })
    }

    fn chunk(&mut self, data: &[u8], into: &mut Vec<OwnedChunk>) -> Result<(), Refused> {
        let (mut kind, mut bytes): (u64, &[u8]) = (0, &[]);
        let mut r = Reader::new("Chunk", data);
        while let Some(tag) = r.tag()? {
            match tag.field {
                3 => {
                    tag.expect(VARINT, "Type")?;
                    kind = r.varint()?;
                }
                4 => {
                    tag.expect(BYTES, "Data")?;
                    bytes = r.bytes()?;
                }
                // What is said about times does not matter: the samples have them.
                _ => r.skip(tag)?,
            }
        }
        let encoding = Encoding::try_from(u8::try_from(kind).unwrap_or(u8::MAX))?;
        if bytes.len() > MAX_CHUNK {
            return refused(format!("a chunk of {} bytes is too long", bytes.len()));
        }
        let samples = chunk::sample_count(encoding, bytes);
        let bounds = if encoding.is_float() {
            self.columns.clear();
            chunk::decode(encoding, bytes, samples, &mut self.columns)?;
            bounds(self.columns.times.iter().copied())
        } else {
            self.points.clear();
            chunk::decode_histograms(encoding, bytes, samples, &mut self.points)?;
            if let Some(why) = self.points.iter().find_map(|point| point.value.validate().err()) {
                return refused(why.to_string());
            }
            bounds(self.points.iter().map(|point| point.t))
        };
        let Some((from, to)) = bounds? else { return Ok(()) };
        let (min_time, max_time) = (self.asked.min_time, self.asked.max_time);
        if to < min_time || from > max_time {
            return Ok(());
        }
        self.ctx.hold_bytes(bytes.len() as u64 + CHUNK_OVERHEAD)?;
        let view = ChunkView::Encoded { encoding, min_time: from, max_time: to, samples, bytes };
        let mut trimmed = Vec::new();
        trim(&view, min_time, max_time, &mut trimmed)?;
        into.extend(trimmed.into_iter().map(OwnedChunk::new));
        Ok(())
    }

    /// `prometheus.TimeSeries`
    fn series(&mut self, data: &[u8]) -> Result<(), Refused> {
        let (mut pairs, mut samples, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
        let wanted = |t: i64| t >= self.asked.min_time && t <= self.asked.max_time;
        let mut r = Reader::new("TimeSeries", data);
        while let Some(tag) = r.tag()? {
            match tag.field {
                1 => {
                    tag.expect(BYTES, "Labels")?;
                    pairs.push(read_label(r.bytes()?)?);
                }
                2 => {
                    tag.expect(BYTES, "Samples")?;
                    let WireSample { t, v, .. } = WireSample::read(r.bytes()?)?;
                    if samples.last().is_some_and(|last: &Sample| last.t >= t) {
                        return refused("samples that are out of order");
                    }
                    if wanted(t) {
                        if samples.len() == samples.capacity() {
                            // It grows by doubling.
                            self.ctx.hold_bytes(samples.len().max(4) as u64 * SAMPLE)?;
                        }
                        samples.push(Sample { t, v });
                    }
                }
                4 => {
                    tag.expect(BYTES, "Histograms")?;
                    let wire = WireHistogram::read(r.bytes()?)?;
                    let t = wire.t;
                    if histograms.last().is_some_and(|last: &HistogramSample| last.t >= t) {
                        return refused("histograms that are out of order");
                    }
                    let value = wire.into_value().map_err(Refused::Answer)?;
                    if let Err(why) = value.validate() {
                        return refused(why.to_string());
                    }
                    if wanted(t) {
                        let histogram = value.to_float();
                        let buckets = histogram.positive.len()
                            + histogram.negative.len()
                            + histogram.custom_values.len();
                        self.ctx.hold_bytes(size_of_val(&histogram) as u64 + buckets as u64 * BUCKET)?;
                        histograms.push(HistogramSample { t, histogram: Arc::new(histogram) });
                    }
                }
                _ => r.skip(tag)?,
            }
        }
        self.push(pairs, |labels| AnsweredSeries { labels, chunks: Vec::new(), samples, histograms })
    }

    fn push(
        &mut self,
        pairs: Vec<Pair<'_>>,
        series: impl FnOnce(Labels) -> AnsweredSeries,
    ) -> Result<(), Refused> {
        let labels = labels_of(pairs)?;
        // Nobody may be shown what was not asked for.
        if !self.asked.matchers.iter().all(|matcher| matcher.matches_labels(&labels)) {
            return Ok(());
        }
        let added = &self.asked.added;
        let series = series(match added.is_empty() {
            true => labels,
            false => labels.filter(|name| added.binary_search_by(|own| own.as_str().cmp(name)).is_err()),
        });
        let empty = series.chunks.is_empty() && series.samples.is_empty() && series.histograms.is_empty();
        if empty && !self.asked.names_only {
            return Ok(());
        }
        self.ctx.hold_bytes(labels_size(&series.labels) + size_of::<AnsweredSeries>() as u64)?;
        self.answer.0.push(series);
        Ok(())
    }
}

/// Reads an answer as every kind there is; how many series it had. For fuzzing.
#[doc(hidden)]
#[must_use]
pub fn answer_read(data: &[u8]) -> usize {
    let ctx = QueryContext::unlimited();
    let asked = Asked { max_time: i64::MAX / 2, ..Asked::nothing() };
    let read = |read: &dyn Fn(&mut AnswerReader<'_>) -> Result<(), Refused>| {
        let mut reader = AnswerReader::new(&ctx, &asked);
        if read(&mut reader).is_err() {
            return 0;
        }
        let mut series = 0;
        for mut part in reader.finish().into_parts() {
            while let Ok(Some(_)) = part.next() {
                series += 1;
            }
        }
        series
    };
    let stream = |reader: &mut AnswerReader<'_>| {
        let mut frames = Frames::new(1 << 20);
        frames.push(data);
        while let Some(message) = frames.next()? {
            reader.frame(message)?;
        }
        frames.end()
    };
    let mut packed = Vec::new();
    snappy::compress(data, &mut snap::raw::Encoder::new(), &mut packed);
    read(&|reader| reader.frame(data))
        + read(&stream)
        + read(&|reader| reader.samples(&packed))
        + read(&|reader| reader.samples(data))
}

/// First and last of times that ascend.
fn bounds(mut times: impl Iterator<Item = i64>) -> Result<Option<(i64, i64)>, Refused> {
    let Some(first) = times.next() else { return Ok(None) };
    let mut last = first;
    for t in times {
        if t <= last {
            return refused("a chunk with samples that are out of order");
        }
        last = t;
    }
    Ok(Some((first, last)))
}

fn labels_of(mut pairs: Vec<Pair<'_>>) -> Result<Labels, Refused> {
    pairs.sort_by_key(|(name, _)| *name);
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in &pairs {
        let shown = String::from_utf8_lossy;
        let Ok(name) = str::from_utf8(name) else {
            return refused(format!("invalid label name: {}", shown(name)));
        };
        let what = if name == METRIC_NAME { "metric name" } else { "label value" };
        match str::from_utf8(value) {
            Ok("") if name == METRIC_NAME => return refused("invalid metric name: "),
            Ok(_) if name.is_empty() => return refused("invalid label name: "),
            Ok(value) => texts.push((name, value)),
            Err(_) => return refused(format!("invalid {what}: {}", shown(value))),
        }
    }
    if let Some(twice) = texts.windows(2).find_map(|two| (two[0].0 == two[1].0).then_some(two[0].0)) {
        return refused(format!("duplicate label with name: {twice}"));
    }
    Ok(Labels::from_sorted(texts))
}
