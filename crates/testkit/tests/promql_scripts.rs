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

/// How many evaluations of each script pass at least. Only ever to be raised.
const FLOORS: &[(&str, usize)] = &[
    ("aggregators.test", 159),
    ("at_modifier.test", 78),
    ("collision.test", 2),
    ("duration_expression.test", 59),
    ("extended_vectors.test", 169),
    ("fill-modifier.test", 46),
    ("functions.test", 430),
    ("histograms.test", 185),
    ("info.test", 53),
    ("limit.test", 37),
    ("literals.test", 25),
    ("name_label_dropping.test", 30),
    ("native_histograms.test", 522),
    ("operators.test", 214),
    ("range_queries.test", 18),
    ("selectors.test", 31),
    ("staleness.test", 17),
    ("start_timestamps.test", 26),
    ("subquery.test", 34),
    ("trig_functions.test", 19),
    ("type_and_unit.test", 58),
];

#[test]
fn conformance_scripts_pass_as_far_as_they_did() {
    let Some(folder) = testkit::shared("conformance/promql") else { return };
    let mut report = String::new();
    let mut worse = Vec::new();
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in names.iter().filter(|p| p.extension().is_some_and(|e| e == "test")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (passed, total) = run(path, &mut report);
        println!("{name}: {passed} of {total}");
        let floor = FLOORS.iter().find(|f| f.0 == name).map_or(0, |f| f.1);
        if passed < floor {
            worse.push(format!("{name}: {passed} pass, {floor} did"));
        }
    }
    if let Some(file) = std::env::var_os("CONFORMANCE_REPORT") {
        std::fs::write(file, &report).unwrap();
    }
    assert!(worse.is_empty(), "{worse:?}\n{report}");
}
