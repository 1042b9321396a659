//! A group: rules that are evaluated one after the other, for one time.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use model::{Labels, STALE_NAN};
use parking_lot::Mutex;
use promql::Together;
use storage::{Affinity, AppendError, Batch, BatchSample, Outcome, QueryContext};

use crate::alerting::{Alerting, Expanded};
use crate::dependencies::{Written, batches};
use crate::environment::{Environment, samples_of};
use crate::error::{GroupError, RuleError};
use crate::metrics::{GroupMetrics, Metrics};
use crate::options::GroupOptions;
use crate::outputs::{Destination, Outputs, Refused};
use crate::recording::Recorded;
use crate::rule::{Health, Rule};
use crate::schedule;
use crate::time::Time;

/// How the last evaluation of a group went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupStatus {
    /// How long it took.
    pub evaluation_time: Duration,
    /// When it began.
    pub last_evaluation: Option<Time>,
}

/// Rules of one file under one name.
pub struct Group {
    options: GroupOptions,
    pub(crate) rules: Vec<Rule>,
    environment: Arc<Environment>,
    pub(crate) metrics: GroupMetrics,
    phase: i64,
    affinity: Affinity,
    written: Written,
    /// Which rules may be evaluated side by side; none: they take turns.
    batches: Option<Vec<Vec<usize>>>,
    status: Mutex<GroupStatus>,
    /// Taken for as long as an evaluation runs.
    work: Mutex<Work>,
    /// Another one took its place, or none.
    replaced: AtomicBool,
}

#[derive(Default)]
struct Work {
    rules: Vec<Mutex<RuleWork>>,
    /// Series of rules that are no more, whose end is to be told.
    stale: Vec<Labels>,
    evaluations: u64,
    restored: bool,
}

#[derive(Default)]
struct RuleWork {
    outputs: Outputs,
    recorded: Recorded,
    expanded: Expanded,
}

impl Group {
    /// Its rules, if all of them are in order.
    pub(crate) fn parse(options: &GroupOptions, environment: &Environment) -> Result<Vec<Rule>, GroupError> {
        if options.interval.is_zero() {
            return Err(GroupError::NoInterval { file: options.file.clone(), group: options.name.clone() });
        }
        let of_server = &environment.options;
        let parse = of_server.engine.options().parse;
        let rule = |rule| {
            Rule::new(rule, &options.labels, &parse, &of_server.external_url.url)
                .map_err(|error| GroupError::Expression { file: options.file.clone(), error })
        };
        options.rules.iter().map(rule).collect()
    }

    /// `restored`: the state of alerts is not to be looked for in the store.
    pub(crate) fn new(
        options: GroupOptions,
        rules: Vec<Rule>,
        restored: bool,
        environment: &Arc<Environment>,
        metrics: &Metrics,
    ) -> Self {
        let key = key(&options.file, &options.name);
        let mut hasher = FixedState::with_seed(0).build_hasher();
        hasher.write(key.as_bytes());
        if restored {
            rules.iter().filter_map(Rule::alerting).for_each(Alerting::set_restored);
        }
        let works = rules.iter().map(|_| Mutex::default()).collect();
        Group {
            metrics: metrics.group(&key, options.interval.as_secs_f64(), rules.len()),
            phase: schedule::phase(&options.file, &options.name, options.interval),
            affinity: Affinity(hasher.finish()),
            written: Written::by(&rules),
            batches: (environment.options.concurrent_rules > 0).then(|| batches(&rules)),
            environment: Arc::clone(environment),
            options,
            rules,
            status: Mutex::default(),
            work: Mutex::new(Work { rules: works, restored, ..Work::default() }),
            replaced: AtomicBool::new(false),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The file that it is written in.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.options.file
    }

    /// How often it is evaluated.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.options.interval
    }

    /// Most series or alerts of a rule; none if not positive.
    #[must_use]
    pub fn limit(&self) -> i64 {
        self.options.limit
    }

    /// In their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How its last evaluation went.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        *self.status.lock()
    }

    /// The last time at or before `now` for which it is to be evaluated.
    #[must_use]
    pub fn slot(&self, now: Time) -> Time {
        schedule::slot(now, self.options.interval, self.phase)
    }

    pub(crate) fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// Evaluates every rule for the time `at`. After the second time the state of alerts is restored, if it is to be:
    /// before, what other rules record may be missing.
    pub fn evaluate(&self, at: Time) {
        let mut work = self.work.lock();
        if self.is_ending() {
            return;
        }
        let (began, clock) = (Time::now(), Instant::now());
        self.metrics.scheduled.inc();
        self.evaluate_rules(at, &mut work);
        let took = clock.elapsed();
        self.metrics.group_duration.observe(took.as_secs_f64());
        self.metrics.group_duration_histogram.observe(took.as_secs_f64());
        let sum: f64 = self.rules.iter().map(|rule| rule.status().evaluation_time.as_secs_f64()).sum();
        self.metrics.last_rule_duration_sum.set(sum);
        self.metrics.last_duration.set(took.as_secs_f64());
        self.metrics.last_evaluation.set(began.0 as f64 / 1e9);
        *self.status.lock() = GroupStatus { evaluation_time: took, last_evaluation: Some(began) };
        work.evaluations += 1;
        if !work.restored && work.evaluations >= 2 && !self.is_ending() {
            work.restored = true;
            self.restore(at.after(took));
        }
    }

    /// Evaluations that were not begun in time.
    pub(crate) fn note_missed(&self, missed: i64) {
        if missed > 0 {
            self.metrics.missed.add(missed as f64);
            self.metrics.scheduled.add(missed as f64);
        }
    }

    pub(crate) fn query_offset(&self) -> Duration {
        self.options.query_offset.unwrap_or_else(|| self.environment.settings().0.query_offset)
    }

    fn is_ending(&self) -> bool {
        self.replaced.load(Ordering::Relaxed) || self.environment.is_stopping()
    }

    fn evaluate_rules(&self, at: Time, work: &mut Work) {
        let asked_for = at.before(self.query_offset());
        let common = self.environment.common_context();
        let of_server = &self.environment.options;
        let exprs = self.rules.iter().map(Rule::prepared);
        let together = of_server.engine.together(
            &*of_server.reader,
            &common,
            exprs,
            asked_for.millis(),
            |rule, read| self.written.version(rule, read),
        );
        let evaluation = Evaluation { group: self, together, at, asked_for, samples: AtomicUsize::new(0) };
        let whole = match &self.batches {
            None => (0..self.rules.len()).all(|i| evaluation.rule(i, &work.rules)),
            Some(batches) => batches.iter().all(|batch| evaluation.side_by_side(batch, &work.rules)),
        };
        if !whole {
            return;
        }
        self.metrics.samples.set(evaluation.samples.into_inner() as f64);
        self.end_stale(&mut work.stale, asked_for);
    }

    /// Marks series of rules that are no more as ended.
    fn end_stale(&self, stale: &mut Vec<Labels>, at: Time) {
        if stale.is_empty() {
            return;
        }
        let store = &*self.environment.options.appender;
        let mut batch = Batch { in_order_only: true, ..Batch::default() };
        let mut append = || {
            for labels in stale.iter() {
                let series = store.resolve(self.affinity, labels)?.series;
                batch.samples.push(BatchSample { series, t: at.millis(), v: STALE_NAN });
            }
            // What is refused, another rule went on with.
            store.append(&batch, &mut Outcome::default())
        };
        match append() {
            Ok(()) => stale.clear(),
            Err(error) => self.warn("Stale sample appending for previous configuration failed", &error),
        }
    }

    fn warn(&self, message: &str, error: &AppendError) {
        tracing::warn!(
            component = "rule manager",
            file = self.file(),
            group = self.name(),
            err = %error,
            "{message}"
        );
    }

    /// Whether a group of these options and rules would be the same.
    pub(crate) fn equals(&self, options: &GroupOptions, rules: &[Rule]) -> bool {
        let own = &self.options;
        own.name == options.name
            && own.file == options.file
            && own.interval == options.interval
            && own.limit == options.limit
            && own.query_offset == options.query_offset
            && self.rules.len() == rules.len()
            && self.rules.iter().zip(rules).all(|(a, b)| a.equals(b))
    }

    /// Ends evaluations, after the rule that is being evaluated.
    pub(crate) fn end(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Waits until no rule is being evaluated.
    pub(crate) fn wait(&self) {
        drop(self.work.lock());
    }

    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Takes over what a group, which has ended, knows of the rules that both have. Equal rules are matched in their order.
    pub(crate) fn succeed(&self, old: &Group) {
        *self.status.lock() = *old.status.lock();
        let (mut work, mut from) = (self.work.lock(), old.work.lock());
        let mut left: Vec<Option<&Rule>> = old.rules.iter().map(Some).collect();
        for (i, rule) in self.rules.iter().enumerate() {
            let at = left.iter().position(|other| other.is_some_and(|other| rule.is_successor_of(other)));
            let Some(at) = at else { continue };
            let other = left.get_mut(at).and_then(Option::take);
            if let (Some(mine), Some(theirs)) = (work.rules.get(i), from.rules.get(at)) {
                // What templates made is made anew: they may be others.
                mine.lock().outputs = std::mem::take(&mut theirs.lock().outputs);
            }
            if let (Some(mine), Some(theirs)) = (rule.alerting(), other.and_then(Rule::alerting)) {
                mine.succeed(theirs);
            }
        }
        work.stale.append(&mut from.stale);
        for (_, rule) in left.iter().zip(&from.rules).filter(|(other, _)| other.is_some()) {
            work.stale.extend(rule.lock().outputs.going_on().cloned());
        }
    }

    /// The group is no more: marks all of its series as ended at `at`.
    pub(crate) fn end_series(&self, at: Time) {
        let mut work = self.work.lock();
        let Work { rules, stale, .. } = &mut *work;
        for rule in rules.drain(..) {
            stale.extend(rule.into_inner().outputs.going_on().cloned());
        }
        self.end_stale(stale, at.before(self.query_offset()));
    }
}

/// The name of a group in metrics.
pub(crate) fn key(file: &str, name: &str) -> String {
    format!("{file};{name}")
}

/// One evaluation of a group.
struct Evaluation<'a> {
    group: &'a Group,
    together: Together<'a>,
    at: Time,
    /// What expressions are evaluated for.
    asked_for: Time,
    /// Made by all rules.
    samples: AtomicUsize,
}

impl Evaluation<'_> {
    /// Evaluates rules on several threads, if there are any; whether it was not ended.
    fn side_by_side(&self, rules: &[usize], work: &[Mutex<RuleWork>]) -> bool {
        let environment = &self.group.environment;
        let further = if rules.len() > 1 { environment.lease(rules.len() - 1) } else { 0 };
        let next = AtomicUsize::new(0);
        let serve = || {
            while let Some(&rule) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !self.rule(rule, work) {
                    return;
                }
            }
        };
        if further == 0 {
            serve();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..further {
                    scope.spawn(serve);
                }
                serve();
            });
            environment.give_back(further);
        }
        !self.group.is_ending()
    }

    /// Evaluates one rule; whether the evaluation was not ended before.
    fn rule(&self, index: usize, work: &[Mutex<RuleWork>]) -> bool {
        if self.group.is_ending() {
            return false;
        }
        let (Some(rule), Some(work)) = (self.group.rules.get(index), work.get(index)) else { return false };
        let (began, clock) = (Time::now(), Instant::now());
        let metrics = &self.group.metrics;
        metrics.evaluated.inc();
        let context = self.group.environment.context();
        if let Err(error) = self.evaluate(rule, index, &context, &mut work.lock()) {
            rule.set_outcome(Health::Bad, Some(&error.to_string()));
            metrics.failed.inc();
            if !error.is_cancelled() {
                tracing::warn!(
                    component = "rule manager",
                    file = self.group.file(),
                    group = self.group.name(),
                    name = rule.name(),
                    index,
                    err = %error,
                    "{}",
                    match error {
                        RuleError::Append(_) => "Rule sample appending failed",
                        _ => "Evaluating rule failed",
                    }
                );
            }
        }
        let took = clock.elapsed();
        metrics.rule_duration.observe(took.as_secs_f64());
        metrics.rule_duration_histogram.observe(took.as_secs_f64());
        rule.set_evaluated(began, took);
        true
    }

    fn evaluate(
        &self,
        rule: &Rule,
        index: usize,
        context: &QueryContext,
        work: &mut RuleWork,
    ) -> Result<(), RuleError> {
        let Group { environment, affinity, options, .. } = self.group;
        let samples = samples_of(self.together.evaluate(index, context)?)?;
        rule.set_series(samples.len());
        let RuleWork { outputs, recorded, expanded } = work;
        outputs.begin();
        let limit = options.limit;
        let to_write = match rule.alerting() {
            None => recorded.record(rule.name(), rule.labels(), limit, samples, outputs)?,
            Some(alerting) => {
                let to_write = alerting.evaluate(samples, self.at, limit, environment, expanded, outputs)?;
                let due = alerting.take_due(self.at, environment.options.resend_delay, options.interval);
                if !due.is_empty() {
                    environment.options.notify.notify(due);
                }
                to_write
            }
        };
        rule.set_outcome(Health::Good, None);
        self.samples.fetch_add(to_write.len(), Ordering::Relaxed);
        let to = Destination { store: &*environment.options.appender, affinity: *affinity };
        let t = self.asked_for.millis();
        let mut refused = Refused::default();
        for sample in &to_write {
            outputs.write(to, sample, t, &mut refused);
        }
        let committed = outputs.commit(to, t, &mut refused);
        self.note_refused(rule, index, &refused);
        committed.map_err(|error| RuleError::Append(error.to_string()))
    }

    fn note_refused(&self, rule: &Rule, index: usize, refused: &Refused) {
        let Some(last) = &refused.last else { return };
        rule.set_outcome(Health::Bad, Some(last));
        let (file, group, name) = (self.group.file(), self.group.name(), rule.name());
        let counted = [
            (refused.out_of_order, "Error on ingesting out-of-order result from rule evaluation"),
            (refused.too_old, "Error on ingesting too old result from rule evaluation"),
            (
                refused.duplicates,
                "Error on ingesting results from rule evaluation with different value but same timestamp",
            ),
        ];
        for (num_dropped, message) in counted.into_iter().filter(|(count, _)| *count > 0) {
            tracing::warn!(component = "rule manager", file, group, name, index, num_dropped, "{message}");
        }
        for (labels, err) in &refused.others {
            let sample = labels.to_string();
            let err = err.as_str();
            tracing::warn!(
                component = "rule manager",
                file,
                group,
                name,
                index,
                err,
                sample,
                "Rule evaluation result discarded"
            );
        }
    }
}
