//! What of a chunk lies in a stretch of time, as a chunk that others can read.

use std::borrow::Cow;

use chunk::{ChunkError, Columns, Encoding, HistogramPoint, Rewritten};
use storage::ChunkView;

/// A chunk to be sent.
#[derive(Debug)]
pub(crate) struct Trimmed<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) bytes: Cow<'a, [u8]>,
}

impl From<Rewritten> for Trimmed<'_> {
    fn from(Rewritten { encoding, min_time, max_time, bytes }: Rewritten) -> Self {
        Trimmed { encoding, min_time, max_time, bytes: Cow::Owned(bytes) }
    }
}

/// Samples of a chunk that is made of decoded ones.
const CHUNK_SAMPLES: usize = 120;

/// The chunk itself if all of it is wanted, else what is wanted written anew: nothing, one chunk or several.
pub(crate) fn trim<'a>(
    view: &ChunkView<'a>,
    min_time: i64,
    max_time: i64,
    out: &mut Vec<Trimmed<'a>>,
) -> Result<(), ChunkError> {
    let wanted = |t: i64| t >= min_time && t <= max_time;
    match *view {
        ChunkView::Encoded { encoding, min_time: from, max_time: to, samples, bytes } => {
            if wanted(from) && wanted(to) && chunk::sample_count(encoding, bytes) == samples {
                out.push(Trimmed { encoding, min_time: from, max_time: to, bytes: Cow::Borrowed(bytes) });
                return Ok(());
            }
            if encoding.is_float() {
                let mut columns = Columns::default();
                chunk::decode(encoding, bytes, samples, &mut columns)?;
                let points = columns.samples().filter(|&(_, t, _)| wanted(t));
                out.extend(chunk::rewrite_floats(encoding, points).map(Trimmed::from));
            } else {
                let mut points = Vec::new();
                chunk::decode_histograms(encoding, bytes, samples, &mut points)?;
                let points = points.iter().filter(|point| wanted(point.t));
                out.extend(chunk::rewrite_histograms(encoding, points).into_iter().map(Trimmed::from));
            }
        }
        ChunkView::Samples(samples) => {
            let points: Vec<_> =
                samples.iter().filter(|sample| wanted(sample.t)).map(|s| (0, s.t, s.v)).collect();
            let written = |points: &[_]| chunk::rewrite_floats(Encoding::Xor, points.iter().copied());
            out.extend(points.chunks(CHUNK_SAMPLES).filter_map(written).map(Trimmed::from));
        }
        ChunkView::Histograms(samples) => {
            let points = samples.iter().filter(|sample| wanted(sample.t)).map(|sample| HistogramPoint {
                t: sample.t,
                start_time: 0,
                value: model::histogram::HistogramValue::Float(Box::new((*sample.histogram).clone())),
            });
            let points: Vec<_> = points.collect();
            let written = chunk::rewrite_histograms(Encoding::FloatHistogram, &points);
            out.extend(written.into_iter().map(Trimmed::from));
        }
    }
    Ok(())
}
