//! The samples of a series, out of the chunks that the store gives.

use chunk::Columns;
use model::histogram::HistogramSample;
use model::{Labels, is_stale};
use storage::{ChunkView, SelectError, SeriesPart};

use super::stats;
use crate::engine::QueryError;
use crate::plan::Read;

/// A decoded series of a read that several scans use.
#[derive(Debug)]
pub(super) struct RawSeries {
    pub(super) labels: Labels,
    pub(super) samples: Samples,
}

/// What was read of a series.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) floats: Columns,
    pub(super) histograms: Vec<HistogramSample>,
    /// When the counting of each histogram began, if that is known of any.
    pub(super) histogram_starts: Vec<i64>,
    /// Of the chunks that they were in.
    pub(super) bytes: u64,
}

impl Samples {
    pub(super) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// What the samples weigh against the limits.
    pub(super) fn weight(&self) -> u64 {
        self.floats.len() as u64 + self.histograms.iter().map(|s| stats::weight(&s.histogram)).sum::<u64>()
    }

    /// A copy that takes no more memory than it must: of floats those in the time range, both ends inclusive.
    pub(super) fn between(&self, min_time: i64, max_time: i64) -> Samples {
        let Columns { times, values, start_times } = &self.floats;
        let whole =
            || Columns { times: times.clone(), values: values.clone(), start_times: start_times.clone() };
        let range = times.partition_point(|&t| t < min_time)..times.partition_point(|&t| t <= max_time);
        let floats = match (times.get(range.clone()), values.get(range)) {
            // Whether the counting began anew between two samples, the one before the range may tell.
            (Some(times), Some(values)) if start_times.is_empty() => {
                Columns { times: times.to_vec(), values: values.to_vec(), start_times: Vec::new() }
            }
            _ => whole(),
        };
        Samples {
            floats,
            histograms: self.histograms.clone(),
            histogram_starts: self.histogram_starts.clone(),
            bytes: self.bytes,
        }
    }

    /// A series ends in the same way whatever it held: staleness markers are kept among the floats.
    fn gather_stale(&mut self) {
        let stale = |sample: &HistogramSample| is_stale(sample.histogram.sum);
        if !self.histograms.iter().any(stale) {
            return;
        }
        let Columns { times, values, start_times } = &mut self.floats;
        let known = !start_times.is_empty();
        let starts = std::mem::take(start_times).into_iter().chain(std::iter::repeat(0));
        let floats = std::mem::take(times).into_iter().zip(std::mem::take(values)).zip(starts);
        let marks = self.histograms.iter().filter(|s| stale(s)).map(|s| ((s.t, s.histogram.sum), 0));
        let mut all: Vec<((i64, f64), i64)> = floats.chain(marks).collect();
        all.sort_by_key(|((t, _), _)| *t);
        times.extend(all.iter().map(|((t, _), _)| *t));
        values.extend(all.iter().map(|((_, v), _)| *v));
        if known {
            start_times.extend(all.iter().map(|(_, start)| *start));
        }
        if !self.histogram_starts.is_empty() {
            let kept = self.histograms.iter().zip(std::mem::take(&mut self.histogram_starts));
            self.histogram_starts = kept.filter(|(s, _)| !stale(s)).map(|(_, start)| start).collect();
        }
        self.histograms.retain(|sample| !stale(sample));
    }
}

/// Decodes the next series of a part; without `start_times` those are forgotten.
pub(super) fn decode(
    part: &mut dyn SeriesPart,
    read: &Read,
    start_times: bool,
    into: &mut Samples,
) -> Result<Option<Labels>, QueryError> {
    let Some(series) = part.next()? else { return Ok(None) };
    into.floats.clear();
    into.histograms.clear();
    into.histogram_starts.clear();
    into.bytes = 0;
    for chunk in series.chunks.iter() {
        match *chunk {
            ChunkView::Encoded { encoding, min_time, max_time, samples, bytes } => {
                if min_time <= read.max_time && max_time >= read.min_time {
                    into.bytes += bytes.len() as u64;
                    let decoded = if encoding.is_float() {
                        chunk::decode(encoding, bytes, samples, &mut into.floats)
                    } else {
                        chunk.started_histograms(&mut into.histograms, &mut into.histogram_starts)
                    };
                    decoded.map_err(|e| {
                        QueryError::from(SelectError::Corrupt(format!("{}: {e}", series.labels)))
                    })?;
                }
            }
            ChunkView::Samples(samples) => {
                into.floats.times.extend(samples.iter().map(|s| s.t));
                into.floats.values.extend(samples.iter().map(|s| s.v));
                if !into.floats.start_times.is_empty() {
                    into.floats.start_times.resize(into.floats.times.len(), 0);
                }
            }
            ChunkView::Histograms(samples) => {
                into.histograms.extend_from_slice(samples);
                if !into.histogram_starts.is_empty() {
                    into.histogram_starts.resize(into.histograms.len(), 0);
                }
            }
        }
    }
    let labels = series.labels;
    if !start_times {
        into.floats.start_times.clear();
        into.histogram_starts.clear();
    }
    into.gather_stale();
    Ok(Some(labels))
}

/// The samples that are not staleness markers.
pub(super) fn without_stale<'a>(samples: &'a Columns, kept: &'a mut Columns) -> &'a Columns {
    if !samples.values.iter().any(|&v| is_stale(v)) {
        return samples;
    }
    kept.clear();
    for (i, (&t, &v)) in samples.times.iter().zip(&samples.values).enumerate() {
        if !is_stale(v) {
            kept.times.push(t);
            kept.values.push(v);
            kept.start_times.extend(samples.start_times.get(i));
        }
    }
    kept
}
