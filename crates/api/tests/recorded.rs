//! The API beside recorded answers of Prometheus 3.14 (`golden/api` and `golden/promql` of the shared folder).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod server;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use model::Labels;
use serde_json::Value;
use server::Server;

/// Paths that are served now; the others of the recording belong to features that are refused by name.
const SERVED: [&str; 24] = [
    "/",
    "/graph",
    "/-/reload",
    "/api/v1",
    "/api/v1/targets/metadata",
    "/api/v1/status/self_metrics",
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/labels",
    "/api/v1/label/",
    "/api/v1/series",
    "/api/v1/search/",
    "/api/v1/notifications",
    "/api/v1/status/walreplay",
    "/api/v1/nosuch",
    "/api/v1/targets",
    "/api/v1/metadata",
    "/api/v1/alerts",
    "/api/v1/status/tsdb",
    "/-/healthy",
    "/-/ready",
    "/api/v2/query",
];

/// Rows that are not compared, with the reason.
const NOT_YET: [(&str, &str); 4] = [
    ("a0354", "the number of series, of which native histograms are not stored by this test"),
    ("a0317", "chunk and label counts include native histograms and exemplars"),
    (
        "a0239",
        "Prometheus cuts names in their order of arrival to the limit, then sorts: here the first of all are kept",
    ),
    ("a0026", "a race, by the recording's own README"),
];

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("BINNACLE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let found = dir.join("golden/api/requests.jsonl").is_file();
    if !found {
        eprintln!("the recordings are not there (BINNACLE_SHARED): this comparison was not made");
    }
    found.then_some(dir)
}

#[test]
fn answers_equal_the_recorded_ones() {
    let Some(shared) = shared() else { return };
    let server = Server::start();
    let without_floats = server.load(&floats(&shared.join("golden/promql/dataset.jsonl.gz")));
    let rows = std::fs::read_to_string(shared.join("golden/api/requests.jsonl")).unwrap();
    let (mut equal, mut different) = (0, Vec::new());
    for row in rows.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()) {
        if !is_comparable(&row, &without_floats) {
            continue;
        }
        let wrong = compare(&server, &row);
        match wrong {
            None => equal += 1,
            Some(why) => different.push(format!("{} {} {}: {why}", row["id"], row["path"], row["params"])),
        }
    }
    println!("{equal} rows equal, {} different", different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(equal > 120, "only {equal} rows were compared");
}

fn is_comparable(row: &Value, without_floats: &[String]) -> bool {
    let path = row["path"].as_str().unwrap();
    let served =
        SERVED.iter().any(|s| path == *s || (s.len() > 1 && s.ends_with('/') && path.starts_with(s)));
    let text = row.to_string();
    row["server"] == "past"
        && row["ordered"].is_null()
        && (row["volatile"].is_null() || row["volatile"] == serde_json::json!(["data.stats.timings"]))
        && served
        && !NOT_YET.iter().any(|(id, _)| row["id"] == *id)
        && !without_floats.iter().any(|name| text.contains(name.as_str()))
}

/// What differs, or nothing.
fn compare(server: &Server, row: &Value) -> Option<String> {
    let expect = &row["expect"];
    let got = server.request(row);
    if got.status != expect["status"].as_u64().unwrap() as u16 {
        return Some(format!("status {} instead of {}: {}", got.status, expect["status"], got.body));
    }
    for (name, value) in expect["headers"].as_object().unwrap() {
        let have = got.headers.get(name).map(String::as_str);
        if have != value.as_str() {
            return Some(format!("header {name}: {have:?} instead of {value}"));
        }
    }
    if let Some(text) = expect.get("text") {
        return (text.as_str() != Some(&got.body)).then(|| format!("{:?} instead of {text}", got.body));
    }
    if let Some(lines) = expect.get("ndjson") {
        let have: Result<Vec<Value>, _> = got.body.lines().map(serde_json::from_str).collect();
        let have = have.map_or(Value::Null, Value::from);
        return (have != *lines).then(|| format!("{} instead of {}", head(&have), head(lines)));
    }
    let want = expect.get("json")?;
    let Ok(have) = serde_json::from_str::<Value>(&got.body) else {
        return Some(format!("not JSON: {}", got.body));
    };
    (normal(&have) != normal(want)).then(|| format!("{} instead of {}", head(&have), head(want)))
}

fn head(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}

/// Vectors come in storage order: compared as sets. Of timings only the names are.
fn normal(answer: &Value) -> Value {
    let mut answer = answer.clone();
    for times in answer.pointer_mut("/data/stats/timings").and_then(Value::as_object_mut).into_iter() {
        times.values_mut().for_each(|time| *time = time.is_number().into());
    }
    if answer["data"]["resultType"] == "vector"
        && let Some(samples) = answer["data"]["result"].as_array_mut()
    {
        samples.sort_by_key(ToString::to_string);
    }
    answer
}

struct Series {
    labels: BTreeMap<String, String>,
    samples: Vec<(i64, f64)>,
}

fn floats(path: &Path) -> Vec<Series> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let samples = row["samples"].as_array().into_iter().flatten().map(|s| {
                let value = match s[1].as_str().unwrap() {
                    "stale" => model::STALE_NAN,
                    number => model::number::parse_float(number).unwrap(),
                };
                (s[0].as_i64().unwrap(), value)
            });
            Series {
                labels: serde_json::from_value(row["labels"].clone()).unwrap(),
                samples: samples.collect(),
            }
        })
        .collect()
}

impl Server {
    /// Stores the series; returns the names of those that have no float samples.
    fn load(&self, series: &[Series]) -> Vec<String> {
        let mut without: Vec<String> =
            series.iter().filter(|s| s.samples.is_empty()).map(|s| s.labels["__name__"].clone()).collect();
        without.sort();
        without.dedup();
        let samples: Vec<_> = series
            .iter()
            .flat_map(|one| {
                let labels = Labels::from_pairs(&one.labels);
                one.samples.iter().map(move |&(t, v)| (labels.clone(), t, v))
            })
            .collect();
        self.append(&samples);
        without
    }
}

/// The rows that delete, clean and snapshot, in their order and on a server of their own.
#[test]
fn the_admin_api_answers_as_recorded() {
    let Some(shared) = shared() else { return };
    let server = Server::start();
    server.load(&floats(&shared.join("golden/promql/dataset.jsonl.gz")));
    let rows = std::fs::read_to_string(shared.join("golden/api/requests.jsonl")).unwrap();
    let rows = rows.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let mut count = 0;
    for mut row in rows.filter(|row| ("a0376".."a0392").contains(&row["id"].as_str().unwrap())) {
        if row["volatile"] == serde_json::json!(["data.name"]) {
            let got: Value = serde_json::from_str(&server.request(&row).body).unwrap();
            let name = got["data"]["name"].as_str().unwrap();
            assert!(server.dir().join("snapshots").join(name).is_dir(), "{name}");
            let (time, random) = name.split_once('-').unwrap();
            assert!(time.len() == 16 && random.len() == 16, "{name}");
            row["expect"]["json"]["data"]["name"] = name.into();
            assert_eq!(got, row["expect"]["json"]);
            count += 1;
            continue;
        }
        assert_eq!(compare(&server, &row), None, "{}", row["id"]);
        count += 1;
    }
    assert_eq!(count, 16);
}

/// The rows that write, in their order and on a server of their own.
#[test]
fn remote_write_is_answered_as_recorded() {
    let Some(shared) = shared() else { return };
    let server = Server::start();
    server.load(&floats(&shared.join("golden/promql/dataset.jsonl.gz")));
    let rows = std::fs::read_to_string(shared.join("golden/api/requests.jsonl")).unwrap();
    let rows = rows.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let mut count = 0;
    let mut different = Vec::new();
    for row in rows.filter(|row| row["path"] == "/api/v1/write" && row["server"] == "past") {
        different.extend(compare(&server, &row).map(|why| format!("{}: {why}", row["id"])));
        count += 1;
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(count > 30, "{count}");
}

#[test]
fn exemplars_are_answered_as_recorded() {
    let Some(shared) = shared() else { return };
    let server = Server::start();
    let rows = std::fs::read_to_string(shared.join("golden/api/requests.jsonl")).unwrap();
    let rows: Vec<Value> = rows
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .filter(|row| row["path"] == "/api/v1/query_exemplars" && row["server"] == "past")
        .collect();
    // The first row has all that there are.
    for series in rows[0]["expect"]["json"]["data"].as_array().unwrap() {
        let labels: BTreeMap<String, String> =
            serde_json::from_value(series["seriesLabels"].clone()).unwrap();
        for exemplar in series["exemplars"].as_array().unwrap() {
            let own: BTreeMap<String, String> = serde_json::from_value(exemplar["labels"].clone()).unwrap();
            let t = (exemplar["timestamp"].as_f64().unwrap() * 1000.0) as i64;
            let v = exemplar["value"].as_str().unwrap().parse().unwrap();
            server.append_exemplar(&Labels::from_pairs(&labels), &Labels::from_pairs(&own), t, v);
        }
    }
    for row in &rows {
        assert_eq!(compare(&server, row), None, "{} {}", row["id"], row["params"]);
    }
    assert!(rows.len() > 5);
}
