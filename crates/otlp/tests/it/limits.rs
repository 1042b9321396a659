//! What is taken and what is refused, what a reload changes, and what the receiver says about itself.

use std::io::Write as _;
use std::time::Duration;

use otlp::{Deltas, MAX_BODY, Naming, ReceiverOptions, Translation};
use serde_json::{Value, json};
use tsdb::HeadOptions;

use crate::store::{JSON, NOW, PROTOBUF, Server};

const SECOND: u64 = 1_000_000_000;
const TIME: u64 = 1_699_999_200 * SECOND;

fn server() -> Server {
    Server::new(ReceiverOptions::default(), Translation::default())
}

fn resource(metrics: &[Value]) -> Value {
    let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [attribute("service.name", "svc"), attribute("os.type", "linux")] },
        "scopeMetrics": [{ "metrics": metrics }],
    }]})
}

fn sum(name: &str, temporality: u64, points: &Value) -> Value {
    json!({ "name": name, "sum": {
        "isMonotonic": true, "aggregationTemporality": temporality, "dataPoints": points,
    }})
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(body).unwrap();
    out.finish().unwrap()
}

#[test]
fn content_types_and_encodings_are_prometheus() {
    let body = resource(&[]).to_string().into_bytes();
    let server = server();
    let types = "supported: [application/json, application/x-protobuf]\n";
    for (encoding, content_type, body, want) in [
        ("", JSON, body.clone(), None),
        ("gzip", JSON, gzip(&body), None),
        ("", PROTOBUF, Vec::new(), None),
        ("", "", body.clone(), Some(format!("unsupported content type: , {types}"))),
        (
            "",
            "application/json; charset=utf-8",
            body.clone(),
            Some(format!("unsupported content type: application/json; charset=utf-8, {types}")),
        ),
        (
            "zstd",
            JSON,
            body.clone(),
            Some("unsupported compression: zstd. Only \"gzip\" or no compression supported\n".to_owned()),
        ),
        (
            "identity",
            JSON,
            body.clone(),
            Some("unsupported compression: identity. Only \"gzip\" or no compression supported\n".to_owned()),
        ),
        ("gzip", JSON, body.clone(), Some("gzip: invalid header\n".to_owned())),
        ("gzip", JSON, Vec::new(), Some("EOF\n".to_owned())),
        ("gzip", JSON, gzip(&body)[..20].to_vec(), Some("unexpected EOF\n".to_owned())),
        (
            "gzip",
            JSON,
            gzip(&vec![b' '; MAX_BODY + 1]),
            Some(format!("request body exceeds the {MAX_BODY} bytes limit\n")),
        ),
    ] {
        let answer = server.receiver.receive(encoding, content_type, &body, NOW);
        let status = if want.is_some() { 400 } else { 200 };
        assert_eq!((answer.status, answer.text), (status, want), "{encoding} {content_type}");
    }
}

/// A point takes two bytes of the body and more in memory.
#[test]
fn a_request_of_very_many_empty_points_is_refused() {
    let message = |field: u8, inner: &[u8]| {
        let mut out = vec![field];
        let mut len = inner.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend(inner);
        out
    };
    let points = message(0x2a, &[0x0a, 0].repeat(5_000_000));
    let metric = message(0x12, &[message(0x0a, b"name"), points].concat());
    let body = message(0x0a, &message(0x12, &metric));
    let answer = server().post(PROTOBUF, &body);
    let text = "a request of more than 4194304 samples is not taken\n";
    assert_eq!((answer.status, answer.text.as_deref()), (400, Some(text)));
}

#[test]
fn a_request_is_stored_whole_or_not_at_all() {
    let server = server();
    let good = sum("good", 2, &json!([{ "timeUnixNano": TIME, "asInt": 1 }]));
    let bad = sum("bad", 0, &json!([{ "timeUnixNano": TIME, "asInt": 1 }]));
    let nothing = json!({ "name": "nothing", "gauge": {} });
    let untyped = json!({ "name": "untyped" });
    let ahead =
        sum("ahead", 2, &json!([{ "timeUnixNano": (NOW as u64 + 11 * 60_000) * 1_000_000, "asInt": 1 }]));
    let (status, text) = server.post_json(&resource(&[good.clone(), bad, nothing, untyped]));
    assert_eq!(
        (status, text.as_str()),
        (
            500,
            "invalid temporality and type combination for metric \"bad\"\nempty data points. nothing is dropped\ncould not get aggregation temporality for untyped as it has unsupported metric type Empty\n"
        )
    );
    // One that is of no use to send again makes the whole of no use.
    let (status, text) = server.post_json(&resource(&[good.clone(), ahead]));
    assert_eq!(
        (status, text.lines().next()),
        (400, Some("out of bounds: timestamp is too far in the future"))
    );
    assert!(server.content().is_empty());
    assert_eq!(server.post_json(&resource(&[good])), (200, String::new()));
    assert_eq!(server.content().len(), 2);
    let again = sum("good", 2, &json!([{ "timeUnixNano": TIME, "asInt": 2 }]));
    let fresh = sum("fresh", 2, &json!([{ "timeUnixNano": TIME, "asInt": 2 }]));
    let head = HeadOptions::default();
    let in_order = Server::with_head(ReceiverOptions::default(), Translation::default(), head);
    let first = sum("good", 2, &json!([{ "timeUnixNano": TIME, "asInt": 1 }]));
    assert_eq!(in_order.post_json(&resource(&[first])).0, 200);
    let (status, text) = in_order.post_json(&resource(&[fresh, again]));
    assert_eq!(
        (status, text.as_str()),
        (
            400,
            "duplicate sample for timestamp 1699999200000; overrides not allowed: existing 1, new value 2\n"
        )
    );
    assert_eq!(in_order.content().len(), 2);
}

#[test]
fn of_two_values_of_one_series_and_time_in_a_request_the_first_stays() {
    let gauge = |name: &str, points: &[(u64, f64)]| {
        let point = |(ago, v): &(u64, f64)| json!({ "timeUnixNano": TIME - ago * SECOND, "asDouble": v });
        json!({ "name": name, "gauge": { "dataPoints": points.iter().map(point).collect::<Vec<_>>() }})
    };
    for window in [0, 600] {
        let head = HeadOptions { out_of_order_window: Duration::from_secs(window), ..HeadOptions::default() };
        let server = Server::with_head(ReceiverOptions::default(), Translation::default(), head);
        let request = resource(&[
            gauge("newest", &[(5, 1.0), (5, 2.0)]),
            // Those that follow make the second one look like one out of order.
            gauge("followed", &[(5, 1.0), (5, 2.0), (0, 3.0)]),
            gauge("late", &[(0, 3.0), (5, 1.0), (5, 2.0)]),
        ]);
        assert_eq!(server.post_json(&request), (200, String::new()));
        let content = server.content();
        let of = |name: &str| {
            let found = content.iter().find(|(labels, _)| labels.contains(name));
            found.map(|(_, shown)| shown["values"].clone())
        };
        let time = TIME / SECOND;
        assert_eq!(of("newest"), Some(json!([[time - 5, "1"]])));
        assert_eq!(of("followed"), Some(json!([[time - 5, "1"], [time, "3"]])));
        let late = if window == 0 { json!([[time, "3"]]) } else { json!([[time - 5, "1"], [time, "3"]]) };
        assert_eq!(of("late"), Some(late));
    }
}

#[test]
fn target_info_reaches_from_the_first_to_the_last_point() {
    let server = server();
    let point = |after: u64| json!({ "timeUnixNano": TIME + after * SECOND, "asInt": 1 });
    let metric = sum("s", 2, &json!([point(0), point(400)]));
    assert_eq!(server.post_json(&resource(&[metric])).0, 200);
    let content = server.content();
    let info = &content[r#"{"__name__":"target_info","job":"svc","os_type":"linux"}"#];
    let times = [1_699_999_200, 1_699_999_350, 1_699_999_500, 1_699_999_600];
    assert_eq!(info["values"], json!(times.map(|t| json!([t, "1"]))));
    // From 1970 on there would be millions.
    let metric = sum("t", 2, &json!([point(0), { "timeUnixNano": 1, "asInt": 1 }]));
    let (status, text) = server.post_json(&resource(&[metric]));
    assert_eq!((status, text.as_str()), (400, "too old sample\ntoo old sample\n"));
}

#[test]
fn another_translation_holds_from_the_next_request_on() {
    let server = server();
    let body = resource(&[sum("a.b", 2, &json!([{ "timeUnixNano": TIME, "asInt": 1 }]))]);
    let names = |server: &Server| -> Vec<String> {
        server
            .content()
            .values()
            .map(|series| series["labels"]["__name__"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(server.post_json(&body).0, 200);
    assert_eq!(names(&server), ["a_b_total", "target_info"]);
    let naming = Naming { suffixes: false, utf8: true, key_prefix: true, keep_underscores: true };
    server.receiver.apply(Translation { naming, ..Translation::default() });
    assert_eq!(server.post_json(&body).0, 200);
    assert_eq!(names(&server), ["a.b", "a_b_total", "target_info", "target_info"]);
}

#[test]
fn labels_that_become_one_are_joined_and_counted_with_every_request() {
    let server = server();
    let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let attributes = [attribute("a.b", "1"), attribute("a-b", "2")];
    for time in 0..2 {
        let point = json!([{ "timeUnixNano": TIME + time * SECOND, "asInt": 1, "attributes": attributes }]);
        assert_eq!(server.post_json(&resource(&[sum("s", 2, &point)])).0, 200);
    }
    assert!(server.content().contains_key(r#"{"__name__":"s_total","a_b":"2;1","job":"svc"}"#));
    let warnings = "prometheus_api_otlp_translation_warnings_total";
    assert_eq!(server.metric(warnings, Some("label_name_collision")), 2.0);
}

#[test]
fn counting_begins_with_a_zero_where_that_is_wanted() {
    let options = ReceiverOptions { start_zeros: true, ..ReceiverOptions::default() };
    let server = Server::new(options, Translation::default());
    let point = |time: u64| json!({ "startTimeUnixNano": TIME - 60 * SECOND, "timeUnixNano": TIME + time * SECOND, "asInt": 5 });
    for time in [0, 10] {
        assert_eq!(server.post_json(&resource(&[sum("s", 2, &json!([point(time)]))])).0, 200);
    }
    let content = server.content();
    let values = &content[r#"{"__name__":"s_total","job":"svc"}"#]["values"];
    assert_eq!(*values, json!([[1_699_999_140, "0"], [1_699_999_200, "5"], [1_699_999_210, "5"]]));
}

#[test]
fn deltas_are_added_up_where_that_is_wanted() {
    let options = ReceiverOptions { deltas: Deltas::Summed, ..ReceiverOptions::default() };
    let server = Server::new(options, Translation::default());
    let point = |from: u64, to: u64, n: u64| json!({ "startTimeUnixNano": TIME + from * SECOND, "timeUnixNano": TIME + to * SECOND, "asInt": n });
    // The third is late, the last began before the stream did: both are dropped.
    for points in [
        json!([point(0, 10, 5)]),
        json!([point(10, 20, 7)]),
        json!([point(5, 15, 100)]),
        json!([point(20, 30, 1), point(30, 40, 2)]),
    ] {
        assert_eq!(server.post_json(&resource(&[sum("s", 1, &points)])), (200, String::new()));
    }
    let early =
        json!([{ "startTimeUnixNano": TIME - SECOND, "timeUnixNano": TIME + 50 * SECOND, "asInt": 9 }]);
    assert_eq!(server.post_json(&resource(&[sum("s", 1, &early)])), (200, String::new()));
    let values = &server.content()[r#"{"__name__":"s_total","job":"svc"}"#]["values"];
    assert_eq!(
        *values,
        json!([[1_699_999_210, "5"], [1_699_999_220, "12"], [1_699_999_230, "13"], [1_699_999_240, "15"]])
    );
    assert_eq!(server.metric("binnacle_otlp_receiver_delta_streams", None), 1.0);
}

/// Scales and offsets from outside may be as far apart as they can be.
#[test]
fn exponential_deltas_of_any_scale_are_added_up_at_once() {
    let options = ReceiverOptions { deltas: Deltas::Summed, ..ReceiverOptions::default() };
    let server = Server::new(options, Translation::default());
    let (min, max) = (i32::MIN, i32::MAX);
    let mut time = TIME;
    for (scale, offset, threshold) in
        [(max, max - 1, 0.0), (min, min, 1e300), (0, 0, f64::MIN_POSITIVE), (20, min, 3.0), (-4, max, 0.5)]
    {
        time += SECOND;
        let side = json!({ "offset": offset, "bucketCounts": ["1", "0", "2"] });
        let metric = json!({ "name": "h", "exponentialHistogram": { "aggregationTemporality": 1, "dataPoints": [{
            "timeUnixNano": time, "count": "6", "sum": 1, "scale": scale, "zeroThreshold": threshold,
            "positive": side, "negative": side,
        }]}});
        let (status, _) = server.post_json(&resource(&[metric]));
        assert!(matches!(status, 200 | 500), "{scale}");
    }
}
