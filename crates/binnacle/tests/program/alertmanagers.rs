//! Alertmanagers as the configuration names them: found, shown, counted.

use crate::site::Site;

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
