//! Replacing old segments of the log by what is still needed of them.

use std::io;

use super::Head;
use crate::closed::{self, Place};
use crate::follow::{Log, retire};
use crate::wal::checkpoint::{self, Checkpoint, Keep};
use crate::wal::segments;

impl Head {
    /// Writes a checkpoint of all segments up to `upto` and deletes them. Kept are series that live, or were
    /// dropped so recently that later segments may have samples of them, and samples at or after `oldest` that
    /// no chunk file has.
    pub(super) fn checkpoint(&self, upto: u32, oldest: i64) -> io::Result<()> {
        self.metrics.checkpoints.inc();
        let dir = self.wal_dir.join(format!("checkpoint.{upto:08}"));
        if dir.exists() {
            return Ok(());
        }
        let temporary = self.wal_dir.join(format!("checkpoint.{upto:08}.tmp"));
        if temporary.exists() {
            disk::remove_dir_all(&temporary)?;
        }
        disk::create_dir_all(&temporary)?;
        let before = segments::checkpoints(&self.wal_dir)?;
        let sources = checkpoint::sources(&self.wal_dir, upto)?;
        let checkpoint = Checkpoint {
            compression: self.options.wal_compression,
            segment_size: self.options.wal_segment_size,
            oldest,
            keep: &|reference| self.keep(reference, upto),
        };
        let result = checkpoint.write(&temporary, &sources).and_then(|()| {
            // What is left out of the log must be safe in the chunk files first.
            self.chunk_files.sync()?;
            disk::rename(&temporary, &dir)?;
            segments::sync_dir(&self.wal_dir)
        });
        if result.is_err() {
            self.metrics.checkpoints_failed.inc();
            let _ = disk::remove_dir_all(&temporary);
            return result;
        }
        let retired = self.retired_to.lock().clone();
        for (n, path) in segments::list(&self.wal_dir)? {
            if n <= upto {
                retire(&path, retired.as_deref(), Log::InOrder)?;
            }
        }
        for (_, path) in before {
            self.metrics.checkpoint_deletions.inc();
            if let Err(error) = retire(&path, retired.as_deref(), Log::InOrder) {
                self.metrics.checkpoint_deletions_failed.inc();
                tracing::warn!(%error, checkpoint = %path.display(), "an old checkpoint could not be deleted");
            }
        }
        self.gone.lock().retain(|_, last_segment| *last_segment > upto);
        Ok(())
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
