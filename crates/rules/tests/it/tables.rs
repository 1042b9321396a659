//! Case by case: what is refused, what is written, what is kept.

use std::sync::Arc;

use exposition::MetricValue;
use rules::{Health, RuleOptions};

use crate::world::{With as _, World, alert, at, group, record, secs};

fn metric(world: &World, name: &str) -> f64 {
    let families = world.registry.gather();
    let family = families.iter().find(|family| family.name == name).unwrap();
    family
        .metrics
        .iter()
        .map(|metric| match &metric.value {
            MetricValue::Float(v) => *v,
            _ => panic!("not a number"),
        })
        .sum()
}

#[test]
fn errors_are_told_in_prometheus_words() {
    let cases: [(RuleOptions, i64, Option<&str>); 12] = [
        (record("r", "sig", &[]), 0, None),
        (record("r", "sig", &[]), 2, None),
        (record("r", "sig", &[]), 1, Some("exceeded limit of 1 with 2 series")),
        (
            record("r", "sig", &[("s", "same")]),
            0,
            Some("vector contains metrics with the same labelset after applying rule labels"),
        ),
        // An empty value takes the label away.
        (
            record("r", "sig", &[("s", "")]),
            0,
            Some("vector contains metrics with the same labelset after applying rule labels"),
        ),
        (record("r", "'text'", &[]), 0, Some("rule result is not a vector or scalar")),
        (record("r", "sig[1m]", &[]), 0, Some("rule result is not a vector or scalar")),
        (record("r", "1", &[]), 0, None),
        (alert("A", "sig", 0, 0), 1, Some("exceeded limit of 1 with 2 alerts")),
        (
            alert("A", "sig", 0, 0).labelled(&[("s", "{{ 1 }}")]),
            0,
            Some("vector contains metrics with the same labelset after applying alert labels"),
        ),
        (
            record("r", "sig + on() group_left sig", &[]),
            0,
            Some(
                "found duplicate series for the match group {} on the right hand-side of the operation: \
                 [{__name__=\"sig\", s=\"a\"}, {__name__=\"sig\", s=\"b\"}];many-to-many matching not allowed: \
                 matching labels must be unique on one side",
            ),
        ),
        (alert("A", "sig", 0, 0), 2, None),
    ];
    for (rule, limit, error) in cases {
        let name = rule.name.clone();
        let mut of_rule = group("g", vec![rule.clone()]);
        of_rule.limit = limit;
        let world = World::new(vec![of_rule]);
        world.sample(r#"sig{s="a"}"#, 10.0, 1.0);
        world.sample(r#"sig{s="b"}"#, 10.0, 2.0);
        assert_eq!(world.group("g").rules()[0].status().health, Health::Unknown);
        world.evaluate(11.0);
        assert_eq!(world.error(&name).as_deref(), error, "{rule:?}");
        let health = if error.is_some() { Health::Bad } else { Health::Good };
        assert_eq!(world.group("g").rules()[0].status().health, health);
        let failures = metric(&world, "prometheus_rule_evaluation_failures_total");
        assert_eq!(failures, f64::from(u8::from(error.is_some())), "{rule:?}");
        let made = if rule.name == "r" { world.stored("r").len() } else { world.alerts("s").len() };
        assert_eq!(made == 0, error.is_some(), "nothing is made where a rule fails: {rule:?}");
    }
}

#[test]
fn samples_that_the_store_refuses_are_told() {
    let world = World::new(vec![group("g", vec![record("r", "sig", &[])])]);
    world.sample("sig", 10.0, 1.0);
    world.sample("r", 11.0, 5.0);
    world.evaluate(11.0);
    let error = world.error("r").unwrap();
    assert!(error.starts_with("duplicate sample for timestamp"), "{error}");
    assert_eq!(metric(&world, "prometheus_rule_evaluation_failures_total"), 0.0, "as with Prometheus");
    world.evaluate(10.5);
    assert_eq!(world.error("r").as_deref(), Some("out of order sample"));
    world.evaluate(12.0);
    assert_eq!(world.error("r"), None);
}

#[test]
fn series_end_when_rules_give_them_no_more() {
    let world = World::new(vec![group("g", vec![record("r", "sig > 0", &[]), alert("A", "sig > 0", 2, 0)])]);
    let stored = |name: &str| {
        let all = world.stored(name).into_iter();
        all.map(|(name, samples)| {
            let samples = samples.iter().map(|(t, v)| {
                let t = t / 1000;
                v.map_or_else(|| format!("{t}:end"), |v| format!("{t}:{v}"))
            });
            format!("{name} {}", samples.collect::<Vec<_>>().join(" "))
        })
        .collect::<Vec<_>>()
    };
    for (t, v) in [(10.0, 1.0), (11.0, 1.0), (12.0, 0.0), (13.0, 1.0), (14.0, 1.0), (15.0, 1.0), (16.0, 0.0)]
    {
        world.sample("sig", t, v);
        world.evaluate(t);
    }
    assert_eq!(stored("r"), [r#"{__name__="r"} 10:1 11:1 12:end 13:1 14:1 15:1 16:end"#]);
    assert_eq!(
        stored("ALERTS"),
        [
            r#"{__name__="ALERTS", alertname="A", alertstate="firing"} 15:1 16:end"#,
            r#"{__name__="ALERTS", alertname="A", alertstate="pending"} 10:1 11:1 12:end 13:1 14:1 15:end"#,
        ]
    );
    assert_eq!(
        stored("ALERTS_FOR_STATE"),
        [r#"{__name__="ALERTS_FOR_STATE", alertname="A"} 10:10 11:10 12:end 13:13 14:13 15:13 16:end"#]
    );
}

#[test]
fn an_evaluation_that_fails_ends_no_series() {
    let mut limited = group("g", vec![record("r", "sig", &[])]);
    limited.limit = 2;
    let world = World::new(vec![limited]);
    world.sample(r#"sig{s="a"}"#, 10.0, 1.0);
    world.evaluate(10.0);
    for s in ["b", "c"] {
        world.sample(&format!(r#"sig{{s="{s}"}}"#), 11.0, 1.0);
    }
    world.evaluate(11.0);
    assert!(world.error("r").is_some());
    for s in ["a", "c"] {
        world.ends(&format!(r#"sig{{s="{s}"}}"#), 12.0);
    }
    world.evaluate(12.0);
    assert_eq!(world.error("r"), None);
    let stored = world.stored("r");
    assert_eq!(stored[r#"{__name__="r", s="a"}"#], [(10_000, Some(1.0)), (12_000, None)]);
    assert_eq!(stored[r#"{__name__="r", s="b"}"#], [(12_000, Some(1.0))]);
    assert!(!stored.contains_key(r#"{__name__="r", s="c"}"#));
}

#[test]
fn rules_that_are_gone_end_their_series_and_others_keep_their_state() {
    let rules = |names: &[&str]| names.iter().map(|name| record(name, "sig", &[])).collect::<Vec<_>>();
    let mut with_alert = rules(&["kept", "gone", "kept"]);
    with_alert.push(alert("A", "sig > 0", 0, 0));
    let world = World::new(vec![group("g", with_alert.clone())]);
    world.sample("sig", 10.0, 1.0);
    world.evaluate(10.0);
    world.evaluate(11.0);
    let before = world.group("g");
    // The same, written differently, is the same.
    with_alert[0].expr = " sig ".into();
    world.reload(vec![group("g", with_alert.clone())]);
    assert!(Arc::ptr_eq(&before, &world.group("g")));

    with_alert.remove(1);
    with_alert.insert(0, record("new", "sig", &[]));
    world.reload(vec![group("g", with_alert)]);
    assert!(!Arc::ptr_eq(&before, &world.group("g")));
    assert_eq!(world.group("g").status(), before.status());
    let alerts = world.group("g").rules()[3].active_alerts();
    assert_eq!((alerts.len(), alerts[0].active_at), (1, at(10.0)));
    world.ends("sig", 12.0);
    world.evaluate(12.0);
    for name in ["gone", "kept", "ALERTS"] {
        let stored = world.stored(name);
        let samples = stored.values().next().unwrap();
        assert_eq!(
            samples.iter().map(|(_, v)| v.is_none()).collect::<Vec<_>>(),
            [false, false, true],
            "{name}"
        );
    }
}

#[test]
fn an_alert_that_a_reload_hands_on_resolves_at_the_next_evaluation() {
    let world = World::new(vec![group("g", vec![alert("A", "sig > 0", 0, 0)])]);
    world.sample("sig", 10.0, 1.0);
    world.evaluate(10.0);
    let rules = vec![alert("A", "sig > 0", 0, 0), record("r", "1", &[])];
    world.reload(vec![group("g", rules)]);
    assert_eq!(world.alerts("x"), ["A firing"]);
    world.sample("sig", 11.0, 0.0);
    world.evaluate(11.0);
    assert!(world.alerts("x").is_empty());
    assert_eq!(world.group("g").rules()[0].all_alerts()[0].resolved_at, Some(at(11.0)));
}

#[test]
fn an_alert_that_fires_waits_again_where_it_is_to_wait_longer() {
    let world = World::new(vec![group("g", vec![alert("A", "sig > 0", 2, 0)])]);
    world.sample("sig", 10.0, 1.0);
    for t in [10.0, 11.0, 12.0] {
        world.evaluate(t);
    }
    assert_eq!(world.alerts("x"), ["A firing"]);
    world.reload(vec![group("g", vec![alert("A", "sig > 0", 5, 0)])]);
    assert_eq!(world.alerts("x"), ["A firing"]);
    world.evaluate(13.0);
    assert_eq!(world.alerts("x"), ["A pending"]);
    world.evaluate(15.0);
    assert_eq!(world.alerts("x"), ["A firing"]);
}

#[test]
fn labels_of_alerts_are_expanded_and_errors_stand_in_the_text() {
    let rule = alert("A", "sig", 0, 0)
        .labelled(&[
            ("instance", ""),
            ("level", "{{ if gt $value 5.0 }}high{{ else }}low{{ end }}"),
            ("none", "{{ $labels.nothing }}"),
            ("where", "{{ $externalLabels.cluster }} {{ $labels.__name__ }}"),
        ])
        .annotated(&[
            ("asks", "{{ with query \"sum(sig)\" }}{{ . | first | value }}{{ end }}"),
            ("empty", ""),
            ("fails", "{{ query \"nosuch(\" }}"),
            ("url", "{{ $externalURL }} {{ pathPrefix }}"),
            ("wrong", "{{ $labels.x | nosuch }}"),
        ]);
    let world = World::with(Default::default(), Vec::new(), |mut options| {
        options.external_url.url = "http://h/p".into();
        options.external_url.path = "/p".into();
        options
    });
    world.reload(vec![group("g", vec![rule])]);
    world.sample(r#"sig{instance="i", s="a"}"#, 10.0, 3.0);
    world.sample(r#"sig{instance="i", s="b"}"#, 10.0, 7.0);
    world.evaluate(10.0);
    let alerts = world.group("g").rules()[0].active_alerts();
    let labels: Vec<String> = alerts.iter().map(|alert| alert.labels.to_string()).collect();
    assert_eq!(
        labels,
        [
            r#"{alertname="A", level="high", s="b", where="c1 sig"}"#,
            r#"{alertname="A", level="low", s="a", where="c1 sig"}"#,
        ]
    );
    let of = |name: &str| alerts[0].annotations.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!((of("asks").as_str(), of("empty").as_str(), of("url").as_str()), ("10", "", "http://h/p /p"));
    assert_eq!(
        of("wrong"),
        "<error expanding template: error parsing template __alert_A: template: __alert_A:1: function \"nosuch\" not defined>"
    );
    assert!(of("fails").starts_with("<error expanding template: error executing template __alert_A: "));
    // Of a label that is empty, the series have the template.
    let stored = world.stored("ALERTS");
    assert!(stored.keys().all(|name| name.contains("none=\"{{ $labels.nothing }}\"")), "{stored:?}");

    // Another value, and another answer to a query, are seen.
    world.sample(r#"sig{instance="i", s="a"}"#, 11.0, 8.0);
    world.evaluate(11.0);
    let alerts = world.group("g").rules()[0].active_alerts();
    assert!(alerts.iter().all(|alert| alert.labels.value("level") == "high"));
    assert!(alerts.iter().all(|alert| alert.annotations[0].1 == "15"));
}

#[test]
fn rules_see_what_earlier_rules_of_their_group_recorded() {
    let rules = vec![
        record("total", "sum(sig)", &[]),
        record("double", "2 * total", &[]),
        record("late", "early", &[]),
        record("early", "sum(sig) + sum(sig)", &[]),
        alert("A", "total > 0", 0, 0),
        record("alerting", "count(ALERTS{alertname=\"A\"}) or vector(0)", &[]),
        record("others", "count(ALERTS{alertname=\"B\"}) or vector(0)", &[]),
        record("all", "count({__name__=~\"total|double\"})", &[]),
    ];
    for concurrent_rules in [0, 4] {
        let world = World::with(Default::default(), Vec::new(), |mut options| {
            options.concurrent_rules = concurrent_rules;
            options
        });
        world.reload(vec![group("g", rules.clone())]);
        for (t, v) in [(10.0, 1.0), (11.0, 5.0)] {
            world.sample("sig", t, v);
            world.evaluate(t);
        }
        let values = |name: &str| {
            let stored = world.stored(name);
            let samples = stored.values().next().cloned().unwrap_or_default();
            samples.into_iter().map(|(_, v)| v.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(values("double"), [2.0, 10.0]);
        assert_eq!(values("early"), [2.0, 10.0]);
        assert_eq!(values("all"), [2.0, 2.0]);
        assert_eq!(values("others"), [0.0, 0.0]);
        if concurrent_rules == 0 {
            assert_eq!(values("late"), [2.0], "what was recorded the time before");
            assert_eq!(values("alerting"), [1.0, 1.0]);
        }
    }
}

#[test]
fn offsets_are_the_groups_own_or_the_servers() {
    let mut own = group("own", vec![record("own", "time()", &[])]);
    own.query_offset = Some(secs(0));
    let world = World::new(Vec::new());
    let groups = vec![own, group("server", vec![record("server", "time()", &[])])];
    let settings = rules::Settings { query_offset: secs(3), ..Default::default() };
    world.manager.apply(world.manager.prepare(groups).unwrap(), settings);
    world.evaluate(10.0);
    assert_eq!(world.stored("own")[r#"{__name__="own"}"#], [(10_000, Some(10.0))]);
    assert_eq!(world.stored("server")[r#"{__name__="server"}"#], [(7_000, Some(7.0))]);
}

#[test]
fn groups_that_cannot_be_are_refused_whole() {
    let world = World::new(vec![group("g", vec![record("r", "1", &[])])]);
    let refused = |rules: Vec<RuleOptions>, interval| {
        let mut of_rules = group("h", rules);
        of_rules.interval = secs(interval);
        world.manager.prepare(vec![of_rules]).err().map(|error| error.to_string())
    };
    assert_eq!(
        refused(vec![record("r", "1 +", &[])], 1).as_deref(),
        Some("r.yml: 1:4: parse error: unexpected end of input")
    );
    assert!(refused(Vec::new(), 0).is_some());
    assert_eq!(world.manager.groups().len(), 1);
}

#[test]
fn metrics_have_prometheus_names_and_go_with_their_group() {
    let names = || {
        let world = World::new(vec![group("g", vec![record("r", "1", &[])])]);
        world.evaluate(10.0);
        world
    };
    let world = names();
    assert_eq!(metric(&world, "prometheus_rule_evaluations_total"), 1.0);
    assert_eq!(metric(&world, "prometheus_rule_group_iterations_total"), 1.0);
    assert_eq!(metric(&world, "prometheus_rule_group_rules"), 1.0);
    assert_eq!(metric(&world, "prometheus_rule_group_last_evaluation_samples"), 1.0);
    assert_eq!(metric(&world, "prometheus_rule_group_interval_seconds"), 1.0);
    let of_groups = || {
        let families = world.registry.gather();
        let metrics = families.into_iter().flat_map(|family| family.metrics);
        metrics.filter(|metric| metric.labels.value("rule_group") == "r.yml;g").count()
    };
    assert_eq!(of_groups(), 10);
    world.reload(Vec::new());
    assert_eq!(of_groups(), 0);
}
