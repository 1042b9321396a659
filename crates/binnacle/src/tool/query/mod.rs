//! `query`: what a server answers, as promtool prints it.

pub(crate) mod api;
mod arguments;
mod histogram_buckets;
pub(crate) mod time;
pub(crate) mod value;

use std::process::ExitCode;

use model::go_json::{Encoder, push_string};

use self::api::{Api, ApiError};
use self::arguments::{
    AnalyzeQueryArgs, AnswerFormat, InstantArgs, LabelsArgs, QueryCommand, RangeArgs, SeriesArgs, TimeRange,
};
use self::time::Instant;
use self::value::{Answer, label_set, push_list, push_metric};
use super::Failure;
use super::client::{ToolClient, headers};
use super::failure::{print, tell};
use super::server_url::ServerUrl;

pub(crate) use arguments::QueryArgs;

/// `query range` without a step asks for so many.
const STEPS: f64 = 250.0;
const SECOND: i64 = 1_000_000_000;
/// `query range` without a start begins so long before its end.
const DEFAULT_RANGE: i64 = 300 * SECOND;
/// `query series` and `query labels` look so far to both sides.
const FAR: i64 = 9999 * 3600 * SECOND;

pub(super) fn run(args: &QueryArgs) -> Result<ExitCode, Failure> {
    let format = args.shared.format;
    let ask = |server: &ServerUrl, given: &[(String, String)]| -> Result<Api, Failure> {
        let client = ToolClient::new(args.shared.config_file.as_deref(), Some(server))?;
        Ok(Api::new(client, server, headers(given)?))
    };
    match &args.command {
        QueryCommand::Instant(args) => instant(&ask(&args.server, &args.headers)?, args, format)?,
        QueryCommand::Range(args) => range(&ask(&args.server, &args.headers)?, args, format)?,
        QueryCommand::Series(args) => series(&ask(&args.server, &[])?, args, format)?,
        QueryCommand::Labels(args) => label_values(&ask(&args.server, &[])?, args, format)?,
        QueryCommand::Analyze(args) => analyze(args, ask)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn instant(api: &Api, args: &InstantArgs, format: AnswerFormat) -> Result<(), Failure> {
    let at = at(&args.time, "evaluation", Instant::now)?;
    print_answer(&api.query(&args.expr, at).map_err(|error| query_error(&error))?, format)
}

fn range(api: &Api, args: &RangeArgs, format: AnswerFormat) -> Result<(), Failure> {
    let end = at(&args.end, "end", Instant::now)?;
    let start = at(&args.start, "start", || end.after(-DEFAULT_RANGE))?;
    if start >= end {
        return Err(Failure::Told("start time is not before end time".to_owned()));
    }
    let step = match args.step {
        0 => ((end.since(start) / STEPS).floor().max(1.0) as i64).saturating_mul(SECOND),
        step => step,
    };
    let (answer, _) = api.query_range(&args.expr, (start, end), step).map_err(|error| query_error(&error))?;
    print_answer(&answer, format)
}

fn series(api: &Api, args: &SeriesArgs, format: AnswerFormat) -> Result<(), Failure> {
    let range = time_range(&args.range)?;
    let series = api.series(&args.selectors, range).map_err(|error| query_error(&error))?;
    let mut out = String::new();
    match format {
        AnswerFormat::PromQl => series.iter().for_each(|labels| out.push_str(&(label_set(labels) + "\n"))),
        AnswerFormat::Json => {
            push_list(&mut out, &series, push_metric);
            out.push('\n');
        }
    }
    print(&out)
}

fn label_values(api: &Api, args: &LabelsArgs, format: AnswerFormat) -> Result<(), Failure> {
    let range = time_range(&args.range)?;
    let (values, warnings) =
        api.label_values(&args.name, &args.selectors, range).map_err(|error| query_error(&error))?;
    warnings.iter().for_each(|warning| tell(&format!("query warning: {warning}")));
    let mut out = String::new();
    match format {
        AnswerFormat::PromQl => values.iter().for_each(|value| out.push_str(&format!("{value}\n"))),
        AnswerFormat::Json => {
            push_list(&mut out, &values, |out, value| push_string(out, value, Encoder::Standard));
            out.push('\n');
        }
    }
    print(&out)
}

fn analyze(
    args: &AnalyzeQueryArgs,
    ask: impl FnOnce(&ServerUrl, &[(String, String)]) -> Result<Api, Failure>,
) -> Result<(), Failure> {
    let (Some(server), Some(kind)) = (&args.server, &args.kind) else { return Ok(()) };
    if kind != "histogram" {
        return Err(Failure::Told(format!("analyze type is {kind}, must be 'histogram'")));
    }
    let api = ask(server, &[])?;
    let end = match args.time.as_str() {
        "" => Instant::now(),
        time => Instant::parse(time)
            .map_err(|why| Failure::Told(format!("error parsing time '{time}': {why}")))?,
    };
    histogram_buckets::analyze(&api, &args.selectors, args.duration, end)
}

fn at(text: &str, which: &str, otherwise: impl FnOnce() -> Instant) -> Result<Instant, Failure> {
    match text {
        "" => Ok(otherwise()),
        text => {
            Instant::parse(text).map_err(|why| Failure::Told(format!("error parsing {which} time: {why}")))
        }
    }
}

fn time_range(range: &TimeRange) -> Result<(Instant, Instant), Failure> {
    let now = Instant::now();
    let start = at(&range.start, "start", || now.after(-FAR))?;
    Ok((start, at(&range.end, "end", || now.after(FAR))?))
}

fn query_error(error: &ApiError) -> Failure {
    Failure::Told(match error.detail.trim() {
        "" if error.detail.is_empty() => format!("query error: {}", error.text),
        detail => format!("query error: {} (detail: {detail})", error.text),
    })
}

fn print_answer(answer: &Answer, format: AnswerFormat) -> Result<(), Failure> {
    let text = match format {
        AnswerFormat::PromQl => answer.lines(),
        AnswerFormat::Json => answer.json(),
    };
    print(&(text + "\n"))
}
