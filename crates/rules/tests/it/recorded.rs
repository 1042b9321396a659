//! What Prometheus 3.14 did, once a second, done again (`testdata/README.md`).

use std::collections::BTreeMap;
use std::path::Path;

use rules::{AlertState, AlertToSend, Rule, Time};
use serde_json::{Value, json};

use crate::world::{With as _, World, alert, at, group, record, secs};

/// When the recording of alerts' lives began, in seconds since the epoch.
const LIFE: f64 = 1_795_250_079.975;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn lines(name: &str) -> Vec<Value> {
    file(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Seconds since the beginning, as they are recorded.
fn shown(seconds: f64) -> String {
    format!("{:.1}", (seconds * 10.0).round() / 10.0 + 0.0)
}

fn since(start: f64, time: Time) -> f64 {
    (time.0 - at(start).0) as f64 / 1e9
}

/// `+5.9` or `T+5.9` or 5.9
fn seconds(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.trim_start_matches('T').parse().unwrap(),
        other => other.as_f64().unwrap(),
    }
}

fn series_name(metric: &Value) -> String {
    let labels = metric.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
    model::Labels::from_pairs(labels).to_string()
}

/// The series of a metric as they are recorded, and as they are stored: of each its times and values.
fn assert_series(world: &World, name: &str, recorded: &Value, start: f64, value: &dyn Fn(&Value) -> String) {
    let of_sample = |v: &Value| (shown(seconds(&v[0])), value(&v[1]));
    let recorded: BTreeMap<String, Vec<(String, String)>> = recorded
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            let values = series["values"].as_array().unwrap().iter().map(of_sample).collect();
            (series_name(&series["metric"]), values)
        })
        .collect();
    let of_time = name.contains("STATE") || name == "ts_off";
    let told = |(t, v): (i64, Option<f64>)| {
        let v = v?;
        let v = if of_time { shown(v - start) } else { format!("{v}") };
        Some((shown(t as f64 / 1000.0 - start), v))
    };
    let stored: BTreeMap<String, Vec<(String, String)>> = world
        .stored(name)
        .into_iter()
        .map(|(series, samples)| (series, samples.into_iter().filter_map(told).collect()))
        .collect();
    assert_eq!(stored, recorded, "{name}");
}

fn life() -> World {
    let life = vec![
        alert("Immediate", "sig > 0", 0, 0)
            .labelled(&[("severity", "page")])
            .annotated(&[("v", "{{ $value }}")]),
        alert("For3", "sig > 0", 3, 0),
        alert("Keep4", "sig > 0", 0, 4),
        alert("ForKeep", "sig > 0", 2, 3),
        alert("Changing", "sig", 2, 0).labelled(&[("lvl", "{{ $value }}")]),
        alert("DupLabels", "sig > 0", 0, 0).labelled(&[("s", "same")]),
        alert("NeverOk", "sig * on() sig2", 0, 0),
        record("sig:sum", "sum(sig)", &[("by", "rule")]),
    ];
    let mut life = group("life", life);
    life.labels.insert("grp".into(), "life".into());
    let mut limited =
        group("limited", vec![alert("TooMany", "sig >= 0", 0, 0), record("toomany", "sig", &[])]);
    limited.limit = 1;
    let offset =
        vec![record("sig_off", "sig", &[]), record("ts_off", "time()", &[]), alert("Off", "sig > 0", 0, 0)];
    let mut offset = group("offset", offset);
    offset.query_offset = Some(secs(2));
    World::with(Default::default(), vec![life, limited, offset], |mut options| {
        options.resend_delay = secs(4);
        options.external_url.url = "http://HOST:19060".into();
        options
    })
}

enum Event {
    /// A series has a value, or ends.
    Scrape(String, Option<f64>),
    /// Of the group of this name.
    Evaluation(&'static str),
}

/// The samples of the recording, each with when it was scraped.
fn scrapes(recorded: &Value) -> Vec<(f64, String, Option<f64>)> {
    let mut all = Vec::new();
    for series in recorded["sig"].as_array().unwrap() {
        let name = series_name(&series["metric"]);
        let values = series["values"].as_array().unwrap();
        for value in values {
            let v = value[1].as_str().unwrap().parse().unwrap();
            all.push((seconds(&value[0]), name.clone(), Some(v)));
        }
        let last = seconds(&values.last().unwrap()[0]);
        if last < 20.0 {
            all.push((last + 1.0, name, None));
        }
    }
    for i in 0..21 {
        for x in ["1", "2"] {
            let name = format!(r#"{{__name__="sig2", instance="127.0.0.1:19061", job="s", x="{x}"}}"#);
            all.push((5.3 + f64::from(i), name, Some(1.0)));
        }
    }
    all
}

/// What one alert was posted with, without what relabelling makes of it.
fn posted(alert: &Value) -> Value {
    let mut alert = alert.clone();
    let labels = alert["labels"].as_object_mut().unwrap();
    for name in ["cluster", "am", "sev2"] {
        labels.remove(name);
    }
    alert
}

fn as_posted(alert: &AlertToSend) -> Value {
    let labels: BTreeMap<&str, &str> = alert.labels.iter().collect();
    let time = |time: Time| format!("T+{}", shown(since(LIFE, time)));
    let mut out = json!({
        "labels": labels,
        "startsAt": time(alert.starts_at),
        "endsAt": time(alert.ends_at),
        "generatorURL": &*alert.generator_url,
    });
    if !alert.annotations.is_empty() {
        let annotations: BTreeMap<&str, &str> =
            alert.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        out["annotations"] = json!(annotations);
    }
    out
}

fn alert_rows(rules: &[&Rule]) -> Vec<Value> {
    let mut rows = Vec::new();
    for alert in rules.iter().flat_map(|rule| rule.active_alerts()) {
        let labels: BTreeMap<&str, &str> = alert.labels.iter().collect();
        let annotations: BTreeMap<&str, &str> =
            alert.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        rows.push(json!({
            "labels": labels,
            "annotations": annotations,
            "state": alert.state.as_str(),
            "activeAt": format!("T+{}", shown(since(LIFE, alert.active_at))),
            "value": model::number::format_e(alert.value),
            "kept": alert.keep_firing_since.map(|time| model::timestamp::format_rfc3339(time.millis())),
        }));
    }
    rows.sort_by_key(ToString::to_string);
    rows
}

#[test]
fn alerts_live_as_recorded() {
    let recorded: Value = serde_json::from_str(&file("life-series.json")).unwrap();
    let world = life();
    // Scrapes and evaluations, in order.
    let mut events: Vec<(f64, Event)> =
        scrapes(&recorded).into_iter().map(|(t, name, v)| (t, Event::Scrape(name, v))).collect();
    for i in 0..26 {
        let i = f64::from(i);
        let groups = [(0.445, "limited"), (0.73, "offset"), (0.86, "life")];
        events.extend(groups.map(|(phase, name)| (i + phase, Event::Evaluation(name))));
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut events = events.into_iter().peekable();
    let mut sent: Vec<(String, Value)> = Vec::new();
    let mut advance = |until: f64| {
        while let Some((t, event)) = events.next_if(|event| event.0 <= until) {
            match event {
                Event::Scrape(series, v) => world.sample(&series, LIFE + t, v.unwrap_or(model::STALE_NAN)),
                Event::Evaluation(name) => world.group(name).evaluate(at(LIFE + t)),
            }
            let taken = world.take_sent();
            let relabelled = taken.iter().filter(|alert| alert.labels.value("alertname") != "DupLabels");
            sent.extend(relabelled.map(|alert| (format!("{t:.1}"), as_posted(alert))));
        }
    };
    for row in lines("life-timeline.jsonl") {
        let until = seconds(&row["t"]);
        advance(until);
        let groups = world.manager.groups();
        let rules: Vec<&Rule> = groups.iter().flat_map(|group| group.rules()).collect();
        let mut expected: Vec<Value> = row["alerts"].as_array().unwrap().clone();
        for alert in &mut expected {
            let kept = alert.as_object_mut().unwrap().remove("keepFiringSince");
            alert["kept"] = kept.map_or(Value::Null, |text| {
                let millis = model::timestamp::parse_rfc3339(text.as_str().unwrap()).unwrap();
                json!(model::timestamp::format_rfc3339(millis))
            });
        }
        expected.sort_by_key(ToString::to_string);
        assert_eq!(alert_rows(&rules), expected, "T+{until}");
        for (rule, expected) in rules.iter().zip(row["rules"].as_array().unwrap()) {
            let status = rule.status();
            let state = rule.is_alerting().then(|| rule.state().as_str());
            let found = json!({
                "group": expected["group"], "name": rule.name(), "health": status.health.as_str(),
                "state": state, "lastError": status.last_error.as_deref(),
            });
            assert_eq!(found, *expected, "T+{until}");
        }
    }
    advance(30.0);
    for (name, series) in recorded.as_object().unwrap() {
        assert_series(&world, name, series, LIFE, &|v| match v.as_str().unwrap() {
            time if time.starts_with('T') => shown(seconds(v)),
            number => number.to_owned(),
        });
    }
    let mut expected = Vec::new();
    for post in lines("life-posts.jsonl") {
        let t = format!("{:.1}", seconds(&post["t"]));
        expected.extend(post["alerts"].as_array().unwrap().iter().map(|alert| (t.clone(), posted(alert))));
    }
    let by_text = |(t, alert): &(String, Value)| (t.parse::<f64>().unwrap() as i64, alert.to_string());
    expected.sort_by_key(by_text);
    sent.sort_by_key(by_text);
    let alerts = |of: Vec<(String, Value)>| of.into_iter().map(|(_, alert)| alert).collect::<Vec<_>>();
    assert_eq!(alerts(sent), alerts(expected));
}

#[test]
fn the_state_of_alerts_is_restored_as_recorded() {
    let recorded: Value = serde_json::from_str(&file("restore.json")).unwrap();
    // Whole seconds of the recording are 0.4 later.
    const START: f64 = 1_795_250_000.6;
    let rules = || {
        let rules = vec![
            alert("For6", "sig > 0", 6, 0),
            alert("For20", "sig > 0", 20, 0),
            alert("For300", "sig > 0", 300, 0),
            alert("Keep", "sig > 0", 2, 60),
            alert("NoFor", "sig > 0", 0, 0),
            alert("Gone", "sig2 > 0", 4, 0),
        ];
        vec![group("r", rules)]
    };
    let server = |store| {
        World::with(store, rules(), |mut options| {
            options.grace_period = secs(3);
            options
        })
    };
    let mut world = server(Default::default());
    let mut running = "first".to_owned();
    let mut next = 1.2;
    for row in recorded["timeline"].as_array().unwrap() {
        let until = seconds(&row["t"]);
        if row["server"] != running.as_str() {
            while next < 16.4 {
                tick(&world, START, next, true);
                next += 1.0;
            }
            running = row["server"].as_str().unwrap().to_owned();
            world = server(std::sync::Arc::clone(&world.store));
            next = 21.2;
        }
        while next <= until {
            tick(&world, START, next, running == "first");
            next += 1.0;
        }
        let group = world.group("r");
        let mut alerts = Vec::new();
        for rule in group.rules() {
            for alert in rule.active_alerts() {
                let active_at = shown(since(START, alert.active_at));
                alerts.push((rule.name().to_owned(), alert.state.as_str().to_owned(), active_at));
            }
            assert_eq!(rule.state().as_str(), row["rule_states"][rule.name()], "{until} {}", rule.name());
        }
        alerts.sort();
        let expected = row["alerts"].as_array().unwrap().iter().map(|alert| {
            let text = |i: usize| alert[i].as_str().unwrap().to_owned();
            (text(0), text(1), shown(seconds(&alert[2])))
        });
        assert_eq!(alerts, expected.collect::<Vec<_>>(), "T+{until}");
    }
    while next < 45.0 {
        tick(&world, START, next, false);
        next += 1.0;
    }
    let series = recorded["series"].as_array().unwrap();
    for name in ["ALERTS", "ALERTS_FOR_STATE"] {
        let of_name: Vec<&Value> =
            series.iter().filter(|series| series["metric"]["__name__"] == name).collect();
        let value = |v: &Value| match v {
            Value::String(text) => text.clone(),
            time => shown(time.as_f64().unwrap()),
        };
        assert_series(&world, name, &json!(of_name), START, &value);
    }
    let firing = world.group("r").rules().iter().filter(|rule| rule.state() == AlertState::Firing).count();
    assert_eq!(firing, 5, "all but For300");
}

fn tick(world: &World, start: f64, t: f64, both: bool) {
    if t > 5.5 {
        world.sample("sig", start + t - 0.1, 1.0);
        if both {
            world.sample("sig2", start + t - 0.1, 1.0);
        }
    }
    world.group("r").evaluate(at(start + t));
}
