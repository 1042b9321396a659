//! The registry of functions: names and signatures. The parser checks calls against it, the evaluator dispatches on it.

use crate::ast::ValueType;

/// A function's name and types.
#[derive(Debug, PartialEq)]
pub struct Signature {
    /// As written in a query.
    pub name: &'static str,
    /// Types of the arguments; the last may be optional or repeat, see `variadic`.
    pub args: &'static [ValueType],
    /// As in Prometheus: 0 = exactly `args`; n > 0 = up to n of the last may be left out; -1 = the last may be left out or repeat without end.
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Needs `promql-experimental-functions`.
    pub experimental: bool,
}
