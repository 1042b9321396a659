//! From the syntax tree to the plan.

use model::{METRIC_NAME, METRIC_TYPE};
use storage::Newest;

use super::durations::{self, millis};
use super::invariant::{is_invariant, strip};
use super::selectors::{Reach, fixed_name, merge};
use super::{
    Aggregation, Plan, QueryRange, Read, Root, Scalar, Scan, Source, Stage, SubqueryScan, Vector,
    VectorBinary, Wanted, WindowCall,
};
use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, RangeMode, Span, Subquery, ValueType,
    VectorMatching, VectorSelector,
};
use crate::engine::{EngineOptions, QueryError};
use crate::eval::{Grid, WindowFn, max_of, min_of, scalar_binary, symbol};

/// Builds the plan of one query.
pub(crate) struct Planner<'a> {
    pub(super) range: QueryRange,
    pub(super) lookback: i64,
    pub(super) options: &'a EngineOptions,
    pub(super) reads: Vec<Read>,
    /// How many calls around what is planned look at count and sum of histograms alone.
    pub(super) counts_only: usize,
    /// How many expressions around it need the buckets.
    pub(super) buckets_needed: usize,
    /// Whether it is to be counted what each part of the query gives.
    counted: bool,
    /// Where subqueries stand, and over how many steps they go.
    subqueries: Vec<(Span, usize)>,
}

impl<'a> Planner<'a> {
    /// The plan of `expr`.
    pub(crate) fn plan(
        expr: &Expr,
        range: QueryRange,
        lookback: i64,
        options: &'a EngineOptions,
        counted: bool,
    ) -> Result<Plan, QueryError> {
        durations::check(expr, &range)?;
        let mut planner = Planner {
            range,
            lookback,
            options,
            reads: Vec::new(),
            counts_only: 0,
            buckets_needed: 0,
            counted,
            subqueries: Vec::new(),
        };
        let grid = Grid { start: range.start, end: range.end, step: range.step };
        let mut root = match (expr.value_type(), strip(expr)) {
            (ValueType::Scalar, e) => Root::Scalar(planner.scalar(e, grid)?),
            (ValueType::String, Expr::String(s)) => Root::String(s.value.clone()),
            (ValueType::Matrix, Expr::Matrix(m)) => {
                let reach = Reach {
                    range: Some(millis(&m.range, &range, false)?),
                    offset: millis(&m.selector.offset, &range, true)?,
                    at: planner.fixed_time(m.selector.at),
                };
                let call = WindowCall {
                    function: WindowFn::Last,
                    range: reach.range.unwrap_or(0),
                    mode: m.selector.mode,
                    args: Vec::new(),
                    span: m.span,
                    whole: m.span,
                    misuse: None,
                };
                // All of them are the answer.
                Root::Samples(planner.scan_of(&m.selector, &reach, grid, Source::Window(call), None))
            }
            (ValueType::Matrix, Expr::Subquery(s)) => {
                let (inner, ..) = planner.subquery_grid(s, grid)?;
                match s.expr.value_type() {
                    ValueType::Scalar => Root::ScalarSubquery(planner.scalar(&s.expr, inner)?, inner),
                    _ => Root::Subquery(Box::new(planner.vector(&s.expr, inner)?), inner),
                }
            }
            (_, e) => Root::Vector(planner.vector(e, grid)?),
        };
        let (reads, became) = merge(planner.reads);
        root.renumber(&became);
        Ok(Plan { root, reads, subqueries: planner.subqueries })
    }

    /// A vector; what does not depend on the step is computed once.
    pub(super) fn vector(&mut self, expr: &Expr, grid: Grid) -> Result<Vector, QueryError> {
        if grid.start != grid.end && is_invariant(expr) {
            let once = Grid { end: grid.start, ..grid };
            return Ok(Vector::Invariant(Box::new(self.step_vector(expr, once)?)));
        }
        self.step_vector(expr, grid)
    }

    fn step_vector(&mut self, expr: &Expr, grid: Grid) -> Result<Vector, QueryError> {
        let vector = self.vector_of(expr, grid)?;
        Ok(match vector {
            vector if !self.counted => vector,
            Vector::Scan(mut scan) => {
                scan.parts.push((scan.stages.len(), expr.span()));
                Vector::Scan(scan)
            }
            vector => Vector::At(expr.span(), Box::new(vector)),
        })
    }

    fn vector_of(&mut self, expr: &Expr, grid: Grid) -> Result<Vector, QueryError> {
        match expr {
            Expr::Paren(e) => self.step_vector(&e.expr, grid),
            Expr::Vector(selector) => {
                let reach = self.instant_reach(selector)?;
                let source = match selector.mode {
                    Some(RangeMode::Smoothed) => Source::Smoothed(selector.span),
                    _ => Source::Instant,
                };
                Ok(Vector::Scan(self.scan(selector, &reach, grid, source)))
            }
            Expr::Unary(e) if e.op == BinaryOp::Sub => {
                let input = self.vector(&e.expr, grid)?;
                Ok(input.then(Stage::Negate))
            }
            Expr::Unary(e) => self.vector(&e.expr, grid),
            Expr::Aggregate(e) => self.aggregate(e, grid),
            Expr::Binary(e) => self.binary(e, grid),
            Expr::Call(e) => self.call(e, grid),
            Expr::Number(_) | Expr::String(_) | Expr::Matrix(_) | Expr::Subquery(_) => {
                Err(QueryError::Execution("expected an instant vector".to_owned()))
            }
        }
    }

    pub(super) fn instant_reach(&self, selector: &VectorSelector) -> Result<Reach, QueryError> {
        Ok(Reach {
            range: None,
            offset: millis(&selector.offset, &self.range, true)?,
            at: self.fixed_time(selector.at),
        })
    }

    pub(super) fn scan(
        &mut self,
        selector: &VectorSelector,
        reach: &Reach,
        grid: Grid,
        source: Source,
    ) -> Scan {
        let newest = match &source {
            // Whether there was a reset shows by the samples before.
            _ if grid.len() != 1 || selector.mode.is_some() || self.counts_only() => None,
            Source::Instant | Source::Timestamp => Some(Newest::Last),
            Source::Window(call) if call.function.newest_suffices() => Some(Newest::NotStale),
            // Start times are in the chunks alone.
            Source::Window(_) | Source::Smoothed(_) | Source::StartTime => None,
        };
        self.scan_of(selector, reach, grid, source, newest)
    }

    /// Whether only counts and sums of histograms are looked at.
    fn counts_only(&self) -> bool {
        self.counts_only > 0 && self.buckets_needed == 0
    }

    fn scan_of(
        &mut self,
        selector: &VectorSelector,
        reach: &Reach,
        grid: Grid,
        source: Source,
        newest: Option<Newest>,
    ) -> Scan {
        let read = self.read(selector, reach, grid, newest);
        let counts_only = self.counts_only();
        Scan {
            read,
            offset: reach.offset,
            at: reach.at,
            source,
            stages: Vec::new(),
            name: fixed_name(selector),
            counts_only,
            taken_in: false,
            parts: Vec::new(),
        }
    }

    /// The steps of a subquery, aligned to multiples of its step, with its range, offset and fixed time.
    pub(super) fn subquery_grid(
        &mut self,
        subquery: &Subquery,
        outer: Grid,
    ) -> Result<(Grid, i64, i64, Option<i64>), QueryError> {
        let offset = millis(&subquery.offset, &self.range, true)?;
        let range = millis(&subquery.range, &self.range, false)?;
        let step = match &subquery.step {
            Some(step) => millis(step, &self.range, false)?,
            None => 0,
        };
        let step = if step > 0 { step } else { self.options.default_eval_interval_ms.max(1) };
        let at = self.fixed_time(subquery.at);
        let from = at.unwrap_or(outer.start) - offset - range;
        let mut start = step * (from / step);
        if start <= from {
            start += step;
        }
        let end = at.unwrap_or_else(|| outer.last()) - offset;
        let grid = Grid { start, end, step };
        self.subqueries.push((subquery.span, grid.len()));
        Ok((grid, range, offset, at))
    }

    pub(super) fn subquery_scan(
        &mut self,
        subquery: &Subquery,
        outer: Grid,
        function: WindowFn,
        args: Vec<Scalar>,
        (span, whole): (Span, Span),
    ) -> Result<Vector, QueryError> {
        let (grid, range, offset, at) = self.subquery_grid(subquery, outer)?;
        self.buckets_needed += 1;
        let input = match subquery.expr.value_type() {
            ValueType::Scalar => Vector::FromScalar(self.scalar(&subquery.expr, grid)?),
            _ => self.vector(&subquery.expr, grid)?,
        };
        self.buckets_needed -= 1;
        let call = WindowCall { function, range, mode: None, args, span, whole, misuse: None };
        Ok(Vector::Subquery(SubqueryScan { input: Box::new(input), grid, offset, at, call }))
    }

    fn aggregate(&mut self, e: &Aggregate, grid: Grid) -> Result<Vector, QueryError> {
        let param = e.param.as_deref().map(strip);
        let mut label = String::new();
        let scalar = match (e.op, param) {
            (AggregateOp::CountValues, Some(Expr::String(s))) => {
                if s.value.is_empty() || s.bytes.is_some() {
                    return Err(QueryError::Execution(format!("invalid label name {s}")));
                }
                label.clone_from(&s.value);
                None
            }
            (_, Some(param)) => Some(self.scalar(param, grid)?),
            (_, None) => None,
        };
        let mut input = self.vector(strip(&e.expr), grid)?;
        let mut grouping = e.grouping.clone();
        grouping.sort_unstable();
        grouping.dedup();
        if let Vector::Scan(scan) = &mut input {
            let stays_distinct = scan.name.is_some() || !scan.drops_name();
            // Remarks on what a window holds name the metric, as do those on histograms that do not fit; of a window's first or
            // last sample there is nothing to remark.
            let remarks = match &scan.source {
                Source::Smoothed(_) => true,
                Source::Window(call) => !matches!(call.function, WindowFn::First | WindowFn::Last),
                _ => false,
            };
            if stays_distinct && (e.op == AggregateOp::Quantile || !e.op.has_param()) {
                let mut remarked = Vec::new();
                if scan.name.is_none() && (remarks || matches!(e.op, AggregateOp::Sum | AggregateOp::Avg)) {
                    remarked.push(METRIC_NAME);
                }
                if self.options.type_and_unit_labels && remarks {
                    remarked.push(METRIC_TYPE);
                }
                self.want_labels_of(scan, &grouping, e.without, &remarked);
            }
            // Variances are not put together from parts: where the mean is large, their last digits depend on the order
            // in which series are taken in.
            let in_parts = !e.op.has_param() && !matches!(e.op, AggregateOp::Stddev | AggregateOp::Stdvar);
            scan.taken_in = in_parts && (stays_distinct || self.options.delayed_name_removal);
        }
        Ok(Vector::Aggregate(Aggregation {
            op: e.op,
            param: scalar,
            param_const: matches!(param, Some(Expr::Number(_))),
            param_span: param.map_or_else(Span::default, Expr::span),
            label,
            grouping,
            without: e.without,
            input: Box::new(input),
            input_span: strip(&e.expr).span(),
            span: e.span,
        }))
    }

    /// Only the grouping's labels are needed of what is aggregated at once, and those that remarks tell.
    fn want_labels_of(&mut self, scan: &Scan, grouping: &[String], without: bool, remarked: &[&str]) {
        let Some(read) = self.reads.get_mut(scan.read) else { return };
        let others = grouping.iter().filter(|name| !remarked.contains(&name.as_str())).cloned();
        read.labels = if without {
            Wanted::Without(others.collect())
        } else {
            let mut names: Vec<String> = others.chain(remarked.iter().map(|&name| name.to_owned())).collect();
            names.sort_unstable();
            Wanted::Only(names)
        };
    }

    fn binary(&mut self, e: &Binary, grid: Grid) -> Result<Vector, QueryError> {
        let trims = usize::from(matches!(e.op, BinaryOp::TrimLower | BinaryOp::TrimUpper));
        self.buckets_needed += trims;
        let planned = self.operation(e, grid);
        self.buckets_needed -= trims;
        planned
    }

    fn operation(&mut self, e: &Binary, grid: Grid) -> Result<Vector, QueryError> {
        let (left, right) = (e.left.value_type(), e.right.value_type());
        let stage = |scalar, scalar_left| Stage::WithScalar {
            op: e.op,
            scalar,
            scalar_left,
            return_bool: e.return_bool,
            span: e.span,
        };
        match (left, right) {
            (ValueType::Vector, ValueType::Scalar) => {
                let input = self.vector(&e.left, grid)?;
                let scalar = self.scalar(&e.right, grid)?;
                Ok(input.then(stage(scalar, false)))
            }
            (ValueType::Scalar, ValueType::Vector) => {
                let scalar = self.scalar(&e.left, grid)?;
                let input = self.vector(&e.right, grid)?;
                Ok(input.then(stage(scalar, true)))
            }
            _ => {
                let matching = e.matching.clone().unwrap_or(VectorMatching {
                    card: if e.op.is_set() { Cardinality::ManyToMany } else { Cardinality::OneToOne },
                    labels: Vec::new(),
                    on: false,
                    include: Vec::new(),
                    fill_left: None,
                    fill_right: None,
                });
                Ok(Vector::Binary(VectorBinary {
                    op: e.op,
                    left: Box::new(self.vector(&e.left, grid)?),
                    right: Box::new(self.vector(&e.right, grid)?),
                    matching,
                    return_bool: e.return_bool,
                    span: e.span,
                }))
            }
        }
    }

    /// A scalar, folded where it is constant.
    pub(super) fn scalar(&mut self, expr: &Expr, grid: Grid) -> Result<Scalar, QueryError> {
        Ok(match expr {
            Expr::Paren(e) => self.scalar(&e.expr, grid)?,
            Expr::Number(n) => Scalar::Const(n.value),
            Expr::Unary(e) if e.op == BinaryOp::Sub => Scalar::apply(|v| -v, self.scalar(&e.expr, grid)?),
            Expr::Unary(e) => self.scalar(&e.expr, grid)?,
            Expr::Binary(e) => {
                if matches!(e.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
                    return Err(QueryError::Execution(format!(
                        "operator \"{}\" not allowed for Scalar operations",
                        symbol(e.op)
                    )));
                }
                match (self.scalar(&e.left, grid)?, self.scalar(&e.right, grid)?) {
                    (Scalar::Const(a), Scalar::Const(b)) => Scalar::Const(scalar_binary(e.op, a, b)),
                    (a, b) => Scalar::Binary(e.op, Box::new(a), Box::new(b)),
                }
            }
            Expr::Call(e) => self.scalar_call(e, grid)?,
            _ => return Err(QueryError::Execution("expected a scalar".to_owned())),
        })
    }

    fn scalar_call(&mut self, e: &Call, grid: Grid) -> Result<Scalar, QueryError> {
        let QueryRange { start, end, step, instant } = self.range;
        let arg = |i: usize| {
            e.args
                .get(i)
                .ok_or_else(|| QueryError::Execution(format!("{}: argument missing", e.function.name)))
        };
        Ok(match e.function.name {
            "time" => Scalar::Time,
            "pi" => Scalar::Const(std::f64::consts::PI),
            "start" => Scalar::Const(start as f64 / 1000.0),
            "end" => Scalar::Const(end as f64 / 1000.0),
            "range" => Scalar::Const((end - start) as f64 / 1000.0),
            "step" => Scalar::Const(if instant || start == end { 0.0 } else { step as f64 / 1000.0 }),
            "max_of" | "min_of" => {
                let f = if e.function.name == "max_of" { max_of } else { min_of };
                match (self.scalar(arg(0)?, grid)?, self.scalar(arg(1)?, grid)?) {
                    (Scalar::Const(a), Scalar::Const(b)) => Scalar::Const(f(a, b)),
                    (a, b) => Scalar::Zip(f, Box::new(a), Box::new(b)),
                }
            }
            "scalar" => Scalar::OfVector(Box::new(self.vector(strip(arg(0)?), grid)?)),
            other => return Err(QueryError::Execution(format!("unknown function {other}"))),
        })
    }
}

impl Scalar {
    pub(super) fn apply(f: fn(f64) -> f64, inner: Scalar) -> Scalar {
        match inner {
            Scalar::Const(v) => Scalar::Const(f(v)),
            other => Scalar::Apply(f, Box::new(other)),
        }
    }
}

impl Scan {
    /// Whether the result is no longer the metric that was measured.
    pub(crate) fn drops_name(&self) -> bool {
        self.source.drops_name() || self.stages.iter().any(Stage::drops_name)
    }
}

impl Source {
    /// Whether the value is no longer that of the metric.
    pub(crate) fn drops_name(&self) -> bool {
        match self {
            Source::Instant | Source::Smoothed(_) => false,
            Source::Timestamp | Source::StartTime => true,
            Source::Window(call) => call.function.drops_name(),
        }
    }
}

impl Vector {
    /// Adds a computation on each series for itself.
    pub(super) fn then(self, stage: Stage) -> Vector {
        match self {
            Vector::Scan(mut scan) => {
                scan.stages.push(stage);
                Vector::Scan(scan)
            }
            Vector::Map(input, mut stages) => {
                stages.push(stage);
                Vector::Map(input, stages)
            }
            other => Vector::Map(Box::new(other), vec![stage]),
        }
    }

    /// Calls `f` with every scan in it.
    fn each_scan(&mut self, f: &mut impl FnMut(&mut Scan)) {
        match self {
            Vector::Scan(scan) => {
                f(scan);
                for stage in &mut scan.stages {
                    stage.each_scan(f);
                }
                if let Source::Window(call) = &mut scan.source {
                    call.args.iter_mut().for_each(|a| a.each_scan(f));
                }
            }
            Vector::Subquery(s) => {
                s.input.each_scan(f);
                s.call.args.iter_mut().for_each(|a| a.each_scan(f));
            }
            Vector::Map(input, stages) => {
                input.each_scan(f);
                stages.iter_mut().for_each(|s| s.each_scan(f));
            }
            Vector::FromScalar(s) => s.each_scan(f),
            Vector::Aggregate(a) => {
                a.input.each_scan(f);
                if let Some(param) = &mut a.param {
                    param.each_scan(f);
                }
            }
            Vector::Binary(b) => {
                b.left.each_scan(f);
                b.right.each_scan(f);
            }
            Vector::Buckets { input, call, .. } => {
                input.each_scan(f);
                match call {
                    super::BucketCall::Quantile(q, _) => q.each_scan(f),
                    super::BucketCall::Quantiles(_, qs) => qs.iter_mut().for_each(|(q, _)| q.each_scan(f)),
                    super::BucketCall::Fraction(a, b) => {
                        a.each_scan(f);
                        b.each_scan(f);
                    }
                }
            }
            Vector::Absent(input, _)
            | Vector::LabelReplace { input, .. }
            | Vector::LabelJoin { input, .. }
            | Vector::Sort { input, .. }
            | Vector::Info { input, .. }
            | Vector::Invariant(input)
            | Vector::At(_, input) => input.each_scan(f),
        }
    }
}

impl Stage {
    fn each_scan(&mut self, f: &mut impl FnMut(&mut Scan)) {
        match self {
            Stage::Math(..) | Stage::Negate | Stage::OfHistogram(..) | Stage::StepTime | Stage::Nothing => {}
            Stage::Clamp(min, max) => {
                for s in [min, max].into_iter().flatten() {
                    s.each_scan(f);
                }
            }
            Stage::Round(s) | Stage::WithScalar { scalar: s, .. } => s.each_scan(f),
        }
    }
}

impl Scalar {
    fn each_scan(&mut self, f: &mut impl FnMut(&mut Scan)) {
        match self {
            Scalar::Const(_) | Scalar::Time => {}
            Scalar::Apply(_, a) => a.each_scan(f),
            Scalar::Zip(_, a, b) | Scalar::Binary(_, a, b) => {
                a.each_scan(f);
                b.each_scan(f);
            }
            Scalar::OfVector(v) => v.each_scan(f),
        }
    }
}

impl Root {
    /// Points every scan to the read that its own became part of.
    fn renumber(&mut self, became: &[usize]) {
        let mut point = |scan: &mut Scan| {
            if let Some(&read) = became.get(scan.read) {
                scan.read = read;
            }
        };
        match self {
            Root::String(_) => {}
            Root::Scalar(s) | Root::ScalarSubquery(s, _) => s.each_scan(&mut point),
            Root::Vector(v) => v.each_scan(&mut point),
            Root::Subquery(v, _) => v.each_scan(&mut point),
            Root::Samples(scan) => point(scan),
        }
    }
}
