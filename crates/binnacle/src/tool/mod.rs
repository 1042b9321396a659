//! `binnacle tool`: what promtool does, under its names, with its output and exit codes.

mod argument_errors;
mod check;
mod client;
mod command_line;
mod debug;
mod explain;
pub(crate) mod failure;
mod features;
mod promql_text;
mod push;
mod query;
mod server_url;
mod test;
mod tsdb;

use command_line::ToolCommand;

pub(crate) use check::existing_file;
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
        ToolCommand::Test(tests) => test::run(tests, &args.enable_feature),
        ToolCommand::Query(query) => query::run(query),
        ToolCommand::Push(push) => push::run(push),
        ToolCommand::Debug(command) => debug::run(command),
        ToolCommand::PromQl(command) => promql_text::run(command, args.experimental, &args.enable_feature),
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

/// Arguments as promtool reads them, in the form that ours are read: `-t=~` is the short flag with the value `=~`, and without any
/// argument there is help.
pub(crate) fn expand_arguments(args: Vec<String>) -> Vec<String> {
    let mut expanded = Vec::with_capacity(args.len());
    for arg in args {
        match arg.split_at_checked(2) {
            Some((flag @ ("-t" | "-o"), value)) if value.starts_with('=') => {
                expanded.extend([flag.to_owned(), value.to_owned()]);
            }
            _ => expanded.push(arg),
        }
    }
    if expanded.len() == 2 {
        expanded.push("--help".to_owned());
    }
    expanded
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
