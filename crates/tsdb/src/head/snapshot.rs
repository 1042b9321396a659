//! Chunk snapshots: what is in memory only, written when the head is closed, so that the next start need not read the
//! log up to there. Prometheus' format: a directory `chunk_snapshot.N.M` with a log of records for all up to offset M
//! of segment N.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use block::Interval;

use super::Head;
use crate::shard::ShardData;
use crate::wal::record::{self, ExemplarsEncoder, Newest, OpenChunk};
use crate::wal::{Packed, Position, Wal, segments};

const PREFIX: &str = "chunk_snapshot.";
/// The highest reference that was ever given out, as a number in text. Prometheus passes over it.
const LAST_REFERENCE: &str = "last_reference";
/// So many bytes are written at a time.
const BATCH: usize = 1 << 20;
/// Exemplars of a record.
const EXEMPLARS: usize = 10_000;

/// A snapshot on disk.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) dir: PathBuf,
    /// The log goes on here.
    pub(super) end: Position,
}

impl Snapshot {
    /// The highest reference that had been given out.
    pub(super) fn last_reference(&self) -> Option<u64> {
        fs::read_to_string(self.dir.join(LAST_REFERENCE)).ok()?.trim().parse().ok()
    }
}

/// All snapshots of a data directory, oldest first.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let numbers = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('.'));
        let Some((segment, offset)) = numbers else { continue };
        if let (Ok(segment), Ok(offset)) = (segment.parse(), offset.parse())
            && entry.file_type()?.is_dir()
        {
            found.push(Snapshot { dir: entry.path(), end: Position { segment, offset } });
        }
    }
    found.sort_by_key(|snapshot| snapshot.end);
    Ok(found)
}

impl Head {
    /// Writes a snapshot. The log is closed, nothing is appended any more, and no full chunk is in memory.
    pub(super) fn write_snapshot(&self) -> io::Result<()> {
        let start = Instant::now();
        let end = self.wal.position();
        let before = list(&self.dir)?;
        if before.last().is_some_and(|last| last.end == end) {
            return Ok(());
        }
        tracing::info!("creating chunk snapshot");
        let dir = self.dir.join(format!("{PREFIX}{:06}.{:010}", end.segment, end.offset));
        let temporary = dir.with_extension(format!("{:010}.tmp", end.offset));
        if temporary.exists() {
            disk::remove_dir_all(&temporary)?;
        }
        disk::create_dir_all(&temporary)?;
        let written = self.fill_snapshot(&temporary).and_then(|series| {
            segments::sync_dir(&temporary)?;
            disk::rename(&temporary, &dir)?;
            segments::sync_dir(&self.dir)?;
            Ok(series)
        });
        let series = match written {
            Ok(series) => series,
            Err(error) => {
                let _ = disk::remove_dir_all(&temporary);
                return Err(error);
            }
        };
        for old in before {
            if let Err(error) = disk::remove_dir_all(&old.dir) {
                tracing::error!(err = %error, dir = %old.dir.display(), "delete old chunk snapshots");
            }
        }
        tracing::info!(
            duration = format!("{:.3}s", start.elapsed().as_secs_f64()),
            num_series = series,
            dir = %dir.display(),
            "chunk snapshot complete"
        );
        Ok(())
    }

    fn fill_snapshot(&self, dir: &Path) -> io::Result<usize> {
        let out = Wal::create(dir, 0, self.options.wal_segment_size, self.options.wal_compression, None)?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let series = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..cores.min(self.shards.len()))
                .map(|first| {
                    let out = &out;
                    scope.spawn(move || {
                        let mut series = 0;
                        for shard in (first..self.shards.len()).step_by(cores) {
                            series += self.write_shard(shard, out)?;
                        }
                        Ok::<_, io::Error>(series)
                    })
                })
                .collect();
            let mut series = 0;
            for handle in handles {
                series += handle.join().map_err(|_| io::Error::other("a writer of the snapshot died"))??;
            }
            Ok::<_, io::Error>(series)
        })?;
        self.write_tombstones(&out)?;
        self.write_exemplars(&out)?;
        out.close()?;
        let last = (0..self.shards.len()).map(|shard| {
            let next = self.shards[shard].data.read().next_id;
            self.refs.reference(shard, next.saturating_sub(1))
        });
        disk::write_synced(&dir.join(LAST_REFERENCE), format!("{}\n", last.max().unwrap_or(0)).as_bytes())?;
        Ok(series)
    }

    fn write_shard(&self, shard: usize, out: &Wal) -> io::Result<usize> {
        let data = self.shards[shard].data.read();
        if !data.unwritten.is_empty() {
            return Err(io::Error::other("full chunks are not in chunks_head yet"));
        }
        let mut packed = Packed::default();
        let (mut buf, mut bytes, mut series) = (Vec::new(), 0, 0);
        for slot in data.live_slots() {
            buf.clear();
            put_series(&mut buf, &data, slot, self.refs.reference(shard, data.series(slot).id));
            bytes += buf.len();
            packed.add(out.compression(), &buf)?;
            series += 1;
            if bytes >= BATCH {
                out.commit(&packed)?;
                packed.clear();
                bytes = 0;
            }
        }
        out.commit(&packed)?;
        Ok(series)
    }

    fn write_tombstones(&self, out: &Wal) -> io::Result<()> {
        let mut stones = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let data = shard.data.read();
            for (&slot, deleted) in data.deleted.iter().filter(|(slot, _)| data.is_live(**slot)) {
                let reference = self.refs.reference(index, data.series(slot).id);
                for (Interval { min_time, max_time }, in_order_only) in deleted.iter() {
                    // See `push_in_order_tombstone`.
                    let times = if in_order_only { 2 } else { 1 };
                    stones.extend(std::iter::repeat_n((reference, min_time, max_time), times));
                }
            }
        }
        stones.sort_unstable();
        let mut buf = Vec::new();
        record::put_snapshot_tombstones(&mut buf, stones.into_iter());
        self.write_record(out, &buf)
    }

    fn write_exemplars(&self, out: &Wal) -> io::Result<()> {
        let exemplars = self.exemplars.read();
        let mut encoder = ExemplarsEncoder::default();
        let mut count = 0;
        for (labels, exemplar) in exemplars.in_order_of_arrival() {
            let Some(reference) = self.reference_of(labels) else { continue };
            encoder.push(reference, exemplar.t, exemplar.v, &exemplar.labels);
            count += 1;
            if count % EXEMPLARS == 0 {
                record::as_snapshot_exemplars(&mut encoder.buf);
                self.write_record(out, &encoder.buf)?;
                encoder.clear();
            }
        }
        record::as_snapshot_exemplars(&mut encoder.buf);
        self.write_record(out, &encoder.buf)
    }

    fn write_record(&self, out: &Wal, record: &[u8]) -> io::Result<()> {
        let mut packed = Packed::default();
        packed.add(out.compression(), record)?;
        out.commit(&packed)
    }

    fn reference_of(&self, labels: &model::Labels) -> Option<u64> {
        let mut reference = None;
        self.lookup.find(self.hash(labels), |at| {
            let data = self.shards[at.shard()].data.read();
            let found = data.has_labels(at.slot(), labels);
            if found {
                reference = Some(self.refs.reference(at.shard(), data.series(at.slot()).id));
            }
            found
        });
        reference
    }

    /// Brings all full chunks to their files and writes a snapshot, if the options want one. A start without it reads
    /// the log.
    pub(super) fn snapshot_at_close(&self) {
        if !self.options.snapshot_on_shutdown || !self.live.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.write_snapshot() {
            tracing::error!(err = %error, "the chunk snapshot could not be written; the next start reads the log");
        }
    }
}

fn put_series(buf: &mut Vec<u8>, data: &ShardData, slot: u32, reference: u64) {
    let newest = match (data.last_float(slot), data.last_histogram(slot)) {
        (Some((_, v)), _) => Some(Newest::Float(v)),
        (_, Some(value)) => Some(Newest::Histogram(value)),
        (None, None) => None,
    };
    let open = data.open_chunk(slot).zip(newest).map(|(open, newest)| {
        let (encoding, bytes) = (open.encoding, open.bytes);
        (OpenChunk { encoding, min_time: open.min_time, max_time: open.max_time, bytes }, newest)
    });
    record::put_snapshot_series(buf, reference, &data.labels(slot), open);
}
