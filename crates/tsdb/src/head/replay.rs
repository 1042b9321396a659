//! Rebuilding memory from the log and from mapped chunks.
//!
//! One thread reads and decodes; each of the workers has some of the shards for itself and applies series and
//! samples in the order of the log. Samples that a mapped chunk already holds are skipped, and chunks that become
//! full go to their file at once, so replay needs no more memory than running does.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use block::Interval;
use chunk::{Encoding, HistogramPoint};
use model::Labels;
use storage::Metadata;

use super::WalReplay;
use super::held;
use super::snapshot::Snapshot;
use super::write_chunks::Unwritten;
use crate::chunk_files::{ChunkFiles, FoundChunk, Scan};
use crate::closed::{self, ClosedChunk};
use crate::exemplars::Exemplar;
use crate::full_disk::is_full;
use crate::lookup::{Location, Lookup, hash};
use crate::metrics::Metrics;
use crate::ooo::replay::Found;
use crate::series::CutRules;
use crate::shard::{MAX_ID, RefMap, ShardData};
use crate::wal::frame::{self, Segment};
use crate::wal::read::{ReadSegment, each_record};
use crate::wal::record::{BadRecord, HistogramEntry, LabelsReader};
use crate::wal::{Position, record, repair, segments};

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
    /// So many exemplars are kept; 0 keeps none.
    pub(super) max_exemplars: usize,
    /// What the last process wrote when it was closed.
    pub(super) snapshot: Option<Snapshot>,
    /// The log that is being written begins here.
    pub(super) end: u32,
    /// What is older is in blocks, from which it may have been deleted since.
    pub(super) start: i64,
    /// Set when the replay shall end early.
    pub(super) stop: &'a AtomicBool,
}

/// What replay did.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) samples: u64,
    /// With the reference of the series, in the order in which they came; the newest only.
    pub(super) exemplars: VecDeque<(u64, Exemplar)>,
    unknown: Unknown,
}

/// Entries of series that the log does not name.
#[derive(Debug, Default)]
struct Unknown {
    samples: u64,
    histograms: u64,
    tombstones: u64,
    metadata: u64,
}

impl Unknown {
    fn add(&mut self, other: &Unknown) {
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.tombstones += other.tombstones;
        self.metadata += other.metadata;
    }
}

/// Work for one worker; series come before the rest.
#[derive(Default)]
struct Work {
    /// References, and where in `labels` those of each end.
    series: Vec<(u64, usize)>,
    /// As they lie in the log.
    labels: Vec<u8>,
    samples: Vec<(u64, i64, f64)>,
    /// Of the samples; empty while none has one.
    start_times: Vec<i64>,
    /// What is rarer, and before which of the samples its turn is.
    others: Vec<(usize, Other)>,
}

/// An entry of the log that is neither a series nor a float.
enum Other {
    Histogram(HistogramEntry),
    /// With whether it is of samples in order only.
    Deleted(u64, Interval, bool),
    Metadata(u64, Metadata),
    /// A chunk that was open.
    Open(u64, Encoding, Vec<u8>),
}

/// Samples handed over at a time.
const HANDFUL: usize = 8192;
/// Series handed over at a time.
const HANDFUL_OF_SERIES: usize = 1024;
/// Histograms and the like handed over at a time.
const HANDFUL_OF_OTHERS: usize = 512;
/// Handfuls that may wait for a worker.
const WAITING: usize = 4;
/// Ids that are left out after a snapshot that does not say which were given out.
const UNKNOWN_IDS: u32 = 1 << 16;
/// Full chunks of a shard are written when there are this many.
const UNWRITTEN: usize = 512;

impl Replay<'_> {
    /// Fills the shards; they are not indexed yet. Chunks of samples out of order are handed back.
    pub(super) fn run(&self, shards: &mut [ShardData], mut scan: Scan) -> io::Result<(Replayed, Found)> {
        let last_file = self.chunk_files.last();
        if scan.ends_blank && self.was_closed()? {
            // Only a process that dies leaves a file that it has just begun.
            scan.lost(last_file, "has no content");
        }
        self.report_scan(&scan);
        if scan.files_lost && self.snapshot.is_some() {
            self.metrics.snapshot_errors.inc();
            tracing::error!(
                "Failed to load chunk snapshot: the full chunks of its series are missing, and the write-ahead log is read \
                 from its beginning"
            );
        }
        let first_damaged = scan.first_damaged;
        let blank = scan.ends_blank.then_some(last_file);
        let late = std::mem::take(&mut scan.out_of_order);
        let late = Found::rescue(late, first_damaged, self.chunk_files, self.stop)?;
        let found = self.deal_chunks(shards, scan);
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let count = cores.min(shards.len()).max(1);
        let mut workers: Vec<Worker<'_, '_>> = (0..count)
            .map(|_| Worker {
                replay: self,
                shards: Vec::new(),
                done: Replayed::default(),
                reader: LabelsReader::default(),
                slots: Vec::new(),
                touched: 0,
            })
            .collect();
        for (i, (shard, mut found)) in shards.iter_mut().zip(found).enumerate() {
            let held = held::split_off(&mut found, first_damaged);
            workers[i % count].shards.push(Own { index: i, data: shard, found, held, full_disk: false });
        }
        let total = thread::scope(|scope| {
            let (mut doors, mut handles) = (Vec::new(), Vec::new());
            for worker in workers {
                let (door, work) = sync_channel(WAITING);
                doors.push(door);
                handles.push(scope.spawn(move || worker.run(&work)));
            }
            let snapshot = self.snapshot.as_ref().filter(|_| first_damaged.is_none());
            let read = self.read_all(
                snapshot,
                Dealer {
                    refs: self.refs,
                    pending: doors.iter().map(|_| Work::default()).collect(),
                    doors,
                    exemplars: VecDeque::new(),
                    max_exemplars: self.max_exemplars,
                },
            );
            let mut total = Replayed::default();
            for handle in handles {
                let done = handle.join().map_err(|_| io::Error::other("a replay worker died"))??;
                total.samples += done.samples;
                total.unknown.add(&done.unknown);
            }
            total.exemplars = read?;
            self.report_unknown(&total.unknown);
            Ok::<_, io::Error>(total)
        })?;
        if let Some(first) = first_damaged {
            self.chunk_files.sync()?;
            self.chunk_files.set_aside(first..=last_file, "chunks_head-damaged")?;
        }
        if let Err(error) = self.chunk_files.fill_gaps(blank)
            && !is_full(&error)
        {
            return Err(error);
        }
        Ok((total, late))
    }

    /// Whether the last process wrote a snapshot at its end: every process begins a segment at its start.
    fn was_closed(&self) -> io::Result<bool> {
        let Some(snapshot) = &self.snapshot else { return Ok(false) };
        let since = snapshot.end.segment.saturating_add(1)..self.end;
        Ok(segments::list(self.wal_dir)?.iter().all(|(n, _)| !since.contains(n)))
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

    fn report_unknown(&self, unknown: &Unknown) {
        let Unknown { samples, histograms, tombstones, metadata } = *unknown;
        if samples + histograms + tombstones + metadata == 0 {
            return;
        }
        let kinds = [
            ("samples", samples),
            ("histograms", histograms),
            ("tombstones", tombstones),
            ("metadata", metadata),
        ];
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            self.metrics.replay_unknown_refs.with(&[kind]).add(count as f64);
        }
        tracing::warn!(
            samples,
            histograms,
            tombstones,
            metadata,
            "entries of the write-ahead log refer to series that it does not have"
        );
    }

    /// Gives each shard the chunks of its series, ordered by series and time.
    fn deal_chunks(&self, shards: &mut [ShardData], scan: Scan) -> Vec<Vec<FoundChunk>> {
        let mut found: Vec<Vec<FoundChunk>> = shards.iter().map(|_| Vec::new()).collect();
        for chunk in scan.chunks {
            let shard = self.refs.shard_of(chunk.series);
            if let Some(id) = self.refs.id_of(chunk.series).filter(|&id| id < MAX_ID) {
                // Also of series that the log has forgotten: their references must not be used for others.
                shards[shard].next_id = shards[shard].next_id.max(id + 1);
                found[shard].push(chunk);
            }
        }
        if let Some(snapshot) = &self.snapshot {
            // The log before it may name series that it does not have any more.
            for (shard, data) in shards.iter_mut().enumerate() {
                let free = match snapshot.last_reference() {
                    Some(last) => self.refs.first_free_after(shard, last),
                    None => data.next_id.saturating_add(UNKNOWN_IDS),
                };
                data.next_id = data.next_id.max(free.min(MAX_ID));
            }
        }
        for chunks in &mut found {
            chunks.sort_by_key(|c| (c.series, c.min_time));
        }
        found
    }

    /// Reads the last checkpoint and the segments after it.
    fn read_all(
        &self,
        snapshot: Option<&Snapshot>,
        mut dealer: Dealer,
    ) -> io::Result<VecDeque<(u64, Exemplar)>> {
        let mut checkpoint = segments::checkpoints(self.wal_dir)?.pop();
        let mut covered = checkpoint.as_ref().map(|(n, _)| *n);
        let newest_checkpoint = covered;
        let mut begin = Position { segment: 0, offset: 0 };
        if let Some(snapshot) = snapshot
            && self.read_snapshot(snapshot, &mut dealer)?
            && covered.is_none_or(|covered| covered < snapshot.end.segment)
        {
            begin = snapshot.end;
            checkpoint = None;
            covered = begin.segment.checked_sub(1);
        }
        let segments: Vec<_> = segments::list(self.wal_dir)?
            .into_iter()
            .filter(|(n, _)| *n < self.end && covered.is_none_or(|covered| *n > covered))
            .collect();
        let (first, last) = match (segments.first(), segments.last()) {
            (Some((first, _)), Some((last, _))) => (u64::from(*first), u64::from(*last)),
            _ => (u64::from(self.end), u64::from(self.end)),
        };
        self.progress.min.store(first, Ordering::Relaxed);
        self.progress.max.store(u64::from(self.end), Ordering::Relaxed);
        self.progress.current.store(first, Ordering::Relaxed);
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |m| m.len());
        let named = checkpoint.as_ref().map_or(0, |(_, dir)| segments::total_size(dir));
        let total = named + segments.iter().map(|(_, path)| size(path)).sum::<u64>();
        self.progress.total_bytes.store(total, Ordering::Relaxed);
        let mut skipped = 0;
        if let Some((_, dir)) = checkpoint {
            for (_, path) in segments::list(&dir)? {
                let (read, unknown) = self.read_segment(&path, 0, &mut dealer)?;
                skipped += unknown;
                if !read.damage.is_empty() {
                    self.metrics.wal_corruptions.inc();
                    repair::repair_checkpoint(&path, &read.damage)?;
                }
            }
        }
        for (n, path) in &segments {
            self.progress.current.store(u64::from(*n), Ordering::Relaxed);
            let from = if *n == begin.segment { begin.offset } else { 0 };
            let (read, unknown) = self.read_segment(path, from, &mut dealer)?;
            skipped += unknown;
            if !read.damage.is_empty() {
                self.metrics.wal_corruptions.inc();
                repair::repair(path, u64::from(*n) == last, &read.damage, read.good_end)?;
            }
        }
        self.fill_gaps(newest_checkpoint, covered)?;
        if skipped > 0 {
            self.metrics.replay_unknown_records.add(skipped as f64);
            tracing::warn!(
                records = skipped,
                "records of kinds that are not read were skipped in the write-ahead log"
            );
        }
        self.progress.current.store(u64::from(self.end), Ordering::Relaxed);
        Ok(dealer.finish())
    }

    /// Puts empty segments where some are missing behind the newest checkpoint, and says so unless what was read covers
    /// them.
    fn fill_gaps(&self, checkpoint: Option<u32>, covered: Option<u32>) -> io::Result<()> {
        let present = segments::list(self.wal_dir)?.into_iter().map(|(n, _)| n).filter(|n| *n < self.end);
        let gaps = segments::gaps(present, checkpoint.map_or(0, |n| n.saturating_add(1)), self.end);
        let is_lost = |gap: &&Range<u32>| covered.is_none_or(|covered| gap.end - 1 > covered);
        let lost: Vec<_> = gaps.iter().filter(is_lost).cloned().collect();
        repair::report_missing(self.wal_dir, &lost, &self.metrics.wal_corruptions);
        repair::fill_gaps(self.wal_dir, &gaps)
    }

    /// Reads a snapshot; `false` when it is damaged. What could be read of it stays: the log has the same and more, and
    /// what a series has already it refuses.
    fn read_snapshot(&self, snapshot: &Snapshot, dealer: &mut Dealer) -> io::Result<bool> {
        let start = Instant::now();
        let mut series = 0;
        // Of tombstones there is always one record, behind all series.
        let mut whole = false;
        let mut damage = Vec::new();
        for (_, path) in segments::list(&snapshot.dir)? {
            let segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?));
            let read = each_record(segment, self.stop, |record, _| {
                Ok(deal_snapshot(record, dealer).map(|kind| {
                    series += u64::from(kind == record::SNAPSHOT_SERIES);
                    whole |= kind == record::SNAPSHOT_TOMBSTONES;
                }))
            })?;
            damage.extend(read.damage);
        }
        let dir = snapshot.dir.display();
        if damage.is_empty() && whole {
            let duration = format!("{:.3}s", start.elapsed().as_secs_f64());
            tracing::info!(%dir, num_series = series, duration, "chunk snapshot loaded");
            return Ok(true);
        }
        dealer.exemplars.clear();
        self.metrics.snapshot_errors.inc();
        tracing::error!(
            %dir, damage = %repair::describe(&damage),
            "Failed to load chunk snapshot: the write-ahead log is read from its beginning"
        );
        Ok(false)
    }

    fn read_segment(&self, path: &Path, from: u64, dealer: &mut Dealer) -> io::Result<(ReadSegment, u64)> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from - from % frame::PAGE as u64))?;
        let segment = Segment::starting_at(BufReader::with_capacity(1 << 20, file), from);
        let mut skipped = 0;
        let before = self.progress.read_bytes.load(Ordering::Relaxed);
        let read = each_record(segment, self.stop, |record, end| {
            let known = deal(record, dealer).map(|known| skipped += u64::from(!known));
            self.progress.read_bytes.store(before + end, Ordering::Relaxed);
            Ok(known)
        })?;
        Ok((read, skipped))
    }
}

/// Hands the entries of a record to the workers; says whether its kind is known.
fn deal(record: &[u8], dealer: &mut Dealer) -> Result<bool, BadRecord> {
    match record.first() {
        Some(&record::SERIES) => record::split_series(record, |r, labels| dealer.series(r, labels))?,
        Some(&record::SAMPLES | &record::SAMPLES_V2) => {
            record::read_samples(record, |r, start, t, v| dealer.sample(r, start, t, v))?;
        }
        Some(&kind) if record::is_histograms(kind) => {
            record::read_histograms(record, |h| dealer.other(h.reference, Other::Histogram(h)))?;
        }
        Some(&record::TOMBSTONES) => {
            record::read_deletions(
                |each| record::read_tombstones(record, each),
                |r, min, max, in_order_only| {
                    dealer.deletion(r, min, max, in_order_only);
                },
            )?;
        }
        Some(&record::METADATA) => {
            record::read_metadata(record, |r, metadata| dealer.other(r, Other::Metadata(r, metadata)))?;
        }
        Some(&record::EXEMPLARS) => record::read_exemplars(record, |r, t, v, labels| {
            dealer.exemplar(r, Exemplar { labels, t, v });
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Hands the content of a snapshot's record to the workers; says what kind it is.
fn deal_snapshot(record: &mut [u8], dealer: &mut Dealer) -> Result<u8, BadRecord> {
    let kind = record.first().copied().ok_or(BadRecord)?;
    match kind {
        record::SNAPSHOT_SERIES => {
            let (reference, labels, open) = record::read_snapshot_series(record)?;
            dealer.series(reference, labels);
            if let Some(open) = open {
                dealer.other(reference, Other::Open(reference, open.encoding, open.bytes.to_vec()));
            }
        }
        record::SNAPSHOT_TOMBSTONES => {
            let read = |each: &mut dyn FnMut(u64, i64, i64)| record::read_snapshot_tombstones(record, each);
            record::read_deletions(read, |r, min, max, in_order_only| {
                dealer.deletion(r, min, max, in_order_only);
            })?;
        }
        record::SNAPSHOT_EXEMPLARS => {
            record::as_logged_exemplars(record);
            record::read_exemplars(record, |r, t, v, labels| dealer.exemplar(r, Exemplar { labels, t, v }))?;
        }
        _ => return Err(BadRecord),
    }
    Ok(kind)
}

/// Sorts what is read by worker.
struct Dealer {
    refs: RefMap,
    pending: Vec<Work>,
    doors: Vec<SyncSender<Work>>,
    exemplars: VecDeque<(u64, Exemplar)>,
    max_exemplars: usize,
}

impl Dealer {
    fn series(&mut self, reference: u64, labels: &[u8]) {
        let worker = self.refs.shard_of(reference) % self.doors.len();
        let work = &mut self.pending[worker];
        work.labels.extend_from_slice(labels);
        work.series.push((reference, work.labels.len()));
        if work.series.len() >= HANDFUL_OF_SERIES {
            self.send(worker);
        }
    }

    #[inline]
    fn sample(&mut self, reference: u64, start_time: i64, t: i64, v: f64) {
        let worker = self.refs.shard_of(reference) % self.doors.len();
        let work = &mut self.pending[worker];
        if start_time != 0 || !work.start_times.is_empty() {
            work.start_times.resize(work.samples.len(), 0);
            work.start_times.push(start_time);
        }
        work.samples.push((reference, t, v));
        if work.samples.len() >= HANDFUL {
            self.send(worker);
        }
    }

    fn other(&mut self, reference: u64, other: Other) {
        let worker = self.refs.shard_of(reference) % self.doors.len();
        let work = &mut self.pending[worker];
        work.others.push((work.samples.len(), other));
        if work.others.len() >= HANDFUL_OF_OTHERS {
            self.send(worker);
        }
    }

    fn deletion(&mut self, reference: u64, min_time: i64, max_time: i64, in_order_only: bool) {
        self.other(reference, Other::Deleted(reference, Interval { min_time, max_time }, in_order_only));
    }

    fn exemplar(&mut self, reference: u64, exemplar: Exemplar) {
        if self.max_exemplars == 0 {
            return;
        }
        if self.exemplars.len() == self.max_exemplars {
            self.exemplars.pop_front();
        }
        self.exemplars.push_back((reference, exemplar));
    }

    fn send(&mut self, worker: usize) {
        let fresh = Work { samples: Vec::with_capacity(HANDFUL), ..Work::default() };
        let work = std::mem::replace(&mut self.pending[worker], fresh);
        // A worker that is gone has failed, and its error is reported when it is joined.
        let _ = self.doors[worker].send(work);
    }

    fn finish(mut self) -> VecDeque<(u64, Exemplar)> {
        (0..self.doors.len()).for_each(|worker| self.send(worker));
        self.exemplars
    }
}

/// A shard that belongs to a worker for the time of the replay.
struct Own<'s> {
    index: usize,
    data: &'s mut ShardData,
    found: Vec<FoundChunk>,
    /// See [`held`].
    held: Vec<FoundChunk>,
    /// Full chunks stay in memory: there is no room for them.
    full_disk: bool,
}

struct Worker<'r, 's> {
    replay: &'r Replay<'r>,
    /// In order of index, which is the same modulo the number of workers.
    shards: Vec<Own<'s>>,
    done: Replayed,
    reader: LabelsReader,
    /// Shard (in `shards`) and slot of each sample of a handful.
    slots: Vec<(u32, u32)>,
    /// Nothing that matters: gives loads made for their effect on the cache a use.
    touched: u8,
}

const NONE: u32 = u32::MAX;
/// Samples whose memory is fetched together.
const BLOCK: usize = 64;

impl Worker<'_, '_> {
    fn run(mut self, work: &Receiver<Work>) -> io::Result<Replayed> {
        while let Ok(work) = work.recv() {
            let mut start = 0;
            for &(reference, end) in &work.series {
                // What was found good in the log can be read.
                if let Ok(labels) = self.reader.read(&work.labels[start..end]) {
                    self.create(reference, &labels);
                }
                start = end;
            }
            self.apply(&work);
            for own in &mut self.shards {
                if own.data.unwritten.len() >= UNWRITTEN && !own.full_disk {
                    write(own, self.replay)?;
                }
            }
        }
        for own in &mut self.shards {
            let Replay { refs, chunk_files, stop, .. } = *self.replay;
            held::use_what_the_log_lacks(own.data, &own.held, refs, chunk_files, stop)?;
            write(own, self.replay)?;
        }
        Ok(self.done)
    }

    fn position(&self, reference: u64) -> usize {
        let shard = self.replay.refs.shard_of(reference);
        self.shards.partition_point(|own| own.index < shard)
    }

    fn create(&mut self, reference: u64, labels: &Labels) {
        let position = self.position(reference);
        let Some(id) = self.replay.refs.id_of(reference).filter(|&id| id < MAX_ID) else { return };
        let Own { index, data, found, .. } = &mut self.shards[position];
        // A checkpoint and the segments after it may both have a series.
        if data.slot_of(id).is_some() {
            return;
        }
        let Some(slot) = data.create(id, labels) else { return };
        data.next_id = data.next_id.max(id + 1);
        self.replay.lookup.lock(hash(self.replay.hasher, labels)).insert(Location::new(*index, slot));
        let start = found.partition_point(|c| c.series < reference);
        let (series, slab) = data.series_and_slab(slot);
        let mut last = None;
        for chunk in found[start..].iter().take_while(|c| c.series == reference) {
            if last.is_some_and(|last| chunk.min_time <= last) {
                continue;
            }
            let entry = ClosedChunk::in_file(
                chunk.min_time,
                chunk.max_time,
                chunk.encoding,
                chunk.file,
                chunk.offset,
            );
            if closed::push(slab, &mut series.closed, entry).is_some() {
                last = Some(chunk.max_time);
            }
        }
    }

    /// Does the work in the order of the log.
    fn apply(&mut self, work: &Work) {
        let mut at = 0;
        for (before, other) in &work.others {
            self.append(&work.samples[at..*before], work.start_times.get(at..).unwrap_or_default());
            at = *before;
            self.apply_other(other);
        }
        self.append(&work.samples[at..], work.start_times.get(at..).unwrap_or_default());
    }

    fn find(&mut self, reference: u64) -> Option<(&mut ShardData, u32)> {
        let position = self.position(reference);
        let id = self.replay.refs.id_of(reference)?;
        let data = &mut *self.shards.get_mut(position)?.data;
        let Some(slot) = data.slot_of(id) else {
            data.pass_over(id);
            return None;
        };
        Some((data, slot))
    }

    fn apply_other(&mut self, other: &Other) {
        let (rules, start) = (self.replay.rules, self.replay.start);
        match other {
            Other::Histogram(HistogramEntry { reference, start_time, t, value }) => {
                let Some((data, slot)) = self.find(*reference) else {
                    self.done.unknown.histograms += 1;
                    return;
                };
                if *t < start {
                    return;
                }
                let point = HistogramPoint { t: *t, start_time: *start_time, value: value.clone() };
                if data.append_histogram(slot, rules, &point).is_ok() {
                    self.done.samples += 1;
                }
            }
            Other::Deleted(reference, interval, in_order_only) => match self.find(*reference) {
                // That is how Prometheus notes that it dropped a stale series with all that it had.
                Some((data, slot)) if interval.min_time == i64::MIN && interval.max_time == i64::MAX => {
                    data.drop_before(slot, i64::MAX);
                }
                Some((data, slot)) => {
                    data.deleted.entry(slot).or_default().replayed(*interval, *in_order_only);
                }
                None => self.done.unknown.tombstones += 1,
            },
            Other::Metadata(reference, metadata) => match self.find(*reference) {
                Some((data, slot)) => data.metadata.set(slot, metadata),
                None => self.done.unknown.metadata += 1,
            },
            Other::Open(reference, encoding, bytes) => {
                if let Some((data, slot)) = self.find(*reference) {
                    // One that is older than mapped chunks was written to them since.
                    let _ = data.resume_open(slot, rules, *encoding, bytes);
                }
            }
        }
    }

    /// `start_times` are empty, or those of the samples (and of later ones).
    fn append(&mut self, samples: &[(u64, i64, f64)], start_times: &[i64]) {
        if samples.is_empty() {
            return;
        }
        self.slots.clear();
        {
            let mut finders: Vec<_> = self.shards.iter().map(|own| own.data.finder()).collect();
            for &(reference, ..) in samples {
                let position = self.position(reference);
                let slot = self.replay.refs.id_of(reference).and_then(|id| finders[position].slot(id));
                self.slots.push((position as u32, slot.unwrap_or(NONE)));
            }
        }
        let blocks = samples.chunks(BLOCK).zip(self.slots.chunks(BLOCK));
        for (block, (samples, slots)) in blocks.enumerate() {
            // As when appending: fetch first, many at once.
            for &(position, slot) in slots.iter().filter(|(_, slot)| *slot != NONE) {
                let data = &*self.shards[position as usize].data;
                self.touched ^= data.series(slot).open_end(&data.slab);
            }
            for (i, (&(reference, t, v), &(position, slot))) in samples.iter().zip(slots).enumerate() {
                if slot == NONE {
                    self.done.unknown.samples += 1;
                    if let Some(id) = self.replay.refs.id_of(reference) {
                        self.shards[position as usize].data.pass_over(id);
                    }
                    continue;
                }
                if t < self.replay.start {
                    continue;
                }
                let data = &mut *self.shards[position as usize].data;
                let start_time = start_times.get(block * BLOCK + i).copied().unwrap_or_default();
                // What is refused is in a mapped chunk already, or was refused when it was written.
                if data.append_float(slot, self.replay.rules, start_time, t, v).is_ok() {
                    self.done.samples += 1;
                }
            }
        }
    }
}

fn write(own: &mut Own<'_>, replay: &Replay<'_>) -> io::Result<()> {
    if let Some(copies) = Unwritten::collect(own.data, own.index, replay.refs) {
        match copies.write(replay.chunk_files) {
            Ok(places) => copies.install(own.data, places),
            // They are in the log; the next batch tries again.
            Err(error) if is_full(&error) => own.full_disk = true,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
