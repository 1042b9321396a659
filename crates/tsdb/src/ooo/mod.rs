//! Samples that come out of order: older than the newest of their series, or than what is taken in order at all, but
//! within the window that is configured.
//!
//! They are kept apart from the others: a few of each series in a buffer ([`buffer`]), full buffers as chunks in
//! `chunks_head` ([`encode`]), and all of them in a log of their own, `wbl/`, until they are in blocks. README.md draws
//! it. A batch goes through [`window`] and [`stage`]; readers through [`merge`]; [`replay`] and [`cut`] are the way
//! from and to the disk.

mod buffer;
pub(crate) mod cut;
mod encode;
mod merge;
mod metrics;
pub(crate) mod read;
pub(crate) mod replay;
pub(crate) mod stage;
mod table;
mod window;

pub(crate) use buffer::{Late, Value};
pub(crate) use encode::Encodings;
pub(crate) use table::{Place, Series, Table};
pub(crate) use window::Limits;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use exposition::Registry;
use parking_lot::Mutex;

use crate::millis::millis;
use crate::wal::{Compression, LogMetrics, Wal, repair, segments};
use metrics::Metrics;

/// No sample yet.
const NO_MIN: i64 = i64::MAX;
const NO_MAX: i64 = i64::MIN;

/// How samples out of order are taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// How much older than the newest sample of the head they may be; zero takes none.
    pub(crate) window: Duration,
    /// Samples of a buffer.
    pub(crate) cap: usize,
}

/// Prometheus takes no more in a buffer.
const MOST_CAP: usize = 255;

/// What the head keeps of this besides the tables of its shards.
pub(crate) struct OutOfOrder {
    dir: PathBuf,
    segment_size: u64,
    compression: Compression,
    registry: Registry,
    metrics: Metrics,
    window: AtomicI64,
    cap: usize,
    /// With the number of its first segment.
    log: OnceLock<(u32, Wal)>,
    making: Mutex<()>,
    /// Whether `chunks_head` may have chunks that are in blocks.
    left_in_files: AtomicBool,
    min_time: AtomicI64,
    max_time: AtomicI64,
}

impl OutOfOrder {
    /// Nothing on the disk is touched.
    pub(crate) fn new(
        data_dir: &Path,
        options: Options,
        segment_size: u64,
        compression: Compression,
        registry: &Registry,
    ) -> Self {
        OutOfOrder {
            dir: data_dir.join("wbl"),
            segment_size,
            compression,
            registry: registry.clone(),
            metrics: Metrics::register(registry),
            window: AtomicI64::new(millis(options.window)),
            cap: options.cap.clamp(1, MOST_CAP),
            log: OnceLock::new(),
            making: Mutex::new(()),
            left_in_files: AtomicBool::new(false),
            min_time: AtomicI64::new(NO_MIN),
            max_time: AtomicI64::new(NO_MAX),
        }
    }

    /// Where the log is.
    pub(crate) fn log_dir(&self) -> &Path {
        &self.dir
    }

    /// Begins a segment of the log, if samples are taken now or the log of earlier ones is there.
    pub(crate) fn open_log(&self) -> io::Result<()> {
        self.open_log_for(self.window())
    }

    fn open_log_for(&self, window: i64) -> io::Result<()> {
        let _one = self.making.lock();
        if self.log.get().is_some() {
            return Ok(());
        }
        if self.dir.is_dir() {
            // A segment that was being repaired has no name that counts.
            repair::finish(&self.dir)?;
        }
        if window == 0 && segments::list(&self.dir)?.is_empty() {
            return Ok(());
        }
        disk::create_dir_all(&self.dir)?;
        let segment = segments::next(&self.dir)?;
        let metrics = LogMetrics::register(
            &self.registry,
            "prometheus_tsdb_out_of_order_wbl_",
            &self.dir,
            self.compression.name(),
        );
        let log = Wal::begin(&self.dir, segment, self.segment_size, self.compression, Some(metrics))?;
        self.log.get_or_init(|| (segment, log));
        Ok(())
    }

    /// The log, once there is one.
    pub(crate) fn log(&self) -> Option<&Wal> {
        self.log.get().map(|(_, log)| log)
    }

    /// The segments that processes before this one left, in order.
    fn left_segments(&self) -> io::Result<Vec<PathBuf>> {
        let own = self.log.get().map_or(u32::MAX, |(first, _)| *first);
        Ok(segments::list(&self.dir)?.into_iter().filter(|(n, _)| *n < own).map(|(_, path)| path).collect())
    }

    /// Numbers of segments that are missing among them, and between them and the log.
    fn gaps(&self) -> io::Result<Vec<Range<u32>>> {
        let present: Vec<u32> = segments::list(&self.dir)?.into_iter().map(|(n, _)| n).collect();
        Ok(match (present.first(), present.last()) {
            (Some(&first), Some(&last)) => segments::gaps(present, first, last),
            _ => Vec::new(),
        })
    }

    /// In milliseconds; 0: none.
    pub(crate) fn window(&self) -> i64 {
        self.window.load(Ordering::Relaxed)
    }

    /// Takes effect with the next batch.
    pub(crate) fn set_window(&self, window: Duration) -> io::Result<()> {
        let window = millis(window);
        self.open_log_for(window)?;
        self.window.store(window, Ordering::Relaxed);
        Ok(())
    }

    /// Times of the oldest and newest sample, in milliseconds.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        let (min, max) = (self.min_time.load(Ordering::Relaxed), self.max_time.load(Ordering::Relaxed));
        (min <= max).then_some((min, max))
    }

    /// Widens the time range.
    pub(crate) fn note_times(&self, (min, max): (i64, i64)) {
        self.min_time.fetch_min(min, Ordering::Relaxed);
        self.max_time.fetch_max(max, Ordering::Relaxed);
    }

    /// Chunks that were cut may still be in `chunks_head`.
    pub(crate) fn note_left_in_files(&self) {
        self.left_in_files.store(true, Ordering::Relaxed);
    }

    /// Whether they may; it is the caller's business from now on.
    pub(crate) fn take_left_in_files(&self) -> bool {
        self.left_in_files.swap(false, Ordering::Relaxed)
    }

    /// Forces the log to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.log().map_or(Ok(()), Wal::sync)
    }

    /// Ends the log.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.log().map_or(Ok(()), Wal::close)
    }
}
