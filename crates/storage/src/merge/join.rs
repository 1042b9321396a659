//! One series' chunks from several places.

use std::ops::Range;
use std::sync::Arc;

use chunk::{ChunkError, Columns};
use model::Sample;
use model::histogram::{CounterReset, HistogramSample};

use crate::{ChunkView, SelectError};

/// Puts the chunks of one series in order of time, and makes one of those that overlap. Keeps its memory between
/// series.
#[derive(Debug, Default)]
pub struct Joiner {
    columns: Columns,
    /// Samples of chunks that overlap, with the chunk's place in the input.
    mixed: Vec<(Sample, usize)>,
    samples: Vec<Sample>,
    /// As `mixed`, and as `samples`.
    mixed_histograms: Vec<(HistogramSample, usize)>,
    histograms: Vec<HistogramSample>,
}

/// Time of the oldest and newest sample; `None` for no samples.
fn bounds(chunk: &ChunkView<'_>) -> Option<(i64, i64)> {
    match chunk {
        ChunkView::Encoded { min_time, max_time, .. } => Some((*min_time, *max_time)),
        ChunkView::Samples(samples) => Some((samples.first()?.t, samples.last()?.t)),
        ChunkView::Histograms(samples) => Some((samples.first()?.t, samples.last()?.t)),
    }
}

impl Joiner {
    /// The chunks in order of time, without overlaps and empty ones: first those of floats, then those of native
    /// histograms. Chunks that overlap none come back as they are; of equal ones only one is left, without being
    /// decoded. Of samples with the same time that of the chunk named first is taken.
    ///
    /// # Errors
    /// When a chunk that overlaps another does not decode.
    pub fn join<'a>(&'a mut self, chunks: Vec<ChunkView<'a>>) -> Result<Vec<ChunkView<'a>>, SelectError> {
        let Joiner { columns, mixed, samples, mixed_histograms, histograms } = self;
        if !chunks.iter().any(ChunkView::is_histograms) {
            return join_floats(columns, mixed, samples, chunks);
        }
        let (of_histograms, of_floats) = chunks.into_iter().partition(ChunkView::is_histograms);
        let mut all = join_floats(columns, mixed, samples, of_floats)?;
        all.extend(join_histograms(mixed_histograms, histograms, of_histograms)?);
        Ok(all)
    }
}

/// A chunk, its times and its place in the input.
type Placed<'a> = (i64, i64, usize, ChunkView<'a>);

/// The chunks that have samples, in order of time, equal ones once; `Err` when they are that already.
fn ordered(chunks: Vec<ChunkView<'_>>) -> Result<Vec<Placed<'_>>, Vec<ChunkView<'_>>> {
    let apart = |a: &ChunkView<'_>, b: &ChunkView<'_>| matches!((bounds(a), bounds(b)), (Some((_, end)), Some((start, _))) if end < start);
    if chunks.is_sorted_by(apart) && chunks.iter().all(|chunk| bounds(chunk).is_some()) {
        return Err(chunks);
    }
    let mut ordered: Vec<Placed<'_>> = chunks
        .into_iter()
        .enumerate()
        .filter_map(|(i, chunk)| bounds(&chunk).map(|(start, end)| (start, end, i, chunk)))
        .collect();
    ordered.sort_by_key(|&(start, _, i, _)| (start, i));
    ordered.dedup_by(|b, a| same(&a.3, &b.3));
    Ok(ordered)
}

/// Groups of chunks that overlap, handed to `mix` when they are more than one; the ranges that it returns are those of
/// one buffer, which can be pointed into when all are there.
fn join_groups<'a>(
    mut rest: &[Placed<'a>],
    mut mix: impl FnMut(&[Placed<'a>]) -> Result<Range<usize>, SelectError>,
) -> Result<Vec<Result<ChunkView<'a>, Range<usize>>>, SelectError> {
    let mut joined = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let mut end = first.1;
        let more = after.iter().take_while(|next| {
            let overlaps = next.0 <= end;
            end = end.max(next.1);
            overlaps
        });
        let count = 1 + more.count();
        let (group, after) = rest.split_at(count);
        rest = after;
        joined.push(match group {
            [(_, _, _, chunk)] => Ok(*chunk),
            _ => Err(mix(group)?),
        });
    }
    Ok(joined)
}

fn join_histograms<'a>(
    mixed: &mut Vec<(HistogramSample, usize)>,
    decoded: &'a mut Vec<HistogramSample>,
    chunks: Vec<ChunkView<'a>>,
) -> Result<Vec<ChunkView<'a>>, SelectError> {
    let ordered = match ordered(chunks) {
        Ok(ordered) => ordered,
        Err(chunks) => return Ok(chunks),
    };
    decoded.clear();
    let joined = join_groups(&ordered, |group| mix_histograms(group, mixed, decoded))?;
    let samples = &*decoded;
    let views = joined.into_iter().map(|piece| match piece {
        Ok(chunk) => chunk,
        Err(range) => ChunkView::Histograms(samples.get(range).unwrap_or_default()),
    });
    Ok(views.collect())
}

fn join_floats<'a>(
    columns: &mut Columns,
    mixed: &mut Vec<(Sample, usize)>,
    decoded: &'a mut Vec<Sample>,
    chunks: Vec<ChunkView<'a>>,
) -> Result<Vec<ChunkView<'a>>, SelectError> {
    let ordered = match ordered(chunks) {
        Ok(ordered) => ordered,
        Err(chunks) => return Ok(chunks),
    };
    decoded.clear();
    let joined = join_groups(&ordered, |group| mix(group, columns, mixed, decoded))?;
    let samples = &*decoded;
    let views = joined.into_iter().map(|piece| match piece {
        Ok(chunk) => chunk,
        Err(range) => ChunkView::Samples(samples.get(range).unwrap_or_default()),
    });
    Ok(views.collect())
}

/// Whether two chunks are the same bytes.
fn same(a: &ChunkView<'_>, b: &ChunkView<'_>) -> bool {
    match (a, b) {
        (
            ChunkView::Encoded { encoding, samples, bytes, .. },
            ChunkView::Encoded { encoding: encoding_b, samples: samples_b, bytes: bytes_b, .. },
        ) => encoding == encoding_b && samples == samples_b && bytes == bytes_b,
        _ => false,
    }
}

fn corrupt(min_time: i64, error: &ChunkError) -> SelectError {
    SelectError::Corrupt(format!("a chunk that begins at {min_time}: {error}"))
}

/// Appends the samples of all chunks to `out`, in order of time, each time once.
fn mix(
    group: &[Placed<'_>],
    columns: &mut Columns,
    mixed: &mut Vec<(Sample, usize)>,
    out: &mut Vec<Sample>,
) -> Result<Range<usize>, SelectError> {
    mixed.clear();
    for (start, _, place, chunk) in group {
        match *chunk {
            ChunkView::Histograms(_) => {}
            ChunkView::Samples(samples) => mixed.extend(samples.iter().map(|&s| (s, *place))),
            ChunkView::Encoded { encoding, samples, bytes, .. } => {
                columns.clear();
                chunk::decode(encoding, bytes, samples, columns).map_err(|e| corrupt(*start, &e))?;
                let samples = columns.times.iter().zip(&columns.values);
                mixed.extend(samples.map(|(&t, &v)| (Sample { t, v }, *place)));
            }
        }
    }
    mixed.sort_by_key(|(sample, place)| (sample.t, *place));
    mixed.dedup_by_key(|(sample, _)| sample.t);
    let start = out.len();
    out.extend(mixed.iter().map(|(sample, _)| *sample));
    Ok(start..out.len())
}

/// As [`mix`], of histograms. What a chunk knows about counter resets holds between its own samples only: about a
/// sample that follows one of another chunk nothing is known.
fn mix_histograms(
    group: &[Placed<'_>],
    mixed: &mut Vec<(HistogramSample, usize)>,
    out: &mut Vec<HistogramSample>,
) -> Result<Range<usize>, SelectError> {
    mixed.clear();
    let start = out.len();
    for (begin, _, place, chunk) in group {
        chunk.histograms(out).map_err(|e| corrupt(*begin, &e))?;
        mixed.extend(out.drain(start..).map(|sample| (sample, *place)));
    }
    mixed.sort_by_key(|(sample, place)| (sample.t, *place));
    mixed.dedup_by_key(|(sample, _)| sample.t);
    let mut before = None;
    for (mut sample, place) in mixed.drain(..) {
        let known = sample.histogram.reset;
        let moved = before.replace(place) != Some(place);
        if moved && !matches!(known, CounterReset::Gauge | CounterReset::Unknown) {
            Arc::make_mut(&mut sample.histogram).reset = CounterReset::Unknown;
        }
        out.push(sample);
    }
    Ok(start..out.len())
}

#[cfg(test)]
mod tests {
    use model::FloatHistogram;

    use super::*;

    fn samples(times: &[i64], v: f64) -> Vec<Sample> {
        times.iter().map(|&t| Sample { t, v }).collect()
    }

    fn joined(chunks: &[&[Sample]]) -> Vec<Vec<(i64, f64)>> {
        let mut joiner = Joiner::default();
        let views = chunks.iter().map(|samples| ChunkView::Samples(samples)).collect();
        let pieces = joiner.join(views).unwrap();
        pieces
            .iter()
            .map(|piece| match piece {
                ChunkView::Samples(samples) => samples.iter().map(|s| (s.t, s.v)).collect(),
                ChunkView::Encoded { .. } | ChunkView::Histograms(_) => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn chunks_that_overlap_become_one_and_others_stay() {
        let (a, b, c, d) = (
            samples(&[10, 20, 30], 1.0),
            samples(&[5, 20, 25], 2.0),
            samples(&[40, 50], 3.0),
            samples(&[1, 2], 4.0),
        );
        let mixed = vec![(5, 2.0), (10, 1.0), (20, 1.0), (25, 2.0), (30, 1.0)];
        assert_eq!(
            joined(&[&a, &c, &[], &b, &d]),
            [vec![(1, 4.0), (2, 4.0)], mixed, vec![(40, 3.0), (50, 3.0)]]
        );
        assert_eq!(joined(&[&d, &c]), [vec![(1, 4.0), (2, 4.0)], vec![(40, 3.0), (50, 3.0)]]);
    }

    #[test]
    fn of_samples_at_one_time_the_first_is_taken() {
        let (a, b) = (samples(&[1, 2], 1.0), samples(&[0, 2, 3], 2.0));
        assert_eq!(joined(&[&b, &a]), [vec![(0, 2.0), (1, 1.0), (2, 2.0), (3, 2.0)]]);
        assert_eq!(joined(&[&a, &b]), [vec![(0, 2.0), (1, 1.0), (2, 1.0), (3, 2.0)]]);
    }

    fn histograms(times: &[i64], sum: f64, reset: CounterReset) -> Vec<HistogramSample> {
        let histogram = |t: &i64| FloatHistogram { sum: sum + *t as f64, reset, ..FloatHistogram::default() };
        times.iter().map(|t| HistogramSample { t: *t, histogram: Arc::new(histogram(t)) }).collect()
    }

    /// Between chunks nothing is known about resets; within one, and of gauges, what was known still is.
    #[test]
    fn histograms_that_overlap_forget_resets_where_chunks_meet() {
        use CounterReset::{Gauge, NotReset, Unknown};
        let (a, b) =
            (histograms(&[10, 20, 30, 40], 0.0, NotReset), histograms(&[25, 30, 50], 100.0, NotReset));
        let (gauges, floats) = (histograms(&[70, 80], 0.0, Gauge), samples(&[5, 15], 1.0));
        let more = histograms(&[75], 0.0, Gauge);
        let mut joiner = Joiner::default();
        let views = vec![
            ChunkView::Histograms(&gauges),
            ChunkView::Histograms(&a),
            ChunkView::Samples(&floats),
            ChunkView::Histograms(&b),
            ChunkView::Histograms(&more),
        ];
        let joined = joiner.join(views).unwrap();
        let shown: Vec<Vec<(i64, f64, CounterReset)>> = joined
            .iter()
            .map(|view| {
                let mut all = Vec::new();
                view.histograms(&mut all).unwrap();
                all.iter().map(|s| (s.t, s.histogram.sum, s.histogram.reset)).collect()
            })
            .collect();
        let mixed = vec![
            (10, 10.0, Unknown),
            (20, 20.0, NotReset),
            (25, 125.0, Unknown),
            (30, 30.0, Unknown),
            (40, 40.0, NotReset),
            (50, 150.0, Unknown),
        ];
        let of_gauges = vec![(70, 70.0, Gauge), (75, 75.0, Gauge), (80, 80.0, Gauge)];
        assert_eq!(shown, [vec![], mixed, of_gauges]);
    }
}
