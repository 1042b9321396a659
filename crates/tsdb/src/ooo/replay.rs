//! Rebuilding the tables from `chunks_head` and the log, after the series themselves were rebuilt.
//!
//! The log holds all samples since they were last cut into blocks, so also those of chunks; a marker in it says that
//! the samples of a series up to here are in a chunk. Where that chunk is found, what was read so far is let go of.
//! Where it is not (its file is damaged, or never reached the disk), the samples of the log take its place. Should the
//! file have been deleted because a block has its samples, they are there twice for a while, and read once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::buffer::{Late, Value};
use super::encode::{self, Encoded, Encodings};
use super::table::{Mapped, Place};
use super::{OutOfOrder, table};
use crate::chunk_files::{ChunkFiles, FoundChunk, NewChunk, chunk_at};
use crate::shard::{RefMap, ShardData};
use crate::wal::frame::Segment;
use crate::wal::read::{ReadSegment, each_record};
use crate::wal::{record, repair};

/// What is found on the disk besides the log.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In order of place.
    chunks: Vec<FoundChunk>,
    /// Where those were that lie elsewhere now, and all others.
    places: HashSet<Place>,
}

impl Found {
    /// Takes what a scan of `chunks_head` found. Chunks in files from `first_damaged` on, which will be set aside, are
    /// written anew.
    pub(crate) fn rescue(
        mut chunks: Vec<FoundChunk>,
        first_damaged: Option<u32>,
        files: &ChunkFiles,
        stop: &AtomicBool,
    ) -> io::Result<Self> {
        let places: HashSet<Place> = chunks.iter().map(place_of).collect();
        for chunk in &mut chunks {
            if first_damaged.is_none_or(|first| chunk.file < first) {
                continue;
            }
            let file = files.file(chunk.file);
            let Some(Ok((encoding, bytes))) = file.as_ref().map(|file| chunk_at(file, chunk.offset)) else {
                continue;
            };
            let new = NewChunk { encoding, ..chunk.with(bytes) };
            (chunk.file, chunk.offset) = files.write_patiently(new, true, stop)?;
        }
        // What could not be written anew still has a place in a damaged file.
        chunks.retain(|chunk| {
            first_damaged.is_none_or(|first| chunk.file < first) || !places.contains(&place_of(chunk))
        });
        chunks.sort_by_key(place_of);
        Ok(Found { chunks, places })
    }
}

fn place_of(chunk: &FoundChunk) -> Place {
    Place { file: chunk.file, offset: chunk.offset }
}

/// What replay works with.
pub(crate) struct Replay<'a> {
    pub(crate) ooo: &'a OutOfOrder,
    pub(crate) refs: RefMap,
    /// The reference under which the head has what a log or file calls otherwise.
    pub(crate) own: &'a dyn Fn(u64) -> u64,
    pub(crate) files: &'a ChunkFiles,
    pub(crate) encodings: Encodings,
    pub(crate) corruptions: &'a exposition::Counter,
    /// Set when the replay shall end early.
    pub(crate) stop: &'a AtomicBool,
}

/// What replay did.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) samples: u64,
    /// Chunks, the open ones included.
    pub(crate) chunks: usize,
    /// References under which files and the log have samples of a series, with the one it has now.
    pub(crate) aliases: HashMap<u64, u64>,
    unknown: Unknown,
}

/// What refers to series that are not known.
#[derive(Debug, Default)]
struct Unknown {
    series: HashSet<u64>,
    samples: u64,
    histograms: u64,
    markers: u64,
}

fn note_alias(aliases: &mut HashMap<u64, u64>, reference: u64, own: u64) {
    if own != reference {
        aliases.insert(reference, own);
    }
}

impl Replay<'_> {
    /// Fills the tables of the shards. The log was begun, so that what others left of it is known.
    pub(crate) fn run(&self, shards: &mut [ShardData], found: &Found) -> io::Result<Replayed> {
        let mut done = Replayed::default();
        for chunk in &found.chunks {
            note_alias(&mut done.aliases, chunk.series, (self.own)(chunk.series));
            // Chunks of series that are gone are in blocks.
            if let Some(series) = self.series(shards, chunk.series) {
                let (min_time, max_time) = (chunk.min_time, chunk.max_time);
                series.mapped.push(Mapped { min_time, max_time, place: place_of(chunk) });
            }
        }
        let segments = self.ooo.left_segments()?;
        for (i, path) in segments.iter().enumerate() {
            let ReadSegment { damage, good_end } = self.read_segment(path, shards, found, &mut done)?;
            if !damage.is_empty() {
                self.corruptions.inc();
                repair::repair(path, i + 1 == segments.len(), &damage, good_end)?;
            }
        }
        let gaps = self.ooo.gaps()?;
        repair::report_missing(&self.ooo.dir, &gaps, self.corruptions);
        repair::fill_gaps(&self.ooo.dir, &gaps)?;
        for data in shards {
            data.ooo.drop_upto(Place::default());
            done.chunks += data.ooo.iter().map(|(_, series)| series.chunks()).sum::<usize>();
            if let Some(bounds) = data.ooo.bounds() {
                self.ooo.note_times(bounds);
            }
        }
        self.report(&done.unknown);
        Ok(done)
    }

    fn location(&self, shards: &[ShardData], reference: u64) -> Option<(usize, u32)> {
        let reference = (self.own)(reference);
        let shard = self.refs.shard_of(reference);
        let slot = shards.get(shard)?.slot_of(self.refs.id_of(reference)?)?;
        Some((shard, slot))
    }

    fn series<'s>(&self, shards: &'s mut [ShardData], reference: u64) -> Option<&'s mut table::Series> {
        let (shard, slot) = self.location(shards, reference)?;
        Some(shards.get_mut(shard)?.ooo.entry(slot))
    }

    fn read_segment(
        &self,
        path: &Path,
        shards: &mut [ShardData],
        found: &Found,
        done: &mut Replayed,
    ) -> io::Result<ReadSegment> {
        let segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?));
        each_record(segment, self.stop, |record, _| {
            let mut written = Ok(());
            let read = self.read_record(record, shards, found, done, &mut written);
            written.map(|()| read)
        })
    }

    fn read_record(
        &self,
        record: &[u8],
        shards: &mut [ShardData],
        found: &Found,
        done: &mut Replayed,
        failed: &mut io::Result<()>,
    ) -> Result<(), record::BadRecord> {
        let Replayed { samples, aliases, unknown, .. } = done;
        let mut insert = |reference, sample: Late| {
            *samples += 1;
            note_alias(aliases, reference, (self.own)(reference));
            self.insert(shards, reference, sample).unwrap_or_else(|error| {
                *failed = Err(error);
                true
            })
        };
        match record.first() {
            Some(&(record::SAMPLES | record::SAMPLES_V2)) => {
                record::read_samples(record, |reference, start_time, t, v| {
                    if !insert(reference, Late { t, start_time, value: Value::Float(v) }) {
                        unknown.samples += 1;
                        unknown.series.insert(reference);
                    }
                })
            }
            Some(&record::MMAP_MARKERS) => {
                let mut markers: Vec<(u64, Place)> = Vec::new();
                let read = record::read_mmap_markers(record, |reference, place| {
                    markers.push((reference, Place::from_bits(place)));
                });
                markers.sort_by_key(|&(reference, _)| reference);
                for of_series in markers.chunk_by(|a, b| a.0 == b.0) {
                    self.apply_markers(shards, found, of_series, unknown);
                }
                read
            }
            Some(&kind) if record::is_histograms(kind) => record::read_histograms(record, |entry| {
                let value = Value::Histogram(entry.value);
                if !insert(entry.reference, Late { t: entry.t, start_time: entry.start_time, value }) {
                    unknown.histograms += 1;
                    unknown.series.insert(entry.reference);
                }
            }),
            _ => Ok(()),
        }
    }

    /// The samples so far of a series are in these chunks (several where kinds of values changed).
    fn apply_markers(
        &self,
        shards: &mut [ShardData],
        found: &Found,
        markers: &[(u64, Place)],
        unknown: &mut Unknown,
    ) {
        let Some(&(reference, _)) = markers.first() else { return };
        let Some(series) = self.series(shards, reference) else {
            unknown.markers += markers.len() as u64;
            unknown.series.insert(reference);
            return;
        };
        // A place of 0 names no chunk: the buffer was empty, what was in it is in a chunk if there is any.
        let all_there = markers.iter().all(|&(_, place)| match place {
            Place { file: 0, offset: 0 } => !series.mapped.is_empty(),
            place => found.places.contains(&place),
        });
        if all_there {
            series.open.clear();
        }
    }

    /// Says whether the series is known.
    fn insert(&self, shards: &mut [ShardData], reference: u64, sample: Late) -> io::Result<bool> {
        let current = (self.own)(reference);
        let Some(series) = self.series(shards, reference) else {
            let shard = shards.get_mut(self.refs.shard_of(current));
            if let (Some(data), Some(id)) = (shard, self.refs.id_of(current)) {
                data.pass_over(id);
            }
            return Ok(false);
        };
        if series.open.len() >= self.ooo.cap {
            let mut chunks = Vec::new();
            encode::encode(series.open.samples(), self.encodings, self.ooo.cap, &mut chunks);
            series.open.clear();
            for chunk in chunks {
                if !self.is_mapped(series, &chunk) {
                    self.write(series, current, &chunk)?;
                }
            }
        }
        series.open.insert(sample);
        Ok(true)
    }

    fn write(&self, series: &mut table::Series, reference: u64, chunk: &Encoded) -> io::Result<()> {
        let (file, offset) = self.files.write_patiently(chunk.of(reference), true, self.stop)?;
        series.mapped.push(chunk.at(Place { file, offset }));
        Ok(())
    }

    /// Whether a start before this one wrote the same chunk: its marker is in no log.
    fn is_mapped(&self, series: &table::Series, chunk: &Encoded) -> bool {
        let times = |mapped: &&Mapped| (mapped.min_time, mapped.max_time) == (chunk.min_time, chunk.max_time);
        series.mapped.iter().filter(times).any(|mapped| {
            let file = self.files.file(mapped.place.file);
            file.is_some_and(|file| {
                chunk_at(&file, mapped.place.offset) == Ok((chunk.encoding, &chunk.bytes[..]))
            })
        })
    }

    fn report(&self, unknown: &Unknown) {
        let counts = [
            ("series", unknown.series.len() as u64),
            ("samples", unknown.samples),
            ("histograms", unknown.histograms),
            ("mmap_markers", unknown.markers),
        ];
        if unknown.series.is_empty() {
            return;
        }
        for (kind, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.ooo.metrics.replay_unknown.with(&[kind]).add(count as f64);
        }
        tracing::warn!(
            series = unknown.series.len(),
            samples = unknown.samples,
            histograms = unknown.histograms,
            mmap_markers = unknown.markers,
            "the log of samples out of order refers to series that the write-ahead log does not have"
        );
    }
}
