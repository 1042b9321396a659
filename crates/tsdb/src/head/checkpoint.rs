//! Replacing old segments of the log by what is still needed of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use storage::Metadata;

use super::Head;
use crate::closed::{self, Place};
use crate::follow::{Log, retire};
use crate::wal::frame::Segment;
use crate::wal::record::{self, BadRecord, ExemplarsEncoder, HistogramsEncoder, SamplesEncoder};
use crate::wal::{Packed, Wal, segments};

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
        if dir.exists() {
            return Ok(());
        }
        let temporary = self.wal_dir.join(format!("checkpoint.{upto:08}.tmp"));
        if temporary.exists() {
            disk::remove_dir_all(&temporary)?;
        }
        disk::create_dir_all(&temporary)?;
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
        let mut packed = Packed::default();
        let mut filter = Filter::new(self, upto, oldest);
        for (_, path) in sources {
            let mut segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?));
            while let Some((stored, used)) = segment.next_packed()? {
                if used.unpack(stored, &mut unpacked).is_err() {
                    continue; // reported when the log was replayed
                }
                packed.clear();
                for record in filter.needed_of(&unpacked) {
                    packed.add(compression, record)?;
                }
                if !packed.is_empty() {
                    out.commit(&packed)?;
                }
            }
        }
        packed.clear();
        packed.add(compression, &filter.latest_metadata())?;
        out.commit(&packed)?;
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

/// Takes out of records what a checkpoint need not keep.
struct Filter<'h> {
    head: &'h Head,
    upto: u32,
    /// Older samples are not needed.
    oldest: i64,
    metadata: BTreeMap<u64, Metadata>,
    buf: Vec<u8>,
    samples: [SamplesEncoder; 2],
    histograms: [HistogramsEncoder; 2],
    exemplars: ExemplarsEncoder,
}

impl<'h> Filter<'h> {
    fn new(head: &'h Head, upto: u32, oldest: i64) -> Self {
        Filter {
            head,
            upto,
            oldest,
            metadata: BTreeMap::new(),
            buf: Vec::new(),
            samples: [SamplesEncoder::new(false), SamplesEncoder::new(true)],
            histograms: [HistogramsEncoder::new(false), HistogramsEncoder::new(true)],
            exemplars: ExemplarsEncoder::default(),
        }
    }

    /// What is needed of a record. Of one that cannot be read, what comes before the damage is kept; kinds that are
    /// not known are somebody else's data and kept whole.
    fn needed_of<'r>(&'r mut self, record: &'r [u8]) -> Vec<&'r [u8]> {
        self.buf.clear();
        let Some(&kind) = record.first() else { return Vec::new() };
        let with_start_times = usize::from(matches!(
            kind,
            record::SAMPLES_V2 | record::HISTOGRAMS_V2 | record::FLOAT_HISTOGRAMS_V2
        ));
        match kind {
            record::SERIES => {
                let _ = self.series(record);
            }
            record::SAMPLES | record::SAMPLES_V2 => {
                let _ = self.floats(record, with_start_times);
                return vec![&self.samples[with_start_times].buf];
            }
            kind if record::is_histograms(kind) => {
                let _ = self.native_histograms(record, with_start_times);
                return self.histograms[with_start_times].records().collect();
            }
            record::TOMBSTONES => {
                let _ = self.tombstones(record);
            }
            record::EXEMPLARS => {
                let _ = self.examples(record);
                return vec![&self.exemplars.buf];
            }
            record::METADATA => {
                let _ = record::read_metadata(record, |reference, metadata| {
                    if self.is_kept(reference) {
                        self.metadata.insert(reference, metadata);
                    }
                });
            }
            _ => return vec![record],
        }
        vec![&self.buf]
    }

    /// The newest metadata of each series, as one record.
    fn latest_metadata(&self) -> Vec<u8> {
        let mut buf = Vec::new();
        for (&reference, metadata) in &self.metadata {
            record::push_metadata(&mut buf, reference, metadata);
        }
        buf
    }

    fn is_kept(&self, reference: u64) -> bool {
        !matches!(self.head.keep(reference, self.upto), Keep::Nothing)
    }

    fn series(&mut self, record: &[u8]) -> Result<(), BadRecord> {
        let mut kept = std::mem::take(&mut self.buf);
        let read = record::split_series(record, |reference, raw| {
            if self.is_kept(reference) {
                record::push_raw_series(&mut kept, reference, raw);
            }
        });
        self.buf = kept;
        read
    }

    fn floats(&mut self, record: &[u8], with_start_times: usize) -> Result<(), BadRecord> {
        let mut samples = std::mem::take(&mut self.samples[with_start_times]);
        samples.clear();
        let read = record::read_samples(record, |reference, start_time, t, v| {
            if self.is_needed(reference, t) {
                samples.push(reference, start_time, t, v);
            }
        });
        self.samples[with_start_times] = samples;
        read
    }

    fn native_histograms(&mut self, record: &[u8], with_start_times: usize) -> Result<(), BadRecord> {
        let mut histograms = std::mem::take(&mut self.histograms[with_start_times]);
        histograms.clear();
        let read = record::read_histograms(record, |h| {
            if self.is_needed(h.reference, h.t) {
                histograms.push(h.reference, h.start_time, h.t, &h.value);
            }
        });
        self.histograms[with_start_times] = histograms;
        read
    }

    fn tombstones(&mut self, record: &[u8]) -> Result<(), BadRecord> {
        let mut kept = std::mem::take(&mut self.buf);
        let read = record::read_tombstones(record, |reference, min_time, max_time| {
            if max_time >= self.oldest && self.is_kept(reference) {
                record::push_tombstone(&mut kept, reference, min_time, max_time);
            }
        });
        self.buf = kept;
        read
    }

    fn examples(&mut self, record: &[u8]) -> Result<(), BadRecord> {
        self.exemplars.clear();
        let (exemplars, oldest) = (&mut self.exemplars, self.oldest);
        record::read_exemplars(record, |reference, t, v, labels| {
            if t >= oldest {
                exemplars.push(reference, t, v, &labels);
            }
        })
    }

    /// Whether a sample is needed. Nearly all are too old, so that the head is asked for few.
    fn is_needed(&self, reference: u64, t: i64) -> bool {
        t >= self.oldest
            && match self.head.keep(reference, self.upto) {
                Keep::From(from) => t >= from,
                Keep::Name | Keep::Nothing => false,
            }
    }
}
