//! `check rules`: files of rules.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use config::{RuleFile, RuleFileOptions, load_rules};
use promql::ParseOptions;

use super::Outcome;
use super::arguments::{LintFlags, RulesArgs};
use crate::tool::failure::{print, reading, tell};
use crate::tool::{Failure, features};

const SEVERAL_DOCUMENTS: &str =
    "Multiple document yaml rules files are not supported, only the first document is processed";

/// What is looked for in rules besides errors.
#[derive(Debug, Clone)]
pub(super) struct RuleChecks {
    pub(super) duplicates: bool,
    pub(super) options: RuleFileOptions,
    /// Show place, line and remedy of each complaint.
    pub(super) places: bool,
}

impl RuleChecks {
    /// Of the names after `--lint`; those that nobody knows are warned of.
    pub(super) fn new<'a>(
        names: impl Iterator<Item = &'a str>,
        flags: &LintFlags,
        expressions: ParseOptions,
    ) -> Result<Self, Failure> {
        let mut duplicates = false;
        for name in names {
            match name {
                "all" | "duplicate-rules" => duplicates = true,
                "none" => {}
                other => print(&format!("WARNING: unknown lint option: {}\n", model::number::quote(other)))?,
            }
        }
        let ignore_unknown_fields = flags.ignore_unknown_fields;
        let places = flags.places || std::io::stderr().is_terminal();
        Ok(RuleChecks { duplicates, places, options: RuleFileOptions { ignore_unknown_fields, expressions } })
    }
}

pub(super) fn run(args: &RulesArgs, enabled: &[String]) -> Result<ExitCode, Failure> {
    let expressions = features::parse_options(enabled)?;
    let names = args.lint.lint.split(',').filter(|_| !args.lint.lint.is_empty());
    let checks = RuleChecks::new(names, &args.lint, expressions)?;
    let mut outcome = Outcome::default();
    if args.files.is_empty() {
        print("Checking standard input\n")?;
        let mut text = Vec::new();
        match std::io::stdin().read_to_end(&mut text) {
            Ok(_) => check_text(&text, None, &checks, &mut outcome)?,
            Err(err) => {
                outcome.error();
                tell(&format!("  FAILED: {err}"));
            }
        }
    } else {
        check_files(&args.files, &checks, &mut outcome)?;
    }
    Ok(outcome.code(args.lint.lint_fatal))
}

/// Checks files one after the other.
pub(super) fn check_files(
    files: &[String],
    checks: &RuleChecks,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    // As with promtool, an error in one file cuts off what is said about the later ones, but nothing before.
    let mut here = Outcome::default();
    for file in files {
        print(&format!("Checking {file}\n"))?;
        match std::fs::read(file) {
            Ok(text) => {
                check_text(&text, Some(file), checks, &mut here)?;
            }
            Err(err) => {
                here.error();
                let told = reading(file.as_ref(), &err);
                tell(&format!("  FAILED:\n{file}: {told}"));
            }
        }
    }
    outcome.failed |= here.failed;
    outcome.has_errors |= here.has_errors;
    Ok(())
}

fn check_text(
    text: &[u8],
    file: Option<&str>,
    checks: &RuleChecks,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let loaded = load_rules(text, &checks.options);
    if loaded.several_documents {
        tracing::warn!("{SEVERAL_DOCUMENTS}");
    }
    if !loaded.refusals.is_empty() {
        outcome.error();
        let prefix = file.map(|file| format!("{file}: ")).unwrap_or_default();
        let lines: Vec<String> = loaded.refusals.iter().map(|line| format!("{prefix}{line}")).collect();
        tell(&format!("  FAILED:\n{}", lines.join("\n")));
        if checks.places {
            tell(loaded.report(file.unwrap_or("standard input")).trim_end());
        }
        return Ok(());
    }
    let duplicates = if checks.duplicates { duplicates(&loaded.file) } else { Vec::new() };
    if duplicates.is_empty() {
        let count: usize = loaded.file.groups.iter().map(|group| group.rules.len()).sum();
        print(&format!("  SUCCESS: {count} rules found\n"))?;
    } else {
        outcome.failed = true;
        tell(&format!("  FAILED:\n{}", told_duplicates(&duplicates)));
    }
    print("\n")
}

/// A name and labels that several rules make, in order.
type Made = (String, BTreeMap<String, String>);

fn duplicates(file: &RuleFile) -> Vec<Made> {
    let mut counts: BTreeMap<Made, usize> = BTreeMap::new();
    for group in &file.groups {
        for rule in &group.rules {
            let mut labels = group.labels.clone();
            labels.extend(rule.labels.clone());
            *counts.entry((rule.name().to_owned(), labels)).or_default() += 1;
        }
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(made, _)| made).collect()
}

fn told_duplicates(duplicates: &[Made]) -> String {
    let mut out = format!("lint error {} duplicate rule(s) found.\n", duplicates.len());
    for (name, labels) in duplicates {
        out.push_str(&format!("Metric: {name}\nLabel(s):\n"));
        for (label, value) in labels {
            out.push_str(&format!("\t{label}: {value}\n"));
        }
    }
    out + "Might cause inconsistency while recording expressions"
}
