//! `binnacle tool check` beside what promtool printed.

// What a helper of a test cannot do fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run printed.
#[derive(Debug, PartialEq)]
struct Ran {
    exit: i64,
    stdout: String,
    stderr: String,
}

/// One run: arguments after `tool`, files, and what promtool printed.
struct Case {
    args: Vec<String>,
    files: BTreeMap<String, String>,
    stdin: String,
    want: Ran,
}

/// Lines of a log have times.
fn without_log(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with("time=")).collect()
}

fn check(case: &Case) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in &case.files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_binnacle"))
        .arg("tool")
        .args(&case.args)
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(case.stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let prefix = format!("{}/", dir.path().display());
    let text = |bytes: Vec<u8>| without_log(&String::from_utf8(bytes).unwrap().replace(&prefix, ""));
    Ran {
        exit: output.status.code().unwrap_or(-1).into(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs all, a few at a time, and tells every difference.
fn compare(cases: &[Case]) {
    let differences: Vec<String> = std::thread::scope(|scope| {
        let parts = cases.chunks(cases.len().div_ceil(4).max(1));
        let running: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    let differs = |case: &Case| {
                        let have = check(case);
                        (have != case.want).then(|| {
                            format!("{:?} {:?}\n want {:?}\n have {have:?}", case.args, case.files, case.want)
                        })
                    };
                    part.iter().filter_map(differs).collect::<Vec<_>>()
                })
            })
            .collect();
        running.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

fn json_lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(case: &Value, key: &str) -> String {
    case[key].as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|arg| arg.as_str().unwrap().to_owned()).collect()
}

fn files(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, content)| (name.clone(), content.as_str().unwrap().to_owned())).collect()
}

fn wanted(case: &Value) -> Ran {
    let stderr = text(case, "stderr").replace("promtool: error: ", "binnacle: error: ");
    Ran {
        exit: case["exit"].as_i64().unwrap(),
        stdout: without_log(&text(case, "stdout")),
        stderr: without_log(&stderr),
    }
}

/// The files that lay beside recorded configurations.
fn neighbours() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/testdata/files.json");
    files(&serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
}

/// `check COMMAND ARGS FILE` on a file with the recorded content.
fn of_one_file(case: &Value, command: &str, file: &str) -> Case {
    let mut all = neighbours();
    let mut args = vec!["check".to_owned(), command.to_owned()];
    args.extend(texts(&case["args"]));
    let mut stdin = String::new();
    if text(case, "stdout").starts_with("Checking standard input") {
        stdin = text(case, "content");
    } else if case["content"].is_string() {
        all.insert(file.to_owned(), text(case, "content"));
        args.push(file.to_owned());
    }
    Case { args, files: all, stdin, want: wanted(case) }
}

#[test]
fn recorded_configurations_are_judged_as_promtool_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/testdata/check-config.jsonl");
    let cases: Vec<Case> =
        json_lines(&path).iter().map(|case| of_one_file(case, "config", "prometheus.yml")).collect();
    compare(&cases);
}

#[test]
fn every_kind_of_mistake_is_told_in_promtools_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/check.jsonl");
    let case = |case: &Value| {
        let mut all = neighbours();
        all.extend(files(&case["files"]));
        Case { args: texts(&case["args"]), files: all, stdin: text(case, "stdin"), want: wanted(case) }
    };
    compare(&json_lines(&path).iter().map(case).collect::<Vec<_>>());
}

#[test]
fn what_needs_no_server_is_answered_in_promtools_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/offline.jsonl");
    let case = |case: &Value| Case {
        args: texts(&case["args"]),
        files: files(&case["files"]),
        stdin: text(case, "stdin"),
        want: wanted(case),
    };
    compare(&json_lines(&path).iter().map(case).collect::<Vec<_>>());
}

/// The recordings of Prometheus, where they are there.
fn recording(name: &str) -> Option<Vec<Value>> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = PathBuf::from(std::env::var("BINNACLE_SHARED").unwrap_or(fallback.to_owned()));
    let path = shared.join("golden").join(name);
    if !path.is_file() {
        println!("skipped: no recordings at {}", path.display());
        return None;
    }
    Some(json_lines(&path))
}

#[test]
fn recorded_web_configurations_are_judged_as_promtool_does() {
    let Some(rows) = recording("promtool/commands.jsonl") else { return };
    let mut all = BTreeMap::new();
    let mut cases = Vec::new();
    // Files of earlier rows are there still.
    for row in &rows {
        all.extend(files(&row["files"]));
        let args = texts(&row["args"]);
        if args.first().is_some_and(|arg| arg == "check")
            && args.get(1).is_some_and(|arg| arg == "web-config")
        {
            cases.push(Case { args, files: all.clone(), stdin: String::new(), want: wanted(row) });
        }
    }
    assert!(cases.len() > 5, "the recordings were not read");
    compare(&cases);
}

#[test]
fn recorded_metrics_and_expressions_are_answered_as_promtool_does() {
    let Some(rows) = recording("promtool/commands.jsonl") else { return };
    let is_offline = |row: &&Value| {
        let args = texts(&row["args"]);
        let group: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
        matches!(group[..], ["check", "metrics", ..] | ["promql", ..] | ["nosuch"] | ["query", "instant"])
    };
    let case = |row: &Value| Case {
        args: texts(&row["args"]),
        files: files(&row["files"]),
        stdin: text(row, "stdin"),
        want: wanted(row),
    };
    let cases: Vec<Case> = rows.iter().filter(is_offline).map(case).collect();
    assert!(cases.len() > 20, "the recordings were not read");
    compare(&cases);
}

#[test]
fn recorded_rule_files_are_judged_as_promtool_does() {
    let Some(cases) = recording("rules/check-rules.jsonl") else { return };
    let cases = cases.iter().filter(|case| case["content"].is_string());
    let cases: Vec<Case> = cases.map(|case| of_one_file(case, "rules", "r.yml")).collect();
    assert!(cases.len() > 50, "the recordings were not read");
    compare(&cases);
}

#[test]
fn targets_of_a_job_are_printed_before_and_after_relabelling() {
    let config = "\
scrape_configs:
- job_name: other
- job_name: j
  scrape_interval: 30s
  params: {x: [y]}
  static_configs: [{targets: ['a<&>:1', c, 'a<&>:1'], labels: {e: \"\\t\"}}]
  file_sd_configs: [{files: [t.json]}]
  relabel_configs: [{source_labels: [__address__], regex: c, action: drop}]
";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("p.yml"), config).unwrap();
    fs::write(dir.path().join("t.json"), r#"[{"targets": ["d/e"]}]"#).unwrap();
    let run = |job: &str| {
        let args = ["tool", "check", "service-discovery", "p.yml", job];
        let output =
            Command::new(env!("CARGO_BIN_EXE_binnacle")).args(args).current_dir(dir.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, _) = run("j");
    assert_eq!(code, Some(0));
    let targets: Value = serde_json::from_str(&stdout).unwrap();
    let address = |target: &Value| text(&target["discoveredLabels"], "__address__");
    let of =
        |wanted: &str| targets.as_array().unwrap().iter().find(|target| address(target) == wanted).unwrap();
    assert_eq!(targets.as_array().unwrap().len(), 3, "equal targets of a group are one");
    assert!(stdout.contains(r#""__address__": "a\u003c\u0026\u003e:1""#), "{stdout}");
    assert_eq!(text(&of("a<&>:1")["labels"], "instance"), "a<&>:1");
    assert_eq!(text(&of("a<&>:1")["discoveredLabels"], "__param_x"), "y");
    assert_eq!(of("c")["labels"], serde_json::json!({}));
    assert_eq!(of("d/e")["error"], serde_json::json!({}));
    assert_eq!(run("other"), (Some(0), "[]".to_owned(), String::new()));
    let told = "Job nix not found. Select one of:\n\tother\n\tj\n";
    assert_eq!(run("nix"), (Some(1), String::new(), told.to_owned()));
}

#[test]
fn complaints_about_rules_show_the_place() {
    let rules = "\
groups:
- name: g
  rules:
  - record: a
    expr: sum(rate(b[5m]) by (c
  - {alert: B, expr: 'up == 0', labels: {x: '{{ nosuch }}'}}
  - alert: C
    expr: |
      up
        == on( 0
    labels: {__name__: d}
";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("r.yml"), rules).unwrap();
    let run = |flags: &[&str]| {
        let args = [&["tool", "check", "rules", "r.yml"], flags].concat();
        let output =
            Command::new(env!("CARGO_BIN_EXE_binnacle")).args(args).current_dir(dir.path()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let (told, shown) = (run(&[]), run(&["--places"]));
    let report = shown.strip_prefix(&told).unwrap();
    let places: Vec<&str> = report.lines().filter(|line| line.contains("--> ")).map(str::trim).collect();
    assert_eq!(
        places,
        ["--> r.yml:5:27", "--> r.yml:6:45", "--> r.yml:10:16", "--> r.yml:11:14"],
        "{report}"
    );
    let caret = |line: &str| {
        let mut lines = report.lines().skip_while(|shown| !(shown.contains(" | ") && shown.contains(line)));
        let (shown, below) = (lines.next().unwrap(), lines.next().unwrap());
        shown.get(below.find('^').unwrap()..).unwrap_or_default().to_owned()
    };
    assert_eq!(caret("expr: sum("), "by (c");
    assert_eq!(caret("alert: B"), "'{{ nosuch }}'}}");
    assert_eq!(caret("== on("), "0");
    assert_eq!(caret("__name__"), "__name__: d}");
}
