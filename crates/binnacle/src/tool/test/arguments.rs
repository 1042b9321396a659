//! Flags of `binnacle tool test`.

use clap::{Args, Subcommand};

use crate::tool::existing_file;

const NOTES: &str = "\
Files, output and exit codes are promtool's: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules. \
Rules are evaluated by a clock of their own, on samples in memory.

Examples:
  binnacle tool test rules tests.yml
  binnacle tool test rules --run='^disk' --diff tests/*.yml
  binnacle tool test --junit=results.xml rules tests/*.yml";

/// `binnacle tool test …`
#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct TestArgs {
    /// File to write results to, as JUnit XML
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) junit: Option<String>,
    #[command(subcommand)]
    pub(super) command: TestCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum TestCommand {
    /// Runs unit tests of rules
    #[command(after_help = NOTES)]
    Rules(TestRulesArgs),
}

/// Flags of `test rules`.
#[derive(Debug, Args)]
pub(super) struct TestRulesArgs {
    /// Files of unit tests
    #[arg(value_name = "test-rule-file", required = true, value_parser = existing_file)]
    pub(super) files: Vec<String>,
    /// Run only the tests with a name that this regular expression finds something in; may be repeated
    #[arg(long, value_name = "REGEX")]
    pub(super) run: Vec<String>,
    /// Print all samples at the end of each test, and how long it took
    #[arg(long)]
    pub(super) debug: bool,
    #[arg(long, hide = true)]
    no_debug: bool,
    /// Print what differs of alerts, in colours
    #[arg(long)]
    pub(super) diff: bool,
    #[arg(long, hide = true)]
    no_diff: bool,
    /// Pass over unknown keys of rule files
    #[arg(long)]
    pub(super) ignore_unknown_fields: bool,
    #[arg(long, hide = true)]
    no_ignore_unknown_fields: bool,
}
