//! Type 1: the labels of series under their references.

use model::Labels;

use super::bytes::{Cursor, LabelsReader, put_labels};
use super::{BadRecord, SERIES};

/// Appends a series to a record.
pub(crate) fn push_series(buf: &mut Vec<u8>, reference: u64, labels: &Labels) {
    if buf.is_empty() {
        buf.push(SERIES);
    }
    buf.extend_from_slice(&reference.to_be_bytes());
    put_labels(buf, labels);
}

/// Calls `each` with reference and labels.
pub(crate) fn read_series(record: &[u8], mut each: impl FnMut(u64, Labels)) -> Result<(), BadRecord> {
    let mut reader = LabelsReader::default();
    split_series(record, |reference, raw| {
        // What was found good can be read.
        each(reference, reader.read(raw).unwrap_or_default());
    })
}

/// Calls `each` with reference and labels, which are as they lie there: for [`LabelsReader`].
pub(crate) fn split_series(record: &[u8], mut each: impl FnMut(u64, &[u8])) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[SERIES])?;
    while !cursor.is_empty() {
        let reference = cursor.u64()?;
        each(reference, cursor.raw_labels()?);
    }
    Ok(())
}

/// Appends a series to a record, with labels as [`split_series`] gives them.
pub(crate) fn push_raw_series(buf: &mut Vec<u8>, reference: u64, raw: &[u8]) {
    if buf.is_empty() {
        buf.push(SERIES);
    }
    buf.extend_from_slice(&reference.to_be_bytes());
    buf.extend_from_slice(raw);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_round_trip() {
        let sets = [Labels::empty(), Labels::from_pairs([("__name__", "up"), ("é", &"x".repeat(300))])];
        let mut buf = Vec::new();
        sets.iter().enumerate().for_each(|(i, l)| push_series(&mut buf, i as u64 + 7, l));
        let mut back = Vec::new();
        read_series(&buf, |r, l| back.push((r, l))).unwrap();
        assert_eq!(back, sets.into_iter().enumerate().map(|(i, l)| (i as u64 + 7, l)).collect::<Vec<_>>());
    }
}
