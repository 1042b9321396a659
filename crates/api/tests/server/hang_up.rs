//! A client that goes away takes its query with it.

use std::io::{ErrorKind, Read as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Labels;
use serde_json::{Value, json};

use super::Server;

/// Sorts 30,000 values at each of 11,000 steps: minutes of work for one series.
const LONG: &str = "mad_over_time(vector(time())[3000s:100ms])";

#[test]
fn a_query_ends_when_its_client_hangs_up() {
    let server = Server::start();
    let row = json!({
        "method": "POST",
        "path": "/api/v1/query_range",
        "form": [["query", LONG], ["start", "0"], ["end", "110000"], ["step", "10"]],
    });
    let client = server.begin(&row);
    wait_for_queries(&server, 1);
    drop(client);
    wait_for_queries(&server, 0);
}

#[test]
fn federations_that_nobody_reads_are_few_and_end_when_their_clients_hang_up() {
    let server = Server::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let padding = "x".repeat(1000);
    let series = |i: u32| {
        let labels = [("__name__", "m"), ("i", &format!("{i:05}")), ("padding", &padding)];
        (Labels::from_pairs(labels), now, 1.0)
    };
    // More than sockets hold.
    server.append(&(0..16_000).map(series).collect::<Vec<_>>());
    let row = json!({ "method": "GET", "path": "/federate", "params": [["match[]", "m"]] });
    // As many as the test's server allows queries at once.
    let mut unread: Vec<_> = (0..4).map(|_| server.begin(&row)).collect();
    for client in &mut unread {
        client.read_exact(&mut [0; 12]).unwrap();
    }
    let mut waiting = server.begin(&row);
    waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let early = waiting.read(&mut [0; 12]).map_err(|error| error.kind());
    assert!(matches!(early, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{early:?}");

    drop(unread);
    waiting.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut status = [0; 12];
    waiting.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

fn wait_for_queries(server: &Server, wanted: u32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let pattern = [["metric_name_pattern", "prometheus_engine_queries"]];
    let row = json!({ "method": "GET", "path": "/api/v1/status/self_metrics", "params": pattern });
    loop {
        let families: Value = serde_json::from_str(&server.request(&row).body).unwrap();
        let queries = families.pointer("/data/0/metric/0/gauge/value").unwrap().as_f64();
        if queries == Some(f64::from(wanted)) {
            return;
        }
        assert!(Instant::now() < deadline, "there are {queries:?} queries, never {wanted}");
        std::thread::yield_now();
    }
}
