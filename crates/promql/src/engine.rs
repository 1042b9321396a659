//! The engine: from the text of a query to its value.

use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use storage::{Interrupted, QueryContext, Select, SelectError};

use crate::ast::{Expr, ValueType};
use crate::error::ParseErrors;
use crate::eval::{Evaluator, Grid, Wanted, Workers};
use crate::explain::PlanNode;
use crate::parser::{ParseOptions, parse};
use crate::plan::{Planner, QueryRange};
use crate::value::Value;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Threads that all queries together use for decoding and evaluating.
    pub threads: usize,
    /// How old a sample may be to count as a series' current value, in milliseconds.
    pub lookback_delta_ms: i64,
    /// Samples that a query may hold in memory at once; 0 for any number.
    pub max_samples: u64,
    /// Bytes that a query may take for what it holds; 0 for any number.
    pub max_bytes: u64,
    /// Step of subqueries that name none, in milliseconds.
    pub default_eval_interval_ms: i64,
    /// Which parts of the language are on.
    pub parse: ParseOptions,
    /// Metric names are dropped when the query is done, not by each function.
    pub delayed_name_removal: bool,
    /// Functions of counters look at when the counting of samples began.
    pub use_start_timestamps: bool,
    /// Whether a metric is a counter is known by its label `__type__`, not guessed from its name.
    pub type_and_unit_labels: bool,
    /// Callers who ask what a query cost may be told step by step.
    pub per_step_stats: bool,
}

impl Default for EngineOptions {
    /// Prometheus' defaults, on all cores.
    fn default() -> Self {
        EngineOptions {
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            lookback_delta_ms: 5 * 60 * 1000,
            max_samples: 50_000_000,
            max_bytes: 0,
            default_eval_interval_ms: 60 * 1000,
            parse: ParseOptions::default(),
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            per_step_stats: false,
        }
    }
}

/// What one query does differently from the engine's options.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// In milliseconds; not positive means the engine's.
    pub lookback_delta_ms: Option<i64>,
    /// Whether to count what selectors look at step by step, which takes another pass over the samples.
    pub count_samples: bool,
    /// Whether to tell what the plan does, and what each of its nodes costs.
    pub explain: bool,
}

/// A query's value and what there is to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// All warnings, with positions.
    pub warnings: Vec<String>,
    /// All infos, with positions.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
    /// How it was carried out, if that was asked for.
    pub plan: Option<PlanNode>,
}

/// What a query cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Sum over steps of the samples that selectors looked at.
    pub total_queryable_samples: u64,
    /// Most samples held at once.
    pub peak_samples: u64,
    /// Series read from the store.
    pub series: u64,
    /// Samples that selectors looked at without those that they had looked at for the step before. Where that was not asked
    /// for, those that were decoded.
    pub samples_read: u64,
    /// Of each step, where it was asked for.
    pub per_step: Vec<StepStats>,
    /// How long it took to plan the query.
    pub prepared: Duration,
    /// How long it took to order the result.
    pub sorted: Duration,
}

/// What selectors looked at for one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepStats {
    /// Samples; histograms weigh more.
    pub queryable: u64,
    /// Without those looked at for the step before.
    pub read: u64,
}

/// Why a query has no value. `Display` is the text of the API's error.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not a valid query, or asks for what cannot be.
    #[error(transparent)]
    Parse(#[from] ParseErrors),
    /// The query is not one for a range, or a duration in it cannot be computed.
    #[error("{0}")]
    Invalid(String),
    /// The data does not allow it, or too much of it would be needed.
    #[error("{0}")]
    Execution(String),
    /// The deadline passed.
    #[error("{0}")]
    Timeout(String),
    /// The caller went away.
    #[error("{0}")]
    Cancelled(String),
    /// The store failed.
    #[error("{0}")]
    Storage(String),
}

impl QueryError {
    /// `errorType` in Prometheus' API.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            QueryError::Parse(_) | QueryError::Invalid(_) => "bad_data",
            QueryError::Execution(_) => "execution",
            QueryError::Timeout(_) => "timeout",
            QueryError::Cancelled(_) => "canceled",
            QueryError::Storage(_) => "internal",
        }
    }
}

impl From<Interrupted> for QueryError {
    fn from(reason: Interrupted) -> Self {
        let text = reason.to_string();
        match reason {
            Interrupted::Timeout => QueryError::Timeout(text),
            Interrupted::Cancelled => QueryError::Cancelled(text),
            Interrupted::TooManySamples | Interrupted::OutOfMemory => QueryError::Execution(text),
        }
    }
}

impl From<SelectError> for QueryError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Interrupted(reason) => reason.into(),
            error @ (SelectError::Corrupt(_) | SelectError::Unsupported) => {
                QueryError::Execution(format!("expanding series: {error}"))
            }
        }
    }
}

/// Evaluates queries; shared by all callers.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    /// How many threads are at work for queries.
    busy: AtomicUsize,
}

/// Up to this limit, a query is also refused for what Prometheus would hold, such as the windows that are not kept here:
/// so low a limit is not about memory, but about which queries there are to be, and those are the ones that Prometheus
/// refuses. To count that costs a part of the evaluation, which queries so small can bear.
const COUNTED_LIMIT: u64 = 5_000;

impl Engine {
    /// An engine with these options.
    #[must_use]
    pub fn new(options: EngineOptions) -> Engine {
        Engine { options, busy: AtomicUsize::new(0) }
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Calls `work` with groups of neighbouring items, on several of the threads for queries if `heavy`. The results
    /// come in order.
    pub fn on_threads<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        heavy: bool,
        work: impl Fn(Vec<T>) -> R + Sync,
    ) -> Vec<R> {
        self.workers().run(items, heavy, work)
    }

    /// The value of `query` at one time, in milliseconds.
    ///
    /// # Errors
    /// As [`QueryError`] says.
    pub fn instant(
        &self,
        store: &dyn Select,
        ctx: &QueryContext,
        query: &str,
        at_ms: i64,
        overrides: &Overrides,
    ) -> Result<QueryResult, QueryError> {
        let expr = parse(query, &self.options.parse)?;
        self.run(store, ctx, query, &expr, QueryRange::instant(at_ms), overrides)
    }

    /// The values of `query` from `start_ms` to `end_ms`, every `step_ms`, all in milliseconds.
    ///
    /// # Errors
    /// As [`QueryError`] says.
    #[allow(clippy::too_many_arguments)] // the three times belong together and are plain numbers
    pub fn range(
        &self,
        store: &dyn Select,
        ctx: &QueryContext,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        overrides: &Overrides,
    ) -> Result<QueryResult, QueryError> {
        let expr = parse(query, &self.options.parse)?;
        let kind = match expr.value_type() {
            ValueType::Scalar | ValueType::Vector => None,
            ValueType::String => Some("string"),
            ValueType::Matrix => Some("range vector"),
        };
        if let Some(kind) = kind {
            return Err(QueryError::Invalid(format!(
                "invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector"
            )));
        }
        let range = QueryRange { start: start_ms, end: end_ms, step: step_ms.max(1), instant: false };
        self.run(store, ctx, query, &expr, range, overrides)
    }

    pub(crate) fn run(
        &self,
        store: &dyn Select,
        ctx: &QueryContext,
        query: &str,
        expr: &Expr,
        range: QueryRange,
        overrides: &Overrides,
    ) -> Result<QueryResult, QueryError> {
        ctx.check()?;
        let began = Instant::now();
        let lookback =
            overrides.lookback_delta_ms.filter(|&ms| ms > 0).unwrap_or(self.options.lookback_delta_ms);
        let counting = overrides.count_samples || self.counts_all();
        let plan = Planner::plan(expr, range, lookback, &self.options, counting)?;
        let prepared = began.elapsed();
        let workers = self.workers();
        let grid = Grid { start: range.start, end: range.end, step: range.step };
        let wanted = Wanted {
            counts: counting.then_some(grid),
            trace: overrides.explain.then(|| PlanNode::new("query", expr.to_string(), grid.len())),
        };
        let evaluator = Evaluator::new(store, ctx, &plan, &self.options, lookback, workers, wanted);
        conclude(&evaluator, ctx, query, expr, range, prepared)
    }

    /// Whether the limit on samples is so low that it is counted what each query would hold.
    pub(crate) fn counts_all(&self) -> bool {
        (1..=COUNTED_LIMIT).contains(&self.options.max_samples)
    }

    pub(crate) fn workers(&self) -> Workers<'_> {
        Workers::new(self.options.threads, &self.busy)
    }
}

/// The result of a query whose evaluation is prepared.
pub(crate) fn conclude(
    evaluator: &Evaluator<'_>,
    ctx: &QueryContext,
    query: &str,
    expr: &Expr,
    range: QueryRange,
    prepared: Duration,
) -> Result<QueryResult, QueryError> {
    let grid = Grid { start: range.start, end: range.end, step: range.step };
    let value = evaluator.run(grid, range.instant)?;
    evaluator.find_peak(expr, grid)?;
    let (mut warnings, infos) = evaluator.annotations(query);
    warnings.extend(ctx.warnings().texts());
    let stats = QueryStats { prepared, ..evaluator.stats() };
    Ok(QueryResult { value, warnings, infos, stats, plan: evaluator.trace() })
}
