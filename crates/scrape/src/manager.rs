//! All jobs: configuration and discovered groups in, running loops out, and a view of them for the API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use discovery::TargetSets;
use exposition::registry::Registry;
use exposition::{Family, MetricKind};
use httpclient::BodyMemory;
use model::Labels;
use parking_lot::Mutex;
use storage::{Append, MemoryAccount, MemoryBudget};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::{Clock, SystemClock};
use crate::failure_log::{FailureLog, FailureLogs};
use crate::job::Job;
use crate::layout::Keys;
use crate::metrics::Metrics;
use crate::options::{JobOptions, StartTimes};
use crate::pool::Pool;
use crate::scrape_loop::Environment;
use crate::view::{self, TargetsView};
use crate::workers::Workers;

/// How a [`Manager`] works. The default suits a server.
#[derive(Clone)]
pub struct ManagerOptions {
    /// What samples are stamped with.
    pub clock: Arc<dyn Clock>,
    /// Threads that take in pages; 0: as many as there are cores.
    pub threads: usize,
    /// Threads that do nothing else than scraping: loops run there, and short pages are taken in where they arrive. Otherwise loops
    /// run where they are started.
    pub runtime: Option<Handle>,
    /// Moves all targets within their intervals, so that replicas scrape at different times: a hash of what tells
    /// them apart (host name, external labels).
    pub offset_seed: u64,
    /// Pages on their way take at most a quarter of its limit together, and at most 256 MiB.
    pub memory: MemoryBudget,
    /// `--scrape.timestamp-tolerance`; zero stamps each scrape with the time at which it really started.
    pub timestamp_tolerance: Duration,
    /// Exemplars are read; else they are passed over.
    pub exemplars: bool,
    /// What becomes of start times.
    pub start_times: StartTimes,
    /// Counters and histograms whose pages do not say when they began to count begin with their first scrape.
    pub synthesize_start_times: bool,
    /// Series get the labels `__type__` and `__unit__`.
    pub type_and_unit_labels: bool,
    /// What pages say about metrics goes to the store with their series.
    pub metadata_records: bool,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        ManagerOptions {
            clock: Arc::new(SystemClock),
            threads: 0,
            runtime: None,
            offset_seed: 0,
            memory: MemoryBudget::default(),
            timestamp_tolerance: Duration::from_millis(2),
            exemplars: false,
            start_times: StartTimes::default(),
            synthesize_start_times: false,
            type_and_unit_labels: false,
            metadata_records: false,
        }
    }
}

/// A job that cannot be put in force; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("scrape_config {job:?}: {reason}")]
pub struct ApplyError {
    /// The job.
    pub job: String,
    /// Why.
    pub reason: String,
}

/// The share of the memory limit that pages may take while they are read and taken in, and the most that is set aside
/// for them.
const SHARE_OF_PAGES: u64 = 4;
const MOST_FOR_PAGES: u64 = 256 << 20;

fn bodies(memory: &MemoryBudget, pages: &MemoryAccount) -> BodyMemory {
    if memory.limit() == 0 {
        return BodyMemory::default();
    }
    let most = (memory.limit() / SHARE_OF_PAGES).min(MOST_FOR_PAGES);
    pages.reserve(most);
    BodyMemory::bounded(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Scrapes the targets of all jobs into a store. Methods need a tokio runtime.
pub struct Manager {
    environment: Environment,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pools: BTreeMap<String, Pool>,
    sets: TargetSets,
    removed: Vec<JoinSet<()>>,
}

impl Manager {
    /// A manager without jobs.
    #[must_use]
    pub fn new(options: ManagerOptions, store: Arc<dyn Append>, registry: &Registry) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if options.threads == 0 { cores } else { options.threads };
        let state: Arc<Mutex<State>> = Arc::default();
        register_metadata(registry, &state);
        let pages = options.memory.account("pages");
        Manager {
            environment: Environment {
                store,
                metrics: Metrics::register(registry),
                clock: options.clock,
                workers: Workers::new(threads, options.runtime),
                bodies: bodies(&options.memory, &pages),
                pages,
                keys: Keys::default(),
                offset_seed: options.offset_seed,
                timestamp_tolerance: options.timestamp_tolerance,
                exemplars: options.exemplars,
                start_times: options.start_times,
                synthesize_start_times: options.synthesize_start_times,
                type_and_unit_labels: options.type_and_unit_labels,
                metadata_records: options.metadata_records,
            },
            state,
        }
    }

    /// Puts `jobs` in force: all of them or, if one is refused, none. Jobs whose options are unchanged are not
    /// touched; of those that changed, targets that stay the same are scraped on without a gap.
    ///
    /// # Errors
    /// The first job that cannot work.
    pub fn apply(&self, jobs: Vec<JobOptions>) -> Result<(), ApplyError> {
        let mut state = self.state.lock();
        let mut built: Vec<(String, Option<Job>, Option<Arc<FailureLog>>)> = Vec::with_capacity(jobs.len());
        let mut failure_logs = FailureLogs::default();
        for options in jobs {
            let failure_log = failure_logs.get(options.failure_log.as_deref());
            let failure_log = failure_log.map_err(|err| ApplyError {
                job: options.name.clone(),
                reason: format!("scrape_failure_log_file: {err}"),
            })?;
            if built.iter().any(|(name, ..)| *name == options.name) {
                return Err(ApplyError {
                    job: options.name,
                    reason: "another job has the same name".to_owned(),
                });
            }
            if state.pools.get(&options.name).is_some_and(|pool| pool.job.options == options) {
                built.push((options.name, None, failure_log));
                continue;
            }
            let name = options.name.clone();
            let job = Job::new(options).map_err(|reason| {
                let known = state.pools.contains_key(&name);
                let metrics = &self.environment.metrics;
                let failed = if known { &metrics.reloads_failed } else { &metrics.pools_failed };
                failed.inc();
                ApplyError { job: name.clone(), reason }
            })?;
            built.push((name, Some(job), failure_log));
        }
        let mut old = std::mem::take(&mut state.pools);
        let sets = state.sets.clone();
        for (name, job, failure_log) in built {
            let pool = match (old.remove(&name), job) {
                (Some(pool), None) => pool,
                (Some(mut pool), Some(job)) => {
                    pool.reload(job);
                    pool
                }
                (None, Some(job)) => Pool::new(self.environment.clone(), job),
                (None, None) => continue,
            };
            *pool.job.failure_log.write() = failure_log;
            state.pools.insert(name, pool);
        }
        for pool in old.into_values() {
            state.removed.push(pool.remove());
        }
        state.removed.retain_mut(|tasks| {
            while tasks.try_join_next().is_some() {}
            !tasks.is_empty()
        });
        sync(&mut state, &sets);
        Ok(())
    }

    /// Follows what discovery finds, until its sender is gone.
    pub async fn run(&self, mut sets: watch::Receiver<TargetSets>) {
        loop {
            let current = sets.borrow_and_update().clone();
            {
                let mut state = self.state.lock();
                sync(&mut state, &current);
                state.sets = current;
            }
            if sets.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops all loops after their running scrapes. Series are not marked stale: after a restart they go on.
    pub async fn stop(&self) {
        let (loops, removed) = {
            let mut state = self.state.lock();
            let loops: Vec<_> = state.pools.values_mut().flat_map(Pool::stop).collect();
            (loops, std::mem::take(&mut state.removed))
        };
        drop(removed);
        for running in loops {
            let _ = running.await;
        }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Names of the jobs, sorted.
    #[must_use]
    pub fn pools(&self) -> Vec<String> {
        self.state.lock().pools.keys().cloned().collect()
    }

    /// The options in force of a job.
    #[must_use]
    pub fn job_options(&self, name: &str) -> Option<JobOptions> {
        self.state.lock().pools.get(name).map(|pool| pool.job.options.clone())
    }

    /// The targets of all jobs, or of one.
    #[must_use]
    pub fn targets(&self, pool: Option<&str>) -> TargetsView {
        let state = self.state.lock();
        view::of(state.pools.values(), pool)
    }
}

fn sync(state: &mut State, sets: &TargetSets) {
    for (name, pool) in &mut state.pools {
        if let Some(groups) = sets.get(name) {
            pool.sync(groups);
        }
    }
}

fn register_metadata(registry: &Registry, state: &Arc<Mutex<State>>) {
    let state = Arc::downgrade(state);
    registry.collector(move |out| {
        let Some(state) = state.upgrade() else { return };
        let mut entries = Family::new(
            "prometheus_target_metadata_cache_entries",
            "Total number of metric metadata entries in the cache",
            MetricKind::Gauge,
        );
        let mut bytes = Family::new(
            "prometheus_target_metadata_cache_bytes",
            "The number of bytes that are currently used for storing metric metadata in the cache",
            MetricKind::Gauge,
        );
        for (name, pool) in &state.lock().pools {
            let labels = Labels::from_pairs([("scrape_job", name.as_str())]);
            let metadata: Vec<_> = pool.active().map(|target| target.metadata.lock().clone()).collect();
            entries.push(labels.clone(), metadata.iter().map(|m| m.families.len()).sum::<usize>() as f64);
            bytes.push(labels, metadata.iter().map(|m| m.bytes()).sum::<usize>() as f64);
        }
        out.push(entries);
        out.push(bytes);
    });
}
