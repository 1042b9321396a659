//! `binnacle tool check`: whether files are in order, before a server reads them, and whether a server is.

mod arguments;
mod config_file;
mod lint;
mod metrics;
mod rules;
mod server_status;
mod service_discovery;
mod targets_json;

use std::process::ExitCode;

use super::Failure;
use super::failure::tell;
use crate::logging;

pub(crate) use arguments::{CheckCommand, existing_file};
pub(super) use service_discovery::{discover, find_job, previews, refuse_idle};

/// promtool's code for "something is wrong".
const FAILED: u8 = 1;
/// promtool's code for "something is odd, and `--lint-fatal` was asked for".
const LINTED: u8 = 3;

/// What runs of several checks have come to.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    /// Something is wrong or odd.
    failed: bool,
    /// Something is wrong.
    has_errors: bool,
}

impl Outcome {
    fn error(&mut self) {
        *self = Outcome { failed: true, has_errors: true };
    }

    fn code(self, lint_is_fatal: bool) -> ExitCode {
        match (self.failed, self.has_errors) {
            (true, true) => ExitCode::from(FAILED),
            (true, false) if lint_is_fatal => ExitCode::from(LINTED),
            _ => ExitCode::SUCCESS,
        }
    }
}

pub(super) fn run(command: &CheckCommand, features: &[String]) -> Result<ExitCode, Failure> {
    // What providers and readers warn of.
    logging::init(logging::Level::Warn, logging::Format::Logfmt);
    match command {
        CheckCommand::Config(args) => config_file::run(args, features),
        CheckCommand::Rules(args) => rules::run(args, features),
        CheckCommand::Metrics(args) => metrics::run(args),
        CheckCommand::Healthy(args) => server_status::run(args, "/-/healthy"),
        CheckCommand::Ready(args) => server_status::run(args, "/-/ready"),
        CheckCommand::ServiceDiscovery(args) => service_discovery::run(args),
        CheckCommand::WebConfig(args) => Ok(check_web_configs(&args.files)),
    }
}

fn check_web_configs(files: &[String]) -> ExitCode {
    let mut outcome = Outcome::default();
    for file in files {
        match config::check_web_config(file) {
            Ok(()) => tell(&format!("{file} SUCCESS")),
            Err(why) => {
                outcome.error();
                tell(&format!("{file} FAILED: {why}"));
            }
        }
    }
    outcome.code(false)
}
