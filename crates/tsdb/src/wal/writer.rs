//! Writing the log.

use disk::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use model::Labels;
use parking_lot::Mutex;

use super::frame::{self, Compression, PAGE};
use super::{LogMetrics, record, segments};
use crate::full_disk::is_full;

/// More records of series than this do not wait for a commit.
const SERIES_RECORDS: usize = 4;

/// Series records are cut at about this many bytes.
const SERIES_RECORD: usize = 256 * 1024;

/// Records that are ready to be written, in order. Reused: the buffers stay.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    records: Vec<(Vec<u8>, Compression)>,
    used: usize,
}

impl Packed {
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Compresses a record and adds it; an empty one is nothing. Returns how many bytes that saved.
    pub(crate) fn add(&mut self, compression: Compression, record: &[u8]) -> io::Result<usize> {
        if record.is_empty() {
            return Ok(0);
        }
        if self.used == self.records.len() {
            self.records.push((Vec::new(), Compression::None));
        }
        let (packed, how) = &mut self.records[self.used];
        *how = compression.pack(record, packed)?;
        if *how == Compression::None {
            packed.clear();
            packed.extend_from_slice(record);
        }
        let saved = record.len() - packed.len();
        self.used += 1;
        Ok(saved)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Compression)> {
        self.records[..self.used].iter().map(|(packed, how)| (&packed[..], *how))
    }
}

/// The log that is being written.
///
/// Appenders pack their record before they come here; the lock is held for framing and one `write` only, which
/// hands the bytes to the kernel: they survive the death of the process. They are forced to the disk when a segment
/// ends, by [`sync`](Self::sync), and when the log is closed.
pub(crate) struct Wal {
    dir: PathBuf,
    compression: Compression,
    segment_size: u64,
    /// A checkpoint is written without.
    metrics: Option<LogMetrics>,
    /// Series that are not in the log yet, as series records. Locked after `writer`.
    pending: Mutex<Vec<Vec<u8>>>,
    writer: Mutex<Writer>,
    /// Segments that were ended and may not be on the disk yet. Locked after `writer`.
    ended: Arc<Ended>,
}

/// See [`Wal::ended`].
type Ended = Mutex<Vec<Arc<File>>>;

/// A place in the log: the end of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

struct Writer {
    /// `None` until it could be begun.
    file: Option<Arc<File>>,
    segment: u32,
    /// Length of the segment. Behind a failed write the file may be longer until it is cut back.
    len: u64,
    /// The file could not be cut back after a failed write: nothing more may be written to it.
    broken: bool,
    out: Vec<u8>,
    packed: Vec<u8>,
}

impl Wal {
    /// Begins segment `segment`, which must not exist.
    pub(crate) fn create(
        dir: &Path,
        segment: u32,
        segment_size: u64,
        compression: Compression,
        metrics: Option<LogMetrics>,
    ) -> io::Result<Self> {
        let file = new_segment(dir, segment)?;
        Ok(Self::with(Some(file), dir, segment, segment_size, compression, metrics))
    }

    /// The same, but on a full disk the segment is begun when something is to be written.
    pub(crate) fn begin(
        dir: &Path,
        segment: u32,
        segment_size: u64,
        compression: Compression,
        metrics: Option<LogMetrics>,
    ) -> io::Result<Self> {
        let file = match new_segment(dir, segment) {
            Err(error) if is_full(&error) => {
                tracing::error!(err = %error, dir = %dir.display(), "The disk is full: samples are refused until there is room");
                None
            }
            file => Some(file?),
        };
        Ok(Self::with(file, dir, segment, segment_size, compression, metrics))
    }

    fn with(
        file: Option<File>,
        dir: &Path,
        segment: u32,
        segment_size: u64,
        compression: Compression,
        metrics: Option<LogMetrics>,
    ) -> Self {
        if let Some(m) = &metrics {
            m.segment_current.set(segment.into());
        }
        let writer = Writer {
            broken: file.is_none(),
            file: file.map(Arc::new),
            segment,
            len: 0,
            out: Vec::new(),
            packed: Vec::new(),
        };
        Wal {
            dir: dir.to_path_buf(),
            compression,
            segment_size: segment_size.max(PAGE as u64),
            metrics,
            pending: Mutex::default(),
            writer: Mutex::new(writer),
            ended: Arc::default(),
        }
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Notes a new series. It will be in the log before the next record that [`commit`](Self::commit) writes. Says
    /// whether so many are waiting that they should be written now.
    pub(crate) fn note_series(&self, reference: u64, labels: &Labels) -> bool {
        let mut pending = self.pending.lock();
        match pending.last_mut() {
            Some(last) if last.len() < SERIES_RECORD => record::push_series(last, reference, labels),
            _ => {
                let mut first = Vec::new();
                record::push_series(&mut first, reference, labels);
                pending.push(first);
            }
        }
        pending.len() > SERIES_RECORDS
    }

    /// Writes the series noted so far and then `records`: all of these or, if it fails, none.
    pub(crate) fn commit(&self, records: &Packed) -> io::Result<()> {
        let mut writer = self.writer.lock();
        let pending = std::mem::take(&mut *self.pending.lock());
        let result = self.write(&mut writer, &pending, records);
        if result.is_err() {
            if let Some(m) = &self.metrics {
                m.writes_failed.inc();
            }
            let mut again = self.pending.lock();
            let newer = std::mem::replace(&mut *again, pending);
            again.extend(newer);
        }
        result
    }

    fn write(&self, w: &mut Writer, series: &[Vec<u8>], records: &Packed) -> io::Result<()> {
        if series.is_empty() && records.is_empty() {
            return Ok(());
        }
        if w.broken {
            self.cut(w)?;
        }
        w.out.clear();
        let mut buffer = std::mem::take(&mut w.packed);
        let mut result = Ok(());
        for record in series {
            result = self.compression.pack(record, &mut buffer).and_then(|used| match used {
                Compression::None => self.add(w, record, used),
                _ => self.add(w, &buffer, used),
            });
            if result.is_err() {
                break;
            }
        }
        w.packed = buffer;
        w.packed.shrink_to(SERIES_RECORD * 2);
        result?;
        // They go to one segment and are handed over at once: what is in the log must not depend on a failure between.
        let begin = w.len + w.out.len() as u64;
        let end = records.iter().fold(begin, |at, (packed, _)| at + frame::framed_len(at, packed.len()));
        if begin > 0 && end > self.segment_size {
            self.flush(w)?;
            self.cut(w)?;
        }
        for (packed, compression) in records.iter() {
            self.frame(w, packed, compression);
        }
        self.flush(w)?;
        w.out.shrink_to(SERIES_RECORD * 4);
        Ok(())
    }

    fn add(&self, w: &mut Writer, packed: &[u8], compression: Compression) -> io::Result<()> {
        let at = w.len + w.out.len() as u64;
        if at > 0 && at + frame::framed_len(at, packed.len()) > self.segment_size {
            self.flush(w)?;
            self.cut(w)?;
        }
        self.frame(w, packed, compression);
        Ok(())
    }

    fn frame(&self, w: &mut Writer, packed: &[u8], compression: Compression) {
        let at = w.len + w.out.len() as u64;
        let done = frame::frame(&mut w.out, at, packed, compression);
        if let Some(m) = &self.metrics {
            m.completed_pages.add(done.pages as f64);
            m.record_parts.add(done.parts as f64);
        }
    }

    /// Hands the collected bytes to the kernel: all of them or, as the log goes on, none.
    fn flush(&self, w: &mut Writer) -> io::Result<()> {
        let (false, Some(file)) = (w.out.is_empty(), &w.file) else { return Ok(()) };
        if let Err(error) = file.append_all(&w.out) {
            w.broken = file.set_len(w.len).is_err();
            w.out.clear();
            return Err(error);
        }
        if let Some(m) = &self.metrics {
            m.page_flushes.inc();
            m.bytes_written.add(w.out.len() as f64);
        }
        w.len += w.out.len() as u64;
        w.out.clear();
        Ok(())
    }

    /// Fills the page up with zeros, as the end of a segment has them.
    fn fill_page(w: &mut Writer) -> io::Result<()> {
        let padding = (PAGE as u64 - w.len % PAGE as u64) % PAGE as u64;
        let (false, Some(file)) = (w.broken || padding == 0, &w.file) else { return Ok(()) };
        if let Err(error) = file.append_all(&vec![0; padding as usize]) {
            w.broken = file.set_len(w.len).is_err();
            return Err(error);
        }
        w.len += padding;
        Ok(())
    }

    /// Ends the segment and begins the next one. If that fails, the segment goes on.
    fn cut(&self, w: &mut Writer) -> io::Result<()> {
        Self::fill_page(w)?;
        let number = w.segment + u32::from(w.file.is_some());
        let next = new_segment(&self.dir, number)?;
        let ended = w.file.replace(Arc::new(next));
        w.segment = number;
        w.len = 0;
        w.broken = false;
        if let Some(m) = &self.metrics {
            m.segment_current.set(w.segment.into());
        }
        // A segment takes long to reach the disk; appending does not wait for it.
        if let Some(ended) = ended {
            let (metrics, waiting) = (self.metrics.clone(), Arc::clone(&self.ended));
            waiting.lock().push(Arc::clone(&ended));
            std::thread::spawn(move || sync_ended(&ended, &waiting, metrics.as_ref()));
        }
        Ok(())
    }

    /// Ends the segment, unless it is empty; returns the number of the one that was ended last.
    pub(crate) fn end_segment(&self) -> io::Result<u32> {
        let mut writer = self.writer.lock();
        if writer.len > 0 {
            self.cut(&mut writer)?;
        }
        Ok(writer.segment.saturating_sub(1))
    }

    /// Takes away the segments up to `upto`, but never the one being written, as `away` does it.
    pub(crate) fn truncate(&self, upto: u32, away: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        let current = self.position().segment;
        if let Some(m) = &self.metrics {
            m.truncations.inc();
        }
        let deleted = segments::list(&self.dir).and_then(|all| {
            let mut old = all.into_iter().filter(|(n, _)| *n <= upto && *n < current);
            old.try_for_each(|(_, path)| away(&path))
        });
        if let (Err(_), Some(m)) = (&deleted, &self.metrics) {
            m.truncations_failed.inc();
        }
        deleted
    }

    /// Its metrics, if it has any.
    pub(crate) fn metrics(&self) -> Option<&LogMetrics> {
        self.metrics.as_ref()
    }

    /// The end of what was written.
    pub(crate) fn position(&self) -> Position {
        let writer = self.writer.lock();
        Position { segment: writer.segment, offset: writer.len }
    }

    /// Forces what was written so far to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let (file, ended) = {
            let writer = self.writer.lock();
            (writer.file.clone(), self.ended.lock().clone())
        };
        ended.iter().try_for_each(|file| sync_ended(file, &self.ended, self.metrics.as_ref()))?;
        file.map_or(Ok(()), |file| sync(&file, self.metrics.as_ref()))
    }

    /// Writes the series still pending, fills up the page, and forces all to the disk.
    pub(crate) fn close(&self) -> io::Result<()> {
        let filled = self.commit(&Packed::default()).and_then(|()| Self::fill_page(&mut self.writer.lock()));
        self.sync()?;
        filled
    }
}

fn sync_ended(file: &Arc<File>, ended: &Ended, metrics: Option<&LogMetrics>) -> io::Result<()> {
    sync(file, metrics)?;
    ended.lock().retain(|other| !Arc::ptr_eq(other, file));
    Ok(())
}

fn sync(file: &File, metrics: Option<&LogMetrics>) -> io::Result<()> {
    let start = Instant::now();
    let result = file.sync_data();
    if let Some(m) = metrics {
        m.fsync.observe(start.elapsed().as_secs_f64());
    }
    if let Err(error) = &result {
        tracing::error!(%error, "the write-ahead log could not be forced to the disk");
    }
    result
}

fn new_segment(dir: &Path, segment: u32) -> io::Result<File> {
    // Appending: after a failed write and `set_len` the next bytes go to the new end.
    let path = segments::path(dir, segment);
    // One that an attempt before this left, which nobody could remove.
    if path.metadata().is_ok_and(|left| left.len() == 0) {
        disk::remove_file(&path)?;
    }
    let file = disk::File::create_new_for_append(&path)?;
    if let Err(error) = segments::sync_dir(dir) {
        // It would be in the way of the next attempt.
        let _ = disk::remove_file(&path);
        return Err(error);
    }
    Ok(file)
}
