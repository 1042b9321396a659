//! Alertmanagers: found by discovery, told by the notifier.

use std::sync::Arc;

use config::AlertingOptions;
use exposition::Registry;
use model::Labels;
use parking_lot::Mutex;

use crate::wiring::Options;

/// See the module. An agent has none of it.
#[derive(Clone)]
pub(crate) struct Alerting(Option<Arc<Parts>>);

struct Parts {
    notifier: Arc<notifier::Manager>,
    discovery: discovery::Manager,
    follow: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Alerting {
    /// Needs a reactor.
    pub(crate) fn new(options: &Options, metrics: &discovery::Metrics, registry: &Registry) -> Self {
        if options.agent.is_some() {
            return Alerting(None);
        }
        let notifier = Arc::new(notifier::Manager::new(options.notifier.clone(), registry));
        let discovery = discovery::Manager::new("notify", metrics, options.discovery_interval);
        let (following, found) = (Arc::clone(&notifier), discovery.subscribe());
        let follow = tokio::spawn(async move { following.follow(found).await });
        Alerting(Some(Arc::new(Parts { notifier, discovery, follow: Mutex::new(Some(follow)) })))
    }

    /// Puts the section `alerting` in force.
    pub(crate) fn apply(&self, alerting: AlertingOptions, external: &Labels) -> anyhow::Result<()> {
        let Some(parts) = &self.0 else { return Ok(()) };
        parts.notifier.apply(alerting.sets, alerting.relabel, external.clone())?;
        parts.discovery.apply(alerting.providers);
        Ok(())
    }

    /// The URLs of those that are told, and of those that rules have left out.
    pub(crate) fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        self.0.as_ref().map(|parts| parts.notifier.alertmanagers()).unwrap_or_default()
    }

    /// Takes the alerts of rules.
    pub(crate) fn sink(&self) -> Arc<dyn rules::Notify> {
        Arc::new(self.clone())
    }

    /// Sends what waits and ends.
    pub(crate) async fn stop(&self) {
        let Some(parts) = &self.0 else { return };
        if let Some(follow) = parts.follow.lock().take() {
            follow.abort();
        }
        parts.notifier.stop().await;
    }
}

impl rules::Notify for Alerting {
    fn notify(&self, alerts: Vec<rules::AlertToSend>) {
        let Some(parts) = &self.0 else { return };
        let alerts: Vec<Arc<notifier::Alert>> = alerts
            .into_iter()
            .map(|alert| notifier::Alert {
                labels: alert.labels,
                annotations: alert.annotations,
                starts_at: alert.starts_at.millis(),
                ends_at: alert.ends_at.millis(),
                generator_url: alert.generator_url.to_string(),
            })
            .map(Arc::new)
            .collect();
        parts.notifier.send(&alerts);
    }
}
