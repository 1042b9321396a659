//! Requests that Prometheus was sent, row by row. `testdata/README.md` says where they come from.

use otlp::{Deltas, Naming, Promoted, ReceiverOptions, Translation};
use serde_json::Value;

use crate::encoding;
use crate::store::{Content, PROTOBUF, Server};

const RECORDED: &str = include_str!("../../testdata/recorded.jsonl");
const MADE_UP: &str = include_str!("../../testdata/made_up.jsonl");

/// The settings of a variant.
pub(crate) fn variant(name: &str) -> (ReceiverOptions, Translation) {
    let (mut options, mut translation) = (ReceiverOptions::default(), Translation::default());
    let naming = &mut translation.naming;
    let these = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    match name {
        "default" => {}
        "no-utf8-escaping" => naming.utf8 = true,
        "no-translation" => *naming = Naming { utf8: true, suffixes: false, ..*naming },
        "no-suffixes" => naming.suffixes = false,
        "collapse" => *naming = Naming { key_prefix: false, keep_underscores: false, ..*naming },
        "promote" => {
            translation.promoted = Promoted::Only(these(&["deployment.environment", "service.name"]));
            translation.keep_identifying = true;
            translation.promote_scope = true;
        }
        "promote-all-nhcb" => {
            translation.promoted = Promoted::AllBut(these(&["service.name"]));
            translation.custom_buckets = true;
        }
        "delta" => options.deltas = Deltas::Stored,
        "d2c" => options.deltas = Deltas::Summed,
        "type-unit" => options.type_and_unit_labels = true,
        "d2c-nhcb-utf8" => {
            (options.deltas, options.type_and_unit_labels) = (Deltas::Summed, true);
            naming.utf8 = true;
            translation.promoted = Promoted::AllBut(these(&[]));
            (translation.custom_buckets, translation.promote_scope) = (true, true);
        }
        other => panic!("no variant {other}"),
    }
    (options, translation)
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is another than before, as the recordings list it.
fn changed(before: &Content, after: &Content) -> Vec<String> {
    let new = after.iter().filter(|(labels, series)| before.get(*labels) != Some(series));
    let mut shown: Vec<String> = new.map(|(_, series)| series.to_string()).collect();
    shown.sort();
    shown
}

/// Posts a row; panics if answer or content are others than recorded.
fn check(server: &Server, before: &mut Content, what: &str, body: &Value, want: &Value, in_protobuf: bool) {
    let answer = match in_protobuf {
        true => server.post(PROTOBUF, &encoding::request(body)),
        false => server.post(crate::store::JSON, body.to_string().as_bytes()),
    };
    let text = answer.text.unwrap_or_default();
    assert_eq!(
        (answer.status, text.trim_end()),
        (want["status"].as_u64().unwrap() as u16, want["answer"].as_str().unwrap().trim_end()),
        "{what}"
    );
    let after = server.content();
    let mut series: Vec<String> = want["series"].as_array().unwrap().iter().map(Value::to_string).collect();
    series.sort();
    assert_eq!(changed(before, &after), series, "{what}");
    *before = after;
}

#[test]
fn recorded_requests_are_stored_and_answered_as_by_prometheus() {
    let rows = rows(RECORDED);
    let variants = [
        "default",
        "no-utf8-escaping",
        "no-translation",
        "no-suffixes",
        "promote",
        "promote-all-nhcb",
        "delta",
    ];
    for name in variants {
        for in_protobuf in [false, true] {
            let (options, translation) = variant(name);
            let (server, mut before) = (Server::new(options, translation), Content::new());
            for row in &rows {
                let want = row["results"].get(name).unwrap_or(&row["results"]["default"]);
                let what = format!("{name} {} protobuf={in_protobuf}", row["name"]);
                check(&server, &mut before, &what, &row["body"], want, in_protobuf);
            }
        }
    }
}

#[test]
fn made_up_requests_are_stored_and_answered_as_by_prometheus() {
    for in_protobuf in [false, true] {
        let mut servers: Vec<(String, Server, Content)> = Vec::new();
        for (number, row) in rows(MADE_UP).iter().enumerate() {
            let name = row["variant"].as_str().unwrap();
            if servers.last().is_none_or(|(known, ..)| known != name) {
                let (options, translation) = variant(name);
                servers.push((name.to_owned(), Server::new(options, translation), Content::new()));
            }
            let (_, server, before) = servers.last_mut().unwrap();
            let what = format!("line {} {name} protobuf={in_protobuf}", number + 1);
            check(server, before, &what, &row["body"], row, in_protobuf);
        }
    }
}

/// The recordings of which the repository has a copy, as they are there now.
#[test]
fn the_copy_of_the_recordings_is_the_recordings() {
    let shared = std::env::var("BINNACLE_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned());
    match std::fs::read_to_string(format!("{shared}/golden/remote/otlp.jsonl")) {
        Ok(text) => assert_eq!(text, RECORDED),
        Err(_) => println!("skipped: no recordings in {shared}"),
    }
}
