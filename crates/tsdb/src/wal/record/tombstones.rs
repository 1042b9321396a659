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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
