//! Samples written as a page are what its parsers read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use exposition::{
    Escaping, Format, LabelsBuf, ProtobufEntry, ProtobufOptions, ProtobufParser, SamplePage, SampleValue,
    Syntax,
};
use model::histogram::{CUSTOM_BUCKETS, CounterReset, FloatHistogram, HistogramValue};

fn format(syntax: Syntax) -> Format {
    Format { syntax, escaping: Escaping::AllowUtf8 }
}

fn native() -> FloatHistogram {
    FloatHistogram {
        schema: -2,
        zero_threshold: 0.5,
        zero_count: 1.5,
        count: 12.0,
        sum: -3.25,
        positive: vec![(-3, 1.0), (-2, 2.0), (4, 0.5)],
        negative: vec![(0, 3.0), (7, 4.0)],
        ..FloatHistogram::default()
    }
}

fn custom() -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS,
        count: 7.0,
        sum: 5.5,
        positive: vec![(0, 1.0), (2, 4.0), (3, 2.0)],
        custom_values: vec![0.1, 1.0, 10.0],
        ..FloatHistogram::default()
    }
}

fn page(syntax: Syntax) -> Vec<u8> {
    let mut page = SamplePage::new(format(syntax));
    let one = [("x", "1"), ("instance", "")];
    page.sample("a", one.into_iter(), SampleValue::Float(1.0), 5);
    page.sample("a", [("ä", "\"\n\\")].into_iter(), SampleValue::Float(f64::INFINITY), -1);
    page.sample("a", one.into_iter(), SampleValue::Histogram(&custom()), 6);
    page.sample("h", one.into_iter(), SampleValue::Histogram(&native()), 7);
    let gauge = FloatHistogram { reset: CounterReset::Gauge, ..native() };
    page.sample("h", [].into_iter(), SampleValue::Histogram(&gauge), 8);
    page.sample("é.z", [].into_iter(), SampleValue::Float(-0.0), 9);
    page.finish()
}

#[test]
fn text_has_no_native_histograms_and_custom_ones_as_classic() {
    let expected = r#"# TYPE a untyped
a{x="1",instance=""} 1 5
a{"ä"="\"\n\\"} +Inf -1
# TYPE a histogram
a_bucket{x="1",instance="",le="0.1"} 1 6
a_bucket{x="1",instance="",le="1"} 1 6
a_bucket{x="1",instance="",le="10"} 5 6
a_bucket{x="1",instance="",le="+Inf"} 7 6
a_sum{x="1",instance=""} 5.5 6
a_count{x="1",instance=""} 7 6
# TYPE "é.z" untyped
{"é.z"} 0 9
"#;
    assert_eq!(String::from_utf8(page(Syntax::Text)).unwrap(), expected);
}

#[test]
fn protobuf_has_everything() {
    let bytes = page(Syntax::Protobuf);
    let mut parser =
        ProtobufParser::new(&bytes, ProtobufOptions { native: true, classic_too: false, convert: false });
    let mut told = Vec::new();
    let mut labels = LabelsBuf::new();
    loop {
        match parser.next().unwrap() {
            ProtobufEntry::Eof => break,
            ProtobufEntry::Family(family) => told.push(format!("{} {:?}", family.name, family.kind)),
            ProtobufEntry::Series { value } => {
                parser.read_labels(&mut labels).unwrap();
                told.push(format!("{} {value} {:?}", labels.labels(), parser.timestamp_ms()));
            }
            ProtobufEntry::Histogram => {
                parser.read_labels(&mut labels).unwrap();
                let value = match parser.histogram() {
                    HistogramValue::Float(h) => *h,
                    HistogramValue::Integer(h) => panic!("{h:?}"),
                };
                let gauge = value.reset == CounterReset::Gauge;
                assert!(native().same(&FloatHistogram { reset: CounterReset::Unknown, ..value }));
                told.push(format!("{} gauge={gauge} {:?}", labels.labels(), parser.timestamp_ms()));
            }
        }
    }
    let expected = [
        "a Untyped",
        r#"{__name__="a", x="1"} 1 Some(5)"#,
        r#"{__name__="a", "ä"="\"\n\\"} inf Some(-1)"#,
        "a Histogram",
        r#"{__name__="a_count", x="1"} 7 Some(6)"#,
        r#"{__name__="a_sum", x="1"} 5.5 Some(6)"#,
        r#"{__name__="a_bucket", le="0.1", x="1"} 1 Some(6)"#,
        r#"{__name__="a_bucket", le="1.0", x="1"} 1 Some(6)"#,
        r#"{__name__="a_bucket", le="10.0", x="1"} 5 Some(6)"#,
        r#"{__name__="a_bucket", le="+Inf", x="1"} 7 Some(6)"#,
        "h Histogram",
        r#"{__name__="h", x="1"} gauge=false Some(7)"#,
        "h GaugeHistogram",
        r#"{__name__="h"} gauge=true Some(8)"#,
        "é.z Untyped",
        r#"{__name__="é.z"} -0 Some(9)"#,
    ];
    assert_eq!(told, expected);
}
