//! A chunk without what was deleted of it.

use block::Intervals;
use chunk::{ChunkError, Columns, Encoding, Rewritten};

/// Writes a chunk anew without the deleted times: nothing, one chunk, or several where what is left of histograms
/// does not go together any more.
pub(crate) fn without(
    encoding: Encoding,
    bytes: &[u8],
    deleted: &Intervals,
) -> Result<Vec<Rewritten>, ChunkError> {
    if !encoding.is_float() {
        let mut points = Vec::new();
        chunk::decode_histograms(encoding, bytes, u16::MAX, &mut points)?;
        let left = points.iter().filter(|point| !deleted.contains(point.t));
        return Ok(chunk::rewrite_histograms(encoding, left));
    }
    let mut columns = Columns::default();
    chunk::decode(encoding, bytes, u16::MAX, &mut columns)?;
    let left = columns.samples().filter(|&(_, t, _)| !deleted.contains(t));
    Ok(chunk::rewrite_floats(encoding, left).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::Interval;
    use chunk::{Xor2Appender, XorAppender};
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
