//! Replacing old segments of the log by what is still needed of them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use super::Head;
use crate::closed::{self, Place};
use crate::wal::frame::Segment;
use crate::wal::record::{self, SamplesEncoder};
use crate::wal::{Wal, segments};

/// What the log must keep of a series.
enum Keep {
    /// Samples from this time on; chunk files have those before.
    From(i64),
    /// Only the series itself.
    Name,
    Nothing,
}

impl Head {
    /// Writes a checkpoint of all segments up to `upto` and deletes them. Kept are series that live, or were
    /// dropped so recently that later segments may have samples of them, and samples at or after `oldest` that
    /// no chunk file has.
    pub(super) fn checkpoint(&self, upto: u32, oldest: i64) -> io::Result<()> {
        self.metrics.checkpoints.inc();
        let dir = self.wal_dir.join(format!("checkpoint.{upto:08}"));
        let temporary = self.wal_dir.join(format!("checkpoint.{upto:08}.tmp"));
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        fs::create_dir_all(&temporary)?;
        let before = segments::checkpoints(&self.wal_dir)?;
        let covered = before.last().map(|(n, _)| *n);
        let old: Vec<_> = segments::list(&self.wal_dir)?
            .into_iter()
            .filter(|(n, _)| *n <= upto && covered.is_none_or(|covered| *n > covered))
            .collect();
        let mut sources = Vec::new();
        if let Some((_, dir)) = before.last() {
            sources.extend(segments::list(dir)?);
        }
        sources.extend(old);
        let result = self.write_checkpoint(&temporary, &sources, upto, oldest).and_then(|()| {
            // What is left out of the log must be safe in the chunk files first.
            self.chunk_files.sync()?;
            fs::rename(&temporary, &dir)?;
            segments::sync_dir(&self.wal_dir)
        });
        if result.is_err() {
            self.metrics.checkpoints_failed.inc();
            let _ = fs::remove_dir_all(&temporary);
            return result;
        }
        for (n, path) in segments::list(&self.wal_dir)? {
            if n <= upto {
                fs::remove_file(path)?;
            }
        }
        for (_, path) in before {
            self.metrics.checkpoint_deletions.inc();
            if let Err(error) = fs::remove_dir_all(&path) {
                self.metrics.checkpoint_deletions_failed.inc();
                tracing::warn!(%error, checkpoint = %path.display(), "an old checkpoint could not be deleted");
            }
        }
        self.gone.lock().retain(|_, last_segment| *last_segment > upto);
        Ok(())
    }

    fn write_checkpoint(
        &self,
        dir: &Path,
        sources: &[(u32, std::path::PathBuf)],
        upto: u32,
        oldest: i64,
    ) -> io::Result<()> {
        let compression = self.options.wal_compression;
        let out = Wal::create(dir, 0, self.options.wal_segment_size, compression, None)?;
        let mut unpacked = Vec::new();
        let mut kept = Vec::new();
        let mut samples = SamplesEncoder::default();
        let mut packed = Vec::new();
        let mut decided: HashMap<u64, i64> = HashMap::new();
        for (_, path) in sources {
            let mut segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?));
            while let Some((stored, used)) = segment.next_packed()? {
                if used.unpack(stored, &mut unpacked).is_err() {
                    continue; // reported when the log was replayed
                }
                // Of records that cannot be read, what comes before the damage is kept.
                let record: &[u8] = match unpacked.first() {
                    Some(&record::SERIES) => {
                        kept.clear();
                        let _ = record::read_series(&unpacked, |reference, labels| {
                            if !matches!(self.keep(reference, upto), Keep::Nothing) {
                                record::push_series(&mut kept, reference, &labels);
                            }
                        });
                        &kept
                    }
                    Some(&record::SAMPLES) => {
                        samples.clear();
                        let _ = record::read_samples(&unpacked, |reference, start_time, t, v| {
                            let from = *decided.entry(reference).or_insert_with(|| {
                                match self.keep(reference, upto) {
                                    Keep::From(from) => from.max(oldest),
                                    Keep::Name | Keep::Nothing => i64::MAX,
                                }
                            });
                            if t >= from {
                                samples.push(reference, start_time, t, v);
                            }
                        });
                        &samples.buf
                    }
                    // Kinds that are not read yet are somebody else's data.
                    _ => &unpacked,
                };
                if record.is_empty() {
                    continue;
                }
                let used = compression.pack(record, &mut packed)?;
                out.commit(if used == crate::Compression::None { record } else { &packed }, used)?;
            }
        }
        out.close()?;
        segments::sync_dir(dir)
    }

    fn keep(&self, reference: u64, upto: u32) -> Keep {
        let current = self.aliases.read().get(&reference).copied().unwrap_or(reference);
        let data = self.shards[self.refs.shard_of(current)].data.read();
        let slot = self.refs.id_of(current).and_then(|id| data.slot_of(id));
        let Some(slot) = slot else {
            let gone = self.gone.lock().get(&reference).is_some_and(|last| *last > upto);
            return if gone { Keep::Name } else { Keep::Nothing };
        };
        let in_file = closed::newest_first(&data.slab, data.series(slot).closed)
            .find(|chunk| matches!(chunk.place(), Place::File(..)));
        Keep::From(in_file.map_or(i64::MIN, |chunk| chunk.max_time() + 1))
    }
}
