//! `binnacle tool test rules` beside what promtool printed.

// What a helper of a test cannot do fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a run printed, and its results as XML.
#[derive(Debug, PartialEq)]
struct Ran {
    exit: i64,
    stdout: String,
    stderr: String,
    junit: Option<String>,
}

/// Durations and points in time are each run's own.
fn without_times(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line.split_once(" finished, took ") {
        Some((before, _)) => format!("{before} finished\n"),
        None => line.to_owned(),
    });
    let text: String = lines.collect();
    let mut parts = text.split(" timestamp=\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('"').map_or(part, |(_, rest)| rest))
}

fn run(dir: &Path, row: &Value) -> Ran {
    let args = row["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
    let results = dir.join("j.xml");
    let _ = std::fs::remove_file(&results);
    let output = Command::new(env!("CARGO_BIN_EXE_binnacle"))
        .args(["tool", "test", "rules"])
        .args(args)
        .arg(row["file"].as_str().unwrap())
        .current_dir(dir)
        .output()
        .unwrap();
    Ran {
        exit: output.status.code().unwrap_or(-1).into(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: without_times(&String::from_utf8(output.stderr).unwrap()),
        junit: std::fs::read_to_string(results).ok().map(|text| without_times(&text)),
    }
}

fn wanted(row: &Value) -> Ran {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    Ran {
        exit: row["exit"].as_i64().unwrap(),
        stdout: text("stdout"),
        stderr: without_times(&text("stderr")),
        junit: row["junit"].as_str().map(without_times),
    }
}

/// Runs all in copies of their folders and tells every difference.
fn compare(folders: &Path, rows: &str) {
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!rows.is_empty());
    let copies = tempfile::tempdir().unwrap();
    let mut differences = Vec::new();
    for row in &rows {
        let name = row["dir"].as_str().unwrap();
        let dir = copies.path().join(name);
        if !dir.is_dir() {
            std::fs::create_dir_all(&dir).unwrap();
            for entry in std::fs::read_dir(folders.join(name)).unwrap().map(Result::unwrap) {
                std::fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
            }
        }
        let (have, want) = (run(&dir, row), wanted(row));
        if have != want {
            differences
                .push(format!("{name} {} {}\n have {have:?}\n want {want:?}", row["file"], row["args"]));
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), rows.len(), differences.join("\n"));
}

#[test]
fn tests_have_the_outcomes_that_promtool_gave_them() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    compare(&folders, &std::fs::read_to_string(folders.join("unit-tests.jsonl")).unwrap());
}

#[test]
fn recorded_tests_have_the_outcomes_that_promtool_gave_them() {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = PathBuf::from(std::env::var("BINNACLE_SHARED").unwrap_or(fallback.to_owned()));
    let folders = shared.join("golden/rules");
    match std::fs::read_to_string(folders.join("test-rules.jsonl")) {
        Ok(rows) => compare(&folders, &rows),
        Err(_) => println!("skipped: no recordings at {}", folders.display()),
    }
}

#[test]
fn the_rules_that_come_along_pass_their_own_tests() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../monitoring/rules");
    let named = |dir: &Path, end: &str| -> Vec<PathBuf> {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().ends_with(end)).collect();
        files.sort();
        assert!(!files.is_empty(), "nothing in {}", dir.display());
        files
    };
    let tests = rules.join("tests");
    for (what, files) in [("check", named(&rules, ".yml")), ("test", named(&tests, ".test.yml"))] {
        let output = Command::new(env!("CARGO_BIN_EXE_binnacle"))
            .args(["tool", what, "rules"])
            .args(&files)
            .current_dir(&tests)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("FAILED"), "{what}: {said}");
    }
}
