//! `binnacle tool tsdb`: data directories, looked at from outside. Nothing here changes a directory that it reads.

mod analyze;
mod directory;
mod dump;
mod histogram_text;
mod list;
mod progress;
mod sandbox;
mod series_in_order;
mod verify;

use std::process::ExitCode;

use super::Failure;
use super::command_line::TsdbCommand;

pub(super) fn run(command: &TsdbCommand) -> Result<ExitCode, Failure> {
    match command {
        TsdbCommand::List(args) => list::run(args)?,
        TsdbCommand::Analyze(args) => analyze::run(args)?,
        TsdbCommand::Dump(args) => dump::samples_or_series(args)?,
        TsdbCommand::DumpOpenMetrics(args) => dump::openmetrics(&args.what)?,
        TsdbCommand::Verify(args) => return verify::run(args),
    }
    Ok(ExitCode::SUCCESS)
}
