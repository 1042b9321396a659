//! A chunk without what was deleted of it.

use block::Intervals;
use chunk::{
    ChunkError, Columns, Encoding, HistogramAppended, HistogramWriter, NoRoom, Xor2Appender, XorAppender,
};

/// A chunk that was written anew.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) encoding: Encoding,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) bytes: Vec<u8>,
}

/// Writes a chunk anew without the deleted times: nothing, one chunk, or several where what is left of histograms
/// does not go together any more.
pub(crate) fn without(
    encoding: Encoding,
    bytes: &[u8],
    deleted: &Intervals,
) -> Result<Vec<Rest>, ChunkError> {
    if !encoding.is_float() {
        return histograms_without(encoding, bytes, deleted);
    }
    let mut columns = Columns::default();
    chunk::decode(encoding, bytes, u16::MAX, &mut columns)?;
    let mut buf = vec![0; bytes.len() + Xor2Appender::MAX_SAMPLE_LEN];
    let mut xor = XorAppender::new();
    let mut xor2 = Xor2Appender::new();
    let (mut first, mut last) = (None, 0);
    for (i, (&t, &v)) in columns.times.iter().zip(&columns.values).enumerate() {
        if deleted.contains(t) {
            continue;
        }
        let start_time = columns.start_times.get(i).copied().unwrap_or_default();
        let mut append = |buf: &mut [u8]| match encoding {
            Encoding::Xor => xor.append(buf, t, v),
            _ => xor2.append(buf, start_time, t, v),
        };
        // A chunk with gaps may be longer than the whole one.
        if append(&mut buf) == Err(NoRoom) {
            buf.resize(buf.len() * 2 + Xor2Appender::MAX_SAMPLE_LEN, 0);
            if append(&mut buf) == Err(NoRoom) {
                break;
            }
        }
        first.get_or_insert(t);
        last = t;
    }
    let Some(min_time) = first else { return Ok(Vec::new()) };
    buf.truncate(if encoding == Encoding::Xor { xor.len() } else { xor2.len() });
    Ok(vec![Rest { encoding, min_time, max_time: last, bytes: buf }])
}

fn histograms_without(
    encoding: Encoding,
    bytes: &[u8],
    deleted: &Intervals,
) -> Result<Vec<Rest>, ChunkError> {
    let mut points = Vec::new();
    chunk::decode_histograms(encoding, bytes, u16::MAX, &mut points)?;
    let mut rest: Vec<Rest> = Vec::new();
    let mut writer: Option<(HistogramWriter, i64)> = None;
    let mut end = |ended: Option<(HistogramWriter, i64)>| {
        if let Some((writer, min_time)) = ended
            && let Some((max_time, _)) = writer.last()
        {
            rest.push(Rest { encoding, min_time, max_time, bytes: writer.bytes().to_vec() });
        }
    };
    for point in points.iter().filter(|point| !deleted.contains(point.t)) {
        let mut header = model::histogram::CounterReset::Unknown;
        if let Some((writer, _)) = &mut writer {
            match writer.append(point) {
                HistogramAppended::Appended | HistogramAppended::Recoded => continue,
                HistogramAppended::Incompatible(reset) => header = reset,
                HistogramAppended::Full | HistogramAppended::Malformed => {}
            }
        }
        let mut next = HistogramWriter::with_header(encoding, header);
        next.append(point);
        end(writer.replace((next, point.t)));
    }
    end(writer.take());
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::Interval;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exactly_the_deleted_samples_are_missing(
            values in prop::collection::vec(any::<i32>(), 1..150),
            ranges in prop::collection::vec((0i64..160, 0i64..20), 0..5),
            xor2 in any::<bool>(),
        ) {
            let encoding = if xor2 { Encoding::Xor2 } else { Encoding::Xor };
            let mut bytes = vec![0; 8192];
            let (mut xor, mut appender2) = (XorAppender::new(), Xor2Appender::new());
            for (t, &v) in (0i64..).zip(&values) {
                let appended = match encoding {
                    Encoding::Xor => xor.append(&mut bytes, t, v.into()),
                    _ => appender2.append(&mut bytes, t / 50, t, v.into()),
                };
                prop_assert_eq!(appended, Ok(()));
            }
            bytes.truncate(if xor2 { appender2.len() } else { xor.len() });
            let mut deleted = Intervals::default();
            ranges.iter().for_each(|&(from, len)| deleted.add(Interval { min_time: from, max_time: from + len }));
            let rest = without(encoding, &bytes, &deleted).unwrap();
            let mut got = Columns::default();
            for rest in &rest {
                chunk::decode(rest.encoding, &rest.bytes, u16::MAX, &mut got).unwrap();
                prop_assert_eq!(got.times.first(), Some(&rest.min_time));
                prop_assert_eq!(got.times.last(), Some(&rest.max_time));
            }
            let want: Vec<(i64, f64)> = (0i64..)
                .zip(values.iter().map(|&v| f64::from(v)))
                .filter(|(t, _)| !ranges.iter().any(|(from, len)| (*from..=from + len).contains(t)))
                .collect();
            let got_pairs: Vec<(i64, f64)> = got.times.iter().copied().zip(got.values.iter().copied()).collect();
            prop_assert_eq!(got_pairs, want);
            prop_assert!(got.start_times.iter().zip(&got.times).all(|(start, t)| *start == t / 50));
        }
    }
}
