//! Which rules of a group read what others write.

use std::collections::HashMap;

use model::{METRIC_NAME, MatchOp, Matcher};
use promql::Prepared;
use promql::ast::Expr;

use crate::rule::Rule;

/// The series of alerts.
pub(crate) const ALERTS: &str = "ALERTS";
/// The series that say since when they are active.
pub(crate) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// Label of the alert's name.
pub(crate) const ALERT_NAME: &str = "alertname";

/// What the rules of a group write.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// By the name of the metric, who writes it, in order.
    recorded: HashMap<String, Vec<usize>>,
    /// Rules with the alerts that they name, in order.
    alerts: Vec<(usize, String)>,
}

impl Written {
    pub(crate) fn by(rules: &[Rule]) -> Self {
        let mut written = Written::default();
        for (i, rule) in rules.iter().enumerate() {
            if rule.is_alerting() {
                written.alerts.push((i, rule.name().to_owned()));
            } else {
                written.recorded.entry(rule.name().to_owned()).or_default().push(i);
            }
        }
        written
    }

    /// One more than the last rule before `reader` that may write series which match; zero if there is none.
    pub(crate) fn version(&self, reader: usize, matchers: &[Matcher]) -> usize {
        let mut last = 0;
        self.each_writer(matchers, |writer| {
            if writer < reader {
                last = last.max(writer + 1);
            }
        });
        last
    }

    fn each_writer(&self, matchers: &[Matcher], mut f: impl FnMut(usize)) {
        let of = |label: &'static str| matchers.iter().filter(move |m| &*m.name == label);
        let matches = |label: &'static str, value: &str| of(label).all(|m| m.matches(value));
        let fixed = of(METRIC_NAME).find(|m| m.op == MatchOp::Equal);
        match fixed {
            Some(name) => self.recorded.get(&*name.value).into_iter().flatten().copied().for_each(&mut f),
            None => {
                let matching = self.recorded.iter().filter(|(name, _)| matches(METRIC_NAME, name));
                matching.flat_map(|(_, writers)| writers).copied().for_each(&mut f);
            }
        }
        if matches(METRIC_NAME, ALERTS) || matches(METRIC_NAME, ALERTS_FOR_STATE) {
            let matching = self.alerts.iter().filter(|(_, name)| matches(ALERT_NAME, name));
            matching.map(|(writer, _)| *writer).for_each(&mut f);
        }
    }
}

/// Runs of rules, one after the other, each of which may be evaluated side by side: first those that read nothing that
/// another writes, then those in between one by one, then those that nothing reads.
pub(crate) fn batches(rules: &[Rule]) -> Vec<Vec<usize>> {
    let one_by_one = || (0..rules.len()).map(|i| vec![i]).collect();
    let written = Written::by(rules);
    let mut reads = vec![false; rules.len()];
    let mut is_read = vec![false; rules.len()];
    for (reader, rule) in rules.iter().enumerate() {
        let mut selectors = Vec::new();
        gather_matchers(rule.prepared(), &mut selectors);
        for matchers in selectors {
            if !matchers.iter().any(|m| &*m.name == METRIC_NAME) {
                return one_by_one();
            }
            written.each_writer(matchers, |writer| {
                if writer < reader {
                    if let Some(reads) = reads.get_mut(reader) {
                        *reads = true;
                    }
                    if let Some(is_read) = is_read.get_mut(writer) {
                        *is_read = true;
                    }
                }
            });
        }
    }
    let (mut first, mut between, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (i, (reads, is_read)) in reads.into_iter().zip(is_read).enumerate() {
        match (reads, is_read) {
            (false, _) => first.push(i),
            (true, true) => between.push(vec![i]),
            (true, false) => last.push(i),
        }
    }
    let mut all = vec![first];
    all.extend(between);
    all.push(last);
    all.retain(|batch| !batch.is_empty());
    all
}

/// Matchers of every selector in an expression.
pub(crate) fn gather_matchers<'a>(expr: &'a Prepared, out: &mut Vec<&'a [Matcher]>) {
    fn walk<'a>(expr: &'a Expr, out: &mut Vec<&'a [Matcher]>) {
        match expr {
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Vector(selector) => out.push(&selector.matchers),
            Expr::Matrix(matrix) => out.push(&matrix.selector.matchers),
            Expr::Subquery(subquery) => walk(&subquery.expr, out),
            Expr::Paren(paren) => walk(&paren.expr, out),
            Expr::Unary(unary) => walk(&unary.expr, out),
            Expr::Binary(binary) => {
                walk(&binary.left, out);
                walk(&binary.right, out);
            }
            Expr::Call(call) => call.args.iter().for_each(|arg| walk(arg, out)),
            Expr::Aggregate(aggregate) => {
                aggregate.param.iter().for_each(|param| walk(param, out));
                walk(&aggregate.expr, out);
            }
        }
    }
    walk(expr.expr(), out);
}
