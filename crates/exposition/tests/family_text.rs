//! Whole families read from the text format.

// What a helper of a test cannot do fails the test.
#![allow(clippy::unwrap_used)]

use exposition::{MetricKind, TextValue, read_family_text};
use model::ValidationScheme;
use proptest::prelude::*;

#[test]
fn lines_of_a_histogram_and_of_a_summary_are_put_together() {
    let page = "\
# HELP h Of \\\\ and \\n.
# TYPE h histogram
h_bucket{a=\"1\",le=\"0.5\"} 1.5
h_bucket{a=\"2\",le=\"0.5\"} 7
h_bucket{a=\"1\",le=\"+Inf\"} 2
h_sum{a=\"1\"} 3
h_count{a=\"1\"} 2 1700000000000
# TYPE s summary
s{quantile=\"0.9\"} 5
s_count 4
{\"with space\",b=\"c\"} -1
plain 1
# HELP nothing No metric.
";
    let families = read_family_text(page.as_bytes(), ValidationScheme::Utf8).unwrap();
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["h", "plain", "s", "with space"]);
    let [h, plain, s, spaced] = &families[..] else { unreachable!() };
    assert_eq!((h.kind, h.help.as_deref()), (MetricKind::Histogram, Some("Of \\ and \n.")));
    assert_eq!(h.metrics.len(), 2);
    let buckets = vec![(0.5, 1.5), (f64::INFINITY, 2.0)];
    assert_eq!(h.metrics[0].value, TextValue::Histogram { buckets, sum: 3.0, count: 2.0 });
    assert_eq!(h.metrics[0].labels, [("a".to_owned(), "1".to_owned())]);
    assert_eq!(h.metrics[0].timestamp, Some(1_700_000_000_000));
    assert_eq!((plain.kind, plain.help.as_deref()), (MetricKind::Untyped, None));
    let quantiles = vec![(0.9, 5.0)];
    assert_eq!(s.metrics[0].value, TextValue::Summary { quantiles, sum: 0.0, count: 4.0 });
    assert_eq!(spaced.metrics[0].value, TextValue::Float(-1.0));
}

#[test]
fn mistakes_are_told_with_their_line() {
    for (page, want) in [
        ("a 1\nb", "2: unexpected end of input stream"),
        ("a{x=\"1\",x=\"2\"} 1\n", "1: duplicate label names for metric \"a\""),
        ("# TYPE a foo\n", "1: unknown metric type \"foo\""),
        (
            "a 1\n# TYPE a gauge\n",
            "2: second TYPE line for metric name \"a\", or TYPE reported after samples",
        ),
        ("a 1 2 3\n", "1: spurious string after timestamp: \" 3\""),
        ("{} 1\n", "1: invalid metric name"),
        ("a{x='1'} 1\n", "1: expected '\"' at start of label value, found '\\''"),
    ] {
        let told = read_family_text(page.as_bytes(), ValidationScheme::Utf8).unwrap_err();
        assert_eq!(told, format!("text format parsing error in line {want}"), "{page:?}");
    }
    let page = "{\"a b\"} 1\n";
    assert!(read_family_text(page.as_bytes(), ValidationScheme::Utf8).is_ok());
    let told = read_family_text(page.as_bytes(), ValidationScheme::Legacy).unwrap_err();
    assert_eq!(told, "text format parsing error in line 1: invalid metric name \"a b\"");
}

proptest! {
    #[test]
    fn no_page_is_too_odd(
        lines in prop::collection::vec("(# (HELP|TYPE) )?[a{}=\",\\\\ _\n1é]{0,12}( (gauge|histogram|summary))?", 0..8)
    ) {
        let _ = read_family_text(lines.join("\n").as_bytes(), ValidationScheme::Utf8);
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read_family_text(&bytes, ValidationScheme::Legacy);
    }
}
