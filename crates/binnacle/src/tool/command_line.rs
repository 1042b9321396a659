//! The tools and their flags.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `binnacle tool …`
#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// Looks into data directories of Prometheus and binnacle, checks them, makes blocks
    #[command(subcommand, arg_required_else_help = false)]
    Tsdb(TsdbCommand),
}

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
