//! Numbers about the head for `/api/v1/status/tsdb`.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use model::METRIC_NAME;

use super::Head;

/// Cardinality of the head.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadStats {
    /// Series in memory.
    pub num_series: usize,
    /// Distinct label pairs.
    pub num_label_pairs: usize,
    /// Chunks, mapped ones included.
    pub chunk_count: usize,
    /// Time of the oldest sample in milliseconds, as [`Head::time_bounds`] tells it.
    pub min_time: i64,
    /// Time of the newest sample in milliseconds, as [`Head::time_bounds`] tells it.
    pub max_time: i64,
    /// Metric names with the most series.
    pub series_by_metric: Vec<(String, u64)>,
    /// Label names with the most values.
    pub values_by_label: Vec<(String, u64)>,
    /// Label names that take the most bytes in total: name and value of each series, each text behind its length.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Label pairs, as `name=value`, with the most series.
    pub series_by_pair: Vec<(String, u64)>,
}

impl Head {
    /// Cardinality figures with at most `limit` entries a list; `METRIC_NAME` is the label of the first one.
    #[must_use]
    pub fn stats(&self, limit: usize) -> HeadStats {
        let mut series: HashMap<(String, String), u64> = HashMap::new();
        let mut values: HashMap<String, BTreeSet<String>> = HashMap::new();
        for shard in &self.shards {
            let data = shard.data.read();
            for (name, text) in data.symbols.names() {
                let of_name = values.entry(text.to_owned()).or_default();
                for &pair in data.symbols.pairs_of(name) {
                    let count = u64::from(data.symbols.postings(pair).len());
                    if count > 0 {
                        let value = data.symbols.value_text(pair).to_owned();
                        of_name.insert(value.clone());
                        *series.entry((text.to_owned(), value)).or_default() += count;
                    }
                }
            }
        }
        let mut bytes: HashMap<&str, u64> = HashMap::new();
        for ((name, value), count) in &series {
            *bytes.entry(name).or_default() += (encoded_len(name) + encoded_len(value)) * count;
        }
        let (min_time, max_time) = self.time_bounds();
        let metrics = series.iter().filter(|((name, _), _)| name == METRIC_NAME);
        HeadStats {
            num_series: self.series.load(Ordering::Relaxed),
            num_label_pairs: series.len(),
            chunk_count: self.chunks.load(Ordering::Relaxed),
            min_time,
            max_time,
            series_by_metric: top(limit, metrics.map(|((_, value), count)| (value.clone(), *count))),
            values_by_label: top(limit, values.iter().map(|(name, set)| (name.clone(), set.len() as u64))),
            bytes_by_label: top(limit, bytes.into_iter().map(|(name, count)| (name.to_owned(), count))),
            series_by_pair: top(limit, series.iter().map(|((n, v), count)| (format!("{n}={v}"), *count))),
        }
    }
}

/// Bytes of a text in a set of labels as Prometheus keeps it in memory: short lengths take one byte, others four.
fn encoded_len(text: &str) -> u64 {
    let length = if text.len() < 255 { 1 } else { 4 };
    text.len() as u64 + length
}

/// The greatest, then by name.
fn top(limit: usize, entries: impl Iterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut all: Vec<_> = entries.filter(|(_, count)| *count > 0).collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(limit);
    all
}

impl Head {
    /// How many times damage was found in the log.
    #[must_use]
    pub fn corruptions(&self) -> u64 {
        self.metrics.wal_corruptions.get() as u64
    }
}
