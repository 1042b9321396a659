//! Several expressions at one time, as the rules of a group are: what more than one of them reads is read once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use model::Matcher;
use storage::{QueryContext, Select};

use crate::ast::Expr;
use crate::engine::{Engine, Overrides, QueryError, QueryResult, conclude};
use crate::error::ParseErrors;
use crate::eval::{Common, Evaluator, Wanted};
use crate::parser::{ParseOptions, parse};
use crate::plan::{Plan, Planner, QueryRange, Read, widen};

/// An expression that is parsed once and evaluated often.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    text: String,
    expr: Expr,
}

impl Prepared {
    /// Parses and type-checks `text`.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(text: &str, options: &ParseOptions) -> Result<Self, ParseErrors> {
        Ok(Prepared { text: text.to_owned(), expr: parse(text, options)? })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    #[must_use]
    pub fn expr(&self) -> &Expr {
        &self.expr
    }
}

/// Expressions that are evaluated one after the other or side by side, all for one time. Each gives what it would give alone.
pub struct Together<'a> {
    engine: &'a Engine,
    store: &'a dyn Select,
    range: QueryRange,
    planned: Vec<Planned<'a>>,
    common: Common<'a>,
}

struct Planned<'a> {
    expr: &'a Prepared,
    /// None if it cannot be planned; why, its evaluation tells.
    plan: Option<Plan>,
    took: Duration,
    /// Which of the reads in common each read of the plan is.
    common: Vec<Option<usize>>,
}

impl Engine {
    /// Plans expressions that are all to be evaluated for the time `at_ms`. What they read in common is accounted to `ctx`,
    /// and is read when the first of them is evaluated that wants it.
    ///
    /// Meanwhile the store may change. `version` tells by a number what the expression of that index must find: reads of
    /// the same series are one only where it gives the same for both.
    pub fn together<'a>(
        &'a self,
        store: &'a dyn Select,
        ctx: &'a QueryContext,
        exprs: impl IntoIterator<Item = &'a Prepared>,
        at_ms: i64,
        version: impl Fn(usize, &[Matcher]) -> usize,
    ) -> Together<'a> {
        let (range, options) = (QueryRange::instant(at_ms), self.options());
        let plan = |expr: &'a Prepared| {
            let began = Instant::now();
            let plan =
                Planner::plan(&expr.expr, range, options.lookback_delta_ms, options, self.counts_all()).ok();
            Planned { expr, plan, took: began.elapsed(), common: Vec::new() }
        };
        let mut planned: Vec<Planned<'a>> = exprs.into_iter().map(plan).collect();
        // Where samples are counted, each query is to be counted for itself.
        let reads = if self.counts_all() { Vec::new() } else { find_common(&mut planned, version) };
        let common = Common::new(ctx, options.max_samples, reads);
        Together { engine: self, store, range, planned, common }
    }
}

/// Finds what more than one plan reads, and notes it in them.
fn find_common(
    planned: &mut [Planned<'_>],
    version: impl Fn(usize, &[Matcher]) -> usize,
) -> Vec<(Read, usize)> {
    struct Candidate {
        read: Read,
        users: Vec<(usize, usize)>,
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    #[allow(clippy::mutable_key_type, reason = "what a regular expression caches is no part of it")]
    let mut by_series: HashMap<(&[Matcher], usize), Vec<usize>> = HashMap::new();
    for (i, planned) in planned.iter().enumerate() {
        for (j, read) in planned.plan.iter().flat_map(|plan| plan.reads.iter().enumerate()) {
            let known = by_series.entry((&read.matchers, version(i, &read.matchers))).or_default();
            let near = known.iter().copied().find(|&at| {
                // A query that reads the series twice, of times that lie apart, does so in common, too.
                candidates.get_mut(at).is_some_and(|candidate| widen(&mut candidate.read, read))
            });
            match near.and_then(|at| candidates.get_mut(at)) {
                Some(candidate) => candidate.users.push((i, j)),
                None => {
                    known.push(candidates.len());
                    candidates.push(Candidate { read: read.clone(), users: vec![(i, j)] });
                }
            }
        }
    }
    drop(by_series);
    candidates.retain(|candidate| candidate.users.len() > 1);
    for planned in planned.iter_mut() {
        planned.common = vec![None; planned.plan.as_ref().map_or(0, |plan| plan.reads.len())];
    }
    for (at, candidate) in candidates.iter().enumerate() {
        for &(i, j) in &candidate.users {
            if let Some(common) = planned.get_mut(i).and_then(|planned| planned.common.get_mut(j)) {
                *common = Some(at);
            }
        }
    }
    candidates.into_iter().map(|candidate| (candidate.read, candidate.users.len())).collect()
}

impl Together<'_> {
    /// The value of the expression of this index; to be called once for each.
    ///
    /// # Errors
    /// As [`QueryError`] says.
    pub fn evaluate(&self, index: usize, ctx: &QueryContext) -> Result<QueryResult, QueryError> {
        let Some(planned) = self.planned.get(index) else {
            return Err(QueryError::Invalid(format!("there is no expression {index}")));
        };
        let result = self.evaluate_planned(planned, ctx);
        self.common.leave(&planned.common);
        result
    }

    fn evaluate_planned(&self, planned: &Planned<'_>, ctx: &QueryContext) -> Result<QueryResult, QueryError> {
        let Prepared { text, expr } = planned.expr;
        let Some(plan) = planned.plan.as_ref().filter(|_| !self.engine.counts_all()) else {
            return self.engine.run(self.store, ctx, text, expr, self.range, &Overrides::default());
        };
        ctx.check()?;
        let options = self.engine.options();
        let workers = self.engine.workers().unhurried();
        let lookback = options.lookback_delta_ms;
        let evaluator = Evaluator::new(self.store, ctx, plan, options, lookback, workers, Wanted::default())
            .sharing(self.common.of(&planned.common));
        conclude(&evaluator, ctx, text, expr, self.range, planned.took)
    }
}
