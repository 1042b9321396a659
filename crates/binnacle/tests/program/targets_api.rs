//! What the API says about targets and their metrics, and what is federated, beside recorded answers of Prometheus 3.14 (`golden/api`, server `live`).

use serde_json::Value;

use crate::api::{difference, send};
use crate::site::{Program, Site, shared};
use crate::stub::{Answer, Stub};

/// Where the recorded server found its targets.
const STUB: &str = "127.0.0.1:19180";

/// The recorded configuration without the sections of rules and alerts.
fn scraping_only(config: &str) -> String {
    let (before, rest) = config.split_once("rule_files:").unwrap();
    let (_, jobs) = rest.split_once("scrape_configs:").unwrap();
    format!("{before}scrape_configs:{jobs}")
}

fn is_about_targets(row: &Value) -> bool {
    let path = row["path"].as_str().unwrap();
    row["server"] == "live"
        // Which target comes first is chance there.
        && row["id"] != "a0575"
        && ["/api/v1/targets", "/api/v1/scrape_pools", "/api/v1/metadata"].iter().any(|p| path.starts_with(p))
}

fn is_federated(row: &Value) -> bool {
    // What one of them asks for comes from a rule.
    row["server"] == "live" && row["path"] == "/federate" && row["id"] != "a0614"
}

#[test]
fn answers_about_targets_are_those_of_prometheus() {
    live(|program, rows, stub| {
        // Which of two targets is the first to tell about a metric is chance, too.
        let told = |help: &str| format!("{{\"type\":\"counter\",\"unit\":\"\",\"help\":\"{help}\"}}");
        let (one, other) = (told("Requests."), told("Other help."));
        let rows = rows.replace(&format!("{one},{other}"), &format!("{other},{one}"));
        let rows: Vec<Value> =
            rows.lines().map(|l| serde_json::from_str(l).unwrap()).filter(is_about_targets).collect();
        let wrong: Vec<_> = rows.iter().filter_map(|row| difference(row, &send(program, row))).collect();
        assert!(wrong.is_empty(), "{} of {} ({stub}):\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        assert!(rows.len() > 15, "{} rows", rows.len());
    });
}

#[test]
fn what_is_federated_is_as_prometheus_writes_it() {
    let timestamp = model::Regex::new(" [0-9]{13}").unwrap();
    live(|program, rows, _| {
        let rows: Vec<Value> =
            rows.lines().map(|l| serde_json::from_str(l).unwrap()).filter(is_federated).collect();
        for row in &rows {
            let answer = send(program, row);
            let lines = answer.text();
            let lines = lines.lines().map(|line| match line.rsplit_once(' ') {
                Some((series, t)) if timestamp.is_match(&format!(" {t}")) => format!("{series} <ts>\n"),
                _ => format!("{line}\n"),
            });
            // Series are sorted, and which port comes first is chance.
            let mut lines: Vec<String> = lines.collect();
            lines.sort();
            let mut expected: Vec<&str> =
                row["expect"]["text"].as_str().unwrap().split_inclusive('\n').collect();
            expected.sort_unstable();
            assert_eq!(lines, expected, "{row}");
            for (name, value) in row["expect"]["headers"].as_object().unwrap() {
                assert_eq!(answer.header(name), value.as_str(), "{row}");
            }
        }
        assert!(rows.len() > 8, "{} rows", rows.len());
    });
}

/// Runs `check` beside the recorded server's targets, with the recorded rows.
fn live(check: impl FnOnce(&Program<'_>, &str, &str)) {
    let (Some(rows), Some(servers)) =
        (shared("golden/api/requests.jsonl"), shared("golden/api/servers.json"))
    else {
        return;
    };
    let servers: Value = serde_json::from_slice(&std::fs::read(servers).unwrap()).unwrap();
    let recorded = &servers["live"];
    let stub = Stub::start();
    for (path, page) in recorded["stub"].as_object().unwrap() {
        let page = page.as_str().unwrap();
        let answer = match page.strip_prefix("status ") {
            Some(_) => Answer::status("500 Internal Server Error"),
            None => Answer::page(page),
        };
        stub.set(path, answer);
    }
    let config = scraping_only(recorded["config"].as_str().unwrap()).replace(STUB, &stub.address);
    let features = recorded["features"].as_str().unwrap().replace("promql-duration-expr,", "");
    let site = Site::server(&config).flag(&format!("--enable-feature={features}"));
    let program = site.start();
    for job in ["ok", "honor", "down", "bad", "status500", "limited"] {
        program.scraped(job);
    }
    let rows = std::fs::read_to_string(rows).unwrap().replace(STUB, &stub.address);
    check(&program, &rows, &stub.address);
}
