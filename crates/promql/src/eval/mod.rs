//! Evaluation by series over all steps, in columns.
//!
//! Series that are only computed on one by one (a selector, a window function, functions and operators with
//! scalars) stream through a [`Worker`](scan) per thread; an aggregation on top of such a scan takes each column
//! into its groups at once, so that only groups are held. Everything else works on [`Rows`].

mod aggregate;
mod aggregate_k;
mod annotations;
mod binary;
mod column;
mod dates;
mod go_sort;
mod histogram_classic;
mod info;
mod labels;
mod map;
mod math;
mod mixed;
mod native;
mod native_rate;
mod order;
mod over_time;
mod peaks;
mod rate;
mod read_once;
mod regression;
mod result;
mod rows;
mod samples;
mod scan;
mod set;
mod sort;
mod start_times;
mod stats;
mod subquery;
mod trace;
mod variance;
mod window;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Labels;
use parking_lot::Mutex;
use storage::{Interrupted, QueryContext, Select};

use annotations::Annotations;
pub(crate) use column::Grid;
use column::{Column, Scalars, Series};
pub(crate) use math::{
    function as math_function, max as max_of, min as min_of, scalar as scalar_binary, symbol,
};
pub(crate) use read_once::{Common, CommonReads};
use rows::{Hold, Rows};
use samples::RawSeries;
pub(crate) use window::WindowFn;
pub(crate) use workers::Workers;

use crate::ast::Expr;
use crate::engine::{EngineOptions, QueryError, QueryStats, StepStats};
use crate::explain::PlanNode;
use crate::plan::{Plan, Scalar, Stage, Vector};

/// Steps without a sample take memory too: so many weigh as one sample against the limit of samples. Columns of
/// half empty series pass, and a subquery of a year by the second over series that come and go is refused before
/// it takes the machine's memory.
const CELLS_PER_SAMPLE: u64 = 8;

/// What a sample takes that is held: time and value.
const BYTES_PER_SAMPLE: u64 = 16;

/// What is read once for several scans.
type Shared = Option<Arc<Vec<RawSeries>>>;

/// Evaluates one plan.
pub(crate) struct Evaluator<'q> {
    store: &'q dyn Select,
    ctx: &'q QueryContext,
    plan: &'q Plan,
    lookback: i64,
    delayed_names: bool,
    /// Whether functions of counters look at start times.
    start_times: bool,
    /// Whether a metric's type is a label.
    type_labels: bool,
    max_samples: u64,
    max_bytes: u64,
    workers: Workers<'q>,
    notes: Mutex<Annotations>,
    shared: Vec<Mutex<Shared>>,
    /// Which of the reads other queries of the same time have, too.
    common: Option<CommonReads<'q>>,
    /// Of each read, what was kept of it: series, and the weight of their samples.
    kept: Vec<(AtomicU64, AtomicU64)>,
    held: AtomicU64,
    cells: AtomicU64,
    peak: AtomicU64,
    samples: AtomicU64,
    series: AtomicU64,
    /// Samples decoded.
    decoded: AtomicU64,
    /// Nanoseconds for which the result was put in order.
    sorting: AtomicU64,
    /// Where it was asked for: of the innermost subquery that is being evaluated.
    counts: Option<Mutex<stats::Counts>>,
    /// With that: what the parts of the query gave.
    ledger: Option<peaks::Ledger>,
    trace: Option<trace::Trace>,
}

/// What is to be told besides the value.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// What selectors look at, at each of these steps.
    pub(crate) counts: Option<Grid>,
    /// What each node costs, below this one.
    pub(crate) trace: Option<PlanNode>,
}

impl<'q> Evaluator<'q> {
    pub(crate) fn new(
        store: &'q dyn Select,
        ctx: &'q QueryContext,
        plan: &'q Plan,
        options: &EngineOptions,
        lookback: i64,
        workers: Workers<'q>,
        wanted: Wanted,
    ) -> Self {
        Evaluator {
            store,
            ctx,
            plan,
            lookback,
            delayed_names: options.delayed_name_removal,
            start_times: options.use_start_timestamps,
            type_labels: options.type_and_unit_labels,
            max_samples: options.max_samples,
            max_bytes: options.max_bytes,
            workers,
            notes: Mutex::default(),
            shared: plan.reads.iter().map(|_| Mutex::default()).collect(),
            common: None,
            kept: plan.reads.iter().map(|_| Default::default()).collect(),
            held: AtomicU64::new(0),
            cells: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            series: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
            sorting: AtomicU64::new(0),
            ledger: wanted.counts.map(|_| peaks::Ledger::default()),
            counts: wanted.counts.map(|grid| Mutex::new(stats::Counts::new(grid))),
            trace: wanted.trace.map(trace::Trace::new),
        }
    }

    /// Takes part in what several queries of one time read in common.
    pub(crate) fn sharing(mut self, common: CommonReads<'q>) -> Self {
        self.common = Some(common);
        self
    }

    /// The texts of warnings and infos.
    pub(crate) fn annotations(&self, query: &str) -> (Vec<String>, Vec<String>) {
        self.notes.lock().render(query)
    }

    /// What each node cost, if that was asked for.
    pub(crate) fn trace(&self) -> Option<PlanNode> {
        self.trace.as_ref().and_then(trace::Trace::root)
    }

    /// Finds the most samples that Prometheus would have held, if samples are counted, and refuses the query if they are
    /// too many.
    pub(crate) fn find_peak(&self, expr: &Expr, grid: Grid) -> Result<(), QueryError> {
        let peak = self.ledger.as_ref().and_then(|ledger| ledger.peak(expr, self.plan, grid.len()));
        let Some(peak) = peak else { return Ok(()) };
        self.peak.store(peak, Ordering::Relaxed);
        if self.max_samples > 0 && peak > self.max_samples {
            return Err(Interrupted::TooManySamples.into());
        }
        Ok(())
    }

    /// What the evaluation cost so far.
    pub(crate) fn stats(&self) -> QueryStats {
        let mut stats = QueryStats {
            total_queryable_samples: self.samples.load(Ordering::Relaxed),
            peak_samples: self.peak.load(Ordering::Relaxed),
            series: self.series.load(Ordering::Relaxed),
            samples_read: self.decoded.load(Ordering::Relaxed),
            sorted: Duration::from_nanos(self.sorting.load(Ordering::Relaxed)),
            ..QueryStats::default()
        };
        if let Some(counts) = &self.counts {
            let counts = counts.lock();
            stats.total_queryable_samples = counts.total().queryable;
            stats.samples_read = counts.total().read;
            stats.per_step = counts.steps().to_vec();
        }
        stats
    }

    /// What nothing was counted into yet: empty if nothing is to be.
    fn uncounted(&self, grid: Grid) -> Vec<StepStats> {
        vec![StepStats::default(); self.counts.as_ref().map_or(0, |_| grid.len())]
    }

    /// Adds what was looked at.
    fn count(&self, grid: Grid, steps: &[StepStats]) {
        if let Some(counts) = &self.counts {
            counts.lock().add(grid, steps);
        }
    }

    /// The steps that a subquery steps over, and what was looked at for each of them.
    fn inside_subquery(
        &self,
        input: &Vector,
        grid: Grid,
    ) -> Result<(Rows<'_>, Option<stats::Counts>), QueryError> {
        let Some(counts) = &self.counts else { return Ok((self.vector(input, grid)?, None)) };
        self.check_steps(grid)?;
        let outside = std::mem::replace(&mut *counts.lock(), stats::Counts::new(grid));
        let rows = self.vector(input, grid);
        let inside = std::mem::replace(&mut *counts.lock(), outside);
        Ok((rows?, Some(inside)))
    }

    /// Accounts samples that are now held in memory.
    fn hold(&self, n: u64) -> Result<Hold<'_>, QueryError> {
        self.hold_columns(n, 0)
    }

    /// Accounts samples that are now held in memory in columns of `cells` steps in all.
    fn hold_columns(&self, samples: u64, cells: u64) -> Result<Hold<'_>, QueryError> {
        let now = self.held.fetch_add(samples, Ordering::Relaxed) + samples;
        let cells_now = self.cells.fetch_add(cells, Ordering::Relaxed) + cells;
        self.peak.fetch_max(now, Ordering::Relaxed);
        let hold = Hold::new(self, samples, cells);
        self.ctx.hold(samples).map_err(|reason| match reason {
            Interrupted::OutOfMemory => QueryError::Execution(format!("{reason}{}", self.blame())),
            _ => reason.into(),
        })?;
        let too_many = now > self.max_samples || cells_now / CELLS_PER_SAMPLE > self.max_samples;
        if self.max_samples > 0 && too_many {
            return Err(Interrupted::TooManySamples.into());
        }
        let bytes = now.max(cells_now / 2).saturating_mul(BYTES_PER_SAMPLE);
        if self.max_bytes > 0 && bytes > self.max_bytes {
            return Err(self.too_large(&self.blame()));
        }
        Ok(hold)
    }

    /// Notes that a series of a read is kept.
    fn note_kept(&self, read: usize, samples: u64) {
        if let Some((series, weight)) = self.kept.get(read) {
            series.fetch_add(1, Ordering::Relaxed);
            weight.fetch_add(samples, Ordering::Relaxed);
        }
    }

    /// More memory than a query may have would be needed.
    fn too_large(&self, blame: &str) -> QueryError {
        let limit = model::size::format(i64::try_from(self.max_bytes).unwrap_or(i64::MAX));
        QueryError::Execution(format!(
            "query would need more than {limit} of memory (--query.max-memory){blame}"
        ))
    }

    /// Which selector most of the memory is for, as the end of a sentence; empty where none is to blame.
    fn blame(&self) -> String {
        let kept = |(series, weight): &(AtomicU64, AtomicU64)| {
            (weight.load(Ordering::Relaxed), series.load(Ordering::Relaxed))
        };
        let most = self.kept.iter().map(kept).zip(&self.plan.reads).max_by_key(|(kept, _)| *kept);
        let Some(((samples, series), read)) = most.filter(|((samples, _), _)| *samples > 0) else {
            return String::new();
        };
        let selector = crate::explain::selector(read);
        format!(
            "; most of it is for {selector}, of which it holds {samples} samples of {series} series so far"
        )
    }

    fn release(&self, samples: u64, cells: u64) {
        self.held.fetch_sub(samples, Ordering::Relaxed);
        self.cells.fetch_sub(cells, Ordering::Relaxed);
        self.ctx.release(samples);
    }

    /// Refuses steps of which a single full series would be too many samples, before memory is asked for them.
    fn check_steps(&self, grid: Grid) -> Result<(), QueryError> {
        if self.max_samples > 0 && grid.len() as u64 > self.max_samples {
            return Err(Interrupted::TooManySamples.into());
        }
        let bytes = (grid.len() as u64).saturating_mul(BYTES_PER_SAMPLE / 2);
        if self.max_bytes > 0 && bytes > self.max_bytes {
            let steps = grid.len();
            return Err(self.too_large(&format!("; {steps} steps of a single series are more than that")));
        }
        if !self.ctx.has_room_for(bytes) {
            return Err(Interrupted::OutOfMemory.into());
        }
        Ok(())
    }

    fn rows(&self, series: Vec<Series>) -> Result<Rows<'_>, QueryError> {
        let samples = series.iter().map(|s| stats::weight_of(&s.floats)).sum();
        let cells = series.iter().map(|s| s.floats.len() as u64).sum();
        Ok(Rows { series, hold: self.hold_columns(samples, cells)? })
    }

    /// The series of a vector expression over the steps of `grid`.
    fn vector(&self, vector: &Vector, grid: Grid) -> Result<Rows<'_>, QueryError> {
        self.ctx.check()?;
        if grid.len() == 0 {
            return self.rows(Vec::new());
        }
        self.check_steps(grid)?;
        if let (Vector::At(place, input), Some(ledger)) = (vector, &self.ledger) {
            let rows = self.vector(input, grid)?;
            ledger.give(*place, peaks::Given::of(&rows.series, grid.len()));
            return Ok(rows);
        }
        let Some(trace) = &self.trace else { return self.carry_out(vector, grid) };
        let node = PlanNode::of(vector, &self.plan.reads, grid.len());
        trace.node(node, || self.carry_out(vector, grid), trace::note_rows)
    }

    fn carry_out(&self, vector: &Vector, grid: Grid) -> Result<Rows<'_>, QueryError> {
        match vector {
            Vector::Scan(scan) => self.scan_rows(scan, grid),
            Vector::Subquery(subquery) => self.subquery(subquery, grid),
            Vector::Map(input, stages) => {
                let rows = self.vector(input, grid)?;
                self.map(rows, stages, grid)
            }
            Vector::FromScalar(scalar) => {
                let scalars = self.scalar(scalar, grid)?;
                let mut floats = Column::absent(grid.len());
                for i in 0..grid.len() {
                    floats.set(i, scalars.get(i));
                }
                self.rows(vec![Series { labels: Labels::empty(), drop_name: false, floats }])
            }
            Vector::Aggregate(aggregation) => self.aggregate(aggregation, grid),
            Vector::Binary(binary) if binary.op.is_set() => self.set_operation(binary, grid),
            Vector::Binary(binary) => self.vector_binary(binary, grid),
            Vector::Absent(input, labels) => self.absent(input, labels, grid),
            Vector::LabelReplace { input, target, replacement, source, regex } => {
                let rows = self.vector(input, grid)?;
                self.label_replace(rows, target, replacement, source, regex)
            }
            Vector::LabelJoin { input, target, separator, sources } => {
                let rows = self.vector(input, grid)?;
                self.label_join(rows, target, separator, sources)
            }
            Vector::Sort { input, by, descending, span } => {
                let rows = self.vector(input, grid)?;
                if !grid.is_instant() {
                    self.notes.lock().sort_in_range_query(*span);
                }
                Ok(sort::sorted(rows, by, *descending))
            }
            Vector::Buckets { input, call, span } => self.buckets(input, call, *span, grid),
            Vector::Info { input, matchers, offset, at, span } => {
                let rows = self.vector(input, grid)?;
                self.info(&rows, matchers.as_deref(), (*offset, *at), *span, grid)
            }
            Vector::At(_, input) => self.vector(input, grid),
            Vector::Invariant(input) => {
                let once = Grid { end: grid.start, ..grid };
                let looked_at = || self.counts.as_ref().map_or(0, |counts| counts.lock().total().queryable);
                let before = looked_at();
                let rows = self.vector(input, once)?;
                let looked_at = looked_at() - before;
                if let Some(counts) = &self.counts {
                    counts.lock().repeat(looked_at);
                }
                let series = rows.series.iter().map(|s| Series {
                    labels: s.labels.clone(),
                    drop_name: s.drop_name,
                    floats: s.floats.broadcast(grid.len()),
                });
                let series = series.collect();
                drop(rows);
                self.rows(series)
            }
        }
    }

    /// The values of a scalar expression over the steps of `grid`.
    fn scalar(&self, scalar: &Scalar, grid: Grid) -> Result<Scalars, QueryError> {
        self.check_steps(grid)?;
        Ok(match scalar {
            Scalar::Const(v) => Scalars::Const(*v),
            Scalar::Time => Scalars::Steps((0..grid.len()).map(|i| grid.time(i) as f64 / 1000.0).collect()),
            Scalar::Apply(f, inner) => self.scalar(inner, grid)?.zip(&Scalars::Const(0.0), |a, _| f(a)),
            Scalar::Zip(f, a, b) => self.scalar(a, grid)?.zip(&self.scalar(b, grid)?, f),
            Scalar::Binary(op, a, b) => {
                self.scalar(a, grid)?.zip(&self.scalar(b, grid)?, |a, b| scalar_binary(*op, a, b))
            }
            Scalar::OfVector(vector) => {
                let rows = self.vector(vector, grid)?;
                let mut values = vec![f64::NAN; grid.len()];
                let mut seen = column::Bitmap::new(grid.len());
                for series in &rows.series {
                    for (i, v) in series.floats.iter() {
                        if let Some(slot) = values.get_mut(i) {
                            *slot = if seen.get(i) { f64::NAN } else { v };
                            seen.set(i);
                        }
                    }
                }
                Scalars::Steps(values)
            }
        })
    }

    fn scalars(&self, scalars: &[Scalar], grid: Grid) -> Result<Vec<Scalars>, QueryError> {
        scalars.iter().map(|s| self.scalar(s, grid)).collect()
    }

    /// 1 at each step where the input has nothing.
    fn absent(&self, input: &Vector, labels: &Labels, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let rows = self.vector(input, grid)?;
        let mut present = column::Bitmap::new(grid.len());
        for series in &rows.series {
            present.union(&series.floats.present);
        }
        let mut floats = Column::absent(grid.len());
        for i in (0..grid.len()).filter(|&i| !present.get(i)) {
            floats.set(i, 1.0);
        }
        if floats.is_absent() {
            return self.rows(Vec::new());
        }
        self.rows(vec![Series { labels: labels.clone(), drop_name: false, floats }])
    }

    /// The stages with their scalar arguments evaluated.
    fn ready_stages(&self, stages: &[Stage], grid: Grid) -> Result<Vec<map::Ready>, QueryError> {
        stages.iter().map(|stage| map::Ready::new(self, stage, grid)).collect()
    }
}

/// Gives back what shared reads held until the end of the query.
impl Drop for Evaluator<'_> {
    fn drop(&mut self) {
        self.ctx.release(self.held.load(Ordering::Relaxed));
    }
}

/// What is said when two series of a result have the same labels.
fn same_labelset() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}
