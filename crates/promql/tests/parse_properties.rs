//! Printing and parsing are each other's inverse, and no text makes the parser panic or run away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write;
use std::time::{Duration, Instant};

use promql::ast::ValueType;
use promql::functions::FUNCTIONS;
use promql::{ParseOptions, ast_json, parse, parse_metric, parse_metric_selector, parse_series_desc, pretty};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u32..1000).prop_map(|n| n.to_string()),
        (1u32..100, 0u32..100).prop_map(|(a, b)| format!("{a}.{b}")),
        Just("Inf".to_owned()),
        Just("NaN".to_owned()),
        Just("1e-7".to_owned()),
        Just("0x1f".to_owned()),
        duration(),
    ]
}

fn duration() -> impl Strategy<Value = String> {
    (1u32..500, prop_oneof!["ms", "s", "m", "h", "d", "w"]).prop_map(|(n, unit)| format!("{n}{unit}"))
}

fn duration_expr() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![3 => duration(), 1 => Just("step()".to_owned()), 1 => Just("range()".to_owned())];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof!["\\+", "-", "\\*", "/", "%", "\\^"], inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("min_of({a}, {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("max_of({a}, -{b})")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    "[ -~é\\n\\t☺]{0,8}"
        .prop_map(|s| format!("\"{}\"", s.escape_default().to_string().replace("\\'", "'")))
        .prop_map(|s| go_escapes(&s))
}

/// Rust's `\u{e9}` as Go writes it.
fn go_escapes(s: &str) -> String {
    let mut out = String::new();
    let mut rest = s;
    while let Some((head, tail)) = rest.split_once("\\u{") {
        let (hex, tail) = tail.split_once('}').unwrap();
        let _ = write!(out, "{head}\\U{:0>8}", hex);
        rest = tail;
    }
    out + rest
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,5}",
        Just("by".to_owned()),
        Just("offset".to_owned()),
        Just("\"a.b\"".to_owned()),
        Just("\"é\"".to_owned()),
    ]
}

fn labels() -> impl Strategy<Value = String> {
    prop::collection::vec(label(), 0..3).prop_map(|l| format!("({})", l.join(", ")))
}

fn selector() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-z][a-z0-9_]{3,7}x",
        Just("job:up:sum".to_owned()),
        Just("sum".to_owned()),
        Just("fill".to_owned()),
        Just("end".to_owned())
    ];
    let matcher = (prop_oneof!["[a-z]{1,4}", Just("\"x.y\"".to_owned())], prop_oneof!["=", "!="], text())
        .prop_map(|(n, op, v)| format!("{n}{op}{v}"));
    let regex = ("[a-z]{1,4}", prop_oneof!["=~", "!~"], "[a-z.*|]{0,5}")
        .prop_map(|(n, op, v)| format!("{n}{op}\"{}\"", v.replace("**", "*").trim_start_matches('*')))
        .prop_filter("valid expression", |m| parse(&format!("x{{{m}}}"), &ParseOptions::default()).is_ok());
    let matchers =
        prop::collection::vec(prop_oneof![3 => matcher, 1 => regex], 0..3).prop_map(|m| m.join(","));
    prop_oneof![
        (name, matchers.clone()).prop_map(|(n, m)| if m.is_empty() { n } else { format!("{n}{{{m}}}") }),
        matchers.prop_map(|m| format!("{{\"utf8.name\",{m}}}")),
    ]
}

/// `@` and `offset` in either order, or neither.
fn modifiers() -> impl Strategy<Value = String> {
    let at = prop_oneof![
        Just(String::new()),
        Just(" @ start()".to_owned()),
        Just(" @ end()".to_owned()),
        (-1000i64..1_700_000_000).prop_map(|t| format!(" @ {t}.5")),
    ];
    let offset = prop_oneof![
        Just(String::new()),
        duration().prop_map(|d| format!(" offset -{d}")),
        duration().prop_map(|d| format!(" offset {d}")),
        duration_expr().prop_map(|d| format!(" offset ({d})")),
    ];
    let mode = prop_oneof![4 => Just(""), 1 => Just(" anchored"), 1 => Just(" smoothed")];
    (at, offset, mode, any::<bool>()).prop_map(|(at, offset, mode, at_first)| {
        if at_first { format!("{at}{mode}{offset}") } else { format!("{offset}{at}{mode}") }
    })
}

fn vector() -> impl Strategy<Value = String> {
    // An offset that ends in a parenthesis takes the arithmetic behind it for its own.
    let leaf = (selector(), modifiers())
        .prop_map(|(s, m)| if m.contains("offset (") { format!("({s}{m})") } else { s + &m })
        .boxed();
    leaf.prop_recursive(3, 24, 3, |inner| {
        let range = (selector(), duration_expr(), modifiers()).prop_map(|(s, d, m)| format!("{s}[{d}]{m}"));
        let no_mode = modifiers().prop_map(|m| m.replace(" anchored", "").replace(" smoothed", ""));
        let subquery = (inner.clone(), duration(), prop_oneof![Just(String::new()), duration()], no_mode)
            .prop_map(|(e, r, s, m)| format!("({e})[{r}:{s}]{m}"));
        let matrix = prop_oneof![range, subquery].boxed();
        let function = prop::sample::select(FUNCTIONS.iter().collect::<Vec<_>>())
            .prop_filter("vector result", |f| f.returns == ValueType::Vector && f.name != "info");
        let scalar = prop_oneof![number(), inner.clone().prop_map(|e| format!("scalar({e})"))].boxed();
        let call = (function, inner.clone(), matrix, scalar.clone(), text()).prop_map(|(f, v, m, s, t)| {
            let args: Vec<&str> = f
                .args
                .iter()
                .map(|arg| match arg {
                    ValueType::Scalar => s.as_str(),
                    ValueType::Vector => v.as_str(),
                    ValueType::Matrix => m.as_str(),
                    ValueType::String => t.as_str(),
                })
                .collect();
            format!("{}({})", f.name, args.join(", "))
        });
        let grouping = prop_oneof![
            Just(String::new()),
            labels().prop_map(|l| format!(" by {l} ")),
            labels().prop_map(|l| format!(" without {l} "))
        ];
        let aggregate = (
            prop_oneof!["sum", "avg", "topk", "quantile", "count_values", "limit_ratio"],
            grouping,
            inner.clone(),
            scalar.clone(),
        )
            .prop_map(|(op, by, e, s)| match op.as_str() {
                "sum" | "avg" => format!("{op}{by}({e})"),
                "count_values" => format!("{op}{by}(\"v\", {e})"),
                _ => format!("{op}{by}({s}, {e})"),
            });
        let on = (prop_oneof!["on", "ignoring"], labels()).prop_map(|(on, l)| format!(" {on} {l}")).boxed();
        let group = (on.clone(), prop_oneof!["group_left", "group_right"], "[x-z]{6}")
            .prop_map(|(on, g, l)| format!("{on} {g} ({l})"));
        let fill = prop_oneof![
            Just(""),
            Just(" fill (0)"),
            Just(" fill_left (-1.5)"),
            Just(" fill_right (2) fill_left (1e30)")
        ];
        let matching = (prop_oneof![Just(String::new()), on, group], fill).prop_map(|(m, f)| m + f);
        let binary = (
            inner.clone(),
            prop_oneof!["\\+", "-", "\\*", "/", "%", "\\^", "atan2", "==", "> bool", "</", ">/"],
            matching,
            inner.clone(),
        )
            .prop_map(|(a, op, m, b)| format!("{a} {op}{m} {b}"));
        let set = (inner.clone(), prop_oneof!["and", "or", "unless"], inner.clone())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}"));
        let with_scalar = (inner.clone(), prop_oneof!["\\+", "\\^", "<="], scalar)
            .prop_map(|(a, op, s)| format!("({a} {op} {s})"));
        prop_oneof![
            3 => call,
            3 => aggregate,
            2 => binary,
            1 => set,
            1 => with_scalar,
            1 => inner.clone().prop_map(|e| format!("-{e}")),
            1 => inner.prop_map(|e| format!("({e})")),
        ]
    })
}

/// The printed form, and the tree as JSON without the order of matchers, which printing sorts.
fn shape(text: &str) -> (String, serde_json::Value) {
    let expr = parse(text, &ParseOptions::all()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut tree = serde_json::from_str(&ast_json(&expr)).unwrap();
    sort_matchers(&mut tree);
    (expr.to_string(), tree)
}

fn sort_matchers(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Array(matchers)) = map.get_mut("matchers") {
                matchers.sort_by_key(ToString::to_string);
            }
            // A name inside the braces is printed as a matcher on `__name__`.
            map.values_mut().for_each(sort_matchers);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(sort_matchers),
        _ => {}
    }
}

/// Runs a property on a stack that holds proptest's own recursion over deep strategies.
fn holds<S: Strategy + 'static>(strategy: impl Fn() -> S + Send + 'static, property: fn(S::Value))
where
    S::Value: Clone,
{
    let run = move || {
        let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
        TestRunner::new(config).run(&strategy(), |value| {
            property(value);
            Ok(())
        })
    };
    let thread =
        std::thread::Builder::new().stack_size(64 << 20).spawn(move || run().map_err(|e| e.to_string()));
    if let Err(e) = thread.unwrap().join().unwrap() {
        panic!("{e}");
    }
}

#[test]
fn printed_expressions_parse_to_the_same_tree() {
    holds(vector, |text| {
        let (printed, tree) = shape(&text);
        assert_eq!((&printed, &tree), (&shape(&printed).0, &shape(&printed).1));
        let long = pretty(&parse(&text, &ParseOptions::all()).unwrap());
        assert_eq!((&printed, &tree), (&shape(&long).0, &shape(&long).1));
    });
}

#[test]
fn spans_of_whole_expressions_lie_in_the_text() {
    holds(vector, |text| {
        let span = parse(&text, &ParseOptions::all()).unwrap().span();
        assert!(span.start <= span.end && span.end as usize <= text.len());
        assert!(text.is_char_boundary(span.start as usize) && text.is_char_boundary(span.end as usize));
    });
}

#[test]
fn any_text_gives_a_tree_or_an_error_in_the_text() {
    holds(any::<String>, |text| no_panic(&text));
}

#[test]
fn any_sequence_of_words_gives_a_tree_or_an_error() {
    let words =
        || (prop::collection::vec(prop::sample::select(WORDS), 0..14), prop_oneof![Just(" "), Just("")]);
    holds(words, |(words, blank)| no_panic(&words.join(blank)));
}

#[test]
fn damaged_expressions_give_a_tree_or_an_error() {
    let damaged = || (vector(), any::<prop::sample::Index>(), prop::sample::select(WORDS));
    holds(damaged, |(mut text, at, word)| {
        let mut at = at.index(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, word);
        no_panic(&text);
    });
}

const WORDS: &[&str] = &[
    "foo",
    "sum",
    "by",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "{{",
    "}}",
    "5m",
    "1",
    "0x",
    "1e",
    ".5",
    "1_0",
    ",",
    ":",
    "=",
    "=~",
    "!=",
    "!~",
    "\"a\"",
    "'",
    "`",
    "\\",
    "#",
    "\n",
    "@",
    "start",
    "end",
    "step",
    "offset",
    "anchored",
    "fill",
    "fill_left",
    "on",
    "group_left",
    "bool",
    "+",
    "-",
    "*",
    "/",
    "^",
    "%",
    "</",
    ">/",
    "==",
    "and",
    "atan2",
    "rate",
    "topk",
    "min_of",
    "Inf",
    "x",
    "_",
    "stale",
    "schema",
    "buckets",
    "é",
    "\u{fffd}",
    " ",
    "info",
    "without",
    "label_replace",
    "99999999999999999999",
    "9999y",
];

fn no_panic(text: &str) {
    for result in [
        parse(text, &ParseOptions::all()).err(),
        parse(text, &ParseOptions::default()).err(),
        parse_metric(text).err(),
        parse_metric_selector(text).err(),
        parse_series_desc(text).err(),
    ] {
        for error in result.iter().flat_map(|errors| errors.as_slice()) {
            assert!(error.span.start <= error.span.end, "{error} in {text:?}");
            assert!(error.span.start as usize <= text.len(), "{error} in {text:?}");
            assert!(!error.message.is_empty());
        }
    }
    if let Ok(expr) = parse(text, &ParseOptions::all()) {
        let printed = expr.to_string();
        if let Err(errors) = parse(&printed, &ParseOptions::all()) {
            // Printing puts `@` before `offset`, where an offset in parentheses takes a following operator for its own:
            // Prometheus prints `x offset (max_of(5m, 1m)) @ 10 ^ y` so, and refuses what it printed with the same words.
            let swallowed =
                errors.as_slice().iter().any(|e| e.message.contains(" in offset, expected number, duration"));
            assert!(swallowed && printed.contains(" offset ("), "{text:?} printed as {printed:?}: {errors}");
        }
        let _ = (pretty(&expr), ast_json(&expr));
    }
}

#[test]
fn hostile_texts_end_in_an_error_quickly() {
    let n = 100_000;
    let nested = |open: &str, inner: &str, close: &str| open.repeat(n) + inner + &close.repeat(n);
    let texts = [
        nested("(", "a", ")"),
        "(".repeat(n),
        nested("sum(", "a", ")"),
        nested("abs(", "a", ")"),
        "-".repeat(n) + "a",
        "a".to_owned() + &"+a".repeat(n),
        "a".to_owned() + &"^a".repeat(n),
        "a".to_owned() + &"[5m:]".repeat(n),
        "a offset ".to_owned() + &nested("(", "5m", ")"),
        "a offset ".to_owned() + &"-".repeat(n) + "5m",
        format!("a[5m{}]", "+5m".repeat(n)),
        format!("a[{}]", nested("min_of(5m,", "1m", ")")),
    ];
    for text in texts {
        let start = Instant::now();
        let error = parse(&text, &ParseOptions::all()).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(2), "{error}");
        assert!(error.to_string().contains("nested too deeply"), "{error}");
        assert!(error.as_slice()[0].help.is_some());
    }
}

#[test]
fn long_flat_texts_are_no_trouble() {
    let args = vec!["\"a\""; 50_000].join(",");
    assert!(parse(&format!("label_join(x, \"y\", {args})"), &ParseOptions::default()).is_ok());
    let matchers = vec!["a!=\"b\""; 50_000].join(",");
    assert!(parse(&format!("x{{{matchers}}}"), &ParseOptions::default()).is_ok());
    let (_, items) = parse_series_desc("x 1+1x9000000000000 _x18446744073709551615").unwrap();
    assert_eq!(items.len(), 2);
}
