//! Families written as pages, and read back.

#![allow(clippy::unwrap_used, reason = "a failing case has to stop the test")]

use exposition::{
    Entry, Escaping, Family, Format, LabelsBuf, Metric, MetricKind, MetricValue, PageFormat, PageParser,
    Syntax, encode,
};
use model::{Labels, METRIC_NAME};
use proptest::prelude::*;

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    Labels::from_pairs(pairs)
}

fn families() -> Vec<Family> {
    let histogram = MetricValue::Histogram { buckets: vec![(0.1, 1), (1.0, 3)], sum: 5.5, count: 4 };
    let summary = MetricValue::Summary { quantiles: vec![(0.5, 0.25), (1.0, f64::NAN)], sum: 1e6, count: 2 };
    vec![
        Family::new("c_total", "Back\\slash, \"quote\" and\nline.", MetricKind::Counter)
            .with(labels([("x", "a\\b\"c\nd")]), 1.0)
            .with(labels([("x", "é")]), 1e21),
        Family {
            metrics: vec![Metric { labels: Labels::empty(), value: histogram, timestamp: None }],
            ..Family::new("h", "H.", MetricKind::Histogram)
        },
        Family {
            metrics: vec![Metric {
                labels: labels([("y", "z")]),
                value: summary,
                timestamp: Some(1_700_000_000_123),
            }],
            ..Family::new("s", "", MetricKind::Summary)
        },
        Family::new("plain_count", "Not a counter by name.", MetricKind::Counter)
            .with(Labels::empty(), f64::INFINITY),
        Family::new("build_info", "I.", MetricKind::Info).with(labels([("version", "1")]), 1.0),
        Family::new("a.b", "Dot.", MetricKind::Untyped).with(labels([("l.x", "1")]), -0.5),
        Family::new("unused", "U.", MetricKind::Gauge),
    ]
}

const TEXT: &str = r#"# HELP c_total Back\\slash, "quote" and\nline.
# TYPE c_total counter
c_total{x="a\\b\"c\nd"} 1
c_total{x="é"} 1e+21
# HELP h H.
# TYPE h histogram
h_bucket{le="0.1"} 1
h_bucket{le="1"} 3
h_bucket{le="+Inf"} 4
h_sum 5.5
h_count 4
# TYPE s summary
s{y="z",quantile="0.5"} 0.25 1700000000123
s{y="z",quantile="1"} NaN 1700000000123
s_sum{y="z"} 1e+06 1700000000123
s_count{y="z"} 2 1700000000123
# HELP plain_count Not a counter by name.
# TYPE plain_count counter
plain_count +Inf
# HELP build_info I.
# TYPE build_info gauge
build_info{version="1"} 1
# HELP a_b Dot.
# TYPE a_b untyped
a_b{l_x="1"} -0.5
"#;

const OPENMETRICS: &str = r#"# HELP c Back\\slash, \"quote\" and\nline.
# TYPE c counter
c_total{x="a\\b\"c\nd"} 1.0
c_total{x="é"} 1e+21
# HELP h H.
# TYPE h histogram
h_bucket{le="0.1"} 1
h_bucket{le="1.0"} 3
h_bucket{le="+Inf"} 4
h_sum 5.5
h_count 4
# TYPE s summary
s{y="z",quantile="0.5"} 0.25 1.700000000123e+09
s{y="z",quantile="1.0"} NaN 1.700000000123e+09
s_sum{y="z"} 1e+06 1.700000000123e+09
s_count{y="z"} 2 1.700000000123e+09
# HELP plain_count Not a counter by name.
# TYPE plain_count unknown
plain_count +Inf
# HELP build I.
# TYPE build info
build_info{version="1"} 1.0
# HELP "a.b" Dot.
# TYPE "a.b" unknown
{"a.b","l.x"="1"} -0.5
# HELP unused U.
# TYPE unused gauge
# EOF
"#;

#[test]
fn families_are_written_as_text() {
    assert_eq!(encode(&families(), Format::TEXT), TEXT);
}

#[test]
fn families_are_written_as_openmetrics() {
    let format = Format { syntax: Syntax::OpenMetrics1, escaping: Escaping::AllowUtf8 };
    assert_eq!(encode(&families(), format), OPENMETRICS);
}

#[test]
fn names_are_escaped_in_four_ways() {
    let cases = [
        (Escaping::AllowUtf8, "{\"a.b_c\",\"é\"=\"1\"} 1"),
        (Escaping::Underscores, "a_b_c{_=\"1\"} 1"),
        (Escaping::Dots, "a_dot_b__c{__=\"1\"} 1"),
        (Escaping::Values, "U__a_2e_b__c{U___e9_=\"1\"} 1"),
    ];
    for (escaping, line) in cases {
        let family = Family::new("a.b_c", "", MetricKind::Gauge).with(labels([("é", "1")]), 1.0);
        let page = encode(&[family], Format { syntax: Syntax::Text, escaping });
        assert_eq!(page.lines().last(), Some(line));
        let legacy = Family::new("a_b:c", "", MetricKind::Gauge).with(labels([("x_y", "1")]), 1.0);
        let page = encode(&[legacy], Format { syntax: Syntax::Text, escaping });
        assert_eq!(page.lines().last(), Some("a_b:c{x_y=\"1\"} 1"), "{escaping:?}");
    }
}

/// Label sets and values of a page.
fn samples(format: PageFormat, page: &str) -> Vec<(Labels, u64, Option<i64>)> {
    let mut parser = PageParser::new(format, page.as_bytes());
    let mut labels = LabelsBuf::new();
    let mut samples = Vec::new();
    loop {
        match parser.next().unwrap() {
            Entry::Eof => return samples,
            Entry::Series(line) => {
                labels.read(format, line.series, MetricKind::Untyped).unwrap();
                samples.push((labels.labels(), (line.value + 0.0).to_bits(), line.timestamp_ms));
            }
            _ => {}
        }
    }
}

fn any_family() -> impl Strategy<Value = Family> {
    let kind = prop::sample::select(vec![MetricKind::Counter, MetricKind::Gauge, MetricKind::Untyped]);
    let label = ("[a-z.é\"\\\\ ]{1,4}", "\\PC{1,6}|[\n\"\\\\n]{1,4}");
    let metric = (
        prop::collection::vec(label, 0..4),
        prop::num::f64::NORMAL | prop::num::f64::ZERO,
        prop::option::of(0i64..1i64 << 40),
    );
    ("[a-zA-Z:.é\"\n\\\\ ]{1,8}", "\\PC{0,8}", kind, prop::collection::vec(metric, 1..4)).prop_map(
        |(name, help, kind, metrics)| {
            let metrics = metrics
                .into_iter()
                .map(|(labels, v, timestamp)| Metric {
                    labels: Labels::from_pairs(labels),
                    value: MetricValue::Float(v),
                    timestamp,
                })
                .collect();
            Family { name, help, kind, metrics }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(families in prop::collection::vec(any_family(), 0..4)) {
        let wanted: Vec<_> = families
            .iter()
            .flat_map(|family| family.metrics.iter().map(move |metric| (family, metric)))
            .map(|(family, metric)| {
                let MetricValue::Float(v) = metric.value else { unreachable!() };
                let pairs = metric.labels.iter().chain([(METRIC_NAME, family.name.as_str())]);
                (Labels::from_pairs(pairs), (v + 0.0).to_bits(), metric.timestamp)
            })
            .collect();
        let text = encode(&families, Format { syntax: Syntax::Text, escaping: Escaping::AllowUtf8 });
        prop_assert_eq!(&samples(PageFormat::Text, &text), &wanted);
        let openmetrics = encode(&families, Format { syntax: Syntax::OpenMetrics1, escaping: Escaping::AllowUtf8 });
        let mut read = samples(PageFormat::OpenMetrics, &openmetrics);
        for (read, wanted) in read.iter_mut().zip(&wanted) {
            // Seconds in a double may lose the last millisecond.
            if let (Some(read), Some(wanted)) = (&mut read.2, wanted.2) && (*read - wanted).abs() <= 1 {
                *read = wanted;
            }
        }
        prop_assert_eq!(&read, &wanted);
    }
}
