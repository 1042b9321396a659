//! `binnacle tool tsdb`: data directories, looked at from outside. Nothing here changes a directory that it reads.

mod analyze;
mod bench_write;
mod directory;
mod dump;
mod histogram_text;
mod import;
mod list;
mod progress;
mod sandbox;
mod series_in_order;
mod verify;

use std::process::ExitCode;

use super::Failure;
use super::command_line::{BenchCommand, BlockInput, CreateBlocksArgs, TsdbCommand};

pub(super) fn run(command: &TsdbCommand) -> Result<ExitCode, Failure> {
    match command {
        TsdbCommand::List(args) => list::run(args)?,
        TsdbCommand::Analyze(args) => analyze::run(args)?,
        TsdbCommand::Dump(args) => dump::samples_or_series(args)?,
        TsdbCommand::DumpOpenMetrics(args) => dump::openmetrics(&args.what)?,
        TsdbCommand::Verify(args) => return verify::run(args),
        TsdbCommand::Bench(BenchCommand::Write(args)) => bench_write::run(args)?,
        TsdbCommand::CreateBlocksFrom(CreateBlocksArgs { output, from }) => match from {
            BlockInput::OpenMetrics(args) => import::run(args, output)?,
            BlockInput::Rules(args) => import::rules(args, output)?,
        },
    }
    Ok(ExitCode::SUCCESS)
}
