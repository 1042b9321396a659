//! Runs the providers of all jobs and hands out what they found.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kubeapi::Behaviour;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::group::TargetGroup;
use crate::kubernetes;
use crate::label_set::NameLists;
use crate::metrics::{ManagerMetrics, Metrics};
use crate::provider::{Context, ProviderOptions};
use crate::static_sd;

/// The groups of each job. A job without groups is there with an empty list.
pub type TargetSets = Arc<BTreeMap<String, Vec<Arc<TargetGroup>>>>;

/// Updates that a provider may have sent and we have not looked at.
const UPDATE_QUEUE: usize = 8;
/// Pause after an update is handed out when updates keep coming; it grows up to a share of the manager's interval.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How much shorter than the interval the longest pause is. Who takes the updates looks only at groups that changed, so
/// that it costs little to have them more often, and with the usual 5 s they come within a second.
const SHARE_OF_INTERVAL: u32 = 6;

/// Runs providers. Dropping it ends them.
pub struct Manager {
    shared: Arc<Shared>,
    metrics: Metrics,
    lists: NameLists,
    kubernetes: kubernetes::Environment,
    sender: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    sets: watch::Sender<TargetSets>,
    metrics: ManagerMetrics,
}

#[derive(Default)]
struct State {
    /// Jobs in force and the providers of each.
    jobs: BTreeMap<String, Vec<u64>>,
    providers: BTreeMap<u64, Running>,
    next: u64,
}

struct Running {
    options: ProviderOptions,
    /// The job that its refresh metrics are named after.
    config: String,
    groups: BTreeSet<BySource>,
    /// Groups that stand in the configuration, in their order.
    fixed: Vec<Arc<TargetGroup>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    fn groups(&self) -> impl Iterator<Item = &Arc<TargetGroup>> {
        self.fixed.iter().chain(self.groups.iter().map(|group| &group.0))
    }
}

/// A group, found by its source.
struct BySource(Arc<TargetGroup>);

impl Borrow<str> for BySource {
    fn borrow(&self) -> &str {
        &self.0.source
    }
}

impl Ord for BySource {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.source.cmp(&other.0.source)
    }
}

impl PartialOrd for BySource {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for BySource {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for BySource {}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.sender.abort();
        self.shared.state.lock().providers.clear();
    }
}

impl Manager {
    /// A manager called `name` in metrics, which hands out at most six updates in an `interval` when they keep coming
    /// (Prometheus: one in 5 s); the first ones after a quiet time come at once. Needs a tokio runtime.
    #[must_use]
    pub fn new(name: &str, metrics: &Metrics, interval: Duration) -> Self {
        Self::with_behaviour(name, metrics, interval, Behaviour::default())
    }

    /// As [`new`](Self::new), with another way of asking API servers.
    #[must_use]
    pub fn with_behaviour(name: &str, metrics: &Metrics, interval: Duration, behaviour: Behaviour) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Notify::new(),
            sets: watch::Sender::new(TargetSets::default()),
            metrics: metrics.manager(name),
        });
        let sender = tokio::spawn(send_changes(shared.clone(), interval));
        let lists = NameLists::default();
        let kubernetes = kubernetes::Environment::new(metrics.kubernetes.clone(), lists.clone(), behaviour);
        Manager { shared, metrics: metrics.clone(), lists, kubernetes, sender }
    }

    /// What is known now and will be.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<TargetSets> {
        self.shared.sets.subscribe()
    }

    /// Puts `jobs` in force: providers that are already running go on and keep what they know, others are started or
    /// ended. Groups of static providers are there when this returns.
    pub fn apply(&self, jobs: impl IntoIterator<Item = (String, Vec<ProviderOptions>)>) {
        let mut state = self.shared.state.lock();
        let mut old = std::mem::take(&mut state.providers);
        let old_jobs = std::mem::take(&mut state.jobs);
        for (job, entries) in jobs {
            let mut ids = Vec::with_capacity(entries.len());
            for options in entries {
                let running = state.providers.iter().find(|(_, p)| p.options == options).map(|(id, _)| *id);
                let id = running.unwrap_or_else(|| {
                    match old.iter().find(|(_, p)| p.options == options).map(|(id, _)| *id) {
                        Some(id) => {
                            if let Some(provider) = old.remove(&id) {
                                state.providers.insert(id, provider);
                            }
                            id
                        }
                        None => self.start(&mut state, options, &job),
                    }
                });
                ids.push(id);
            }
            state.jobs.insert(job, ids);
        }
        for ended in old.values() {
            self.metrics.forget_refresh(ended.options.mechanism(), &ended.config);
        }
        for job in old_jobs.keys().filter(|job| !state.jobs.contains_key(*job)) {
            self.shared.metrics.forget(job);
        }
        self.shared.metrics.failed_configs.set(0.0);
        drop(state);
        drop(old);
        self.shared.publish();
    }

    fn start(&self, state: &mut State, options: ProviderOptions, job: &str) -> u64 {
        let id = state.next;
        state.next += 1;
        let mut running = Running {
            options: options.clone(),
            config: job.to_owned(),
            groups: BTreeSet::new(),
            fixed: Vec::new(),
            tasks: Vec::new(),
        };
        if let ProviderOptions::Static(groups) = &options {
            self.shared.metrics.received.inc();
            running.fixed = static_sd::numbered(groups).collect();
        } else {
            let (updates, received) = mpsc::channel(UPDATE_QUEUE);
            let context = Context {
                config: job.to_owned(),
                metrics: self.metrics.clone(),
                lists: self.lists.clone(),
                kubernetes: self.kubernetes.clone(),
                updates,
            };
            running.tasks.push(tokio::spawn(options.run(context)));
            running.tasks.push(tokio::spawn(receive(self.shared.clone(), id, received)));
        }
        state.providers.insert(id, running);
        id
    }
}

async fn receive(shared: Arc<Shared>, id: u64, mut updates: mpsc::Receiver<Vec<TargetGroup>>) {
    while let Some(groups) = updates.recv().await {
        shared.metrics.received.inc();
        let mut state = shared.state.lock();
        let Some(provider) = state.providers.get_mut(&id) else { return };
        for group in groups {
            if group.targets.is_empty() {
                provider.groups.remove(group.source.as_str());
            } else {
                provider.groups.replace(BySource(Arc::new(group)));
            }
        }
        drop(state);
        shared.changed.notify_one();
    }
}

async fn send_changes(shared: Arc<Shared>, interval: Duration) {
    let longest = interval / SHARE_OF_INTERVAL;
    let mut pause = FIRST_PAUSE;
    let mut quiet_since = Instant::now();
    loop {
        shared.changed.notified().await;
        if quiet_since.elapsed() > interval {
            pause = FIRST_PAUSE;
        }
        shared.publish();
        tokio::time::sleep(pause.min(longest)).await;
        pause = (pause * 3 / 2).min(longest);
        quiet_since = Instant::now();
    }
}

impl Shared {
    fn publish(&self) {
        let state = self.state.lock();
        let sets: BTreeMap<String, Vec<Arc<TargetGroup>>> = state
            .jobs
            .iter()
            .map(|(job, ids)| {
                let providers = ids.iter().filter_map(|id| state.providers.get(id));
                (job.clone(), providers.flat_map(|p| p.groups().cloned()).collect())
            })
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for (job, groups) in &sets {
            self.metrics.last_update(job).set(now.as_secs_f64());
            self.metrics.discovered(job).set(groups.iter().map(|g| g.targets.len()).sum::<usize>() as f64);
        }
        self.metrics.sent.inc();
        // Under the lock: two publishers must not overtake each other.
        self.sets.send_replace(Arc::new(sets));
    }
}
