//! A client that goes away takes its query with it.

use std::time::{Duration, Instant};

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
