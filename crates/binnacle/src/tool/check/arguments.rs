//! Flags of `binnacle tool check`.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::tool::command_line::go_duration;
use crate::tool::server_url::ServerUrl;

const CONFIG_NOTES: &str = "\
Flags, output and exit codes are promtool's. Checked is what the file says and what it refers to: rule files, files of \
targets, credentials and certificates. On a terminal each complaint also shows the place, the line and a remedy; \
--places shows them anywhere.

Examples:
  binnacle tool check config prometheus.yml
  binnacle tool check config --syntax-only prometheus.yml     # without looking at other files
  binnacle tool check config --lint=all --lint-fatal prometheus.yml";

const METRICS_NOTES: &str = "\
Examples:
  binnacle tool check metrics < metrics.prom
  curl -s http://localhost:9090/metrics | binnacle tool check metrics --extended
  curl -s http://localhost:9100/metrics | binnacle tool check metrics --extended --lint=none";

/// `binnacle tool check …`
#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// Checks configuration files and what they refer to
    #[command(after_help = CONFIG_NOTES)]
    Config(ConfigArgs),
    /// Checks files of recording and alerting rules
    Rules(RulesArgs),
    /// Checks names and descriptions of metrics on standard input
    #[command(after_help = METRICS_NOTES)]
    Metrics(MetricsArgs),
    /// Asks a server whether it is healthy
    Healthy(ServerStatusArgs),
    /// Asks a server whether it is ready
    Ready(ServerStatusArgs),
    /// Prints the targets that a job finds, before and after relabelling, as JSON
    #[command(name = "service-discovery")]
    ServiceDiscovery(ServiceDiscoveryArgs),
    /// Checks files for --web.config.file: TLS, headers, users
    #[command(name = "web-config")]
    WebConfig(WebConfigArgs),
}

/// Flags of `check healthy` and `check ready`.
#[derive(Debug, Args)]
pub(crate) struct ServerStatusArgs {
    /// Server
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090", value_parser = ServerUrl::parse)]
    pub(crate) url: ServerUrl,
    /// File that says how the server is reached: credentials, TLS, proxy
    #[arg(long = "http.config.file", value_name = "FILE", value_parser = existing_file)]
    pub(crate) config_file: Option<String>,
    #[command(flatten)]
    shared: SharedFlags,
}

/// Flags of `check metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Show how many series each metric makes
    #[arg(long)]
    pub(crate) extended: bool,
    #[arg(long, hide = true)]
    no_extended: bool,
    /// What to look for: all, none
    #[arg(long, value_name = "CHECKS", default_value = "all")]
    pub(crate) lint: String,
    #[command(flatten)]
    shared: SharedFlags,
}

/// Flags of `check web-config`.
#[derive(Debug, Args)]
pub(crate) struct WebConfigArgs {
    /// Files to check
    #[arg(value_name = "web-config-files", required = true, value_parser = existing_file)]
    pub(crate) files: Vec<String>,
    #[command(flatten)]
    shared: SharedFlags,
}

/// Flags of `check config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Files to check
    #[arg(value_name = "config-files", required = true, value_parser = existing_file)]
    pub(crate) files: Vec<String>,
    /// Check the files alone, not what they refer to
    #[arg(long)]
    pub(crate) syntax_only: bool,
    #[arg(long, hide = true)]
    no_syntax_only: bool,
    #[command(flatten)]
    pub(crate) lint: LintFlags,
    /// Check as a configuration of an agent
    #[arg(long)]
    pub(crate) agent: bool,
    #[arg(long, hide = true)]
    no_agent: bool,
    #[command(flatten)]
    pub(crate) shared: SharedFlags,
}

/// What is odd, and how bad that is.
#[derive(Debug, Args)]
pub(crate) struct LintFlags {
    /// What to look for besides errors: all, duplicate-rules, too-long-scrape-interval (of configurations), none
    #[arg(long, value_name = "CHECKS", default_value = "duplicate-rules")]
    pub(crate) lint: String,
    /// End with code 3 when something is odd
    #[arg(long)]
    pub(crate) lint_fatal: bool,
    #[arg(long, hide = true)]
    no_lint_fatal: bool,
    /// Pass over unknown keys of rule files
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,
    #[arg(long, hide = true)]
    no_ignore_unknown_fields: bool,
    /// Show place, line and remedy of each complaint, also where the output is no terminal
    #[arg(long)]
    pub(crate) places: bool,
}

/// Flags that every check takes.
#[derive(Debug, Args)]
pub(crate) struct SharedFlags {
    /// How far queries look back; a longer scrape interval is odd
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = go_duration)]
    pub(crate) lookback_delta: i64,
}

/// Flags of `check rules`.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// Files to check; standard input if none
    #[arg(value_name = "rule-files", value_parser = existing_file)]
    pub(crate) files: Vec<String>,
    #[command(flatten)]
    pub(crate) lint: LintFlags,
    #[command(flatten)]
    shared: SharedFlags,
}

/// Flags of `check service-discovery`.
#[derive(Debug, Args)]
pub(crate) struct ServiceDiscoveryArgs {
    /// Configuration
    #[arg(value_name = "config-file", value_parser = existing_file)]
    pub(crate) file: String,
    /// Job whose targets to find
    #[arg(value_name = "job")]
    pub(crate) job: String,
    /// How long to wait for targets; those in the configuration and in files are there at once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = go_duration)]
    pub(crate) timeout: i64,
    #[command(flatten)]
    shared: SharedFlags,
}

/// The name of a file that is there.
pub(crate) fn existing_file(path: &str) -> Result<String, String> {
    match std::fs::metadata(path) {
        Err(_) => Err(format!("path '{path}' does not exist")),
        Ok(meta) if meta.is_dir() => {
            let name = Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy());
            Err(format!("'{name}' is a directory"))
        }
        Ok(_) => Ok(path.to_owned()),
    }
}
