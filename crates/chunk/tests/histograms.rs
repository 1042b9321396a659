//! Chunks of native histograms: round trips, chunks rewritten with more buckets, what does not go together, rebuilt
//! state, damaged bytes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

use chunk::{
    ChunkError, Encoding, HistogramAppended, HistogramPoint, HistogramWriter, counter_reset_header,
    decode_histograms, first_time, last_time, sample_count,
};
use model::STALE_NAN;
use model::histogram::{
    CUSTOM_BUCKETS, CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Span,
};
use proptest::prelude::*;

const ENCODINGS: [Encoding; 4] =
    [Encoding::Histogram, Encoding::FloatHistogram, Encoding::HistogramSt, Encoding::FloatHistogramSt];

fn spans(indices: &[i32]) -> Vec<Span> {
    model::histogram::spans(&indices.iter().map(|&i| (i, 0.0)).collect::<Vec<_>>())
}

/// A histogram with these counts of buckets, as the encoding has it.
fn histogram(encoding: Encoding, positive: &[(i32, u32)], negative: &[(i32, u32)]) -> HistogramValue {
    let count: u32 = positive.iter().chain(negative).map(|b| b.1).sum::<u32>() + 1;
    let sum = f64::from(count) * 1.25;
    if matches!(encoding, Encoding::FloatHistogram | Encoding::FloatHistogramSt) {
        let populations = |buckets: &[(i32, u32)]| buckets.iter().map(|b| (b.0, f64::from(b.1))).collect();
        return HistogramValue::Float(Box::new(FloatHistogram {
            schema: 3,
            zero_threshold: 1e-128,
            zero_count: 1.0,
            count: count.into(),
            sum,
            positive: populations(positive),
            negative: populations(negative),
            ..FloatHistogram::default()
        }));
    }
    let of = |buckets: &[(i32, u32)]| {
        let mut before = 0;
        let deltas = buckets.iter().map(|b| i64::from(b.1) - std::mem::replace(&mut before, i64::from(b.1)));
        (spans(&buckets.iter().map(|b| b.0).collect::<Vec<_>>()), deltas.collect())
    };
    let (positive_spans, positive_deltas) = of(positive);
    let (negative_spans, negative_deltas) = of(negative);
    HistogramValue::Integer(Box::new(IntegerHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 1,
        count: count.into(),
        sum,
        positive_spans,
        positive_deltas,
        negative_spans,
        negative_deltas,
        ..IntegerHistogram::default()
    }))
}

fn edit(
    value: &mut HistogramValue,
    integer: impl Fn(&mut IntegerHistogram),
    float: impl Fn(&mut FloatHistogram),
) {
    match value {
        HistogramValue::Integer(h) => integer(h),
        HistogramValue::Float(h) => float(h),
    }
}

macro_rules! set {
    ($value:expr, $field:ident = $to:expr) => {
        edit(&mut $value, |h| h.$field = $to, |h| h.$field = $to)
    };
}

fn at(t: i64, value: HistogramValue) -> HistogramPoint {
    HistogramPoint { t, start_time: 0, value }
}

fn read(encoding: Encoding, bytes: &[u8]) -> Vec<HistogramPoint> {
    let mut out = Vec::new();
    decode_histograms(encoding, bytes, u16::MAX, &mut out).unwrap();
    out
}

/// A point's numbers without empty buckets and without what is known about resets.
fn content(point: &HistogramPoint) -> (i64, i64, FloatHistogram) {
    let mut h = point.value.to_float();
    h.compact();
    h.reset = CounterReset::Unknown;
    (point.t, point.start_time, h)
}

/// Appends all; a new chunk begins where the last one does not take a sample.
fn write(encoding: Encoding, points: &[HistogramPoint]) -> Vec<HistogramWriter> {
    let mut chunks = vec![HistogramWriter::new(encoding)];
    for point in points {
        if let HistogramAppended::Incompatible(header) = chunks.last_mut().unwrap().append(point) {
            let mut next = HistogramWriter::with_header(encoding, header);
            assert_eq!(next.append(point), HistogramAppended::Appended);
            chunks.push(next);
        }
    }
    chunks
}

/// Histograms of one series: buckets come, grow, and now and then all fall; or wander, when it is a gauge.
fn series(encoding: Encoding) -> impl Strategy<Value = Vec<HistogramPoint>> {
    let changes = prop::collection::vec((-20..20i32, 0..50u32), 0..6);
    let event = prop_oneof![12 => Just(0u8), 1 => Just(1), 1 => Just(2), 1 => Just(3)];
    let sample = (changes.clone(), changes, event, prop_oneof![Just(15_000i64), 1i64..60_000]);
    (any::<bool>(), prop::collection::vec(sample, 0..60)).prop_map(move |(gauge, samples)| {
        let (mut t, mut start_time) = (1_700_000_000_000, 0);
        let mut sides = [std::collections::BTreeMap::<i32, u32>::new(), Default::default()];
        let points = samples.into_iter().map(|(positive, negative, event, step)| {
            t += step;
            if event == 1 || gauge {
                sides.iter_mut().for_each(|side| side.clear());
                start_time = if encoding.has_start_times() { t - step / 2 } else { 0 };
            }
            for (side, changes) in sides.iter_mut().zip([positive, negative]) {
                changes.iter().for_each(|(index, by)| *side.entry(*index).or_default() += by);
            }
            let [positive, negative] =
                sides.each_ref().map(|s| s.iter().map(|(i, c)| (*i, *c)).collect::<Vec<_>>());
            let mut value = histogram(encoding, &positive, &negative);
            if gauge {
                set!(value, reset = CounterReset::Gauge);
            }
            match event {
                2 => set!(value, sum = STALE_NAN),
                3 => set!(value, zero_threshold = 0.001),
                _ => {}
            }
            HistogramPoint { t, start_time, value }
        });
        points.collect()
    })
}

fn any_series() -> impl Strategy<Value = (Encoding, Vec<HistogramPoint>)> {
    prop::sample::select(&ENCODINGS).prop_flat_map(|encoding| (Just(encoding), series(encoding)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn decoding_gives_back_what_was_appended((encoding, points) in any_series()) {
        let chunks = write(encoding, &points);
        let got: Vec<_> = chunks.iter().flat_map(|chunk| read(encoding, chunk.bytes())).collect();
        prop_assert_eq!(got.len(), points.len());
        for (got, want) in got.iter().zip(&points) {
            if model::is_stale(want.value.sum()) {
                prop_assert!(model::is_stale(got.value.sum()));
                prop_assert_eq!((got.t, got.start_time), (want.t, want.start_time));
            } else {
                prop_assert_eq!(content(got), content(want));
            }
        }
        for chunk in chunks.iter().filter(|c| c.samples() > 0) {
            let points = read(encoding, chunk.bytes());
            prop_assert_eq!(sample_count(encoding, chunk.bytes()) as usize, points.len());
            prop_assert_eq!(first_time(encoding, chunk.bytes()), Some(points[0].t));
            prop_assert_eq!(last_time(encoding, chunk.bytes()), points.last().map(|p| p.t));
        }
    }

    #[test]
    fn a_rewritten_chunk_is_as_if_it_had_had_all_buckets_from_the_first((encoding, points) in any_series()) {
        for chunk in write(encoding, &points) {
            let header = counter_reset_header(encoding, chunk.bytes());
            let mut again = HistogramWriter::with_header(encoding, header);
            for mut point in read(encoding, chunk.bytes()) {
                if header == CounterReset::Gauge {
                    set!(point.value, reset = header); // of markers, too
                }
                prop_assert_eq!(again.append(&point), HistogramAppended::Appended);
            }
            prop_assert_eq!(again.bytes(), chunk.bytes());
        }
    }

    #[test]
    fn a_writer_rebuilt_from_bytes_goes_on_with_the_same_bytes((encoding, points) in any_series()) {
        let (mut kept, mut rebuilt) = (HistogramWriter::new(encoding), HistogramWriter::new(encoding));
        for point in &points {
            rebuilt = HistogramWriter::resume(encoding, rebuilt.bytes()).unwrap();
            let appended = kept.append(point);
            prop_assert_eq!(rebuilt.append(point), appended);
            prop_assert_eq!(rebuilt.bytes(), kept.bytes());
            prop_assert_eq!(rebuilt.header_after(&point.value), kept.header_after(&point.value));
            if let HistogramAppended::Incompatible(header) = appended {
                kept = HistogramWriter::with_header(encoding, header);
                rebuilt = kept.clone();
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        encoding in prop::sample::select(&ENCODINGS),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0u8), Just(0xff)], 0..200),
    ) {
        let mut out = Vec::new();
        let _ = decode_histograms(encoding, &bytes, u16::MAX, &mut out);
        let _ = first_time(encoding, &bytes);
        if let Ok(mut writer) = HistogramWriter::resume(encoding, &bytes) {
            for point in &out {
                writer.append(point);
            }
        }
    }

    #[test]
    fn a_chunk_with_flipped_bits_is_decoded_or_refused(
        (encoding, points) in any_series(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
    ) {
        let mut bytes = write(encoding, &points).pop().unwrap().bytes().to_vec();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let _ = decode_histograms(encoding, &bytes, u16::MAX, &mut Vec::new());
        let _ = HistogramWriter::resume(encoding, &bytes);
    }

    #[test]
    fn a_chunk_cut_short_keeps_the_samples_before_the_cut(
        (encoding, points) in any_series(),
        cut in any::<prop::sample::Index>(),
    ) {
        let chunk = write(encoding, &points).swap_remove(0);
        if chunk.samples() == 0 { return Ok(()); }
        let mut got = Vec::new();
        let cut = &chunk.bytes()[..cut.index(chunk.bytes().len())];
        let result = decode_histograms(encoding, cut, u16::MAX, &mut got);
        prop_assert!(result.is_err());
        prop_assert!(got.len() < chunk.samples().into());
        let whole = read(encoding, chunk.bytes());
        prop_assert!(got.iter().zip(&whole).all(|(a, b)| model::is_stale(b.value.sum()) || content(a) == content(b)));
    }
}

#[test]
fn what_does_not_go_together_begins_a_new_chunk_with_a_header_that_says_why() {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    for encoding in ENCODINGS {
        let integer = matches!(encoding, Encoding::Histogram | Encoding::HistogramSt);
        let base = || histogram(encoding, &[(1, 5), (2, 7)], &[(0, 3)]);
        let with = |change: &dyn Fn(&mut HistogramValue)| {
            let mut value = base();
            change(&mut value);
            value
        };
        let custom = |bounds: &[f64]| {
            with(&|v| {
                set!(*v, schema = CUSTOM_BUCKETS);
                set!(*v, custom_values = bounds.to_vec());
                edit(v, |h| (h.negative_spans.clear(), h.negative_deltas.clear()).0, |h| h.negative.clear());
            })
        };
        let stale = || with(&|v| set!(*v, sum = STALE_NAN));
        let gauge = || with(&|v| set!(*v, reset = Gauge));
        // What is there, what comes, the header of a chunk that it has to begin, and of one that it is let to begin.
        let after_gauge = if integer { NotReset } else { Unknown };
        let unsure = if integer { Unknown } else { NotReset };
        #[rustfmt::skip]
        let cases: Vec<(&str, HistogramValue, HistogramValue, Option<CounterReset>, CounterReset)> = vec![
            ("the same", base(), base(), None, NotReset),
            ("a bucket fell", base(), histogram(encoding, &[(1, 4), (2, 9)], &[(0, 3)]), Some(Reset), Reset),
            ("a bucket went", base(), histogram(encoding, &[(2, 20)], &[(0, 3)]), Some(Reset), Reset),
            ("a bucket below zero fell", base(), histogram(encoding, &[(1, 5), (2, 9)], &[(0, 1)]), Some(Reset), Reset),
            ("the count fell", base(), with(&|v| edit(v, |h| h.count -= 1, |h| h.count -= 1.0)), Some(Reset), Reset),
            ("zero's count fell", base(), with(&|v| edit(v, |h| h.zero_count = 0, |h| h.zero_count = 0.0)), Some(Reset), Reset),
            ("it says so", base(), with(&|v| set!(*v, reset = Reset)), Some(Reset), Reset),
            ("the schema changed", base(), with(&|v| set!(*v, schema = 2)), Some(Unknown), unsure),
            ("the zero threshold changed", base(), with(&|v| set!(*v, zero_threshold = 0.5)), Some(Unknown), unsure),
            ("the bounds changed", custom(&[1.0, 2.0, 3.0]), custom(&[1.0, 2.5, 3.0]), Some(Reset), Reset),
            ("the bounds are the same", custom(&[1.0, 2.0, 3.0]), custom(&[1.0, 2.0, 3.0]), None, NotReset),
            ("a counter after a gauge", gauge(), base(), Some(after_gauge), NotReset),
            ("a gauge after a counter", base(), gauge(), Some(Gauge), Gauge),
            ("a gauge that fell", gauge(), with(&|v| { set!(*v, reset = Gauge); edit(v, |h| h.count = 1, |h| h.count = 1.0) }), None, NotReset),
            ("the end", base(), stale(), None, NotReset),
            ("after the end", stale(), base(), Some(Unknown), unsure),
        ];
        for (name, first, next, header, cut) in cases {
            let mut writer = HistogramWriter::new(encoding);
            writer.append(&at(1_000, first));
            if next.reset() != Gauge {
                assert_eq!(writer.header_after(&next), cut, "{encoding:?}: {name}");
            }
            let before = writer.bytes().to_vec();
            let want = header.map_or(HistogramAppended::Appended, HistogramAppended::Incompatible);
            assert_eq!(writer.append(&at(2_000, next)), want, "{encoding:?}: {name}");
            assert_eq!(writer.bytes() == before, header.is_some(), "{encoding:?}: {name}");
        }
    }
}

#[test]
fn a_chunk_is_rewritten_for_new_buckets_and_a_sample_filled_up_with_empty_ones() {
    for encoding in ENCODINGS {
        let mut writer = HistogramWriter::new(encoding);
        let cases = [
            (histogram(encoding, &[(1, 5), (3, 0)], &[]), HistogramAppended::Appended),
            (histogram(encoding, &[(1, 6)], &[]), HistogramAppended::Appended),
            (histogram(encoding, &[(1, 6), (2, 1)], &[(4, 1)]), HistogramAppended::Recoded),
            (histogram(encoding, &[(1, 6), (2, 1), (3, 2)], &[(4, 1)]), HistogramAppended::Appended),
        ];
        for (i, (value, want)) in cases.iter().enumerate() {
            assert_eq!(
                writer.append(&at(i as i64 * 15_000, value.clone())),
                *want,
                "{encoding:?}: sample {i}"
            );
        }
        let got = read(encoding, writer.bytes());
        for (i, (got, (want, _))) in got.iter().zip(&cases).enumerate() {
            assert_eq!(
                content(got),
                content(&at(i as i64 * 15_000, want.clone())),
                "{encoding:?}: sample {i}"
            );
        }
        if let HistogramValue::Integer(h) = &got[0].value {
            assert_eq!(h.positive_spans, [Span { offset: 1, length: 3 }]);
            assert_eq!(h.positive_deltas, [5, -5, 0]);
            assert_eq!(h.negative_deltas, [0]);
        }
    }
}

#[test]
fn a_reader_learns_nothing_about_resets_before_the_first_sample() {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    let value = |reset| {
        let mut value = histogram(Encoding::Histogram, &[(1, 5)], &[]);
        set!(value, reset = reset);
        value
    };
    for (first, header, hints) in [
        (Unknown, Unknown, [Unknown, NotReset]),
        (Reset, Reset, [Unknown, NotReset]),
        (Gauge, Gauge, [Gauge, Gauge]),
    ] {
        for encoding in [Encoding::Histogram, Encoding::HistogramSt] {
            let mut writer = HistogramWriter::new(encoding);
            writer.append(&at(1, value(first)));
            writer.append(&at(2, value(if first == Gauge { Gauge } else { Unknown })));
            assert_eq!(counter_reset_header(encoding, writer.bytes()), header);
            let got: Vec<_> = read(encoding, writer.bytes()).iter().map(|p| p.value.reset()).collect();
            assert_eq!(got, hints);
        }
    }
}

#[test]
fn a_full_chunk_takes_no_more() {
    for (encoding, most) in [(Encoding::Histogram, 65_535), (Encoding::HistogramSt, 16_383)] {
        let mut writer = HistogramWriter::new(encoding);
        let value = histogram(encoding, &[], &[]);
        for t in 0..most {
            assert_eq!(writer.append(&at(t, value.clone())), HistogramAppended::Appended);
        }
        assert_eq!(writer.append(&at(most, value)), HistogramAppended::Full);
        assert_eq!(i64::from(sample_count(encoding, writer.bytes())), most);
    }
}

#[test]
fn a_histogram_whose_spans_do_not_agree_with_its_populations_is_refused() {
    let mut value = histogram(Encoding::Histogram, &[(1, 5)], &[]);
    edit(&mut value, |h| h.positive_spans[0].length = u32::MAX, |_| {});
    assert_eq!(HistogramWriter::new(Encoding::Histogram).append(&at(1, value)), HistogramAppended::Malformed);
    let value = histogram(Encoding::FloatHistogram, &[(2, 5), (1, 5)], &[]);
    assert_eq!(
        HistogramWriter::new(Encoding::FloatHistogram).append(&at(1, value)),
        HistogramAppended::Malformed
    );
}

#[test]
fn a_few_bytes_do_not_become_a_lot_of_memory() {
    // A chunk of 64 kB that says that each of its 65,535 samples has thousands of custom bounds.
    let mut value = histogram(Encoding::Histogram, &[], &[]);
    set!(value, schema = CUSTOM_BUCKETS);
    set!(value, custom_values = (0..4000).map(f64::from).collect());
    let mut writer = HistogramWriter::new(Encoding::Histogram);
    for t in 0..60_000 {
        writer.append(&at(t, value.clone()));
    }
    let mut out = Vec::new();
    let result = decode_histograms(Encoding::Histogram, writer.bytes(), u16::MAX, &mut out);
    assert_eq!(result, Err(ChunkError::Buckets("too many spans and custom bounds")));
    assert!(out.len() < 2_000);
}

#[test]
fn reserved_schemas_are_read_by_merging_buckets_and_others_refused() {
    let chunk = |encoding, schema| {
        let mut value = histogram(encoding, &[(1, 5), (2, 7), (3, 1), (4, 2), (5, 9)], &[(-3, 1), (-2, 4)]);
        set!(value, schema = schema);
        let mut writer = HistogramWriter::new(encoding);
        writer.append(&at(1, value));
        writer.bytes().to_vec()
    };
    for encoding in ENCODINGS {
        let got = read(encoding, &chunk(encoding, 10)).pop().unwrap().value.to_float();
        assert_eq!(got.schema, 8);
        assert_eq!(got.positive, [(1, 15.0), (2, 9.0)]);
        assert_eq!(got.negative, [(0, 5.0)]);
        assert_eq!(read(encoding, &chunk(encoding, -9))[0].value.to_float().schema, -9);
        let refused = decode_histograms(encoding, &chunk(encoding, 53), 1, &mut Vec::new());
        assert_eq!(refused, Err(ChunkError::UnknownSchema(53)));
    }
}

#[test]
fn zero_thresholds_and_custom_bounds_come_back_to_the_bit() {
    let thresholds =
        [0.0, 2f64.powi(-243), 2f64.powi(-244), 2f64.powi(10), 2f64.powi(11), 2.938735877055719e-39, 0.3];
    for threshold in thresholds {
        let mut value = histogram(Encoding::Histogram, &[(1, 5)], &[]);
        set!(value, zero_threshold = threshold);
        let mut writer = HistogramWriter::new(Encoding::Histogram);
        writer.append(&at(1, value));
        let got = read(Encoding::Histogram, writer.bytes())[0].value.to_float();
        assert_eq!(got.zero_threshold.to_bits(), threshold.to_bits());
    }
    let bounds = vec![-1.0, 0.0, 0.001, 0.005, 0.1, 1.0 / 3.0, 33_554.43, 33_554.431, 1e300];
    let mut value = histogram(Encoding::Histogram, &[], &[]);
    set!(value, schema = CUSTOM_BUCKETS);
    set!(value, custom_values = bounds.clone());
    let mut writer = HistogramWriter::new(Encoding::Histogram);
    writer.append(&at(1, value));
    assert_eq!(read(Encoding::Histogram, writer.bytes())[0].value.to_float().custom_values, bounds);
}
