//! Type 3: deleted stretches of time, both ends included.

use super::bytes::{Cursor, put_varint};
use super::{BadRecord, TOMBSTONES};

/// Appends a deletion to a record.
pub(crate) fn push_tombstone(buf: &mut Vec<u8>, reference: u64, min_time: i64, max_time: i64) {
    if buf.is_empty() {
        buf.push(TOMBSTONES);
    }
    buf.extend_from_slice(&reference.to_be_bytes());
    put_varint(buf, min_time);
    put_varint(buf, max_time);
}

/// Calls `each` with reference, first and last time.
pub(crate) fn read_tombstones(record: &[u8], mut each: impl FnMut(u64, i64, i64)) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[TOMBSTONES])?;
    while !cursor.is_empty() {
        each(cursor.u64()?, cursor.varint()?, cursor.varint()?);
    }
    Ok(())
}

/// Appends a deletion that samples out of order are no part of. That it is there twice makes no difference to Prometheus.
pub(crate) fn push_in_order_tombstone(buf: &mut Vec<u8>, reference: u64, min_time: i64, max_time: i64) {
    push_tombstone(buf, reference, min_time, max_time);
    push_tombstone(buf, reference, min_time, max_time);
}

/// Calls `each` with every deletion that `read` finds, and whether samples out of order are no part of it: then it is there
/// twice, one behind the other.
pub(crate) fn read_deletions(
    read: impl FnOnce(&mut dyn FnMut(u64, i64, i64)) -> Result<(), BadRecord>,
    mut each: impl FnMut(u64, i64, i64, bool),
) -> Result<(), BadRecord> {
    let mut before: Option<(u64, i64, i64)> = None;
    let outcome = read(&mut |reference, min_time, max_time| {
        let this = (reference, min_time, max_time);
        match before.replace(this) {
            Some(other) if other == this => {
                before = None;
                each(reference, min_time, max_time, true);
            }
            Some((reference, min_time, max_time)) => each(reference, min_time, max_time, false),
            None => {}
        }
    });
    if let Some((reference, min_time, max_time)) = before {
        each(reference, min_time, max_time, false);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn deletions_of_samples_in_order_are_told_from_others() {
        let mut buf = Vec::new();
        push_tombstone(&mut buf, 1, 5, 9);
        push_in_order_tombstone(&mut buf, 1, 7, 8);
        push_in_order_tombstone(&mut buf, 2, 7, 8);
        push_tombstone(&mut buf, 3, 7, 8);
        let mut found = Vec::new();
        read_deletions(
            |each| read_tombstones(&buf, each),
            |r, min, max, only| found.push((r, min, max, only)),
        )
        .unwrap();
        assert_eq!(found, [(1, 5, 9, false), (1, 7, 8, true), (2, 7, 8, true), (3, 7, 8, false)]);
    }

    proptest! {
        #[test]
        fn tombstones_round_trip(stones in prop::collection::vec((any::<u64>(), any::<i64>(), any::<i64>()), 1..20)) {
            let mut buf = Vec::new();
            stones.iter().for_each(|&(r, min, max)| push_tombstone(&mut buf, r, min, max));
            let mut back = Vec::new();
            read_tombstones(&buf, |r, min, max| back.push((r, min, max))).unwrap();
            prop_assert_eq!(back, stones);
        }
    }
}
