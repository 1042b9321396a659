//! Alertmanagers as the configuration names them: found, shown, counted.

use crate::site::{Program, Site};
use crate::stub::{Answer, Stub};

#[test]
fn alertmanagers_are_found_shown_and_followed_over_a_reload() {
    let site = Site::server(
        "alerting:
  alertmanagers:
  - path_prefix: /prefix
    static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]
    relabel_configs: [{action: drop, source_labels: [__address__], regex: '.*:2'}]
",
    )
    .flag("--web.enable-lifecycle");
    let program = site.start();
    let shown = |active: Vec<&str>, dropped: Vec<&str>| {
        let urls =
            |urls: Vec<&str>| urls.iter().map(|url| serde_json::json!({"url": url})).collect::<Vec<_>>();
        let expected = serde_json::json!({
            "activeAlertmanagers": urls(active),
            "droppedAlertmanagers": urls(dropped),
        });
        program.wait_for("the Alertmanagers", |p| {
            (p.get("/api/v1/alertmanagers").json()["data"] == expected).then_some(())
        });
    };
    shown(vec!["http://127.0.0.1:1/prefix/api/v2/alerts"], vec!["http://127.0.0.1:2/prefix/api/v2/alerts"]);
    program.wait_for("the metrics", |p| {
        let page = p.get("/metrics").text();
        (page.contains("\nprometheus_notifications_alertmanagers_discovered 1\n")
            && page.contains("\nprometheus_notifications_sent_total{alertmanager=\"http://127.0.0.1:1/prefix/api/v2/alerts\"} 0\n")
            && page.contains("\nprometheus_sd_discovered_targets{config=\"config-0\",name=\"notify\"} 2\n"))
        .then_some(())
    });
    site.write(
        "prometheus.yml",
        "alerting: {alertmanagers: [{scheme: https, static_configs: [{targets: ['am:9093']}]}]}\n",
    );
    assert_eq!(program.request("POST", "/-/reload", &[], b"").status, 200);
    shown(vec!["https://am:9093/api/v2/alerts"], vec![]);
}

const RULES: &str = "groups:
- name: g
  rules:
  - {alert: Late, expr: vector(1) > 0, for: 3s, labels: {severity: page}, annotations: {summary: 'it is {{ $value }}'}}
";

fn alerting(alertmanager: &str) -> Site {
    let site = Site::server(&format!(
        "global: {{evaluation_interval: 200ms, external_labels: {{cluster: c}}}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
"
    ))
    .flag("--rules.alert.resend-delay=500ms")
    .flag("--rules.alert.for-grace-period=0s");
    site.write("rules.yml", RULES);
    site
}

/// When the alert of [`RULES`] became active, once it is in this state.
fn active_at(program: &Program<'_>, state: &str) -> String {
    program.wait_for(state, |p| {
        let alerts = p.data("/api/v1/alerts");
        let alert = alerts["alerts"].as_array()?.iter().find(|alert| alert["state"] == state)?;
        Some(alert["activeAt"].as_str()?.to_owned())
    })
}

#[test]
fn an_alert_is_delivered_though_its_alertmanager_was_in_trouble_and_the_server_was_killed() {
    let alertmanager = Stub::start();
    alertmanager.set("/api/v2/alerts", Answer::status("503 Service Unavailable"));
    let site = alerting(&alertmanager.address);
    let program = site.start();
    let pending_since = active_at(&program, "pending");
    // What it is since is in the store before the end.
    program.wait_for("a state in the store", |p| (p.query("ALERTS_FOR_STATE").len() == 1).then_some(()));
    program.kill();

    let program = site.start();
    active_at(&program, "firing");
    program.wait_for("an attempt", |_| (!alertmanager.seen("/api/v2/alerts").is_empty()).then_some(()));
    program.kill();

    let program = site.start();
    let firing_since = active_at(&program, "firing");
    alertmanager.set("/api/v2/alerts", Answer::page(""));
    let before = alertmanager.seen("/api/v2/alerts").len();
    let taken = program.wait_for("the alert", |_| alertmanager.seen("/api/v2/alerts").get(before).cloned());
    let alerts: serde_json::Value = serde_json::from_slice(&taken.body).unwrap();
    let labels = serde_json::json!({"alertname": "Late", "cluster": "c", "severity": "page"});
    assert_eq!(alerts.as_array().unwrap().len(), 1, "{alerts}");
    assert_eq!((&alerts[0]["labels"], &alerts[0]["annotations"]["summary"]), (&labels, &"it is 1".into()));
    // The time that it was pending before the kills counts, to the second that is stored.
    let seconds = |time: &str| model::timestamp::parse_rfc3339(time).unwrap() / 1000;
    assert!(seconds(&firing_since) - seconds(&pending_since) < 60, "{pending_since} {firing_since}");
    program.wait_for("the count", |p| {
        let page = p.get("/metrics").text();
        let line = page.lines().find(|line| line.starts_with("prometheus_notifications_dropped_total"))?;
        line.ends_with(" 0").then_some(())
    });
}

#[test]
fn a_real_alertmanager_is_told_once_it_is_there() {
    let Some(alertmanager) =
        testkit::installed("prometheus-alertmanager", "BINNACLE_PEER_ALERTMANAGER").next()
    else {
        println!("skipped: no prometheus-alertmanager on PATH or in BINNACLE_PEER_ALERTMANAGER");
        return;
    };
    let other = Site::of(alertmanager.to_str().unwrap(), |site| {
        site.write("am.yml", "{route: {receiver: none}, receivers: [{name: none}]}\n");
        vec![
            format!("--web.listen-address=127.0.0.1:{}", site.port),
            format!("--config.file={}", site.path("am.yml").display()),
            format!("--storage.path={}", site.path("data").display()),
            "--cluster.listen-address=".to_owned(),
        ]
    });
    let site = alerting(&format!("127.0.0.1:{}", other.port));
    let program = site.start();
    active_at(&program, "firing");
    program.wait_for("an attempt", |p| {
        let page = p.get("/metrics").text();
        let line = page.lines().find(|line| line.starts_with("prometheus_notifications_errors_total"))?;
        (!line.ends_with(" 0")).then_some(())
    });
    let alertmanager = other.launch();
    let told = program.wait_for("the alert", |_| {
        let answer = alertmanager.try_get("/api/v2/alerts").filter(|answer| answer.status == 200)?;
        answer.json().as_array()?.first().cloned()
    });
    assert_eq!(told["labels"]["alertname"], "Late");
    assert_eq!(told["annotations"]["summary"], "it is 1");
    assert_eq!(told["status"]["state"], "active");
    // What is gone is told, too.
    site.write("rules.yml", &RULES.replace("> 0", "> 1"));
    program.signal(rustix::process::Signal::HUP);
    program.wait_for("its end", |_| {
        let all = alertmanager.try_get("/api/v2/alerts?active=true")?.json();
        all.as_array()?.is_empty().then_some(())
    });
}
