//! Type 1: the labels of series under their references.

use model::Labels;

use super::bytes::{Cursor, put_labels};
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
    let mut cursor = Cursor::after_kind(record, &[SERIES])?;
    let mut pairs = Vec::new();
    while !cursor.is_empty() {
        let reference = cursor.u64()?;
        each(reference, cursor.labels(&mut pairs)?);
    }
    Ok(())
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
