//! The past of recording rules that are new, filled in over the API.

use std::process::Command;

use serde_json::Value;

use crate::http::form;
use crate::mixed::Point;
use crate::remote_write;
use crate::site::{Program, Site, is_peer, prometheus_3};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn site() -> Site {
    Site::server("global: {evaluation_interval: 1m}\nrule_files: ['rules-*.yml']\n")
        .flag("--web.enable-lifecycle")
        .flag("--web.enable-admin-api")
        .flag("--web.enable-remote-write-receiver")
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Stores seven hours of four counters, one of which is not there in the middle of it. Answers when they begin.
fn store_history(program: &Program<'_>) -> i64 {
    let start = now() - 7 * HOUR;
    let mut points = Vec::new();
    for n in 0..7 * 60 {
        let t = start + n * MINUTE;
        for i in 0..4i64 {
            if i == 3 && (100..200).contains(&n) {
                continue;
            }
            let text = i.to_string();
            let pairs = [("i", text.as_str()), ("half", if i < 2 { "a" } else { "b" })];
            points.push(Point::float("x_total", &pairs, t, (n * (i + 1) % 977) as f64));
        }
    }
    for points in points.chunks(400) {
        let body = remote_write::body(points);
        let answer = program.request("POST", "/api/v1/write", &remote_write::HEADERS, &body);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    start
}

fn reload(program: &Program<'_>) {
    let answer = program.request("POST", "/-/reload", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Asks for it by a form; status and answer.
fn post(program: &Program<'_>, pairs: &[(&str, &str)]) -> (u16, Value) {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = program.request("POST", "/api/v1/rules/backfill", &headers, form(pairs).as_bytes());
    (answer.status, answer.json())
}

fn seconds(millis: i64) -> String {
    (millis as f64 / 1000.0).to_string()
}

fn begin(program: &Program<'_>, pairs: &[(&str, &str)]) -> String {
    let (status, answer) = post(program, pairs);
    assert_eq!(status, 202, "{answer}");
    answer["data"]["id"].as_str().unwrap().to_owned()
}

fn told(program: &Program<'_>, id: &str) -> Value {
    let all = program.data("/api/v1/rules/backfill");
    all["backfills"].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap().clone()
}

fn wait_for_end(program: &Program<'_>, id: &str) -> Value {
    program.wait_for("its end", |p| Some(told(p, id)).filter(|one| !one["ended"].is_null()))
}

/// A range query: series by their labels without the metric's name.
fn range(program: &Program<'_>, query: &str, start: i64, end: i64) -> Vec<(String, Value)> {
    let (start, end) = (seconds(start), seconds(end));
    let pairs = [("query", query), ("start", &*start), ("end", &*end), ("step", "60")];
    let data = program.data(&format!("/api/v1/query_range?{}", form(&pairs)));
    let mut all: Vec<(String, Value)> = data["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            let mut labels = series["metric"].as_object().unwrap().clone();
            labels.remove("__name__");
            (Value::Object(labels).to_string(), series["values"].clone())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

const RULES: &str = r#"
groups:
- name: late
  labels: {from: rules}
  rules:
  - {record: half:x:mean, expr: 'avg_over_time(half:x:rate[20m])'}
- name: g
  labels: {from: rules}
  rules:
  - {record: half:x:rate, expr: 'sum by (half) (rate(x_total[5m]))'}
  - {record: i:x, expr: x_total + 1, labels: {half: ''}}
  - {record: half:x:twice, expr: '2 * half:x:rate'}
  - {record: x:span, expr: 'max(x_total @ end()) - max(x_total @ start() offset 10m)'}
  - {alert: A, expr: 'half:x:rate > 0'}
"#;

/// Each rule and an expression that gives the same labels and values.
const SAME: [(&str, &str); 5] = [
    ("half:x:rate", r#"label_replace(sum by (half) (rate(x_total[5m])), "from", "rules", "", "")"#),
    ("i:x", r#"label_replace(label_replace(x_total + 1, "from", "rules", "", ""), "half", "", "", "")"#),
    ("half:x:twice", r#"label_replace(2 * sum by (half) (rate(x_total[5m])), "from", "rules", "", "")"#),
    ("half:x:mean", r#"label_replace(avg_over_time(half:x:rate[20m]), "from", "rules", "", "")"#),
    ("x:span", r#"label_replace(max(x_total) - max(x_total offset 10m), "from", "rules", "", "")"#),
];

/// Each group has times of its own, a minute apart.
fn compare(program: &Program<'_>, start: i64, end: i64) {
    for (recorded, expression) in SAME {
        let samples = program.samples(&format!("{recorded}[8h]"), Some(end as f64 / 1000.0));
        let first = *samples.values().filter_map(|samples| samples.keys().next()).min().unwrap();
        assert!(first < start + 12 * MINUTE, "{recorded} begins at {first}");
        let want = range(program, expression, first, end);
        assert_eq!(range(program, recorded, first, end), want, "{recorded}");
    }
}

fn times(told: &Value) -> (i64, i64) {
    let time = |name: &str| model::timestamp::parse_rfc3339(told[name].as_str().unwrap()).unwrap();
    (time("start"), time("end"))
}

#[test]
fn a_new_rule_gets_the_past_that_its_expression_has() {
    if is_peer() {
        return;
    }
    let site = site();
    let program = site.start();
    let began = store_history(&program);
    site.write("rules-1.yml", RULES);
    reload(&program);

    let (status, answer) = post(&program, &[("start", "0"), ("rule_group[]", "g"), ("rule_group[]", "late")]);
    assert_eq!(status, 202, "{answer}");
    let accepted = &answer["data"];
    assert_eq!(accepted["alertingRulesLeftOut"], serde_json::json!(["A"]));
    // What is read is recorded first.
    assert_eq!(
        (&accepted["groups"][0]["name"], &accepted["groups"][1]["name"]),
        (&"g".into(), &"late".into())
    );
    assert_eq!(accepted["groups"][0]["step"], 60);
    let id = accepted["id"].as_str().unwrap();
    let ended = wait_for_end(&program, id);
    assert_eq!((&ended["state"], &ended["errors"]), (&"done".into(), &serde_json::json!([])), "{ended}");
    assert_eq!(ended["evaluations"]["done"], ended["evaluations"]["total"]);
    assert!(ended["samples"].as_u64().unwrap() > 4000 && ended["blocks"].as_u64().unwrap() >= 4, "{ended}");
    // Nothing is older than what was stored, and the times are those of the group's own evaluations.
    let (start, end) = times(&ended);
    assert!((began..began + 2 * MINUTE).contains(&start) && end > now() - 2 * MINUTE, "{ended}");
    compare(&program, start, end);
    let page = program.get("/metrics").text();
    for line in ["binnacle_rules_backfill_running 0", "binnacle_rules_backfill_failures_total 0"] {
        assert!(page.contains(line), "{line}");
    }

    // What is there already is left alone.
    let id = begin(&program, &[("start", "0"), ("file[]", rules_file(&program).as_str())]);
    let again = wait_for_end(&program, &id);
    assert_eq!(again["state"], "done", "{again}");
    assert!(again["samples"].as_u64().unwrap() <= 20, "{again}");
    compare(&program, start, end);

    program.interrupt();
    let program = site.start();
    compare(&program, start, end);
    program.kill();
    let program = site.start();
    compare(&program, start, end);
    program.interrupt();
    read_by_promtool(&site);
}

fn rules_file(program: &Program<'_>) -> String {
    program.data("/api/v1/rules")["groups"][0]["file"].as_str().unwrap().to_owned()
}

fn read_by_promtool(site: &Site) {
    let Some((_, promtool)) = prometheus_3() else { return };
    for command in ["analyze", "dump", "list"] {
        let output = Command::new(&promtool).args(["tsdb", command]).arg(site.path("data")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(command != "dump" || text.contains("half:x:rate"), "{text}");
    }
}

/// A rule that takes long.
const SLOW: &str =
    "groups: [{name: slow, rules: [{record: slow, expr: 'sum(max_over_time(rate(x_total[5m])[1h:1s]))'}]}]\n";

#[test]
fn one_is_carried_out_at_a_time_and_each_can_be_cancelled() {
    if is_peer() {
        return;
    }
    let site = site().flag("--rules.max-waiting-backfills=1");
    let program = site.start();
    store_history(&program);
    site.write("rules-1.yml", SLOW);
    reload(&program);
    let slow = [("start", "0"), ("rule_name[]", "slow"), ("step", "1s")];
    let (first, second) = (begin(&program, &slow), begin(&program, &slow));
    program.wait_for("the first one", |p| (told(p, &first)["state"] == "running").then_some(()));
    assert_eq!(told(&program, &second)["state"], "waiting");
    let (status, refused) = post(&program, &slow);
    assert_eq!((status, &refused["errorType"]), (503, &"unavailable".into()));
    assert!(refused["error"].as_str().unwrap().contains("--rules.max-waiting-backfills"), "{refused}");

    let cancel = |id: &str| {
        let answer = program.request("DELETE", &format!("/api/v1/rules/backfill/{id}"), &[], b"");
        (answer.status, answer.json())
    };
    let (status, answer) = cancel(&second);
    assert_eq!((status, &answer["data"]["state"]), (200, &"cancelled".into()));
    assert_eq!(cancel(&first).0, 200);
    let ended = wait_for_end(&program, &first);
    assert_eq!((&ended["state"], &ended["errors"]), (&"cancelled".into(), &serde_json::json!([])), "{ended}");
    assert_ne!(ended["evaluations"]["done"], ended["evaluations"]["total"]);
    let (status, answer) = cancel("nothing");
    assert_eq!((status, &answer["errorType"]), (404, &"not_found".into()));
    // There is place again.
    let third = begin(&program, &slow);
    program.wait_for("the third one", |p| (told(p, &third)["state"] == "running").then_some(()));
    program.interrupt();
}

#[test]
fn a_death_in_the_middle_leaves_whole_blocks_and_nothing_else() {
    if is_peer() {
        return;
    }
    let site = site();
    let program = site.start();
    store_history(&program);
    // The first block is quick, the rest takes long.
    let cheap = "- {record: cheap, expr: 'count(x_total)'}";
    let dear = "- {record: dear, expr: 'sum(max_over_time(rate(x_total[5m])[4h:5s]))'}";
    site.write("rules-1.yml", &format!("groups:\n- name: g\n  rules:\n  {cheap}\n  {dear}\n"));
    reload(&program);
    let id = begin(&program, &[("start", "0"), ("rule_group[]", "g")]);
    program.wait_for("a block", |p| {
        let told = told(p, &id);
        (told["blocks"].as_u64()? > 0 || !told["ended"].is_null()).then_some(())
    });
    program.kill();
    let program = site.start();
    let data = program.data("/api/v1/rules/backfill");
    assert_eq!(data["backfills"], serde_json::json!([]));
    assert!(program.value("count_over_time(cheap[8h])").is_some());
    let id = begin(&program, &[("start", "0"), ("rule_name[]", "cheap")]);
    let ended = wait_for_end(&program, &id);
    assert_eq!(ended["state"], "done", "{ended}");
    let (start, end) = times(&ended);
    assert_eq!(range(&program, "cheap", start, end), range(&program, "count(x_total)", start, end));
    program.interrupt();
    for entry in std::fs::read_dir(site.path("data")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("tmp"), "{name}");
    }
}

#[test]
fn an_evaluation_that_fails_is_told_and_the_others_are_made() {
    if is_peer() {
        return;
    }
    let site = site();
    let program = site.start();
    store_history(&program);
    // Two series at once, but for the time when one of them is away.
    site.write(
        "rules-1.yml",
        "groups: [{name: g, limit: 3, rules: [{record: few, expr: x_total}, {record: ok, expr: count(x_total)}]}]\n",
    );
    reload(&program);
    let id = begin(&program, &[("start", "0"), ("rule_group[]", "g")]);
    let ended = wait_for_end(&program, &id);
    assert_eq!(ended["state"], "failed", "{ended}");
    assert_eq!(ended["errors"], serde_json::json!(["g: few: exceeded limit of 3 with 4 series"]));
    let (failed, total) = (&ended["evaluations"]["failed"], &ended["evaluations"]["total"]);
    assert!(
        failed.as_u64().unwrap() > 100 && failed.as_u64().unwrap() * 2 < total.as_u64().unwrap(),
        "{ended}"
    );
    let (start, end) = times(&ended);
    assert_eq!(range(&program, "ok", start, end), range(&program, "count(x_total)", start, end));
    // For the hundred minutes that only three were there, less those for which the fourth is looked back at.
    let counts = program.query(&format!("count_over_time(few[8h] @ {})", seconds(end)));
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.iter().all(|(_, count)| (94.0..=96.0).contains(count)), "{counts:?}");
}

#[test]
fn what_makes_no_sense_is_refused_in_clear_words() {
    if is_peer() {
        return;
    }
    let site = site();
    site.write("rules-1.yml", RULES);
    let program = site.start();
    let refused = |pairs: &[(&str, &str)], why: &str| {
        let (status, answer) = post(&program, pairs);
        assert_eq!((status, &answer["errorType"]), (400, &"bad_data".into()), "{pairs:?}");
        assert!(answer["error"].as_str().unwrap().contains(why), "{pairs:?}: {answer}");
    };
    store_history(&program);
    refused(&[("rule_group[]", "g")], "invalid parameter \"start\"");
    refused(&[("start", "0")], "name the recording rules");
    refused(&[("start", "0"), ("rule_group[]", "none")], "no recording rule of the running configuration");
    refused(&[("start", "0"), ("rule_name[]", "A")], "only alerting rules");
    refused(&[("start", "2"), ("end", "1"), ("rule_group[]", "g")], "the end is before the start");
    refused(&[("start", "0"), ("end", "10"), ("rule_group[]", "g")], "no evaluation of these groups");
    refused(&[("start", "0"), ("step", "x"), ("rule_group[]", "g")], "invalid parameter \"step\"");
    refused(&[("start", "0"), ("step", "10ms"), ("rule_group[]", "g")], "at least 1s");
    refused(&[("start", "0"), ("step", "-5"), ("rule_group[]", "g")], "at least 1s");
}

#[test]
fn without_the_admin_api_nothing_is_filled_in() {
    if is_peer() {
        return;
    }
    let site = Site::server("rule_files: ['rules-*.yml']\n");
    site.write("rules-1.yml", RULES);
    let program = site.start();
    let (status, answer) = post(&program, &[("start", "0"), ("rule_group[]", "g")]);
    assert_eq!((status, &answer["error"]), (500, &"admin APIs disabled".into()));
    assert_eq!(program.get("/api/v1/rules/backfill").status, 500);
    assert_eq!(program.request("DELETE", "/api/v1/rules/backfill/1", &[], b"").status, 500);
    assert_eq!(program.request("PUT", "/api/v1/rules/backfill", &[], b"").status, 405);
}
