//! PromQL: lexer → parser → plan → evaluate, over [`storage::Select`]. Synchronous; no I/O, no clock.

pub mod ast;
pub mod functions;

mod ast_json;
mod engine;
mod error;
mod eval;
mod explain;
mod lexer;
mod parser;
mod plan;
mod printer;
mod together;
mod value;

pub use ast_json::{ast_json, push_ast_json};
pub use engine::{Engine, EngineOptions, Overrides, QueryError, QueryResult, QueryStats, StepStats};
pub use error::{ParseError, ParseErrors};
pub use explain::{PlanNode, ReadCost};
pub use lexer::ResetHint;
pub use parser::{
    HistogramLiteral, ParseOptions, SeriesItem, SeriesPoint, parse, parse_metric, parse_metric_selector,
    parse_series_desc,
};
pub use printer::pretty;
pub use together::{Prepared, Together};
pub use value::{MatrixSeries, Value, VectorSample};
