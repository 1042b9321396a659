//! Load generator and side-by-side measurement: see `bench/README.md`.

mod answers;
mod cut;
mod history;
mod http;
mod load;
mod measure;
mod peer;
mod queries;
mod remote;
mod report;
mod rules;
mod run;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures binnacle beside its peers under the same load")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the load: pages of nodes, containers, objects and an API server.
    Serve(load::ServeArgs),
    /// Runs each program found under the load, and prints what it cost.
    Run(run::RunArgs),
    /// Has each program found answer queries about a day of data, and prints how long that took.
    History(history::HistoryArgs),
    /// Has each program found take remote write, and send what it scrapes, and prints what that costs.
    Remote(remote::RemoteArgs),
    /// Has each program found give large answers, and many small ones, and prints what that costs.
    Answers(answers::AnswersArgs),
    /// Has each program found evaluate many rules, and prints what that costs.
    Rules(rules::RulesArgs),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Serve(args) => load::serve(&args),
        Command::Run(args) => run::run(&args),
        Command::History(args) => history::run(&args),
        Command::Remote(args) => remote::run(&args),
        Command::Answers(args) => answers::run(&args),
        Command::Rules(args) => rules::run(&args),
    }
}

/// A duration on the command line, as in `prometheus.yml`: `5s`, `1m30s`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let millis = model::duration::parse(text).map_err(|error| error.to_string())?;
    u64::try_from(millis).map(Duration::from_millis).map_err(|error| error.to_string())
}
