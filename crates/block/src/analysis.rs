//! What the series and chunks of a block are like: who churns, which labels have many values, how full chunks are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use chunk::{Encoding, HistogramPoint};
use model::histogram::HistogramValue;

use crate::index::SeriesEntry;
use crate::{Block, BlockError};

/// Names with numbers, the largest first, equal ones in order of name.
pub type Ranking = Vec<(String, u64)>;

/// What was found out about some series of a block. Rankings are as long as was asked for at most.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// Number of label names.
    pub label_names: usize,
    /// Number of distinct label pairs.
    pub pairs: usize,
    /// Number of labels, each series counted with its own.
    pub entries: u64,
    /// Label pairs (`name=value`) by how many whole ranges of the block their series leave uncovered.
    pub churning_pairs: Ranking,
    /// Label names, likewise.
    pub churning_names: Ranking,
    /// Label pairs by number of series.
    pub common_pairs: Ranking,
    /// Label names by the summed lengths of their values, in bytes.
    pub longest_labels: Ranking,
    /// Label names by number of values.
    pub largest_labels: Ranking,
    /// Metric names by number of series.
    pub largest_metrics: Ranking,
}

/// What is counted of a label pair or a label name.
#[derive(Default)]
struct Tally {
    series: u64,
    /// Milliseconds of the block's range outside of the series' chunks.
    uncovered: u64,
}

#[derive(Default)]
struct NameTally {
    uncovered: u64,
    values: u64,
    length: u64,
}

impl Analysis {
    /// Looks at these series of a block (by number) and keeps the `limit` first of each ranking. Memory is needed for
    /// the distinct label pairs alone.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn of(
        block: &Block,
        series: impl Iterator<Item = u32>,
        limit: usize,
    ) -> Result<Analysis, BlockError> {
        // A text of the index lies in one place only, so that its place stands for it.
        let mut pairs: HashMap<(usize, usize), (&str, &str, Tally)> = HashMap::new();
        let mut entry = SeriesEntry::default();
        let range = block.meta().max_time.wrapping_sub(block.meta().min_time);
        let mut analysis = Analysis::default();
        for number in series {
            block.index().series(number, &mut entry).map_err(|damage| block.index_damaged(damage))?;
            let covered = match (entry.chunks.first(), entry.chunks.last()) {
                (Some(first), Some(last)) => last.max_time.wrapping_sub(first.min_time),
                _ => 0,
            };
            let uncovered = range.wrapping_sub(covered) as u64;
            analysis.entries += entry.labels.len() as u64;
            for &(name, value) in &entry.labels {
                let place = (name.as_ptr().addr(), value.as_ptr().addr());
                let (_, _, tally) = pairs.entry(place).or_insert_with(|| (name, value, Tally::default()));
                tally.series += 1;
                tally.uncovered = tally.uncovered.wrapping_add(uncovered);
            }
        }
        let mut names: BTreeMap<&str, NameTally> = BTreeMap::new();
        for (name, value, tally) in pairs.values() {
            let of_name = names.entry(name).or_default();
            of_name.uncovered = of_name.uncovered.wrapping_add(tally.uncovered);
            of_name.values += 1;
            of_name.length += value.len() as u64;
        }
        analysis.pairs = pairs.len();
        analysis.label_names = names.len();

        let ranges = |uncovered: u64| (uncovered as f64 / range as f64) as u64;
        let of_pairs = |number: &dyn Fn(&Tally) -> u64| {
            let all = pairs.values().map(|(name, value, tally)| ((*name, *value), number(tally))).collect();
            ranking(all, limit, |(name, value)| format!("{name}={value}"))
        };
        let of_names = |number: &dyn Fn(&NameTally) -> u64| {
            let all = names.iter().map(|(name, tally)| (*name, number(tally))).collect();
            ranking(all, limit, str::to_owned)
        };
        analysis.churning_pairs = of_pairs(&|tally| ranges(tally.uncovered));
        analysis.churning_names = of_names(&|tally| ranges(tally.uncovered));
        analysis.common_pairs = of_pairs(&|tally| tally.series);
        analysis.longest_labels = of_names(&|tally| tally.length);
        analysis.largest_labels = of_names(&|tally| tally.values);
        let metrics = pairs.values().filter(|(name, ..)| *name == "__name__");
        let metrics = metrics.map(|(_, value, tally)| (*value, tally.series)).collect();
        analysis.largest_metrics = ranking(metrics, limit, str::to_owned);
        Ok(analysis)
    }
}

/// The `limit` first by number, then by key.
fn ranking<K: Ord + Copy>(mut all: Vec<(K, u64)>, limit: usize, text: impl Fn(K) -> String) -> Ranking {
    let order = |(key, number): &(K, u64)| (Reverse(*number), *key);
    if limit < all.len() {
        all.select_nth_unstable_by_key(limit, order);
        all.truncate(limit);
    }
    all.sort_unstable_by_key(order);
    all.into_iter().map(|(key, number)| (text(key), number)).collect()
}

/// How often each number occurs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Distribution(pub BTreeMap<u64, u64>);

impl Distribution {
    fn count(&mut self, number: usize) {
        *self.0.entry(number as u64).or_default() += 1;
    }
}

/// How full the chunks of some series are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ChunkShapes {
    /// Number of chunks of any kind.
    pub chunks: u64,
    /// Samples of each chunk of floats.
    pub float_samples: Distribution,
    /// Bytes of each.
    pub float_bytes: Distribution,
    /// Samples of each chunk of native histograms.
    pub histogram_samples: Distribution,
    /// Bytes of each.
    pub histogram_bytes: Distribution,
    /// Buckets of all samples of each.
    pub histogram_buckets: Distribution,
}

impl ChunkShapes {
    /// Looks at all chunks of these series (by number), one after the other.
    ///
    /// # Errors
    /// When the index or a chunk is damaged.
    pub fn of(block: &Block, series: impl Iterator<Item = u32>) -> Result<ChunkShapes, BlockError> {
        let mut shapes = ChunkShapes::default();
        let mut entry = SeriesEntry::default();
        let mut points = Vec::new();
        for number in series {
            block.index().series(number, &mut entry).map_err(|damage| block.index_damaged(damage))?;
            for stored in &entry.chunks {
                let (encoding, bytes) = block.stored_chunk(stored.reference)?;
                shapes.chunks += 1;
                let Ok(encoding) = Encoding::try_from(encoding) else { continue };
                let samples = usize::from(chunk::sample_count(encoding, bytes));
                if encoding.is_float() {
                    shapes.float_samples.count(samples);
                    shapes.float_bytes.count(bytes.len());
                    continue;
                }
                shapes.histogram_samples.count(samples);
                shapes.histogram_bytes.count(bytes.len());
                points.clear();
                // Of a damaged chunk the buckets before the damage are counted.
                let _ = chunk::decode_histograms(encoding, bytes, u16::MAX, &mut points);
                shapes.histogram_buckets.count(points.iter().map(buckets).sum());
            }
        }
        Ok(shapes)
    }
}

fn buckets(point: &HistogramPoint) -> usize {
    match &point.value {
        HistogramValue::Integer(h) => h.positive_deltas.len() + h.negative_deltas.len(),
        HistogramValue::Float(h) => h.positive.len() + h.negative.len(),
    }
}
