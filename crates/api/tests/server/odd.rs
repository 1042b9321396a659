//! What is asked the wrong way, answered as Prometheus answers it.

use std::io::{Read as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use model::Labels;
use serde_json::json;

use super::Server;

#[test]
fn what_there_is_not_is_told_as_text_that_browsers_must_not_guess_at() {
    let server = Server::start();
    for (method, path, status) in [
        ("DELETE", "/api/v1/query", 405),
        ("PUT", "/federate", 405),
        ("HEAD", "/metrics", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/assets/nothing", 404),
    ] {
        let answer = server.request(&json!({ "method": method, "path": path }));
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{method} {path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8", "{method} {path}");
    }
}

#[test]
fn federation_of_nothing_in_particular_is_an_empty_page() {
    let server = Server::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    server.append(&[(Labels::from_pairs([("__name__", "m")]), now, 1.0)]);
    for (selectors, lines) in [(vec!["{}"], 0), (vec!["m"], 2), (vec!["{}", "m"], 2), (vec!["{x=\"\"}"], 2)] {
        let params: Vec<_> = selectors.iter().map(|selector| ["match[]", selector]).collect();
        let answer = server.request(&json!({ "method": "GET", "path": "/federate", "params": params }));
        assert_eq!(
            (answer.status, answer.body.lines().count()),
            (200, lines),
            "{selectors:?}: {}",
            answer.body
        );
    }
}

#[test]
fn the_pattern_of_self_metrics_is_anchored_in_what_is_said_of_it() {
    let server = Server::start();
    let asked = |pattern: &str| {
        let params = [["metric_name_pattern", pattern]];
        server
            .request(&json!({ "method": "GET", "path": "/api/v1/status/self_metrics", "params": params }))
            .body
    };
    assert!(asked("(").contains("missing closing ): `^(?:()$`"), "{}", asked("("));
    assert!(asked("prometheus_http_requests_tota").contains(r#""data":[]"#));
}

#[test]
fn a_body_that_is_malformed_is_a_bad_request_and_one_that_is_too_long_is_too_large() {
    let server = Server::start();
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (path, rest, status) in [
        ("/api/v1/query", format!("{form}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "400"),
        ("/api/v1/read", "Transfer-Encoding: chunked\r\n\r\n-5\r\n".to_owned(), "400"),
        ("/api/v1/query", format!("{form}\r\nContent-Length: 10485761\r\n\r\n"), "413"),
        ("/api/v1/write", "Content-Length: 33554433\r\n\r\n".to_owned(), "413"),
    ] {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{rest}").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{path} {rest}");
    }
}

#[test]
fn functions_of_templates_are_among_the_features() {
    let server = Server::start();
    let answer = server.request(&json!({ "method": "GET", "path": "/api/v1/features" }));
    let features: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let functions = features["data"]["templating_functions"].as_object().unwrap();
    assert_eq!((functions.len(), &functions["humanizePercentage"]), (29, &json!(true)));
}
