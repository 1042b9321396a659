//! The samples of a batch that came out of order, on their way to the log and to memory.
//!
//! Under the `order` locks of the shards they are first sorted out: what the buffers hold already is left out, and
//! where a buffer becomes full its chunk is written. Then comes the log, and last memory, in one go with the samples
//! in order. Between the steps nobody else writes to these shards, and `data` is not locked over I/O.

use std::io;
use std::ops::Range;

use super::buffer::Late;
use super::encode::{self, Encoded, Encodings};
use super::table::{Place, Series, Table};
use super::{NO_MAX, NO_MIN, OutOfOrder, Value};
use crate::chunk_files::ChunkFiles;
use crate::shard::ShardData;
use crate::wal::Packed;
use crate::wal::record::{HistogramsEncoder, SamplesEncoder, push_mmap_marker};

/// A sample that was let in.
#[derive(Debug)]
struct Arrival {
    shard: u32,
    slot: u32,
    reference: u64,
    sample: Late,
}

/// A buffer became full.
#[derive(Debug)]
struct Full {
    /// Number of the series' samples of this batch that came before.
    before: usize,
    /// Its chunks.
    chunks: Range<usize>,
}

/// What the batch brings a series.
#[derive(Debug)]
struct Group {
    shard: u32,
    slot: u32,
    reference: u64,
    /// New samples, in order of arrival.
    samples: Range<usize>,
    full: Range<usize>,
    /// The buffer was empty before, but chunks are there: the last one.
    follows: Option<Place>,
    /// Whether the buffer was empty before.
    begins: bool,
}

/// The work of one batch. Reused.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    arrivals: Vec<Arrival>,
    samples: Vec<Late>,
    groups: Vec<Group>,
    full: Vec<Full>,
    chunks: Vec<Encoded>,
    places: Vec<Place>,
}

/// What a batch changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Installed {
    pub(crate) floats: usize,
    pub(crate) histograms: usize,
    /// Chunks that were begun.
    pub(crate) chunks: usize,
    min_time: i64,
    max_time: i64,
}

impl Default for Installed {
    fn default() -> Self {
        Installed { floats: 0, histograms: 0, chunks: 0, min_time: NO_MIN, max_time: NO_MAX }
    }
}

impl Staged {
    pub(crate) fn clear(&mut self) {
        self.arrivals.clear();
        self.samples.clear();
        self.groups.clear();
        self.full.clear();
        self.chunks.clear();
        self.places.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Lets a sample in.
    pub(crate) fn push(&mut self, shard: usize, slot: u32, reference: u64, sample: Late) {
        self.arrivals.push(Arrival { shard: shard as u32, slot, reference, sample });
    }

    /// Start times are not kept.
    pub(crate) fn forget_start_times(&mut self) {
        self.arrivals.iter_mut().for_each(|arrival| arrival.sample.start_time = 0);
    }

    /// Sorts out what is new, and encodes the buffers that become full. `data` gives the tables of the shards concerned.
    pub(crate) fn sort_out<'d>(
        &mut self,
        cap: usize,
        how: Encodings,
        mut data: impl FnMut(usize) -> Option<&'d Table>,
    ) {
        // Stable: those of a series stay in order of arrival.
        let Staged { arrivals, samples, groups, full, chunks, .. } = self;
        arrivals.sort_by_key(|arrival| (arrival.shard, arrival.slot));
        let mut arrivals = arrivals.drain(..).peekable();
        while let Some(first) = arrivals.peek() {
            let (shard, slot, reference) = (first.shard, first.slot, first.reference);
            let series = data(shard as usize).and_then(|table| table.get(slot));
            let of_series = std::iter::from_fn(|| {
                arrivals.next_if(|arrival| (arrival.shard, arrival.slot) == (shard, slot))
            });
            let (start, first_full) = (samples.len(), full.len());
            let buffers = Buffers { cap, how, samples, full, chunks };
            buffers.add(series, of_series.map(|arrival| arrival.sample));
            if samples.len() == start {
                continue;
            }
            let begins = series.is_none_or(|series| series.open.is_empty());
            let last = series.and_then(|series| series.mapped.last());
            groups.push(Group {
                shard,
                slot,
                reference,
                samples: start..samples.len(),
                full: first_full..full.len(),
                follows: last.map(|chunk| chunk.place).filter(|_| begins),
                begins,
            });
        }
    }

    /// Writes the chunks of buffers that became full.
    fn write_chunks(&mut self, files: &ChunkFiles) -> io::Result<()> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let (groups, full, chunks) = (&self.groups, &self.full, &self.chunks);
        let new = groups.iter().flat_map(|group| {
            let of_group = full[group.full.clone()].iter().flat_map(|full| &chunks[full.chunks.clone()]);
            of_group.map(|chunk| chunk.of(group.reference))
        });
        let places = files.write_out_of_order(new)?;
        self.places = places.into_iter().map(|(file, offset)| Place { file, offset }).collect();
        Ok(())
    }

    /// Calls `log` with the records, in order. A marker stands behind the samples that are in its chunk and before
    /// those that are not.
    fn records(&self, start_times: bool, mut log: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let rounds = self.groups.iter().map(|group| group.full.len()).max().unwrap_or_default();
        let mut markers = Vec::new();
        let mut floats = SamplesEncoder::new(start_times);
        let mut histograms = HistogramsEncoder::new(start_times);
        for round in 0..=rounds {
            markers.clear();
            floats.clear();
            histograms.clear();
            for group in self.groups.iter().filter(|group| group.full.len() >= round) {
                let full = &self.full[group.full.clone()];
                match round.checked_sub(1).and_then(|i| full.get(i)) {
                    Some(full) => {
                        for place in &self.places[full.chunks.clone()] {
                            push_mmap_marker(&mut markers, group.reference, place.to_bits());
                        }
                    }
                    None => {
                        if let Some(place) = group.follows {
                            push_mmap_marker(&mut markers, group.reference, place.to_bits());
                        }
                    }
                }
                let samples = &self.samples[group.samples.clone()];
                let from = round.checked_sub(1).and_then(|i| full.get(i)).map_or(0, |full| full.before);
                let to = full.get(round).map_or(samples.len(), |full| full.before);
                for sample in &samples[from..to] {
                    let (reference, start_time, t) = (group.reference, sample.start_time, sample.t);
                    match &sample.value {
                        Value::Float(v) => floats.push(reference, start_time, t, *v),
                        Value::Histogram(value) => histograms.push(reference, start_time, t, value),
                    }
                }
            }
            let records = [&markers[..], &floats.buf].into_iter().filter(|record| !record.is_empty());
            for record in records.chain(histograms.records()) {
                log(record)?;
            }
        }
        Ok(())
    }

    /// Puts the samples into the buffers of a shard.
    pub(crate) fn install(&mut self, shard: usize, data: &mut ShardData, done: &mut Installed) {
        for group in self.groups.iter().filter(|group| group.shard as usize == shard) {
            let series = data.ooo.entry(group.slot);
            let full = &self.full[group.full.clone()];
            let fresh = full.last().map_or(0, |full| full.before);
            for chunk in full.iter().flat_map(|full| full.chunks.clone()) {
                let (Some(encoded), Some(&place)) = (self.chunks.get(chunk), self.places.get(chunk)) else {
                    continue;
                };
                series.mapped.push(encoded.at(place));
            }
            if !full.is_empty() {
                series.open.clear();
            }
            done.chunks +=
                full.iter().map(|full| full.chunks.len()).sum::<usize>() + usize::from(group.begins);
            for (i, sample) in self.samples[group.samples.clone()].iter_mut().enumerate() {
                match sample.value {
                    Value::Float(_) => done.floats += 1,
                    Value::Histogram(_) => done.histograms += 1,
                }
                done.min_time = done.min_time.min(sample.t);
                done.max_time = done.max_time.max(sample.t);
                if i >= fresh {
                    series.open.insert(sample.take());
                }
            }
        }
    }
}

/// Where the samples of one series go.
struct Buffers<'s> {
    cap: usize,
    how: Encodings,
    samples: &'s mut Vec<Late>,
    full: &'s mut Vec<Full>,
    chunks: &'s mut Vec<Encoded>,
}

impl Buffers<'_> {
    fn add(self, series: Option<&Series>, arrivals: impl Iterator<Item = Late>) {
        let Buffers { cap, how, samples, full, chunks } = self;
        let start = samples.len();
        let mut buffer = series.map(|series| &series.open);
        // Where the samples of the open buffer that came with this batch begin.
        let mut fresh = start;
        for sample in arrivals {
            let held = buffer.map_or(0, |buffer| buffer.len()) + samples.len() - fresh;
            if held >= cap {
                let old = buffer.take().map_or(&[][..], |buffer| buffer.samples());
                let mut all = [old, &samples[fresh..]].concat();
                all.sort_by_key(|sample| sample.t);
                let first = chunks.len();
                encode::encode(&all, how, cap, chunks);
                full.push(Full { before: samples.len() - start, chunks: first..chunks.len() });
                fresh = samples.len();
            }
            let known = buffer.is_some_and(|buffer| buffer.has(sample.t))
                || samples[fresh..].iter().any(|other| other.t == sample.t);
            if !known {
                samples.push(sample);
            }
        }
    }
}

impl OutOfOrder {
    /// Samples of a buffer.
    pub(crate) fn cap(&self) -> usize {
        self.cap
    }

    /// Brings samples that were sorted out to `chunks_head` and the log. The series they belong to must be in the
    /// other log before.
    pub(crate) fn log_late(
        &self,
        staged: &mut Staged,
        start_times: bool,
        files: &ChunkFiles,
    ) -> io::Result<()> {
        if staged.groups.is_empty() {
            return Ok(());
        }
        staged.write_chunks(files)?;
        let log = self.log().ok_or_else(|| io::Error::other("there is no log for samples out of order"))?;
        let mut packed = Packed::default();
        let mut saved = 0;
        staged.records(start_times, |record| {
            saved += packed.add(log.compression(), record)?;
            Ok(())
        })?;
        if let Some(metrics) = log.metrics() {
            metrics.bytes_saved.add(saved as f64);
        }
        log.commit(&packed)
    }

    /// Counts what was installed.
    pub(crate) fn note(&self, done: Installed) {
        self.metrics.floats.add(done.floats as f64);
        self.metrics.histograms.add(done.histograms as f64);
        self.note_times((done.min_time, done.max_time));
    }
}
