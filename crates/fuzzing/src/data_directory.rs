//! What a head does with a directory that holds anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use exposition::Registry;
use model::{Labels, MatchOp, Matcher};
use storage::{ChunkView, Projection, QueryContext, Request, Select};
use tsdb::{Head, HeadOptions};

use crate::pieces::{self, Kind};

/// Times of the samples of each series, by labels; equal times of different chunks are one.
type Found = BTreeMap<Labels, Vec<i64>>;

/// A directory of pieces is opened and read, with and without a chunk snapshot, closed, and opened again: what was
/// found once is found again, also when a checkpoint was made of the log.
pub(crate) fn open(data: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let pieces = pieces::split(data);
    pieces::write(dir.path(), &pieces);
    let first = start(dir.path(), true, |_| {});
    // From the snapshot that the first one wrote, and the log behind it.
    let second = start(dir.path(), true, |head| head.checkpoint_now().unwrap());
    assert_eq!(first, second, "after a start from a snapshot");
    remove_snapshots(dir.path());
    let third = start(dir.path(), false, |_| {});
    // What is in a snapshot need not be in the log.
    if pieces.iter().all(|piece| piece.kind != Kind::Snapshot) {
        assert_eq!(first, third, "after a start from a checkpoint");
    }
    look_at(dir.path());
}

fn start(dir: &Path, snapshots: bool, before_closing: impl Fn(&Head)) -> Found {
    let options = HeadOptions {
        out_of_order_window: Duration::from_secs(3600 * 24 * 365 * 100),
        snapshot_on_shutdown: snapshots,
        start_times: true,
        exemplars: true,
        max_exemplars: 100,
        metadata_wal_records: true,
        shards: 2,
        ..HeadOptions::default()
    };
    let head = Head::open(dir, options, &Registry::new()).unwrap();
    let found = read(&head);
    let all = [everything()];
    let _ = head.exemplars(&[all.to_vec()], i64::MIN, i64::MAX);
    let _ = head.metadata(&QueryContext::unlimited(), &all);
    let _ = head.stats(10);
    before_closing(&head);
    head.close().unwrap();
    found
}

fn everything() -> Matcher {
    Matcher::new(MatchOp::NotEqual, "__name__", "no such name").unwrap()
}

fn read(head: &Head) -> Found {
    let all = [everything()];
    let request = Request {
        matchers: &all,
        min_time: i64::MIN,
        max_time: i64::MAX,
        labels: Projection::All,
        newest: None,
    };
    let mut found = Found::new();
    for mut part in head.select(&QueryContext::unlimited(), &request).unwrap() {
        while let Ok(Some(series)) = part.next() {
            let mut times = Vec::new();
            for chunk in series.chunks.iter() {
                match *chunk {
                    ChunkView::Encoded { encoding, bytes, samples, .. } if encoding.is_float() => {
                        let mut columns = chunk::Columns::default();
                        let _ = chunk::decode(encoding, bytes, samples, &mut columns);
                        times.extend(columns.times);
                    }
                    ChunkView::Samples(samples) => times.extend(samples.iter().map(|s| s.t)),
                    _ => {
                        let mut points = Vec::new();
                        let _ = chunk.histograms(&mut points);
                        times.extend(points.iter().map(|p| p.t));
                    }
                }
            }
            times.sort_unstable();
            times.dedup();
            if !times.is_empty() {
                found.insert(series.labels, times);
            }
        }
    }
    found
}

fn remove_snapshots(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("chunk_snapshot.") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

/// As `tool tsdb verify` does.
fn look_at(dir: &Path) {
    let mut known = tsdb::KnownSeries::default();
    let _ = tsdb::inspect_chunks_head(dir, &mut Silent);
    let _ = tsdb::inspect_log(dir, &mut known, &mut Silent);
    let _ = tsdb::inspect_out_of_order_log(dir, &mut known, &mut Silent);
}

struct Silent;

impl block::Inspector for Silent {
    fn damaged(&mut self, _: &Path, _: Option<u64>, _: &str) {}
    fn noticed(&mut self, _: &Path, _: &str) {}
    fn advanced(&mut self, _: u64) {}
}
