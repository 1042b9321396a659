//! `check metrics`: whether a page of metrics is named and described as it should be, and how many series it makes.

use std::io::Read as _;
use std::process::ExitCode;

use exposition::{MetricKind, TextFamily, TextValue, read_family_text};
use model::ValidationScheme;

use super::arguments::MetricsArgs;
use super::lint::problems;
use super::{FAILED, LINTED};
use crate::tool::Failure;
use crate::tool::failure::{print, tell};

const NOTHING_TO_DO: &str = "\
error: at least one of --extended or linting must be enabled
Use --extended for cardinality analysis, or remove --lint=none to enable linting";

pub(super) fn run(args: &MetricsArgs) -> Result<ExitCode, Failure> {
    let lints = args.lint != "none";
    if !args.extended && !lints {
        return Err(Failure::Told(NOTHING_TO_DO.to_owned()));
    }
    let mut page = Vec::new();
    std::io::stdin().read_to_end(&mut page)?;
    // As in promtool, what counts series is less strict about names than what looks for oddities.
    let scheme = if lints { ValidationScheme::Legacy } else { ValidationScheme::Utf8 };
    let families = match read_family_text(&page, scheme) {
        Ok(families) => families,
        Err(why) => {
            let doing =
                if lints { "error while linting" } else { "error while parsing text to metric families" };
            tell(&format!("{doing}: {why}"));
            return Ok(ExitCode::from(FAILED));
        }
    };
    let problems = if lints { problems(&families) } else { Vec::new() };
    problems.iter().for_each(|problem| tell(problem));
    if args.extended {
        print(&series_table(&families))?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(LINTED) })
}

/// How many series each family makes, the most first.
fn series_table(families: &[TextFamily]) -> String {
    let mut counts: Vec<(&str, usize)> = families.iter().map(|f| (f.name.as_str(), series(f))).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let mut rows = vec![["Metric".to_owned(), "Cardinality".to_owned(), "Percentage".to_owned()]];
    rows.extend(counts.iter().map(|(name, count)| {
        let percentage = *count as f64 / total as f64 * 100.0;
        [(*name).to_owned(), count.to_string(), format!("{percentage:.2}%")]
    }));
    rows.push(["Total".to_owned(), total.to_string(), "100%".to_owned()]);
    table(&rows)
}

/// Every column with four blanks behind its widest cell.
fn table(rows: &[[String; 3]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default() + 4;
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            out.push_str(&format!("{cell:width$}"));
        }
        out.push('\n');
    }
    out
}

/// As promtool counts: all histograms of a family have as many buckets as its first.
fn series(family: &TextFamily) -> usize {
    let parts = match family.metrics.first().map(|metric| &metric.value) {
        Some(TextValue::Histogram { buckets, .. }) if family.kind == MetricKind::Histogram => {
            2 + buckets.len()
        }
        Some(TextValue::Summary { quantiles, .. }) => 2 + quantiles.len(),
        _ => 1,
    };
    family.metrics.len() * parts
}
