//! A client that goes away takes its query with it.

use std::io::Read as _;
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
fn answers_that_nobody_reads_keep_nobody_out_and_the_oldest_of_too_many_are_broken_off() {
    let server = Server::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let padding = "x".repeat(1000);
    let series = |i: u32| {
        let labels = [("__name__", "m"), ("i", &format!("{i:05}")), ("padding", &padding)];
        (Labels::from_pairs(labels), now, 1.0)
    };
    // More than sockets hold.
    server.append(&(0..16_000).map(series).collect::<Vec<_>>());
    let at = (now / 1000 + 1).to_string();
    let query = json!({ "method": "GET", "path": "/api/v1/query", "params": [["query", "m"], ["time", at]] });
    let page = json!({ "method": "GET", "path": "/federate", "params": [["match[]", "m"]] });
    // There are places for four; of pages eight more may wait for their clients.
    for (row, clients, end, broken_off) in [(&query, 5, "]}}", false), (&page, 13, "", true)] {
        let mut unread: Vec<_> = (0..clients)
            .map(|_| {
                let mut client = server.begin(row);
                client.read_exact(&mut [0; 12]).unwrap();
                client
            })
            .collect();
        let read = server.request(row);
        assert_eq!((read.status, read.body.matches("padding").count()), (200, 16_000));
        assert!(read.body.ends_with(end));
        let mut rest = Vec::new();
        let _ = unread[0].read_to_end(&mut rest);
        assert_eq!(!rest.ends_with(b"0\r\n\r\n"), broken_off, "{row}");
    }
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
