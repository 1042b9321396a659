//! All groups: which there are, and that they are evaluated in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use exposition::registry::Registry;
use parking_lot::Mutex;

use crate::environment::{Environment, Settings};
use crate::error::GroupError;
use crate::group::{Group, key};
use crate::metrics::Metrics;
use crate::options::{GroupOptions, ManagerOptions};
use crate::rule::Rule;
use crate::threads::{Task, Threads};
use crate::time::Time;

/// See the module.
pub struct Manager {
    environment: Arc<Environment>,
    metrics: Metrics,
    threads: Arc<Threads>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By file and name.
    groups: BTreeMap<(String, String), Arc<Group>>,
    /// There were groups already: those that come later have nothing to restore.
    applied: bool,
    started: bool,
    stopped: bool,
}

/// Groups that can be evaluated.
pub struct PreparedGroups(Vec<(GroupOptions, Vec<Rule>)>);

impl Manager {
    /// Without any group.
    #[must_use]
    pub fn new(options: ManagerOptions, registry: &Registry) -> Self {
        let metrics = Metrics::register(registry);
        let threads = Threads::new(options.concurrent_groups, metrics.clone());
        let environment = Arc::new(Environment::new(options));
        Manager { environment, metrics, threads, inner: Mutex::default() }
    }

    /// Parses the expressions of groups.
    ///
    /// # Errors
    /// As [`GroupError`] says.
    pub fn prepare(&self, groups: Vec<GroupOptions>) -> Result<PreparedGroups, GroupError> {
        let prepare = |options: GroupOptions| {
            let rules = Group::parse(&options, &self.environment)?;
            Ok((options, rules))
        };
        groups.into_iter().map(prepare).collect::<Result<_, _>>().map(PreparedGroups)
    }

    /// Puts these groups in the place of those that there are. A group that is as it was goes on; one that is another than it
    /// was takes over the state of the rules that it still has; series of rules that are gone are marked as ended. Waits for
    /// rules that are being evaluated.
    pub fn apply(&self, prepared: PreparedGroups, settings: Settings) {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return;
        }
        self.environment.set(settings);
        let restored = std::mem::replace(&mut inner.applied, true);
        let mut old = std::mem::take(&mut inner.groups);
        let mut begun = Vec::new();
        for (options, rules) in prepared.0 {
            let at = (options.file.clone(), options.name.clone());
            match old.remove(&at) {
                Some(group) if group.equals(&options, &rules) => {
                    inner.groups.insert(at, group);
                }
                before => {
                    let group = Group::new(options, rules, restored, &self.environment, &self.metrics);
                    let group = Arc::new(group);
                    if let Some(before) = &before {
                        before.end();
                    }
                    begun.push((Arc::clone(&group), before));
                    inner.groups.insert(at, group);
                }
            }
        }
        for group in old.values() {
            group.end();
        }
        for (group, before) in begun {
            if let Some(before) = before {
                before.wait();
                group.succeed(&before);
            }
            if inner.started {
                self.threads.begin(group);
            }
        }
        for ((file, name), group) in old {
            group.wait();
            self.metrics.forget(&key(&file, &name));
            // Until then a rule that was only moved elsewhere has gone on with its series.
            let wait = 2 * group.interval();
            self.threads.schedule(wait, Task::EndSeries(group, Time::now()));
        }
    }

    /// Begins to evaluate: the store can be read.
    pub fn start(&self) {
        let mut inner = self.inner.lock();
        if inner.started || inner.stopped {
            return;
        }
        inner.started = true;
        tracing::info!(component = "rule manager", "Starting rule manager...");
        for group in inner.groups.values() {
            self.threads.begin(Arc::clone(group));
        }
        self.threads.run();
    }

    /// Ends evaluating, for good. Waits for rules that are being evaluated, whose queries are cancelled.
    pub fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        tracing::info!(component = "rule manager", "Stopping rule manager...");
        self.environment.stop();
        self.threads.stop();
        tracing::info!(component = "rule manager", "Rule manager stopped");
    }

    /// By file and name.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.inner.lock().groups.values().cloned().collect()
    }
}
