//! What texts mean, by example; the answers were checked against Prometheus 3.14.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use model::STALE_NAN;
use promql::{
    HistogramLiteral, ParseOptions, ResetHint, SeriesItem, ast_json, parse, parse_metric,
    parse_metric_selector, parse_series_desc, pretty,
};

fn printed(text: &str) -> String {
    parse(text, &ParseOptions::all()).map_or_else(|e| e.to_string(), |expr| expr.to_string())
}

#[test]
fn expressions_print_as_prometheus_prints_them() {
    for (text, want) in [
        ("0xc", "12"),
        ("017", "15"),
        ("1_000.5", "1000.5"),
        ("+5.5e-3", "0.0055"),
        ("1h30m", "1h30m"),
        ("-1^-2", "-1 ^ -2"),
        ("a^b^c*d", "a ^ b ^ c * d"),
        ("a or b and c", "a or b and c"),
        ("SUM BY (job, \"a.b\") (x)", "sum by (job, \"a.b\") (x)"),
        ("sum(x) without (a,)", "sum without (a) (x)"),
        ("sum by () (x)", "sum(x)"),
        ("x{b='1',a=~\"2\"}", "x{a=~\"2\",b=\"1\"}"),
        ("{\"x.y\", a=\"b\"}", "{__name__=\"x.y\",a=\"b\"}"),
        ("x offset 5m @ 10", "x @ 10.000 offset 5m"),
        ("x offset -5m^2", "x offset -5m ^ 2"),
        ("x[5m*2] @ end()", "x[5m * 2] @ end()"),
        ("x offset (5m + step())", "x offset (5m + step())"),
        ("x offset -(1^2)", "x offset -(1 ^ 2)"),
        ("max_over_time(x[1h:]) ", "max_over_time(x[1h:])"),
        ("x[1h:5m] offset 1d", "x[1h:5m] offset 1d"),
        ("rate(x[5m] smoothed)", "rate(x[5m] smoothed)"),
        ("a + on (x) group_left b", "a + on (x) group_left () b"),
        ("a + fill_left (0) fill_right (1) b", "a + fill_left (0) fill_right (1) b"),
        ("a == bool on () b", "a == bool on () b"),
        ("fill + end + offset", "fill + end + offset"),
        ("x # comment\n + y", "x + y"),
        ("\"a\\x41\\u263a\\n\"", "\"aA☺\\n\""),
        ("`\\n`", "\"\\\\n\""),
        ("h </ 5", "h </ 5"),
    ] {
        assert_eq!(printed(text), want, "{text}");
    }
}

#[test]
fn errors_have_prometheus_words_and_positions() {
    for (text, want) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("# comment\n", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("1\n+ *", "2:3: parse error: unexpected <op:*>"),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        ("a)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("é", "1:1: parse error: unexpected character: 'é'"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum a", "1:5: parse error: unexpected identifier \"a\""),
        ("sum by a (b)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\""),
        ("a{b", "1:4: parse error: unexpected end of input inside braces"),
        ("a{b=1}", "1:5: parse error: unexpected character inside braces: '1'"),
        (
            "a{b \"c\"}",
            "1:5: parse error: unexpected string \"\\\"c\\\"\" in label matching, expected label matching operator",
        ),
        (
            "a[]",
            "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        ("a[5m", "1:5: parse error: unclosed left bracket"),
        (
            "a[5m] offset",
            "1:13: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
        ),
        ("a offset -1e300", "1:10: parse error: duration out of range"),
        ("a offset -(1e300)", "1:12: parse error: duration out of range"),
        ("a[-1e300]", "1:4: parse error: duration out of range"),
        ("a offset 5m[5m]", "1:12: parse error: no offset modifiers allowed before range"),
        ("(a)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
        ("a[0]", "1:3: parse error: duration must be greater than 0"),
        ("a @ start", "1:10: parse error: unexpected end of input in @, expected timestamp"),
        ("a offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        ("5mm", "1:1: parse error: bad number or duration syntax: \"5mm\""),
        ("\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("rat(a[5m])", "1:1: parse error: unknown function with name \"rat\""),
        ("rate(1)", "1:6: parse error: expected type range vector in call to function \"rate\", got scalar"),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("rate(a[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("1 and a", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("a and on (x) group_left b", "1:1: parse error: no grouping allowed for \"and\" operation"),
        (
            "a + on (x) group_left (x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        ("a + on (x) group_left )", "1:24: parse error: unexpected right parenthesis ')'"),
        ("(a + on (x) group_left )", "1:24: parse error: unexpected \")\" in grouping opts, expected \"(\""),
        (
            "1_ + 1",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1_\": invalid syntax",
        ),
        ("a + on (x) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        ("info(a, b)", "1:9: parse error: expected label selectors only, got vector selector instead"),
        ("a anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
    ] {
        assert_eq!(printed(text), want, "{text}");
    }
}

#[test]
fn experimental_parts_are_refused_unless_switched_on() {
    let off = ParseOptions { duration_expressions: false, ..ParseOptions::default() };
    for (text, want) in [
        ("info(a)", "1:1: parse error: function \"info\" is not enabled"),
        (
            "limitk(1, a)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("a[5m * 2]", "1:3: parse error: experimental duration expression is not enabled"),
        ("a anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("a + fill (0) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        assert_eq!(parse(text, &off).unwrap_err().to_string(), want, "{text}");
        assert!(parse(text, &ParseOptions::all()).is_ok(), "{text}");
    }
    assert!(parse("a[5m * 2]", &ParseOptions::default()).is_ok());
}

#[test]
fn help_says_what_would_be_right_and_stays_out_of_the_message() {
    for (text, want) in [
        ("incease(a[5m])", "did you mean increase?"),
        ("rate(a)", "give it a window: metric[5m], or expr[5m:] for an expression"),
        ("(a", "a ) is missing"),
        ("round()", "round(instant vector, [scalar])"),
        ("topk(a)", "topk(scalar, instant vector)"),
        ("a.b", "quote names with dots: {\"my.metric\"}"),
        ("rate(a[5m])[5m]", "a window over an expression is a subquery: expr[5m:]"),
    ] {
        let errors = parse(text, &ParseOptions::all()).unwrap_err();
        let error = &errors.as_slice()[0];
        assert_eq!(error.help.as_deref(), Some(want), "{text}");
        assert!(!error.to_string().contains(want));
    }
}

#[test]
fn type_errors_are_all_reported() {
    let errors = parse("rate(a) + rate(b)", &ParseOptions::default()).unwrap_err();
    let places: Vec<(u32, u32)> = errors.as_slice().iter().map(|e| (e.span.start, e.span.end)).collect();
    assert_eq!(places, [(5, 6), (15, 16)]);
}

#[test]
fn every_node_knows_its_place() {
    let text = "  sum ( rate(x{a=\"b\"}[5m] offset 1h) ) ";
    let expr = parse(text, &ParseOptions::default()).unwrap();
    let span = expr.span();
    assert_eq!(&text[span.start as usize..span.end as usize], text.trim());
    let promql::ast::Expr::Aggregate(sum) = expr else { panic!() };
    let span = sum.expr.span();
    assert_eq!(&text[span.start as usize..span.end as usize], "rate(x{a=\"b\"}[5m] offset 1h)");
}

#[test]
fn long_expressions_are_split() {
    let text = "sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{namespace=\"default\",container!=\"\"}[5m])) / on (namespace) group_left () -x";
    let want = r#"  sum by (namespace, pod) (
    rate(container_cpu_usage_seconds_total{container!="",namespace="default"}[5m])
  )
/ on (namespace) group_left ()
  -x"#;
    assert_eq!(pretty(&parse(text, &ParseOptions::default()).unwrap()), want);
}

#[test]
fn trees_become_json() {
    let expr = parse("-rate(x{a!=\"<\"}[5m] @ 1 offset (1m + step()))", &ParseOptions::default()).unwrap();
    let want = r#"{"expr":{"args":[{"anchored":false,"matchers":[{"name":"a","type":"!=","value":"\u003c"},{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":0,"offsetExpr":{"lhs":{"duration":true,"type":"numberLiteral","val":"60"},"op":"+","rhs":{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false},"type":"durationExpr","wrapped":true},"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":1000,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"},"op":"-","type":"unaryExpr"}"#;
    assert_eq!(ast_json(&expr), want);
}

#[test]
fn selectors_and_metrics_stand_alone() {
    let matchers = parse_metric_selector("up{job=~\"a|b\"}").unwrap();
    let shown: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["job=~\"a|b\"", "__name__=\"up\""]);
    assert!(parse_metric_selector("{}").unwrap().is_empty());
    for (text, want) in [
        ("", "unknown position: parse error: unexpected end of input"),
        ("up[5m]", "1:3: parse error: unexpected \"[\""),
        ("up{", "1:4: parse error: unexpected end of input inside braces"),
        ("1", "1:1: parse error: unexpected number \"1\""),
    ] {
        assert_eq!(parse_metric_selector(text).unwrap_err().to_string(), want, "{text}");
    }
    let labels = parse_metric("{\"a.b\", c=\"d\"}").unwrap();
    assert_eq!((labels.value("__name__"), labels.value("c")), ("a.b", "d"));
    assert!(parse_metric("").unwrap().iter().next().is_none());
}

#[test]
fn series_descriptions_keep_repetitions_short() {
    let (labels, items) = parse_series_desc("x{a=\"b\"} 1 -2x3 1+0.5x4 _ _x3 stale Inf").unwrap();
    assert_eq!(labels.value("__name__"), "x");
    let float = |value, step, times| SeriesItem::Float { value, step, times };
    assert_eq!(
        items[..5],
        [
            float(1.0, 0.0, 0),
            float(-2.0, 0.0, 3),
            float(1.0, 0.5, 4),
            SeriesItem::Missing { count: 1 },
            SeriesItem::Missing { count: 3 },
        ]
    );
    assert!(matches!(items[5], SeriesItem::Float { value, .. } if value.to_bits() == STALE_NAN.to_bits()));
    assert_eq!(items[6], float(f64::INFINITY, 0.0, 0));
    assert_eq!(items.iter().map(SeriesItem::len).sum::<u64>(), 1 + 4 + 5 + 1 + 3 + 1 + 1);
}

#[test]
fn histogram_literals_are_plain_values() {
    let text = "{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 -7] offset:-3 n_buckets:[4.1] n_offset:-5 counter_reset_hint:gauge}}";
    let want = HistogramLiteral {
        schema: 1,
        sum: -0.3,
        count: 3.1,
        zero_count: 7.1,
        zero_threshold: 0.05,
        offset: -3,
        buckets: vec![5.1, 10.0, -7.0],
        negative_offset: -5,
        negative_buckets: vec![4.1],
        custom_values: vec![],
        reset_hint: Some(ResetHint::Gauge),
    };
    let (_, items) = parse_series_desc(&format!("x {text}x2 {{{{}}}}+{{{{sum:1}}}}x3")).unwrap();
    assert_eq!(
        items[0],
        SeriesItem::Histogram { value: Box::new(want), step: None, subtract: false, times: 2 }
    );
    let step = Some(Box::new(HistogramLiteral { sum: 1.0, ..HistogramLiteral::default() }));
    assert_eq!(items[1], SeriesItem::Histogram { value: Box::default(), step, subtract: false, times: 3 });
}

#[test]
fn wrong_series_descriptions_are_refused() {
    for (text, want) in [
        (
            "x 1 2 b",
            "1:7: parse error: unexpected identifier \"b\" in series values, expected number or \"stale\"",
        ),
        ("x{a=1} 1", "1:5: parse error: unexpected character inside braces: '1'"),
        ("x 1x-5", "1:5: parse error: unexpected <op:-> in series values"),
        ("x {{schema:1 foo:2}}", "1:14: parse error: bad histogram descriptor found: \"foo\""),
        ("x {{schema:1 schema:2}}", "1:1: parse error: duplicate key \"schema\" in histogram"),
        ("x {{sum 1}}", "1:5: parse error: missing `:` for histogram descriptor"),
    ] {
        assert_eq!(parse_series_desc(text).unwrap_err().to_string(), want, "{text}");
    }
}
