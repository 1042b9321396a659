//! The command line: which role, with which flags.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::server_flags::ServerFlags;
use crate::tool::{self, ToolArgs};
use crate::up::UpFlags;
use crate::{logging, server_flags, unsupported, up};

const ABOUT: &str = "\
The monitoring stack of a Kubernetes cluster as one program.

Without a role, `up` runs: it watches this machine and itself, and serves the page and the API at http://localhost:9090.
Each role takes the flags of the program that it stands in for, under the same names.";

#[derive(Debug, Parser)]
#[command(name = "binnacle", version = crate::build::VERSION, about = ABOUT, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Runs the whole stack with an embedded configuration: watches this machine and itself
    Up(UpFlags),
    /// Stands in for Prometheus: runs your prometheus.yml
    Server(ServerFlags),
    /// Stands in for promtool: looks into data directories
    #[command(arg_required_else_help = false)]
    Tool(ToolArgs),
}

/// Parses the command line and runs the role until it ends.
pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|role| role == "tool") {
        return run_tool(args);
    }
    if let Some(refusal) = unsupported::refused_flag(&args) {
        return fail(&refusal);
    }
    let args = with_default_role(server_flags::expand_negations(args));
    let role = match Cli::command().try_get_matches_from(&args).and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli.role,
        // Help and version come this way, too; clap knows where each is to be printed and with which code.
        Err(error) => error.exit(),
    };
    if let Role::Server(flags) = &role
        && let Some(refusal) = flags.agent.refusal(&args)
    {
        // As Prometheus: nothing around it, and a code of its own.
        let _ = std::io::stderr().write_all(refusal.as_bytes());
        return ExitCode::from(3);
    }
    let outcome = match role {
        Role::Up(flags) => up::run(&flags),
        Role::Server(flags) => server_flags::run(&flags),
        Role::Tool(args) => return tool::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&with_causes(&error)),
    }
}

/// A tool has the arguments, messages and exit codes of promtool, not those of a server.
fn run_tool(args: Vec<String>) -> ExitCode {
    match Cli::try_parse_from(tool::expand_arguments(args)) {
        Ok(Cli { role: Role::Tool(args) }) => tool::run(&args),
        Ok(_) => ExitCode::FAILURE,
        Err(error) => tool::refuse_arguments(&error),
    }
}

/// The error and its causes, each that the one before it does not tell already.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.ends_with(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn fail(message: &str) -> ExitCode {
    logging::print_error(message);
    ExitCode::from(1)
}

/// `binnacle` and `binnacle --flag` mean `binnacle up`.
fn with_default_role(mut args: Vec<String>) -> Vec<String> {
    let asks_for_help = |a: &String| matches!(a.as_str(), "-h" | "--help" | "-V" | "--version");
    match args.get(1) {
        None => args.push("up".to_owned()),
        Some(first) if first.starts_with('-') && !asks_for_help(first) => args.insert(1, "up".to_owned()),
        Some(_) => {}
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let taken = std::io::Error::other("Address already in use");
        let quoting = anyhow::Error::from(taken).context("cannot listen on :80: Address already in use");
        assert_eq!(
            with_causes(&quoting.context("starting")),
            "starting: cannot listen on :80: Address already in use"
        );
        let plain = anyhow::anyhow!("no space").context("closing the storage");
        assert_eq!(with_causes(&plain), "closing the storage: no space");
    }

    fn role_of(args: &[&str]) -> String {
        with_default_role(args.iter().map(ToString::to_string).collect()).join(" ")
    }

    #[test]
    fn no_role_means_up() {
        assert_eq!(role_of(&["binnacle"]), "binnacle up");
        assert_eq!(role_of(&["binnacle", "--log.level=debug"]), "binnacle up --log.level=debug");
        assert_eq!(role_of(&["binnacle", "--help"]), "binnacle --help");
        assert_eq!(role_of(&["binnacle", "server", "-h"]), "binnacle server -h");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
