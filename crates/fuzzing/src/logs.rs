//! Segments, records and chunks of the head, each alone.

use tsdb::decoders;

/// A record of a log: what was read and written again is read as the same.
pub(crate) fn record(data: &[u8]) {
    let Some(first) = decoders::rewrite_record(data) else { return };
    // What was read may have been written in another way: numbers longer than they need be, histograms mixed.
    let again = |records: &[Vec<u8>]| -> Vec<Vec<u8>> {
        records.iter().filter(|r| !r.is_empty()).flat_map(|r| decoders::rewrite_record(r).unwrap()).collect()
    };
    let second = again(&first);
    assert_eq!(again(&second), second);
}

/// Pages, fragments, compression.
pub(crate) fn segment(data: &[u8]) {
    let (records, _) = decoders::read_segment(data).unwrap();
    for bytes in &records {
        record(bytes);
    }
}

/// A record of a chunk snapshot.
pub(crate) fn snapshot_record(data: &[u8]) {
    let _ = decoders::read_snapshot_record(data);
}

/// A file of `chunks_head`.
pub(crate) fn head_chunks(data: &[u8]) {
    let (found, damaged) = decoders::scan_head_chunks(data).unwrap();
    assert!(found + damaged <= data.len());
}
