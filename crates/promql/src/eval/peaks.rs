//! The most samples that Prometheus would hold, told by going through the expression as it does, once it is known what
//! each part of it gave at each step. Prometheus evaluates one part after the other over all steps, holds what is yet to
//! be used, and counts what a function gets at a step besides.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::column::{Column, Series};
use super::stats::{self, BARE, Held};
use crate::ast::{Aggregate, AggregateOp, Call, Expr, RangeMode, Span, Subquery, ValueType};
use crate::plan::{Plan, is_invariant, strip};

/// What a part of the expression gave at each step.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Samples.
    counts: Vec<u64>,
    /// What they weigh: a histogram more than a float.
    weights: Vec<u64>,
    /// What they weighed when they had just been made.
    made: Vec<u64>,
}

impl Given {
    pub(super) fn nothing(steps: usize) -> Self {
        Given { counts: vec![0; steps], weights: vec![0; steps], made: vec![0; steps] }
    }

    /// What series gave.
    pub(super) fn of(series: &[Series], steps: usize) -> Self {
        let mut given = Given::nothing(steps);
        series.iter().for_each(|s| given.add(&s.floats, false));
        given
    }

    fn one_a_step(steps: usize) -> Self {
        Given { counts: vec![1; steps], weights: vec![1; steps], made: vec![1; steps] }
    }

    /// Adds a series; of `bare` histograms only count and sum were read.
    pub(super) fn add(&mut self, column: &Column, bare: bool) {
        for i in column.present.ones() {
            let (weight, made) = match column.histogram(i) {
                None => (1, 1),
                Some(_) if bare => (BARE, BARE),
                Some(h) => (stats::weight(h), stats::weight_when_made(h)),
            };
            for (list, more) in [(&mut self.counts, 1), (&mut self.weights, weight), (&mut self.made, made)] {
                if let Some(sum) = list.get_mut(i) {
                    *sum += more;
                }
            }
        }
    }

    /// So many series at each step.
    pub(super) fn counted(counts: Vec<u64>) -> Self {
        Given { weights: counts.clone(), made: counts.clone(), counts }
    }

    pub(super) fn merge(&mut self, other: &Given) {
        let add = |mine: &mut Vec<u64>, theirs: &[u64]| {
            mine.resize(mine.len().max(theirs.len()), 0);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        };
        add(&mut self.counts, &other.counts);
        add(&mut self.weights, &other.weights);
        add(&mut self.made, &other.made);
    }

    fn total(&self) -> u64 {
        self.weights.iter().sum()
    }

    /// Nothing at the steps that it says nothing about.
    fn padded(mut self, steps: usize) -> Self {
        for list in [&mut self.counts, &mut self.weights, &mut self.made] {
            list.resize(steps, 0);
        }
        self
    }

    /// The same at every step.
    fn repeated(mut self, steps: usize) -> Self {
        for list in [&mut self.counts, &mut self.weights, &mut self.made] {
            let once = list.first().copied().unwrap_or(0);
            list.resize(steps, once);
        }
        self
    }
}

/// What a function over windows held, series after series.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Windowed {
    peak: u64,
    /// What it gave.
    total: u64,
}

impl Windowed {
    /// The next series.
    pub(super) fn add(&mut self, series: Held) {
        self.peak = self.peak.max(self.total + series.largest.max(series.gave + series.last));
        self.total += series.gave;
    }

    /// The series after those that went before.
    pub(super) fn append(&mut self, behind: Windowed) {
        self.peak = self.peak.max(self.total + behind.peak);
        self.total += behind.total;
    }
}

/// What is known of the parts of an expression, by where they stand in it.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    given: HashMap<Span, Given>,
    windowed: HashMap<Span, Windowed>,
    /// Series that `info` takes labels from, and those whose times functions look at.
    looked_at: HashMap<Span, Given>,
}

impl Ledger {
    pub(super) fn give(&self, place: Span, given: Given) {
        self.0.lock().given.insert(place, given);
    }

    pub(super) fn give_windows(&self, place: Span, windowed: Windowed) {
        self.0.lock().windowed.insert(place, windowed);
    }

    pub(super) fn give_looked_at(&self, place: Span, given: Given) {
        self.0.lock().looked_at.insert(place, given);
    }

    /// The most samples held at once while `expr` is evaluated at so many steps; `None` for ranges, which are not computed.
    pub(super) fn peak(&self, expr: &Expr, plan: &Plan, steps: usize) -> Option<u64> {
        let entries = self.0.lock();
        let mut account = Account { entries: &entries, plan, current: 0, peak: 0 };
        match strip(expr) {
            Expr::Matrix(_) => return None,
            Expr::Subquery(subquery) => {
                account.inside_subquery(subquery);
            }
            _ => {
                account.operand(expr, steps);
            }
        }
        Some(account.peak)
    }
}

struct Account<'a> {
    entries: &'a Entries,
    plan: &'a Plan,
    current: u64,
    peak: u64,
}

impl Account<'_> {
    fn note(&mut self) {
        self.peak = self.peak.max(self.current);
    }

    /// What a part gave; parts that were computed once gave the same at each step.
    fn given(&self, expr: &Expr, steps: usize) -> Given {
        if expr.value_type() == ValueType::Scalar {
            return Given::one_a_step(steps);
        }
        let given = self.entries.given.get(&expr.span()).cloned().unwrap_or_default();
        if given.counts.len() == 1 { given.repeated(steps) } else { given.padded(steps) }
    }

    /// An operand or argument: what does not depend on the step is computed once.
    fn operand(&mut self, expr: &Expr, steps: usize) -> Given {
        if should_be_done_once(expr) { self.once(expr, steps) } else { self.part(expr, steps) }
    }

    fn once(&mut self, expr: &Expr, steps: usize) -> Given {
        let given = self.part(expr, 1);
        self.current += given.total() * (steps as u64).saturating_sub(1);
        self.note();
        given.repeated(steps)
    }

    fn part(&mut self, expr: &Expr, steps: usize) -> Given {
        match expr {
            Expr::Paren(e) => self.part(&e.expr, steps),
            Expr::Unary(e) => self.part(&e.expr, steps),
            Expr::Number(_) => self.by_steps(expr, &[], steps),
            Expr::String(_) | Expr::Matrix(_) | Expr::Subquery(_) => Given::default(),
            Expr::Vector(e) => {
                let given = self.given(expr, steps);
                if e.mode == Some(RangeMode::Smoothed) {
                    // Of each series what lay around the last step stays counted.
                    self.windows(expr.span());
                } else {
                    self.current += given.total();
                    self.note();
                }
                given
            }
            Expr::Aggregate(e) => self.aggregate(e, expr, steps),
            Expr::Binary(e) => {
                let before = self.current;
                let operands = [self.operand(&e.left, steps), self.operand(&e.right, steps)];
                self.at_each_step(expr, before, &operands, steps)
            }
            Expr::Call(e) => self.call(e, expr, steps),
        }
    }

    /// A function of parts, step by step.
    fn by_steps(&mut self, expr: &Expr, arguments: &[&Expr], steps: usize) -> Given {
        let before = self.current;
        let given: Vec<Given> = arguments.iter().map(|arg| self.operand(arg, steps)).collect();
        self.at_each_step(expr, before, &given, steps)
    }

    /// The function's part of it: all its arguments are held, so is what it gave so far, and at a step besides what it
    /// gets and gives there.
    fn at_each_step(&mut self, expr: &Expr, before: u64, arguments: &[Given], steps: usize) -> Given {
        let given = self.given(expr, steps);
        let mut held = self.current;
        for (i, made) in given.made.iter().enumerate().take(steps) {
            self.current = held + made;
            self.current += arguments.iter().filter_map(|a| a.counts.get(i)).sum::<u64>();
            self.note();
            held += made;
        }
        self.current = before + given.total();
        self.note();
        given
    }

    fn aggregate(&mut self, e: &Aggregate, expr: &Expr, steps: usize) -> Given {
        if e.op == AggregateOp::CountValues {
            let before = self.current;
            let argument = self.part(strip(&e.expr), steps);
            return self.at_each_step(expr, before, &[argument], steps);
        }
        let before = self.current;
        if let Some(param) = &e.param {
            self.part(strip(param), steps);
        }
        self.part(strip(&e.expr), steps);
        let given = self.given(expr, steps);
        self.current = before + given.total();
        self.note();
        given
    }

    fn call(&mut self, e: &Call, expr: &Expr, steps: usize) -> Given {
        let arguments: Vec<&Expr> = e.args.iter().map(strip).collect();
        match (e.function.name, arguments.as_slice()) {
            ("timestamp" | "start_timestamp", [Expr::Vector(_)]) => {
                let looked_at = self.entries.looked_at.get(&e.span).cloned().unwrap_or_default();
                return self.at_each_step(expr, self.current, &[looked_at], steps);
            }
            ("label_replace" | "label_join", [vector, ..]) => {
                self.part(vector, steps);
                return self.given(expr, steps);
            }
            ("info", [vector, ..]) => {
                let vector = self.operand(vector, steps);
                let infos = self.entries.looked_at.get(&e.span).cloned().unwrap_or_default();
                self.current += infos.total();
                self.note();
                return self.at_each_step(expr, self.current, &[vector, infos], steps);
            }
            _ => {}
        }
        let Some(range) = arguments.iter().find(|arg| arg.value_type() == ValueType::Matrix) else {
            let values: Vec<&Expr> =
                arguments.into_iter().filter(|arg| arg.value_type() != ValueType::String).collect();
            return self.by_steps(expr, &values, steps);
        };
        let inside = match range {
            Expr::Subquery(subquery) => self.inside_subquery(subquery),
            _ => 0,
        };
        for arg in arguments.iter().filter(|arg| arg.value_type() != ValueType::Matrix) {
            self.operand(arg, steps);
        }
        self.windows(e.span);
        self.current = self.current.saturating_sub(inside);
        self.given(expr, steps)
    }

    fn windows(&mut self, place: Span) {
        let windowed = self.entries.windowed.get(&place).copied().unwrap_or_default();
        self.peak = self.peak.max(self.current + windowed.peak);
        self.current += windowed.total;
        self.note();
    }

    /// What a subquery steps over; returns what it gave in all.
    fn inside_subquery(&mut self, e: &Subquery) -> u64 {
        let steps =
            self.plan.subqueries.iter().find(|(place, _)| *place == e.span).map_or(0, |(_, steps)| *steps);
        if steps == 0 {
            return 0;
        }
        let given = if is_invariant(&e.expr) { self.once(&e.expr, steps) } else { self.part(&e.expr, steps) };
        given.total()
    }
}

/// Whether an operand is computed once: it does not depend on the step, and is more than a number.
fn should_be_done_once(expr: &Expr) -> bool {
    let more = |expr: &Expr| match strip(expr) {
        Expr::Unary(e) => should_be_done_once(&e.expr),
        Expr::Aggregate(e) => should_be_done_once(&e.expr),
        Expr::Number(_) | Expr::String(_) | Expr::Matrix(_) => false,
        _ => true,
    };
    is_invariant(expr) && more(expr)
}
