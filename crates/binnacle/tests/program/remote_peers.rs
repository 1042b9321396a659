//! Remote write and remote read between the real programs: Prometheus, VictoriaMetrics and ours, either way round, with
//! receivers that are away and processes that are killed.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::http;
use crate::site::{Program, Samples, Site, is_peer, prometheus_3};
use crate::stub::{Answer, Stub};

/// Series of the target.
const SERIES: usize = 20;
/// Samples of each series that are waited for between two incidents.
const SAMPLES: usize = 15;

/// A target whose counters count its scrapes.
fn target() -> Stub {
    let stub = Stub::start();
    stub.set(
        "/metrics",
        Answer::computed(|seen| {
            let n = seen.before;
            let mut page = String::from("# HELP m_total What is counted.\n# TYPE m_total counter\n");
            for series in 0..SERIES {
                page += &format!("m_total{{series=\"{series}\"}} {}\n", n * (series + 1));
            }
            page += &format!(
                "# TYPE h histogram\nh_bucket{{le=\"1\"}} {n}\nh_bucket{{le=\"+Inf\"}} {}\nh_sum {n}\nh_count {}\n",
                2 * n,
                2 * n
            );
            page
        }),
    );
    stub
}

/// Scrapes the target every tenth of a second.
fn scraping(stub: &Stub, more: &str) -> String {
    format!(
        "global: {{external_labels: {{cluster: a}}}}
scrape_configs:
- job_name: target
  scrape_interval: 100ms
  scrape_timeout: 100ms
  convert_classic_histograms_to_nhcb: true
  static_configs: [{{targets: [\"{}\"]}}]
{more}",
        stub.address
    )
}

fn sending_to(url: &str, more: &str) -> String {
    format!(
        "remote_write:
- url: {url}
  send_native_histograms: true
  queue_config: {{batch_send_deadline: 100ms, max_backoff: 200ms}}
{more}"
    )
}

const V1: &str = "";
const V2: &str = "  protobuf_message: io.prometheus.write.v2.Request\n";

fn receiver() -> Site {
    Site::server("global: {}\n").flag("--web.enable-remote-write-receiver")
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as f64 / 1000.0
}

/// Samples of a series until a time.
fn count(program: &Program<'_>, until: f64) -> usize {
    let selector = "m_total{series=\"0\"}[10m]";
    program.samples(selector, Some(until)).values().map(|samples| samples.len()).sum()
}

/// Waits until this many more samples of each series are stored.
fn gain(program: &Program<'_>) {
    let before = count(program, now());
    program.wait_for("more samples", |p| (count(p, now()) >= before + SAMPLES).then_some(()));
}

/// Floats and native histograms of the target until a time, without the labels that only leave the server.
fn stored(program: &Program<'_>, until: f64) -> (Samples, Vec<String>) {
    let mut floats = Samples::new();
    for (mut labels, samples) in program.samples("m_total[10m]", Some(until)) {
        labels.remove("cluster");
        floats.insert(labels, samples);
    }
    let until = until.to_string();
    let query = http::form(&[("query", "h[10m]"), ("time", &until)]);
    let mut result = program.data(&format!("/api/v1/query?{query}"))["result"].take();
    let histograms = result.as_array_mut().unwrap().iter_mut().flat_map(|series| {
        let histograms = series["histograms"].take();
        histograms.as_array().cloned().unwrap_or_default()
    });
    (floats, histograms.map(|histogram: Value| histogram.to_string()).collect())
}

fn total(all: &Samples) -> usize {
    all.values().map(|samples| samples.len()).sum()
}

fn assert_reaches(sender: &Program<'_>, receiver: &Program<'_>, version: &str) {
    let until = now();
    // What was scraped until then is stored a little later.
    gain(sender);
    let mut sent = stored(sender, until);
    assert_eq!(sent.0.len(), SERIES);
    assert!(!sent.1.is_empty());
    if version == V1 {
        // It has no place for histograms with buckets of their own.
        sent.1.clear();
    }
    let got = receiver.wait_for("as many samples", |p| {
        let got = stored(p, until);
        (total(&got.0) >= total(&sent.0) && got.1.len() >= sent.1.len()).then_some(got)
    });
    assert_eq!(got, sent);
}

/// Our sender into a receiver: each is killed once, and the receiver is away for a while.
fn survives(sender: &Site, receiver: &Site, version: &str) {
    let taking = receiver.start();
    let sending = sender.start();
    gain(&taking);
    taking.kill();
    gain(&sending);
    sending.kill();
    let sending = sender.start();
    gain(&sending);
    let taking = receiver.start();
    gain(&taking);
    // In the middle of sending.
    sending.kill();
    let sending = sender.start();
    gain(&sending);
    assert_reaches(&sending, &taking, version);
    let (status, _) = taking.interrupt();
    assert!(status.success());
    let (status, _) = sending.interrupt();
    assert!(status.success());
}

#[test]
fn what_we_send_to_our_receiver_survives_outages_and_kills() {
    if is_peer() {
        return;
    }
    for version in [V1, V2] {
        let (stub, receiver) = (target(), receiver());
        let url = format!("http://127.0.0.1:{}/api/v1/write", receiver.port);
        survives(&Site::server(&scraping(&stub, &sending_to(&url, version))), &receiver, version);
    }
}

#[test]
fn what_we_send_to_prometheus_survives_outages_and_kills() {
    let Some((prometheus, _)) = prometheus_3() else { return };
    if is_peer() {
        return;
    }
    for version in [V1, V2] {
        let (stub, mut receiver) = (target(), receiver());
        receiver.switch_to(Some(&prometheus));
        let url = format!("http://127.0.0.1:{}/api/v1/write", receiver.port);
        survives(&Site::server(&scraping(&stub, &sending_to(&url, version))), &receiver, version);
    }
}

/// Prometheus does not go on where it was when it was killed: only the receiver is.
#[test]
fn what_prometheus_sends_to_us_survives_that_we_are_killed() {
    let Some((prometheus, _)) = prometheus_3() else { return };
    if is_peer() {
        return;
    }
    for version in [V1, V2] {
        let (stub, receiver) = (target(), receiver());
        let url = format!("http://127.0.0.1:{}/api/v1/write", receiver.port);
        let mut sender = Site::server(&scraping(&stub, &sending_to(&url, version)));
        sender.switch_to(Some(&prometheus));
        let taking = receiver.start();
        let sending = sender.start();
        gain(&taking);
        taking.kill();
        gain(&sending);
        let taking = receiver.start();
        gain(&taking);
        assert_reaches(&sending, &taking, version);
    }
}

/// All samples of the target's counters that VictoriaMetrics has.
fn exported(program: &Program<'_>) -> Samples {
    program.get("/internal/force_flush");
    let answer = program.get("/api/v1/export?match[]=m_total");
    let mut all = Samples::new();
    for line in answer.text().lines() {
        let series: Value = serde_json::from_str(line).unwrap();
        let labels = series["metric"].as_object().unwrap().iter();
        let labels = labels.filter(|(name, _)| *name != "cluster");
        let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let times = series["timestamps"].as_array().unwrap().iter().map(|t| t.as_i64().unwrap());
        let values = series["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap().to_string());
        all.insert(labels, times.zip(values).collect());
    }
    all
}

#[test]
fn what_we_send_to_victoria_metrics_survives_outages_and_kills() {
    let found = testkit::installed("victoria-metrics", "BINNACLE_PEER_VICTORIA_METRICS").next();
    let Some(program) = found.filter(|_| !is_peer()) else {
        println!("skipped: no victoria-metrics on PATH or in BINNACLE_PEER_VICTORIA_METRICS");
        return;
    };
    let receiver = Site::of(program.to_str().unwrap(), |site| {
        vec![
            format!("-httpListenAddr=127.0.0.1:{}", site.port),
            format!("-storageDataPath={}", site.path("data").display()),
        ]
    });
    let start = || {
        let program = receiver.launch();
        program.wait_for("health", |p| p.try_get("/health").filter(|a| a.status == 200).map(drop));
        program
    };
    let stub = target();
    let url = format!("http://127.0.0.1:{}/api/v1/write", receiver.port);
    let sender = Site::server(&scraping(&stub, &sending_to(&url, "  send_exemplars: false\n")));
    let taking = start();
    let sending = sender.start();
    taking.wait_for("samples", |p| (exported(p).len() == SERIES).then_some(()));
    // What VictoriaMetrics has taken it may lose when it is killed: it ends, and is away.
    taking.interrupt();
    gain(&sending);
    sending.kill();
    let sending = sender.start();
    gain(&sending);
    let taking = start();
    gain(&sending);
    let until = now();
    gain(&sending);
    let sent = stored(&sending, until).0;
    let got = |p: &Program<'_>| {
        let mut got = exported(p);
        got.values_mut().for_each(|samples| samples.retain(|t, _| *t <= (until * 1000.0) as i64));
        got
    };
    let got = taking.wait_for("as many samples", |p| {
        let got = got(p);
        (total(&got) >= total(&sent)).then_some(got)
    });
    assert_eq!(got, sent);
}

/// A server whose queries read what another has.
fn reading_from(url: &str) -> Site {
    Site::server(&format!("remote_read: [{{url: \"{url}\", read_recent: true, name: there}}]\n"))
}

fn url_of(site: &Site) -> String {
    format!("http://127.0.0.1:{}/api/v1/read", site.port)
}

#[test]
fn prometheus_reads_from_us() {
    let Some((prometheus, _)) = prometheus_3() else { return };
    if is_peer() {
        return;
    }
    let stub = target();
    let store = Site::server(&scraping(&stub, ""));
    let storing = store.start();
    gain(&storing);
    let mut reader = reading_from(&url_of(&store));
    reader.switch_to(Some(&prometheus));
    let reading = reader.start();
    let until = now();
    gain(&storing);
    assert_eq!(stored(&reading, until), stored(&storing, until));
    // Of the names of series, too, it asks for a stream.
    assert_eq!(reading.data("/api/v1/series?match[]=m_total").as_array().map(Vec::len), Some(SERIES));
}

#[test]
fn we_read_from_prometheus() {
    let Some((prometheus, _)) = prometheus_3() else { return };
    if is_peer() {
        return;
    }
    let stub = target();
    let mut store = Site::server(&scraping(&stub, ""));
    store.switch_to(Some(&prometheus));
    let storing = store.start();
    gain(&storing);
    // As a stream of chunks, which is asked for first, and as samples.
    for (url, kind) in [(url_of(&store), "chunked"), (samples_only(store.port), "sampled")] {
        let reader = reading_from(&url);
        let reading = reader.start();
        let until = now();
        gain(&storing);
        assert_eq!(stored(&reading, until), stored(&storing, until), "{kind}");
        let series = "/api/v1/series?match[]=m_total";
        assert_eq!(reading.data(series).as_array().map(Vec::len), Some(SERIES));
        let page = reading.get("/metrics").text();
        let total = format!(
            "prometheus_remote_read_client_queries_total{{code=\"200\",remote_name=\"there\",response_type=\"{kind}\",url=\"{url}\"}}"
        );
        assert!(page.contains(&total), "{total}");
        // Others that are away are a warning of queries that succeed.
        reader.write("prometheus.yml", "remote_read: [{url: \"http://127.0.0.1:1/\", read_recent: true}]\n");
        reading.signal(rustix::process::Signal::HUP);
        let warned = reading.wait_for("a warning", |p| {
            let answer = p.get("/api/v1/query?query=m_total").json();
            answer["warnings"][0].as_str().map(str::to_owned)
        });
        let refused = "remote_read: error sending request: Post \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused";
        assert_eq!(warned, refused);
    }
}

/// Passes requests of remote read on without the list of what kinds of answers are accepted: as old clients ask.
fn samples_only(port: u16) -> String {
    let stub = Stub::start();
    stub.set(
        "/api/v1/read",
        Answer::script(move |seen, to| {
            let mut plain = snap::raw::Decoder::new().decompress_vec(&seen.body).unwrap();
            // The last field.
            plain.truncate(plain.len() - 4);
            let body = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
            let headers = [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];
            let answer = http::request(port, "POST", "/api/v1/read", &headers, &body)?;
            let content_type = answer.header("content-type").unwrap_or_default();
            let length = answer.body.len();
            let head = format!(
                "HTTP/1.1 {} X\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n",
                answer.status
            );
            to.write_all(head.as_bytes())?;
            to.write_all(&answer.body)
        }),
    );
    format!("http://{}/api/v1/read", stub.address)
}
