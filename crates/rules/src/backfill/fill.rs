//! Carries out a plan.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use model::{Labels, METRIC_NAME, Matcher};
use promql::{MatrixSeries, Overrides, QueryError, Value};
use storage::{
    MemoryAccount, MemoryStore, Merged, Projection, QueryContext, Request, Select, SelectError, labels_size,
};

use super::metrics::Metrics;
use super::plan::{Plan, PlannedGroup, PlannedRule, Steps};
use super::queue::Job;
use super::step::{Given, GoingOn, Made, without_stored};
use super::{BackfillOptions, FillIn};
use crate::environment::samples_of;
use crate::rule::Rule;

/// Account in the memory budget.
const ACCOUNT: &str = "rules_backfill";
/// With more samples than this in memory a block is written before its time is evaluated to the end.
const MOST_SAMPLES: usize = 1 << 21;
const BYTES_PER_SAMPLE: u64 = 24;
/// Further queries of one rule and block that look for the times at which its expression can be evaluated, if it cannot be
/// for all at once.
const MOST_SPLITS: usize = 64;
/// What depends on the range of a query, not on each of its times.
const OF_THE_RANGE: [&str; 4] = ["start()", "end()", "step()", "range()"];

/// Why it was not carried out to the end.
pub(super) enum Ended {
    Cancelled,
    /// Nothing can be written, or what there is cannot be read.
    Broken(String),
}

/// Carries it out.
pub(super) fn carry_out(
    plan: &Plan,
    options: &BackfillOptions,
    job: &Job,
    metrics: &Metrics,
) -> Result<(), Ended> {
    let history = &*options.history;
    let recorded = Arc::new(MemoryStore::new());
    let mut fill = Fill {
        options,
        job,
        metrics,
        writer: history.fill_in(),
        stored: Merged::new(vec![history.stored(), Arc::clone(&recorded) as _]),
        with_recorded: Merged::new(vec![Arc::clone(&options.reader), Arc::clone(&recorded) as _]),
        recorded,
        samples: 0,
        account: options.memory.account(ACCOUNT),
        held: 0,
    };
    let rules = plan.groups.iter().map(|group| group.rules.len()).sum();
    let mut going_on: Vec<GoingOn> = vec![GoingOn::default(); rules];
    let range = history.block_range().max(1);
    let mut start = plan.start.saturating_sub(plan.start.rem_euclid(range));
    while start <= plan.end {
        let end = start.saturating_add(range);
        let mut going_on = going_on.iter_mut();
        for group in &plan.groups {
            let steps = group.steps.within(start, end);
            for (rule, going_on) in group.rules.iter().zip(&mut going_on) {
                if steps.count > 0 {
                    fill.rule(group, rule, steps, going_on)?;
                }
                if fill.samples > MOST_SAMPLES {
                    fill.write(start, end)?;
                }
            }
        }
        fill.write(start, end)?;
        job.update(|progress| progress.written_until = Some(end.min(plan.end.saturating_add(1))));
        start = end;
    }
    Ok(())
}

struct Fill<'a> {
    options: &'a BackfillOptions,
    job: &'a Job,
    metrics: &'a Metrics,
    writer: Box<dyn FillIn + 'a>,
    /// What was recorded and is not written yet.
    recorded: Arc<MemoryStore>,
    /// All samples that there are of what rules record.
    stored: Merged,
    /// What expressions read that may read what was recorded.
    with_recorded: Merged,
    /// Number of those that are recorded and not written.
    samples: usize,
    account: MemoryAccount,
    /// Bytes accounted.
    held: u64,
}

impl Drop for Fill<'_> {
    fn drop(&mut self) {
        self.account.sub(self.held);
    }
}

impl Fill<'_> {
    /// Evaluates a rule for these times.
    fn rule(
        &mut self,
        group: &PlannedGroup,
        planned: &PlannedRule,
        steps: Steps,
        going_on: &mut GoingOn,
    ) -> Result<(), Ended> {
        let Some(rule) = group.rule(planned) else { return Ok(()) };
        self.job.wait_for_memory(&self.options.memory).map_err(|()| Ended::Cancelled)?;
        let given = self.evaluate(rule, planned.reads_recorded, steps)?;
        let mut made = given.finish(group.group.limit(), going_on);
        if !made.series.is_empty() {
            let stored = self.stored_times(rule, steps)?;
            for series in &mut made.series {
                if let Some(stored) = stored.get(&series.labels) {
                    without_stored(series, stored, steps.step);
                }
            }
        }
        self.metrics.failures.add(made.failures as f64);
        let Made { series, failures, errors } = made;
        for series in series {
            self.record(rule, &series);
        }
        self.job.update(|progress| {
            progress.evaluations += steps.count as u64;
            progress.failures += failures;
        });
        for error in errors {
            self.job.note_error(group, rule, &error);
        }
        Ok(())
    }

    fn record(&mut self, rule: &Rule, series: &storage::SeriesSamples) {
        let count = series.samples.len() + series.histograms.len();
        if count == 0 {
            return;
        }
        let histograms = series.histograms.iter().map(|sample| (sample.t, (*sample.histogram).clone()));
        let samples = self.recorded.insert(&series.labels, series.samples.iter().copied());
        let histograms = self.recorded.insert_histograms(&series.labels, histograms);
        if samples.is_err() || histograms.is_err() {
            // Its samples are at the times that the other has none at.
            tracing::debug!(name = rule.name(), series = %series.labels, "Another rule records the same series");
        }
        self.samples += count;
        let bytes = labels_size(&series.labels) + count as u64 * BYTES_PER_SAMPLE;
        self.account.add(bytes);
        self.held += bytes;
    }

    /// Writes what was recorded.
    fn write(&mut self, start: i64, end: i64) -> Result<(), Ended> {
        if self.job.is_cancelled() {
            return Err(Ended::Cancelled);
        }
        if self.samples > 0 {
            let series = self.recorded.take();
            let written = self.writer.write(&series, start, end).map_err(|e| Ended::Broken(e.to_string()))?;
            self.metrics.samples.add(written as f64);
            self.metrics.blocks.inc();
            self.job.update(|progress| {
                progress.samples += written;
                progress.blocks += 1;
            });
        }
        self.samples = 0;
        self.account.sub(self.held);
        self.held = 0;
        Ok(())
    }

    fn evaluate<'r>(&self, rule: &'r Rule, reads_recorded: bool, steps: Steps) -> Result<Given<'r>, Ended> {
        let mut given = Given::new(rule, steps);
        let one_by_one = OF_THE_RANGE.iter().any(|function| rule.query().contains(function));
        let mut todo = match one_by_one {
            true => (0..steps.count).rev().map(|i| Steps { first: steps.at(i), count: 1, ..steps }).collect(),
            false => vec![steps],
        };
        let mut splits = 0;
        while let Some(steps) = todo.pop() {
            match self.query(rule, reads_recorded, steps, one_by_one) {
                Ok(series) => series.into_iter().for_each(|series| given.add(series)),
                Err(QueryError::Cancelled(_)) => return Err(Ended::Cancelled),
                // Perhaps it fails at some times only, or takes too much for all of them.
                Err(QueryError::Execution(_) | QueryError::Timeout(_))
                    if steps.count > 1 && splits < MOST_SPLITS =>
                {
                    splits += 1;
                    let (first, second) = steps.split();
                    todo.extend([second, first]);
                }
                Err(error) => given.fail(steps, error.to_string()),
            }
        }
        Ok(given)
    }

    /// What the expression gives for these times.
    fn query(
        &self,
        rule: &Rule,
        reads_recorded: bool,
        steps: Steps,
        instant: bool,
    ) -> Result<Vec<MatrixSeries>, QueryError> {
        let store: &dyn Select = match reads_recorded {
            true => &self.with_recorded,
            false => &*self.options.reader,
        };
        let (engine, overrides) = (&self.options.engine, Overrides::default());
        let context = self.context();
        let running = self.job.run(&context);
        let first = steps.first;
        if instant {
            let result = engine.instant(store, &running, rule.query(), first, &overrides)?;
            let samples = samples_of(result).map_err(|error| QueryError::Execution(error.to_string()))?;
            return Ok(samples.into_iter().map(series_of).collect());
        }
        let last = steps.last().unwrap_or(first);
        let result = engine.range(store, &running, rule.query(), first, last, steps.step, &overrides)?;
        Ok(match result.value {
            Value::Matrix(series) => series,
            _ => Vec::new(),
        })
    }

    fn context(&self) -> Arc<QueryContext> {
        let BackfillOptions { engine, query_timeout, memory, .. } = self.options;
        let deadline = Instant::now() + *query_timeout;
        let context = QueryContext::new(Some(deadline), engine.options().max_samples);
        Arc::new(context.with_memory(memory.account(ACCOUNT)))
    }

    /// The times of the samples that there are of what the rule records.
    fn stored_times(&self, rule: &Rule, steps: Steps) -> Result<HashMap<Labels, Vec<i64>>, Ended> {
        let mut matchers = vec![Matcher::equal(METRIC_NAME, rule.name())];
        matchers
            .extend(rule.labels().iter().map(|(name, value)| Matcher::equal(name.as_str(), value.as_str())));
        let request = Request {
            matchers: &matchers,
            min_time: steps.first.saturating_sub(steps.step),
            max_time: steps.last().unwrap_or(steps.first).saturating_add(steps.step),
            labels: Projection::All,
            newest: None,
        };
        let context = self.context();
        let running = self.job.run(&context);
        let read = || -> Result<_, SelectError> {
            let mut all = HashMap::new();
            for mut part in self.stored.select(&running, &request)? {
                while let Some(series) = part.next()? {
                    let mut times = Vec::new();
                    for chunk in series.chunks.iter() {
                        chunk.times(&mut times).map_err(|e| SelectError::Corrupt(e.to_string()))?;
                    }
                    times.sort_unstable();
                    running.hold(times.len() as u64)?;
                    all.insert(series.labels, times);
                }
            }
            Ok(all)
        };
        read().map_err(|error| match error {
            SelectError::Interrupted(storage::Interrupted::Cancelled) => Ended::Cancelled,
            error => Ended::Broken(format!("reading what {} has already: {error}", rule.name())),
        })
    }
}

fn series_of(sample: promql::VectorSample) -> MatrixSeries {
    let (mut times, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
    match sample.histogram {
        Some(histogram) => histograms.push(model::histogram::HistogramSample { t: sample.t, histogram }),
        None => {
            times.push(sample.t);
            values.push(sample.v);
        }
    }
    MatrixSeries { labels: sample.labels, times: times.into(), values, histograms }
}
