//! The same targets under the same configuration, scraped by Prometheus and by us: what the API says about the targets,
//! what is stored of them, and what is written about failures must be the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::site::{Program, Site, is_peer, prometheus_3};
use crate::stub::{Answer, Stub, TEXT};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PAGE: &str = r#"# HELP a_total A.
# TYPE a_total counter
a_total 1
# HELP g_bytes G.
# TYPE g_bytes gauge
g_bytes{x="1"} 2
g_bytes{x="2"} 3
# TYPE h_seconds histogram
h_seconds_bucket{le="0.1"} 1
h_seconds_bucket{le="1"} 2
h_seconds_bucket{le="+Inf"} 3
h_seconds_sum 2.5
h_seconds_count 3
# TYPE s summary
s{quantile="0.5"} 1
s_sum 1
s_count 2
untyped_thing 5
"#;

const OPEN_METRICS_PAGE: &str = r#"# TYPE req_seconds counter
# UNIT req_seconds seconds
# HELP req_seconds R.
req_seconds_total{c="1"} 5 # {trace="abc"} 0.5 1.5
req_seconds_created{c="1"} 1700000000
# TYPE b info
b_info{v="1"} 1
# TYPE st stateset
st{st="a"} 1
st{st="b"} 0
# TYPE gh gaugehistogram
gh_bucket{le="1"} 1
gh_bucket{le="+Inf"} 2
gh_gcount 2
gh_gsum 3
# TYPE hh_seconds histogram
# UNIT hh_seconds seconds
hh_seconds_bucket{le="1.0"} 1
hh_seconds_bucket{le="+Inf"} 2
hh_seconds_count 2
hh_seconds_sum 3
hh_seconds_created 1700000000
# TYPE su_seconds summary
su_seconds{quantile="0.5"} 1
su_seconds_count 2
su_seconds_sum 3
su_seconds_created 1700000000
# TYPE un unknown
un 1
undeclared 4
# EOF
"#;

/// Types and units that are told about the wrong names, twice, or by the series themselves.
const TYPES: &str = r#"# TYPE a counter
a 1
b 2
a_total 3
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 1
h_count 1
h_sum 1
h_other 1
z 1
# TYPE s summary
s{quantile="0.5"} 1
s_sum 1
s_count 1
# TYPE u untyped
u{__type__="x"} 1
# HELP c_x X.
c_x 1
# TYPE d gauge
# HELP e E.
d 1
# TYPE "q.r" gauge
{"q.r"} 1
# TYPE hon gauge
hon{__type__="g",__unit__="u"} 1
"#;

const UNITS: &str = r#"# TYPE a_bytes counter
# UNIT a_bytes bytes
a_bytes_total 1
a_bytes_created 1
# TYPE b gauge
b 1
# TYPE c_seconds gauge
# UNIT c_seconds seconds
c_seconds{__unit__="x",__type__="y"} 1
d_unknown 2
# UNIT e_seconds seconds
e_seconds 1
# EOF
"#;

fn stub() -> Stub {
    let stub = Stub::start();
    let long = format!("long_metric_name_{}{{l=\"{}\"}} 1\n", "x".repeat(60), "v".repeat(70));
    let escaped = "text/plain; version=1.0.0; escaping=values; charset=utf-8";
    for (path, content_type, page) in [
        ("/ok", TEXT, PAGE),
        ("/om", OPEN_METRICS, OPEN_METRICS_PAGE),
        ("/types", TEXT, TYPES),
        ("/units", OPEN_METRICS, UNITS),
        ("/wrong-unit", OPEN_METRICS, "# TYPE a counter\n# UNIT a bytes\na_total 1\n# EOF\n"),
        (
            "/utf8",
            TEXT,
            "# HELP \"my.metric\" M.\n# TYPE \"my.metric\" gauge\n{\"my.metric\",\"lab.el\"=\"x\"} 1\nplain{lab_el=\"y\"} 2\n",
        ),
        (
            "/escaped",
            escaped,
            "# TYPE U__my_2e_metric gauge\nU__my_2e_metric{U__lab_2e_el=\"x\"} 1\nplain_dot_x 2\n",
        ),
        ("/html", "text/html", "x 1\n"),
        ("/bad-type", "text/plain; a", "x 1\n"),
        ("/broken", TEXT, "# HELP x X.\nx 1\ny{ 2\n# HELP z Z.\n"),
        ("/no-end", OPEN_METRICS, "x 1\n"),
        ("/empty", TEXT, ""),
        ("/twice", TEXT, "x 1\nx 2\n"),
        ("/long", TEXT, &long),
    ] {
        stub.set(path, Answer::with(&[("Content-Type", content_type)], page));
    }
    stub.set("/untyped", Answer::with(&[], "x 1\n"));
    stub.set("/500", Answer::status("500 Internal Server Error"));
    stub.set("/hang", Answer::hang());
    stub.set("/cut", Answer::cut("x 1\ny 2\n", 4));
    stub.set(
        "/redirect",
        Answer::script(|_, to| {
            std::io::Write::write_all(to, b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n")
        }),
    );
    stub
}

/// Jobs: name, path, further keys, labels of the only target.
const JOBS: &[(&str, &str, &str, &str)] = &[
    ("ok", "/ok", "", ""),
    ("utf8", "/utf8", "", ""),
    ("utf8_legacy", "/utf8", "metric_name_validation_scheme: legacy", ""),
    ("escaped_underscores", "/escaped", "metric_name_escaping_scheme: underscores", ""),
    ("escaped_dots", "/escaped", "metric_name_escaping_scheme: dots", ""),
    ("escaped_values", "/escaped", "metric_name_escaping_scheme: values", ""),
    (
        "legacy_values",
        "/utf8",
        "metric_name_escaping_scheme: values, metric_name_validation_scheme: legacy",
        "",
    ),
    ("om", "/om", "", ""),
    ("types", "/types", "", ""),
    ("types_converted", "/types", "convert_classic_histograms_to_nhcb: true", ""),
    (
        "types_relabelled",
        "/types",
        "metric_relabel_configs: [{source_labels: [__type__], regex: counter, action: drop}, {source_labels: [__type__], target_label: told}]",
        "",
    ),
    ("units", "/units", "", ""),
    ("wrong_unit", "/wrong-unit", "", ""),
    ("untyped", "/untyped", "", ""),
    ("html", "/html", "", ""),
    ("bad_type", "/bad-type", "", ""),
    ("fallback", "/untyped", "fallback_scrape_protocol: PrometheusText0.0.4", ""),
    ("fallback_other", "/html", "fallback_scrape_protocol: OpenMetricsText1.0.0", ""),
    ("broken", "/broken", "", ""),
    ("no_end", "/no-end", "", ""),
    ("empty", "/empty", "", ""),
    ("twice", "/twice", "", ""),
    ("server_error", "/500", "", ""),
    ("not_there", "/nothing", "", ""),
    ("hang", "/hang", "", ""),
    ("cut", "/cut", "", ""),
    ("redirect", "/redirect", "", ""),
    ("redirect_not", "/redirect", "follow_redirects: false", ""),
    ("body", "/ok", "body_size_limit: 10B", ""),
    ("samples", "/ok", "sample_limit: 5", ""),
    ("samples_enough", "/ok", "sample_limit: 12", ""),
    ("labels", "/ok", "label_limit: 3", ""),
    ("names", "/ok", "label_name_length_limit: 8", ""),
    ("values", "/ok", "label_value_length_limit: 10", ""),
    ("long_value", "/long", "label_value_length_limit: 20", ""),
    ("long_name", "/long", "label_name_length_limit: 4", ""),
    ("long_list", "/long", "label_limit: 2", ""),
    ("extra", "/ok", "extra_scrape_metrics: true, sample_limit: 100, body_size_limit: 1MB", ""),
    ("extra_fails", "/500", "extra_scrape_metrics: true", ""),
    ("converted", "/ok", "convert_classic_histograms_to_nhcb: true", ""),
    (
        "converted_both",
        "/ok",
        "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true",
        "",
    ),
    (
        "converted_by_label",
        "/ok",
        "",
        "__convert_classic_histograms_to_nhcb__: 'true', __always_scrape_classic_histograms__: '1'",
    ),
    ("interval", "/ok", "", "__scrape_interval__: 1s, __scrape_timeout__: 500ms"),
    ("params", "/ok", "params: {a: [b, c], d: [e]}", "__param_d: f, __param_g: h"),
    ("dropped", "/ok", "relabel_configs: [{action: drop, regex: '.*'}]", ""),
    ("no_address", "/ok", "relabel_configs: [{target_label: __address__, replacement: ''}]", ""),
    (
        "utf8_target",
        "/ok",
        "relabel_configs: [{source_labels: [__address__], target_label: 'utf.8', replacement: x}]",
        "",
    ),
    (
        "nameless",
        "/ok",
        "metric_relabel_configs: [{source_labels: [__name__], regex: a_total, target_label: __name__, replacement: ''}]",
        "",
    ),
    (
        "relabelled",
        "/ok",
        "metric_relabel_configs: [{source_labels: [x], regex: '1', action: drop}, {action: labeldrop, regex: x}]",
        "",
    ),
    ("honoured", "/ok", "honor_labels: true", "x: own"),
    ("not_honoured", "/ok", "", "x: own"),
    ("bad_convert", "/ok", "", "__convert_classic_histograms_to_nhcb__: 'yes'"),
    ("bad_classic", "/ok", "", "__always_scrape_classic_histograms__: 'yes'"),
    ("bad_native", "/ok", "", "__scrape_native_histograms__: 'yes'"),
    ("bad_interval", "/ok", "", "__scrape_interval__: x"),
    ("no_interval", "/ok", "", "__scrape_interval__: 0s"),
    ("bad_timeout", "/ok", "", "__scrape_timeout__: x"),
    ("long_timeout", "/ok", "", "__scrape_interval__: 1s, __scrape_timeout__: 2s"),
];

fn config(stub: &Stub) -> String {
    let mut config = "global: {scrape_interval: 1s, scrape_timeout: 700ms, scrape_failure_log_file: failures.json}\nscrape_configs:\n".to_owned();
    for (name, path, more, labels) in JOBS {
        let comma = if more.is_empty() { "" } else { ", " };
        config += &format!(
            "- {{job_name: {name}, metrics_path: {path}{comma}{more}, static_configs: [{{targets: ['{}'], labels: {{{labels}}}}}]}}\n",
            stub.address
        );
    }
    let name = stub.address.replace("127.0.0.1", "localhost");
    config += &format!(
        "- {{job_name: too_many, target_limit: 1, static_configs: [{{targets: ['{0}', '{name}']}}]}}\n\
         - {{job_name: refused, static_configs: [{{targets: ['127.0.0.1:1']}}]}}\n\
         - {{job_name: same, metrics_path: /ok, static_configs: [{{targets: ['{0}', '{0}']}}]}}\n\
         - {{job_name: some_dropped, metrics_path: /ok, keep_dropped_targets: 2, relabel_configs: [{{source_labels: [__address__], regex: 'drop.*', action: drop}}], static_configs: [{{targets: ['drop1:1', 'drop2:2', 'drop3:3', '{0}']}}]}}\n",
        stub.address
    );
    config
}

/// Everything that both must agree on.
#[derive(Debug, PartialEq)]
struct Told {
    targets: BTreeMap<String, Value>,
    dropped: Value,
    series: BTreeMap<String, Value>,
    metadata: BTreeSet<String>,
    failures: BTreeSet<String>,
}

fn told(program: &Program<'_>) -> Told {
    let mut targets = program.data("/api/v1/targets");
    let mut by_name = BTreeMap::new();
    for target in targets["activeTargets"].as_array_mut().unwrap() {
        for varying in ["lastScrape", "lastScrapeDuration", "globalUrl"] {
            assert!(!target[varying].take().is_null());
        }
        by_name.insert(format!("{} {}", target["scrapePool"], target["scrapeUrl"]), target.take());
    }
    let dropped = json!([targets["droppedTargets"], targets["droppedTargetCounts"]]);
    let query = "/api/v1/query?query=%7Bjob%3D~%22.%2B%22%7D";
    let series = program.data(query)["result"].take();
    let value = |s: &Value| match s["metric"]["__name__"].as_str() {
        Some("scrape_duration_seconds") => Value::Null,
        _ => json!([s["value"][1], s["histogram"][1]]),
    };
    let series = series.as_array().unwrap().iter().map(|s| (s["metric"].to_string(), value(s))).collect();
    let metadata = program.data("/api/v1/targets/metadata");
    let metadata = metadata.as_array().unwrap().iter().map(Value::to_string).collect();
    let log = std::fs::read_to_string(program.site.path("failures.json")).unwrap_or_default();
    let failures = log.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for varying in ["time", "source"] {
            assert!(line[varying].take().is_string());
        }
        line.to_string()
    });
    Told { targets: by_name, dropped, series, metadata, failures: failures.collect() }
}

/// Waits until every target was scraped three times, and tells what came of it.
fn settled(program: &Program<'_>) -> Told {
    program.wait_for("three scrapes of every target", |p| {
        let scraped = p.data("/api/v1/targets?state=active")["activeTargets"].as_array()?.len();
        let often = p.value("count(count_over_time(up[5m]) >= 3)");
        (scraped > 50 && often == Some(scraped as f64)).then_some(())
    });
    told(program)
}

fn compare<T: Ord + Clone + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    theirs: &BTreeMap<T, V>,
    ours: &BTreeMap<T, V>,
    differences: &mut Vec<String>,
) {
    for key in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let (theirs, ours) = (theirs.get(key), ours.get(key));
        if theirs != ours {
            differences.push(format!("{what} {key:?}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
}

fn compare_programs(features: &str) {
    if is_peer() {
        return;
    }
    let Some((prometheus, _)) = prometheus_3() else { return };
    let stub = stub();
    let feature = format!("--enable-feature={features}");
    let ours = Site::server(&config(&stub)).flag(&feature);
    let mut theirs = Site::server(&config(&stub)).flag(&feature);
    theirs.switch_to(Some(&prometheus));
    let (our_program, their_program) = (ours.start(), theirs.start());
    let (theirs, ours) = (settled(&their_program), settled(&our_program));
    let mut differences = Vec::new();
    compare("target", &theirs.targets, &ours.targets, &mut differences);
    compare("series", &theirs.series, &ours.series, &mut differences);
    for (what, theirs, ours) in
        [("metadata", &theirs.metadata, &ours.metadata), ("failure", &theirs.failures, &ours.failures)]
    {
        differences.extend(theirs.difference(ours).map(|line| format!("only theirs: {what} {line}")));
        differences.extend(ours.difference(theirs).map(|line| format!("only ours: {what} {line}")));
    }
    if theirs.dropped != ours.dropped {
        differences.push(format!("dropped\n  theirs {}\n  ours   {}", theirs.dropped, ours.dropped));
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(ours.series.len() > 400 && ours.failures.len() >= 8, "{} series", ours.series.len());
    println!(
        "{} targets, {} series, {} failures: equal",
        ours.targets.len(),
        ours.series.len(),
        ours.failures.len()
    );
}

#[test]
fn both_programs_make_the_same_of_the_same_targets() {
    compare_programs("exemplar-storage");
}

#[test]
fn both_programs_make_the_same_labels_of_types_and_units() {
    compare_programs("exemplar-storage,type-and-unit-labels");
}

#[test]
fn both_programs_make_the_same_of_start_times() {
    compare_programs("created-timestamp-zero-ingestion,extra-scrape-metrics");
}

#[test]
fn both_programs_begin_counters_with_their_first_scrape() {
    compare_programs("st-synthesis");
}
