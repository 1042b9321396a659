//! `binnacle server --agent`: what it scrapes arrives elsewhere, all of it and once, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;

use crate::http::form;
use crate::site::{Labels, Program, Site, prometheus_3};
use crate::stub::{Answer, Stub};

const HISTOGRAMS: &[u8] = include_bytes!("../../../exposition/testdata/histograms.pb");
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A target of which each scrape says something else, one of native histograms, and where their samples go.
fn config(stub: &Stub, receiver: &Site) -> String {
    format!(
        "global: {{scrape_interval: 50ms}}
scrape_configs:
- {{job_name: load, static_configs: [{{targets: ['{0}']}}]}}
- {{job_name: native, honor_timestamps: false, metrics_path: /histograms, scrape_native_histograms: true, static_configs: [{{targets: ['{0}']}}]}}
remote_write:
- {{url: 'http://127.0.0.1:{1}/api/v1/write', send_native_histograms: true, queue_config: {{batch_send_deadline: 100ms, max_backoff: 200ms}}}}
",
        stub.address, receiver.port
    )
}

fn load() -> Stub {
    let stub = Stub::start();
    stub.set(
        "/metrics",
        Answer::computed(|seen| {
            (0..40).map(|i| format!("load_total{{i=\"{i}\"}} {}\n", seen.before * (i + 1))).collect()
        }),
    );
    stub.set("/histograms", Answer::with(&[("content-type", PROTOBUF)], HISTOGRAMS));
    stub
}

/// Floats by series: time to value.
type Floats = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// All floats that an agent has logged, and the number of its native histograms. Staleness markers are left out: queries
/// do not show them.
fn logged(data: &Path) -> (Floats, usize) {
    let (mut series, mut floats, mut histograms) = (HashMap::new(), Floats::new(), 0);
    for (_, path) in tsdb::log_segments(&data.join("wal")).unwrap() {
        tsdb::read_log_segment(&path, 0, None, |record, _| {
            record
                .series(|reference, labels| {
                    let labels: Labels = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                    series.insert(reference, labels);
                })
                .unwrap();
            record
                .samples(|reference, _, t, v| {
                    if !model::is_stale(v) {
                        let of: &mut BTreeMap<i64, u64> =
                            floats.entry(series[&reference].clone()).or_default();
                        assert_eq!(of.insert(t, v.to_bits()), None, "logged twice");
                    }
                })
                .unwrap();
            record
                .histograms(|_, _, _, value| histograms += usize::from(!model::is_stale(value.sum())))
                .unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    (floats, histograms)
}

fn stored(receiver: &Program<'_>) -> (Floats, usize) {
    let data = receiver.data(&format!("/api/v1/query?{}", form(&[("query", "{job=~\".+\"}[1h]")])));
    let (mut floats, mut histograms) = (Floats::new(), 0);
    for series in data["result"].as_array().unwrap() {
        let metric = series["metric"].as_object().unwrap();
        let labels = metric.iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned())).collect();
        histograms += series["histograms"].as_array().map_or(0, Vec::len);
        let values = series["values"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let values: BTreeMap<i64, u64> = values
            .map(|pair| {
                let v: f64 = pair[1].as_str().unwrap().parse().unwrap();
                ((pair[0].as_f64().unwrap() * 1000.0).round() as i64, v.to_bits())
            })
            .collect();
        if !values.is_empty() {
            floats.insert(labels, values);
        }
    }
    (floats, histograms)
}

/// Waits for so many more scrapes of the load.
fn more_scrapes(agent: &Program<'_>, stub: &Stub, count: usize) {
    let until = stub.seen("/metrics").len() + count;
    agent.wait_for("scrapes", |_| (stub.seen("/metrics").len() >= until).then_some(()));
}

fn arrives(receiver_is: Option<&str>) {
    let stub = load();
    let mut receiver = Site::server("global: {}\n").flag("--web.enable-remote-write-receiver");
    receiver.switch_to(receiver_is);
    let agent = Site::agent(&config(&stub, &receiver));
    let receiving = receiver.start();
    let sending = agent.start();
    more_scrapes(&sending, &stub, 10);
    sending.kill();
    std::fs::remove_file(agent.path("data-agent/lock")).unwrap();
    let sending = agent.start();
    more_scrapes(&sending, &stub, 10);
    receiving.kill();
    std::fs::remove_file(receiver.path("data/lock")).unwrap();
    // The agent ends while nobody takes its samples, and sends them when it is back.
    more_scrapes(&sending, &stub, 10);
    let (status, log) = sending.interrupt();
    assert_eq!(status.code(), Some(0), "{log}");
    let sending = agent.start();
    more_scrapes(&sending, &stub, 5);
    let receiving = receiver.start();
    more_scrapes(&sending, &stub, 5);
    let (status, log) = sending.interrupt();
    assert_eq!(status.code(), Some(0), "{log}");
    // What could not be sent before the end is sent after the next start.
    let all = config(&stub, &receiver);
    agent.write("prometheus.yml", &all[all.find("remote_write:").unwrap()..]);
    let _sending = agent.start();
    let (floats, histograms) = logged(&agent.path("data-agent"));
    let samples: usize = floats.values().map(BTreeMap::len).sum();
    assert!(samples > 40 * 40 && histograms > 20, "{samples} floats, {histograms} histograms");
    let mut there = (Floats::new(), 0);
    receiving.wait_for("all samples", |receiving| {
        there = stored(receiving);
        let stored: usize = there.0.values().map(BTreeMap::len).sum();
        (stored >= samples && there.1 >= histograms).then_some(())
    });
    assert_eq!(there.1, histograms);
    assert_eq!(there.0.keys().collect::<BTreeSet<_>>(), floats.keys().collect::<BTreeSet<_>>());
    for (labels, samples) in &floats {
        assert_eq!(&there.0[labels], samples, "{labels:?}");
    }
    // Each scrape is there but those that were under way when the agent was killed or stopped.
    let scraped = floats.iter().find(|(labels, _)| labels.get("i").is_some_and(|i| i == "0")).unwrap().1;
    assert!(scraped.len() + 4 >= stub.seen("/metrics").len(), "{} scrapes logged", scraped.len());
}

#[test]
fn all_that_was_logged_arrives_once_over_kills_and_an_outage() {
    arrives(None);
}

#[test]
fn prometheus_takes_what_an_agent_sends() {
    let Some((prometheus, _)) = prometheus_3() else { return };
    arrives(Some(&prometheus));
}

/// One directory, two programs in turn: each sends what it has logged.
#[test]
fn an_agent_and_that_of_prometheus_go_on_with_each_others_log() {
    let Some((prometheus, _)) = prometheus_3() else { return };
    let stub = load();
    let receiver = Site::server("global: {}\n").flag("--web.enable-remote-write-receiver");
    let receiving = receiver.start();
    let mut agent = Site::agent(&config(&stub, &receiver)).flag("--storage.remote.flush-deadline=5s");
    let mut series = Vec::new();
    for program in [None, Some(prometheus.as_str()), None, Some(prometheus.as_str())] {
        agent.switch_to(program);
        let running = agent.start();
        more_scrapes(&running, &stub, 5);
        let metrics = running.get("/metrics").text();
        let value = |name: &str| {
            let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert_eq!(value("prometheus_agent_corruptions_total "), 0.0, "{program:?}");
        series.push(value("prometheus_agent_active_series "));
        let (status, log) = running.interrupt();
        assert_eq!(status.code(), Some(0), "{log}");
    }
    assert!(series.iter().all(|&count| count == series[0]), "{series:?}");
    let (floats, _) = logged(&agent.path("data-agent"));
    assert_eq!(floats.keys().filter(|labels| labels["__name__"] == "load_total").count(), 40);
    assert_eq!(stored(&receiving).0, floats);
    let metrics = receiving.get("/metrics").text();
    let refused = "prometheus_http_requests_total{code=\"400\",handler=\"/api/v1/write\"}";
    assert!(!metrics.contains(refused), "something was sent twice");
}

#[test]
fn an_agent_says_what_it_is_and_what_it_does_not_do() {
    let stub = load();
    let receiver = Site::server("global: {}\n");
    let site = Site::agent(&config(&stub, &receiver)).flag("--web.enable-remote-write-receiver");
    let agent = site.start();
    let refused = r#"{"status":"error","errorType":"execution","error":"unavailable with Prometheus Agent"}"#;
    for (path, status, text) in [
        ("/-/healthy", 200, "Prometheus Agent is Healthy.\n"),
        ("/-/ready", 200, "Prometheus Agent is Ready.\n"),
        ("/api/v1/query?query=1", 422, refused),
        ("/api/v1/query_explain?query=1", 422, refused),
        ("/api/v1/label/job/values", 422, refused),
        ("/api/v1/rules", 422, refused),
        ("/api/v1/status/tsdb/blocks", 422, refused),
        ("/federate?match[]=up", 500, "unsupported operation with WAL-only storage\n"),
        ("/query", 404, "404 page not found\n"),
        ("/tsdb-status", 404, "404 page not found\n"),
    ] {
        let answer = agent.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{path}");
    }
    let home = agent.get("/");
    assert_eq!((home.status, home.header("location")), (302, Some("/agent")));
    assert_eq!(agent.get("/agent").status, 200);
    assert_eq!(agent.data("/api/v1/status/flags")["agent"], "true");
    let features = agent.data("/api/v1/features");
    assert_eq!(features["prometheus"]["agent_mode"], Value::from(true));
    assert_eq!(features["prometheus"]["server_mode"], Value::from(false));
    more_scrapes(&agent, &stub, 2);
    let metrics = agent.get("/metrics").text();
    for not_there in ["prometheus_tsdb_head_", "prometheus_tsdb_blocks_", "prometheus_engine_"] {
        assert!(!metrics.contains(&format!("\n{not_there}")), "{not_there}");
    }
    for name in
        ["prometheus_agent_samples_appended_total{type=\"float\"} ", "prometheus_tsdb_wal_segment_current "]
    {
        assert!(metrics.contains(&format!("\n{name}")), "{name}");
    }
    drop(agent);
    // The other mode has another page.
    assert_eq!(receiver.start().get("/agent").status, 404);
}

#[test]
fn what_an_agent_has_no_use_for_is_refused() {
    let site = Site::agent("global: {}\n").flag("--query.timeout=1m");
    let (status, log) = site.run_to_end();
    assert_eq!(status.code(), Some(3));
    assert_eq!(log, r#"The following flag(s) can not be used in agent mode: ["--query.timeout"]"#);
    let site = Site::server("global: {}\n").flag("--storage.agent.path=x");
    let (status, log) = site.run_to_end();
    assert_eq!(status.code(), Some(3));
    assert_eq!(log, r#"The following flag(s) can only be used in agent mode: ["--storage.agent.path"]"#);
    for (section, yaml) in [
        ("alerting", "alerting: {alertmanagers: [{static_configs: [{targets: ['h:1']}]}]}\n"),
        ("rule_files", "rule_files: ['*.yml']\n"),
        ("remote_read", "remote_read: [{url: 'http://h/read'}]\n"),
    ] {
        let (status, log) = Site::agent(yaml).run_to_end();
        assert!(!status.success(), "{section}");
        assert!(log.contains(&format!("field {section} is not allowed in agent mode")), "{log}");
    }
    let site = Site::agent("global: {}\n").flag("--web.enable-lifecycle");
    let agent = site.start();
    site.write("prometheus.yml", "rule_files: ['*.yml']\n");
    let answer = agent.request("POST", "/-/reload", &[], b"");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("field rule_files is not allowed in agent mode"), "{}", answer.text());
}
