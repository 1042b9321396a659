//! The logs for those who send them on: what was appended, in order, while more is appended.
//!
//! A follower reads up to [`Followed::log_end`], where a record ends. What the head needs no more of its logs goes to where
//! [`Followed::retire_logs_to`] says, for followers that are behind; they delete it there.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use model::Labels;
use model::histogram::HistogramValue;
use storage::Metadata;

use crate::head::Head;
use crate::wal::frame::{PAGE, Segment, frame};
use crate::wal::record::{self, BadRecord};
use crate::wal::segments;

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Log {
    /// Series, samples in order, and all else.
    InOrder,
    /// Samples out of order, of series that the other log has.
    OutOfOrder,
}

impl Log {
    /// Both.
    pub const ALL: [Log; 2] = [Log::InOrder, Log::OutOfOrder];

    /// The name of its directory.
    #[must_use]
    pub fn dir_name(self) -> &'static str {
        match self {
            Log::InOrder => "wal",
            Log::OutOfOrder => "wbl",
        }
    }
}

/// A place in a log: where a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct LogPlace {
    /// Number of the segment.
    pub segment: u32,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// A record of a log.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'a>(&'a [u8]);

/// Bytes of a log are not what they seem to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the log does not decode")]
pub struct BadLogRecord;

impl From<BadRecord> for BadLogRecord {
    fn from(_: BadRecord) -> Self {
        BadLogRecord
    }
}

impl LogRecord<'_> {
    fn kind(self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    /// What it holds, as Prometheus names it in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.kind() {
            record::SERIES => "series",
            record::SAMPLES => "samples",
            record::SAMPLES_V2 => "samples_v2",
            record::TOMBSTONES => "tombstones",
            record::EXEMPLARS => "exemplars",
            record::HISTOGRAMS => "histogram_samples",
            record::FLOAT_HISTOGRAMS => "float_histogram_samples",
            record::CUSTOM_HISTOGRAMS => "custom_buckets_histogram_samples",
            record::CUSTOM_FLOAT_HISTOGRAMS => "custom_buckets_float_histogram_samples",
            record::HISTOGRAMS_V2 => "histogram_samples_v2",
            record::FLOAT_HISTOGRAMS_V2 => "float_histogram_samples_v2",
            record::MMAP_MARKERS => "mmapmarkers",
            record::METADATA => "metadata",
            _ => "unknown",
        }
    }

    /// Reference and labels of each series, if that is what it holds.
    ///
    /// # Errors
    /// When it is damaged; what comes before the damage was delivered.
    pub fn series(self, each: impl FnMut(u64, Labels)) -> Result<(), BadLogRecord> {
        match self.kind() {
            record::SERIES => Ok(record::read_series(self.0, each)?),
            _ => Ok(()),
        }
    }

    /// Reference, start time (0: none), time and value of each float.
    ///
    /// # Errors
    /// As above.
    pub fn samples(self, each: impl FnMut(u64, i64, i64, f64)) -> Result<(), BadLogRecord> {
        match self.kind() {
            record::SAMPLES | record::SAMPLES_V2 => Ok(record::read_samples(self.0, each)?),
            _ => Ok(()),
        }
    }

    /// Reference, start time (0: none), time and value of each native histogram.
    ///
    /// # Errors
    /// As above.
    pub fn histograms(self, mut each: impl FnMut(u64, i64, i64, HistogramValue)) -> Result<(), BadLogRecord> {
        if !record::is_histograms(self.kind()) {
            return Ok(());
        }
        Ok(record::read_histograms(self.0, |h| each(h.reference, h.start_time, h.t, h.value))?)
    }

    /// Reference, time, value and labels of each exemplar.
    ///
    /// # Errors
    /// As above.
    pub fn exemplars(self, each: impl FnMut(u64, i64, f64, Labels)) -> Result<(), BadLogRecord> {
        match self.kind() {
            record::EXEMPLARS => Ok(record::read_exemplars(self.0, each)?),
            _ => Ok(()),
        }
    }

    /// What is said of each series.
    ///
    /// # Errors
    /// As above.
    pub fn metadata(self, each: impl FnMut(u64, Metadata)) -> Result<(), BadLogRecord> {
        match self.kind() {
            record::METADATA => Ok(record::read_metadata(self.0, each)?),
            _ => Ok(()),
        }
    }
}

/// Number and path of each segment in a directory, in order.
///
/// # Errors
/// When it cannot be read; one that is not there has none.
pub fn log_segments(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    segments::list(dir)
}

/// Number and path of each checkpoint in the directory of a log, in order. One stands for all segments up to its number.
///
/// # Errors
/// As above.
pub fn log_checkpoints(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    segments::checkpoints(dir)
}

/// Reads a segment from `from`, where a record begins or ends, up to `to` or its end, and calls `each` with every record and
/// where it begins and ends. Damage was reported when the log was replayed: it is passed over. Answers where it stopped.
///
/// # Errors
/// When the file cannot be read.
pub fn read_log_segment(
    path: &Path,
    from: u64,
    to: Option<u64>,
    mut each: impl FnMut(LogRecord<'_>, std::ops::Range<u64>) -> ControlFlow<()>,
) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let end = to.unwrap_or(u64::MAX).min(file.metadata()?.len());
    if from >= end {
        return Ok(from);
    }
    let page_start = from - from % PAGE as u64;
    file.seek(SeekFrom::Start(page_start))?;
    let source = BufReader::with_capacity(256 * 1024, file.take(end - page_start));
    let mut segment = Segment::starting_at(source, from);
    let mut unpacked = Vec::new();
    while let Some((packed, compression)) = segment.next_packed()? {
        if compression.unpack(packed, &mut unpacked).is_err() {
            continue;
        }
        if each(LogRecord(&unpacked), segment.record_start..segment.good_end).is_break() {
            return Ok(segment.good_end);
        }
    }
    Ok(end)
}

/// Writes to `to` what a segment says about series, without their samples: what later segments cannot do without.
/// Answers the length of the copy.
///
/// # Errors
/// When files cannot be read or written.
pub fn keep_series_only(from: &Path, to: &Path) -> io::Result<u64> {
    let mut out = Vec::new();
    let mut segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(from)?));
    let mut unpacked = Vec::new();
    while let Some((packed, compression)) = segment.next_packed()? {
        if compression.unpack(packed, &mut unpacked).is_ok()
            && matches!(unpacked.first(), Some(&(record::SERIES | record::METADATA)))
        {
            let at = out.len() as u64;
            frame(&mut out, at, packed, compression);
        }
    }
    let file = disk::File::create_new_for_append(to)?;
    file.append_all(&out)?;
    Ok(out.len() as u64)
}

/// A store whose logs can be followed while it appends to them.
pub trait Followed: Send + Sync {
    /// The end of what was appended so far; none where there is no such log.
    fn log_end(&self, log: Log) -> Option<LogPlace>;

    /// Segments and checkpoints that are needed no more are moved into this directory, below the name of their log, instead
    /// of being deleted. Whoever asks for that deletes them there.
    fn retire_logs_to(&self, dir: Option<PathBuf>);

    /// Floats, native histograms and exemplars that were appended since the start.
    fn appended(&self) -> [f64; 3];

    /// The time of the newest sample, in milliseconds since the Unix epoch.
    fn newest_time(&self) -> Option<i64>;
}

impl Followed for Head {
    fn log_end(&self, log: Log) -> Option<LogPlace> {
        let end = match log {
            Log::InOrder => Some(self.wal().position()),
            Log::OutOfOrder => self.late_log().map(crate::wal::Wal::position),
        }?;
        Some(LogPlace { segment: end.segment, offset: end.offset })
    }

    fn retire_logs_to(&self, dir: Option<PathBuf>) {
        *self.retired_to().lock() = dir;
    }

    fn appended(&self) -> [f64; 3] {
        Head::appended(self)
    }

    fn newest_time(&self) -> Option<i64> {
        self.time_range().map(|(_, max)| max)
    }
}

impl Head {
    /// Floats, native histograms and exemplars that were appended since the start.
    #[must_use]
    pub fn appended(&self) -> [f64; 3] {
        let metrics = self.metrics();
        let [floats, histograms] = metrics.samples_appended.counts();
        [floats, histograms, metrics.exemplars_appended.get()]
    }
}

/// Takes a file or directory out of a log: away, or into `retired`.
pub(crate) fn retire(path: &Path, retired: Option<&Path>, log: Log) -> io::Result<()> {
    let remove = |path: &Path| match path.is_dir() {
        true => disk::remove_dir_all(path),
        false => disk::remove_file(path),
    };
    let (Some(retired), Some(name)) = (retired, path.file_name()) else { return remove(path) };
    let dir = retired.join(log.dir_name());
    disk::create_dir_all(&dir)?;
    let to = dir.join(name);
    if to.exists() {
        // Of an attempt before this, or of a log that was lost since.
        remove(&to)?;
    }
    disk::rename(path, &to)?;
    segments::sync_dir(&dir)
}
