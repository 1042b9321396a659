//! Records of chunk snapshots: types of their own. A series with its open chunk (1), all tombstones (2), exemplars (3).

use chunk::Encoding;
use model::Labels;
use model::histogram::HistogramValue;

use super::bytes::{Cursor, put_f64, put_labels, put_uvarint, put_varint};
use super::histograms::put_value;
use super::{BadRecord, EXEMPLARS};

pub(crate) const SNAPSHOT_SERIES: u8 = 1;
pub(crate) const SNAPSHOT_TOMBSTONES: u8 = 2;
pub(crate) const SNAPSHOT_EXEMPLARS: u8 = 3;
/// Version of the tombstones within their record.
const TOMBSTONES_VERSION: u8 = 1;
/// Samples before the last one, which old versions wanted: zeros.
const OLD_SAMPLES: usize = 3;

/// The open chunk of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenChunk<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) bytes: &'a [u8],
}

/// The newest sample of an open chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Newest<'a> {
    Float(f64),
    Histogram(&'a HistogramValue),
}

/// Appends the record of a series.
pub(crate) fn put_snapshot_series(
    buf: &mut Vec<u8>,
    reference: u64,
    labels: &Labels,
    open: Option<(OpenChunk<'_>, Newest<'_>)>,
) {
    buf.push(SNAPSHOT_SERIES);
    buf.extend_from_slice(&reference.to_be_bytes());
    put_labels(buf, labels);
    // Was the length of blocks.
    buf.extend_from_slice(&0i64.to_be_bytes());
    let Some((open, newest)) = open else {
        put_uvarint(buf, 0);
        return;
    };
    put_uvarint(buf, 1);
    buf.extend_from_slice(&open.min_time.to_be_bytes());
    buf.extend_from_slice(&open.max_time.to_be_bytes());
    buf.push(open.encoding as u8);
    put_uvarint(buf, open.bytes.len() as u64);
    buf.extend_from_slice(open.bytes);
    match newest {
        Newest::Float(v) => {
            buf.extend_from_slice(&[0; OLD_SAMPLES * 16 + 8]);
            put_f64(buf, v);
        }
        Newest::Histogram(value) => put_value(buf, value),
    }
}

/// Reads the record of a series: its reference, its labels (for [`LabelsReader`](super::LabelsReader)), its chunk. What follows the chunk is told by the chunk itself.
pub(crate) fn read_snapshot_series(record: &[u8]) -> Result<(u64, &[u8], Option<OpenChunk<'_>>), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[SNAPSHOT_SERIES])?;
    let reference = cursor.u64()?;
    let labels = cursor.raw_labels()?;
    cursor.u64()?;
    if cursor.uvarint()? == 0 {
        return Ok((reference, labels, None));
    }
    let (min_time, max_time) = (cursor.u64()? as i64, cursor.u64()? as i64);
    let encoding = Encoding::try_from(cursor.byte()?).map_err(|_| BadRecord)?;
    let bytes = cursor.bytes()?;
    Ok((reference, labels, Some(OpenChunk { encoding, min_time, max_time, bytes })))
}

/// The record of all tombstones: reference, oldest and newest time of each.
pub(crate) fn put_snapshot_tombstones(buf: &mut Vec<u8>, stones: impl Iterator<Item = (u64, i64, i64)>) {
    let mut body = vec![TOMBSTONES_VERSION];
    for (reference, min_time, max_time) in stones {
        put_uvarint(&mut body, reference);
        put_varint(&mut body, min_time);
        put_varint(&mut body, max_time);
    }
    buf.push(SNAPSHOT_TOMBSTONES);
    put_uvarint(buf, body.len() as u64);
    buf.extend_from_slice(&body);
}

/// Calls `each` with reference, oldest and newest time of every tombstone.
pub(crate) fn read_snapshot_tombstones(
    record: &[u8],
    mut each: impl FnMut(u64, i64, i64),
) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[SNAPSHOT_TOMBSTONES])?;
    let mut body = Cursor::after_kind(cursor.bytes()?, &[TOMBSTONES_VERSION])?;
    while !body.is_empty() {
        each(body.uvarint()?, body.varint()?, body.varint()?);
    }
    Ok(())
}

/// An exemplars record of a snapshot is one of the log but for its type.
pub(crate) fn as_snapshot_exemplars(record: &mut [u8]) {
    swap_type(record, EXEMPLARS, SNAPSHOT_EXEMPLARS);
}

/// Undoes [`as_snapshot_exemplars`].
pub(crate) fn as_logged_exemplars(record: &mut [u8]) {
    swap_type(record, SNAPSHOT_EXEMPLARS, EXEMPLARS);
}

fn swap_type(record: &mut [u8], from: u8, to: u8) {
    if let Some(kind) = record.first_mut().filter(|kind| **kind == from) {
        *kind = to;
    }
}

#[cfg(test)]
mod tests {
    use super::super::LabelsReader;
    use super::*;

    #[test]
    fn series_round_trip() {
        let labels = Labels::from_pairs([("__name__", "up"), ("é", &"x".repeat(300))]);
        let bytes = [1, 2, 3];
        let open = OpenChunk { encoding: Encoding::Xor, min_time: -5, max_time: 7, bytes: &bytes };
        for open in [None, Some(open)] {
            let mut buf = Vec::new();
            put_snapshot_series(&mut buf, 77, &labels, open.clone().map(|open| (open, Newest::Float(1.5))));
            let (reference, raw, read) = read_snapshot_series(&buf).unwrap();
            let read_labels = LabelsReader::default().read(raw).unwrap();
            assert_eq!((reference, read_labels, read), (77, labels.clone(), open));
            for end in 0..9.min(buf.len()) {
                assert!(read_snapshot_series(&buf[..end]).is_err());
            }
        }
    }

    #[test]
    fn tombstones_round_trip() {
        for stones in [vec![], vec![(7, i64::MIN, 3), (1 << 40, -4, i64::MAX)]] {
            let mut buf = Vec::new();
            put_snapshot_tombstones(&mut buf, stones.iter().copied());
            let mut back = Vec::new();
            read_snapshot_tombstones(&buf, |r, min, max| back.push((r, min, max))).unwrap();
            assert_eq!(back, stones);
        }
    }
}
