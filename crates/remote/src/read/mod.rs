//! Remote read for others: selections of the store, as samples or as streams of chunks.

mod frame;
mod messages;
mod trim;

use std::collections::BTreeMap;
use std::sync::Arc;

use chunk::Columns;
use exposition::{Gauge, Registry, protobuf_write};
use model::histogram::HistogramValue;
use model::{Labels, MatchOp, Matcher};
use storage::{ChunkView, Projection, QueryContext, Request, Select, SelectError};

use crate::send::write_labels;
use crate::{encode, histogram, snappy};
pub(crate) use messages::{CHUNKS, Hints, Query, ReadRequest, SAMPLES, WireMatcher};
pub(crate) use trim::{Trimmed, trim};

/// Longest body of a request, in bytes, before and after decompression.
pub const MAX_READ_BODY: usize = 32 * 1024 * 1024;

/// What a server of remote read is told.
#[derive(Debug, Clone)]
pub struct ReadServerOptions {
    /// Samples that a query may return; 0 for any number (`--storage.remote.read-sample-limit`).
    pub sample_limit: u64,
    /// About how many bytes a frame of a stream has (`--storage.remote.read-max-bytes-in-frame`).
    pub max_bytes_in_frame: usize,
}

impl Default for ReadServerOptions {
    fn default() -> Self {
        ReadServerOptions { sample_limit: 50_000_000, max_bytes_in_frame: 1024 * 1024 }
    }
}

/// How an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAnswer {
    /// Samples, compressed.
    Samples,
    /// Frames with chunks.
    Chunks,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The status.
    pub status: u16,
    /// The text.
    pub text: String,
    /// The answer had begun as one of this kind: its headers stand.
    pub begun: Option<ReadAnswer>,
}

impl ReadError {
    fn bad(text: impl Into<String>) -> Self {
        ReadError { status: 400, text: text.into(), begun: None }
    }

    fn internal(text: impl Into<String>) -> Self {
        ReadError { status: 500, text: text.into(), begun: None }
    }

    fn within(self, answer: ReadAnswer) -> Self {
        ReadError { begun: Some(answer), ..self }
    }
}

impl From<SelectError> for ReadError {
    fn from(error: SelectError) -> Self {
        ReadError::internal(error.to_string())
    }
}

/// Answers requests.
pub struct ReadServer {
    store: Arc<dyn Select>,
    options: ReadServerOptions,
    queries: Gauge,
}

/// What goes out; an error means that nobody takes it any more.
type Sink<'a> = dyn FnMut(Vec<u8>) -> Result<(), ReadError> + 'a;

impl ReadServer {
    /// Reads from `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Select>, options: ReadServerOptions, registry: &Registry) -> Self {
        let queries = registry.gauge(
            "prometheus_remote_read_handler_queries",
            "The current number of remote read queries that are either in execution or queued on the handler.",
        );
        ReadServer { store, options, queries }
    }

    /// The same server, reading from another store: what a caller may see of this one.
    #[must_use]
    pub fn reading(&self, store: Arc<dyn Select>) -> Self {
        ReadServer { store, options: self.options.clone(), queries: self.queries.clone() }
    }

    /// The number of requests that wait or are worked on.
    #[must_use]
    pub fn queries(&self) -> &Gauge {
        &self.queries
    }

    /// Answers a request: tells `begin` what kind of answer it is, and hands its pieces to `send`. Computes.
    ///
    /// # Errors
    /// When the request is none, or reading fails.
    pub fn answer(
        &self,
        ctx: &QueryContext,
        external: &BTreeMap<String, String>,
        body: &[u8],
        mut begin: impl FnMut(ReadAnswer),
        send: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        let mut plain = Vec::new();
        snappy::decompress(body, MAX_READ_BODY, &mut plain).map_err(|refused| match refused {
            snappy::Refused::Corrupt => ReadError::bad("snappy: corrupt input"),
            snappy::Refused::TooLong => {
                let len = snappy::decompressed_len(body).unwrap_or(0);
                ReadError::bad(format!("snappy: decoded length {len} exceeds limit {MAX_READ_BODY}"))
            }
        })?;
        let request = ReadRequest::read(&plain).map_err(|err| ReadError::bad(err.to_string()))?;
        let kind = match request.accepted[..] {
            [] => SAMPLES,
            _ => request.accepted.iter().copied().find(|kind| [SAMPLES, CHUNKS].contains(kind)).ok_or_else(
                || {
                    let asked: Vec<String> = request.accepted.iter().map(u64::to_string).collect();
                    ReadError::bad(format!(
                        "server does not support any of the requested response types: [{}]; supported: map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]",
                        asked.join(" ")
                    ))
                },
            )?,
        };
        let external_labels = Labels::from_pairs(external);
        if kind == CHUNKS {
            begin(ReadAnswer::Chunks);
            for (number, query) in request.queries.iter().enumerate() {
                self.chunks(ctx, external, &external_labels, query, number as u64, send)
                    .map_err(|err| err.within(ReadAnswer::Chunks))?;
            }
            return Ok(());
        }
        let mut response = Vec::new();
        for query in &request.queries {
            let result = self.samples(ctx, external, &external_labels, query);
            let result = result.map_err(|err| err.within(ReadAnswer::Samples))?;
            protobuf_write::push_bytes(&mut response, 1, &result);
        }
        begin(ReadAnswer::Samples);
        let mut packed = Vec::new();
        snappy::compress(&response, &mut snap::raw::Encoder::new(), &mut packed);
        send(packed)
    }

    fn select(
        &self,
        ctx: &QueryContext,
        external: &BTreeMap<String, String>,
        query: &Query,
        names_only: bool,
        mut each: impl FnMut(Labels, &[ChunkView<'_>], i64, i64) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        if query.matchers.is_empty() {
            // To ask for nothing is not to ask for everything.
            return Ok(());
        }
        let mut matchers = Vec::new();
        for matcher in &query.matchers {
            let matcher = matcher.matcher().map_err(ReadError::internal)?;
            // The store's own series do not carry these labels.
            let own = matcher.op == MatchOp::Equal
                && external.get(&*matcher.name).map_or("", String::as_str) == &*matcher.value;
            matchers.push(match own {
                true => Matcher::new(MatchOp::Equal, matcher.name, "")
                    .map_err(|err| ReadError::internal(err.to_string()))?,
                false => matcher,
            });
        }
        let (min_time, max_time) =
            query.hints.as_ref().map_or((query.start, query.end), |hints| (hints.start, hints.end));
        let request =
            Request { matchers: &matchers, min_time, max_time, labels: Projection::All, newest: None };
        for mut part in self.store.select(ctx, &request)? {
            while let Some(series) = part.next()? {
                ctx.check().map_err(|why| ReadError::internal(why.to_string()))?;
                let chunks: &[ChunkView<'_>] = if names_only { &[] } else { &series.chunks };
                if names_only || !chunks.is_empty() {
                    each(series.labels, chunks, min_time, max_time)?;
                }
            }
        }
        Ok(())
    }

    /// `prometheus.QueryResult`
    fn samples(
        &self,
        ctx: &QueryContext,
        external: &BTreeMap<String, String>,
        external_labels: &Labels,
        query: &Query,
    ) -> Result<Vec<u8>, ReadError> {
        let mut all: Vec<(Labels, Vec<u8>)> = Vec::new();
        let mut count = 0;
        let limit = self.options.sample_limit;
        let names_only = query.hints.as_ref().is_some_and(|hints| hints.function == "series");
        self.select(ctx, external, query, names_only, |labels, chunks, min_time, max_time| {
            let mut series = Vec::new();
            let labels = with_external(&labels, external_labels);
            write_labels(&mut series, &labels);
            let samples = write_samples(&mut series, chunks, min_time, max_time)?;
            count += samples;
            if limit > 0 && count > limit {
                return Err(ReadError::bad(format!("exceeded sample limit ({limit})")));
            }
            let held = series.len() as u64 + storage::labels_size(&labels);
            ctx.hold_bytes(held).map_err(|why| ReadError::internal(why.to_string()))?;
            if samples > 0 || chunks.is_empty() {
                all.push((labels, series));
            }
            Ok(())
        })?;
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut result = Vec::new();
        for (_, series) in &all {
            protobuf_write::push_bytes(&mut result, 1, series);
        }
        Ok(result)
    }

    /// A frame for each series, or several; in order of their labels.
    fn chunks(
        &self,
        ctx: &QueryContext,
        external: &BTreeMap<String, String>,
        external_labels: &Labels,
        query: &Query,
        number: u64,
        send: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        let mut all: Vec<(Labels, Vec<u8>)> = Vec::new();
        // A series without chunks cannot be told in a stream: also who wants names alone gets them with their chunks.
        self.select(ctx, external, query, false, |labels, chunks, min_time, max_time| {
            let outward = with_external(&labels, external_labels);
            let frames = self.frames(&outward, chunks, min_time, max_time, number)?;
            let held = frames.len() as u64 + storage::labels_size(&labels);
            ctx.hold_bytes(held).map_err(|why| ReadError::internal(why.to_string()))?;
            if !frames.is_empty() {
                all.push((labels, frames));
            }
            Ok(())
        })?;
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter().try_for_each(|(_, frames)| send(frames))
    }

    fn frames(
        &self,
        labels: &Labels,
        chunks: &[ChunkView<'_>],
        min_time: i64,
        max_time: i64,
        number: u64,
    ) -> Result<Vec<u8>, ReadError> {
        let mut trimmed = Vec::new();
        for view in chunks {
            trim(view, min_time, max_time, &mut trimmed)
                .map_err(|err| ReadError::internal(err.to_string()))?;
        }
        trimmed.sort_by_key(|chunk| chunk.min_time);
        let mut names = Vec::new();
        write_labels(&mut names, labels);
        let room = self.options.max_bytes_in_frame.saturating_sub(names.len());
        let mut out = Vec::new();
        let mut begin = 0;
        let mut used = 0;
        for (at, chunk) in trimmed.iter().enumerate() {
            used += chunk.bytes.len() + CHUNK_HEAD;
            if used >= room || at + 1 == trimmed.len() {
                let part = trimmed.get(begin..=at).unwrap_or_default();
                frame::push(&mut out, &message(&names, part, number));
                (begin, used) = (at + 1, 0);
            }
        }
        Ok(out)
    }
}

/// About what a chunk takes besides its bytes.
const CHUNK_HEAD: usize = 20;

/// `prometheus.ChunkedReadResponse`
fn message(labels: &[u8], chunks: &[Trimmed<'_>], number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode::nested(&mut out, 1, |out| {
        out.extend_from_slice(labels);
        for chunk in chunks {
            encode::nested(out, 2, |out| {
                encode::integer(out, 1, chunk.min_time as u64);
                encode::integer(out, 2, chunk.max_time as u64);
                encode::integer(out, 3, chunk.encoding as u64);
                protobuf_write::push_bytes(out, 4, &chunk.bytes);
            });
        }
    });
    encode::integer(&mut out, 2, number);
    out
}

/// Own labels win.
fn with_external(labels: &Labels, external: &Labels) -> Labels {
    if external.is_empty() {
        return labels.clone();
    }
    Labels::from_pairs(external.iter().chain(labels.iter()))
}

/// Writes samples and histograms in order of time; answers how many.
fn write_samples(
    out: &mut Vec<u8>,
    chunks: &[ChunkView<'_>],
    min_time: i64,
    max_time: i64,
) -> Result<u64, ReadError> {
    let damaged = |err: chunk::ChunkError| ReadError::internal(err.to_string());
    let mut floats: Vec<(i64, f64)> = Vec::new();
    let mut histograms: Vec<(i64, HistogramValue)> = Vec::new();
    for view in chunks {
        match *view {
            ChunkView::Encoded { encoding, samples, bytes, .. } if encoding.is_float() => {
                let mut columns = Columns::default();
                chunk::decode(encoding, bytes, samples, &mut columns).map_err(damaged)?;
                floats.extend(columns.times.iter().copied().zip(columns.values.iter().copied()));
            }
            ChunkView::Encoded { encoding, samples, bytes, .. } => {
                let mut points = Vec::new();
                chunk::decode_histograms(encoding, bytes, samples, &mut points).map_err(damaged)?;
                histograms.extend(points.into_iter().map(|point| (point.t, point.value)));
            }
            ChunkView::Samples(samples) => floats.extend(samples.iter().map(|sample| (sample.t, sample.v))),
            ChunkView::Histograms(samples) => histograms.extend(
                samples.iter().map(|s| (s.t, HistogramValue::Float(Box::new((*s.histogram).clone())))),
            ),
        }
    }
    let wanted = |t: i64| t >= min_time && t <= max_time;
    floats.retain(|(t, _)| wanted(*t));
    histograms.retain(|(t, _)| wanted(*t));
    for (t, v) in &floats {
        encode::nested(out, 2, |out| {
            encode::double(out, 1, *v);
            encode::integer(out, 2, *t as u64);
        });
    }
    for (t, value) in &histograms {
        encode::nested(out, 4, |out| histogram::write(out, *t, 0, value));
    }
    Ok((floats.len() + histograms.len()) as u64)
}
