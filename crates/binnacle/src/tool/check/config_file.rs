//! `check config`: a configuration and what it refers to.

use std::path::Path;
use std::process::ExitCode;

use config::{Config, ConfigError, Depth, LoadOptions, Retention, ScrapeConfig};

use super::Outcome;
use super::arguments::ConfigArgs;
use super::rules::{RuleChecks, check_files};
use crate::tool::failure::{print, reading, tell};
use crate::tool::{Failure, features};

/// What is looked for besides errors.
struct Checks {
    /// The longest scrape interval that is not odd, in milliseconds; none: any is right.
    longest_interval: Option<i64>,
    rules: RuleChecks,
}

impl Checks {
    fn new(args: &ConfigArgs, enabled: &[String]) -> Result<Self, Failure> {
        let expressions = features::parse_options(enabled)?;
        let names: Vec<&str> = args.lint.lint.split(',').collect();
        let wants_interval = names.iter().any(|name| matches!(*name, "all" | "too-long-scrape-interval"));
        let off = names.contains(&"none");
        let lookback = args.shared.lookback_delta / 1_000_000;
        let for_rules =
            names.into_iter().filter(|name| !off && !matches!(*name, "" | "too-long-scrape-interval"));
        Ok(Checks {
            longest_interval: (wants_interval && !off && lookback > 0).then_some(lookback),
            rules: RuleChecks::new(for_rules, &args.lint, expressions)?,
        })
    }
}

/// Why a configuration is refused.
struct Refusal {
    /// promtool's words.
    line: String,
    /// For people.
    report: Option<String>,
}

impl From<String> for Refusal {
    fn from(line: String) -> Self {
        Refusal { line, report: None }
    }
}

pub(super) fn run(args: &ConfigArgs, enabled: &[String]) -> Result<ExitCode, Failure> {
    let checks = Checks::new(args, enabled)?;
    let places = checks.rules.places;
    let mut outcome = Outcome::default();
    for file in &args.files {
        print(&format!("Checking {file}\n"))?;
        let mut warnings = Vec::new();
        let checked = check(file, args, &mut warnings);
        print(&warnings.concat())?;
        let (rule_files, jobs) = match checked {
            Ok(found) => found,
            Err(refusal) => {
                outcome.error();
                tell(&format!("  FAILED: {}", refusal.line));
                if let Some(report) = refusal.report.filter(|_| places) {
                    tell(report.trim_end());
                }
                print("\n")?;
                continue;
            }
        };
        if !rule_files.is_empty() {
            print(&format!("  SUCCESS: {} rule files found\n", rule_files.len()))?;
        }
        print(&format!(" SUCCESS: {file} is valid prometheus config file syntax\n\n"))?;
        if !args.syntax_only {
            if let Some(odd) = too_long_interval(&jobs, &checks) {
                outcome.failed = true;
                tell(&odd);
            }
            check_files(&rule_files, &checks.rules, &mut outcome)?;
        }
    }
    Ok(outcome.code(args.lint.lint_fatal))
}

/// Reads and checks a file; answers its rule files and jobs.
fn check(
    file: &str,
    args: &ConfigArgs,
    warnings: &mut Vec<String>,
) -> Result<(Vec<String>, Vec<ScrapeConfig>), Refusal> {
    let config = load(file).map_err(|(line, report)| Refusal { line, report: Some(report) })?;
    if args.agent {
        config.check_agent()?;
    }
    let depth = if args.syntax_only { Depth::Syntax } else { Depth::Content };
    let (rule_files, jobs) = match depth {
        Depth::Syntax => (Vec::new(), config.document().scrape_configs.iter().flatten().cloned().collect()),
        Depth::Content => {
            let rule_files = config.existing_rule_files()?;
            let jobs = config.scrape_configs().map_err(|err| Refusal {
                line: format!("error loading scrape configs: {err}"),
                report: Some(err.report(file)),
            })?;
            (rule_files, jobs)
        }
    };
    config.check_references(&jobs, depth, &mut |line| warnings.push(line + "\n"))?;
    Ok((rule_files, jobs))
}

/// Reads a configuration; a refusal is told in promtool's words and, longer, for people.
pub(super) fn load(file: &str) -> Result<Config, (String, String)> {
    let text = std::fs::read(file).map_err(|err| {
        let line = reading(file.as_ref(), &err);
        (line.clone(), format!("error: {line}"))
    })?;
    let options = LoadOptions {
        environment: &|name| std::env::var(name).ok(),
        directory: Path::new(file).parent().unwrap_or(Path::new("")),
        default_retention: Retention::default(),
        features: config::FeatureDefaults::default(),
    };
    let refused = |err: ConfigError| (format!("parsing YAML file {file}: {err}"), err.report(file));
    let config = config::load(&text, &options).map_err(refused)?;
    for name in config.unset_variables() {
        tracing::warn!(name = name.as_str(), "Empty environment variable");
    }
    Ok(config)
}

/// The first job whose samples are stale before the next ones come.
fn too_long_interval(jobs: &[ScrapeConfig], checks: &Checks) -> Option<String> {
    let longest = checks.longest_interval?;
    let job = jobs.iter().find(|job| job.scrape_interval.0 >= longest)?;
    let interval = model::duration::format(job.scrape_interval.0);
    Some(format!(
        "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {interval}",
        job.job_name
    ))
}
