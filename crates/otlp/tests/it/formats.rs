//! Protobuf and JSON say the same; what JSON may look like.

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::encoding;
use crate::recordings::variant;
use crate::store::{JSON, PROTOBUF, Server};

const TIME: u64 = 1_699_999_200_000_000_000;

fn server() -> Server {
    let (options, translation) = variant("default");
    Server::new(options, translation)
}

fn request(metric: &Value) -> Value {
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "svc" } }] });
    json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "metrics": [metric] }] }] })
}

#[test]
fn json_is_taken_as_senders_write_it() {
    let point = r#"{"attributes":[{"key":"a","value":{"stringValue":"b"}}],"timeUnixNano":"1699999200000000000","asDouble":1.5}"#;
    let points = [
        point.to_owned(),
        point.replace("\"1699999200000000000\"", "1699999200000000000"),
        point.replace("timeUnixNano", "time_unix_nano").replace("asDouble", "as_double"),
        point.replace("stringValue", "string_value").replace("1.5", "\"1.5\""),
        point.replace("1.5", "15e-1,\"unknown\":{\"x\":[1,{}]}"),
        point.replace("1.5", "7,\"asInt\":3,\"asDouble\":1.5"),
        point.replace("1.5", "1.5,\"exemplars\":null,\"flags\":\"0\""),
        point.replace("\"a\"", "\"\\u0061\""),
    ];
    let mut contents = Vec::new();
    for point in points {
        let server = server();
        let body = format!(
            r#"{{"resourceMetrics":[{{"resource":null,"scopeMetrics":[{{"metrics":[{{"name":"g","gauge":{{"dataPoints":[{point}]}}}}]}}]}}]}} behind"#
        );
        assert_eq!(server.post(JSON, body.as_bytes()).status, 200, "{body}");
        contents.push((body, server.content()));
    }
    for (body, content) in &contents {
        assert_eq!(content, &contents[0].1, "{body}");
        assert_eq!(content.keys().collect::<Vec<_>>(), [r#"{"__name__":"g","a":"b"}"#]);
    }
}

#[test]
fn temporalities_are_names_or_numbers() {
    for (temporality, status) in [
        ("2", 200),
        ("\"AGGREGATION_TEMPORALITY_CUMULATIVE\"", 200),
        ("\"AGGREGATION_TEMPORALITY_DELTA\"", 500),
        ("0", 500),
        ("7", 500),
        ("null", 400),
        ("\"CUMULATIVE\"", 400),
        ("true", 400),
    ] {
        let body = request(&json!({ "name": "s", "sum": {
            "aggregationTemporality": "TEMPORALITY",
            "dataPoints": [{ "timeUnixNano": TIME, "asInt": 1 }],
        }}));
        let body = body.to_string().replace("\"TEMPORALITY\"", temporality);
        assert_eq!(server().post(JSON, body.as_bytes()).status, status, "{temporality}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let point = |of: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"g","gauge":{{"dataPoints":[{of}]}}}}]}}]}}]}}"#
        )
    };
    let deep = |n: usize| {
        point(&format!(
            r#"{{"attributes":[{{"key":"a","value":{}{{}}{}}}]}}"#,
            r#"{"arrayValue":{"values":["#.repeat(n),
            "]}}".repeat(n)
        ))
    };
    for body in [
        String::new(),
        "[]".to_owned(),
        "{".to_owned(),
        r#"{"resourceMetrics":{}}"#.to_owned(),
        point(r#"{"timeUnixNano":-1}"#),
        point(r#"{"timeUnixNano":1.5}"#),
        point(r#"{"timeUnixNano":"x"}"#),
        point(r#"{"timeUnixNano":true}"#),
        point(r#"{"asInt":9223372036854775808}"#),
        point(r#"{"flags":4294967296}"#),
        point(r#"{"exemplars":[{"traceId":"00"}]}"#),
        point(r#"{"exemplars":[{"spanId":"000000000000000g"}]}"#),
        point(r#"{"attributes":[{"key":"a","value":{"boolValue":"true"}}]}"#),
        point(r#"{"attributes":[{"key":"a","value":{"bytesValue":"?"}}]}"#),
        deep(10_000),
    ] {
        let shown: String = body.chars().take(200).collect();
        assert_eq!(server().post(JSON, body.as_bytes()).status, 400, "{shown}");
    }
    // Lists in lists in a message: each is two messages deeper.
    let mut value = vec![];
    for _ in 0..60 {
        let list = [vec![0x0a], length(value.len()), value].concat();
        value = [vec![0x2a], length(list.len()), list].concat();
    }
    let mut body = [vec![0x12], length(value.len()), value].concat();
    for field in [0x3a, 0x0a, 0x2a, 0x12, 0x12, 0x0a] {
        body = [vec![field], length(body.len()), body].concat();
    }
    for (body, text) in [
        (body, "proto: ArrayValue: messages are nested deeper than 100\n"),
        (vec![0x0a, 0x05], "unexpected EOF\n"),
        (vec![0x08, 0x01], "proto: wrong wireType = 0 for field ResourceMetrics\n"),
    ] {
        let answer = server().post(PROTOBUF, &body);
        assert_eq!((answer.status, answer.text.as_deref()), (400, Some(text)));
    }
}

fn length(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-c]", 2 => "[a-z._ ]{1,6}", 1 => "\\PC{0,5}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(|text| json!({ "stringValue": text })),
        any::<bool>().prop_map(|on| json!({ "boolValue": on })),
        any::<i64>().prop_map(|n| json!({ "intValue": n.to_string() })),
        prop_oneof![Just(1e21), Just(1e-7), -1e6..1e6].prop_map(|v: f64| json!({ "doubleValue": v })),
        Just(json!({ "bytesValue": "AQL/" })),
        Just(json!({})),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|values| json!({ "arrayValue": { "values": values } })),
            prop::collection::vec((text(), inner), 0..3).prop_map(|pairs| {
                let values: Vec<Value> =
                    pairs.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
                json!({ "kvlistValue": { "values": values } })
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<Value>> {
    let one = (text(), value()).prop_map(|(key, value)| json!({ "key": key, "value": value }));
    prop::collection::vec(one, 0..4)
}

fn metric() -> impl Strategy<Value = Value> {
    let point = (attributes(), 0u64..100, -5i64..50).prop_map(|(attributes, seconds, n)| {
        let exemplar = json!({ "timeUnixNano": TIME, "asInt": "1", "spanId": "0102030405060708" });
        json!({
            "attributes": attributes, "timeUnixNano": (TIME + seconds * 1_000_000_000).to_string(),
            "asInt": n.to_string(), "exemplars": [exemplar],
            "count": "6", "sum": n, "explicitBounds": [0.5, 1], "bucketCounts": ["1", 2, "3"],
            "scale": n % 12, "zeroCount": 1, "positive": { "offset": n, "bucketCounts": ["1", "0", "4"] },
            "quantileValues": [{ "quantile": 0.5, "value": n }],
        })
    });
    let points = prop::collection::vec(point, 1..4);
    let unit = prop_oneof![Just(""), Just("s"), Just("By/s"), Just("1"), Just("%")];
    (text(), unit, 0usize..5, points, any::<bool>()).prop_map(|(name, unit, kind, points, monotonic)| {
        let kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
        let data = json!({ "dataPoints": points, "isMonotonic": monotonic, "aggregationTemporality": 2 });
        json!({ "name": name, "unit": unit, "description": name, kinds[kind]: data })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn protobuf_and_json_come_to_the_same(resource in attributes(), metrics in prop::collection::vec(metric(), 1..4)) {
        thread_local!(static SERVERS: RefCell<[Server; 2]> = RefCell::new([server(), server()]));
        let body = json!({ "resourceMetrics": [{
            "resource": { "attributes": resource },
            "scopeMetrics": [{ "scope": { "name": "lib" }, "metrics": metrics }],
        }]});
        SERVERS.with_borrow(|[a, b]| {
            let in_json = a.post(JSON, body.to_string().as_bytes());
            let in_protobuf = b.post(PROTOBUF, &encoding::request(&body));
            prop_assert_eq!(in_json, in_protobuf);
            prop_assert_eq!(a.content(), b.content());
            Ok(())
        })?;
    }
}
