//! Types 240 and 241, ours, in the log of samples out of order: what was deleted of them, and which chunks are in
//! blocks. Prometheus passes over them.

use super::bytes::{Cursor, put_varint};
use super::{BadRecord, LATE_CUTS, LATE_TOMBSTONES};

/// What was deleted of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateTombstone {
    pub(crate) reference: u64,
    /// Both ends are deleted, in milliseconds.
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    /// The first and last chunk that is concerned, as markers name them.
    pub(crate) from: u64,
    pub(crate) upto: u64,
    /// Whether samples that stand before it in the log are concerned too.
    pub(crate) logged: bool,
}

/// Appends a deletion to a record.
pub(crate) fn push_late_tombstone(buf: &mut Vec<u8>, stone: &LateTombstone) {
    if buf.is_empty() {
        buf.push(LATE_TOMBSTONES);
    }
    buf.extend_from_slice(&stone.reference.to_be_bytes());
    put_varint(buf, stone.min_time);
    put_varint(buf, stone.max_time);
    buf.extend_from_slice(&stone.from.to_be_bytes());
    buf.extend_from_slice(&stone.upto.to_be_bytes());
    buf.push(u8::from(stone.logged));
}

/// Calls `each` with every deletion.
pub(crate) fn read_late_tombstones(
    record: &[u8],
    mut each: impl FnMut(LateTombstone),
) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[LATE_TOMBSTONES])?;
    while !cursor.is_empty() {
        each(LateTombstone {
            reference: cursor.u64()?,
            min_time: cursor.varint()?,
            max_time: cursor.varint()?,
            from: cursor.u64()?,
            upto: cursor.u64()?,
            logged: cursor.byte()? != 0,
        });
    }
    Ok(())
}

/// The chunks of some series up to a place are in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateCut {
    /// Of the series whose references are in this shard, were there so many.
    pub(crate) shard: u64,
    pub(crate) shards: u64,
    /// The last of the chunks, as markers name it.
    pub(crate) upto: u64,
}

/// Appends a cut to a record.
pub(crate) fn push_late_cut(buf: &mut Vec<u8>, cut: &LateCut) {
    if buf.is_empty() {
        buf.push(LATE_CUTS);
    }
    for number in [cut.shard, cut.shards, cut.upto] {
        buf.extend_from_slice(&number.to_be_bytes());
    }
}

/// Calls `each` with every cut.
pub(crate) fn read_late_cuts(record: &[u8], mut each: impl FnMut(LateCut)) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[LATE_CUTS])?;
    while !cursor.is_empty() {
        each(LateCut { shard: cursor.u64()?, shards: cursor.u64()?, upto: cursor.u64()? });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn late_cuts_round_trip(cuts in prop::collection::vec(any::<(u64, u64, u64)>(), 1..20)) {
            let cuts: Vec<_> =
                cuts.into_iter().map(|(shard, shards, upto)| LateCut { shard, shards, upto }).collect();
            let mut buf = Vec::new();
            cuts.iter().for_each(|cut| push_late_cut(&mut buf, cut));
            let mut back = Vec::new();
            read_late_cuts(&buf, |cut| back.push(cut)).unwrap();
            prop_assert_eq!(back, cuts);
        }

        #[test]
        fn late_tombstones_round_trip(
            stones in prop::collection::vec(any::<(u64, i64, i64, u64, u64, bool)>(), 1..20),
        ) {
            let stones: Vec<_> = stones
                .into_iter()
                .map(|(reference, min_time, max_time, from, upto, logged)| {
                    LateTombstone { reference, min_time, max_time, from, upto, logged }
                })
                .collect();
            let mut buf = Vec::new();
            stones.iter().for_each(|stone| push_late_tombstone(&mut buf, stone));
            let mut back = Vec::new();
            read_late_tombstones(&buf, |stone| back.push(stone)).unwrap();
            prop_assert_eq!(back, stones);
        }
    }
}
