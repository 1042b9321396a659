//! Every recorded row of the HTTP API (`golden/api`) that does not change state, on servers with the flags, configuration
//! and data of the recorded ones. The rows that change state, and those about exemplars, are compared in `crates/api`.

use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::api::send;
use crate::http::Answer;
use crate::site::{Program, Site, is_peer, shared};
use crate::stub::{self, Stub};

/// Rows that are not compared, each for a reason.
const APART: &[(&str, &str)] = &[
    ("a0026", "a race, by the recording's own README"),
    ("a0208", "exemplars are in the head, which is empty here: compared in crates/api"),
    ("a0217", "likewise"),
    ("a0220", "likewise"),
    ("a0317", "counts of the head, which is empty here: compared in crates/api"),
    ("a0354", "likewise"),
    ("a0239", "Prometheus cuts names in their order of arrival, then sorts: here the first of all are kept"),
    ("a0575", "which target comes first is chance there"),
    ("a0468", "OTLP is not there yet"),
];

/// Where the recorded servers listened and found their targets. Nobody is at the last.
const TARGET: &str = "127.0.0.1:19180";
const NOBODY: &str = "127.0.0.1:19181";

/// Headers that were recorded; others are each server's own business.
fn is_recorded(name: &str) -> bool {
    const KEPT: [&str; 7] =
        ["content-type", "content-encoding", "allow", "vary", "cache-control", "location", "retry-after"];
    KEPT.contains(&name) || name.starts_with("access-control-") || name.starts_with("x-prometheus-")
}

#[test]
fn a_server_without_flags_answers_as_recorded() {
    replay("plain", |_| true, 14);
}

#[test]
fn a_server_behind_a_prefix_answers_as_recorded() {
    replay("prefix", |_| true, 7);
}

#[test]
fn a_server_with_low_limits_answers_as_recorded() {
    replay("limits", |_| true, 25);
}

#[test]
fn a_server_with_recorded_data_answers_as_recorded() {
    replay("past", |row| row["ordered"].is_null(), 230);
}

#[test]
fn a_server_that_scrapes_answers_as_recorded() {
    replay("live", |_| true, 47);
}

/// Sends the rows of a recorded server to one like it.
fn replay(name: &str, wanted: impl Fn(&Value) -> bool, at_least: usize) {
    let Some(golden) = shared("golden") else { return };
    if is_peer() {
        return;
    }
    let read = |path: &str| std::fs::read_to_string(golden.join(path)).unwrap();
    let servers: Value = serde_json::from_str(&read("api/servers.json")).unwrap();
    let stub = Stub::start();
    let site = site(&servers, name, &stub, &golden);
    let program = match name {
        "prefix" => site.start_under("/prom"),
        _ => site.start(),
    };
    if name == "live" {
        for job in ["ok", "honor", "down", "bad", "status500", "limited"] {
            program.scraped(job);
        }
        program.wait_for("rules that saw every target", |p| {
            let rules = p.try_get("/api/v1/rules")?.text();
            let alerts = rules.matches("\"activeAt\"").count();
            let recorded = p.try_get("/api/v1/query?query=count(job:up:sum)")?.text();
            (alerts == 5 && rules.contains("with 6 series") && recorded.contains("\"6\"")).then_some(())
        });
    }
    let rows = relocated(&read("api/requests.jsonl"), &stub);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows: Vec<Value> = rows
        .filter(|row| row["server"] == name && wanted(row))
        .filter(|row| APART.iter().all(|(id, _)| row["id"] != *id))
        .collect();
    let wrong: Vec<String> = rows.iter().filter_map(|row| difference(&program, row)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(rows.len() >= at_least, "only {} rows", rows.len());
}

/// A site as a recorded server was.
fn site(servers: &Value, name: &str, stub: &Stub, golden: &Path) -> Site {
    let server = &servers[name];
    let strings = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|flag| flag.as_str().unwrap().to_owned()).collect()
    };
    let mut flags = strings(&server["flags"]);
    if flags.iter().any(|flag| flag == "as past") {
        flags.extend(strings(&servers["past"]["flags"]));
    }
    let config = relocated(server["config"].as_str().unwrap(), stub);
    let mut site = Site::server(&config);
    if let Some(rules) = server["rules.yml"].as_str() {
        // By this name, which is in answers.
        site = site.flag("--config.file=prometheus.yml");
        site.write("rules.yml", rules);
    }
    for flag in flags.iter().filter(|flag| flag.starts_with("--")) {
        site = site.flag(flag);
    }
    let features = server["features"].as_str().unwrap();
    if !features.is_empty() {
        site = site.flag(&format!("--enable-feature={features}"));
    }
    for (path, page) in server["stub"].as_object().into_iter().flatten() {
        let page = page.as_str().unwrap();
        let answer = match page.strip_prefix("status ") {
            Some(_) => stub::Answer::status("500 Internal Server Error"),
            None => stub::Answer::page(page),
        };
        stub.set(path, answer);
    }
    if server["data"] != "empty" && name != "live" {
        copy(&golden.join("promql/tsdb"), &site.path("data"));
    }
    site
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// The stub for the recorded target; and for the other an address that comes behind it and that nobody listens on.
fn relocated(text: &str, stub: &Stub) -> String {
    let nobody = stub.address.replace("127.0.0.1", "127.0.0.9");
    text.replace(TARGET, &stub.address).replace(NOBODY, &nobody)
}

/// What differs from the recorded answer.
fn difference(program: &Program<'_>, row: &Value) -> Option<String> {
    let answer = send(program, row);
    let want = &row["expect"];
    let told = |what: String| Some(format!("{} {} {}: {what}", row["id"], row["path"], row["params"]));
    if want["status"] != answer.status {
        return told(format!("status {} not {}: {}", answer.status, want["status"], answer.text()));
    }
    let headers = want["headers"].as_object().unwrap();
    for (name, value) in headers {
        // Where a name came several times, the last was recorded.
        let own = answer.headers.iter().rfind(|(own, _)| own == name);
        if own.map(|(_, value)| value.as_str()) != value.as_str() {
            return told(format!("header {name} is {own:?}, not {value}"));
        }
    }
    if let Some(more) =
        answer.headers.iter().find(|(name, _)| is_recorded(name) && !headers.contains_key(name))
    {
        return told(format!("header {more:?}"));
    }
    let (own, want) = comparable(row, &answer);
    (own != want).then(|| told(format!("\n  {own}\n  not {want}"))).flatten()
}

/// Both bodies, without what may differ.
fn comparable(row: &Value, answer: &Answer) -> (Value, Value) {
    let want = &row["expect"];
    let volatile: Vec<&str> =
        row["volatile"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if volatile.contains(&"*") {
        return (Value::Null, Value::Null);
    }
    if let Some(text) = want["text"].as_str() {
        // Series of other ports than the recorded ones come in another order.
        let lines = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(without_time).collect();
            if row["path"] == "/federate" {
                lines.sort();
            }
            lines.into()
        };
        return (lines(&answer.text()), lines(text));
    }
    if let Some(body) = want["body_b64"].as_str() {
        let kind = want["headers"]["content-type"].as_str().unwrap_or_default();
        return (messages(kind, &answer.body).into(), messages(kind, &decoded(body)).into());
    }
    if want.get("ndjson").is_some() {
        let lines = answer.text();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null));
        return (lines.collect(), want["ndjson"].clone());
    }
    let (mut own, mut want) =
        (serde_json::from_slice(&answer.body).unwrap_or(Value::Null), want["json"].clone());
    if row["path"].as_str().unwrap().ends_with("/status/flags") {
        own = known_flags(&own, &want);
        for answer in [&mut own, &mut want] {
            for flag in SET_HERE {
                answer["data"][flag] = Value::Null;
            }
        }
    }
    for answer in [&mut own, &mut want] {
        for path in &volatile {
            forget(answer, &path.split('.').collect::<Vec<_>>());
        }
        // Vectors come in storage order, and several targets' words about a metric in any.
        if answer["data"]["resultType"] == "vector"
            && let Some(samples) = answer["data"]["result"].as_array_mut()
        {
            samples.sort_by_key(ToString::to_string);
        }
        if row["path"] == "/api/v1/rules" {
            answer["data"]["groups"].as_array_mut().into_iter().flatten().for_each(settle);
        }
        if row["path"] == "/api/v1/metadata" {
            for words in answer["data"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
                words.as_array_mut().into_iter().for_each(|words| words.sort_by_key(ToString::to_string));
            }
        }
    }
    (own, want)
}

/// Of a group of rules what does not depend on when it was asked, nor on the order of series.
fn settle(group: &mut Value) {
    for rule in group["rules"].as_array_mut().into_iter().flatten() {
        if let Some(error) = rule.get_mut("lastError")
            && let Some((before, _)) = error.as_str().unwrap().split_once("operation: [")
        {
            *error = before.into();
        }
        let fires = |value: &mut Value| {
            if value.get("state").is_some_and(|state| state == "pending") {
                value["state"] = "firing".into();
            }
        };
        fires(rule);
        if let Some(alerts) = rule.get_mut("alerts").and_then(Value::as_array_mut) {
            alerts.iter_mut().for_each(fires);
            alerts.sort_by_key(ToString::to_string);
        }
    }
}

/// Flags that a site sets otherwise than the recorded server.
const SET_HERE: [&str; 4] =
    ["config.file", "storage.tsdb.path", "web.listen-address", "scrape.discovery-reload-interval"];

/// The flags that Prometheus has, too.
fn known_flags(own: &Value, recorded: &Value) -> Value {
    let mut own = own.clone();
    if let (Some(flags), Some(recorded)) = (own["data"].as_object_mut(), recorded["data"].as_object()) {
        flags.retain(|name, _| recorded.contains_key(name));
    }
    own
}

fn without_time(line: &str) -> String {
    match line.rsplit_once(' ') {
        Some((series, time)) if time.len() == 13 && time.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{series} <ts>")
        }
        _ => line.to_owned(),
    }
}

/// Leaves of what is at `path` only their kind. `name[]` goes into each element of an array.
fn forget(value: &mut Value, path: &[&str]) {
    match path {
        [] => match value {
            Value::Object(members) => members.values_mut().for_each(|member| forget(member, &[])),
            Value::String(_) => *value = "text".into(),
            Value::Number(_) => *value = "number".into(),
            Value::Bool(_) => *value = "truth".into(),
            _ => {}
        },
        [name, rest @ ..] => match (name.strip_suffix("[]"), value) {
            (Some(name), value) => {
                value[name].as_array_mut().into_iter().flatten().for_each(|each| forget(each, rest));
            }
            (None, Value::Object(members)) => {
                members.get_mut(*name).into_iter().for_each(|each| forget(each, rest));
            }
            _ => {}
        },
    }
}

/// The messages of an answer of remote read: frames and compressed bodies may be cut and packed otherwise. Each series
/// as its fields in hexadecimal.
fn messages(kind: &str, body: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    let mut add = |series: &[u8]| out.push(series.iter().map(|b| format!("{b:02x}")).collect());
    if kind.starts_with("application/x-protobuf") {
        let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        fields(&plain).iter().flat_map(|(_, result)| fields(result)).for_each(|(_, series)| add(series));
        out.sort();
        return out;
    }
    let mut rest = body;
    while !rest.is_empty() {
        let (length, after) = varint(rest);
        // Behind the length is a checksum.
        let (frame, after) = after[4..].split_at(length as usize);
        fields(frame).iter().filter(|(number, _)| *number == 1).for_each(|(_, series)| add(series));
        rest = after;
    }
    out
}

fn decoded(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|b| *b < 128).unwrap();
    let number = bytes[..=end].iter().rev().fold(0, |number, b| number << 7 | u64::from(b & 127));
    (number, &bytes[end + 1..])
}

/// Number and bytes of each field of a message; of numbers the bytes of the field.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut out = Vec::new();
    while !message.is_empty() {
        let (tag, mut rest) = varint(message);
        let length = match tag & 7 {
            0 => rest.len() - varint(rest).1.len(),
            1 => 8,
            _ => {
                let (length, after) = varint(rest);
                rest = after;
                length as usize
            }
        };
        let (field, after) = rest.split_at(length);
        out.push((tag >> 3, field));
        message = after;
    }
    out
}

#[test]
fn what_is_volatile_keeps_its_kind() {
    let mut value = json!({"data": {"a": [{"t": 1, "b": 2}, {"t": "x"}], "c": {"d": 1}}});
    forget(&mut value, &["data", "a[]", "t"]);
    forget(&mut value, &["data", "c"]);
    assert_eq!(value, json!({"data": {"a": [{"t": "number", "b": 2}, {"t": "text"}], "c": {"d": "number"}}}));
    assert_eq!(without_time("x 1700002800123"), "x <ts>");
}
