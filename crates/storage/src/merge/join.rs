//! One series' chunks from several places.

use chunk::Columns;
use model::Sample;
use model::histogram::HistogramSample;

use crate::{ChunkView, SelectError};

/// Puts the chunks of one series in order of time, and makes one of those that overlap. Keeps its memory between
/// series.
#[derive(Debug, Default)]
pub struct Joiner {
    columns: Columns,
    /// Samples of chunks that overlap, with the chunk's place in the input.
    mixed: Vec<(Sample, usize)>,
    samples: Vec<Sample>,
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
    /// The chunks in order of time, without overlaps and empty ones. Chunks that overlap none come back as they are;
    /// of equal ones only one is left, without being decoded. Of samples with the same time that of the chunk named
    /// first is taken.
    ///
    /// # Errors
    /// When a chunk that overlaps another does not decode.
    pub fn join<'a>(&'a mut self, chunks: Vec<ChunkView<'a>>) -> Result<Vec<ChunkView<'a>>, SelectError> {
        let is_histograms = |chunk: &ChunkView<'_>| matches!(chunk, ChunkView::Histograms(_));
        if !chunks.iter().any(is_histograms) {
            let Joiner { columns, mixed, samples, .. } = self;
            return join_floats(columns, mixed, samples, chunks);
        }
        let (histograms, floats) = chunks.into_iter().partition(is_histograms);
        let Joiner { columns, mixed, samples, histograms: joined } = self;
        let mut all = join_floats(columns, mixed, samples, floats)?;
        all.extend(join_histograms(joined, histograms));
        Ok(all)
    }
}

/// The chunks of histograms in order of time; all in one if any overlap.
fn join_histograms<'a>(
    joined: &'a mut Vec<HistogramSample>,
    mut chunks: Vec<ChunkView<'a>>,
) -> Vec<ChunkView<'a>> {
    chunks.retain(|chunk| bounds(chunk).is_some());
    if chunks.is_sorted_by(|a, b| bounds(a).map(|a| a.1) < bounds(b).map(|b| b.0)) {
        return chunks;
    }
    joined.clear();
    for chunk in chunks {
        if let ChunkView::Histograms(samples) = chunk {
            joined.extend_from_slice(samples);
        }
    }
    joined.sort_by_key(|sample| sample.t);
    joined.dedup_by_key(|sample| sample.t);
    vec![ChunkView::Histograms(joined)]
}

/// The chunks of floats.
fn join_floats<'a>(
    columns: &mut Columns,
    mixed: &mut Vec<(Sample, usize)>,
    decoded: &'a mut Vec<Sample>,
    chunks: Vec<ChunkView<'a>>,
) -> Result<Vec<ChunkView<'a>>, SelectError> {
    let apart = |a: &ChunkView<'_>, b: &ChunkView<'_>| matches!((bounds(a), bounds(b)), (Some((_, end)), Some((start, _))) if end < start);
    if chunks.is_sorted_by(apart) && chunks.iter().all(|chunk| bounds(chunk).is_some()) {
        return Ok(chunks);
    }
    let mut ordered: Vec<(i64, i64, usize, ChunkView<'a>)> = chunks
        .into_iter()
        .enumerate()
        .filter_map(|(i, chunk)| bounds(&chunk).map(|(start, end)| (start, end, i, chunk)))
        .collect();
    ordered.sort_by_key(|&(start, _, i, _)| (start, i));
    ordered.dedup_by(|b, a| same(&a.3, &b.3));

    // Groups of chunks that overlap; those of more than one are decoded into `samples`.
    decoded.clear();
    let mut joined: Vec<Result<ChunkView<'a>, std::ops::Range<usize>>> = Vec::with_capacity(ordered.len());
    let mut rest = &ordered[..];
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
            _ => Err(mix(group, columns, mixed, decoded)?),
        });
    }
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

/// Appends the samples of all chunks to `out`, in order of time, each time once.
fn mix(
    group: &[(i64, i64, usize, ChunkView<'_>)],
    columns: &mut Columns,
    mixed: &mut Vec<(Sample, usize)>,
    out: &mut Vec<Sample>,
) -> Result<std::ops::Range<usize>, SelectError> {
    mixed.clear();
    for (_, _, place, chunk) in group {
        match *chunk {
            ChunkView::Histograms(_) => {}
            ChunkView::Samples(samples) => mixed.extend(samples.iter().map(|&s| (s, *place))),
            ChunkView::Encoded { encoding, samples, bytes, min_time, .. } => {
                columns.clear();
                chunk::decode(encoding, bytes, samples, columns)
                    .map_err(|e| SelectError::Corrupt(format!("a chunk that begins at {min_time}: {e}")))?;
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

#[cfg(test)]
mod tests {
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
}
