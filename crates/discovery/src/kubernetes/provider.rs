//! Follows a cluster and sends the groups that changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Environment;
use super::groups::Groups;
use super::options::KubernetesOptions;
use super::sources::Sources;
use crate::provider::{Context, Provider, Updates};

/// How long changes are gathered before they are worked off: what happens together in a cluster is told in several
/// events.
const GATHER: Duration = Duration::from_millis(50);
/// Groups that are sent together.
const BATCH: usize = 512;
/// Pause before our own namespace is looked for again.
const RETRY: Duration = Duration::from_secs(5);

impl Provider for Box<KubernetesOptions> {
    async fn run(self, context: Context) {
        follow(*self, &context.config, context.kubernetes, context.updates).await;
    }
}

/// Runs until nobody listens.
async fn follow(options: KubernetesOptions, config: &str, environment: Environment, updates: Updates) {
    let notify = Arc::new(Notify::new());
    let sources = loop {
        match Sources::open(&options, &environment, &notify).await {
            Ok(sources) => break sources,
            Err(err) => {
                tracing::error!(component = "discovery manager", discovery = "kubernetes", config, %err, "Cannot create service discovery");
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    let queue = environment.metrics.queue(options.role);
    let groups =
        Groups { role: options.role, attach: options.attach, sources, lists: environment.lists.clone() };
    groups.sources.synced().await;
    loop {
        let affected = groups.affected();
        queue.begin(affected.len());
        let begun = Instant::now();
        let mut batch = Vec::with_capacity(affected.len().min(BATCH));
        for key in affected {
            let start = Instant::now();
            batch.push(groups.build(&key));
            queue.done(start - begun, start.elapsed());
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if updates.send(full).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
        if !batch.is_empty() && updates.send(batch).await.is_err() {
            return;
        }
        notify.notified().await;
        tokio::time::sleep(GATHER).await;
    }
}
