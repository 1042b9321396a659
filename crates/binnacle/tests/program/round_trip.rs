//! The same data, written by binnacle and by Prometheus: whoever reads either directory answers alike, after a kill, after
//! a clean stop, and once blocks were cut and compacted; and each goes on where the other one stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use exposition::Registry;
use model::{MatchOp, Matcher};
use serde_json::{Value, json};
use tsdb::{Db, DbOptions, HeadOptions};

use crate::mixed::{self, START, STEP};
use crate::site::{Program, Site, is_peer, prometheus_3};
use crate::{http, remote_write};

/// Twenty minutes.
const RANGE: i64 = 20 * 60_000;
/// An hour and fifty minutes.
const SCRAPES: i64 = 660;
const WINDOW: i64 = 40 * 60_000;

const CONFIG: &str = "global: {scrape_interval: 1h}\nstorage: {tsdb: {out_of_order_time_window: 40m}}\n";

/// What is asked of each program.
fn questions() -> Vec<String> {
    let end = (START + (SCRAPES + 120) * STEP) / 1000;
    let start = START / 1000;
    let mut questions: Vec<String> = [
        "{__name__!=\"\"}[3h]",
        "count by (__name__) ({__name__!=\"\"})",
        "last_over_time({__name__!=\"\"}[1h])",
        "histogram_quantile(0.9, rate(latency[30m]))",
        "resets(latency{kind!=\"stops\"}[2h])",
    ]
    .iter()
    .map(|query| format!("/api/v1/query?{}", http::form(&[("query", query), ("time", &end.to_string())])))
    .collect();
    for query in
        ["rate({__name__=~\".*_total|latency\"}[5m])", "sizes", "changes", "max_over_time(temperature[7m])"]
    {
        let (start, end) = (start.to_string(), end.to_string());
        let range = [("query", query), ("start", &start), ("end", &end), ("step", "67")];
        questions.push(format!("/api/v1/query_range?{}", http::form(&range)));
    }
    let (start, end) = (start.to_string(), end.to_string());
    let times = [("start", start.as_str()), ("end", &end)];
    for (path, more) in [
        ("labels", None),
        ("label/__name__/values", None),
        ("label/pod/values", None),
        ("series", Some(("match[]", "{__name__!=\"\"}"))),
        ("query_exemplars", Some(("query", "{__name__!=\"\"}"))),
    ] {
        let pairs: Vec<_> = times.into_iter().chain(more).collect();
        questions.push(format!("/api/v1/{path}?{}", http::form(&pairs)));
    }
    questions.extend(["status/tsdb?limit=1000", "status/tsdb/blocks"].map(|path| format!("/api/v1/{path}")));
    questions
}

/// Lists that are in no particular order are put into one.
fn sorted(mut answer: Value) -> Value {
    match &mut answer {
        Value::Array(list) => {
            let mut items: Vec<Value> = list.drain(..).map(sorted).collect();
            let pairs = items.iter().all(|item| item.as_array().is_some_and(|pair| pair.len() == 2));
            if !pairs {
                items.sort_by_cached_key(Value::to_string);
            }
            Value::Array(items)
        }
        Value::Object(fields) => fields.iter_mut().map(|(k, v)| (k.clone(), sorted(v.take()))).collect(),
        _ => answer,
    }
}

/// Names of blocks by the order in which they come in time; their ULIDs are new each time.
fn without_ulids(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(blocks) = answer.pointer_mut("/data/blocks").and_then(Value::as_array_mut) {
        for block in blocks.iter_mut() {
            block["ulid"] = Value::Null;
            block["compaction"]["sources"] = json!(block["compaction"]["sources"].as_array().map(Vec::len));
            for parent in block["compaction"]["parents"].as_array_mut().into_iter().flatten() {
                parent["ulid"] = Value::Null;
            }
        }
    }
    answer
}

type Answers = BTreeMap<String, Value>;

fn answers(program: &Program<'_>) -> Answers {
    questions()
        .into_iter()
        .map(|question| {
            let answer = program.get(&question);
            assert_eq!(answer.status, 200, "{question}: {}", answer.text());
            let answer = answer.json();
            let mut answer = if question.contains("status/tsdb/blocks") { answer } else { sorted(answer) };
            if let Some(head) = answer.pointer_mut("/data/headStats") {
                // After a start Prometheus counts chunks of samples out of order twice, and after a kill none that it
                // had not brought to the disk.
                head["chunkCount"] = Value::Null;
            }
            (question, without_ulids(&answer))
        })
        .collect()
}

fn differences(want: &Value, have: &Value, at: &str, found: &mut Vec<String>) {
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            let keys: std::collections::BTreeSet<_> = want.keys().chain(have.keys()).collect();
            for key in keys {
                let at = format!("{at}.{key}");
                let none = Value::Null;
                differences(want.get(key).unwrap_or(&none), have.get(key).unwrap_or(&none), &at, found);
            }
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => {
            for (i, (want, have)) in want.iter().zip(have).enumerate() {
                differences(want, have, &format!("{at}[{i}]"), found);
            }
        }
        _ if want == have => {}
        (Value::Array(want), Value::Array(have)) => {
            let i = want.iter().zip(have).take_while(|(want, have)| want == have).count();
            let (lens, none) = ((want.len(), have.len()), Value::Null);
            let at = format!("{at}[{i}] of {lens:?}");
            differences(want.get(i).unwrap_or(&none), have.get(i).unwrap_or(&none), &at, found);
        }
        _ => {
            let short = |v: &Value| v.to_string().chars().take(300).collect::<String>();
            found.push(format!("{at}: want {} have {}", short(want), short(have)));
        }
    }
}

fn assert_equal(want: &Answers, have: &Answers, what: &str) -> Result<(), String> {
    let mut found = Vec::new();
    for (question, want) in want {
        differences(want, &have[question], question, &mut found);
    }
    found.truncate(30);
    if found.is_empty() { Ok(()) } else { Err(format!("{what}:\n{}", found.join("\n"))) }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// A writer of a data directory.
trait Writer {
    /// What is due to be cut and compacted is so after each scrape.
    fn write(&mut self, scrapes: std::ops::Range<i64>);
    fn delete(&self, selector: (&str, &str), min_time: i64, max_time: i64);
    fn clean_tombstones(&mut self);
    /// Its directory as it lies on the disk while it runs, in another place.
    fn copy(&self, to: &Path);
    /// Stops, shows the directory, goes on.
    fn restart(&mut self, stopped: &dyn Fn(&Path));
}

struct Ours {
    dir: PathBuf,
    db: Option<Db>,
}

impl Ours {
    fn new(dir: PathBuf) -> Ours {
        let mut ours = Ours { dir, db: None };
        ours.open();
        ours
    }

    fn open(&mut self) {
        let millis = |ms: i64| Duration::from_millis(ms as u64);
        let head = HeadOptions {
            chunk_range: millis(RANGE),
            out_of_order_window: millis(WINDOW),
            exemplars: true,
            metadata_wal_records: true,
            ..HeadOptions::default()
        };
        let options = DbOptions {
            head,
            max_block: millis(9 * RANGE),
            retention: tsdb::Retention::default(),
            ..DbOptions::default()
        };
        self.db = Some(Db::open(&self.dir, options, &Registry::new()).unwrap());
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }
}

impl Writer for Ours {
    fn write(&mut self, scrapes: std::ops::Range<i64>) {
        for n in scrapes {
            mixed::append(self.db(), &mixed::scrape(n));
            self.db().upkeep(START + n * STEP, false).unwrap();
        }
    }

    fn delete(&self, (name, value): (&str, &str), min_time: i64, max_time: i64) {
        let matcher = Matcher::new(MatchOp::Equal, name, value).unwrap();
        self.db().delete(&[matcher], min_time, max_time, START + SCRAPES * STEP).unwrap();
    }

    fn clean_tombstones(&mut self) {
        self.db().clean_tombstones(START + SCRAPES * STEP).unwrap();
    }

    fn copy(&self, to: &Path) {
        copy_dir(&self.dir, to);
    }

    fn restart(&mut self, stopped: &dyn Fn(&Path)) {
        self.db.take().unwrap().close().unwrap();
        stopped(&self.dir);
        self.open();
    }
}

/// Prometheus, written to by remote write.
struct Theirs {
    site: &'static Site,
    program: Option<Program<'static>>,
}

fn site(program: Option<&str>) -> Site {
    let mut site = Site::server(CONFIG)
        .flag("--storage.tsdb.retention.time=100y")
        .flag("--enable-feature=exemplar-storage,metadata-wal-records");
    site.switch_to(program);
    site
}

impl Theirs {
    fn new(prometheus: &str) -> Theirs {
        Theirs::on(prometheus, None)
    }

    /// Goes on in a copy of a directory.
    fn on(prometheus: &str, dir: Option<&Path>) -> Theirs {
        let site = site(Some(prometheus))
            .flag("--web.enable-remote-write-receiver")
            .flag("--web.enable-admin-api")
            .flag("--storage.tsdb.min-block-duration=20m")
            .flag("--storage.tsdb.max-block-duration=3h")
            // Cuts are asked for by those who append.
            .flag("--storage.tsdb.block-reload-interval=1h");
        dir.into_iter().for_each(|dir| copy_dir(dir, &site.path("data")));
        let site: &'static Site = Box::leak(Box::new(site));
        Theirs { program: Some(site.start()), site }
    }

    fn has_full_range(&self) -> bool {
        let head = self.program().data("/api/v1/status/tsdb?limit=1")["headStats"].take();
        head["maxTime"].as_i64().unwrap() - head["minTime"].as_i64().unwrap() > RANGE / 2 * 3
    }

    fn program(&self) -> &Program<'static> {
        self.program.as_ref().unwrap()
    }
}

impl Writer for Theirs {
    fn write(&mut self, scrapes: std::ops::Range<i64>) {
        for n in scrapes {
            let body = remote_write::body(&mixed::scrape(n));
            let answer = self.program().request("POST", "/api/v1/write", &remote_write::HEADERS, &body);
            assert!([204, 400].contains(&answer.status), "{}", answer.text());
            if self.has_full_range() {
                self.program().wait_for("a cut", |_| (!self.has_full_range()).then_some(()));
                // Waits for the end of the compaction.
                self.delete(("__name__", "none"), 0, 0);
            }
        }
    }

    fn delete(&self, (name, value): (&str, &str), min_time: i64, max_time: i64) {
        let selector = format!("{{{name}=\"{value}\"}}");
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let (start, end) = (seconds(min_time), seconds(max_time));
        let form = http::form(&[("match[]", &selector), ("start", &start), ("end", &end)]);
        let answer =
            self.program().request("POST", &format!("/api/v1/admin/tsdb/delete_series?{form}"), &[], b"");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    fn clean_tombstones(&mut self) {
        let answer = self.program().request("POST", "/api/v1/admin/tsdb/clean_tombstones", &[], b"");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    fn copy(&self, to: &Path) {
        copy_dir(&self.site.path("data"), to);
    }

    fn restart(&mut self, stopped: &dyn Fn(&Path)) {
        drop(self.program.take().unwrap().interrupt());
        stopped(&self.site.path("data"));
        self.program = Some(self.site.start());
    }
}

/// The places at which the directories are looked at.
const STAGES: [&str; 5] = ["killed", "stopped", "cut", "deleted", "end"];

/// Fills a directory and leaves copies of it at each stage.
fn live(writer: &mut dyn Writer, copies: &Path) {
    let at = |n: i64| START + n * STEP;
    writer.write(0..150);
    // Of these nothing comes out of order: of that, Prometheus deletes what is in blocks only.
    writer.delete(("i", "3"), at(30), at(90) + 5);
    writer.delete(("kind", "gauge"), at(100), at(149));
    writer.delete(("__name__", "special"), 0, at(10_000));
    writer.write(150..170);
    writer.copy(&copies.join("killed"));
    writer.restart(&|dir| copy_dir(dir, &copies.join("stopped")));
    go_on(writer, copies);
    writer.write(500..530);
    writer.delete(("i", "5"), at(10), at(520));
    writer.delete(("kind", "floats"), at(200), at(210));
    writer.copy(&copies.join("deleted"));
    writer.clean_tombstones();
    writer.write(530..SCRAPES);
    writer.copy(&copies.join("end"));
}

/// From "stopped" to "cut".
fn go_on(writer: &mut dyn Writer, copies: &Path) {
    writer.write(170..500);
    writer.copy(&copies.join("cut"));
}

/// What a program answers about a copy of a directory.
fn answers_about(dir: &Path, program: Option<&str>) -> Answers {
    // Nothing is to be cut.
    let site = site(program)
        .flag("--storage.tsdb.min-block-duration=6h")
        .flag("--storage.tsdb.max-block-duration=6h");
    copy_dir(dir, &site.path("data"));
    answers(&site.start())
}

/// What the commands of promtool print about a directory; ULIDs left out, lines in order.
fn printed(program: &[&str], dir: &Path) -> Answers {
    let mut blocks: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let meta = std::fs::read(entry.path().join("meta.json")).ok()?;
            let meta: Value = serde_json::from_slice(&meta).unwrap();
            Some((meta["minTime"].as_i64().unwrap(), entry.file_name().into_string().unwrap()))
        })
        .collect();
    blocks.sort();
    let mut commands: Vec<(String, Vec<&str>)> =
        ["dump", "dump-openmetrics", "list"].map(|command| (command.to_owned(), vec![command])).into();
    for (min_time, ulid) in &blocks {
        commands.push((format!("analyze {min_time}"), vec!["analyze", "--extended", "--limit=1000", ulid]));
    }
    commands
        .iter()
        .map(|(name, args)| {
            let mut command = Command::new(program[0]);
            command.args(&program[1..]).arg("tsdb");
            match args[..] {
                [analyze, ref flags @ .., ulid] => command.arg(analyze).args(flags).arg(dir).arg(ulid),
                _ => command.args(args).arg(dir),
            };
            let output = command.output().unwrap();
            let what = format!("{program:?} {args:?}");
            assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let line = |line: &str| match line.split_once(' ') {
                // How many bytes a block takes depends on how its name is written in its metadata.
                Some((first, rest)) if first.len() == 26 && args[0] == "list" => {
                    rest.rsplit_once(' ').unwrap().0.trim().to_owned()
                }
                _ => line.trim_end().to_owned(),
            };
            let mut lines: Vec<_> = text.lines().filter(|l| !l.starts_with("Block ID")).map(line).collect();
            lines.sort();
            (name.clone(), json!(lines))
        })
        .collect()
}

/// As `printed`, without what promtool does not print: the first samples of histograms in a series, and all that follows a
/// change of kind.
fn without_histograms(mut printed: Answers) -> Answers {
    for lines in printed.values_mut().filter_map(Value::as_array_mut) {
        lines.retain(|line| !line.as_str().is_some_and(|l| l.contains("{count:") || l.contains("changes")));
    }
    printed
}

/// Answers that Prometheus gave about its directories, as `recorded_form` shows them.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/round_trip.json.gz");
/// At these stages.
const RECORDED_STAGES: [&str; 2] = ["deleted", "end"];

/// The answers, each series of samples as their number and a checksum of them.
fn recorded_form(answers: &Answers) -> Value {
    let shortened = |answer: &Value| {
        let mut answer = answer.clone();
        let series = answer.pointer_mut("/data/result").and_then(Value::as_array_mut);
        for series in series.into_iter().flatten() {
            for kind in ["values", "histograms"] {
                if let Some(samples) = series.get_mut(kind) {
                    let count = samples.as_array().unwrap().len();
                    *samples = json!([count, fnv(samples.to_string().as_bytes())]);
                }
            }
        }
        let series = answer.pointer_mut("/data").and_then(Value::as_array_mut);
        for exemplars in series.into_iter().flatten().filter_map(|series| series.get_mut("exemplars")) {
            let count = exemplars.as_array().unwrap().len();
            *exemplars = json!([count, fnv(exemplars.to_string().as_bytes())]);
        }
        answer
    };
    answers.iter().map(|(question, answer)| (question.clone(), shortened(answer))).collect()
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn what_binnacle_wrote_is_answered_as_prometheus_answered_about_its_own() {
    if is_peer() {
        return;
    }
    let recorded: Value =
        serde_json::from_reader(flate2::read::GzDecoder::new(std::fs::File::open(RECORDED).unwrap()))
            .unwrap();
    let root = tempfile::tempdir().unwrap();
    live(&mut Ours::new(root.path().join("work")), root.path());
    for stage in RECORDED_STAGES {
        let have = recorded_form(&answers_about(&root.path().join(stage), None));
        let mut found = Vec::new();
        differences(&recorded[stage], &have, stage, &mut found);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

/// Prometheus deletes no samples out of order that are in memory, and hides what comes late into a deleted time until it is
/// cut. What binnacle deletes is gone and what comes later is there, and so Prometheus reads its directory, too.
#[test]
fn prometheus_reads_what_was_deleted_and_came_again_as_binnacle_does() {
    let Some((prometheus, _)) = prometheus_3().filter(|_| !is_peer()) else { return };
    let root = tempfile::tempdir().unwrap();
    let mut ours = Ours::new(root.path().join("work"));
    let at = |n: i64| START + n * STEP;
    ours.write(0..150);
    // With samples out of order, in buffers and in mapped chunks.
    ours.delete(("i", "2"), at(30), at(90));
    ours.delete(("kind", "integer"), 0, at(10_000));
    ours.copy(&root.path().join("deleted"));
    for n in 0..12 {
        let t = at(60 + n) + 77;
        mixed::append(ours.db(), &[mixed::Point::float("temperature", &[("i", "2")], t, -1.0)]);
    }
    ours.write(150..152);
    ours.restart(&|dir| copy_dir(dir, &root.path().join("came again")));
    ours.write(152..400);
    ours.copy(&root.path().join("cut"));
    let count = |answers: &Answers, n: usize| {
        let (_, samples) = answers.iter().find(|(question, _)| question.contains("5B3h%5D")).unwrap();
        let series = samples["data"]["result"].as_array().unwrap();
        let series =
            series.iter().find(|s| s["metric"]["i"] == "2" && s["metric"]["__name__"] == "temperature");
        let times =
            series.unwrap()["values"].as_array().unwrap().iter().flat_map(|point| point.as_array().unwrap());
        let range = at(30) as f64 / 1000.0..at(90) as f64 / 1000.0;
        assert_eq!(times.filter_map(Value::as_f64).filter(|t| range.contains(t)).count(), n);
    };
    for (stage, came_again) in [("deleted", 0), ("came again", 12), ("cut", 12)] {
        let dir = root.path().join(stage);
        let want = answers_about(&dir, None);
        count(&want, came_again);
        assert_equal(&want, &answers_about(&dir, Some(&prometheus)), stage).unwrap();
    }
}

#[test]
fn prometheus_and_binnacle_write_and_read_the_same_directories() {
    let Some((prometheus, promtool)) = prometheus_3().filter(|_| !is_peer()) else { return };
    let root = tempfile::tempdir().unwrap();
    let keep = std::env::var_os("BINNACLE_KEEP").map(PathBuf::from);
    let root = keep.as_deref().unwrap_or(root.path());
    let (ours, theirs) = (root.join("ours"), root.join("theirs"));
    live(&mut Ours::new(root.join("work")), &ours);
    live(&mut Theirs::new(&prometheus), &theirs);
    let mut recorded = serde_json::Map::new();
    let mut problems = Vec::new();
    let mut check = |problem: Result<(), String>| problems.extend(problem.err());
    for stage in STAGES {
        let (ours, theirs) = (ours.join(stage), theirs.join(stage));
        let want = answers_about(&theirs, Some(&prometheus));
        if RECORDED_STAGES.contains(&stage) {
            recorded.insert(stage.to_owned(), recorded_form(&want));
        }
        check(assert_equal(
            &want,
            &answers_about(&theirs, None),
            &format!("{stage}: binnacle reads Prometheus'"),
        ));
        check(assert_equal(
            &want,
            &answers_about(&ours, Some(&prometheus)),
            &format!("{stage}: Prometheus reads binnacle's"),
        ));
        check(assert_equal(&want, &answers_about(&ours, None), &format!("{stage}: binnacle reads its own")));

        let own = [env!("CARGO_BIN_EXE_binnacle"), "tool"];
        let want = printed(&[&promtool], &theirs);
        check(assert_equal(
            &want,
            &printed(&[&promtool], &ours),
            &format!("{stage}: promtool about binnacle's"),
        ));
        let (want, have) = (without_histograms(want), without_histograms(printed(&own, &theirs)));
        check(assert_equal(&want, &have, &format!("{stage}: the tool about Prometheus'")));
    }
    if std::env::var_os("BINNACLE_RECORD").is_some() {
        let file = std::fs::File::create(RECORDED).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
        serde_json::to_writer(&mut packed, &recorded).unwrap();
        packed.finish().unwrap();
    }
    // Each goes on where the other one stopped.
    let want = answers_about(&theirs.join("cut"), Some(&prometheus));
    let (here, there) = (root.join("here"), root.join("there"));
    copy_dir(&theirs.join("stopped"), &root.join("swapped in"));
    go_on(&mut Ours::new(root.join("swapped in")), &here);
    check(assert_equal(&want, &answers_about(&here.join("cut"), None), "binnacle goes on"));
    go_on(&mut Theirs::on(&prometheus, Some(&ours.join("stopped"))), &there);
    check(assert_equal(&want, &answers_about(&there.join("cut"), Some(&prometheus)), "Prometheus goes on"));
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}
