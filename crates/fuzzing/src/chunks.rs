//! Chunks of every encoding: the first byte is the encoding, the rest the chunk.

use chunk::{Columns, Encoding, HistogramAppended, HistogramWriter, Xor2Appender, XorAppender};

/// Decoded, its times read, a writer rebuilt from it.
pub(crate) fn chunk(data: &[u8]) {
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
}

/// What could be decoded is encoded again and must come back equal.
pub(crate) fn rewrite(data: &[u8]) {
    let Some((&number, bytes)) = data.split_first() else { return };
    match Encoding::try_from(number) {
        Ok(encoding) if encoding.is_float() => floats(encoding, bytes),
        Ok(encoding) => histograms(encoding, bytes),
        Err(_) => {}
    }
}

fn floats(encoding: Encoding, bytes: &[u8]) {
    let mut first = Columns::default();
    let _ = chunk::decode(encoding, bytes, u16::MAX, &mut first);
    let mut buf = vec![0; usize::from(u16::MAX)];
    let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
    for (i, (&t, &v)) in first.times.iter().zip(&first.values).enumerate() {
        let start_time = first.start_times.get(i).copied().unwrap_or(0);
        let appended = match encoding {
            Encoding::Xor => xor.append(&mut buf, t, v),
            _ => xor2.append(&mut buf, start_time, t, v),
        };
        if appended.is_err() {
            break;
        }
    }
    let (len, samples) = match encoding {
        Encoding::Xor => (xor.len(), xor.samples()),
        _ => (xor2.len(), xor2.samples()),
    };
    if samples == 0 {
        return;
    }
    let mut again = Columns::default();
    assert_eq!(chunk::decode(encoding, &buf[..len], u16::MAX, &mut again), Ok(()));
    let samples = usize::from(samples);
    assert_eq!(again.times, first.times[..samples]);
    for (i, (a, b)) in again.values.iter().zip(&first.values).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits());
        let start_time = |columns: &Columns| columns.start_times.get(i).copied().unwrap_or(0);
        assert_eq!(start_time(&again), start_time(&first));
    }
}

fn histograms(encoding: Encoding, bytes: &[u8]) {
    let mut first = Vec::new();
    let _ = chunk::decode_histograms(encoding, bytes, u16::MAX, &mut first);
    let mut writer = HistogramWriter::new(encoding);
    let mut kept = Vec::new();
    for point in &first {
        if writer.append(point) == HistogramAppended::Appended {
            kept.push(point);
        }
    }
    let mut again = Vec::new();
    assert_eq!(chunk::decode_histograms(encoding, writer.bytes(), u16::MAX, &mut again), Ok(()));
    assert_eq!(again.len(), kept.len());
    for (a, b) in again.iter().zip(kept) {
        assert_eq!(
            (a.t, a.start_time, a.value.sum().to_bits()),
            (b.t, b.start_time, b.value.sum().to_bits())
        );
    }
}
