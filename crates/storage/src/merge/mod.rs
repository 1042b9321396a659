//! Several stores read as one.
//!
//! A request that only one store can answer is handed to that store as it is. Otherwise the stores are asked for
//! whole label sets (projected ones may be equal though the series are not), what they deliver is taken out of
//! their parts *still encoded*, put in order of labels, and equal series become one. The parts of the answer are
//! ranges of that order, so threads read them side by side; chunks are only decoded where they overlap in time.
//! Taking out costs a copy of the encoded bytes, about one byte a sample: an order of magnitude less than decoding
//! them, and it needs no promise of the stores about the order of their series.

mod join;
mod wanted;

use std::ops::Range;
use std::sync::Arc;

use chunk::Encoding;
use model::histogram::HistogramSample;
use model::{Labels, Matcher, Sample};

pub use self::join::Joiner;
pub use self::wanted::Wanted;
use crate::{ChunkView, Projection, QueryContext, Request, Select, SelectError, SeriesPart, SeriesView};

/// Series between looks at the clock.
const CHECK_EVERY: usize = 256;

/// How many series of an answer a part of it has: enough to be worth a thread's while, few enough to share the answer among
/// threads.
#[must_use]
pub fn series_per_part(series: usize) -> usize {
    series.div_ceil(32).clamp(16, 512)
}

/// Stores read as one. Of samples with the same time that of the store named first is taken.
pub struct Merged {
    stores: Vec<Arc<dyn Select>>,
}

impl Merged {
    /// A view of these stores.
    #[must_use]
    pub fn new(stores: Vec<Arc<dyn Select>>) -> Self {
        Merged { stores }
    }

    fn holding(&self, min_time: i64, max_time: i64) -> Vec<&dyn Select> {
        self.stores.iter().map(|store| &**store).filter(|store| store.may_hold(min_time, max_time)).collect()
    }

    fn lists(
        &self,
        min_time: i64,
        max_time: i64,
        ask: impl Fn(&dyn Select) -> Result<Vec<String>, SelectError>,
    ) -> Result<Vec<String>, SelectError> {
        let mut all = Vec::new();
        for store in self.holding(min_time, max_time) {
            all.append(&mut ask(store)?);
        }
        // Each list is in order already: a stable sort merges them.
        all.sort();
        all.dedup();
        Ok(all)
    }
}

impl Select for Merged {
    fn may_hold(&self, min_time: i64, max_time: i64) -> bool {
        self.stores.iter().any(|store| store.may_hold(min_time, max_time))
    }

    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        ctx.check()?;
        let holding = self.holding(request.min_time, request.max_time);
        if let [only] = holding[..] {
            return only.select(ctx, request);
        }
        let whole = Request { labels: Projection::All, ..request.clone() };
        let mut answers = Vec::new();
        for store in holding {
            let parts = store.select(ctx, &whole)?;
            if !parts.is_empty() {
                answers.push(parts);
            }
        }
        let wanted = Wanted::new(request.labels);
        if answers.len() < 2 {
            let projected =
                |part| Box::new(Projected { part, wanted: wanted.clone() }) as Box<dyn SeriesPart>;
            return Ok(answers.into_iter().flatten().map(projected).collect());
        }
        merge(ctx, answers.into_iter().flatten(), &wanted)
    }

    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        let mut all = Vec::new();
        for store in self.holding(request.min_time, request.max_time) {
            all.append(&mut store.series(ctx, request)?);
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.lists(min_time, max_time, |store| store.label_names(ctx, min_time, max_time, matchers))
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.lists(min_time, max_time, |store| store.label_values(ctx, name, min_time, max_time, matchers))
    }
}

/// A part whose labels are wanted in part.
struct Projected<'a> {
    part: Box<dyn SeriesPart + 'a>,
    wanted: Wanted,
}

impl SeriesPart for Projected<'_> {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        let wanted = &self.wanted;
        let view = self.part.next()?;
        Ok(view.map(|view| SeriesView { labels: wanted.project(&view.labels), chunks: view.chunks }))
    }

    fn size_hint(&self) -> usize {
        self.part.size_hint()
    }
}

/// What stores have delivered, chunks still as they were.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
    chunks: Vec<TakenChunk>,
}

enum TakenChunk {
    Encoded { encoding: Encoding, min_time: i64, max_time: i64, samples: u16, bytes: Range<usize> },
    Samples(Range<usize>),
    Histograms(Range<usize>),
}

impl Taken {
    fn take(&mut self, chunks: &[ChunkView<'_>]) -> Range<usize> {
        let start = self.chunks.len();
        for chunk in chunks {
            self.chunks.push(match *chunk {
                ChunkView::Encoded { encoding, min_time, max_time, samples, bytes } => {
                    let from = self.bytes.len();
                    self.bytes.extend_from_slice(bytes);
                    TakenChunk::Encoded {
                        encoding,
                        min_time,
                        max_time,
                        samples,
                        bytes: from..self.bytes.len(),
                    }
                }
                ChunkView::Samples(samples) => {
                    let from = self.samples.len();
                    self.samples.extend_from_slice(samples);
                    TakenChunk::Samples(from..self.samples.len())
                }
                ChunkView::Histograms(samples) => {
                    let from = self.histograms.len();
                    self.histograms.extend_from_slice(samples);
                    TakenChunk::Histograms(from..self.histograms.len())
                }
            });
        }
        start..self.chunks.len()
    }

    fn views(&self, chunks: Range<usize>) -> impl Iterator<Item = ChunkView<'_>> {
        self.chunks.get(chunks).unwrap_or_default().iter().map(|chunk| match chunk {
            TakenChunk::Encoded { encoding, min_time, max_time, samples, bytes } => ChunkView::Encoded {
                encoding: *encoding,
                min_time: *min_time,
                max_time: *max_time,
                samples: *samples,
                bytes: self.bytes.get(bytes.clone()).unwrap_or_default(),
            },
            TakenChunk::Samples(range) => {
                ChunkView::Samples(self.samples.get(range.clone()).unwrap_or_default())
            }
            TakenChunk::Histograms(range) => {
                ChunkView::Histograms(self.histograms.get(range.clone()).unwrap_or_default())
            }
        })
    }
}

/// A series and where its chunks were put, in order of the stores.
struct Series {
    labels: Labels,
    chunks: Vec<Range<usize>>,
}

struct MergedPart {
    taken: Arc<Taken>,
    series: std::vec::IntoIter<Series>,
    wanted: Wanted,
    joiner: Joiner,
}

/// Parts of several stores as one answer. Of samples with the same time that of the part named first is taken. The parts
/// must deliver all labels; `labels` says what of them the answer delivers.
///
/// # Errors
/// When reading a part fails, or the query was interrupted.
pub fn joined<'a, 's>(
    ctx: &QueryContext,
    parts: impl Iterator<Item = Box<dyn SeriesPart + 's>>,
    labels: Projection<'_>,
) -> Result<Vec<Box<dyn SeriesPart + 'a>>, SelectError> {
    merge(ctx, parts, &Wanted::new(labels))
}

fn merge<'a, 's>(
    ctx: &QueryContext,
    parts: impl Iterator<Item = Box<dyn SeriesPart + 's>>,
    wanted: &Wanted,
) -> Result<Vec<Box<dyn SeriesPart + 'a>>, SelectError> {
    let mut taken = Taken::default();
    let mut all: Vec<(Labels, Range<usize>)> = Vec::new();
    for mut part in parts {
        all.reserve(part.size_hint());
        while let Some(view) = part.next()? {
            if all.len().is_multiple_of(CHECK_EVERY) {
                ctx.check()?;
            }
            if !view.chunks.is_empty() {
                let chunks = taken.take(&view.chunks);
                all.push((view.labels, chunks));
            }
        }
    }
    // Stable: equal series stay in order of the stores.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut series: Vec<Series> = Vec::with_capacity(all.len());
    for (labels, chunks) in all {
        match series.last_mut().filter(|last| last.labels == labels) {
            Some(last) => last.chunks.push(chunks),
            None => series.push(Series { labels, chunks: vec![chunks] }),
        }
    }
    let taken = Arc::new(taken);
    let mut parts: Vec<Box<dyn SeriesPart + 'a>> = Vec::new();
    let size = series_per_part(series.len());
    let mut series = series.into_iter();
    loop {
        let own: Vec<Series> = series.by_ref().take(size).collect();
        if own.is_empty() {
            return Ok(parts);
        }
        parts.push(Box::new(MergedPart {
            taken: Arc::clone(&taken),
            series: own.into_iter(),
            wanted: wanted.clone(),
            joiner: Joiner::default(),
        }));
    }
}

impl SeriesPart for MergedPart {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        let Some(series) = self.series.next() else { return Ok(None) };
        let taken = &self.taken;
        let views = series.chunks.into_iter().flat_map(|chunks| taken.views(chunks)).collect();
        let chunks = self.joiner.join(views)?;
        Ok(Some(SeriesView::new(self.wanted.project(&series.labels), chunks)))
    }

    fn size_hint(&self) -> usize {
        self.series.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affinity, Append, AppendError, Batch, MemoryStore, Outcome, Resolved};

    /// Writes to one store, and every other accepted sample to a second as well.
    struct Overlapping {
        main: Arc<MemoryStore>,
        other: Arc<MemoryStore>,
        merged: Merged,
    }

    impl Overlapping {
        fn new() -> Self {
            let (main, other) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
            let merged = Merged::new(vec![Arc::clone(&main) as _, Arc::clone(&other) as _]);
            Overlapping { main, other, merged }
        }
    }

    impl Append for Overlapping {
        fn resolve(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
            self.other.resolve(affinity, labels)?;
            self.main.resolve(affinity, labels)
        }

        fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
            self.main.append(batch, outcome)?;
            let accepted =
                batch.samples.iter().zip(0..).filter(|(_, i)| !outcome.rejected.iter().any(|r| r.0 == *i));
            let half = Batch {
                samples: accepted.step_by(2).map(|(sample, _)| *sample).collect(),
                ..Batch::default()
            };
            self.other.append(&half, &mut Outcome::default())
        }
    }

    impl Select for Overlapping {
        fn select(
            &self,
            ctx: &QueryContext,
            request: &Request<'_>,
        ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
            self.merged.select(ctx, request)
        }

        fn label_names(
            &self,
            ctx: &QueryContext,
            min_time: i64,
            max_time: i64,
            matchers: &[Matcher],
        ) -> Result<Vec<String>, SelectError> {
            self.merged.label_names(ctx, min_time, max_time, matchers)
        }

        fn label_values(
            &self,
            ctx: &QueryContext,
            name: &str,
            min_time: i64,
            max_time: i64,
            matchers: &[Matcher],
        ) -> Result<Vec<String>, SelectError> {
            self.merged.label_values(ctx, name, min_time, max_time, matchers)
        }
    }

    #[test]
    fn stores_that_overlap_conform() {
        assert_eq!(crate::conformance::check(Overlapping::new), Ok(()));
    }

    /// Series in several parts of several stores.
    #[test]
    fn series_of_several_stores_are_joined_by_all_labels() {
        let stores: Vec<Arc<MemoryStore>> = (0..3).map(|_| Arc::default()).collect();
        for i in 0..1500u32 {
            let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("i", i.to_string())]);
            for (store, at) in stores.iter().zip(0..) {
                if i % (at + 1) == 0 {
                    let samples = (0..3).map(|n| Sample { t: i64::from(at) * 10 + n, v: f64::from(i) });
                    store.insert(&labels, samples).unwrap();
                }
            }
        }
        let merged = Merged::new(stores.into_iter().map(|store| store as _).collect());
        let matchers = [Matcher::equal("__name__", "m")];
        let request = Request {
            matchers: &matchers,
            min_time: 0,
            max_time: 100,
            labels: Projection::Only(&["__name__"]),
            newest: None,
        };
        let ctx = QueryContext::unlimited();
        let (mut series, mut samples, mut parts) = (0, 0, 0);
        for mut part in merged.select(&ctx, &request).unwrap() {
            parts += 1;
            while let Some(view) = part.next().unwrap() {
                assert_eq!(view.labels, Labels::from_pairs([("__name__", "m")]));
                let values: Vec<Sample> = view
                    .chunks
                    .iter()
                    .flat_map(|chunk| match chunk {
                        ChunkView::Samples(samples) => samples.to_vec(),
                        ChunkView::Encoded { .. } | ChunkView::Histograms(_) => Vec::new(),
                    })
                    .collect();
                assert!(values.is_sorted_by(|a, b| a.t < b.t));
                assert!(values.iter().all(|s| s.v == values[0].v), "series were mixed up");
                series += 1;
                samples += values.len();
            }
        }
        assert_eq!((series, samples), (1500, 3 * (1500 + 750 + 500)));
        assert!(parts > 1);
    }
}
