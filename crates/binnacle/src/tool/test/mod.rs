//! `test rules`: unit tests of rules, evaluated by a clock of their own on samples in memory.

mod arguments;
mod difference;
mod expected;
mod group;
mod input;
mod junit;

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use config::{RuleFileOptions, UnitTestFile, load_unit_tests};
use model::Regex;

use self::arguments::{TestCommand, TestRulesArgs};
use self::group::Conditions;
use self::junit::{Suite, document};
use super::failure::{in_gos_words, print, reading, tell};
use super::{Failure, features};

pub(crate) use arguments::TestArgs;

/// What a file of tests has come to: what is wrong, if anything.
type Complaints = Vec<String>;

pub(super) fn run(args: &TestArgs, enabled: &[String]) -> Result<ExitCode, Failure> {
    let TestCommand::Rules(rules) = &args.command;
    let results = match &args.junit {
        Some(path) => Some(std::fs::File::create(path).map_err(|error| {
            Failure::usage(&format!("{}, try --help", in_gos_words("open", path.as_ref(), &error)))
        })?),
        None => None,
    };
    let tester = Tester { args: rules, features: features::read(enabled)?, run: name_filter(&rules.run)? };
    let mut suites = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for file in &rules.files {
        let mut suite = Suite::new(file);
        let complaints = tester.file(file, &mut suite)?;
        suites.push(suite);
        if complaints.is_empty() {
            print("  SUCCESS\n")?;
        } else {
            code = ExitCode::FAILURE;
            tell("  FAILED:");
            for complaint in complaints {
                tell(&complaint);
                print("\n")?;
            }
        }
        print("\n")?;
    }
    if let Some(mut file) = results
        && let Err(error) = std::io::Write::write_all(&mut file, document(&suites).as_bytes())
    {
        tell(&format!("failed to write JUnit XML: {error}"));
    }
    Ok(code)
}

struct Tester<'a> {
    args: &'a TestRulesArgs,
    features: features::Features,
    /// Of the names of tests.
    run: Option<Regex>,
}

impl Tester<'_> {
    fn file(&self, file: &str, suite: &mut Suite) -> Result<Complaints, Failure> {
        let refused = |why: String, suite: &mut Suite| {
            suite.abort(&why);
            Ok(vec![why])
        };
        let content = match std::fs::read(file) {
            Ok(content) => content,
            Err(error) => return refused(reading(file.as_ref(), &error), suite),
        };
        let tests = match load_unit_tests(&content) {
            Ok(tests) => tests,
            Err(why) => return refused(why, suite),
        };
        let directory = Path::new(file).parent().unwrap_or(Path::new(""));
        let warn = |pattern: &str| tell(&format!("  WARNING: no file match pattern {pattern}"));
        let rule_files = match tests.resolved_rule_files(directory, warn) {
            Ok(files) => files,
            Err(why) => return refused(why, suite),
        };
        suite.set_time(now());
        if let Some(name) = repeated(&tests.group_eval_order) {
            return refused(format!("group name repeated in evaluation order: {name}"), suite);
        }
        self.tests(&tests, &rule_files, suite)
    }

    fn tests(
        &self,
        file: &UnitTestFile,
        rule_files: &[String],
        suite: &mut Suite,
    ) -> Result<Complaints, Failure> {
        let evaluation_interval = match file.evaluation_interval.0 {
            0 => 60_000,
            millis => millis,
        };
        let options = RuleFileOptions {
            ignore_unknown_fields: self.args.ignore_unknown_fields,
            expressions: self.features.expressions,
        };
        let conditions = Conditions {
            rule_files,
            options: &options,
            group_order: &file.group_eval_order,
            evaluation_interval,
            fuzzy: file.fuzzy_compare,
            delayed_name_removal: self.features.delayed_name_removal,
            diff: self.args.diff,
            debug: self.args.debug,
        };
        let mut all = Vec::new();
        for (i, test) in file.tests.iter().enumerate() {
            if self.run.as_ref().is_some_and(|run| !run.is_match(&test.name)) {
                continue;
            }
            let name = if test.name.is_empty() { format!("unnamed#{i}") } else { test.name.clone() };
            suite.case(&name);
            let complaints = group::test(test, &name, &conditions);
            complaints.iter().for_each(|why| suite.fail(why));
            all.extend(complaints);
        }
        Ok(all)
    }
}

/// Finds something in the names of the tests that are to run.
fn name_filter(patterns: &[String]) -> Result<Option<Regex>, Failure> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let pattern = patterns.join("|");
    let anywhere = Regex::new(&format!("(?s:.*)(?:{pattern})(?s:.*)"));
    anywhere.map(Some).map_err(|error| Failure::during(&format!("--run={pattern}"), error))
}

fn repeated(names: &[String]) -> Option<&String> {
    names
        .iter()
        .enumerate()
        .find(|(i, name)| names.iter().take(*i).any(|other| other == *name))
        .map(|(_, n)| n)
}

/// `2006-01-02T15:04:05`
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since.as_secs()).unwrap_or_default() * 1000;
    model::timestamp::format_rfc3339(millis).trim_end_matches('Z').to_owned()
}
