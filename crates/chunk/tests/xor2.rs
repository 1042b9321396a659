//! XOR2 chunks: round trips with and without start times, rebuilt state, damaged bytes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

use chunk::{
    ChunkError, Columns, Encoding, NoRoom, Xor2Appender, decode, first_time, last_time, sample_count,
};
use model::STALE_NAN;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
struct Point {
    start_time: i64,
    t: i64,
    v: f64,
}

fn encode(points: &[Point]) -> Vec<u8> {
    let mut appender = Xor2Appender::new();
    let mut buf = vec![0xaa; 2]; // what lies in the buffer does not matter
    for p in points {
        while appender.append(&mut buf, p.start_time, p.t, p.v).is_err() {
            buf.extend([0xaa; 5]);
        }
    }
    buf.truncate(appender.len());
    buf
}

fn read(bytes: &[u8]) -> (Columns, Result<(), ChunkError>) {
    let mut out = Columns::default();
    let result = decode(Encoding::Xor2, bytes, u16::MAX, &mut out);
    (out, result)
}

/// Columns as bits, start times written out.
fn rows(columns: &Columns) -> Vec<(i64, i64, u64)> {
    let starts = columns.start_times.iter().copied().chain(std::iter::repeat(0));
    starts.zip(&columns.times).zip(&columns.values).map(|((start, &t), v)| (start, t, v.to_bits())).collect()
}

fn bits(points: &[Point]) -> Vec<(i64, i64, u64)> {
    points.iter().map(|p| (p.start_time, p.t, p.v.to_bits())).collect()
}

/// Steps as scrapes make them, values that stay, count, jump or end, and counters that start anew now and then.
fn series() -> impl Strategy<Value = Vec<Point>> {
    let step = prop_oneof![
        6 => Just(15_000i64),
        3 => 14_990i64..15_010,
        1 => 1i64..600_000,
        1 => 1i64..(1 << 45),
        1 => prop_oneof![Just(19_095i64), Just(19_096), Just(10_904), Just(10_903), Just(539_287), Just(539_288)],
    ];
    let value = prop_oneof![
        4 => Just(None),
        3 => (0u32..1000).prop_map(|x| Some(f64::from(x))),
        1 => any::<u64>().prop_map(|x| Some(f64::from_bits(x))),
        1 => Just(Some(STALE_NAN)),
    ];
    let start = prop_oneof![20 => Just(None), 1 => (0i64..100_000).prop_map(Some), 1 => Just(Some(i64::MIN))];
    let known = prop_oneof![Just(false), any::<bool>()];
    (known, -(1i64 << 50)..(1i64 << 50), prop::collection::vec((step, value, start), 0..300)).prop_map(
        |(known, begin, steps)| {
            let mut point = Point { start_time: if known { begin - 1 } else { 0 }, t: begin, v: 0.0 };
            let points = steps.into_iter().map(|(step, value, start)| {
                point.t += step;
                point.v = value.unwrap_or(point.v);
                match start {
                    Some(i64::MIN) => point.start_time = 0,
                    Some(ago) if known => point.start_time = point.t - ago,
                    _ => {}
                }
                point
            });
            points.collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn decoding_gives_back_what_was_appended(points in series()) {
        if points.is_empty() { return Ok(()); }
        let bytes = encode(&points);
        let (columns, result) = read(&bytes);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(rows(&columns), bits(&points));
        prop_assert_eq!(columns.start_times.is_empty(), points.iter().all(|p| p.start_time == 0));
        prop_assert_eq!(sample_count(Encoding::Xor2, &bytes) as usize, points.len());
        prop_assert_eq!(first_time(Encoding::Xor2, &bytes), Some(points[0].t));
        prop_assert_eq!(last_time(Encoding::Xor2, &bytes), points.last().map(|p| p.t));
    }

    #[test]
    fn an_appender_rebuilt_from_bytes_goes_on_with_the_same_bytes(points in series(), cut in 1usize..300) {
        let cut = cut.min(points.len());
        if cut == 0 { return Ok(()); }
        let mut buf = encode(&points[..cut]);
        let mut appender = Xor2Appender::resume(&buf).unwrap();
        prop_assert_eq!(appender.last_value().to_bits(), points[cut - 1].v.to_bits());
        prop_assert_eq!(appender.last_start_time(), points[cut - 1].start_time);
        for p in &points[cut..] {
            buf.resize(appender.len() + Xor2Appender::MAX_SAMPLE_LEN, 0x55);
            appender.append(&mut buf, p.start_time, p.t, p.v).unwrap();
        }
        buf.truncate(appender.len());
        prop_assert_eq!(buf, encode(&points));
    }

    #[test]
    fn chunks_decoded_into_the_same_columns_stay_side_by_side(a in series(), b in series()) {
        if a.is_empty() || b.is_empty() { return Ok(()); }
        let mut out = Columns::default();
        decode(Encoding::Xor2, &encode(&a), u16::MAX, &mut out).unwrap();
        decode(Encoding::Xor2, &encode(&b), u16::MAX, &mut out).unwrap();
        prop_assert!(out.start_times.is_empty() || out.start_times.len() == out.len());
        prop_assert_eq!(rows(&out), [bits(&a), bits(&b)].concat());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (columns, _) = read(&bytes);
        prop_assert_eq!(columns.times.len(), columns.values.len());
        prop_assert!(columns.start_times.is_empty() || columns.start_times.len() == columns.len());
        let _ = Xor2Appender::resume(&bytes);
        let _ = first_time(Encoding::Xor2, &bytes);
    }

    #[test]
    fn a_chunk_cut_short_keeps_the_samples_before_the_cut(points in series(), cut in any::<prop::sample::Index>()) {
        if points.is_empty() { return Ok(()); }
        let bytes = encode(&points);
        let (columns, result) = read(&bytes[..cut.index(bytes.len())]);
        prop_assert!(matches!(result, Err(ChunkError::Truncated(_))));
        prop_assert!(columns.len() < points.len());
        prop_assert_eq!(&columns.times, &points[..columns.len()].iter().map(|p| p.t).collect::<Vec<_>>());
    }
}

#[test]
fn without_room_nothing_changes() {
    let mut appender = Xor2Appender::new();
    let mut buf = [0; 64];
    appender.append(&mut buf, 500, 1_000, 1.0).unwrap();
    appender.append(&mut buf, 500, 2_000, 2.0).unwrap();
    let before = appender.len();
    let refused = appender.append(&mut buf[..before], 7, 9_999_999, std::f64::consts::PI);
    assert_eq!(refused, Err(NoRoom));
    assert_eq!((appender.samples(), appender.len(), appender.last_time()), (2, before, 2_000));
    appender.append(&mut buf, 2_500, 3_000, 2.0).unwrap();
    let want = [(500, 1_000, 1.0f64), (500, 2_000, 2.0), (2_500, 3_000, 2.0)];
    let (columns, _) = read(&buf[..appender.len()]);
    assert_eq!(rows(&columns), want.map(|(start, t, v)| (start, t, v.to_bits())));
}

#[test]
fn no_sample_is_longer_than_said() {
    let extreme = [i64::MIN, i64::MAX, 0, -1, 1];
    for start_time in extreme {
        for t in extreme {
            let mut appender = Xor2Appender::new();
            let mut buf = vec![0; 4096];
            for i in 0..60 {
                let len = appender.len().max(3);
                let (t, start) = if i % 2 == 0 { (t, start_time) } else { (start_time, t) };
                let v = if i % 2 == 0 { 1.5 } else { f64::from_bits(!1.5f64.to_bits() ^ i) };
                appender.append(&mut buf, start, t, v).unwrap();
                assert!(appender.len() - len <= Xor2Appender::MAX_SAMPLE_LEN);
            }
        }
    }
}
