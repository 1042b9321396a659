//! What an expression gives for many times becomes series, as if it had been evaluated for one time after the other: a time
//! for which that would have failed has no samples, and where a series is given no more it ends with a staleness marker.

use foldhash::HashSet;
use model::{Labels, STALE_NAN, Sample};
use promql::MatrixSeries;
use storage::SeriesSamples;

use super::plan::Steps;
use crate::error::RuleError;
use crate::outputs::LabelsMap;
use crate::recording::labelled;
use crate::rule::Rule;

/// The series that a rule gave at the last time for which its evaluation succeeded.
pub(super) type GoingOn = HashSet<Labels>;

/// What a rule gives for some times.
pub(super) struct Given<'a> {
    rule: &'a Rule,
    steps: Steps,
    series: LabelsMap<SeriesSamples>,
    /// Of each time, whether the evaluation for it failed.
    failed: Vec<bool>,
    errors: Vec<String>,
}

/// What is to be written of it.
pub(super) struct Made {
    pub(super) series: Vec<SeriesSamples>,
    /// For how many times the evaluation failed.
    pub(super) failures: u64,
    /// Why.
    pub(super) errors: Vec<String>,
}

impl<'a> Given<'a> {
    pub(super) fn new(rule: &'a Rule, steps: Steps) -> Self {
        Given {
            rule,
            steps,
            series: LabelsMap::default(),
            failed: vec![false; steps.count],
            errors: Vec::new(),
        }
    }

    /// The expression gave this series.
    pub(super) fn add(&mut self, given: MatrixSeries) {
        let labels = labelled(&given.labels, self.rule.name(), self.rule.labels());
        let series = self.series.entry(labels).or_insert_with_key(|labels| SeriesSamples {
            labels: labels.clone(),
            samples: Vec::new(),
            histograms: Vec::new(),
        });
        let floats = given.times.iter().zip(given.values);
        series.samples.extend(floats.map(|(&t, v)| Sample { t, v }));
        series.histograms.extend(given.histograms);
    }

    /// The evaluation for these times failed.
    pub(super) fn fail(&mut self, steps: Steps, error: String) {
        for index in (0..steps.count).filter_map(|i| self.steps.index(steps.at(i))) {
            if let Some(failed) = self.failed.get_mut(index) {
                *failed = true;
            }
        }
        self.errors.push(error);
    }

    /// All that is to be written.
    pub(super) fn finish(mut self, limit: i64, going_on: &mut GoingOn) -> Made {
        self.refuse_same_series();
        self.refuse_too_many(limit);
        let Given { steps, mut series, failed, errors, .. } = self;
        let good = |t: i64| steps.index(t).is_some_and(|at| failed.get(at) == Some(&false));
        // Of each time the next one whose evaluation succeeded.
        let mut next = vec![None; steps.count];
        let mut first = None;
        for (at, failed) in failed.iter().enumerate().rev() {
            if let Some(next) = next.get_mut(at) {
                *next = first;
            }
            if !failed {
                first = Some(at);
            }
        }
        let mut before = std::mem::take(going_on);
        let Some(first) = first else {
            *going_on = before;
            return Made { series: Vec::new(), failures: failed.len() as u64, errors };
        };
        for given in series.values_mut() {
            given.samples.retain(|sample| good(sample.t));
            given.histograms.retain(|sample| good(sample.t));
            let mut given_at: Vec<usize> = times(given).filter_map(|t| steps.index(t)).collect();
            given_at.sort_unstable();
            let mut ends = Vec::new();
            if before.remove(&given.labels) && given_at.first() != Some(&first) {
                ends.push(first);
            }
            for (i, &at) in given_at.iter().enumerate() {
                match next.get(at).copied().flatten() {
                    Some(next) if given_at.get(i + 1) != Some(&next) => ends.push(next),
                    Some(_) => {}
                    None => {
                        going_on.insert(given.labels.clone());
                    }
                }
            }
            if !ends.is_empty() {
                given.samples.extend(ends.into_iter().map(|at| marker(steps.at(at))));
                given.samples.sort_by_key(|sample| sample.t);
            }
        }
        for labels in before {
            let samples = vec![marker(steps.at(first))];
            series.insert(labels.clone(), SeriesSamples { labels, samples, histograms: Vec::new() });
        }
        let failures = failed.iter().filter(|failed| **failed).count() as u64;
        Made { series: series.into_values().collect(), failures, errors }
    }

    /// Series that differ only in labels that the rule sets must not be there at once.
    fn refuse_same_series(&mut self) {
        let mut twice = Vec::new();
        for series in self.series.values_mut() {
            let mut all: Vec<i64> = times(series).collect();
            if all.is_sorted_by(|a, b| a < b) {
                continue;
            }
            all.sort_unstable();
            twice.extend(all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]));
            series.samples.sort_by_key(|sample| sample.t);
            series.histograms.sort_by_key(|sample| sample.t);
        }
        self.fail_each(twice.into_iter(), || RuleError::SameSeries.to_string());
    }

    fn refuse_too_many(&mut self, limit: i64) {
        if limit <= 0 {
            return;
        }
        let mut counts = vec![0usize; self.steps.count];
        for t in self.series.values().flat_map(times) {
            if let Some(count) = self.steps.index(t).and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
        }
        let too_many = |count: usize| i64::try_from(count).unwrap_or(i64::MAX) > limit;
        let found = counts.iter().copied().max().unwrap_or(0);
        let steps = self.steps;
        let at = counts.iter().enumerate().filter(|(_, count)| too_many(**count));
        let at: Vec<i64> = at.map(|(at, _)| steps.at(at)).collect();
        self.fail_each(at.into_iter(), || RuleError::TooManySeries { limit, found }.to_string());
    }

    fn fail_each(&mut self, times: impl Iterator<Item = i64>, why: impl Fn() -> String) {
        let mut any = false;
        for at in times.filter_map(|t| self.steps.index(t)) {
            if let Some(failed) = self.failed.get_mut(at) {
                any |= !std::mem::replace(failed, true);
            }
        }
        if any {
            self.errors.push(why());
        }
    }
}

fn times(series: &SeriesSamples) -> impl Iterator<Item = i64> {
    series.samples.iter().map(|sample| sample.t).chain(series.histograms.iter().map(|sample| sample.t))
}

fn marker(t: i64) -> Sample {
    Sample { t, v: STALE_NAN }
}

/// Leaves out the samples that there are already: those at whose time, or nearer to it than half a step, the series has one.
pub(super) fn without_stored(series: &mut SeriesSamples, stored: &[i64], step: i64) {
    let is_stored = |t: i64| {
        let after =
            stored.partition_point(|&s| s.saturating_mul(2) <= t.saturating_mul(2).saturating_sub(step));
        stored.get(after).is_some_and(|&s| s.saturating_mul(2) <= t.saturating_mul(2).saturating_add(step))
    };
    series.samples.retain(|sample| !is_stored(sample.t));
    series.histograms.retain(|sample| !is_stored(sample.t));
}
