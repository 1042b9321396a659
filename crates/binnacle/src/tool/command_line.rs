//! The tools and their flags.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::check::CheckCommand;
use super::debug::DebugCommand;
use super::existing_file;
use super::explain::ExplainCommand;
use super::promql_text::PromQlCommand;
use super::push::PushArgs;
use super::query::QueryArgs;
use super::server_url::ServerUrl;
use super::test::TestArgs;

/// `binnacle tool …`
#[derive(Debug, Args)]
pub(crate) struct ToolArgs {
    #[command(subcommand)]
    pub(crate) command: ToolCommand,
    /// Parts of the query language to switch on, as names with commas between them
    #[arg(long, value_name = "FEATURES", global = true, hide_short_help = true)]
    pub(crate) enable_feature: Vec<String>,
    #[arg(long, hide = true, global = true)]
    pub(crate) experimental: bool,
    #[arg(long, hide = true, global = true)]
    no_experimental: bool,
}

/// The tools.
#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// Checks files before a server reads them, metrics, and whether a server is up
    #[command(subcommand, arg_required_else_help = false)]
    Check(CheckCommand),
    /// Shows why something came out as it did: which relabelling rule did what to a target
    #[command(subcommand, arg_required_else_help = false)]
    Explain(ExplainCommand),
    /// Runs unit tests
    Test(TestArgs),
    /// Asks a server and prints what it answers
    Query(QueryArgs),
    /// Sends metrics to a server
    Push(PushArgs),
    /// Fetches what a server tells about itself into debug.tar.gz
    #[command(subcommand, arg_required_else_help = false)]
    Debug(DebugCommand),
    /// Formats and edits expressions
    #[command(name = "promql", subcommand, arg_required_else_help = false)]
    PromQl(PromQlCommand),
    /// Looks into data directories of Prometheus and binnacle, checks them, makes blocks
    #[command(subcommand, arg_required_else_help = false, after_help = TSDB_NOTES)]
    Tsdb(TsdbCommand),
}

const TSDB_NOTES: &str = "\
Commands, flags, output and exit codes are promtool's; `verify` is an addition. No directory that is read is changed, \
and it may be in use.

Examples:
  binnacle tool tsdb list -r data/
  binnacle tool tsdb analyze --extended data/
  binnacle tool tsdb dump --match='up{job=\"node\"}' --min-time=1700000000000 data/
  binnacle tool tsdb verify data/
  binnacle tool tsdb create-blocks-from openmetrics samples.om data/";

/// `binnacle tool tsdb …`
#[derive(Debug, Subcommand)]
pub(crate) enum TsdbCommand {
    /// Lists the blocks of a data directory
    List(ListArgs),
    /// Shows what churns, which labels have many values and how full chunks are, of one block
    Analyze(AnalyzeArgs),
    /// Prints all samples of a data directory, log and head included, or just its series
    #[command(after_help = DUMP_NOTES)]
    Dump(DumpArgs),
    /// Prints samples as OpenMetrics text; native histograms, which that cannot hold, are left out
    #[command(name = "dump-openmetrics", after_help = DUMP_NOTES)]
    DumpOpenMetrics(DumpOpenMetricsArgs),
    /// Checks every checksum, index entry, list, record and sample of a data directory (or of one block)
    #[command(after_help = VERIFY_NOTES)]
    Verify(VerifyArgs),
    /// Makes blocks out of samples from elsewhere
    #[command(name = "create-blocks-from", arg_required_else_help = false)]
    CreateBlocksFrom(CreateBlocksArgs),
    /// Measures how quickly samples are stored
    #[command(subcommand, arg_required_else_help = false)]
    Bench(BenchCommand),
}

/// `bench …`
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Stores scrapes of made-up values for the series of a file, and says how many samples a second that were
    Write(BenchArgs),
}

const VERIFY_NOTES: &str = "\
Prints a line for each part of the directory, and below it what is damaged, with file and offset. The exit code is 1 \
when something is damaged. Nothing is changed. Of a directory in use the log may look torn at its end: it is being \
written.";

const DUMP_NOTES: &str = "\
The directory is only read, and may be in use: its log is replayed from links in a sandbox directory, which is removed \
at the end. Series come in order of their labels, samples in order of time.";

/// Where the data is.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Data directory
    #[arg(value_name = "db path", default_value = "data/")]
    pub(crate) path: PathBuf,
    /// Print times and sizes for people
    #[arg(short = 'r', long)]
    pub(crate) human_readable: bool,
    #[arg(long, hide = true)]
    no_human_readable: bool,
}

/// Flags of `analyze`.
#[derive(Debug, Args)]
pub(crate) struct AnalyzeArgs {
    /// Data directory
    #[arg(value_name = "db path", default_value = "data/")]
    pub(crate) path: PathBuf,
    /// The block to look at; default: the one that was made last
    #[arg(value_name = "block id")]
    pub(crate) block: Option<String>,
    /// How many lines to show of each list
    #[arg(long, value_name = "N", default_value = "20", value_parser = integer, allow_hyphen_values = true)]
    pub(crate) limit: i64,
    /// Look at every chunk, too
    #[arg(long)]
    pub(crate) extended: bool,
    #[arg(long, hide = true)]
    no_extended: bool,
    /// Look at the series of this selector alone
    #[arg(long = "match", value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub(crate) matcher: String,
}

/// Flags of `dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) what: DumpSelection,
    /// What to print: samples, or the labels of each series as a line of JSON
    #[arg(long, value_name = "FORMAT", default_value = "prom", value_enum)]
    pub(crate) format: DumpFormat,
}

/// Flags of `dump-openmetrics`.
#[derive(Debug, Args)]
pub(crate) struct DumpOpenMetricsArgs {
    #[command(flatten)]
    pub(crate) what: DumpSelection,
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Data directory, or directory of a block
    #[arg(value_name = "db path", default_value = "data/")]
    pub(crate) path: PathBuf,
}

/// What to make blocks of.
#[derive(Debug, Args)]
pub(crate) struct CreateBlocksArgs {
    #[command(flatten)]
    pub(crate) output: BlockOutput,
    #[command(subcommand)]
    pub(crate) from: BlockInput,
}

/// What is said about blocks that were made.
#[derive(Debug, Args)]
pub(crate) struct BlockOutput {
    /// Print times and sizes for people
    #[arg(short = 'r', long, global = true)]
    pub(crate) human_readable: bool,
    #[arg(long, hide = true, global = true)]
    no_human_readable: bool,
    /// Do not print the blocks
    #[arg(short = 'q', long, global = true)]
    pub(crate) quiet: bool,
    #[arg(long, hide = true, global = true)]
    no_quiet: bool,
    /// The longest time a block may span; the longest of 2h, 6h, 18h, … within it is taken
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = go_duration, global = true)]
    pub(crate) max_block_duration: i64,
}

/// `create-blocks-from …`
#[derive(Debug, Subcommand)]
pub(crate) enum BlockInput {
    /// Makes blocks of the samples of a file of OpenMetrics text, each of which must have a time
    #[command(name = "openmetrics", after_help = IMPORT_NOTES)]
    OpenMetrics(ImportArgs),
    /// Makes blocks of what rules would have recorded, of a server's data
    #[command(after_help = RULES_NOTES)]
    Rules(ImportRulesArgs),
}

const IMPORT_NOTES: &str = "\
The samples of a series must be in order of time: those that are older than one before them are left out or end the \
import, as in promtool. Stop the server before adding blocks to its directory when they overlap with what it has.";

/// Flags of `create-blocks-from openmetrics`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File to read; - is standard input
    #[arg(value_name = "input file")]
    pub(crate) input: PathBuf,
    /// Directory in which the blocks are made
    #[arg(value_name = "output directory", default_value = "data/")]
    pub(crate) output: PathBuf,
    /// Label to add to every series, as name=value; may be repeated
    #[arg(long = "label", value_name = "LABEL", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
}

const RULES_NOTES: &str = "\
Rules do not see what other rules of the files make: those that build on others are imported afterwards, when the server has \
the blocks of these. Alerts become series of their name with the value of their expression. For each rule and range of time \
there is a block of its own.

Examples:
  binnacle tool tsdb create-blocks-from rules --start=2026-01-01T00:00:00Z --url=http://localhost:9090 --output-dir=data/ rules.yml";

/// Flags of `create-blocks-from rules`.
#[derive(Debug, Args)]
pub(crate) struct ImportRulesArgs {
    /// Files of rules
    #[arg(value_name = "rule-files", required = true, value_parser = existing_file)]
    pub(crate) files: Vec<String>,
    /// File that says how the server is reached: credentials, TLS, proxy
    #[arg(long = "http.config.file", value_name = "FILE", value_parser = existing_file)]
    pub(crate) config_file: Option<String>,
    /// Server whose data is asked for
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090", value_parser = ServerUrl::parse)]
    pub(crate) url: ServerUrl,
    /// First time, RFC 3339 or seconds since the Unix epoch
    #[arg(long, value_name = "TIME", required = true, allow_hyphen_values = true)]
    pub(crate) start: Option<String>,
    /// Last time; by default three hours ago
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) end: String,
    /// Directory in which the blocks are made
    #[arg(long, value_name = "DIR", default_value = "data/")]
    pub(crate) output_dir: PathBuf,
    /// How often groups are evaluated that do not say
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = go_duration)]
    pub(crate) eval_interval: i64,
}

/// Flags of `bench write`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// File with a series a line, like {"__name__":"up","job":"node"}
    #[arg(value_name = "file", default_value = "../../tsdb/testdata/20kseries.json")]
    pub(crate) file: PathBuf,
    /// Directory to write to; it is emptied first
    #[arg(long, value_name = "DIR", default_value = "benchout")]
    pub(crate) out: PathBuf,
    /// Most series to take from the file
    #[arg(long, value_name = "N", default_value = "10000", value_parser = integer)]
    pub(crate) metrics: i64,
    /// Scrapes of each series, rounded up to hundreds
    #[arg(long, value_name = "N", default_value = "3000", value_parser = integer)]
    pub(crate) scrapes: i64,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DumpFormat {
    Prom,
    #[value(name = "seriesjson")]
    SeriesJson,
}

/// What to dump of which directory.
#[derive(Debug, Args)]
pub(crate) struct DumpSelection {
    /// Data directory
    #[arg(value_name = "db path", default_value = "data/")]
    pub(crate) path: PathBuf,
    /// Directory in which the sandbox is made; default: the system's directory of temporary files, or the data
    /// directory where there is none
    #[arg(long, value_name = "DIR")]
    pub(crate) sandbox_dir_root: Option<PathBuf>,
    /// Oldest time to print, in milliseconds since the Unix epoch
    #[arg(long, value_name = "MS", default_value = "-9223372036854775808", value_parser = integer64, allow_hyphen_values = true)]
    pub(crate) min_time: i64,
    /// Newest time to print, in milliseconds since the Unix epoch
    #[arg(long, value_name = "MS", default_value = "9223372036854775807", value_parser = integer64, allow_hyphen_values = true)]
    pub(crate) max_time: i64,
    /// Print the series that this selector selects; may be repeated
    #[arg(long = "match", value_name = "SELECTOR", default_value = "{__name__=~'(?s:.*)'}")]
    pub(crate) matchers: Vec<String>,
}

/// `name=value` or `name:value`
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(['=', ':']).ok_or(format!("expected KEY=VALUE got '{text}'"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// In nanoseconds.
pub(super) fn go_duration(text: &str) -> Result<i64, String> {
    model::duration::parse_go(text).map_err(|e| e.to_string())
}

/// A whole number where promtool takes any number and drops its fraction.
fn integer(text: &str) -> Result<i64, String> {
    let refusal = || format!("strconv.ParseFloat: parsing {}: invalid syntax", model::number::quote(text));
    model::number::parse_float(text).map(|v| v as i64).ok_or_else(refusal)
}

/// `strconv.ParseInt` with a base by prefix.
fn integer64(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        (8, rest)
    } else {
        (10, &*lower)
    };
    let refusal = |why: &str| format!("strconv.ParseInt: parsing {}: {why}", model::number::quote(text));
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(refusal("invalid syntax"));
    }
    let value = i128::from_str_radix(digits, base).map_err(|_| refusal("value out of range"))?;
    let value = if negative { -value } else { value };
    i64::try_from(value).map_err(|_| refusal("value out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_go_reads_them() {
        for (text, want) in
            [("5", 5), ("-9223372036854775808", i64::MIN), ("0x1F", 31), ("010", 8), ("0", 0), ("+7", 7)]
        {
            assert_eq!(integer64(text), Ok(want), "{text}");
        }
        assert_eq!(integer64("abc"), Err("strconv.ParseInt: parsing \"abc\": invalid syntax".to_owned()));
        assert_eq!(
            integer64("9223372036854775808"),
            Err("strconv.ParseInt: parsing \"9223372036854775808\": value out of range".to_owned())
        );
        assert_eq!(integer("2.5"), Ok(2));
        assert_eq!(integer("x"), Err("strconv.ParseFloat: parsing \"x\": invalid syntax".to_owned()));
    }
}
