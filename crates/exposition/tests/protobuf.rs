//! Protobuf pages: what is read of each kind of metric, and why pages are refused.

use exposition::{LabelsBuf, ProtobufEntry, ProtobufOptions, ProtobufParser};
use model::histogram::{CounterReset, HistogramValue};
use proptest::prelude::*;

/// Native histograms with classic buckets and exemplars, a gauge histogram of floats, and one metric of each other kind.
const PAGE: &[u8] = include_bytes!("../testdata/histograms.pb");

/// Entries as lines; the error as the last one.
fn read(page: &[u8], options: ProtobufOptions) -> Vec<String> {
    let mut parser = ProtobufParser::new(page, options);
    let mut labels = LabelsBuf::new();
    let mut out = Vec::new();
    loop {
        let value = match parser.next() {
            Ok(ProtobufEntry::Eof) => return out,
            Err(err) => {
                out.push(err.to_string());
                return out;
            }
            Ok(ProtobufEntry::Family(family)) => {
                out.push(format!("# {} {:?} {:?} {:?}", family.name, family.kind, family.help, family.unit));
                continue;
            }
            Ok(ProtobufEntry::Series { value }) => value.to_string(),
            Ok(ProtobufEntry::Histogram) => match parser.histogram() {
                HistogramValue::Integer(h) => format!(
                    "{{{} {} {:?} {:?} {:?} {:?} {:?}}}",
                    h.count,
                    h.sum,
                    h.reset,
                    h.positive_spans.iter().map(|span| (span.offset, span.length)).collect::<Vec<_>>(),
                    h.positive_deltas,
                    h.negative_deltas,
                    h.custom_values,
                ),
                HistogramValue::Float(h) => {
                    format!("{{{} {} {:?} {:?}}}", h.count, h.sum, h.reset, h.positive)
                }
            },
        };
        if let Err(err) = parser.read_labels(&mut labels) {
            out.push(err.to_string());
            return out;
        }
        let mut line = format!("{} {value}", labels.labels());
        if let Some(time) = parser.timestamp_ms() {
            line.push_str(&format!(" @{time}"));
        }
        if parser.start_time() != 0 {
            line.push_str(&format!(" since {}", parser.start_time()));
        }
        parser.exemplars(|e| line.push_str(&format!(" # {} {} {:?}", e.labels, e.value, e.timestamp_ms)));
        out.push(line);
    }
}

const CLASSIC: [&str; 6] = [
    r#"# request_seconds Histogram "How long." "seconds""#,
    r#"{__name__="request_seconds_count", path="/"} 11 since 1700000000000"#,
    r#"{__name__="request_seconds_sum", path="/"} 20.5 since 1700000000000"#,
    r#"{__name__="request_seconds_bucket", le="0.5", path="/"} 5 since 1700000000000 # {t="old"} 0.4 None"#,
    r#"{__name__="request_seconds_bucket", le="2.0", path="/"} 8 since 1700000000000"#,
    r#"{__name__="request_seconds_bucket", le="+Inf", path="/"} 11 since 1700000000000"#,
];
const NATIVE: &str = concat!(
    r#"{__name__="request_seconds", path="/"} {11 20.5 Unknown [(0, 2), (1, 1)] [1, 1, 1] [3] []}"#,
    r#" since 1700000000000 # {t="x"} 0.7 Some(1700000000500)"#
);
const CONVERTED: &str = concat!(
    r#"{__name__="request_seconds", path="/"} {11 20.5 Unknown [(0, 3)] [5, -2, 0] [] [0.5, 2.0]}"#,
    r#" since 1700000000000 # {t="x"} 0.7 Some(1700000000500)"#
);

#[test]
fn histograms_are_read_as_the_options_say() {
    let options = |native, classic_too, convert| ProtobufOptions { native, classic_too, convert };
    let (head, classic) = CLASSIC.split_first().unwrap();
    for (options, expected) in [
        (options(false, false, false), [&[*head], classic].concat()),
        (options(true, false, false), vec![head, NATIVE]),
        (options(true, true, false), [&[*head, NATIVE], classic].concat()),
        (options(true, false, true), vec![head, NATIVE]),
        (options(false, false, true), vec![head, CONVERTED]),
        (options(false, true, true), [&[*head], classic, &[CONVERTED]].concat()),
    ] {
        let read = read(PAGE, options);
        assert_eq!(read[..expected.len()], expected, "{options:?}");
        assert_eq!(read[expected.len()], r##"# load GaugeHistogram "" """##, "{options:?}");
    }
}

#[test]
fn other_kinds_are_read_whatever_the_options() {
    let expected = [
        r##"# load GaugeHistogram "" """##,
        r##"{__name__="load"} {6.5 2 Gauge [(0, 2.0), (1, 4.0)]}"##,
        r##"# requests_total Counter "" """##,
        r##"{__name__="requests_total", code="200"} 5 since 1700000000000 # {trace="abc"} 1.5 Some(1700000000000)"##,
        r##"# s Summary "" """##,
        r##"{__name__="s_count"} 5 @1700000001000 since 1700000000250"##,
        r##"{__name__="s_sum"} 2.5 @1700000001000 since 1700000000250"##,
        r##"{__name__="s", quantile="0.5"} 1 @1700000001000 since 1700000000250"##,
        r##"# g Gauge "" """##,
        r##"{__name__="g"} -1.5"##,
        r##"# u Untyped "" """##,
        r##"{__name__="u"} 2"##,
    ];
    let read = read(PAGE, ProtobufOptions { native: true, ..ProtobufOptions::default() });
    assert_eq!(read[2..], expected);
    assert_eq!(CounterReset::default(), CounterReset::Unknown);
}

#[test]
fn broken_pages_are_refused_in_prometheus_words() {
    for (page, expected) in [
        (&b"\x80"[..], "clientpb: invalid varint encountered"),
        (b"\xff\xff\xff\xff\xff\xff\x01", "clientpb: invalid varint encountered"),
        (b"nope", "clientpb: insufficient length of buffer, expected at least 111 bytes, got 4 bytes"),
        (b"\x02\x0a\x05", "unexpected EOF"),
        (b"\x01\x0c", "proto: MetricFamily: wiretype end group for non-group"),
        (b"\x01\x00", "proto: MetricFamily: illegal tag 0 (wire type 0)"),
        (b"\x02\x08\x01", "proto: wrong wireType = 0 for field Name"),
        (b"\x02\x37\x00", "proto: illegal wireType 7"),
        (b"\x0b\x37\x00", "clientpb: insufficient length of buffer, expected at least 12 bytes, got 3 bytes"),
        (b"\x02\x22\x00", "invalid metric name: "),
        (b"\x05\x0a\x01a\x22\x00", "{__name__=\"a\"} 0"),
        (b"\x07\x0a\x01a\x18\x09\x22\x00", "unknown metric type for metric \"a\": 9"),
        (b"\x08\x0a\x01a\x12\x01\xff\x22\x00", "invalid help for metric \"a\": \u{fffd}"),
        (b"\x0a\x0a\x01a\x22\x05\x0a\x03\x0a\x01\xff", "invalid label name: \u{fffd}"),
        (b"\x0a\x0a\x01a\x22\x05\x0a\x03\x12\x01\xff", "invalid label value: \u{fffd}"),
        (
            b"\x0d\x0a\x01a\x18\x04\x22\x06\x3a\x04\x62\x02\x10\x03",
            "histogram \"a\": positive side: spans require 3 buckets, have 0",
        ),
    ] {
        let options = ProtobufOptions { native: true, ..ProtobufOptions::default() };
        assert_eq!(read(page, options).pop().as_deref(), Some(expected), "{page:02x?}");
    }
    // A family without metrics is passed over, whatever its name.
    assert_eq!(read(b"\x00\x03\x0a\x01\xff", ProtobufOptions::default()), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_pages_are_read_or_refused(
        changes in prop::collection::vec((0..PAGE.len(), any::<u8>()), 0..6),
        end in 0..PAGE.len(),
        switches in any::<(bool, bool, bool)>(),
    ) {
        let mut page = PAGE.to_vec();
        for (at, byte) in changes {
            page[at] = byte;
        }
        let (native, classic_too, convert) = switches;
        let options = ProtobufOptions { native, classic_too, convert };
        read(&page, options);
        read(&page[..end], options);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(page in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&page, ProtobufOptions { native: true, classic_too: true, convert: true });
    }
}
