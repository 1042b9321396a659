//! What a checkpoint of a log keeps: records are read again, and what is still needed of them is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use storage::Metadata;

use super::frame::{Compression, Segment};
use super::record::{self, BadRecord, ExemplarsEncoder, HistogramsEncoder, SamplesEncoder};
use super::{Packed, Wal, segments};

/// What the log must keep of a series.
pub(crate) enum Keep {
    /// Samples from this time on; those before are kept elsewhere.
    From(i64),
    /// Only the series itself.
    Name,
    Nothing,
}

/// How a checkpoint is written, and what of each series, by reference, goes into it.
pub(crate) struct Checkpoint<'a> {
    pub(crate) compression: Compression,
    pub(crate) segment_size: u64,
    /// Samples before this time are not needed, whosoever they are.
    pub(crate) oldest: i64,
    pub(crate) keep: &'a dyn Fn(u64) -> Keep,
}

/// The segments that a checkpoint up to `upto` is made of: those of the last one, and those of the log behind it.
pub(crate) fn sources(wal_dir: &Path, upto: u32) -> io::Result<Vec<PathBuf>> {
    let before = segments::checkpoints(wal_dir)?.pop();
    let covered = before.as_ref().map(|(n, _)| *n);
    let mut sources = match before {
        Some((_, dir)) => segments::list(&dir)?,
        None => Vec::new(),
    };
    let behind = segments::list(wal_dir)?.into_iter();
    sources.extend(behind.filter(|(n, _)| *n <= upto && covered.is_none_or(|covered| *n > covered)));
    Ok(sources.into_iter().map(|(_, path)| path).collect())
}

impl Checkpoint<'_> {
    /// Writes what is needed of `sources` to the directory, which is empty, and forces it to the disk.
    pub(crate) fn write(&self, dir: &Path, sources: &[PathBuf]) -> io::Result<()> {
        let out = Wal::create(dir, 0, self.segment_size, self.compression, None)?;
        let mut unpacked = Vec::new();
        let mut packed = Packed::default();
        let mut filter = Filter::new(self);
        for path in sources {
            let mut segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?));
            while let Some((stored, used)) = segment.next_packed()? {
                if used.unpack(stored, &mut unpacked).is_err() {
                    continue; // reported when the log was replayed
                }
                packed.clear();
                for record in filter.needed_of(&unpacked) {
                    packed.add(self.compression, record)?;
                }
                if !packed.is_empty() {
                    out.commit(&packed)?;
                }
            }
        }
        packed.clear();
        packed.add(self.compression, &filter.latest_metadata())?;
        out.commit(&packed)?;
        out.close()?;
        segments::sync_dir(dir)
    }
}

/// Takes out of records what a checkpoint need not keep.
struct Filter<'c> {
    checkpoint: &'c Checkpoint<'c>,
    metadata: BTreeMap<u64, Metadata>,
    buf: Vec<u8>,
    samples: [SamplesEncoder; 2],
    histograms: [HistogramsEncoder; 2],
    exemplars: ExemplarsEncoder,
}

impl<'c> Filter<'c> {
    fn new(checkpoint: &'c Checkpoint<'c>) -> Self {
        Filter {
            checkpoint,
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
        !matches!((self.checkpoint.keep)(reference), Keep::Nothing)
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
            if max_time >= self.checkpoint.oldest && self.is_kept(reference) {
                record::push_tombstone(&mut kept, reference, min_time, max_time);
            }
        });
        self.buf = kept;
        read
    }

    fn examples(&mut self, record: &[u8]) -> Result<(), BadRecord> {
        self.exemplars.clear();
        let (exemplars, oldest) = (&mut self.exemplars, self.checkpoint.oldest);
        record::read_exemplars(record, |reference, t, v, labels| {
            if t >= oldest {
                exemplars.push(reference, t, v, &labels);
            }
        })
    }

    /// Whether a sample is needed. Nearly all are too old, so that the head is asked for few.
    fn is_needed(&self, reference: u64, t: i64) -> bool {
        t >= self.checkpoint.oldest
            && match (self.checkpoint.keep)(reference) {
                Keep::From(from) => t >= from,
                Keep::Name | Keep::Nothing => false,
            }
    }
}
