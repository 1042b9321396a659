//! `--enable-feature` of tools: which language expressions are written in, and how they are evaluated.

use promql::ParseOptions;

use super::failure::{Failure, print};

/// What the flag says.
#[derive(Debug, Clone, Default)]
pub(super) struct Features {
    pub(super) expressions: ParseOptions,
    /// Metric names are dropped when a query is done.
    pub(super) delayed_name_removal: bool,
}

/// Reads the values of the flag, each a comma-separated list; names that nobody knows are warned of.
pub(super) fn read(values: &[String]) -> Result<Features, Failure> {
    let mut features = Features::default();
    for name in values.iter().flat_map(|value| value.split(',')) {
        match name {
            "promql-experimental-functions" => features.expressions.experimental_functions = true,
            "promql-extended-range-selectors" => features.expressions.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => features.expressions.binop_fill_modifiers = true,
            "promql-delayed-name-removal" => features.delayed_name_removal = true,
            // On for good.
            "promql-duration-expr" | "" => {}
            other => print(&format!("  WARNING: Unknown feature passed to --enable-feature: {other}"))?,
        }
    }
    Ok(features)
}

/// Which language is switched on.
pub(super) fn parse_options(values: &[String]) -> Result<ParseOptions, Failure> {
    Ok(read(values)?.expressions)
}
