//! Rules as users meet them: in files, over the API, across reloads and deaths.

use serde_json::Value;

use crate::site::{Program, Site, is_peer};

const CONFIG: &str = "\
global: {evaluation_interval: 200ms, external_labels: {cluster: c1}}
rule_files: ['rules-*.yml', not-there.yml]
";

fn site() -> Site {
    Site::server(CONFIG).flag("--web.enable-lifecycle")
}

fn groups(program: &Program<'_>, query: &str) -> Vec<String> {
    let data = program.data(&format!("/api/v1/rules{query}"));
    let name = |group: &Value| group["name"].as_str().unwrap().to_owned();
    data["groups"].as_array().unwrap().iter().map(name).collect()
}

fn reload(program: &Program<'_>) -> (u16, String) {
    let answer = program.request("POST", "/-/reload", &[], b"");
    (answer.status, answer.text())
}

#[test]
fn files_of_rules_are_read_when_the_server_starts_and_on_each_reload() {
    let site = site();
    site.write(
        "rules-1.yml",
        "groups:\n- name: one\n  rules:\n  - {record: r, expr: vector(1), labels: {from: one}}\n  - {alert: A, expr: r == 1, annotations: {v: '{{ $value }} {{ $externalLabels.cluster }}'}}\n- name: two\n  rules:\n  - {record: s, expr: r + 1}\n",
    );
    let program = site.start();
    program.wait_for_value("s", 2.0);
    program.wait_for_value("count(ALERTS{alertstate=\"firing\"})", 1.0);
    let alerts = program.data("/api/v1/alerts");
    assert_eq!(alerts["alerts"][0]["annotations"]["v"], "1 c1", "{alerts}");
    assert_eq!(alerts["alerts"][0]["labels"]["from"], "one");
    assert_eq!(groups(&program, ""), ["one", "two"]);

    // Page by page.
    let first = program.data("/api/v1/rules?group_limit=1");
    assert_eq!(first["groups"][0]["name"], "one");
    let token = first["groupNextToken"].as_str().unwrap();
    let last = program.data(&format!("/api/v1/rules?group_limit=1&group_next_token={token}"));
    assert_eq!((&last["groups"][0]["name"], &last["groupNextToken"]), (&"two".into(), &Value::Null));
    let alerting = program.data("/api/v1/rules?type=alert&exclude_alerts=true");
    assert_eq!(alerting["groups"].as_array().unwrap().len(), 1);
    assert_eq!(alerting["groups"][0]["rules"][0]["alerts"], Value::Null, "{alerting}");
    assert_eq!(alerting["groups"][0]["rules"][0]["samples"], Value::Null, "Prometheus does not tell it");
    if !is_peer() {
        let told = program.data("/api/v1/rules?stats=true");
        assert_eq!(told["groups"][0]["rules"][0]["samples"], 1, "{told}");
    }

    // Another file, and one that is gone.
    let active_at = alerts["alerts"][0]["activeAt"].clone();
    site.write("rules-2.yml", "groups: [{name: three, rules: [{record: t, expr: vector(3)}]}]\n");
    site.write(
        "rules-1.yml",
        "groups:\n- name: one\n  rules:\n  - {record: r, expr: vector(1), labels: {from: one}}\n  - {alert: A, expr: r == 1, annotations: {v: changed}}\n",
    );
    assert_eq!(reload(&program), (200, String::new()));
    program.wait_for_value("t", 3.0);
    assert_eq!(groups(&program, ""), ["one", "three"]);
    assert_eq!(groups(&program, "?file[]=nowhere.yml"), Vec::<String>::new());
    program.wait_for("the end of what is gone", |p| p.query("s").is_empty().then_some(()));
    program.wait_for("another annotation", |p| {
        let alerts = p.data("/api/v1/alerts");
        (alerts["alerts"][0]["annotations"]["v"] == "changed").then(|| {
            assert_eq!(alerts["alerts"][0]["activeAt"], active_at, "the alert is the same");
        })
    });

    // A wrong one is refused, and what runs goes on.
    site.write("rules-2.yml", "groups: [{name: three, rules: [{record: t, expr: vector(}]}]\n");
    let (status, text) = reload(&program);
    assert_eq!(status, 500, "{text}");
    if !is_peer() {
        assert!(text.contains("rules-2.yml") && text.contains("could not parse expression"), "{text}");
    }
    assert_eq!(groups(&program, ""), ["one", "three"]);
    std::fs::remove_file(site.path("rules-2.yml")).unwrap();
    assert_eq!(reload(&program), (200, String::new()));
    assert_eq!(groups(&program, ""), ["one"]);
    program.wait_for("the end of what is gone", |p| p.query("t").is_empty().then_some(()));
}

#[test]
fn a_server_does_not_start_with_rules_that_are_wrong() {
    for (rules, why) in [
        ("groups: [{name: g, rules: [{record: r, expr: 'sum('}]}]\n", "could not parse expression"),
        ("groups: [{name: g, rules: [{alert: A, expr: up, labels: {x: '{{ nosuch }}'}}]}]\n", "nosuch"),
        ("groups: [{name: g, rules: [{expr: up}]}]\n", "must be set"),
        ("group: []\n", "field group not found"),
    ] {
        let site = site();
        site.write("rules-1.yml", rules);
        let (status, log) = site.run_to_end();
        assert!(!status.success() && log.contains(why), "{rules}: {log}");
    }
}

#[test]
fn an_alert_is_pending_since_when_it_was_although_the_server_was_killed() {
    let site = site().flag("--rules.alert.for-grace-period=1m");
    site.write("rules-1.yml", "groups: [{name: g, rules: [{alert: Slow, expr: vector(1), for: 1h}]}]\n");
    let program = site.start();
    program.wait_for_value("count(ALERTS_FOR_STATE)", 1.0);
    // Long enough that it shows.
    program.wait_for_value("time() - ALERTS_FOR_STATE > bool 3", 1.0);
    let active_at = program.value("ALERTS_FOR_STATE").unwrap();
    program.kill();

    let program = site.start();
    program.wait_for("the state of before", |p| {
        let alerts = p.data("/api/v1/alerts");
        let since = alerts["alerts"][0]["activeAt"].as_str()?.to_owned();
        let since = model::timestamp::parse_rfc3339(&since)? as f64 / 1000.0;
        let now = p.value("vector(time())")?;
        // The time for which nobody looked does not count; it is no longer than the whole.
        (now - since > 3.0).then(|| assert!(since >= active_at, "{since} {active_at}"))
    });
    let page = program.get("/metrics").text();
    assert!(page.contains("prometheus_rule_group_last_restore_duration_seconds{rule_group="), "{page}");
}
