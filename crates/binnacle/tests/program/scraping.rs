//! A user's own `prometheus.yml`: who is scraped, how, and under which labels the samples are found.

use std::time::Duration;

use crate::site::{Labels, Program, Site};
use crate::stub::{Answer, Stub};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

/// Waits until the selector finds exactly these series.
fn wait_for_series(program: &Program<'_>, selector: &str, want: &[&[(&str, &str)]]) {
    let mut want: Vec<Labels> = want.iter().map(|pairs| labels(pairs)).collect();
    want.sort();
    let mut last = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        program.wait_for(selector, |p| {
            last = p.query(selector).into_iter().map(|(l, _)| l).collect();
            last.sort();
            (last == want).then_some(())
        });
    }));
    assert!(found.is_ok(), "{selector}: found {last:#?}, not {want:#?}");
}

#[test]
fn targets_and_samples_are_relabelled() {
    let stub = Stub::serving("a_total 1\nb_total{code=\"200\",path=\"/\"} 2\nunwanted 3\n");
    let site = Site::server(&format!(
        r#"
global: {{scrape_interval: 200ms, external_labels: {{cluster: c1}}}}
scrape_configs:
  - job_name: web
    static_configs:
      - targets: ["{address}", "drop.example:80"]
        labels: {{env: prod, __meta_team: core, __meta_tier: front}}
    relabel_configs:
      - {{source_labels: [__address__], regex: "drop\\..*", action: drop}}
      - {{source_labels: [__meta_team, env], separator: "-", target_label: owner}}
      - {{action: labelmap, regex: "__meta_(ti.*)"}}
      - {{source_labels: [owner], regex: "(core)-(.*)", target_label: short, replacement: "${{2}}/$1"}}
      - {{source_labels: [env], target_label: loud, action: uppercase}}
      - {{source_labels: [env], target_label: shard, modulus: 1, action: hashmod}}
      - {{action: labeldrop, regex: env}}
      - {{target_label: instance, replacement: web-1}}
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: unwanted, action: drop}}
      - {{source_labels: [code], regex: "(.)..", target_label: class, replacement: "${{1}}xx"}}
      - {{source_labels: [__name__], regex: "b_(.*)", target_label: __name__, replacement: "c_$1"}}
      - {{action: labeldrop, regex: "code|path"}}
"#,
        address = stub.address
    ));
    let program = site.start();
    let of_target = [
        ("job", "web"),
        ("instance", "web-1"),
        ("owner", "core-prod"),
        ("tier", "front"),
        ("short", "prod/core"),
        ("loud", "PROD"),
        ("shard", "0"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [of_target.as_slice(), more].concat();
    wait_for_series(&program, "up", &[&with(&[("__name__", "up")])]);
    wait_for_series(
        &program,
        "{__name__=~\"a_total|b_total|c_total|unwanted\"}",
        &[&with(&[("__name__", "a_total")]), &with(&[("__name__", "c_total"), ("class", "2xx")])],
    );
    assert_eq!(program.value("scrape_samples_scraped"), Some(3.0));
    assert_eq!(program.value("scrape_samples_post_metric_relabeling"), Some(2.0));

    let targets = program.data("/api/v1/targets");
    assert_eq!(targets["droppedTargets"].as_array().map(Vec::len), Some(1), "{targets}");
    let active = &targets["activeTargets"][0];
    assert_eq!(active["discoveredLabels"]["__meta_team"], "core");
    assert_eq!(active["discoveredLabels"]["__address__"], stub.address.as_str());
    assert_eq!(active["scrapeUrl"], format!("http://{}/metrics", stub.address));
    assert_eq!((&active["health"], &active["lastError"]), (&"up".into(), &"".into()));
    assert_eq!((&active["scrapeInterval"], &active["scrapeTimeout"]), (&"200ms".into(), &"200ms".into()));
}

#[test]
fn the_request_says_what_the_job_asks_for() {
    let stub = Stub::start();
    stub.set("/m2", Answer::page("x 1\n"));
    stub.set("/label-path", Answer::page("x 1\n"));
    let site = Site::server(&format!(
        r#"
global: {{scrape_interval: 300ms, scrape_timeout: 250ms}}
scrape_configs:
  - job_name: params
    metrics_path: /m2
    params: {{a: [b, "c d"]}}
    basic_auth: {{username: u, password: p}}
    static_configs: [{{targets: ["{0}"]}}]
  - job_name: by-label
    static_configs: [{{targets: ["{0}"], labels: {{__metrics_path__: /label-path, __param_q: "1", __scrape_interval__: 1s, __scrape_timeout__: 900ms}}}}]
"#,
        stub.address
    ));
    let program = site.start();
    for job in ["params", "by-label"] {
        assert_eq!(program.scraped(job), ("up".to_owned(), String::new()), "{job}");
    }
    let request = stub.seen("/m2").remove(0);
    assert_eq!(request.target, "/m2?a=b&a=c+d");
    for (name, value) in [
        ("accept-encoding", "gzip"),
        ("x-prometheus-scrape-timeout-seconds", "0.25"),
        ("authorization", "Basic dTpw"),
        (
            "accept",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
    ] {
        assert_eq!(request.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    let request = stub.seen("/label-path").remove(0);
    assert_eq!(request.target, "/label-path?q=1");
    assert_eq!(request.headers["x-prometheus-scrape-timeout-seconds"], "0.9");
    let target = program.target("by-label").unwrap();
    assert_eq!(target["scrapeInterval"], "1s");
    // A password given in the file is nowhere to be read.
    let shown = program.data("/api/v1/status/config")["yaml"].as_str().unwrap().to_owned();
    assert!(shown.contains("password: <secret>"), "{shown}");
}

#[test]
fn labels_and_timestamps_of_the_page_are_honoured_when_told() {
    let stub = Stub::start();
    let minute_ago =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap() - Duration::from_secs(60);
    let page = format!("x{{job=\"own\",instance=\"mine\"}} 1\nold 2 {}\n", minute_ago.as_millis());
    stub.set("/metrics", Answer::page(page));
    let site = Site::server(&format!(
        r#"
global: {{scrape_interval: 200ms}}
scrape_configs:
  - job_name: ours
    honor_timestamps: false
    static_configs: [{{targets: ["{0}"]}}]
  - job_name: theirs
    honor_labels: true
    static_configs: [{{targets: ["{0}"]}}]
"#,
        stub.address
    ));
    let program = site.start();
    let (ours, theirs) = (("job", "ours"), ("job", "theirs"));
    let instance = ("instance", stub.address.as_str());
    wait_for_series(
        &program,
        "x",
        &[
            &[("__name__", "x"), ("exported_job", "own"), ("exported_instance", "mine"), ours, instance],
            &[("__name__", "x"), ("job", "own"), ("instance", "mine")],
        ],
    );
    program.wait_for_value("count(old)", 2.0);
    let samples = program.samples("old[5m]", None);
    let times = |job: &str| {
        samples.iter().find(|(l, _)| l["job"] == job).unwrap().1.keys().copied().collect::<Vec<_>>()
    };
    assert_eq!(times(theirs.1), [minute_ago.as_millis() as i64]);
    assert!(times(ours.1).iter().all(|t| *t > minute_ago.as_millis() as i64 + 30_000));
}

#[test]
fn limits_fail_the_whole_scrape() {
    let stub = Stub::serving("a{long=\"0123456789\"} 1\nb 2\nc 3\n");
    let job = |name: &str, limit: &str| {
        format!("  - {{job_name: {name}, {limit}, static_configs: [{{targets: [\"{}\"]}}]}}\n", stub.address)
    };
    let cases = [
        ("samples", "sample_limit: 2", "sample limit exceeded"),
        ("bytes", "body_size_limit: 10B", "body size limit exceeded"),
        ("labels", "label_limit: 2", "label_limit exceeded"),
        ("names", "label_name_length_limit: 3", "label_name_length_limit exceeded"),
        ("values", "label_value_length_limit: 9", "label_value_length_limit exceeded"),
        ("targets", "target_limit: 0", ""),
    ];
    let jobs: String = cases.iter().map(|(name, limit, _)| job(name, limit)).collect();
    let site = Site::server(&format!("global: {{scrape_interval: 200ms}}\nscrape_configs:\n{jobs}"));
    let program = site.start();
    for (name, _, error) in cases {
        let (health, last_error) = program.scraped(name);
        assert_eq!(health, if error.is_empty() { "up" } else { "down" }, "{name}: {last_error}");
        assert!(last_error.starts_with(error), "{name}: {last_error}");
        assert_eq!(
            program.value(&format!("count({{__name__=~\"a|b|c\", job=\"{name}\"}})")),
            error.is_empty().then_some(3.0),
            "{name}"
        );
    }
}

#[test]
fn a_series_that_vanishes_is_stale_at_once() {
    let stub = Stub::serving("stays 1\ngoes 1\n");
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    program.wait_for_value("count({__name__=~\"stays|goes\"})", 2.0);
    stub.set("/metrics", Answer::page("stays 1\n"));
    program.wait_for("goes to be stale", |p| p.query("goes").is_empty().then_some(()));
    assert_eq!(program.value("stays"), Some(1.0));
    // And all of them with their target.
    stub.set("/metrics", Answer::status("503 Service Unavailable"));
    program.wait_for("stays to be stale", |p| p.query("stays").is_empty().then_some(()));
    assert_eq!(program.value("up"), Some(0.0));
    assert_eq!(
        program.target("j").unwrap()["lastError"],
        "server returned HTTP status 503 Service Unavailable"
    );
}

#[test]
fn targets_from_a_file_follow_the_file() {
    let (one, two) = (Stub::serving("one 1\n"), Stub::serving("two 1\n"));
    let site = Site::server(
        "global: {scrape_interval: 200ms}\nscrape_configs: [{job_name: f, file_sd_configs: [{files: [\"t*.json\", t.yml]}]}]\n",
    );
    site.write(
        "t1.json",
        &format!("[{{\"targets\": [\"{}\"], \"labels\": {{\"from\": \"json\"}}}}]", one.address),
    );
    let program = site.start();
    let file = site.path("t1.json").display().to_string();
    program.wait_for_value("count({from=\"json\",__name__=\"one\"})", 1.0);
    assert_eq!(program.target("f").unwrap()["discoveredLabels"]["__meta_filepath"], file.as_str());

    // A second file, in the other format.
    site.write("t.yml", &format!("- targets: [\"{}\"]\n  labels: {{from: yaml}}\n", two.address));
    program.wait_for_value("sum(up)", 2.0);
    program.wait_for_value("count({from=\"yaml\",__name__=\"two\"})", 1.0);

    // What cannot be read changes nothing; what can be read takes away.
    site.write("t1.json", "[{\"targets\": [");
    program.wait_for("the failure to be counted", |p| {
        let page = p.get("/metrics").text();
        let counted = page.lines().find_map(|l| l.strip_prefix("prometheus_sd_file_read_errors_total "))?;
        (counted != "0").then_some(())
    });
    assert_eq!(program.value("sum(up)"), Some(2.0));
    site.write("t1.json", "[]");
    program.wait_for("the first target to go", |p| p.query("one").is_empty().then_some(()));
    program.wait_for_value("count(up)", 1.0);
    assert_eq!(program.value("two"), Some(1.0));
}

#[test]
fn targets_from_http_follow_the_answer() {
    let stub = Stub::serving("x 1\n");
    let groups = |labels: &str| {
        let body = format!("[{{\"targets\": [\"{}\"], \"labels\": {{{labels}}}}}]", stub.address);
        Answer::with(&[("Content-Type", "application/json")], body)
    };
    stub.set("/sd", groups("\"version\": \"1\""));
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: h, http_sd_configs: [{{url: \"http://{}/sd\", refresh_interval: 1s}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    program.wait_for_value("x{version=\"1\"}", 1.0);
    assert_eq!(stub.seen("/sd")[0].headers["x-prometheus-refresh-interval-seconds"], "1");
    stub.set("/sd", groups("\"version\": \"2\""));
    program.wait_for_value("x{version=\"2\"}", 1.0);
    program.wait_for("the old one to go", |p| p.query("x{version=\"1\"}").is_empty().then_some(()));
    // An answer that is none keeps what there is.
    stub.set("/sd", Answer::status("500 Internal Server Error"));
    let asked = stub.seen("/sd").len();
    program.wait_for("two failed refreshes", |_| (stub.seen("/sd").len() >= asked + 2).then_some(()));
    assert_eq!(program.value("count(up)"), Some(1.0));
}

#[test]
fn a_target_is_scraped_at_its_interval_over_one_connection() {
    let stub = Stub::serving("x 1\n");
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    program.wait_for("ten scrapes", |_| (stub.seen("/metrics").len() >= 10).then_some(()));
    // A scrape that timed out, as on a busy machine, costs its connection.
    assert!(stub.connections() <= 3, "{} connections", stub.connections());
    // Timestamps lie on the grid although scrapes are a little late: exactly an interval apart.
    program.wait_for("regular timestamps", |p| {
        let samples = p.samples("x[5m]", None);
        let times: Vec<i64> = samples.values().next()?.keys().copied().collect();
        (times.windows(2).filter(|w| (w[1] - w[0]) % 200 == 0).count() >= 10).then_some(())
    });
}

#[test]
fn the_log_says_of_which_target_samples_were_dropped_and_why() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let (late, far) = (now - 60_000, now + 7_200_000);
    let page = format!(
        "late 1 {now}\nlate 2 {late}\ntwice 1 {now}\ntwice 2 {now}\nfar 1 {far}\nfar{{i=\"2\"}} 1 {far}\n"
    );
    let stub = Stub::serving(&page);
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: web, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    for (message, dropped) in [
        ("Error on ingesting out-of-order samples", 1),
        ("Error on ingesting samples with different value but same timestamp", 1),
        ("Error on ingesting samples that are too old or are too far into the future", 2),
    ] {
        let is_it = |line: &&str| {
            line.contains("level=WARN")
                && line.contains(message)
                && line.contains("scrape_pool=web")
                && line.contains(&format!("target=http://{}/metrics", stub.address))
                && line.contains(&format!("num_dropped={dropped}"))
        };
        program.wait_for(message, |p| p.log().lines().find(is_it).map(drop));
    }
}

#[test]
fn a_protobuf_page_brings_native_histograms_and_exemplars() {
    let stub = Stub::start();
    let page = include_bytes!("../../../exposition/testdata/histograms.pb");
    let content_type =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    stub.set("/metrics", Answer::with(&[("Content-Type", content_type)], page.to_vec()));
    let site = Site::server(&format!(
        r#"
global: {{scrape_interval: 300ms}}
scrape_configs:
  - job_name: native
    scrape_native_histograms: true
    static_configs: [{{targets: ["{0}"]}}]
  - job_name: converted
    convert_classic_histograms_to_nhcb: true
    static_configs: [{{targets: ["{0}"]}}]
  - job_name: narrow
    scrape_native_histograms: true
    native_histogram_bucket_limit: 1
    static_configs: [{{targets: ["{0}"]}}]
"#,
        stub.address
    ))
    .flag("--enable-feature=exemplar-storage");
    let program = site.start();
    for job in ["native", "converted"] {
        assert_eq!(program.scraped(job), ("up".to_owned(), String::new()), "{job}");
    }
    let refused = ("down".to_owned(), "histogram bucket limit exceeded".to_owned());
    assert_eq!(program.scraped("narrow"), refused);
    program.wait_for_value("histogram_count(request_seconds{job=\"native\"})", 11.0);
    program.wait_for_value("histogram_count(request_seconds{job=\"converted\"})", 11.0);
    program.wait_for_value("histogram_fraction(0, 0.5, request_seconds{job=\"converted\"})", 5.0 / 11.0);
    program.wait_for_value("requests_total{job=\"native\"}", 5.0);
    assert_eq!(program.query("request_seconds_count"), []);
    let found = program.data("/api/v1/query_exemplars?query=requests_total&start=0&end=2000000000");
    assert_eq!(found[0]["exemplars"][0]["labels"]["trace"], "abc", "{found}");
    let told = program.data("/api/v1/targets/metadata?metric=request_seconds&limit=1");
    let (kind, unit, help) = (&told[0]["type"], &told[0]["unit"], &told[0]["help"]);
    assert_eq!((kind, unit, help), (&"histogram".into(), &"seconds".into(), &"How long.".into()));
    let first =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,";
    let seen = stub.seen("/metrics");
    assert!(seen.iter().any(|request| request.headers["accept"].starts_with(first)));
    assert!(seen.iter().any(|request| !request.headers["accept"].contains("protobuf")));
}

#[test]
fn what_pages_say_about_metrics_is_in_the_log_when_told() {
    let stub = Stub::start();
    let set = |help: &str| {
        let page = format!(
            "# HELP x_total {help}\n# TYPE x_total counter\nx_total{{a=\"1\"}} 1\nx_total{{a=\"2\"}} 1\nother 1\n"
        );
        stub.set("/metrics", Answer::page(page));
    };
    set("Counts the first.");
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]}}]\n",
        stub.address
    ))
    .flag("--enable-feature=metadata-wal-records")
    .flag("--no-storage.tsdb.wal-compression");
    let program = site.start();
    let records_of = |text: &str| {
        let log = std::fs::read(site.path("data/wal/00000000")).unwrap_or_default();
        log.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    };
    program.wait_for("both series' help", |_| (records_of("Counts the first.") == 2).then_some(()));
    let scrapes = stub.seen("/metrics").len();
    program.wait_for("more scrapes", |_| (stub.seen("/metrics").len() > scrapes + 2).then_some(()));
    set("Counts the second.");
    program.wait_for("the new help", |_| (records_of("Counts the second.") == 2).then_some(()));
    // Once for each series, not once for each scrape.
    assert_eq!(records_of("Counts the first."), 2);
}
