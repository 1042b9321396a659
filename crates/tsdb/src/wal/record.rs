//! The content of log records: Prometheus' types, a module per family. README.md draws the bytes.
//!
//! A record begins with its type. Encoders append to a buffer and begin the record when it is empty; readers take a
//! whole record and call back for every entry, so that nothing is collected that is not wanted.

mod bytes;
mod exemplars;
mod histograms;
mod metadata;
mod mmap_markers;
mod samples;
mod series;
mod snapshots;
mod tombstones;

pub(crate) use bytes::LabelsReader;
pub(crate) use exemplars::{ExemplarsEncoder, read_exemplars};
pub(crate) use histograms::{HistogramEntry, HistogramsEncoder, read_histograms};
pub(crate) use metadata::{push_metadata, read_metadata};
pub(crate) use mmap_markers::{push_mmap_marker, read_mmap_markers};
pub(crate) use samples::{SamplesEncoder, read_samples};
pub(crate) use series::{push_raw_series, push_series, read_series, split_series};
pub(crate) use snapshots::{
    Newest, OpenChunk, SNAPSHOT_EXEMPLARS, SNAPSHOT_SERIES, SNAPSHOT_TOMBSTONES, as_logged_exemplars,
    as_snapshot_exemplars, put_snapshot_series, put_snapshot_tombstones, read_snapshot_series,
    read_snapshot_tombstones,
};
pub(crate) use tombstones::{push_in_order_tombstone, push_tombstone, read_deletions, read_tombstones};

/// Labels under references.
pub(crate) const SERIES: u8 = 1;
/// Floats.
pub(crate) const SAMPLES: u8 = 2;
/// Deleted stretches of time.
pub(crate) const TOMBSTONES: u8 = 3;
/// Exemplars.
pub(crate) const EXEMPLARS: u8 = 4;
/// Places of mapped chunks, in the log of samples out of order.
pub(crate) const MMAP_MARKERS: u8 = 5;
/// Type, unit and help.
pub(crate) const METADATA: u8 = 6;
/// Histograms with integer populations and exponential buckets.
pub(crate) const HISTOGRAMS: u8 = 7;
/// Histograms with float populations and exponential buckets.
pub(crate) const FLOAT_HISTOGRAMS: u8 = 8;
/// Histograms with integer populations and custom buckets.
pub(crate) const CUSTOM_HISTOGRAMS: u8 = 9;
/// Histograms with float populations and custom buckets.
pub(crate) const CUSTOM_FLOAT_HISTOGRAMS: u8 = 10;
/// Floats with start times.
pub(crate) const SAMPLES_V2: u8 = 11;
/// Histograms with integer populations, any buckets, and start times.
pub(crate) const HISTOGRAMS_V2: u8 = 12;
/// Histograms with float populations, any buckets, and start times.
pub(crate) const FLOAT_HISTOGRAMS_V2: u8 = 13;

/// Whether records of this kind hold histograms.
pub(crate) fn is_histograms(kind: u8) -> bool {
    matches!(
        kind,
        HISTOGRAMS
            | FLOAT_HISTOGRAMS
            | CUSTOM_HISTOGRAMS
            | CUSTOM_FLOAT_HISTOGRAMS
            | HISTOGRAMS_V2
            | FLOAT_HISTOGRAMS_V2
    )
}

/// Bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record ends too early or holds no text")]
pub(crate) struct BadRecord;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::wal::frame::Segment;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(kind in 0u8..16, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let record: Vec<u8> = std::iter::once(kind).chain(rest).collect();
            for record in [&record[..], &record[..1], &[]] {
                let _ = read_series(record, |_, _| {});
                let _ = read_samples(record, |_, _, _, _| {});
                let _ = read_tombstones(record, |_, _, _| {});
                let _ = read_exemplars(record, |_, _, _, _| {});
                let _ = read_mmap_markers(record, |_, _| {});
                let _ = read_metadata(record, |_, _| {});
                let _ = read_histograms(record, |_| {});
            }
        }
    }

    fn segments(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with("chunk") {
                segments(&path, out);
            } else if path.is_file() && name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit()) {
                out.push(path);
            }
        }
    }

    /// The records of every log that Prometheus 3.14 left in the recordings, read and written again.
    #[test]
    fn recorded_records_come_out_byte_for_byte() {
        let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
        let shared = std::env::var("BINNACLE_SHARED").unwrap_or(fallback.into());
        let root = Path::new(&shared).join("golden/tsdb");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
        let mut paths = Vec::new();
        for dir in [&root, &own] {
            if dir.is_dir() {
                segments(dir, &mut paths);
            } else {
                println!("skipped: no recordings at {}", dir.display());
            }
        }
        let mut seen: BTreeMap<u8, usize> = BTreeMap::new();
        for path in paths {
            let bytes = std::fs::read(&path).unwrap();
            let mut segment = Segment::new(&bytes[..]);
            let mut record = Vec::new();
            while let Some((packed, compression)) = segment.next_packed().unwrap() {
                compression.unpack(packed, &mut record).unwrap();
                *seen.entry(record[0]).or_default() += 1;
                let again = crate::decoders::rewrite_record(&record);
                let again = again.unwrap_or_default().into_iter().next().unwrap_or_default();
                assert!(again == record, "{}: a record of type {}", path.display(), record[0]);
            }
        }
        println!("{seen:?}");
    }
}
