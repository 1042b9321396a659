//! Chunks of every encoding: the first byte is the encoding, the rest the chunk.
#![no_main]

use chunk::{Columns, Encoding, HistogramWriter, Xor2Appender, XorAppender};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&number, bytes)) = data.split_first() else { return };
    let Ok(encoding) = Encoding::try_from(number) else { return };
    if encoding.is_float() {
        let mut columns = Columns::default();
        let _ = chunk::decode(encoding, bytes, u16::MAX, &mut columns);
        assert_eq!(columns.times.len(), columns.values.len());
    } else {
        let _ = chunk::decode_histograms(encoding, bytes, u16::MAX, &mut Vec::new());
    }
    let _ = chunk::first_time(encoding, bytes);
    let _ = chunk::last_time(encoding, bytes);
    let _ = chunk::counter_reset_header(encoding, bytes);
    match encoding {
        Encoding::Xor => drop(XorAppender::resume(bytes)),
        Encoding::Xor2 => drop(Xor2Appender::resume(bytes)),
        _ => drop(HistogramWriter::resume(encoding, bytes)),
    }
});
