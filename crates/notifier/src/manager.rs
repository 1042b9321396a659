//! All Alertmanagers: which there are, and what all of them are told.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use discovery::{TargetGroup, TargetSets};
use exposition::registry::Registry;
use httpclient::{BuildError, Client};
use model::Labels;
use model::relabel::Config;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::alert::{Alert, relabelled};
use crate::destination::destinations;
use crate::metrics::Metrics;
use crate::options::{ManagerOptions, SetOptions};
use crate::send_loop::{SendLoop, Way};

/// Sends alerts to all Alertmanagers.
pub struct Manager {
    options: ManagerOptions,
    state: Arc<Mutex<State>>,
    metrics: Metrics,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    sets: Vec<Set>,
    relabel: Vec<Config>,
    external: Labels,
    /// Nothing more is taken.
    stopped: bool,
}

/// Alertmanagers of one entry.
struct Set {
    options: SetOptions,
    way: Arc<RwLock<Arc<Way>>>,
    active: Vec<String>,
    dropped: Vec<String>,
    loops: BTreeMap<String, Arc<SendLoop>>,
}

impl Manager {
    /// One that knows no Alertmanagers yet. Tasks run on the current reactor.
    #[must_use]
    pub fn new(options: ManagerOptions, registry: &Registry) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let counted = Arc::clone(&state);
        registry.gauge_fn(
            "prometheus_notifications_alertmanagers_discovered",
            "The number of alertmanagers discovered and active.",
            move || counted.lock().sets.iter().map(|set| set.active.len()).sum::<usize>() as f64,
        );
        let metrics = Metrics::register(registry, options.queue_capacity);
        Manager { options, state, metrics, tasks: TaskTracker::new() }
    }

    /// Whether all of `sets` can be put in force.
    ///
    /// # Errors
    /// When a client cannot be.
    pub fn check(sets: &[SetOptions]) -> Result<(), BuildError> {
        sets.iter().try_for_each(|options| to_way(options).map(drop))
    }

    /// Puts Alertmanagers, `relabel`, the rules over all alerts, and external labels in force. Entries that are the same as
    /// before keep what they found and what waits; what waits for others is sent before they end, where they answer.
    ///
    /// # Errors
    /// When a client cannot be: then nothing changes.
    pub fn apply(
        &self,
        sets: Vec<SetOptions>,
        relabel: Vec<Config>,
        external: Labels,
    ) -> Result<(), BuildError> {
        let ways = sets.iter().map(to_way).collect::<Result<Vec<_>, _>>()?;
        let mut state = self.state.lock();
        let mut old = std::mem::take(&mut state.sets);
        for (options, way) in sets.into_iter().zip(ways) {
            let same = old.iter().position(|set| set.options.hash == options.hash);
            let set = match same.map(|at| old.swap_remove(at)) {
                Some(set) => {
                    *set.way.write() = Arc::new(way);
                    Set { options, ..set }
                }
                None => Set {
                    options,
                    way: Arc::new(RwLock::new(Arc::new(way))),
                    active: Vec::new(),
                    dropped: Vec::new(),
                    loops: BTreeMap::new(),
                },
            };
            state.sets.push(set);
        }
        old.iter().flat_map(|set| set.loops.values()).for_each(|gone| gone.stop());
        state.relabel = relabel;
        state.external = external;
        Ok(())
    }

    /// Takes what is discovered, until the sender is gone.
    pub async fn follow(&self, mut found: watch::Receiver<TargetSets>) {
        loop {
            let sets = TargetSets::clone(&found.borrow_and_update());
            self.sync(&sets);
            if found.changed().await.is_err() {
                return;
            }
        }
    }

    fn sync(&self, found: &TargetSets) {
        let mut state = self.state.lock();
        if state.stopped {
            return;
        }
        for set in &mut state.sets {
            // Not there yet: what is known stays.
            if let Some(groups) = found.get(&set.options.name) {
                set.sync(groups, &self.options, &self.metrics, &self.tasks);
            }
        }
    }

    /// Queues alerts for all Alertmanagers.
    pub fn send(&self, alerts: &[Arc<Alert>]) {
        let state = self.state.lock();
        let alerts = relabelled(alerts, &state.relabel, &state.external);
        for set in &state.sets {
            let alerts = relabelled(&alerts, &set.options.alert_relabel, &Labels::default());
            if !alerts.is_empty() {
                set.loops.values().for_each(|to| to.add(&alerts));
            }
        }
    }

    /// The URLs of Alertmanagers that are told of alerts, and of those that rules have left out.
    #[must_use]
    pub fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        let state = self.state.lock();
        let active = state.sets.iter().flat_map(|set| set.active.iter().cloned()).collect();
        let dropped = state.sets.iter().flat_map(|set| set.dropped.iter().cloned()).collect();
        (active, dropped)
    }

    /// Takes nothing more, and returns when what waits is sent, or dropped.
    pub async fn stop(&self) {
        let loops: Vec<Arc<SendLoop>> = {
            let mut state = self.state.lock();
            state.stopped = true;
            state.sets.iter_mut().flat_map(|set| std::mem::take(&mut set.loops).into_values()).collect()
        };
        loops.iter().for_each(|ended| ended.stop());
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn to_way(options: &SetOptions) -> Result<Way, BuildError> {
    let client = Client::new(&options.client)?;
    let client = match &options.signer {
        Some(signer) => client.with_signer(Arc::clone(signer)),
        None => client,
    };
    Ok(Way { client, timeout: options.timeout })
}

impl Set {
    fn sync(
        &mut self,
        groups: &[Arc<TargetGroup>],
        options: &ManagerOptions,
        metrics: &Metrics,
        tasks: &TaskTracker,
    ) {
        let (mut active, mut dropped) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for group in groups {
            let SetOptions { scheme, path_prefix, relabel, .. } = &self.options;
            match destinations(group, scheme, path_prefix, relabel) {
                Ok(found) => {
                    for destination in found {
                        if destination.dropped {
                            dropped.push(destination.url);
                        } else if seen.insert(destination.url.clone()) {
                            active.push(destination.url);
                        }
                    }
                }
                Err(err) => {
                    tracing::error!(component = "notifier", %err, "Creating discovered Alertmanagers failed");
                }
            }
        }
        self.loops.retain(|url, running| {
            let stays = seen.contains(url);
            if !stays {
                running.stop();
            }
            stays
        });
        for url in &active {
            self.loops
                .entry(url.clone())
                .or_insert_with(|| SendLoop::start(url, Arc::clone(&self.way), options, metrics, tasks));
        }
        (self.active, self.dropped) = (active, dropped);
    }
}
