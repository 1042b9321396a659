//! Rebuilding memory from the log and from mapped chunks.
//!
//! One thread reads and decodes; each of the workers has some of the shards for itself and applies series and
//! samples in the order of the log. Samples that a mapped chunk already holds are skipped, and chunks that become
//! full go to their file at once, so replay needs no more memory than running does.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use model::Labels;
use parking_lot::Mutex;

use super::foreign::{Foreign, Shards, attach};
use super::held;
use super::write_chunks::Unwritten;
use super::{NO_MAX, NO_MIN, WalReplay};
use crate::chunk_files::{ChunkFiles, FoundChunk, Scan};
use crate::lookup::{Location, Lookup};
use crate::metrics::Metrics;
use crate::ooo::replay::Found;
use crate::series::{Appended, CutRules};
use crate::shard::{RefMap, ShardData};
use crate::wal::frame::{self, Damage, Segment};
use crate::wal::{Position, Wal, record, repair, segments};

/// What replay works with.
pub(super) struct Replay<'a> {
    pub(super) wal_dir: &'a Path,
    pub(super) rules: &'a CutRules,
    pub(super) refs: RefMap,
    pub(super) metrics: &'a Metrics,
    pub(super) progress: &'a WalReplay,
    pub(super) chunk_files: &'a ChunkFiles,
    pub(super) lookup: &'a Lookup,
    pub(super) hasher: &'a foldhash::quality::FixedState,
    /// The log that is being written meanwhile.
    pub(super) wal: &'a Wal,
    /// Set when the replay shall end early.
    pub(super) stop: &'a AtomicBool,
}

/// What replay did.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) samples: u64,
    /// Chunks that were begun.
    pub(super) cut: usize,
    /// Of the samples of a log that is still written to.
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    /// Samples of series that the log does not name.
    pub(super) unknown: u64,
}

impl Default for Replayed {
    fn default() -> Self {
        Replayed { samples: 0, cut: 0, min_time: NO_MIN, max_time: NO_MAX, unknown: 0 }
    }
}

/// Work for one worker; series come before samples.
#[derive(Default)]
struct Work {
    series: Vec<(u64, Labels)>,
    samples: Vec<(u64, i64, f64)>,
    /// Answered when all work before was done.
    barrier: Option<SyncSender<()>>,
}

/// Samples handed over at a time.
const HANDFUL: usize = 8192;
/// Handfuls that may wait for a worker.
const WAITING: usize = 4;
/// Full chunks of a shard are written when there are this many.
const UNWRITTEN: usize = 512;
/// Ids of series are below; those above are given out provisionally: see [`super::foreign`].
pub(super) const MAX_ID: u32 = 0xff00_0000;

impl Replay<'_> {
    /// Fills the shards with what the last process left, in segments before `end`; they are not indexed yet. Chunks of
    /// samples out of order are handed back.
    pub(super) fn run(
        &self,
        shards: &mut [ShardData],
        mut scan: Scan,
        foreign: &mut Foreign,
        end: u32,
    ) -> io::Result<(Replayed, Found)> {
        self.report_scan(&scan);
        let first_damaged = scan.first_damaged;
        let last_file = self.chunk_files.last();
        let late = std::mem::take(&mut scan.out_of_order);
        let late = Found::rescue(late, first_damaged, self.chunk_files)?;
        let found = self.deal_chunks(shards, scan, foreign);
        let owns = shards.iter_mut().zip(found).enumerate().map(|(index, (data, mut found))| {
            let held = held::split_off(&mut found, first_damaged);
            Own { index, data, found, held }
        });
        let total = self.work(owns.collect(), foreign, |dealer| {
            self.read_old(dealer, end)?;
            dealer.with_shards(|foreign, shards| foreign.name_the_rest(shards, self));
            Ok(())
        })?;
        if let Some(first) = first_damaged {
            self.chunk_files.sync()?;
            self.chunk_files.set_aside(first..=last_file, "chunks_head-damaged")?;
        }
        Ok((total, late))
    }

    /// Goes on with what was written since the start: from one position to another.
    pub(super) fn follow(
        &self,
        shards: &mut [ShardData],
        foreign: &mut Foreign,
        from: Position,
        to: Position,
    ) -> io::Result<Replayed> {
        let owns = shards.iter_mut().enumerate();
        let owns = owns.map(|(index, data)| Own { index, data, found: Vec::new(), held: Vec::new() });
        self.work(owns.collect(), foreign, |dealer| self.read_own(dealer, from, to))
    }

    /// Lets `read` deal work to the workers, and waits for them.
    fn work(
        &self,
        shards: Vec<Own<'_>>,
        foreign: &mut Foreign,
        read: impl FnOnce(&mut Dealer<'_, '_, '_>) -> io::Result<()>,
    ) -> io::Result<Replayed> {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let count = cores.min(shards.len()).max(1);
        let mut workers: Vec<Worker<'_, '_>> = (0..count).map(|_| Worker::new(self)).collect();
        for own in shards {
            workers[own.index % count].shards.push(own);
        }
        let workers: Vec<Mutex<Worker<'_, '_>>> = workers.into_iter().map(Mutex::new).collect();
        thread::scope(|scope| {
            let (mut doors, mut handles) = (Vec::new(), Vec::new());
            for worker in &workers {
                let (door, work) = sync_channel(WAITING);
                doors.push(door);
                handles.push(scope.spawn(move || run_worker(worker, &work)));
            }
            let mut dealer = Dealer {
                replay: self,
                pending: doors.iter().map(|_| Work::default()).collect(),
                doors,
                foreign,
                workers: &workers,
            };
            let read = read(&mut dealer);
            dealer.finish();
            let mut total = Replayed::default();
            for handle in handles {
                let done = handle.join().map_err(|_| io::Error::other("a replay worker died"))??;
                total += done;
            }
            read?;
            if total.unknown > 0 {
                tracing::warn!(
                    samples = total.unknown,
                    "samples in the write-ahead log refer to series that it does not have"
                );
            }
            Ok(total)
        })
    }

    /// Lets the log that is being written name a series that the replay made.
    pub(super) fn note_series(&self, reference: u64, labels: &Labels) {
        if self.wal.note_series(reference, labels) {
            // Should that fail, they keep waiting, and the next write reports it.
            let _ = self.wal.commit(&[], crate::Compression::None);
        }
    }

    fn check_stop(&self) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    fn report_scan(&self, scan: &Scan) {
        if !scan.damage.is_empty() {
            self.metrics.chunk_corruptions.add(scan.damage.len() as f64);
            tracing::warn!(
                places = scan.damage.join("; "),
                "mapped head chunks are damaged; their samples are taken from the write-ahead log where it has them"
            );
        }
        if scan.skipped > 0 {
            tracing::warn!(
                chunks = scan.skipped,
                "mapped head chunks of encodings that are not read were skipped"
            );
        }
    }

    /// Gives each shard the chunks of its series, ordered by series and time.
    fn deal_chunks(
        &self,
        shards: &mut [ShardData],
        scan: Scan,
        foreign: &mut Foreign,
    ) -> Vec<Vec<FoundChunk>> {
        let mut found: Vec<Vec<FoundChunk>> = shards.iter().map(|_| Vec::new()).collect();
        for chunk in scan.chunks {
            if foreign.keep_chunk(chunk) {
                continue;
            }
            let shard = self.refs.shard_of(chunk.series);
            if let Some(id) = self.refs.id_of(chunk.series).filter(|&id| id < MAX_ID) {
                // Also of series that the log has forgotten: their references must not be used for others.
                shards[shard].next_id = shards[shard].next_id.max(id + 1);
                found[shard].push(chunk);
            }
        }
        for chunks in &mut found {
            chunks.sort_by_key(|c| (c.series, c.min_time));
        }
        found
    }

    /// Reads the last checkpoint and the segments after it, up to `end`.
    fn read_old(&self, dealer: &mut Dealer<'_, '_, '_>, end: u32) -> io::Result<()> {
        let checkpoint = segments::checkpoints(self.wal_dir)?.pop();
        let covered = checkpoint.as_ref().map(|(n, _)| *n);
        let segments: Vec<_> = segments::list(self.wal_dir)?
            .into_iter()
            .filter(|(n, _)| *n < end && covered.is_none_or(|covered| *n > covered))
            .collect();
        let (first, last) = match (segments.first(), segments.last()) {
            (Some((first, _)), Some((last, _))) => (u64::from(*first), u64::from(*last)),
            _ => (u64::from(end), u64::from(end)),
        };
        self.progress.min.store(first, Ordering::Relaxed);
        self.progress.max.store(u64::from(end), Ordering::Relaxed);
        self.progress.current.store(first, Ordering::Relaxed);
        let mut skipped = 0;
        if let Some((_, dir)) = checkpoint {
            for (_, path) in segments::list(&dir)? {
                let read = self.read_segment(&path, dealer)?;
                skipped += read.skipped;
                if !read.damage.is_empty() {
                    self.metrics.wal_corruptions.inc();
                    tracing::error!(
                        file = %path.display(), damage = %repair::describe(&read.damage),
                        "a checkpoint of the write-ahead log is damaged; what can be read of it is kept"
                    );
                }
            }
        }
        for (n, path) in &segments {
            self.progress.current.store(u64::from(*n), Ordering::Relaxed);
            let read = self.read_segment(path, dealer)?;
            skipped += read.skipped;
            if !read.damage.is_empty() {
                self.metrics.wal_corruptions.inc();
                repair::repair(path, u64::from(*n) == last, &read.damage, read.good_end)?;
            }
        }
        if skipped > 0 {
            self.metrics.replay_unknown_records.add(skipped as f64);
            tracing::warn!(
                records = skipped,
                "records of kinds that are not read were skipped in the write-ahead log"
            );
        }
        self.progress.current.store(u64::from(end), Ordering::Relaxed);
        Ok(())
    }

    /// Reads what was written between two positions of the log that is being written.
    fn read_own(&self, dealer: &mut Dealer<'_, '_, '_>, from: Position, to: Position) -> io::Result<()> {
        for n in from.segment..=to.segment {
            let mut file = File::open(segments::path(self.wal_dir, n))?;
            let begin = if n == from.segment { from.offset } else { 0 };
            let page = begin - begin % frame::PAGE as u64;
            file.seek(SeekFrom::Start(page))?;
            let end = if n == to.segment { to.offset } else { u64::MAX };
            let source = BufReader::with_capacity(1 << 20, file).take(end.saturating_sub(page));
            let read = self.read_records(Segment::starting_at(source, begin), dealer)?;
            if !read.damage.is_empty() {
                self.metrics.wal_corruptions.inc();
                tracing::error!(
                    segment = n, damage = %repair::describe(&read.damage),
                    "what was just written to the write-ahead log cannot be read; the next start repairs it"
                );
            }
        }
        Ok(())
    }

    fn read_segment(&self, path: &Path, dealer: &mut Dealer<'_, '_, '_>) -> io::Result<ReadSegment> {
        self.read_records(Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?)), dealer)
    }

    fn read_records<R: Read>(
        &self,
        mut segment: Segment<R>,
        dealer: &mut Dealer<'_, '_, '_>,
    ) -> io::Result<ReadSegment> {
        let mut unpacked = Vec::new();
        let mut skipped = 0;
        let mut bad = Vec::new();
        while let Some((packed, compression)) = segment.next_packed()? {
            self.check_stop()?;
            let result = match compression.unpack(packed, &mut unpacked) {
                Err(reason) => Err(reason),
                Ok(()) => match unpacked.first() {
                    Some(&record::SERIES) => {
                        let result = record::read_series(&unpacked, |r, labels| dealer.series(r, labels));
                        dealer.settle();
                        result.map_err(|_| "bad record")
                    }
                    Some(&record::SAMPLES) => {
                        record::read_samples(&unpacked, |r, _, t, v| dealer.sample(r, t, v))
                            .map_err(|_| "bad record")
                    }
                    _ => {
                        skipped += 1;
                        Ok(())
                    }
                },
            };
            if let Err(reason) = result {
                bad.push(Damage { offset: segment.record_start, reason });
            }
        }
        segment.damage.extend(bad);
        Ok(ReadSegment { damage: segment.damage, good_end: segment.good_end, skipped })
    }
}

struct ReadSegment {
    damage: Vec<Damage>,
    good_end: u64,
    skipped: u64,
}

/// Sorts what is read by worker.
struct Dealer<'d, 'r, 's> {
    replay: &'r Replay<'r>,
    pending: Vec<Work>,
    doors: Vec<SyncSender<Work>>,
    foreign: &'d mut Foreign,
    workers: &'d [Mutex<Worker<'r, 's>>],
}

impl<'r, 's> Dealer<'_, 'r, 's> {
    fn series(&mut self, reference: u64, labels: Labels) {
        if self.foreign.take_in(reference, &labels, self.replay) {
            return;
        }
        let worker = self.replay.refs.shard_of(reference) % self.doors.len();
        self.pending[worker].series.push((reference, labels));
        if self.pending[worker].series.len() >= HANDFUL {
            self.send(worker);
        }
    }

    #[inline]
    fn sample(&mut self, reference: u64, t: i64, v: f64) {
        let reference = self.foreign.own(reference);
        let worker = self.replay.refs.shard_of(reference) % self.doors.len();
        self.pending[worker].samples.push((reference, t, v));
        if self.pending[worker].samples.len() >= HANDFUL {
            self.send(worker);
        }
    }

    /// Finds the series of foreign references of the record that was just read.
    fn settle(&mut self) {
        if self.foreign.is_unsettled() {
            let replay = self.replay;
            self.with_shards(|foreign, shards| foreign.settle(shards, replay));
        }
    }

    /// Lets `act` work on the shards when everything that was dealt is done.
    fn with_shards(&mut self, act: impl FnOnce(&mut Foreign, &mut Shards<'_, 'r, 's>)) {
        let (done, all_done) = sync_channel(self.doors.len());
        for worker in 0..self.doors.len() {
            self.pending[worker].barrier = Some(done.clone());
            self.send(worker);
        }
        drop(done);
        // A worker that has failed drops its work: its error is reported when it is joined.
        while all_done.recv().is_ok() {}
        let workers = self.workers.iter().map(Mutex::lock).collect();
        act(self.foreign, &mut Shards { workers });
    }

    fn send(&mut self, worker: usize) {
        let fresh = Work { samples: Vec::with_capacity(HANDFUL), ..Work::default() };
        let work = std::mem::replace(&mut self.pending[worker], fresh);
        // A worker that is gone has failed, and its error is reported when it is joined.
        let _ = self.doors[worker].send(work);
    }

    fn finish(mut self) {
        (0..self.doors.len()).for_each(|worker| self.send(worker));
    }
}

/// A shard that belongs to a worker for the time of the replay.
pub(super) struct Own<'s> {
    index: usize,
    pub(super) data: &'s mut ShardData,
    found: Vec<FoundChunk>,
    /// See [`held`].
    held: Vec<FoundChunk>,
}

impl Own<'_> {
    /// Gives a series the chunks that files have of it.
    pub(super) fn attach_found(&mut self, slot: u32, reference: u64) {
        let start = self.found.partition_point(|c| c.series < reference);
        let end = start + self.found[start..].partition_point(|c| c.series == reference);
        attach(self.data, slot, &self.found[start..end]);
    }
}

/// What a thread does. It is locked for each piece of work.
pub(super) struct Worker<'r, 's> {
    replay: &'r Replay<'r>,
    /// In order of index, which is the same modulo the number of workers.
    shards: Vec<Own<'s>>,
    done: Replayed,
    /// Shard (in `shards`) and slot of each sample of a handful.
    slots: Vec<(u32, u32)>,
    /// Nothing that matters: gives loads made for their effect on the cache a use.
    touched: u8,
}

const NONE: u32 = u32::MAX;
/// Samples whose memory is fetched together.
const BLOCK: usize = 64;

fn run_worker(worker: &Mutex<Worker<'_, '_>>, work: &Receiver<Work>) -> io::Result<Replayed> {
    while let Ok(work) = work.recv() {
        worker.lock().handle(&work)?;
    }
    worker.lock().end()
}

impl<'r, 's> Worker<'r, 's> {
    fn new(replay: &'r Replay<'r>) -> Self {
        Worker { replay, shards: Vec::new(), done: Replayed::default(), slots: Vec::new(), touched: 0 }
    }

    fn handle(&mut self, work: &Work) -> io::Result<()> {
        for (reference, labels) in &work.series {
            self.create(*reference, labels);
        }
        self.append(&work.samples);
        for own in &mut self.shards {
            if own.data.unwritten.len() >= UNWRITTEN {
                write(own, self.replay)?;
            }
        }
        if let Some(barrier) = &work.barrier {
            // Nobody waits any more when the replay ends early.
            let _ = barrier.send(());
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<Replayed> {
        for own in &mut self.shards {
            held::use_what_the_log_lacks(own.data, &own.held, self.replay.refs, self.replay.chunk_files)?;
            write(own, self.replay)?;
        }
        Ok(std::mem::take(&mut self.done))
    }

    pub(super) fn own(&mut self, shard: usize) -> &mut Own<'s> {
        let position = self.shards.partition_point(|own| own.index < shard);
        &mut self.shards[position]
    }

    fn position(&self, reference: u64) -> usize {
        let shard = self.replay.refs.shard_of(reference);
        self.shards.partition_point(|own| own.index < shard)
    }

    pub(super) fn create(&mut self, reference: u64, labels: &Labels) {
        // A checkpoint and the segments after it may both have a series.
        if let Some(slot) = self.create_bare(reference, labels) {
            let position = self.position(reference);
            self.shards[position].attach_found(slot, reference);
        }
    }

    /// Without the chunks that files have of it; `None` when there is one with that reference.
    pub(super) fn create_bare(&mut self, reference: u64, labels: &Labels) -> Option<u32> {
        let position = self.position(reference);
        let id = self.replay.refs.id_of(reference).filter(|&id| id < MAX_ID)?;
        let Own { index, data, .. } = &mut self.shards[position];
        if data.slot_of(id).is_some() {
            return None;
        }
        let slot = data.create(id, labels)?;
        data.next_id = data.next_id.max(id + 1);
        self.replay.lookup.lock(hash(self.replay.hasher, labels)).insert(Location::new(*index, slot));
        Some(slot)
    }

    fn append(&mut self, samples: &[(u64, i64, f64)]) {
        self.slots.clear();
        {
            let mut finders: Vec<_> = self.shards.iter().map(|own| own.data.finder()).collect();
            for &(reference, ..) in samples {
                let position = self.position(reference);
                let slot = self.replay.refs.id_of(reference).and_then(|id| finders[position].slot(id));
                self.slots.push((position as u32, slot.unwrap_or(NONE)));
            }
        }
        for (samples, slots) in samples.chunks(BLOCK).zip(self.slots.chunks(BLOCK)) {
            // As when appending: fetch first, many at once.
            for &(position, slot) in slots.iter().filter(|(_, slot)| *slot != NONE) {
                let data = &*self.shards[position as usize].data;
                self.touched ^= data.series(slot).open_end(&data.slab);
            }
            for (&(_, t, v), &(position, slot)) in samples.iter().zip(slots) {
                if slot == NONE {
                    self.done.unknown += 1;
                    continue;
                }
                let data = &mut *self.shards[position as usize].data;
                let (series, slab) = data.series_and_slab(slot);
                let had_open = series.open_samples() > 0;
                // What is refused is in a mapped chunk already, or was refused when it was written.
                let Ok(done) = series.append(slab, self.replay.rules, t, v) else { continue };
                self.done.samples += 1;
                self.done.min_time = self.done.min_time.min(t);
                self.done.max_time = self.done.max_time.max(t);
                if done == Appended::Cut {
                    self.done.cut += 1;
                    if had_open && series.id < MAX_ID {
                        data.unwritten.push(slot);
                    }
                }
            }
        }
    }
}

/// Appends a sample that was moved here from a chunk in memory. What the series has already is refused.
pub(super) fn append_sample(data: &mut ShardData, slot: u32, rules: &CutRules, t: i64, v: f64) {
    let (series, slab) = data.series_and_slab(slot);
    let had_open = series.open_samples() > 0;
    if series.append(slab, rules, t, v) == Ok(Appended::Cut) && had_open {
        data.unwritten.push(slot);
    }
}

fn write(own: &mut Own<'_>, replay: &Replay<'_>) -> io::Result<()> {
    if let Some(copies) = Unwritten::collect(own.data, own.index, replay.refs) {
        let places = copies.write(replay.chunk_files)?;
        copies.install(own.data, places);
    }
    Ok(())
}

pub(super) fn hash(hasher: &foldhash::quality::FixedState, labels: &Labels) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = hasher.build_hasher();
    hasher.write(labels.as_bytes());
    hasher.finish()
}
