//! OTLP metrics in, and the configuration that says what becomes of them.

use crate::site::{Program, Site};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn post(program: &Program<'_>, name: &str, temporality: u8) -> (u16, String) {
    post_at(program, name, temporality, 0)
}

/// Posts a point of so many seconds ago.
fn post_at(program: &Program<'_>, name: &str, temporality: u8, ago: u64) -> (u16, String) {
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(ago);
    let nanos = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let body = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}},{{"key":"host.name","value":{{"stringValue":"h1"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"{name}","unit":"s","sum":{{"isMonotonic":true,"aggregationTemporality":{temporality},"dataPoints":[{{"timeUnixNano":"{nanos}","asDouble":1.5}}]}}}}]}}]}}]}}"#
    );
    let answer = program.request("POST", "/api/v1/otlp/v1/metrics", &[JSON], body.as_bytes());
    (answer.status, answer.text())
}

#[test]
fn metrics_are_taken_and_translated_as_the_configuration_says() {
    let site = Site::server("global: {}\n").flag("--web.enable-otlp-receiver").flag("--web.enable-lifecycle");
    let program = site.start();
    assert_eq!(post(&program, "work.time", 2), (200, String::new()));
    program.wait_for_value("work_time_seconds_total{job=\"shop\"}", 1.5);
    program.wait_for_value("target_info{job=\"shop\",host_name=\"h1\"}", 1.0);
    let (status, text) = post(&program, "work.time", 1);
    assert_eq!(
        (status, text.as_str()),
        (500, "invalid temporality and type combination for metric \"work.time\"\n")
    );

    site.write(
        "prometheus.yml",
        "otlp: {translation_strategy: NoTranslation, promote_resource_attributes: [host.name]}\n",
    );
    assert_eq!(program.request("POST", "/-/reload", &[], b"").status, 200);
    assert_eq!(post(&program, "work.time", 2).0, 200);
    program.wait_for_value("{\"work.time\",\"host.name\"=\"h1\"}", 1.5);
}

#[test]
fn deltas_are_added_up_by_a_feature() {
    let site = Site::server("global: {}\n")
        .flag("--web.enable-otlp-receiver")
        .flag("--enable-feature=otlp-deltatocumulative");
    let program = site.start();
    for ago in [20, 10, 0] {
        assert_eq!(post_at(&program, "work.time", 1, ago), (200, String::new()));
    }
    program.wait_for_value("work_time_seconds_total{job=\"shop\"}", 4.5);
}

#[test]
fn without_the_flag_nothing_is_taken_and_both_ways_with_deltas_are_refused() {
    let site = Site::server("global: {}\n");
    let program = site.start();
    let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    assert_eq!(post(&program, "x", 2), (404, text.to_owned()));
    drop(program);
    let both = "--enable-feature=otlp-deltatocumulative,otlp-native-delta-ingestion";
    let (status, log) = site.flag("--web.enable-otlp-receiver").flag(both).run_to_end();
    assert!(!status.success(), "{log}");
    assert!(log.contains("cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion"), "{log}");
}

#[test]
fn an_agent_takes_metrics_and_sends_them_on() {
    let receiver = Site::server("global: {}\n").flag("--web.enable-remote-write-receiver");
    let receiving = receiver.start();
    let config = format!(
        "otlp: {{promote_resource_attributes: [host.name]}}
remote_write: [{{url: 'http://127.0.0.1:{}/api/v1/write', queue_config: {{batch_send_deadline: 50ms}}}}]
",
        receiver.port
    );
    let site = Site::agent(&config).flag("--web.enable-otlp-receiver");
    let agent = site.start();
    assert_eq!(post(&agent, "work.time", 2), (200, String::new()));
    receiving.wait_for_value("work_time_seconds_total{job=\"shop\",host_name=\"h1\"}", 1.5);
    // What was taken right before the end is sent before it.
    assert_eq!(post(&agent, "rest.time", 2).0, 200);
    let (status, log) = agent.interrupt();
    assert_eq!(status.code(), Some(0), "{log}");
    receiving.wait_for_value("rest_time_seconds_total{job=\"shop\",host_name=\"h1\"}", 1.5);
}
