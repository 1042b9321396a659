//! The repository's own scripts, and Prometheus' where they are present.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // a test

use std::fmt::Write;
use std::path::Path;

use testkit::promqltest::run_script;

fn run(path: &Path, report: &mut String) -> (usize, usize) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let outcomes = match run_script(&std::fs::read_to_string(path).unwrap()) {
        Ok(outcomes) => outcomes,
        Err(e) => {
            writeln!(report, "{name}: {e}").unwrap();
            return (0, 0);
        }
    };
    for o in &outcomes {
        if let Some(failure) = &o.failure {
            writeln!(report, "{name}:{} {}\n    {failure}", o.line, o.query).unwrap();
        }
    }
    (outcomes.iter().filter(|o| o.failure.is_none()).count(), outcomes.len())
}

#[test]
fn own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/promql");
    let mut report = String::new();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let (passed, total) = run(&entry.unwrap().path(), &mut report);
        assert!(passed == total && total > 0, "{report}");
        files += 1;
    }
    assert!(files > 0);
}

/// Evaluations in all of Prometheus' scripts.
const CONFORMANCE: usize = 2214;

#[test]
fn conformance_scripts_pass() {
    let Some(folder) = testkit::shared("conformance/promql") else { return };
    let mut report = String::new();
    let (mut passed, mut total) = (0, 0);
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in names.iter().filter(|p| p.extension().is_some_and(|e| e == "test")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (file_passed, file_total) = run(path, &mut report);
        println!("{name}: {file_passed} of {file_total}");
        passed += file_passed;
        total += file_total;
    }
    if let Some(file) = std::env::var_os("CONFORMANCE_REPORT") {
        std::fs::write(file, &report).unwrap();
    }
    assert_eq!((passed, total), (CONFORMANCE, CONFORMANCE), "{report}");
}
