//! Flags of `binnacle tool query`.

use clap::{Args, Subcommand, ValueEnum};

use crate::tool::command_line::{go_duration, label};
use crate::tool::server_url::ServerUrl;

const NOTES: &str = "\
Times are RFC 3339 or seconds since the Unix epoch. Errors of a query go to standard error, and the exit code is 1.

Examples:
  binnacle tool query instant http://localhost:9090 'sum by (job) (up)'
  binnacle tool query range --start=2026-01-01T00:00:00Z --end=2026-01-01T01:00:00Z --step=1m http://localhost:9090 up
  binnacle tool query -o json series --match='up{job=\"node\"}' http://localhost:9090";

/// `binnacle tool query …`
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, after_help = NOTES)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) shared: QueryFlags,
    #[command(subcommand)]
    pub(crate) command: QueryCommand,
}

/// Flags that every query takes.
#[derive(Debug, Args)]
pub(crate) struct QueryFlags {
    /// How answers are printed
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "promql", value_enum, global = true)]
    pub(crate) format: AnswerFormat,
    /// File that says how the server is reached: credentials, TLS, proxy
    #[arg(long = "http.config.file", value_name = "FILE", value_parser = crate::tool::existing_file, global = true)]
    pub(crate) config_file: Option<String>,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerFormat {
    #[value(name = "promql")]
    PromQl,
    Json,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum QueryCommand {
    /// Evaluates an expression at one time
    Instant(InstantArgs),
    /// Evaluates an expression at many times
    Range(RangeArgs),
    /// Lists series
    Series(SeriesArgs),
    /// Lists the values of a label
    Labels(LabelsArgs),
    /// Shows how many buckets of histograms are in use
    Analyze(AnalyzeQueryArgs),
}

/// Flags of `query instant`.
#[derive(Debug, Args)]
pub(crate) struct InstantArgs {
    /// Server
    #[arg(value_name = "server", value_parser = ServerUrl::parse)]
    pub(crate) server: ServerUrl,
    /// Expression
    #[arg(value_name = "expr")]
    pub(crate) expr: String,
    /// When; by default now
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) time: String,
    /// Header to send, as name=value; may be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = label)]
    pub(crate) headers: Vec<(String, String)>,
}

/// Flags of `query range`.
#[derive(Debug, Args)]
pub(crate) struct RangeArgs {
    /// Server
    #[arg(value_name = "server", value_parser = ServerUrl::parse)]
    pub(crate) server: ServerUrl,
    /// Expression
    #[arg(value_name = "expr")]
    pub(crate) expr: String,
    /// Header to send, as name=value; may be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = label)]
    pub(crate) headers: Vec<(String, String)>,
    /// First time; by default five minutes before the last
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) start: String,
    /// Last time; by default now
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) end: String,
    /// From one time to the next; by default so that there are 250
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = go_duration)]
    pub(crate) step: i64,
}

/// Flags of `query series`.
#[derive(Debug, Args)]
pub(crate) struct SeriesArgs {
    /// Server
    #[arg(value_name = "server", value_parser = ServerUrl::parse)]
    pub(crate) server: ServerUrl,
    /// Selector of series; may be repeated
    #[arg(long = "match", value_name = "MATCH", required = true)]
    pub(crate) selectors: Vec<String>,
    #[command(flatten)]
    pub(crate) range: TimeRange,
}

/// Flags of `query labels`.
#[derive(Debug, Args)]
pub(crate) struct LabelsArgs {
    /// Server
    #[arg(value_name = "server", value_parser = ServerUrl::parse)]
    pub(crate) server: ServerUrl,
    /// Label
    #[arg(value_name = "name")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) range: TimeRange,
    /// Selector of series; may be repeated
    #[arg(long = "match", value_name = "MATCH")]
    pub(crate) selectors: Vec<String>,
}

/// Of when the series are.
#[derive(Debug, Args)]
pub(crate) struct TimeRange {
    /// First time; by default more than a year ago
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) start: String,
    /// Last time; by default in more than a year
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) end: String,
}

/// Flags of `query analyze`.
#[derive(Debug, Args)]
pub(crate) struct AnalyzeQueryArgs {
    /// Server
    #[arg(long, value_name = "SERVER", value_parser = ServerUrl::parse, required = true)]
    pub(crate) server: Option<ServerUrl>,
    /// What the series are: histogram
    #[arg(long = "type", value_name = "TYPE", required = true)]
    pub(crate) kind: Option<String>,
    /// How far back to look
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = go_duration)]
    pub(crate) duration: i64,
    /// Until when; by default now
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) time: String,
    /// Selector of series; may be repeated
    #[arg(long = "match", value_name = "MATCH", required = true)]
    pub(crate) selectors: Vec<String>,
}
