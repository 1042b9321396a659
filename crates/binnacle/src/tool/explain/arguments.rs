//! Flags of `binnacle tool explain`.

use clap::{Args, Subcommand};

pub(super) const SERVER: &str = "http://host:9090";

const NOTES: &str = "\
With a file, targets are discovered now, as the configuration says, or made of --label. With the URL of a server \
(binnacle or Prometheus), its targets are shown, dropped ones too as far as it keeps them.

Examples:
  binnacle tool explain config prometheus.yml pods               # every target of the job, a line each
  binnacle tool explain config prometheus.yml pods web-7d4b      # step by step, for targets with web-7d4b in a label
  binnacle tool explain config prometheus.yml pods --label __address__=10.0.0.7:80 --label __meta_x=y
  binnacle tool explain config http://localhost:9090 pods web-7d4b";

/// `binnacle tool explain …`
#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Shows for targets of a job which relabelling rule did what
    #[command(after_help = NOTES)]
    Config(ExplainConfigArgs),
}

/// Flags of `explain config`.
#[derive(Debug, Args)]
pub(crate) struct ExplainConfigArgs {
    /// Configuration file, or URL of a running server
    #[arg(value_name = "config-file or URL")]
    pub(super) from: String,
    /// Job whose targets to look at
    #[arg(value_name = "job")]
    pub(super) job: String,
    /// Look at targets that have this text in the value of a label or in their URL
    #[arg(value_name = "target")]
    pub(super) target: Option<String>,
    /// Label of a made-up target, as name=value; may be repeated
    #[arg(long = "label", value_name = "LABEL", value_parser = crate::tool::command_line::label)]
    pub(super) labels: Vec<(String, String)>,
    /// Show every step of every target, however many there are
    #[arg(long)]
    pub(super) all: bool,
    /// How long to wait for targets; those in the configuration and in files are there at once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = go_duration)]
    pub(super) timeout: i64,
}

/// In nanoseconds.
fn go_duration(text: &str) -> Result<i64, String> {
    model::duration::parse_go(text).map_err(|e| e.to_string())
}
