//! A store whose series may have start times: a memory store's samples, put into chunks that hold them.

use std::collections::HashMap;

use chunk::{Encoding, HistogramAppended, HistogramPoint, HistogramWriter, Xor2Appender};
use model::histogram::{HistogramSample, HistogramValue};
use model::{Labels, Matcher, Sample};
use storage::merge::Wanted;
use storage::{
    ChunkView, MemoryStore, Projection, QueryContext, Request, Select, SelectError, SeriesPart, SeriesView,
};

/// Samples of one chunk.
const CHUNK: usize = 120;

/// See the module.
#[derive(Default)]
pub(super) struct StartedStore {
    pub(super) samples: MemoryStore,
    /// By series and time of the sample.
    pub(super) starts: HashMap<Labels, HashMap<i64, i64>>,
}

struct OwnedChunk {
    encoding: Encoding,
    min_time: i64,
    max_time: i64,
    samples: u16,
    bytes: Vec<u8>,
}

impl OwnedChunk {
    fn view(&self) -> ChunkView<'_> {
        let OwnedChunk { encoding, min_time, max_time, samples, .. } = *self;
        ChunkView::Encoded { encoding, min_time, max_time, samples, bytes: &self.bytes }
    }
}

fn floats(samples: &[Sample], start: &impl Fn(i64) -> i64, out: &mut Vec<OwnedChunk>) {
    for some in samples.chunks(CHUNK) {
        let mut bytes = vec![0; 8 + some.len() * Xor2Appender::MAX_SAMPLE_LEN];
        let mut appender = Xor2Appender::new();
        for s in some {
            // The buffer has room for any samples.
            let _ = appender.append(&mut bytes, start(s.t), s.t, s.v);
        }
        bytes.truncate(appender.len());
        let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
        out.push(OwnedChunk {
            encoding: Encoding::Xor2,
            min_time: first.t,
            max_time: last.t,
            samples: appender.samples(),
            bytes,
        });
    }
}

fn histograms(samples: &[HistogramSample], start: &impl Fn(i64) -> i64, out: &mut Vec<OwnedChunk>) {
    const ENCODING: Encoding = Encoding::FloatHistogramSt;
    let mut chunks: Vec<(HistogramWriter, i64, i64)> = Vec::new();
    for s in samples {
        let value = HistogramValue::Float(Box::new((*s.histogram).clone()));
        let point = HistogramPoint { t: s.t, start_time: start(s.t), value };
        if let Some((writer, _, max_time)) = chunks.last_mut()
            && matches!(writer.append(&point), HistogramAppended::Appended | HistogramAppended::Recoded)
        {
            *max_time = s.t;
            continue;
        }
        let mut writer = HistogramWriter::new(ENCODING);
        writer.append(&point);
        chunks.push((writer, s.t, s.t));
    }
    out.extend(chunks.into_iter().map(|(writer, min_time, max_time)| OwnedChunk {
        encoding: ENCODING,
        min_time,
        max_time,
        samples: writer.samples(),
        bytes: writer.bytes().to_vec(),
    }));
}

struct StartedPart<'a> {
    inner: Box<dyn SeriesPart + 'a>,
    starts: &'a HashMap<Labels, HashMap<i64, i64>>,
    wanted: Wanted,
    current: Vec<OwnedChunk>,
}

impl SeriesPart for StartedPart<'_> {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        let Some(view) = self.inner.next()? else { return Ok(None) };
        let labels = self.wanted.project(&view.labels);
        let Some(starts) = self.starts.get(&view.labels) else {
            return Ok(Some(SeriesView { labels, ..view }));
        };
        let start = |t: i64| starts.get(&t).copied().unwrap_or(0);
        self.current.clear();
        for chunk in view.chunks.iter() {
            match chunk {
                ChunkView::Samples(samples) => floats(samples, &start, &mut self.current),
                ChunkView::Histograms(samples) => histograms(samples, &start, &mut self.current),
                ChunkView::Encoded { .. } => {}
            }
        }
        let views: Vec<ChunkView<'_>> = self.current.iter().map(OwnedChunk::view).collect();
        Ok(Some(SeriesView::new(labels, views)))
    }
}

impl Select for StartedStore {
    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        let whole = Request { labels: Projection::All, newest: None, ..request.clone() };
        let parts = self.samples.select(ctx, &whole)?.into_iter();
        let wanted = Wanted::new(request.labels);
        let started = |inner| {
            let part =
                StartedPart { inner, starts: &self.starts, wanted: wanted.clone(), current: Vec::new() };
            Box::new(part) as Box<dyn SeriesPart>
        };
        Ok(parts.map(started).collect())
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.samples.label_names(ctx, min_time, max_time, matchers)
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.samples.label_values(ctx, name, min_time, max_time, matchers)
    }
}
