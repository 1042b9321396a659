//! One program after the other under the same load.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::measure::{Measured, measure, tell};
use crate::peer::Peers;
use crate::report;

/// What `bench run` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Active series of the load, about.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) series: usize,
    /// The scrape interval.
    #[arg(long, default_value = "5s", value_parser = crate::parse_duration)]
    pub(crate) interval: Duration,
    /// How long the steady state is measured.
    #[arg(long, default_value = "3m", value_parser = crate::parse_duration)]
    pub(crate) duration: Duration,
    /// How long cuts and compactions are watched, with blocks of a minute; 0 leaves that out.
    #[arg(long, default_value = "4m", value_parser = crate::parse_duration)]
    pub(crate) cutting: Duration,
    /// Share of the pods that are replaced by new ones each hour.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) churn: f64,
    /// Compresses the pages.
    #[arg(long)]
    pub(crate) gzip: bool,
    #[command(flatten)]
    peers: Peers,
    /// Where data is written; a new folder in the system's folder for temporary files by default.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Keeps data, configurations and logs.
    #[arg(long)]
    keep: bool,
    /// Writes the results as JSON too.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("binnacle-bench-{}", std::process::id())),
    };
    let mut measured: Vec<Measured> = Vec::new();
    for (peer, program) in args.peers.found() {
        tell(&format!("{}: {}", peer.name(), program.display()));
        let own = folder.join(peer.name());
        if own.exists() {
            bail!("{} is there already", own.display());
        }
        fs::create_dir_all(&own)?;
        match measure(peer, &program, &own, args) {
            Ok(result) => measured.push(result),
            Err(error) => {
                tell(&format!("{}: {error:#}", peer.name()));
                tell(&last_lines(&own.join("log.txt")));
            }
        }
        if !args.keep {
            fs::remove_dir_all(&own)?;
        }
    }
    if !args.keep {
        let _ = fs::remove_dir(&folder);
    }
    if measured.is_empty() {
        bail!("no program could be measured");
    }
    report::print(&measured);
    if let Some(out) = &args.out {
        fs::write(out, serde_json::to_vec_pretty(&measured)?).with_context(|| out.display().to_string())?;
    }
    Ok(())
}

fn last_lines(log: &std::path::Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
