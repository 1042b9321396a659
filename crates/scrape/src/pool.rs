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
use crate::target::{self, Built, Discovered, Target};

/// A job, its targets and their loops.
pub(crate) struct Pool {
    environment: Environment,
    pub(crate) job: Arc<Job>,
    groups: Vec<Arc<TargetGroup>>,
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

impl Pool {
    pub(crate) fn new(environment: Environment, job: Job) -> Self {
        environment.metrics.pools.inc();
        let metrics = environment.metrics.pool(&job.options.name);
        metrics.target_limit.set(job.options.limits.targets as f64);
        Pool {
            environment,
            job: Arc::new(job),
            groups: Vec::new(),
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
        self.groups = groups.to_vec();
        let start = Instant::now();
        let found = self.build_targets();
        self.retire_all_but(&found);
        for (labels, target) in found {
            match self.active.get(&labels) {
                Some(active) => *active.target.discovered.lock() = target.discovered.into_inner(),
                None => {
                    let target = Arc::new(target);
                    let running =
                        scrape_loop::start(self.environment.clone(), self.job.clone(), target.clone(), None);
                    self.active.insert(labels, Active { target, running });
                }
            }
        }
        self.after_sync(start);
    }

    /// Puts other options in force. Targets that are the same under them are scraped on at the same times, and keep
    /// what is known about their lines if that is still right.
    pub(crate) fn reload(&mut self, job: Job) {
        if job.options == self.job.options {
            return;
        }
        let start = Instant::now();
        self.environment.metrics.reloads.inc();
        let keeps_state = job.options.shares_series_with(&self.job.options);
        self.metrics.target_limit.set(job.options.limits.targets as f64);
        self.job = Arc::new(job);
        let found = self.build_targets();
        self.retire_all_but(&found);
        for (labels, target) in found {
            let target = Arc::new(target);
            let mut previous = None;
            if let Some(active) = self.active.remove(&labels) {
                *target.status.lock() = active.target.status.lock().clone();
                *target.metadata.lock() = active.target.metadata.lock().clone();
                if keeps_state {
                    let _ = active.running.command.send(Command::HandOver);
                    previous = Some(active.running.task);
                } else {
                    self.retire(active);
                }
            }
            let running =
                scrape_loop::start(self.environment.clone(), self.job.clone(), target.clone(), previous);
            self.active.insert(labels, Active { target, running });
        }
        self.after_sync(start);
        let interval = model::duration::format_go(
            i64::try_from(self.job.options.scrape_interval.as_nanos()).unwrap_or(i64::MAX),
        );
        self.environment.metrics.reload_length(&interval).observe(start.elapsed().as_secs_f64());
    }

    fn build_targets(&mut self) -> HashMap<Labels, Target> {
        let options: &JobOptions = &self.job.options;
        let keep = options.limits.kept_dropped_targets;
        let mut found = HashMap::new();
        self.dropped.clear();
        self.dropped_count = 0;
        for group in &self.groups {
            for index in 0..group.targets.len() {
                let discovered = Discovered { group: group.clone(), index };
                match target::build(options, &discovered) {
                    Ok(Built::Active(target)) => {
                        found.entry(target.labels.clone()).or_insert(*target);
                    }
                    Ok(Built::Dropped) => {
                        self.dropped_count += 1;
                        if keep == 0 || self.dropped.len() < keep {
                            self.dropped.push(discovered);
                        }
                    }
                    Err(err) => {
                        self.metrics.sync_failed.inc();
                        let err = format!("instance {index} in group {}: {err}", group.source);
                        tracing::error!(component = "scrape manager", scrape_pool = %options.name, err, "Creating target failed");
                    }
                }
            }
        }
        found
    }

    fn retire_all_but(&mut self, found: &HashMap<Labels, Target>) {
        let gone: Vec<Labels> =
            self.active.keys().filter(|labels| !found.contains_key(*labels)).cloned().collect();
        for labels in gone {
            if let Some(active) = self.active.remove(&labels) {
                self.retire(active);
            }
        }
    }

    fn retire(&mut self, active: Active) {
        while self.retiring.try_join_next().is_some() {}
        self.retiring.spawn(async move {
            let _ = active.running.command.send(Command::Retire);
            let abort = AbortOnDrop(active.running.task);
            abort.wait().await;
        });
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
