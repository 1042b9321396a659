//! Pages as Prometheus takes them in: `golden/exposition`.

use std::collections::BTreeMap;
use std::time::Duration;

use discovery::ADDRESS;
use exposition::MetricKind;
use model::{FloatHistogram, Labels, ValidationScheme, is_stale, number};
use scrape::{JobOptions, ManagerOptions, NameEscaping, ScrapeProtocol, StartTimes};
use serde_json::Value;

use crate::support::{Answer, Stub, World, now_nanos, recorded, rule};

const REPORTS: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// The text with `@N@` and `@sN@` replaced by times around `t` (seconds).
fn fill_in(body: &str, t: i64) -> String {
    let mut out = String::new();
    let mut parts = body.split('@').peekable();
    while let Some(part) = parts.next() {
        out.push_str(part);
        let Some(marker) = parts.peek() else { break };
        let (seconds, digits) = match marker.strip_prefix('s') {
            Some(rest) => (true, rest),
            None => (false, *marker),
        };
        if let Ok(offset) = digits.parse::<i64>() {
            parts.next();
            out.push_str(&if seconds { (t + offset).to_string() } else { ((t + offset) * 1000).to_string() });
        } else {
            out.push('@');
        }
    }
    out
}

/// The job of a case; none if it asks for what is not there yet.
fn job(case: &Value) -> Option<JobOptions> {
    let mut job = JobOptions {
        scrape_interval: Duration::from_secs(3),
        scrape_timeout: Duration::from_secs(3),
        ..JobOptions::new(case["name"].as_str().unwrap())
    };
    let protocol = |name: &str| match name {
        "PrometheusText0.0.4" => Some(ScrapeProtocol::PrometheusText0_0_4),
        "OpenMetricsText1.0.0" => Some(ScrapeProtocol::OpenMetricsText1_0_0),
        "PrometheusProto" => Some(ScrapeProtocol::PrometheusProto),
        _ => None,
    };
    let Some(extra) = case.get("scrape_config").and_then(Value::as_object) else { return Some(job) };
    for (key, value) in extra {
        let limit = || value.as_u64().unwrap() as usize;
        match key.as_str() {
            "honor_labels" => job.honor_labels = value.as_bool()?,
            "honor_timestamps" => job.honor_timestamps = value.as_bool()?,
            "extra_scrape_metrics" => job.extra_scrape_metrics = value.as_bool()?,
            "sample_limit" => job.limits.samples = limit(),
            "label_limit" => job.limits.labels = limit(),
            "label_name_length_limit" => job.limits.label_name_length = limit(),
            "label_value_length_limit" => job.limits.label_value_length = limit(),
            "body_size_limit" => job.limits.body_size = value.as_str()?.strip_suffix('B')?.parse().ok()?,
            "metric_relabel_configs" => {
                job.metric_relabel_configs = value.as_array()?.iter().map(rule).collect();
            }
            "fallback_scrape_protocol" => job.fallback_scrape_protocol = Some(protocol(value.as_str()?)?),
            "scrape_protocols" => {
                let names = value.as_array()?.iter();
                job.scrape_protocols = names.filter_map(|name| protocol(name.as_str()?)).collect();
            }
            "scrape_native_histograms" => job.histograms.native = value.as_bool()?,
            "convert_classic_histograms_to_nhcb" => job.histograms.convert = value.as_bool()?,
            "native_histogram_min_bucket_factor" => job.histograms.min_bucket_factor = value.as_f64()?,
            "metric_name_validation_scheme" => {
                job.name_validation = if value.as_str()? == "legacy" {
                    ValidationScheme::Legacy
                } else {
                    ValidationScheme::Utf8
                };
            }
            "metric_name_escaping_scheme" => job.name_escaping = NameEscaping::Underscores,
            _ => return None,
        }
    }
    Some(job)
}

/// A value that is a time near that of the recording, moved to the present.
fn moved(value: &str, recorded: i64, now: i64) -> String {
    match value.parse::<i64>() {
        Ok(time) if (time - recorded).abs() < 1000 => (time - recorded + now).to_string(),
        _ => value.to_owned(),
    }
}

fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        MetricKind::GaugeHistogram => "gaugehistogram",
        MetricKind::Summary => "summary",
        MetricKind::Info => "info",
        MetricKind::StateSet => "stateset",
        MetricKind::Untyped => "unknown",
    }
}

fn base64(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in text.bytes().filter(|b| *b != b'=') {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// A histogram in the form of the HTTP API.
fn api_histogram(h: &FloatHistogram) -> Value {
    let buckets: Vec<Value> = h
        .buckets()
        .filter(|bucket| bucket.count != 0.0)
        .map(|b| {
            let open = match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            serde_json::json!([open, api_value(b.lower), api_value(b.upper), api_value(b.count)])
        })
        .collect();
    let mut out = serde_json::json!({ "count": api_value(h.count), "sum": api_value(h.sum) });
    if !buckets.is_empty() {
        out["buckets"] = buckets.into();
    }
    out
}

fn api_value(v: f64) -> String {
    let mut out = String::new();
    number::push_api_value(&mut out, v);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_taken_in_as_prometheus_does() {
    let cases = recorded("golden/exposition/cases.jsonl", "pages.jsonl");
    let then = 1_795_250_466;
    let t = now_nanos() / 1_000_000_000;
    let stub = Stub::start().await;
    let world = World::with(ManagerOptions { exemplars: true, ..ManagerOptions::default() });
    let mut jobs = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let mut answer = match case["body"].as_str() {
            Some(body) => Answer::typed(case["content_type"].as_str().unwrap(), fill_in(body, t)),
            None => {
                // Times in binary pages are those of the recording, too far in the past by now.
                let Some(body) = case["body_b64"].as_str().filter(|_| name != "proto-ts") else { continue };
                Answer::typed(case["content_type"].as_str().unwrap(), base64(body))
            }
        };
        if let Some(http) = case.get("http") {
            answer.body = match http["body_b64"].as_str().unwrap() {
                "bm9wZQ==" => b"nope".to_vec(),
                _ => b"a 1\n".to_vec(),
            };
            if http["status"] == 500 {
                answer.status = "500 Internal Server Error".to_owned();
            }
            for (header, value) in http["headers"].as_object().unwrap() {
                answer.headers.push((header.clone(), value.as_str().unwrap().to_owned()));
            }
        }
        let Some(mut job) = job(case) else { continue };
        job.metrics_path = format!("/{name}");
        stub.set(&job.metrics_path, answer);
        let own = Labels::from_pairs([
            (ADDRESS, stub.address.to_string().as_str()),
            ("_case", name),
            ("instance", "TARGET"),
        ]);
        jobs.push((job, vec![own]));
    }
    let names: Vec<String> = jobs.iter().map(|(job, _)| job.name.clone()).collect();
    assert!(names.len() > 150, "{}", names.len());
    world.run(jobs);
    let mut targets = BTreeMap::new();
    for name in &names {
        targets.insert(name.clone(), world.scraped(name).await);
    }
    world.manager.stop().await;

    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| names.iter().any(|name| case["name"] == name.as_str())) {
        let name = case["name"].as_str().unwrap();
        let expected = &case["result"];
        let target = &targets[name];
        let error = expected["last_error"]
            .as_str()
            .unwrap()
            .replace(&then.to_string(), &t.to_string())
            .replace(&(then - 100).to_string(), &(t - 100).to_string());
        if (target.health.as_str(), &target.last_error) != (expected["health"].as_str().unwrap(), &error) {
            wrong.push(format!("{name}: {:?} {:?}, expected {error:?}", target.health, target.last_error));
        }
        let metadata: Vec<Value> = target
            .metadata
            .families
            .iter()
            .map(|f| serde_json::json!([&*f.metric, kind(f.kind), &*f.help, &*f.unit]))
            .collect();
        let mut expected_metadata =
            expected.get("metadata").and_then(Value::as_array).cloned().unwrap_or_default();
        expected_metadata.sort_by_key(Value::to_string);
        let mut sorted = metadata.clone();
        sorted.sort_by_key(Value::to_string);
        if target.last_error.is_empty() && sorted != expected_metadata {
            wrong.push(format!("{name}: metadata {sorted:?}, expected {expected_metadata:?}"));
        }
        let mut series = BTreeMap::new();
        let mut reports = BTreeMap::new();
        for (labels, samples) in world.store.all() {
            if labels.value("_case") != name {
                continue;
            }
            let Some((_, last)) = samples.iter().rev().find(|(_, v)| !is_stale(*v)) else { continue };
            let metric = labels.value("__name__").to_owned();
            if REPORTS.contains(&metric.as_str()) {
                reports.insert(metric, api_value(*last));
            } else {
                series.insert(labels.filter(|n| n != "_case").to_string(), api_value(*last));
            }
        }
        for (labels, histogram) in world.store.histograms() {
            if labels.value("_case") == name {
                let value = api_histogram(&histogram.value.to_float());
                series.insert(labels.filter(|n| n != "_case").to_string(), value.to_string());
            }
        }
        let exemplars: Vec<Value> = (world.store.exemplars().iter())
            .filter(|(labels, _)| labels.value("_case") == name)
            .map(|(labels, e)| {
                serde_json::json!([labels.value("__name__"), e.labels.to_string(), api_value(e.v)])
            })
            .collect();
        let expected_exemplars: Vec<Value> =
            (expected.get("exemplars").and_then(Value::as_array).into_iter().flatten())
                .flat_map(|of| of["exemplars"].as_array().unwrap().iter().map(move |e| (of, e)))
                .map(|(of, e)| {
                    let labels = crate::support::labels(&e["labels"]).to_string();
                    serde_json::json!([of["labels"]["__name__"], labels, e["value"]])
                })
                .collect();
        if exemplars != expected_exemplars {
            wrong.push(format!("{name}: exemplars {exemplars:?}, expected {expected_exemplars:?}"));
        }
        let expected_series: BTreeMap<_, _> = expected["series"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| {
                (
                    crate::support::labels(&s["labels"]).to_string(),
                    match s.get("histogram") {
                        Some(histogram) => histogram.to_string(),
                        None => moved(s["value"].as_str().unwrap_or("?"), then, t),
                    },
                )
            })
            .collect();
        if series != expected_series {
            wrong.push(format!("{name}: series {series:?}, expected {expected_series:?}"));
        }
        for (report, value) in expected["report"].as_object().unwrap() {
            let value = value.as_str().unwrap().replace(&then.to_string(), &t.to_string());
            if reports.get(report.as_str()) != Some(&value) {
                wrong.push(format!(
                    "{name}: {report} is {:?}, expected {value}",
                    reports.get(report.as_str())
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Series with their samples, without those at the time of the scrape, and start times of series.
type Starts = (BTreeMap<String, Vec<String>>, BTreeMap<String, String>);

#[tokio::test(flavor = "multi_thread")]
async fn start_times_are_taken_as_prometheus_does() {
    let cases = recorded("golden/exposition/cases.jsonl", "pages.jsonl");
    let t = now_nanos() / 1_000_000_000;
    let of_time = |millis: i64| format!("<T{:+}.000>", millis / 1000 - t);
    let mut compared = 0;
    for (feature, start_times) in
        [("created-timestamp-zero-ingestion", StartTimes::Zeros), ("st-storage", StartTimes::Stored)]
    {
        let stub = Stub::start().await;
        let world = World::with(ManagerOptions { start_times, ..ManagerOptions::default() });
        let cases: Vec<_> = cases.iter().filter(|case| case["with_feature"].get(feature).is_some()).collect();
        let mut jobs = Vec::new();
        for case in &cases {
            let name = case["name"].as_str().unwrap();
            let body = case["body"].as_str().map(|body| fill_in(body, t).into_bytes());
            let body = body.unwrap_or_else(|| base64(case["body_b64"].as_str().unwrap()));
            let job = JobOptions { metrics_path: format!("/{name}"), ..job(case).unwrap() };
            stub.set(&job.metrics_path, Answer::typed(case["content_type"].as_str().unwrap(), body));
            jobs.push((job, vec![Labels::from_pairs([(ADDRESS, stub.address.to_string().as_str())])]));
        }
        world.run(jobs);
        for case in cases {
            let name = case["name"].as_str().unwrap();
            world.scraped(name).await;
            let (mut found, mut expected) = (Starts::default(), Starts::default());
            let own =
                |labels: &Labels| labels.value("job") == name && !REPORTS.contains(&labels.value("__name__"));
            let text =
                |labels: &Labels| labels.filter(|name| name != "job" && name != "instance").to_string();
            for (labels, samples) in world.store.all().into_iter().filter(|(labels, _)| own(labels)) {
                let old = samples.iter().filter(|(at, _)| *at < (t - 30) * 1000);
                let old = old.map(|&(at, v)| format!("{} {}", of_time(at), api_value(v))).collect();
                found.0.insert(text(&labels), old);
            }
            let starts = world.store.start_times();
            found.1.extend(starts.iter().filter(|(l, _)| own(l)).map(|(l, at)| (text(l), of_time(*at))));
            let result = &case["with_feature"][feature];
            for series in result["series"].as_array().unwrap() {
                let labels = crate::support::labels(&series["labels"]);
                let samples = series.get("samples").and_then(Value::as_array).into_iter().flatten();
                let old = samples
                    .filter(|sample| sample[0].as_str().unwrap().starts_with("<T-"))
                    .map(|sample| format!("{} {}", sample[0].as_str().unwrap(), sample[1].as_str().unwrap()));
                expected.0.insert(text(&labels), old.collect());
            }
            for start in result.get("start_timestamps").and_then(Value::as_array).into_iter().flatten() {
                let labels = text(&crate::support::labels(&start[0]));
                expected.1.insert(labels, start[1].as_str().unwrap().to_owned());
            }
            assert_eq!(found, expected, "{name} with {feature}");
            compared += 1;
        }
        world.manager.stop().await;
    }
    assert!(compared >= 8, "{compared}");
}
