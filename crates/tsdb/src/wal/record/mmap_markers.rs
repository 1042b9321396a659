//! Type 5, in the log of samples out of order: up to here the samples of a series are in a mapped chunk.

use super::bytes::Cursor;
use super::{BadRecord, MMAP_MARKERS};

/// Appends a marker to a record. `place` is the number of the chunk file in the upper half and the offset of the chunk
/// in the lower one; 0 says that there is no such chunk.
pub(crate) fn push_mmap_marker(buf: &mut Vec<u8>, reference: u64, place: u64) {
    if buf.is_empty() {
        buf.push(MMAP_MARKERS);
    }
    buf.extend_from_slice(&reference.to_be_bytes());
    buf.extend_from_slice(&place.to_be_bytes());
}

/// Calls `each` with reference and place.
pub(crate) fn read_mmap_markers(record: &[u8], mut each: impl FnMut(u64, u64)) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[MMAP_MARKERS])?;
    while !cursor.is_empty() {
        each(cursor.u64()?, cursor.u64()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn markers_round_trip(markers in prop::collection::vec((any::<u64>(), any::<u64>()), 1..20)) {
            let mut buf = Vec::new();
            markers.iter().for_each(|&(r, place)| push_mmap_marker(&mut buf, r, place));
            let mut back = Vec::new();
            read_mmap_markers(&buf, |r, place| back.push((r, place))).unwrap();
            prop_assert_eq!(back, markers);
        }
    }
}
