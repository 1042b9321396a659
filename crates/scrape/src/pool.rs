//! The targets of one job.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use discovery::TargetGroup;
use model::Labels;
use tokio::task::JoinSet;

use crate::job::Job;
use crate::metrics::PoolMetrics;
use crate::options::JobOptions;
use crate::scrape_loop::{self, Command, Environment, RunningLoop};
use crate::take_in::TargetState;
use crate::target::{self, Built, Discovered, Scraped, Target};

/// A job, its targets and their loops.
pub(crate) struct Pool {
    environment: Environment,
    pub(crate) job: Arc<Job>,
    groups: Vec<Arc<TargetGroup>>,
    /// What became of the targets of each group, by its address: a group that is still there is not relabelled again.
    outcomes: HashMap<usize, Outcomes>,
    active: HashMap<Labels, Active>,
    pub(crate) dropped: Vec<Discovered>,
    pub(crate) dropped_count: usize,
    /// Loops whose target is gone, until they have marked its series stale.
    retiring: JoinSet<()>,
    metrics: PoolMetrics,
}

struct Active {
    target: Arc<Target>,
    running: RunningLoop,
}

/// What relabelling made of a discovered target.
enum Outcome {
    /// Something to scrape, with these labels.
    Active(Labels),
    Dropped,
    Failed,
}

/// What became of the targets of a group.
enum Outcomes {
    /// Most groups of a large cluster are of no interest to most jobs.
    AllDropped(usize),
    Each(Box<[Outcome]>),
}

impl Outcomes {
    fn iter(&self) -> impl Iterator<Item = &Outcome> {
        let (dropped, each) = match self {
            Outcomes::AllDropped(count) => (*count, &[][..]),
            Outcomes::Each(each) => (0, &**each),
        };
        std::iter::repeat_n(&Outcome::Dropped, dropped).chain(each)
    }
}

impl FromIterator<Outcome> for Outcomes {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let each: Box<[Outcome]> = outcomes.into_iter().collect();
        if each.iter().all(|outcome| matches!(outcome, Outcome::Dropped)) {
            return Outcomes::AllDropped(each.len());
        }
        Outcomes::Each(each)
    }
}

/// A target that shall be scraped.
enum Found {
    /// It may be scraped already.
    Known(Discovered),
    New(Box<Target>),
}

impl Found {
    fn into_target(self, options: &JobOptions) -> Option<Box<Target>> {
        match self {
            Found::New(target) => Some(target),
            Found::Known(discovered) => match target::build(options, &discovered) {
                Ok(Built::Active(target)) => Some(target),
                Ok(Built::Dropped) | Err(_) => None,
            },
        }
    }

    fn into_discovered(self) -> Discovered {
        match self {
            Found::New(target) => target.discovered.into_inner(),
            Found::Known(discovered) => discovered,
        }
    }
}

impl Pool {
    pub(crate) fn new(environment: Environment, mut job: Job) -> Self {
        environment.metrics.pools.inc();
        let metrics = environment.metrics.pool(&job.options.name);
        metrics.target_limit.set(job.options.limits.targets as f64);
        job.lines = metrics.symbols.clone();
        Pool {
            environment,
            job: Arc::new(job),
            groups: Vec::new(),
            outcomes: HashMap::new(),
            active: HashMap::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            retiring: JoinSet::new(),
            metrics,
        }
    }

    /// Targets that are scraped.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.active.values().map(|active| &active.target)
    }

    /// Brings the targets in line with what was discovered. Those that stay are not touched.
    pub(crate) fn sync(&mut self, groups: &[Arc<TargetGroup>]) {
        if self.groups.len() == groups.len() && self.groups.iter().zip(groups).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return;
        }
        let start = Instant::now();
        let known = std::mem::take(&mut self.outcomes);
        // They hold the addresses of what is known.
        let before = std::mem::replace(&mut self.groups, groups.to_vec());
        let found = self.build_targets(known);
        drop(before);
        let mut gone = self.take_all_but(&found);
        for (labels, target) in found {
            match self.active.get(&labels) {
                Some(active) => *active.target.discovered.lock() = target.into_discovered(),
                None => {
                    let Some(target) = target.into_target(&self.job.options) else { continue };
                    let predecessor = gone.remove(&target.scraped());
                    self.run(labels, Arc::from(target), predecessor, true);
                }
            }
        }
        gone.into_values().for_each(|active| self.retire(active));
        self.after_sync(start);
    }

    /// Puts other options in force. Targets that are the same under them are scraped on at the same times, and keep
    /// what is known about their lines if that is still right.
    pub(crate) fn reload(&mut self, mut job: Job) {
        if job.options == self.job.options {
            return;
        }
        let start = Instant::now();
        self.environment.metrics.reloads.inc();
        let keeps_state = job.options.shares_series_with(&self.job.options);
        self.metrics.target_limit.set(job.options.limits.targets as f64);
        job.lines = self.metrics.symbols.clone();
        self.job = Arc::new(job);
        let found = self.build_targets(HashMap::new());
        let mut gone = self.take_all_but(&found);
        for (labels, target) in found {
            let Some(target) = target.into_target(&self.job.options) else { continue };
            let predecessor = self.active.remove(&labels).or_else(|| gone.remove(&target.scraped()));
            self.run(labels, Arc::from(target), predecessor, keeps_state);
        }
        gone.into_values().for_each(|active| self.retire(active));
        self.after_sync(start);
        let interval = model::duration::format_go(
            i64::try_from(self.job.options.scrape_interval.as_nanos()).unwrap_or(i64::MAX),
        );
        self.environment.metrics.reload_length(&interval).observe(start.elapsed().as_secs_f64());
    }

    /// The targets of all groups by their labels. `known` says what became of those of groups that were there before.
    fn build_targets(&mut self, mut known: HashMap<usize, Outcomes>) -> HashMap<Labels, Found> {
        let keep = self.job.options.limits.kept_dropped_targets;
        let mut found: HashMap<Labels, Found> = HashMap::with_capacity(self.active.len());
        self.dropped.clear();
        self.dropped_count = 0;
        self.outcomes.clear();
        if !self.groups.is_empty() {
            self.metrics.sync_failed();
        }
        for group in &self.groups {
            let address = Arc::as_ptr(group).addr();
            let outcomes = known.remove(&address).unwrap_or_else(|| {
                (0..group.targets.len()).map(|index| self.build_target(group, index, &mut found)).collect()
            });
            for (index, outcome) in outcomes.iter().enumerate() {
                let discovered = || Discovered { group: group.clone(), index };
                match outcome {
                    Outcome::Active(labels) => {
                        if !found.contains_key(labels) {
                            found.insert(labels.clone(), Found::Known(discovered()));
                        }
                    }
                    Outcome::Dropped => {
                        self.dropped_count += 1;
                        if keep == 0 || self.dropped.len() < keep {
                            self.dropped.push(discovered());
                        }
                    }
                    Outcome::Failed => {}
                }
            }
            self.outcomes.insert(address, outcomes);
        }
        found
    }

    /// Relabels a target; what is to be scraped goes to `found`, unless another target has the same labels.
    fn build_target(
        &self,
        group: &Arc<TargetGroup>,
        index: usize,
        found: &mut HashMap<Labels, Found>,
    ) -> Outcome {
        let options = &self.job.options;
        match target::build(options, &Discovered { group: group.clone(), index }) {
            Ok(Built::Active(target)) => {
                let labels = target.labels.clone();
                found.entry(labels.clone()).or_insert(Found::New(target));
                Outcome::Active(labels)
            }
            Ok(Built::Dropped) => Outcome::Dropped,
            Err(err) => {
                self.metrics.sync_failed().inc();
                let err = format!("instance {index} in group {}: {err}", group.source);
                tracing::error!(component = "scrape manager", scrape_pool = %options.name, err, "Creating target failed");
                Outcome::Failed
            }
        }
    }

    /// Takes out the targets that are not in `found`, by what is scraped of them.
    fn take_all_but(&mut self, found: &HashMap<Labels, Found>) -> HashMap<Scraped, Active> {
        let mut taken = HashMap::new();
        for (_, active) in self.active.extract_if(|labels, _| !found.contains_key(labels)) {
            // Two of them can have told the two apart by labels that are gone.
            if let Some(other) = taken.insert(active.target.scraped(), active) {
                retire(&mut self.retiring, other);
            }
        }
        taken
    }

    /// Starts the loop of a target. If the same is scraped already, under other options or labels that its series do not have, the
    /// loop takes over from that one.
    fn run(&mut self, labels: Labels, target: Arc<Target>, predecessor: Option<Active>, keeps_state: bool) {
        let mut previous = None;
        if let Some(active) = predecessor {
            *target.status.lock() = active.target.status.lock().clone();
            *target.metadata.lock() = active.target.metadata.lock().clone();
            if keeps_state {
                let _ = active.running.command.send(Command::HandOver);
                previous = Some(active.running.task);
            } else {
                self.retire(active);
            }
        }
        let (environment, job) = (self.environment.clone(), self.job.clone());
        let running = scrape_loop::start(environment, job, target.clone(), previous);
        self.active.insert(labels, Active { target, running });
    }

    fn retire(&mut self, active: Active) {
        retire(&mut self.retiring, active);
    }

    fn after_sync(&mut self, start: Instant) {
        let (count, limit) = (self.active.len(), self.job.options.limits.targets);
        let exceeded = limit > 0 && count > limit;
        if exceeded {
            self.environment.metrics.exceeded_target_limit.inc();
        }
        *self.job.forced_error.write() = exceeded
            .then(|| format!("target_limit exceeded (number of targets: {count}, limit: {limit})").into());
        self.metrics.targets.set(count as f64);
        let took = start.elapsed().as_secs_f64();
        self.metrics.sync_length.observe(took);
        self.metrics.sync_length_histogram.observe(took);
        self.metrics.syncs.inc();
    }

    /// Ends the job: its series will be marked stale by the task that is returned.
    pub(crate) fn remove(mut self) -> JoinSet<()> {
        for (_, active) in std::mem::take(&mut self.active) {
            self.retire(active);
        }
        self.environment.metrics.forget_pool(&self.job.options.name);
        self.retiring
    }

    /// Asks all loops to stop after their running scrapes; the tasks to wait for.
    pub(crate) fn stop(&mut self) -> Vec<tokio::task::JoinHandle<TargetState>> {
        self.retiring.abort_all();
        let stopping = std::mem::take(&mut self.active);
        stopping
            .into_values()
            .map(|active| {
                let _ = active.running.command.send(Command::Stop);
                active.running.task
            })
            .collect()
    }
}

/// Ends the loop of a target that is gone, in a task of `retiring`.
fn retire(retiring: &mut JoinSet<()>, active: Active) {
    while retiring.try_join_next().is_some() {}
    retiring.spawn(async move {
        let _ = active.running.command.send(Command::Retire);
        let abort = AbortOnDrop(active.running.task);
        abort.wait().await;
    });
}

/// A task that must not outlive who waits for it.
struct AbortOnDrop(tokio::task::JoinHandle<TargetState>);

impl AbortOnDrop {
    async fn wait(mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
