//! The suite of all stores, run over blocks that are written whenever something is read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use block::{BlockWriter, Blocks, Meta, NewChunk, Ulid, WriteOptions};
use chunk::{Encoding, XorAppender};
use model::{Labels, MatchOp, Matcher, Sample};
use storage::{
    Affinity, Append, AppendError, Batch, ChunkView, MemoryStore, Outcome, Projection, QueryContext, Request,
    Resolved, Select, SelectError, SeriesPart,
};
use support::matcher;

/// Keeps samples in memory, and writes so many blocks of them when something is asked: the first with all, the others with
/// some of them again.
struct Written {
    memory: MemoryStore,
    blocks: usize,
    /// Of what is in memory now.
    current: Mutex<Option<&'static Blocks>>,
}

impl Written {
    fn series(&self) -> Vec<(Labels, Vec<Sample>)> {
        let all = [matcher(MatchOp::Regex, "__name__", ".*")];
        let request = Request {
            matchers: &all,
            min_time: i64::MIN,
            max_time: i64::MAX,
            labels: Projection::All,
            newest: None,
        };
        let mut series = Vec::new();
        for mut part in self.memory.select(&QueryContext::unlimited(), &request).unwrap() {
            while let Some(view) = part.next().unwrap() {
                let samples = view.chunks.iter().flat_map(|chunk| match chunk {
                    ChunkView::Samples(samples) => samples.to_vec(),
                    ChunkView::Encoded { .. } | ChunkView::Histograms(_) => {
                        panic!("memory has samples alone")
                    }
                });
                series.push((view.labels, samples.collect()));
            }
        }
        series.sort_by(|a: &(Labels, _), b| a.0.cmp(&b.0));
        series
    }

    /// What is written now. It stays open for the rest of the test, its files are gone at once.
    fn written(&self) -> &'static Blocks {
        let mut current = self.current.lock().unwrap();
        if let Some(blocks) = *current {
            return blocks;
        }
        let dir = tempfile::tempdir().unwrap();
        let series = self.series();
        for step in 1..=self.blocks {
            write(dir.path(), step, &series);
        }
        current.insert(Box::leak(Box::new(support::open(dir.path()))))
    }
}

fn write(dir: &Path, step: usize, series: &[(Labels, Vec<Sample>)]) {
    let symbols: BTreeSet<&str> =
        series.iter().flat_map(|(labels, _)| labels.iter()).flat_map(|(name, value)| [name, value]).collect();
    let ulid = Ulid::new(step as i64, 0);
    let mut writer = BlockWriter::create(dir, ulid, &WriteOptions::default(), symbols.into_iter()).unwrap();
    let (mut min_time, mut max_time) = (i64::MAX, i64::MIN);
    for (labels, samples) in series {
        let samples: Vec<Sample> = samples.iter().copied().step_by(step).collect();
        let mut bytes: Vec<(i64, i64, Vec<u8>)> = Vec::new();
        for samples in samples.chunks(5) {
            let mut appender = XorAppender::new();
            let mut chunk = vec![0; 2 + samples.len() * XorAppender::MAX_SAMPLE_LEN];
            samples.iter().for_each(|s| appender.append(&mut chunk, s.t, s.v).unwrap());
            chunk.truncate(appender.len());
            bytes.push((samples[0].t, samples[samples.len() - 1].t, chunk));
        }
        let chunks: Vec<NewChunk<'_>> = bytes
            .iter()
            .map(|(from, to, bytes)| NewChunk {
                encoding: Encoding::Xor,
                min_time: *from,
                max_time: *to,
                bytes,
            })
            .collect();
        writer.add_series(labels, &chunks).unwrap();
        min_time = chunks.iter().map(|c| c.min_time).fold(min_time, i64::min);
        max_time = chunks.iter().map(|c| c.max_time).fold(max_time, i64::max);
    }
    writer.finish(Meta::new(ulid, min_time, max_time.saturating_add(1))).unwrap();
}

impl Append for Written {
    fn resolve(&self, affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        self.memory.resolve(affinity, labels)
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        *self.current.lock().unwrap() = None;
        self.memory.append(batch, outcome)
    }
}

impl Select for Written {
    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        self.written().select(ctx, request)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.written().label_names(ctx, min_time, max_time, matchers)
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.written().label_values(ctx, name, min_time, max_time, matchers)
    }
}

#[test]
fn blocks_conform() {
    for blocks in 1..=3 {
        let new_store = || Written { memory: MemoryStore::new(), blocks, current: Mutex::default() };
        assert_eq!(storage::conformance::check(new_store), Ok(()), "{blocks} blocks");
    }
}
