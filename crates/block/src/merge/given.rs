//! A block of samples that are at hand.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

use chunk::{ChunkError, Encoding};
use model::histogram::HistogramValue;
use storage::SeriesSamples;

use super::encode::ChunkSplitter;
use super::samples::{Point, Value};
use super::{MergeOptions, Piece};
use crate::{BlockError, BlockWriter, Meta, NewChunk, Ulid};

/// Writes the block `parent/ulid` of these series, which are in order of their labels, each once. Returns `None` and leaves
/// nothing when there are no samples.
///
/// # Errors
/// When the order is not kept, a histogram is malformed or files cannot be written; nothing is left of the block then.
pub fn write_samples(
    series: &[SeriesSamples],
    parent: &Path,
    ulid: Ulid,
    mut meta: Meta,
    options: &MergeOptions<'_>,
) -> Result<Option<Meta>, BlockError> {
    meta.ulid = ulid.to_string();
    // Prometheus' head has the empty text among its symbols.
    let mut symbols = BTreeSet::from([""]);
    for series in series {
        symbols.extend(series.labels.iter().flat_map(|(name, value)| [name, value]));
    }
    let mut writer = BlockWriter::create(parent, ulid, &options.write, symbols.into_iter())?;
    for series in series {
        if options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(BlockError::Interrupted);
        }
        let pieces = encoded(series, options.floats).map_err(|(min_time, source)| BlockError::Chunk {
            series: series.labels.to_string(),
            min_time,
            source,
        })?;
        let chunks: Vec<NewChunk<'_>> = pieces.iter().map(Piece::chunk).collect();
        if let Some(observe) = options.observe {
            chunks.iter().for_each(observe);
        }
        writer.add_series(&series.labels, &chunks)?;
    }
    let meta = writer.finish(meta)?;
    Ok((meta.stats.num_samples > 0).then_some(meta))
}

/// The chunks of a series; an error has the time of the sample that does not fit.
fn encoded(series: &SeriesSamples, floats: Encoding) -> Result<Vec<Piece<'static>>, (i64, ChunkError)> {
    let mut out = ChunkSplitter::new(floats);
    let mut push = |t, value| out.push(Point { t, start_time: 0, value }).map_err(|error| (t, error));
    let mut samples = series.samples.iter().peekable();
    for histogram in &series.histograms {
        while let Some(sample) = samples.next_if(|sample| sample.t < histogram.t) {
            push(sample.t, Value::Float(sample.v))?;
        }
        let value = HistogramValue::Float(Box::new((*histogram.histogram).clone()));
        push(histogram.t, Value::Histogram(value))?;
    }
    for sample in samples {
        push(sample.t, Value::Float(sample.v))?;
    }
    Ok(out.finish())
}
