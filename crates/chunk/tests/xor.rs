//! XOR chunks: round trips, rebuilt state, damaged bytes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use chunk::{ChunkError, Columns, Encoding, XorAppender, decode, first_time, last_time, sample_count};
use proptest::prelude::*;

fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut appender = XorAppender::new();
    let mut buf = vec![0xaa; 2]; // what lies in the buffer does not matter
    for &(t, v) in samples {
        while appender.append(&mut buf, t, v).is_err() {
            buf.push(0xaa);
        }
    }
    buf.truncate(appender.len());
    buf
}

fn decoded(bytes: &[u8]) -> Vec<(i64, u64)> {
    let mut out = Columns::default();
    decode(Encoding::Xor, bytes, u16::MAX, &mut out).unwrap();
    out.times.into_iter().zip(out.values.into_iter().map(f64::to_bits)).collect()
}

fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples.iter().map(|&(t, v)| (t, v.to_bits())).collect()
}

/// Steps as scrapes make them (regular, jittered, with gaps of any size) and values that stay, count or jump.
fn series() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let step = prop_oneof![
        4 => Just(15_000i64),
        3 => 14_990i64..15_010,
        1 => 1i64..600_000,
        1 => 1i64..(1 << 45),
        1 => prop_oneof![Just(8_191i64), Just(8_192), Just(8_193), Just(65_536), Just(524_288), Just(524_289)],
    ];
    let value = prop_oneof![
        4 => Just(None),
        3 => (0u32..1000).prop_map(|x| Some(f64::from(x))),
        1 => any::<u64>().prop_map(|x| Some(f64::from_bits(x))),
        1 => (-1e6..1e6f64).prop_map(Some),
    ];
    (-(1i64 << 50)..(1i64 << 50), prop::collection::vec((step, value), 0..300)).prop_map(|(start, steps)| {
        let (mut t, mut v) = (start, 0.0);
        steps
            .into_iter()
            .map(|(step, value)| {
                (t, v) = (t + step, value.unwrap_or(v));
                (t, v)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_appended(samples in series()) {
        let bytes = encode(&samples);
        if samples.is_empty() { return Ok(()); }
        prop_assert_eq!(decoded(&bytes), bits(&samples));
        prop_assert_eq!(sample_count(Encoding::Xor, &bytes) as usize, samples.len());
        prop_assert_eq!(first_time(Encoding::Xor, &bytes), Some(samples[0].0));
        prop_assert_eq!(last_time(Encoding::Xor, &bytes), samples.last().map(|s| s.0));
    }

    #[test]
    fn an_appender_rebuilt_from_bytes_goes_on_with_the_same_bytes(samples in series(), cut in 0usize..300) {
        let cut = cut.min(samples.len());
        let mut buf = encode(&samples[..cut]);
        if buf.is_empty() || cut == 0 { return Ok(()); }
        let mut appender = XorAppender::resume(&buf).unwrap();
        for &(t, v) in &samples[cut..] {
            buf.resize(appender.len() + XorAppender::MAX_SAMPLE_LEN, 0x55);
            appender.append(&mut buf, t, v).unwrap();
        }
        buf.truncate(appender.len());
        prop_assert_eq!(buf, encode(&samples));
    }

    #[test]
    fn a_limit_delivers_the_first_samples(samples in series(), limit in 0u16..300) {
        if samples.is_empty() { return Ok(()); }
        let mut out = Columns::default();
        decode(Encoding::Xor, &encode(&samples), limit, &mut out).unwrap();
        prop_assert_eq!(out.len(), samples.len().min(limit as usize));
        prop_assert!(out.times.iter().zip(&samples).all(|(t, s)| *t == s.0));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut out = Columns::default();
        let _ = decode(Encoding::Xor, &bytes, u16::MAX, &mut out);
        prop_assert_eq!(out.times.len(), out.values.len());
        let _ = XorAppender::resume(&bytes);
        let _ = first_time(Encoding::Xor, &bytes);
    }

    #[test]
    fn a_chunk_cut_short_keeps_the_samples_before_the_cut(samples in series(), cut in any::<prop::sample::Index>()) {
        if samples.is_empty() { return Ok(()); }
        let bytes = encode(&samples);
        let cut = &bytes[..cut.index(bytes.len())];
        let mut out = Columns::default();
        let result = decode(Encoding::Xor, cut, u16::MAX, &mut out);
        prop_assert!(matches!(result, Err(ChunkError::Truncated(_))));
        prop_assert!(out.len() < samples.len());
        prop_assert!(out.times.iter().zip(&out.values).zip(&samples)
            .all(|((t, v), s)| *t == s.0 && v.to_bits() == s.1.to_bits()));
    }
}

#[test]
fn without_room_nothing_changes() {
    let mut appender = XorAppender::new();
    let mut buf = [0; 64];
    appender.append(&mut buf, 1_000, 1.0).unwrap();
    appender.append(&mut buf, 2_000, 2.0).unwrap();
    let before = appender.len();
    assert!(appender.append(&mut buf[..before], 9_999_999, std::f64::consts::PI).is_err());
    assert_eq!((appender.samples(), appender.len(), appender.last_time()), (2, before, 2_000));
    appender.append(&mut buf, 3_000, 2.0).unwrap();
    assert_eq!(decoded(&buf[..appender.len()]), bits(&[(1_000, 1.0), (2_000, 2.0), (3_000, 2.0)]));
}
