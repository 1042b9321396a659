//! Reading series.

use std::ops::Deref;
use std::sync::Arc;

use chunk::{ChunkError, Encoding};
use model::histogram::HistogramSample;
use model::{Labels, Matcher, Sample};

use crate::{Interrupted, QueryContext};

/// What to read.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// All must match. Never empty, and at least one does not match the empty string (the caller checks).
    pub matchers: &'a [Matcher],
    /// Oldest time wanted, inclusive, in milliseconds. Chunks that begin earlier are delivered whole.
    pub min_time: i64,
    /// Newest time wanted, inclusive, in milliseconds.
    pub max_time: i64,
    /// Which labels the caller will look at.
    pub labels: Projection<'a>,
    /// Where only the newest sample at or before `max_time` matters, which one that is; a store may deliver it alone.
    pub newest: Option<Newest>,
}

/// Which of a series' samples is its newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newest {
    /// The last, be it a staleness marker.
    Last,
    /// The last that is no staleness marker.
    NotStale,
}

/// Which labels of a series are wanted: a store need not build the others. Series are never merged because
/// their projected labels are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection<'a> {
    /// All.
    All,
    /// Only these (sorted).
    Only(&'a [&'a str]),
    /// All but these (sorted).
    Without(&'a [&'a str]),
}

/// A piece of a series' data, valid until the next call of [`SeriesPart::next`].
#[derive(Debug, Clone, Copy)]
pub enum ChunkView<'a> {
    /// As stored: what [`chunk`] decodes.
    Encoded {
        /// How: floats or native histograms.
        encoding: Encoding,
        /// Time of the oldest sample, in milliseconds.
        min_time: i64,
        /// Time of the newest sample, in milliseconds.
        max_time: i64,
        /// Of a store in the middle of writing the chunk only the first so many samples may be read.
        samples: u16,
        /// The chunk.
        bytes: &'a [u8],
    },
    /// Already decoded, in order of time.
    Samples(&'a [Sample]),
    /// Native histograms, already decoded, in order of time.
    Histograms(&'a [HistogramSample]),
}

impl ChunkView<'_> {
    /// Whether it holds native histograms rather than floats.
    #[must_use]
    pub fn is_histograms(&self) -> bool {
        match self {
            ChunkView::Encoded { encoding, .. } => !encoding.is_float(),
            ChunkView::Samples(_) => false,
            ChunkView::Histograms(_) => true,
        }
    }

    /// Appends the times of its samples.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn times(&self, out: &mut Vec<i64>) -> Result<(), ChunkError> {
        match *self {
            ChunkView::Samples(samples) => out.extend(samples.iter().map(|sample| sample.t)),
            ChunkView::Histograms(samples) => out.extend(samples.iter().map(|sample| sample.t)),
            ChunkView::Encoded { encoding, samples, bytes, .. } if encoding.is_float() => {
                let mut columns = chunk::Columns::default();
                chunk::decode(encoding, bytes, samples, &mut columns)?;
                out.append(&mut columns.times);
            }
            ChunkView::Encoded { encoding, samples, bytes, .. } => {
                let mut points = Vec::new();
                chunk::decode_histograms(encoding, bytes, samples, &mut points)?;
                out.extend(points.iter().map(|point| point.t));
            }
        }
        Ok(())
    }

    /// Appends its native histograms as queries see them. One of floats has none.
    ///
    /// # Errors
    /// When it does not decode; what was decoded before the damage is in `out`.
    pub fn histograms(&self, out: &mut Vec<HistogramSample>) -> Result<(), ChunkError> {
        self.started_histograms(out, &mut Vec::new())
    }

    /// The same, and when the counting of each began (in milliseconds since the Unix epoch, 0 where that is not known). Where
    /// it is known of none of `out`, `starts` stays empty.
    ///
    /// # Errors
    /// As above.
    pub fn started_histograms(
        &self,
        out: &mut Vec<HistogramSample>,
        starts: &mut Vec<i64>,
    ) -> Result<(), ChunkError> {
        match *self {
            ChunkView::Encoded { encoding, samples, bytes, .. } if !encoding.is_float() => {
                let mut points = Vec::new();
                let decoded = chunk::decode_histograms(encoding, bytes, samples, &mut points);
                if !starts.is_empty() || points.iter().any(|p| p.start_time != 0) {
                    starts.resize(out.len(), 0);
                    starts.extend(points.iter().map(|p| p.start_time));
                }
                let sample = |p: chunk::HistogramPoint| HistogramSample {
                    t: p.t,
                    histogram: Arc::new(p.value.to_float()),
                };
                out.extend(points.into_iter().map(sample));
                decoded
            }
            ChunkView::Histograms(samples) => {
                out.extend_from_slice(samples);
                if !starts.is_empty() {
                    starts.resize(out.len(), 0);
                }
                Ok(())
            }
            ChunkView::Encoded { .. } | ChunkView::Samples(_) => Ok(()),
        }
    }
}

/// A series and its data, valid until the next call of [`SeriesPart::next`].
#[derive(Debug)]
pub struct SeriesView<'a> {
    /// As projected.
    pub labels: Labels,
    /// In order of time, not overlapping within floats and within histograms. Borrowed from a part that holds views of its store's data, owned where
    /// the views point into the part itself (which cannot keep views of its own buffers).
    pub chunks: Chunks<'a>,
}

/// The chunks of a series: a slice of them.
#[derive(Debug)]
pub enum Chunks<'a> {
    /// Of what is read at one time each series has one.
    One(ChunkView<'a>),
    /// Views that the part keeps.
    Kept(&'a [ChunkView<'a>]),
    /// Views made for this series.
    Made(Vec<ChunkView<'a>>),
}

impl<'a> Deref for Chunks<'a> {
    type Target = [ChunkView<'a>];

    fn deref(&self) -> &[ChunkView<'a>] {
        match self {
            Chunks::One(view) => std::slice::from_ref(view),
            Chunks::Kept(views) => views,
            Chunks::Made(views) => views,
        }
    }
}

impl<'a> From<ChunkView<'a>> for Chunks<'a> {
    fn from(view: ChunkView<'a>) -> Self {
        Chunks::One(view)
    }
}

impl<'a> From<&'a [ChunkView<'a>]> for Chunks<'a> {
    fn from(views: &'a [ChunkView<'a>]) -> Self {
        Chunks::Kept(views)
    }
}

impl<'a> From<Vec<ChunkView<'a>>> for Chunks<'a> {
    fn from(views: Vec<ChunkView<'a>>) -> Self {
        Chunks::Made(views)
    }
}

impl<'a> SeriesView<'a> {
    /// A view of a chunk, or of a slice or a vector of chunks.
    pub fn new(labels: Labels, chunks: impl Into<Chunks<'a>>) -> Self {
        SeriesView { labels, chunks: chunks.into() }
    }
}

/// A part of the answer, to be read by one thread. Series come in no promised order; each of the answer's series
/// is in one part only, with all of its data.
pub trait SeriesPart: Send {
    /// The next series, or `None` at the end.
    ///
    /// # Errors
    /// When stored bytes do not decode, or the query was interrupted.
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError>;

    /// About how many series are still to come, for sizing.
    fn size_hint(&self) -> usize {
        0
    }
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The query has to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Stored bytes are damaged; the text says which and where.
    #[error("{0}")]
    Corrupt(String),
    /// The store keeps nothing that could be read.
    #[error("unsupported operation with WAL-only storage")]
    Unsupported,
}

/// A store that can be read. The view is fixed when `select` returns: batches appended later are not in it, and
/// each batch is in it whole or not at all.
pub trait Select: Send + Sync {
    /// Whether there may be samples in the time range (both ends inclusive). To be answered at once: what is read as
    /// one with other stores need not be asked in vain.
    fn may_hold(&self, min_time: i64, max_time: i64) -> bool {
        let _ = (min_time, max_time);
        true
    }

    /// The series that match, with their data in the requested time range. Series without data there may be
    /// delivered with no chunks or be left out.
    ///
    /// # Errors
    /// As [`SelectError`] says.
    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError>;

    /// Label sets of the series that match and may have data in the time range, sorted and distinct.
    ///
    /// # Errors
    /// As [`SelectError`] says.
    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        let mut all = Vec::new();
        for mut part in self.select(ctx, request)? {
            while let Some(series) = part.next()? {
                if !series.chunks.is_empty() {
                    all.push(series.labels);
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Names of all labels of the series that match (no matchers: of all series), sorted and distinct.
    ///
    /// # Errors
    /// As [`SelectError`] says.
    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError>;

    /// Values of label `name` over the series that match (no matchers: over all series), sorted and distinct.
    ///
    /// # Errors
    /// As [`SelectError`] says.
    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError>;
}
