//! The decoders of files of the head, given bytes: fuzz targets need no directory for each try.

use std::io;

use crate::chunk_files;
use crate::wal::frame::Segment;
use crate::wal::record::{self, BadRecord, ExemplarsEncoder, HistogramsEncoder, SamplesEncoder};

/// What a record of a log says, written anew; one of histograms may become several. `None` of one that cannot be read.
#[must_use]
pub fn rewrite_record(record: &[u8]) -> Option<Vec<Vec<u8>>> {
    rewrite(record).ok()
}

fn rewrite(record: &[u8]) -> Result<Vec<Vec<u8>>, BadRecord> {
    let mut buf = Vec::new();
    match record.first().copied().ok_or(BadRecord)? {
        record::SERIES => {
            record::read_series(record, |r, labels| record::push_series(&mut buf, r, &labels))?;
        }
        kind @ (record::SAMPLES | record::SAMPLES_V2) => {
            let mut encoder = SamplesEncoder::new(kind == record::SAMPLES_V2);
            record::read_samples(record, |r, start, t, v| encoder.push(r, start, t, v))?;
            buf = encoder.buf;
        }
        record::TOMBSTONES => {
            record::read_tombstones(record, |r, min, max| record::push_tombstone(&mut buf, r, min, max))?;
        }
        record::EXEMPLARS => {
            let mut encoder = ExemplarsEncoder::default();
            record::read_exemplars(record, |r, t, v, labels| encoder.push(r, t, v, &labels))?;
            buf = encoder.buf;
        }
        record::MMAP_MARKERS => {
            record::read_mmap_markers(record, |r, place| record::push_mmap_marker(&mut buf, r, place))?;
        }
        record::METADATA => {
            record::read_metadata(record, |r, metadata| record::push_metadata(&mut buf, r, &metadata))?;
        }
        kind => {
            let with_start_times = matches!(kind, record::HISTOGRAMS_V2 | record::FLOAT_HISTOGRAMS_V2);
            let mut encoder = HistogramsEncoder::new(with_start_times);
            record::read_histograms(record, |entry| {
                encoder.push(entry.reference, entry.start_time, entry.t, &entry.value);
            })?;
            return Ok(encoder.records().map(<[u8]>::to_vec).collect());
        }
    }
    Ok(vec![buf])
}

/// Whether a record of a chunk snapshot can be read.
#[must_use]
pub fn read_snapshot_record(record: &[u8]) -> bool {
    let read = match record.first() {
        Some(&record::SNAPSHOT_SERIES) => record::read_snapshot_series(record).map(drop),
        Some(&record::SNAPSHOT_TOMBSTONES) => record::read_snapshot_tombstones(record, |_, _, _| {}),
        Some(&record::SNAPSHOT_EXEMPLARS) => {
            let mut record = record.to_vec();
            record::as_logged_exemplars(&mut record);
            record::read_exemplars(&record, |_, _, _, _| {})
        }
        _ => Err(BadRecord),
    };
    read.is_ok()
}

/// The records of a segment that can be read, unpacked, and the number of places that cannot.
///
/// # Errors
/// None: the bytes are in memory.
pub fn read_segment(bytes: &[u8]) -> io::Result<(Vec<Vec<u8>>, usize)> {
    let mut segment = Segment::new(bytes);
    let (mut records, mut bad, mut unpacked) = (Vec::new(), 0, Vec::new());
    while let Some((packed, compression)) = segment.next_packed()? {
        match compression.unpack(packed, &mut unpacked) {
            Ok(()) => records.push(unpacked.clone()),
            Err(_) => bad += 1,
        }
    }
    Ok((records, bad + segment.damage.len()))
}

/// The number of chunks found in a file of `chunks_head`, and of places that cannot be read.
///
/// # Errors
/// None: the bytes are in memory.
pub fn scan_head_chunks(bytes: &[u8]) -> io::Result<(usize, usize)> {
    let mut scan = chunk_files::Scan::default();
    chunk_files::scan_file(&mut &*bytes, 1, &mut scan)?;
    Ok((scan.chunks.len() + scan.out_of_order.len(), scan.damage.len()))
}
