//! Random queries, answered by the engine and by a real Prometheus over the same block of recorded data.
//!
//! `make queries`; not by itself, for other versions of Prometheus answer otherwise. `BINNACLE_QUERIES=20000` says how many,
//! where `golden/promql` and a Prometheus 3.14 are (`BINNACLE_PEER_PROMETHEUS`, else on `PATH`). `BINNACLE_SEED=7` asks others;
//! `BINNACLE_REPORT=file` gets all differences.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs)] // a test

mod answers;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use answers::{ask, compare};
use promql::ast::{Expr, ValueType};
use promql::{Engine, EngineOptions, ParseOptions, parse};
use serde_json::{Value as Json, json};
use testkit::RandomQueries;

/// First and last second of the data.
const DATA: (i64, i64) = (1_699_999_200, 1_700_006_400);

/// A running Prometheus over a copy of the data.
struct Peer {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    fn start(program: &Path, block: &Path, features: &str) -> Peer {
        let dir = tempfile::tempdir().unwrap();
        copy(block, &dir.path().join("data"));
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--enable-feature={features}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let peer = Peer { process, port, dir };
        let deadline = Instant::now() + Duration::from_secs(60);
        while peer.send("GET /-/ready", "").is_none_or(|(status, _)| status != 200) {
            assert!(Instant::now() < deadline, "Prometheus does not become ready");
            std::thread::yield_now();
        }
        peer
    }

    fn send(&self, what: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let length = body.len();
        // Of version 1.0: the answer ends with the connection.
        let request = format!(
            "{what} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn answer(&self, row: &Json) -> Json {
        let what = if row["kind"] == "instant" { "POST /api/v1/query" } else { "POST /api/v1/query_range" };
        let mut body = format!("query={}", encode(row["query"].as_str().unwrap()));
        for (name, value) in row["params"].as_object().unwrap() {
            write!(body, "&{name}={}", encode(value.as_str().unwrap())).unwrap();
        }
        serde_json::from_str(&self.send(what, &body).unwrap().1).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() {
            out.push(char::from(b));
        } else {
            write!(out, "%{b:02X}").unwrap();
        }
    }
    out
}

/// One query with the times that it is about.
fn row(queries: &mut RandomQueries) -> Json {
    let query = if queries.below(12) == 0 { queries.damaged() } else { queries.query() };
    row_of(queries, &query)
}

fn row_of(queries: &mut RandomQueries, query: &str) -> Json {
    let span = (DATA.1 - DATA.0 + 1200) as u64;
    let mut time = || {
        let seconds = DATA.0 - 600 + queries.below(span) as i64;
        if queries.below(6) == 0 { format!("{seconds}.25") } else { (seconds / 15 * 15).to_string() }
    };
    let (a, b) = (time(), time());
    let mut params = if queries.below(2) == 0 {
        json!({ "time": a })
    } else {
        let step = ["15", "60", "7", "300", "601"][queries.below(5) as usize];
        let (a, b) = if a.parse::<f64>().unwrap() < b.parse::<f64>().unwrap() { (a, b) } else { (b, a) };
        json!({ "start": a, "end": b, "step": step })
    };
    if queries.below(12) == 0 {
        params["lookback_delta"] = ["15s", "1m", "10m"][queries.below(3) as usize].into();
    }
    params["stats"] = "all".into();
    let kind = if params["time"].is_null() { "range" } else { "instant" };
    json!({ "kind": kind, "query": query, "params": params, "any_place": true })
}

struct Sides<'a> {
    peer: Peer,
    engine: Engine,
    store: &'a dyn storage::Select,
}

impl Sides<'_> {
    /// In what the answers differ, if they do; not where Prometheus itself answers now so, now otherwise.
    fn difference(&self, row: &Json) -> Option<String> {
        let mut asked = row.clone();
        asked["body"] = self.peer.answer(row);
        let got = ask(&self.engine, self.store, row);
        let why = compare(&asked, got).err()?;
        let result =
            |body: &Json| (body["data"]["result"].clone(), body["warnings"].clone(), body["error"].clone());
        let first = result(&asked["body"]);
        if (0..5).any(|_| result(&self.peer.answer(row)) != first) {
            return None;
        }
        Some(why)
    }

    /// The smallest part of the query whose answers differ too.
    fn smallest(&self, row: &Json, why: String) -> (Json, String) {
        let query = row["query"].as_str().unwrap();
        let Ok(expr) = parse(query, &self.engine.options().parse) else {
            return (row.clone(), why);
        };
        for part in parts(&expr) {
            let text = part.to_string();
            if matches!(part.value_type(), ValueType::Scalar | ValueType::Vector) && text.len() < query.len()
            {
                let mut smaller = row.clone();
                smaller["query"] = text.into();
                if let Some(why) = self.difference(&smaller) {
                    return self.smallest(&smaller, why);
                }
            }
        }
        (row.clone(), why)
    }
}

fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Subquery(e) => vec![&*e.expr],
        Expr::Aggregate(e) => e.param.iter().map(|p| &**p).chain([&*e.expr]).collect(),
        Expr::Binary(e) => vec![&*e.left, &*e.right],
        Expr::Call(e) => e
            .args
            .iter()
            .flat_map(|arg| if arg.value_type() == ValueType::Matrix { parts(arg) } else { vec![arg] })
            .collect(),
        Expr::Unary(e) => vec![&*e.expr],
        Expr::Paren(e) => vec![&*e.expr],
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
    }
}

/// Everything that is behind a flag.
const LANGUAGE: &str = "promql-experimental-functions,promql-duration-expr,promql-extended-range-selectors,\
                        promql-binop-fill-modifiers";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |n| n.parse().unwrap())
}

fn peer_and_data() -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    if std::env::var_os("BINNACLE_QUERIES").is_none() {
        eprintln!("skipped: not asked for (make queries)");
        return None;
    }
    let folder = testkit::shared("golden/promql")?;
    let program = testkit::installed_3("prometheus", "BINNACLE_PEER_PROMETHEUS");
    if program.is_none() {
        eprintln!("skipped: no Prometheus 3 (BINNACLE_PEER_PROMETHEUS)");
    }
    Some((program?, folder))
}

/// The tree without what builds of Prometheus 3.14 disagree on: the order of matchers.
fn sorted_matchers(mut tree: Json) -> Json {
    fn sort(tree: &mut Json) {
        match tree {
            Json::Object(map) => {
                if let Some(Json::Array(matchers)) = map.get_mut("matchers") {
                    matchers.sort_by_key(ToString::to_string);
                }
                map.values_mut().for_each(sort);
            }
            Json::Array(list) => list.iter_mut().for_each(sort),
            _ => {}
        }
    }
    sort(&mut tree);
    tree
}

#[test]
fn random_queries_are_printed_and_taken_apart_as_prometheus_does() {
    let Some((program, folder)) = peer_and_data() else { return };
    let (count, seed) = (number("BINNACLE_QUERIES", 600), number("BINNACLE_SEED", 1));
    let peer = Peer::start(&program, &folder.join("tsdb"), LANGUAGE);
    let mut queries = RandomQueries::new(seed * 10 + 7, true);
    let mut report = String::new();
    let (mut compared, mut different) = (0, 0);
    for _ in 0..count {
        let query = if queries.below(6) == 0 { queries.damaged() } else { queries.query() };
        let ask = |endpoint: &str| -> Option<Json> {
            let asked = peer.send(&format!("GET /api/v1/{endpoint}?query={}", encode(&query)), "");
            serde_json::from_str(&asked.unwrap().1).ok()
        };
        // It has no JSON for a tree with NaN in it.
        let (Some(printed), Some(tree)) = (ask("format_query"), ask("parse_query")) else { continue };
        let ours = match parse(&query, &ParseOptions::all()) {
            Ok(expr) => [
                (Json::from(promql::pretty(&expr)), printed["data"].clone()),
                (
                    sorted_matchers(serde_json::from_str(&promql::ast_json(&expr)).unwrap()),
                    sorted_matchers(tree["data"].clone()),
                ),
            ],
            Err(e) => {
                let text = Json::from(format!("invalid parameter \"query\": {e}"));
                [(text.clone(), printed["error"].clone()), (text, tree["error"].clone())]
            }
        };
        compared += 1;
        if let Some((ours, theirs)) = ours.into_iter().find(|(ours, theirs)| ours != theirs) {
            different += 1;
            writeln!(report, "{query}\n    {ours}\n    want {theirs}").unwrap();
        }
    }
    println!("{compared} queries compared, {different} printed or taken apart otherwise");
    if let Some(file) = std::env::var_os("BINNACLE_PRINTED_REPORT") {
        std::fs::write(file, &report).unwrap();
    }
    assert_eq!(different, 0, "{}", report.chars().take(4000).collect::<String>());
}

#[test]
fn random_queries_are_answered_as_prometheus_does() {
    let Some((program, folder)) = peer_and_data() else { return };
    let (count, seed) = (number("BINNACLE_QUERIES", 600), number("BINNACLE_SEED", 1));
    let all = format!("{LANGUAGE},promql-per-step-stats");
    let delayed = format!("{all},promql-delayed-name-removal");
    let options = |delayed_name_removal| EngineOptions {
        parse: ParseOptions::all(),
        per_step_stats: true,
        delayed_name_removal,
        ..EngineOptions::default()
    };
    let plain = EngineOptions { per_step_stats: true, ..EngineOptions::default() };
    let mut report = String::new();
    let (mut compared, mut different) = (0, 0);
    for (place, (features, options, share)) in [
        (all.as_str(), options(false), 6),
        (delayed.as_str(), options(true), 2),
        ("promql-per-step-stats", plain, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let peer = Peer::start(&program, &folder.join("tsdb"), features);
        let store = block::Blocks::open(&peer.dir.path().join("data"), &exposition::Registry::new()).unwrap();
        let mut queries = RandomQueries::new(seed * 10 + place as u64, place != 2);
        let sides = Sides { peer, engine: Engine::new(options), store: &store };
        for _ in 0..count * share / 10 {
            let row = row(&mut queries);
            // Builds of Prometheus 3.14 disagree on whether `info` keeps a name that is to be dropped later, and whether it
            // looks for info series at the time of its argument.
            let query = row["query"].as_str().unwrap();
            let moved = query.contains('@') || query.contains("offset");
            if query.contains("info(") && (place == 1 || moved) {
                continue;
            }
            compared += 1;
            if let Some(why) = sides.difference(&row) {
                different += 1;
                let (row, why) = sides.smallest(&row, why);
                writeln!(report, "{place} {} {}\n    {why}", row["query"].as_str().unwrap(), row["params"])
                    .unwrap();
            }
        }
    }
    println!("{compared} queries compared, {different} answered otherwise");
    if let Some(file) = std::env::var_os("BINNACLE_REPORT") {
        std::fs::write(file, &report).unwrap();
    }
    assert_eq!(different, 0, "{}", report.chars().take(4000).collect::<String>());
}
