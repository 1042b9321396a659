//! Flags of the storage: Prometheus' names, defaults and meanings.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{ArgAction, Args, ValueEnum};
use model::{duration, size};

use crate::features::Features;
use crate::server_flags::parse_duration;

/// What is kept when no flag says anything.
const DEFAULT_RETENTION: Duration = Duration::from_secs(15 * 24 * 3600);
/// Times beyond cannot be counted.
const LONGEST_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// No compaction makes a block longer than this, however long samples are kept.
const LONGEST_BLOCK: Duration = Duration::from_secs(31 * 24 * 3600);
/// Blocks are not looked for more often.
const SHORTEST_RELOAD_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_DELAY_PERCENT: i64 = 10;
const MIB: u64 = 1 << 20;

/// Flags of the storage.
#[derive(Debug, Args)]
pub(crate) struct StorageFlags {
    /// Directory of the data
    #[arg(long = "storage.tsdb.path", value_name = "DIR", default_value = "data/")]
    path: PathBuf,

    /// How long samples are kept; default: 15d, unless a size is given. The file's storage.tsdb.retention goes before it
    #[arg(long = "storage.tsdb.retention.time", value_name = "DURATION", value_parser = parse_duration)]
    retention_time: Option<Duration>,

    /// How many bytes blocks and log may take together, like 512MB; the oldest blocks go first
    #[arg(long = "storage.tsdb.retention.size", value_name = "SIZE", value_parser = parse_size)]
    retention_size: Option<u64>,

    /// Open the data directory without a lock file
    #[arg(long = "storage.tsdb.no-lockfile", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    no_lockfile: bool,

    /// Taken and without effect: full chunks of the head are always written at once
    #[arg(
        long = "storage.tsdb.head-chunks-write-queue-size",
        value_name = "N",
        default_value_t = 0,
        hide = true
    )]
    write_queue_size: usize,

    /// A JSON file that lists uploaded blocks, as Thanos' sidecar writes it: other blocks are not compacted yet
    #[arg(
        long = "storage.tsdb.delay-compact-file.path",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    delay_compact_file: String,

    /// Series beyond this are refused, while scraping the known ones goes on; 0: no limit
    #[arg(long = "storage.tsdb.max-series", value_name = "N", default_value_t = 0)]
    max_series: usize,

    /// Series created in a minute beyond this are refused; 0: no limit
    #[arg(long = "storage.tsdb.max-series-per-minute", value_name = "N", default_value_t = 0)]
    max_series_per_minute: u32,

    /// Length of the blocks that are cut from memory
    #[arg(long = "storage.tsdb.min-block-duration", value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    min_block_duration: Duration,

    /// Length of the longest blocks that compaction makes; default: a tenth of the retention, at most 31d
    #[arg(long = "storage.tsdb.max-block-duration", value_name = "DURATION", value_parser = parse_duration)]
    max_block_duration: Option<Duration>,

    /// Length of a file of chunks in a block; default: 512MB
    #[arg(long = "storage.tsdb.max-block-chunk-segment-size", value_name = "SIZE", value_parser = parse_size)]
    block_segment_size: Option<u64>,

    /// Length of a segment of the log; default: 128MB
    #[arg(long = "storage.tsdb.wal-segment-size", value_name = "SIZE", value_parser = parse_size)]
    wal_segment_size: Option<u64>,

    /// Compress the log
    #[arg(long = "storage.tsdb.wal-compression", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    wal_compression: bool,

    /// How the log is compressed
    #[arg(long = "storage.tsdb.wal-compression-type", value_name = "TYPE", value_enum, default_value_t = WalCompression::Snappy)]
    wal_compression_type: WalCompression,

    /// Samples of a chunk that are aimed at
    #[arg(long = "storage.tsdb.samples-per-chunk", value_name = "N", default_value_t = 120)]
    samples_per_chunk: i64,

    /// Make one block of those that overlap in time
    #[arg(long = "storage.tsdb.allow-overlapping-compaction", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    allow_overlapping_compaction: bool,

    /// How often blocks that came or went are looked for
    #[arg(long = "storage.tsdb.block-reload-interval", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    block_reload_interval: Duration,

    /// With --enable-feature=delayed-compaction: the share of a block's length by which cutting is delayed at most
    #[arg(
        long = "storage.tsdb.delayed-compaction.max-percent",
        value_name = "PERCENT",
        default_value_t = DEFAULT_DELAY_PERCENT
    )]
    delayed_compaction_max_percent: i64,
}

/// The flag's values.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WalCompression {
    Snappy,
    Zstd,
}

impl WalCompression {
    /// What holds when compression is on or off.
    pub(crate) fn resolve(self, on: bool) -> tsdb::Compression {
        match (on, self) {
            (false, _) => tsdb::Compression::None,
            (true, WalCompression::Snappy) => tsdb::Compression::Snappy,
            (true, WalCompression::Zstd) => tsdb::Compression::Zstd,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.resolve(true).name()
    }
}

/// What the flags say, checked.
#[derive(Debug, Clone)]
pub(crate) struct StorageOptions {
    pub(crate) path: PathBuf,
    pub(crate) db: tsdb::DbOptions,
    /// The longest blocks, where the flag says so; otherwise the retention does.
    pub(crate) max_block: Option<Duration>,
    /// Whether chunks of floats are XOR2 where the file does not say.
    pub(crate) xor2: bool,
}

impl StorageFlags {
    pub(crate) fn resolve(&self, features: Features) -> anyhow::Result<StorageOptions> {
        if self.block_segment_size().is_some_and(|size| size < MIB) {
            bail!("flag 'storage.tsdb.max-block-chunk-segment-size' must be set over 1MB");
        }
        if self.wal_segment_size().is_some_and(|size| !(10 * MIB..=256 * MIB).contains(&size)) {
            bail!("flag 'storage.tsdb.wal-segment-size' must be set between 10MB and 256MB");
        }
        if self.block_reload_interval < SHORTEST_RELOAD_INTERVAL {
            tracing::warn!(
                "The option --storage.tsdb.block-reload-interval is set to a value less than 1s. Setting it to 1s to avoid overload."
            );
        }
        if self.delay_percent(features) != self.delayed_compaction_max_percent {
            tracing::warn!(
                default = DEFAULT_DELAY_PERCENT,
                "The --storage.tsdb.delayed-compaction.max-percent should have a value between 1 and 100. Using default"
            );
        }
        if self.min_block_duration.is_zero() {
            bail!("--storage.tsdb.min-block-duration must be more than 0");
        }
        if features.start_times && !features.xor2 {
            bail!(
                "float chunk encoding \"xor\" is incompatible with start-timestamp storage; XOR chunks do not store start \
                 timestamps, use \"xor2\": --enable-feature=st-storage needs --enable-feature=xor2-encoding"
            );
        }
        let defaults = tsdb::DbOptions::default();
        let head = tsdb::HeadOptions {
            wal_compression: self.wal_compression_type.resolve(self.wal_compression),
            wal_segment_size: self.wal_segment_size().unwrap_or(defaults.head.wal_segment_size),
            chunk_range: self.min_block_duration,
            samples_per_chunk: u16::try_from(self.samples_per_chunk.max(0)).unwrap_or(u16::MAX),
            max_series: self.max_series,
            max_series_per_minute: self.max_series_per_minute,
            lock_file: !self.no_lockfile,
            snapshot_on_shutdown: features.snapshot_on_shutdown,
            exemplars: features.exemplar_storage,
            metadata_wal_records: features.metadata_wal_records,
            start_times: features.start_times,
            histogram_start_times: features.histogram_start_times,
            ..defaults.head
        };
        let (time, bytes) = self.retention();
        let db = tsdb::DbOptions {
            head,
            block_segment_size: self.block_segment_size().unwrap_or(defaults.block_segment_size),
            compact_overlapping: self.allow_overlapping_compaction,
            reload_interval: self.reload_interval(),
            retention: tsdb::Retention { time, bytes, ..tsdb::Retention::default() },
            cut_delay_percent: match features.delayed_compaction {
                true => u32::try_from(self.delay_percent(features)).unwrap_or_default(),
                false => 0,
            },
            upload_list: (!self.delay_compact_file.is_empty())
                .then(|| self.delay_compact_file.clone().into()),
            ..defaults
        };
        let max_block = self.max_block_duration.filter(|longest| !longest.is_zero());
        Ok(StorageOptions { path: self.path.clone(), db, max_block, xor2: features.xor2 })
    }

    /// 0 stands for the default.
    fn block_segment_size(&self) -> Option<u64> {
        self.block_segment_size.filter(|&size| size > 0)
    }

    /// 0 stands for the default.
    fn wal_segment_size(&self) -> Option<u64> {
        self.wal_segment_size.filter(|&size| size > 0)
    }

    fn reload_interval(&self) -> Duration {
        self.block_reload_interval.max(SHORTEST_RELOAD_INTERVAL)
    }

    /// As Prometheus: the value counts, and is looked at, only where cuts are delayed.
    fn delay_percent(&self, features: Features) -> i64 {
        match self.delayed_compaction_max_percent {
            percent if features.delayed_compaction && !(1..=100).contains(&percent) => DEFAULT_DELAY_PERCENT,
            percent => percent,
        }
    }

    /// How long and how much is kept where the file does not say.
    fn retention(&self) -> (Duration, u64) {
        let bytes = self.retention_size.unwrap_or(0);
        let time = match self.retention_time.unwrap_or_default() {
            Duration::ZERO if bytes == 0 => DEFAULT_RETENTION,
            time if time > LONGEST_RETENTION => {
                tracing::warn!("Time retention value is too high. Limiting to 100y");
                LONGEST_RETENTION
            }
            time => time,
        };
        (time, bytes)
    }

    /// Every flag with its value, for `/api/v1/status/flags`.
    pub(crate) fn values(&self, features: Features) -> Vec<(String, String)> {
        let time = |d: Duration| duration::format(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let bytes = |n: Option<u64>| size::format(i64::try_from(n.unwrap_or(0)).unwrap_or(i64::MAX));
        let values = [
            ("allow-overlapping-compaction", self.allow_overlapping_compaction.to_string()),
            ("block-reload-interval", time(self.reload_interval())),
            ("delay-compact-file.path", self.delay_compact_file.clone()),
            ("delayed-compaction.max-percent", self.delay_percent(features).to_string()),
            ("head-chunks-write-queue-size", self.write_queue_size.to_string()),
            ("max-block-chunk-segment-size", bytes(self.block_segment_size)),
            ("max-block-duration", time(self.max_block_duration.unwrap_or_default())),
            ("max-series", self.max_series.to_string()),
            ("max-series-per-minute", self.max_series_per_minute.to_string()),
            ("min-block-duration", time(self.min_block_duration)),
            ("no-lockfile", self.no_lockfile.to_string()),
            ("path", self.path.display().to_string()),
            ("retention.size", bytes(self.retention_size)),
            ("retention.time", time(self.retention().0)),
            ("samples-per-chunk", self.samples_per_chunk.to_string()),
            ("wal-compression", self.wal_compression.to_string()),
            ("wal-compression-type", self.wal_compression_type.name().to_owned()),
            ("wal-segment-size", bytes(self.wal_segment_size)),
        ];
        values.map(|(name, value)| (format!("storage.tsdb.{name}"), value)).into()
    }
}

/// How long blocks may become for this retention; zero is for ever.
pub(crate) fn longest_block(retention: Duration) -> Duration {
    match retention / 10 {
        Duration::ZERO => LONGEST_BLOCK,
        tenth => tenth.min(LONGEST_BLOCK),
    }
}

pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text).map_err(|e| format!("{e} (write it like 512MB or 10GB)"))?;
    u64::try_from(bytes).map_err(|_| "must not be negative".to_owned())
}
