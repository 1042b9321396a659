//! The day of data: blocks for those who read them, lines of JSON for those who import.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use block::{BlockWriter, Meta, NewChunk, Ulid, WriteOptions};
use chunk::{Encoding, XorAppender};
use model::Labels;

use crate::http;
use crate::load::World;

/// Milliseconds between samples.
const INTERVAL: i64 = 15_000;
/// Samples of a full chunk.
const CHUNK: usize = 120;
/// The longest block that Prometheus makes of blocks of two hours at its default retention.
const LONG: i64 = 18 * 3600 * 1000;
/// The one after it.
const SHORT: i64 = 6 * 3600 * 1000;
/// Series in one request of an import.
const SERIES_A_REQUEST: usize = 50;

/// The metrics that the queries are about.
const METRICS: [&str; 4] = [
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kube_pod_info",
    "apiserver_request_duration_seconds",
];

/// Series with a sample every quarter of a minute for a day.
#[derive(Debug)]
pub(crate) struct History {
    /// In order of their labels.
    series: Vec<(Labels, Vec<f64>)>,
}

impl History {
    /// Of a cluster of so many nodes; the same in every run.
    pub(crate) fn new(nodes: usize) -> Self {
        let steps = ((LONG + SHORT) / INTERVAL) as u64;
        let world = World::of_nodes(nodes, Duration::from_millis(INTERVAL as u64));
        let mut series = Vec::new();
        for (place, target) in world.targets.iter().enumerate() {
            let (job, instance) = (&target.info.job, &target.info.instance);
            world.page(place, 0).each_series(|text, value| {
                if METRICS.iter().any(|metric| text.starts_with(metric)) {
                    let labels = labels(text, job, instance);
                    series.push((labels, (0..steps).map(value).collect()));
                }
            });
        }
        series.sort_by(|a, b| a.0.cmp(&b.0));
        History { series }
    }

    /// Time of the first sample, in milliseconds: where a block of the longest kind begins, some time in 2025.
    pub(crate) fn start() -> i64 {
        27_100 * LONG
    }

    /// Time of the last sample, in milliseconds.
    pub(crate) fn end() -> i64 {
        Self::start() + LONG + SHORT - INTERVAL
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Number of samples.
    pub(crate) fn samples(&self) -> usize {
        self.series.iter().map(|(_, values)| values.len()).sum()
    }

    /// Writes the blocks that Prometheus' compaction leaves: one of 18 hours and one of 6.
    pub(crate) fn write_blocks(&self, folder: &Path) -> Result<()> {
        let bounds = [Self::start(), Self::start() + LONG, Self::start() + LONG + SHORT];
        let mut symbols = BTreeSet::new();
        for (labels, _) in &self.series {
            symbols.extend(labels.iter().flat_map(|(name, value)| [name, value]));
        }
        for (level, range) in bounds.windows(2).enumerate() {
            let &[start, end] = range else { continue };
            let ulid = Ulid::new(end, level as u128);
            let mut writer =
                BlockWriter::create(folder, ulid, &WriteOptions::default(), symbols.iter().copied())?;
            for (labels, values) in &self.series {
                let from = ((start - Self::start()) / INTERVAL) as usize;
                let to = ((end - Self::start()) / INTERVAL) as usize;
                let values = values.get(from..to).context("too few values")?;
                let chunks = encode(start, values)?;
                let views: Vec<NewChunk<'_>> = chunks
                    .iter()
                    .map(|(min_time, max_time, bytes)| NewChunk {
                        encoding: Encoding::Xor,
                        min_time: *min_time,
                        max_time: *max_time,
                        bytes,
                    })
                    .collect();
                writer.add_series(labels, &views)?;
            }
            let mut meta = Meta::new(ulid, start, end);
            meta.compaction.level = 3 - level as u32;
            writer.finish(meta)?;
        }
        Ok(())
    }

    /// Imports everything by VictoriaMetrics' API.
    pub(crate) fn import(&self, port: u16) -> Result<()> {
        let mut times = String::new();
        for t in (Self::start()..=Self::end()).step_by(INTERVAL as usize) {
            let _ = write!(times, "{}{t}", if times.is_empty() { "" } else { "," });
        }
        for some in self.series.chunks(SERIES_A_REQUEST) {
            let mut body = String::new();
            for (labels, values) in some {
                let metric: serde_json::Map<_, _> =
                    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                let values = serde_json::to_string(values)?;
                let metric = serde_json::Value::Object(metric);
                let _ = writeln!(body, r#"{{"metric":{metric},"values":{values},"timestamps":[{times}]}}"#);
            }
            http::post(port, "/api/v1/import", body.as_bytes())?;
        }
        http::get(port, "/internal/force_flush")?;
        Ok(())
    }
}

/// Chunks with the time of their first and last samples.
fn encode(start: i64, values: &[f64]) -> Result<Vec<(i64, i64, Vec<u8>)>> {
    let mut chunks = Vec::new();
    let mut t = start;
    for values in values.chunks(CHUNK) {
        let first = t;
        let mut bytes = vec![0; 2 + values.len() * XorAppender::MAX_SAMPLE_LEN];
        let mut appender = XorAppender::new();
        for &v in values {
            appender.append(&mut bytes, t, v).map_err(|_| anyhow!("no room for a sample"))?;
            t += INTERVAL;
        }
        bytes.truncate(appender.len());
        chunks.push((first, t - INTERVAL, bytes));
    }
    Ok(chunks)
}

/// The labels of a series on a page of this target. Values on the pages hold nothing that is escaped.
pub(crate) fn labels(text: &str, job: &str, instance: &str) -> Labels {
    let (name, rest) = text.split_once('{').unwrap_or((text, ""));
    let rest = rest.trim_end_matches('}');
    let pairs = rest.split("\",").filter_map(|pair| pair.split_once("=\""));
    let target =
        [("__name__", name), ("job", job), ("instance", instance), ("cluster", "bench"), ("service", job)];
    Labels::from_pairs(pairs.map(|(name, value)| (name, value.trim_end_matches('"'))).chain(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_page_and_of_the_target() {
        let labels = labels(r#"m{a="1",b="",c="x/y.z"}"#, "j", "i:1");
        assert_eq!(
            labels.to_string(),
            r#"{__name__="m", a="1", c="x/y.z", cluster="bench", instance="i:1", job="j", service="j"}"#
        );
    }

    #[test]
    fn chunks_hold_the_values_in_order() {
        let values: Vec<f64> = (0..250).map(|v| f64::from(v) / 8.0).collect();
        let chunks = encode(1000, &values).unwrap();
        assert_eq!(chunks.len(), 3);
        let mut read = chunk::Columns::default();
        for (_, _, bytes) in &chunks {
            chunk::decode(Encoding::Xor, bytes, u16::MAX, &mut read).unwrap();
        }
        assert_eq!(read.values, values);
        assert_eq!(read.times.last(), Some(&(1000 + 249 * INTERVAL)));
        assert_eq!(chunks[1].0, 1000 + 120 * INTERVAL);
    }
}
