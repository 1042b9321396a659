//! `--enable-feature` of tools: which language expressions are written in.

use promql::ParseOptions;

use super::failure::{Failure, print};

/// Reads the values of the flag, each a comma-separated list; names that nobody knows are warned of.
pub(super) fn parse_options(values: &[String]) -> Result<ParseOptions, Failure> {
    let mut options = ParseOptions::default();
    for name in values.iter().flat_map(|value| value.split(',')) {
        match name {
            "promql-experimental-functions" => options.experimental_functions = true,
            "promql-extended-range-selectors" => options.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => options.binop_fill_modifiers = true,
            // On for good, or of no consequence for what is valid.
            "promql-delayed-name-removal" | "promql-duration-expr" | "" => {}
            other => print(&format!("  WARNING: Unknown feature passed to --enable-feature: {other}"))?,
        }
    }
    Ok(options)
}
