//! Taking samples while the log is still being replayed.
//!
//! Nothing is known yet of the series that the log has, so each gets a *temporary* reference, and batches go, as
//! records like those of the log, to a log of their own in the directory `wal-young`, and nowhere else. All that is
//! kept in memory is a hash of each series' labels and its number: about 20 bytes.
//!
//! When the head has what the last process left, it appends what it finds in the young log as if that came only now:
//! series are looked up, samples are checked, written to the log and stored. When nothing is left, appends go to the
//! shards, and the young log is deleted. A process that is killed before leaves its young log to the next one. (They
//! cannot be in the log itself: where Prometheus meets a series under a second reference, it drops what it has read
//! of it so far.)

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::{
    Affinity, AppendError, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, Outcome,
    Rejection, Resolved, SeriesRef,
};

use super::Head;
use super::limits::{Bound, Check, Refusal};
use crate::full_disk::{is_full, wait_for_room};
use crate::wal::frame::{PAGE, Segment};
use crate::wal::read::{ReadSegment, each_record};
use crate::wal::record::{self, ExemplarsEncoder, HistogramsEncoder, SamplesEncoder};
use crate::wal::{Compression, Packed, Position, Wal, repair, segments};

const DIR: &str = "wal-young";
/// Marks temporary references: those of the head are far below.
const TEMPORARY: u64 = 1 << 47;
/// No series has this reference.
const NONE: u64 = 0;
/// Below the mark, where the series belongs, and below that its number.
const SPREAD_AT: u32 = 32;
/// The table is split by some bits of the hash, so that growing copies a small piece at a time.
const PIECES: usize = 64;

/// What the head is while it replays: appends go through here, and wait while the two are joined.
pub(super) type YoungGate = RwLock<Option<Young>>;

/// Series that were seen since the start, and the log of what came.
pub(super) struct Young {
    dir: PathBuf,
    segment_size: u64,
    compression: Compression,
    /// Made when it is needed; with the number of its first segment.
    log: OnceLock<(u32, Wal)>,
    making: Mutex<()>,
    next: AtomicU32,
    /// Two keyed hashes that nobody outside can aim at: 96 of their bits stand for the labels.
    hashers: [RandomState; 2],
    pieces: Box<[Mutex<HashTable<Entry>>]>,
}

struct Entry {
    hash: [u32; 3],
    number: u32,
}

/// The table takes its place and its tag from 64 bits.
fn place(hash: &[u32; 3]) -> u64 {
    u64::from(hash[0]) | u64::from(hash[1]) << 32
}

fn number(reference: u64) -> u32 {
    reference as u32
}

fn spread(reference: u64) -> usize {
    ((reference & !TEMPORARY) >> SPREAD_AT) as usize
}

impl Young {
    pub(super) fn new(data_dir: &Path, segment_size: u64, compression: Compression) -> Self {
        Young {
            dir: data_dir.join(DIR),
            segment_size,
            compression,
            log: OnceLock::new(),
            making: Mutex::new(()),
            next: AtomicU32::new(0),
            hashers: [RandomState::new(), RandomState::new()],
            pieces: (0..PIECES).map(|_| Mutex::default()).collect(),
        }
    }

    fn log(&self) -> io::Result<&Wal> {
        if let Some((_, log)) = self.log.get() {
            return Ok(log);
        }
        let _one = self.making.lock();
        if let Some((_, log)) = self.log.get() {
            return Ok(log);
        }
        disk::create_dir_all(&self.dir)?;
        let segment = segments::next(&self.dir)?;
        let log = Wal::create(&self.dir, segment, self.segment_size, self.compression, None)?;
        Ok(&self.log.get_or_init(|| (segment, log)).1)
    }

    fn hash(&self, labels: &Labels) -> ([u32; 3], usize) {
        let [a, b] = [&self.hashers[0], &self.hashers[1]].map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write(labels.as_bytes());
            hasher.finish()
        });
        ([a as u32, (a >> 32) as u32, b as u32], (b >> 32) as usize % PIECES)
    }

    /// The reference that stands for `labels`; `None` when there would be more than `most`.
    fn resolve(&self, spread: u64, labels: &Labels, most: usize) -> io::Result<Option<Resolved>> {
        let log = self.log()?;
        let (hash, piece) = self.hash(labels);
        let mut piece = self.pieces[piece].lock();
        let found = piece.find(place(&hash), |e| e.hash == hash).map(|e| e.number);
        let reference = |number: u32| TEMPORARY | spread << SPREAD_AT | u64::from(number);
        if let Some(number) = found {
            return Ok(Some(Resolved { series: SeriesRef(reference(number)), created: false }));
        }
        let take = |n: u32| ((n as usize) < most).then(|| n.checked_add(1)).flatten();
        let Ok(number) = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) else {
            return Ok(None);
        };
        // Before anybody can use it.
        let many = log.note_series(reference(number), labels);
        piece.insert_unique(place(&hash), Entry { hash, number }, |e| place(&e.hash));
        drop(piece);
        if many {
            // Should that fail, they keep waiting, and the next batch reports it.
            let _ = log.commit(&Packed::default());
        }
        Ok(Some(Resolved { series: SeriesRef(reference(number)), created: true }))
    }

    fn knows(&self, series: SeriesRef) -> bool {
        series.0 & TEMPORARY != 0 && number(series.0) < self.next.load(Ordering::Relaxed)
    }

    /// Writes what is of known series to the log.
    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> io::Result<()> {
        let unknown = |i: usize| (i as u32, Rejection::UnknownSeries);
        let mut samples = SamplesEncoder::new(!batch.start_times.is_empty());
        for (i, sample) in batch.samples.iter().enumerate() {
            if self.knows(sample.series) {
                let start_time = batch.start_times.get(i).copied().unwrap_or(0);
                samples.push(sample.series.0, start_time, sample.t, sample.v);
                outcome.appended += 1;
            } else {
                outcome.rejected.push(unknown(i));
            }
        }
        let mut histograms = HistogramsEncoder::new(batch.histograms.iter().any(|h| h.start_time != 0));
        for (i, sample) in batch.histograms.iter().enumerate() {
            if self.knows(sample.series) {
                histograms.push(sample.series.0, sample.start_time, sample.t, &sample.value);
                outcome.appended_histograms += 1;
            } else {
                outcome.rejected_histograms.push(unknown(i));
            }
        }
        let mut exemplars = ExemplarsEncoder::default();
        for (i, exemplar) in batch.exemplars.iter().enumerate() {
            if self.knows(exemplar.series) {
                exemplars.push(exemplar.series.0, exemplar.t, exemplar.v, &exemplar.labels);
                outcome.appended_exemplars += 1;
            } else {
                outcome.rejected_exemplars.push(unknown(i));
            }
        }
        let mut metadata = Vec::new();
        for about in batch.metadata.iter().filter(|about| self.knows(about.series)) {
            record::push_metadata(&mut metadata, about.series.0, &about.metadata);
        }
        let log = self.log()?;
        let mut packed = Packed::default();
        let records = [&samples.buf[..], &exemplars.buf, &metadata];
        for record in records.into_iter().chain(histograms.records()) {
            packed.add(self.compression, record)?;
        }
        log.commit(&packed)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.log.get().map_or(Ok(()), |(_, log)| log.sync())
    }

    /// Leaves all on the disk for the next process.
    pub(super) fn close(&self) -> io::Result<()> {
        self.log.get().map_or(Ok(()), |(_, log)| log.close())
    }
}

impl Head {
    /// [`resolve`](storage::Append::resolve) while the log is replayed; `None` once it was.
    pub(super) fn resolve_young(
        &self,
        affinity: Affinity,
        labels: &Labels,
        bound: Bound,
    ) -> Option<Result<Resolved, AppendError>> {
        let young = self.young.read();
        let young = young.as_ref()?;
        if let Err(refused) = self.check_limits(labels, bound, Check::PerhapsKnown) {
            return Some(Err(refused));
        }
        let most = match (self.options.max_series, bound) {
            (max @ 1.., Bound::Limits) => max,
            _ => usize::MAX,
        };
        let resolved = young.resolve(self.shard_for(affinity) as u64, labels, most);
        Some(
            resolved
                .map_err(AppendError::Log)
                .and_then(|resolved| resolved.ok_or_else(|| self.refuse(Refusal::MaxSeries))),
        )
    }

    /// [`append`](storage::Append::append) while the log is replayed; `None` once it was. Nothing can be compared with
    /// what the series have: what they refuse is left out when the replay comes to it.
    pub(super) fn append_young(
        &self,
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> Option<Result<(), AppendError>> {
        let young = self.young.read();
        let young = young.as_ref()?;
        if self.is_closed() {
            return Some(Err(AppendError::Closed));
        }
        Some(young.append(batch, outcome).map_err(|error| {
            self.metrics.wal.writes_failed.inc();
            outcome.clear();
            AppendError::Log(error)
        }))
    }
}

/// The young logs that earlier processes left.
pub(super) fn left_over(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(segments::list(&data_dir.join(DIR))?.into_iter().map(|(_, path)| path).collect())
}

/// Deletes all young logs: what was in them is in the log.
pub(super) fn delete(data_dir: &Path) -> io::Result<()> {
    match disk::remove_dir_all(&data_dir.join(DIR)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The head's own references of the series that had temporary ones, by number.
///
/// Whoever holds a temporary reference looks its labels up again, but no longer has them if the series has ended
/// meanwhile: then it can still say so.
pub(super) struct Joined {
    pub(super) series: Vec<u64>,
    pub(super) since: Instant,
}

/// How long temporary references may still be ended.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);

impl Joined {
    fn own(&self, reference: SeriesRef) -> Option<SeriesRef> {
        if reference.0 & TEMPORARY == 0 {
            return None;
        }
        let own = self.series.get(number(reference.0) as usize).copied().filter(|&own| own != NONE)?;
        Some(SeriesRef(own))
    }
}

impl Head {
    /// What of the batch can be taken, where some of it has temporary references; `None` where none has.
    ///
    /// Staleness markers get the head's own references. Everything else is of unknown series, even what is not: of a
    /// series that the batch has under both its references the first sample must win, so all have to come again.
    pub(super) fn with_own_markers(&self, batch: &Batch) -> Option<Batch> {
        let joined = self.joined.read();
        let joined = joined.as_ref()?;
        batch.samples.iter().find_map(|sample| joined.own(sample.series))?;
        let mut batch = batch.clone();
        for sample in &mut batch.samples {
            sample.series = match joined.own(sample.series) {
                Some(own) if model::is_stale(sample.v) => own,
                None if model::is_stale(sample.v) => sample.series,
                _ => SeriesRef(TEMPORARY),
            };
        }
        Some(batch)
    }

    /// To be called now and then.
    pub(super) fn forget_temporary_references(&self) {
        let mut joined = self.joined.write();
        if joined.as_ref().is_some_and(|joined| joined.since.elapsed() >= REMEMBERED) {
            *joined = None;
        }
    }
}

/// Appends what is in young logs.
pub(super) struct Reader<'h> {
    head: &'h Head,
    /// What is to be read next of this process' young log.
    at: Option<Position>,
    /// The head's own reference by number.
    pub(super) series: Vec<u64>,
    batch: Batch,
    outcome: Outcome,
    pub(super) samples: usize,
}

impl<'h> Reader<'h> {
    pub(super) fn new(head: &'h Head) -> Self {
        Reader {
            head,
            at: None,
            series: Vec::new(),
            batch: Batch::default(),
            outcome: Outcome::default(),
            samples: 0,
        }
    }

    /// Reads what was written since the last time, and says how many bytes that were.
    pub(super) fn catch_up(&mut self, young: &Young) -> io::Result<u64> {
        let Some((first, log)) = young.log.get() else { return Ok(0) };
        // Also series that have no samples yet; they can do without, where the disk is full.
        log.commit(&Packed::default()).or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })?;
        let to = log.position();
        if self.at.is_none() {
            // Those are numbers of earlier processes.
            self.series.clear();
        }
        let from = *self.at.get_or_insert(Position { segment: *first, offset: 0 });
        let mut bytes = 0;
        for segment in from.segment..=to.segment {
            let path = segments::path(&young.dir, segment);
            let mut file = File::open(&path)?;
            let begin = if segment == from.segment { from.offset } else { 0 };
            let page = begin - begin % PAGE as u64;
            file.seek(SeekFrom::Start(page))?;
            let end = if segment == to.segment { to.offset } else { u64::MAX };
            let source = BufReader::with_capacity(1 << 20, file).take(end.saturating_sub(page));
            let read = self.read(Segment::starting_at(source, begin), &path)?;
            bytes += read.good_end.saturating_sub(begin);
        }
        self.at = Some(to);
        Ok(bytes)
    }

    /// Reads a file that an earlier process left.
    pub(super) fn read_file(&mut self, path: &Path) -> io::Result<()> {
        let ReadSegment { damage, good_end } =
            self.read(Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?)), path)?;
        if damage.iter().any(|d| d.offset < good_end) {
            // It is about to be deleted: for whoever wants to look into it, it is set aside first.
            repair::repair(path, true, &damage, good_end)?;
        }
        Ok(())
    }

    /// Returns the end of what was read, and what could not be read.
    fn read<R: Read>(&mut self, segment: Segment<R>, path: &Path) -> io::Result<ReadSegment> {
        let head = self.head;
        let read = each_record(segment, &head.closed, |record, _| {
            let taken = self.take_in(record);
            self.append()?;
            Ok(taken)
        })?;
        if !read.damage.is_empty() {
            self.head.metrics.wal_corruptions.inc();
            tracing::error!(
                file = %path.display(), damage = %repair::describe(&read.damage),
                "what came while the log was replayed is damaged; all records that can be read are kept"
            );
        }
        Ok(read)
    }

    fn series(&self, reference: u64) -> SeriesRef {
        // Of what is not known, the head says so.
        SeriesRef(self.series.get(number(reference) as usize).copied().unwrap_or(reference))
    }

    fn take_in(&mut self, record: &[u8]) -> Result<(), record::BadRecord> {
        let mut batch = std::mem::take(&mut self.batch);
        let result = match record.first() {
            Some(&record::SERIES) => {
                record::read_series(record, |reference, labels| self.name(reference, &labels))
            }
            Some(&(record::SAMPLES | record::SAMPLES_V2)) => {
                let with_start_times = record[0] == record::SAMPLES_V2;
                record::read_samples(record, |reference, start_time, t, v| {
                    batch.samples.push(BatchSample { series: self.series(reference), t, v });
                    if with_start_times {
                        batch.start_times.push(start_time);
                    }
                })
            }
            Some(&record::EXEMPLARS) => record::read_exemplars(record, |reference, t, v, labels| {
                batch.exemplars.push(BatchExemplar {
                    series: self.series(reference),
                    labels,
                    t,
                    timed: false,
                    v,
                });
            }),
            Some(&record::METADATA) => record::read_metadata(record, |reference, metadata| {
                batch.metadata.push(BatchMetadata { series: self.series(reference), metadata });
            }),
            _ => record::read_histograms(record, |entry| {
                batch.histograms.push(BatchHistogram {
                    series: self.series(entry.reference),
                    t: entry.t,
                    start_time: entry.start_time,
                    value: entry.value,
                });
            }),
        };
        self.batch = batch;
        result
    }

    /// Every process counts anew, and names a series before it writes of it: what the log said of a number before is
    /// forgotten.
    fn name(&mut self, reference: u64, labels: &Labels) {
        let at = number(reference) as usize;
        // A series that the limits refuse now was accepted when it came.
        let shard = spread(reference) & (self.head.shards.len() - 1);
        let own =
            self.head.resolve_in(shard, labels, Bound::LabelsOnly).map_or(NONE, |resolved| resolved.series.0);
        if at >= self.series.len() {
            // A damaged record does not name what it likes: numbers count up.
            let most = self.series.len() + (1 << 20);
            self.series.resize((at + 1).min(most), NONE);
        }
        if let Some(series) = self.series.get_mut(at) {
            *series = own;
        }
    }

    fn append(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Reader { head, batch, outcome, .. } = self;
        let result = wait_for_room(&head.closed, || match head.append_live(batch, outcome) {
            Ok(()) => Ok(()),
            Err(AppendError::Log(error)) => Err(error),
            Err(other) => Err(io::Error::other(other)),
        });
        self.samples += self.outcome.appended + self.outcome.appended_histograms;
        self.batch.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_what_was_named_last() {
        let dir = tempfile::tempdir().unwrap();
        let registry = exposition::Registry::new();
        let head = Head::open_replaying(dir.path(), super::super::HeadOptions::default(), &registry).unwrap();
        let mut reader = Reader::new(&head);
        let reference = TEMPORARY | 4;
        reader.name(reference, &named(1));
        let first = reader.series(reference);
        assert_eq!(head.labels_of(first), Some(named(1)));
        // As a process that ran with other limits may have left it.
        let many: Vec<(String, String)> = (0..300).map(|i| (format!("l{i:03}"), "v".into())).collect();
        reader.name(reference, &Labels::from_pairs(many.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
        assert_eq!(reader.series(reference), SeriesRef(NONE));
        reader.name(reference, &named(1));
        assert_eq!(reader.series(reference), first);
        // This process' numbers begin anew.
        let young = Young::new(dir.path(), 1 << 20, Compression::Snappy);
        young.resolve(0, &named(2), usize::MAX).unwrap();
        reader.catch_up(&young).unwrap();
        assert_eq!(reader.series.len(), 1);
        assert_eq!(head.labels_of(reader.series(TEMPORARY)), Some(named(2)));
    }

    fn named(i: usize) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
    }

    #[test]
    fn labels_keep_their_number_and_no_two_share_one() {
        let dir = tempfile::tempdir().unwrap();
        let young = Young::new(dir.path(), 1 << 20, Compression::Snappy);
        let resolve = |i| young.resolve(3, &named(i), usize::MAX).unwrap().unwrap();
        let first: Vec<Resolved> = (0..10_000).map(resolve).collect();
        assert!(first.iter().all(|r| r.created));
        assert!(first.windows(2).all(|w| w[0].series < w[1].series));
        for (i, before) in first.iter().enumerate() {
            let again = resolve(i);
            assert_eq!((again.series, again.created), (before.series, false));
            assert!(young.knows(again.series));
            assert_eq!(spread(again.series.0), 3);
        }
        assert!(!young.knows(SeriesRef(first[9_999].series.0 + 1)));
        assert!(!young.knows(SeriesRef(7)));
    }

    #[test]
    fn no_more_series_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let young = Young::new(dir.path(), 1 << 20, Compression::Snappy);
        assert!(young.resolve(0, &named(0), 1).unwrap().is_some());
        assert!(young.resolve(0, &named(1), 1).unwrap().is_none());
        assert!(young.resolve(0, &named(0), 1).unwrap().is_some());
    }
}
