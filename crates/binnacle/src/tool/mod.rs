//! `binnacle tool`: what promtool does, under its names, with its output and exit codes.

mod argument_errors;
mod check;
mod command_line;
mod explain;
pub(crate) mod failure;
mod features;
mod tsdb;

use command_line::ToolCommand;

pub(crate) use command_line::ToolArgs;
pub(crate) use failure::Failure;

use std::process::ExitCode;

/// The code for a reader of our output that went away, as a shell reports a program that SIGPIPE ended.
const READER_GONE: u8 = 141;

/// Runs a tool that was asked for with well-formed arguments.
pub(crate) fn run(args: &ToolArgs) -> ExitCode {
    let outcome = match &args.command {
        ToolCommand::Check(command) => check::run(command, &args.enable_feature),
        ToolCommand::Explain(command) => explain::run(command),
        ToolCommand::Tsdb(command) => tsdb::run(command),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure::ReaderGone) => ExitCode::from(READER_GONE),
        Err(Failure::Told(message)) => {
            failure::tell(&message);
            ExitCode::from(1)
        }
    }
}

/// Ends the program over arguments that are wrong, in promtool's words; help and version go where they belong.
pub(crate) fn refuse_arguments(error: &clap::Error) -> ExitCode {
    match argument_errors::message(error) {
        Some(message) => {
            failure::tell(&format!("binnacle: error: {message}, try --help"));
            ExitCode::from(1)
        }
        None => error.exit(),
    }
}
