//! Samples of a chunk, one by one.

use std::borrow::Cow;

use chunk::{ChunkError, Columns, Encoding, HistogramPoint};
use model::histogram::CounterReset;
use model::histogram::HistogramValue;

use super::Piece;
use super::encode::ChunkBuilder;

/// A sample of either kind.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) t: i64,
    /// 0 when it is not known.
    pub(super) start_time: i64,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Float(f64),
    Histogram(HistogramValue),
}

impl Value {
    /// About a sample that does not follow the one that it followed when this was written, nothing is known.
    pub(super) fn forget_reset(&mut self) {
        let reset = match self {
            Value::Float(_) => return,
            Value::Histogram(HistogramValue::Integer(h)) => &mut h.reset,
            Value::Histogram(HistogramValue::Float(h)) => &mut h.reset,
        };
        if *reset != CounterReset::Gauge {
            *reset = CounterReset::Unknown;
        }
    }
}

/// All samples of a chunk.
pub(super) fn decode(encoding: Encoding, bytes: &[u8]) -> Result<Vec<Point>, ChunkError> {
    if encoding.is_float() {
        let mut columns = Columns::default();
        chunk::decode(encoding, bytes, u16::MAX, &mut columns)?;
        let Columns { times, values, start_times } = columns;
        let start_times = start_times.into_iter().chain(std::iter::repeat(0));
        let samples = times.into_iter().zip(values).zip(start_times);
        return Ok(samples
            .map(|((t, v), start_time)| Point { t, start_time, value: Value::Float(v) })
            .collect());
    }
    let mut points = Vec::new();
    chunk::decode_histograms(encoding, bytes, u16::MAX, &mut points)?;
    let point =
        |p: HistogramPoint| Point { t: p.t, start_time: p.start_time, value: Value::Histogram(p.value) };
    Ok(points.into_iter().map(point).collect())
}

/// The chunk of the samples that are kept, encoded as they were; `None` when there are none.
///
/// They fit one chunk, since they were in one.
pub(super) fn cut<'a>(
    encoding: Encoding,
    points: Vec<Point>,
    keep: impl Fn(i64) -> bool,
) -> Result<Option<Piece<'a>>, ChunkError> {
    let mut builder: Option<(i64, ChunkBuilder)> = None;
    let mut max_time = 0;
    for point in points {
        if !keep(point.t) {
            continue;
        }
        max_time = point.t;
        let (_, chunk) = builder.get_or_insert_with(|| (point.t, ChunkBuilder::new(encoding)));
        if chunk.append(point).is_err() {
            return Err(ChunkError::WrongKind(encoding));
        }
    }
    Ok(builder.map(|(min_time, chunk)| Piece {
        encoding,
        min_time,
        max_time,
        bytes: Cow::Owned(chunk.into_bytes()),
    }))
}
