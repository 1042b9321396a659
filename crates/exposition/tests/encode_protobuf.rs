//! Families written as messages are what the parser of such pages reads.
#![allow(clippy::unwrap_used, reason = "tests")]

use exposition::{
    Escaping, Family, LabelsBuf, Metric, MetricKind, MetricValue, ProtobufEntry, ProtobufOptions,
    ProtobufParser, encode_protobuf,
};
use model::Labels;

#[test]
fn what_is_written_is_read() {
    let histogram = MetricValue::Histogram { buckets: vec![(0.1, 1), (1.0, 3)], sum: 5.5, count: 4 };
    let summary = MetricValue::Summary { quantiles: vec![(0.5, 0.25)], sum: 1e6, count: 300 };
    let one = |value, timestamp| Metric { labels: Labels::empty(), value, timestamp };
    let families = [
        Family::new("c_total", "Counts.", MetricKind::Counter)
            .with(Labels::from_pairs([("x", "a\"é")]), 1.0)
            .with(Labels::empty(), 1e21),
        Family { metrics: vec![one(histogram, None)], ..Family::new("h", "H.", MetricKind::Histogram) },
        Family { metrics: vec![one(summary, Some(-5))], ..Family::new("s", "", MetricKind::Summary) },
        Family::new("a.b", "Dot.", MetricKind::Untyped).with(Labels::from_pairs([("l.x", "1")]), -0.5),
        Family::new("unused", "U.", MetricKind::Gauge),
        Family::new("g", "G.", MetricKind::Gauge).with(Labels::empty(), f64::INFINITY),
    ];
    let page = encode_protobuf(&families, Escaping::AllowUtf8);
    let options = ProtobufOptions { native: false, classic_too: false, convert: false };
    let mut parser = ProtobufParser::new(&page, options);
    let (mut told, mut labels) = (Vec::new(), LabelsBuf::new());
    loop {
        match parser.next().unwrap() {
            ProtobufEntry::Eof => break,
            ProtobufEntry::Family(family) => told.push(format!("{} {:?}", family.name, family.kind)),
            ProtobufEntry::Series { value } => {
                parser.read_labels(&mut labels).unwrap();
                told.push(format!("{} {value} {:?}", labels.labels(), parser.timestamp_ms()));
            }
            ProtobufEntry::Histogram => panic!("no native histogram was written"),
        }
    }
    let expected = [
        "c_total Counter",
        r#"{__name__="c_total", x="a\"é"} 1 None"#,
        r#"{__name__="c_total"} 1000000000000000000000 None"#,
        "h Histogram",
        r#"{__name__="h_count"} 4 None"#,
        r#"{__name__="h_sum"} 5.5 None"#,
        r#"{__name__="h_bucket", le="0.1"} 1 None"#,
        r#"{__name__="h_bucket", le="1.0"} 3 None"#,
        r#"{__name__="h_bucket", le="+Inf"} 4 None"#,
        "s Summary",
        r#"{__name__="s_count"} 300 Some(-5)"#,
        r#"{__name__="s_sum"} 1000000 Some(-5)"#,
        r#"{__name__="s", quantile="0.5"} 0.25 Some(-5)"#,
        "a.b Untyped",
        r#"{__name__="a.b", "l.x"="1"} -0.5 None"#,
        "g Gauge",
        r#"{__name__="g"} inf None"#,
    ];
    assert_eq!(told, expected);
}
