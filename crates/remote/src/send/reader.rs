//! The thread of a destination that reads the logs and fills its shards.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::histogram::HistogramValue;
use tokio_util::task::TaskTracker;
use tsdb::{Followed, Log, LogPlace, LogRecord, log_checkpoints, log_segments, read_log_segment};

use super::batch::{Item, What};
use super::metrics::{
    CUSTOM_BUCKETS, DROPPED_SERIES, EXEMPLARS, HISTOGRAMS, QueueMetrics, SAMPLES, TOO_OLD, UNKNOWN_SERIES,
};
use super::others::Others;
use super::place::{Place, Places, Table, index};
use super::queue::Queue;
use super::series::{Known, Series, SeriesMap};
use super::shards::{Shard, table};
use crate::MessageType;

/// How long it waits when there is nothing new.
const IDLE: Duration = Duration::from_millis(100);
/// How long it waits for room in a shard before it looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often it is told how much is unsent, while nothing can be sent.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// How often series that ended are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// Where the logs are, and what was moved out of them.
#[derive(Debug, Clone)]
pub(super) struct LogDirs {
    pub(super) data: PathBuf,
    pub(super) retired: PathBuf,
    pub(super) others: Others,
}

/// A segment of which only what it says about series is left.
pub(super) const SERIES_ONLY: &str = "series";

impl LogDirs {
    pub(super) fn live(&self, log: Log) -> PathBuf {
        self.data.join(log.dir_name())
    }

    pub(super) fn retired(&self, log: Log) -> PathBuf {
        self.retired.join(log.dir_name())
    }

    /// Where a segment is, and whether it has samples to send.
    fn segment(&self, log: Log, number: u32) -> Option<(PathBuf, bool)> {
        let name = format!("{number:08}");
        let whole = [self.live(log).join(&name), self.retired(log).join(&name)];
        // It may be moved from the one to the other between the looks.
        let is_own = !self.others[index(log)].contains(&number);
        for path in whole.iter().chain(&whole) {
            if path.is_file() {
                return Some((path.clone(), is_own));
            }
        }
        let bare = self.retired(log).join(format!("{name}.{SERIES_ONLY}"));
        bare.is_file().then_some((bare, false))
    }

    /// Numbers of all segments that there are.
    fn segments(&self, log: Log) -> io::Result<Vec<u32>> {
        let mut numbers: Vec<u32> = Vec::new();
        for dir in [self.live(log), self.retired(log)] {
            numbers.extend(log_segments(&dir)?.into_iter().map(|(n, _)| n));
            numbers.extend(bare_segments(&dir)?.into_iter().map(|(n, _)| n));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// The newest checkpoint that stands for nothing from `segment` on.
    pub(super) fn checkpoint_before(&self, segment: u32) -> io::Result<Option<(u32, PathBuf)>> {
        let mut all = log_checkpoints(&self.live(Log::InOrder))?;
        all.extend(log_checkpoints(&self.retired(Log::InOrder))?);
        Ok(all.into_iter().filter(|(n, _)| *n < segment).max())
    }
}

/// Segments of which only what they say about series is left.
pub(super) fn bare_segments(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(number), Some(SERIES_ONLY)) = (number, path.extension().and_then(|e| e.to_str())) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) struct Reader {
    pub(super) queue: Arc<Queue>,
    pub(super) store: Arc<dyn Followed>,
    pub(super) dirs: LogDirs,
    pub(super) series: SeriesMap,
    /// Tells where to go on, by log.
    pub(super) places: Places,
    /// What processes before this one have done.
    pub(super) earlier: Vec<Table>,
    pub(super) shards: Vec<Arc<Shard>>,
    /// What one record has for each shard.
    pub(super) parts: Vec<VecDeque<Item>>,
    pub(super) tasks: TaskTracker,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) forgotten: Instant,
    pub(super) last_checkpoint: Option<u32>,
}

impl Reader {
    /// Reads until the queue is closed, or to the end of the logs once it is to finish.
    pub(super) fn run(mut self) {
        let name = self.queue.options.name.clone();
        while !self.is_over() {
            let outcome = self.load_series().and_then(|()| self.follow());
            let Err(err) = outcome else { break };
            tracing::error!(component = "remote", remote_name = name, %err, "error tailing WAL");
            if self.queue.finishing.is_cancelled() {
                break;
            }
            self.pause(Duration::from_secs(5));
        }
        self.shards.iter().for_each(|shard| shard.close());
    }

    fn is_over(&self) -> bool {
        self.queue.closing.is_cancelled()
    }

    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.queue.finishing.is_cancelled() && Instant::now() < until {
            std::thread::sleep(IDLE.min(pause));
        }
    }

    /// The series that what is to be sent refers to.
    fn load_series(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        let Place { segment, offset, .. } = self.places[index(Log::InOrder)];
        tracing::info!(component = "remote", queue = self.queue.options.name, "Replaying WAL");
        let from = self.load_checkpoint(segment)?.map_or(0, |number| number + 1);
        for number in self.dirs.segments(Log::InOrder)? {
            if number < from || number > segment || self.is_over() {
                continue;
            }
            let Some((path, _)) = self.dirs.segment(Log::InOrder, number) else { continue };
            self.read_series(&path, number, (number == segment).then_some(offset))?;
        }
        let duration = begun.elapsed();
        tracing::info!(
            component = "remote",
            queue = self.queue.options.name,
            ?duration,
            "Done replaying WAL"
        );
        Ok(())
    }

    /// The series of the newest checkpoint that stands for nothing from `segment` on. Answers which that is.
    fn load_checkpoint(&mut self, segment: u32) -> io::Result<Option<u32>> {
        let Some((number, dir)) = self.dirs.checkpoint_before(segment)? else { return Ok(None) };
        for (_, path) in log_segments(&dir)? {
            self.read_series(&path, number, None)?;
        }
        self.last_checkpoint = Some(number);
        Ok(Some(number))
    }

    fn read_series(&mut self, path: &Path, segment: u32, to: Option<u64>) -> io::Result<()> {
        let queue = Arc::clone(&self.queue);
        read_log_segment(path, 0, to, |record, _| {
            queue.metrics.record(record.name());
            self.note_series(record, segment);
            if queue.closing.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(())
    }

    fn note_series(&mut self, record: LogRecord<'_>, segment: u32) {
        let with_metadata = self.queue.options.message == MessageType::V2;
        let series = &mut self.series;
        let read = record.series(|reference, labels| series.add(reference, &labels, segment));
        let described = match with_metadata {
            true => record.metadata(|reference, metadata| series.describe(reference, metadata)),
            false => Ok(()),
        };
        if read.and(described).is_err() {
            self.queue.metrics.decode_failures.inc();
        }
    }

    fn follow(&mut self) -> io::Result<()> {
        while !self.is_over() {
            // What was appended before that was said is before the ends that are asked for now.
            let finishing = self.queue.finishing.is_cancelled();
            if !finishing {
                self.reshard();
            }
            // In this order: what is out of order is of series that the other log names before.
            let late_end = self.store.log_end(Log::OutOfOrder);
            let end = self.store.log_end(Log::InOrder);
            let mut news = self.advance(Log::InOrder, end)?;
            if !self.is_called_away() {
                news |= self.advance(Log::OutOfOrder, late_end)?;
            }
            if finishing {
                break;
            }
            if self.forgotten.elapsed() >= FORGET_EVERY {
                self.forgotten = Instant::now();
                self.forget_ended()?;
                note_unsent(&self.queue.metrics, &self.dirs, &self.places);
            }
            if !news {
                self.pause(IDLE);
            }
        }
        Ok(())
    }

    /// Whether there is something to look after before more is read: what is behind may take hours, and with the shards
    /// that were enough before for ever.
    fn is_called_away(&self) -> bool {
        !self.queue.finishing.is_cancelled()
            && (self.queue.wanted_shards.load(Ordering::Relaxed) != self.shards.len()
                || self.forgotten.elapsed() >= FORGET_EVERY)
    }

    /// Reads a log up to where it ends now, or until called away. Whether there was anything.
    fn advance(&mut self, log: Log, end: Option<LogPlace>) -> io::Result<bool> {
        let Some(end) = end else { return Ok(false) };
        let at = index(log);
        let mut news = false;
        if self.places[at].segment > end.segment {
            let place = self.places[at];
            tracing::warn!(
                component = "remote",
                remote_name = self.queue.options.name,
                ?log,
                segment = place.segment,
                "The log ends before what was sent of it: it was lost, and is sent from its end on"
            );
            self.set_place(log, Place::at(end));
        }
        while self.places[at].segment <= end.segment && !self.is_over() {
            let Place { segment, offset, .. } = self.places[at];
            let last = segment == end.segment;
            if last && offset >= end.offset {
                break;
            }
            if log == Log::InOrder {
                self.queue.metrics.segment.set(segment.into());
            }
            let found = self.dirs.segment(log, segment);
            let is_missing = found.is_none();
            let read = match found {
                Some((path, true)) => self.read_segment(log, &path, last.then_some(end.offset)),
                // It has no samples to send, also if it was being written when its end was asked for.
                Some((path, false)) => self.read_series(&path, segment, None).map(|()| end.offset),
                None => Ok(end.offset),
            };
            news = true;
            let reached = match read {
                // It was moved, or its samples were taken out, after it was looked for.
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                read => read?,
            };
            if self.is_over() || self.is_called_away() {
                // What was read is noted; the next segment begins when there is nothing more to read of this one.
                break;
            }
            let next = match last {
                true => Place { segment, offset: reached, entry: 0 },
                false => Place { segment: self.next_segment(log, segment)?, offset: 0, entry: 0 },
            };
            if log == Log::InOrder && (is_missing || next.segment > segment + 1) {
                // Another program has truncated the log: series that what is left of it does not name are in a checkpoint.
                self.load_checkpoint(next.segment)?;
            }
            self.set_place(log, next);
        }
        Ok(news)
    }

    fn next_segment(&self, log: Log, segment: u32) -> io::Result<u32> {
        let all = self.dirs.segments(log)?;
        Ok(all.into_iter().find(|number| *number > segment).unwrap_or(segment + 1))
    }

    fn set_place(&mut self, log: Log, place: Place) {
        self.places[index(log)] = place;
        let mut progress = self.queue.progress.lock();
        progress.read[index(log)] = place;
        if !self.earlier.is_empty() {
            // What it tells is needed until this process has sent that far.
            let (earlier, done) = (&mut self.earlier, table(&self.shards, self.places).least());
            earlier.retain(|table| table.most().iter().zip(&done).any(|(most, done)| most > done));
            progress.earlier.clone_from(earlier);
        }
    }

    fn read_segment(&mut self, log: Log, path: &Path, to: Option<u64>) -> io::Result<u64> {
        let queue = Arc::clone(&self.queue);
        let from = self.places[index(log)].offset;
        let segment = self.places[index(log)].segment;
        read_log_segment(path, from, to, |record, range| {
            queue.metrics.record(record.name());
            let place = Place { segment, offset: range.start, entry: 0 };
            self.take_in(log, record, place);
            if !self.put(log) || queue.closing.is_cancelled() {
                return ControlFlow::Break(());
            }
            self.set_place(log, Place { segment, offset: range.end, entry: 0 });
            if self.is_called_away() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    /// Sorts what a record has into parts for the shards.
    fn take_in(&mut self, log: Log, record: LogRecord<'_>, place: Place) {
        if log == Log::InOrder {
            self.note_series(record, place.segment);
        }
        let mut taking = Taking {
            queue: &self.queue,
            series: &self.series,
            earlier: &self.earlier,
            parts: &mut self.parts,
            log,
            place,
            entry: 0,
        };
        let options = &taking.queue.options;
        let (exemplars, histograms) = (options.exemplars, options.histograms);
        let mut read = record.samples(|reference, start_time, t, v| {
            taking.item(reference, t, SAMPLES, || What::Float { v, start_time });
        });
        if read.is_ok() && histograms {
            read = record.histograms(|reference, start_time, t, value| {
                taking.histogram(reference, start_time, t, value);
            });
        }
        if read.is_ok() && exemplars {
            read = record.exemplars(|reference, t, v, labels| {
                taking.item(reference, t, EXEMPLARS, || What::Exemplar(Box::new((labels, v))));
            });
        }
        if read.is_err() {
            self.queue.metrics.decode_failures.inc();
        }
    }

    /// Puts the parts into the shards, waiting for room. False when the queue is closed meanwhile.
    fn put(&mut self, log: Log) -> bool {
        let metrics = &self.queue.metrics;
        let mut noted = Instant::now();
        for (part, shard) in self.parts.iter_mut().zip(&self.shards) {
            while !part.is_empty() {
                let counts = part.iter().fold([0u32; 3], |mut counts, item| {
                    counts[item.kind()] += 1;
                    counts
                });
                let highest = part.iter().map(|item| item.t).max().unwrap_or(0);
                let before = part.len();
                if shard.put(part, index(log), PATIENCE) == before {
                    counts.iter().zip(&metrics.pending).for_each(|(n, gauge)| gauge.add((*n).into()));
                    QueueMetrics::raise(&metrics.highest, (highest / 1000) as f64);
                    break;
                }
                let left = part.iter().fold([0u32; 3], |mut counts, item| {
                    counts[item.kind()] += 1;
                    counts
                });
                for ((all, left), gauge) in counts.iter().zip(left).zip(&metrics.pending) {
                    gauge.add((all - left).into());
                }
                metrics.enqueue_retries.inc();
                if self.queue.closing.is_cancelled() {
                    return false;
                }
                // It may be away for long, and that is when people look.
                if noted.elapsed() >= NOTE_EVERY {
                    noted = Instant::now();
                    note_unsent(metrics, &self.dirs, &self.places);
                }
            }
        }
        true
    }

    /// Changes the number of shards, when all that waits is sent: so that samples of a series stay in order.
    fn reshard(&mut self) {
        let wanted = self.queue.wanted_shards.load(Ordering::Relaxed);
        if wanted == self.shards.len() && !self.shards.is_empty() {
            return;
        }
        while !self.shards.iter().all(|shard| shard.is_idle()) {
            self.shards.iter().for_each(|shard| shard.drain(PATIENCE));
            if self.is_over() {
                return;
            }
        }
        self.shards.iter().for_each(|shard| shard.close());
        self.begin_shards(wanted);
    }

    pub(super) fn begin_shards(&mut self, count: usize) {
        let queue = &self.queue.options.queue;
        let (capacity, batch) = (queue.capacity, queue.max_samples_per_send);
        // As in Prometheus, exemplars make room for a tenth more.
        let batch = batch + if self.queue.options.exemplars { batch / 10 } else { 0 };
        self.shards = (0..count).map(|_| Shard::new(capacity, batch.max(1))).collect();
        self.shards.iter().for_each(|shard| shard.begin_at(self.places));
        self.parts = (0..count).map(|_| VecDeque::new()).collect();
        self.queue.progress.lock().shards.clone_from(&self.shards);
        self.queue.metrics.shards.set(count as f64);
        for shard in &self.shards {
            let task = Arc::clone(&self.queue).run_shard(Arc::clone(shard));
            self.tasks.spawn_on(task, &self.runtime);
        }
    }

    /// Forgets series that a new checkpoint does not have any more.
    fn forget_ended(&mut self) -> io::Result<()> {
        let segment = self.places[index(Log::InOrder)].segment;
        let Some((number, dir)) = self.dirs.checkpoint_before(segment)? else { return Ok(()) };
        if self.last_checkpoint == Some(number) {
            return Ok(());
        }
        self.last_checkpoint = Some(number);
        let series = &mut self.series;
        for (_, path) in log_segments(&dir)? {
            read_log_segment(&path, 0, None, |record, _| {
                let _damaged = record.series(|reference, _| series.keep(reference, number));
                ControlFlow::Continue(())
            })?;
        }
        series.forget_before(number);
        Ok(())
    }
}

/// Tells how many bytes of the logs are still to be read.
fn note_unsent(metrics: &QueueMetrics, dirs: &LogDirs, places: &Places) {
    let mut unsent = 0;
    for log in Log::ALL {
        let place = places[index(log)];
        for number in dirs.segments(log).unwrap_or_default() {
            if number < place.segment {
                continue;
            }
            let segment = dirs.segment(log, number);
            let length = segment.and_then(|(path, whole)| path.metadata().ok().filter(|_| whole));
            let length = length.map_or(0, |meta| meta.len());
            unsent += length - if number == place.segment { place.offset.min(length) } else { 0 };
        }
    }
    metrics.unsent.set(unsent as f64);
}

/// One record on its way into the shards.
struct Taking<'a> {
    queue: &'a Queue,
    series: &'a SeriesMap,
    earlier: &'a [Table],
    parts: &'a mut [VecDeque<Item>],
    log: Log,
    place: Place,
    entry: u32,
}

impl Taking<'_> {
    fn item(&mut self, reference: u64, t: i64, kind: usize, what: impl FnOnce() -> What) {
        let place = Place { entry: self.entry, ..self.place };
        self.entry += 1;
        if self.earlier.iter().any(|table| table.has(self.log, reference, place)) {
            return;
        }
        let sent_before = self.sent_before(reference, place);
        if self.queue.is_too_old(t) {
            return self.queue.metrics.drop(kind, TOO_OLD);
        }
        let Some(series) = self.sent_series(reference, kind) else { return };
        let shard = reference % (self.parts.len() as u64).max(1);
        if let Some(part) = self.parts.get_mut(shard as usize) {
            part.push_back(Item {
                series,
                t,
                what: what(),
                place,
                out_of_order: self.log == Log::OutOfOrder,
                sent_before,
            });
        }
    }

    /// The request of a process before this one that had an entry, and was not answered.
    fn sent_before(&self, reference: u64, place: Place) -> Option<u32> {
        let request = |(at, table): (usize, &Table)| {
            let shard = table.tried(self.log, reference, place)?;
            u32::try_from(at << 16 | shard).ok()
        };
        self.earlier.iter().enumerate().find_map(request)
    }

    fn sent_series(&self, reference: u64, kind: usize) -> Option<Arc<Series>> {
        let reason = match self.series.get(reference) {
            Known::Sent(series) => return Some(series),
            Known::Dropped => DROPPED_SERIES,
            Known::Unknown => UNKNOWN_SERIES,
        };
        self.queue.dropped.add(1);
        self.queue.metrics.drop(kind, reason);
        None
    }

    fn histogram(&mut self, reference: u64, start_time: i64, t: i64, value: HistogramValue) {
        let schema = match &value {
            HistogramValue::Integer(h) => h.schema,
            HistogramValue::Float(h) => h.schema,
        };
        if self.queue.options.message == MessageType::V1 && schema == model::histogram::CUSTOM_BUCKETS {
            self.entry += 1;
            return self.queue.metrics.drop(HISTOGRAMS, CUSTOM_BUCKETS);
        }
        self.item(reference, t, HISTOGRAMS, || What::Histogram { value: Box::new(value), start_time });
    }
}
