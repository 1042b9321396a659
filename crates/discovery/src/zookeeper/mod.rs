//! `serverset_sd_configs` and `nerve_sd_configs`: members that services have registered in ZooKeeper.

mod member;
mod session;
mod tree;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use exposition::registry::{Counter, Gauge, Registry};
use tokio::time::Instant;

use crate::group::TargetGroup;
use crate::label_set::NameLists;
use crate::provider::{Context, Provider, Updates};
pub use member::MemberFormat;
use session::{Broken, Session};
use tree::Tree;

/// Pause before a path that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Pause when no server could be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// A `serverset_sd_configs` or `nerve_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeperOptions {
    /// Addresses of servers; without port it is 2181.
    pub servers: Vec<String>,
    /// Where members are; all nodes below are looked at.
    pub paths: Vec<String>,
    /// How long a session lives without a sign of life. Prometheus: 10 s.
    pub timeout: Duration,
    /// What members look like.
    pub members: MemberFormat,
}

/// `prometheus_treecache_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    failures: Counter,
    watchers: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Metrics {
            failures: registry.counter(
                "prometheus_treecache_zookeeper_failures_total",
                "The total number of ZooKeeper failures.",
            ),
            watchers: registry.gauge(
                "prometheus_treecache_watcher_goroutines",
                "The current number of watcher goroutines.",
            ),
        }
    }
}

impl Provider for Box<ZooKeeperOptions> {
    async fn run(self, context: Context) {
        let metrics = context.metrics.zookeeper.clone();
        let trees =
            self.paths.iter().map(|path| Tree::new(path, self.members, &context.lists, &metrics.watchers));
        let mut forest = Forest {
            trees: trees.collect(),
            retry: vec![None; self.paths.len()],
            metrics,
            updates: context.updates,
        };
        let servers: Vec<String> = self.servers.iter().map(|server| with_port(server)).collect();
        let mut turn = RandomState::new().build_hasher().finish() as usize % servers.len().max(1);
        let mut failures = 0;
        loop {
            let Some(server) = servers.get(turn) else { return };
            turn = (turn + 1) % servers.len();
            match Session::open(server, self.timeout).await {
                Ok(session) => {
                    failures = 0;
                    tracing::info!(
                        component = "discovery manager",
                        discovery = self.members.name(),
                        server,
                        "Connected to Zookeeper"
                    );
                    match forest.follow(session).await {
                        Ok(Unheard) => return,
                        Err(err) => forest.failed("Lost connection to Zookeeper.", &err.to_string()),
                    }
                }
                Err(err) => {
                    failures += 1;
                    forest.failed("Cannot connect to Zookeeper", &err.to_string());
                }
            }
            if failures % servers.len() == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn with_port(server: &str) -> String {
    if server.contains(':') { server.to_owned() } else { format!("{server}:2181") }
}

/// Nobody wants to know any more.
struct Unheard;

struct Forest {
    trees: Vec<Tree>,
    /// When a tree that could not be read is read again.
    retry: Vec<Option<Instant>>,
    metrics: Metrics,
    updates: Updates,
}

impl Forest {
    /// Reads everything and then what changes, as long as the session lives.
    async fn follow(&mut self, mut session: Session) -> Result<Unheard, Broken> {
        for i in 0..self.trees.len() {
            if !self.read(i, None, &mut session).await? {
                return Ok(Unheard);
            }
        }
        loop {
            let until = self.retry.iter().flatten().min().copied();
            let changed = session.changed(until).await?;
            for i in 0..self.trees.len() {
                let due = self.retry.get(i).copied().flatten();
                let heard = match (&changed, due) {
                    // What changes below a path that could not be read is read with it.
                    (_, Some(due)) if due <= Instant::now() => self.read(i, None, &mut session).await?,
                    (Some(path), None) if self.trees.get(i).is_some_and(|tree| tree.covers(path)) => {
                        self.read(i, Some(path), &mut session).await?
                    }
                    _ => true,
                };
                if !heard {
                    return Ok(Unheard);
                }
            }
        }
    }

    /// Reads a tree, or what has changed in it at `path`; `false` when nobody listens.
    async fn read(&mut self, i: usize, path: Option<&str>, session: &mut Session) -> Result<bool, Broken> {
        let (Some(tree), Some(retry)) = (self.trees.get_mut(i), self.retry.get_mut(i)) else {
            return Ok(true);
        };
        let mut groups: Vec<TargetGroup> = Vec::new();
        let outcome = tree.read(path, session, &mut groups).await?;
        *retry = None;
        if let Err(err) = outcome {
            *retry = Some(Instant::now() + RETRY);
            self.failed("Error during read of Zookeeper", &err);
        }
        Ok(groups.is_empty() || self.updates.send(groups).await.is_ok())
    }

    fn failed(&self, what: &str, err: &str) {
        self.metrics.failures.inc();
        tracing::error!(component = "discovery manager", discovery = "zookeeper", %err, "{what}");
    }
}

/// Reads every kind of answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let members = [MemberFormat::Serverset, MemberFormat::Nerve];
    session::read_any(body)
        + members.into_iter().filter(|members| members.read(body, "/path", lists).is_some()).count()
}
