//! Providers that ask again and again.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior};

use crate::group::TargetGroup;
use crate::provider::Context;

/// What holds where an interval of nothing is configured.
const INSTEAD_OF_NOTHING: Duration = Duration::from_secs(1);

/// What is asked.
pub(crate) trait Source: Send {
    /// The groups as they are now. Groups that are gone must be among them, without targets.
    ///
    /// # Errors
    /// A sentence for the log; what was found before stays in force.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, String>> + Send;
}

/// A tick now and then one in each `interval`, the next one not before the last one was worked off.
pub(crate) fn ticks(interval: Duration) -> Interval {
    let interval = if interval.is_zero() { INSTEAD_OF_NOTHING } else { interval };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Asks `source` at once and then in each `interval`, until nobody listens.
pub(crate) async fn every<S: Source>(
    interval: Duration,
    mechanism: &'static str,
    context: &Context,
    source: Result<S, String>,
) {
    let config = context.config.as_str();
    let metrics = context.metrics.refresh(mechanism, config);
    let mut source = match source {
        Ok(source) => source,
        Err(err) => {
            metrics.failures.inc();
            tracing::error!(component = "discovery manager", discovery = mechanism, config, %err, "Cannot create service discovery");
            return;
        }
    };
    let mut tick = ticks(interval);
    loop {
        tick.tick().await;
        let start = Instant::now();
        let outcome = source.refresh().await;
        let took = start.elapsed().as_secs_f64();
        metrics.duration.observe(took);
        metrics.duration_histogram.observe(took);
        match outcome {
            Ok(groups) => {
                if context.updates.send(groups).await.is_err() {
                    return;
                }
            }
            Err(err) => {
                metrics.failures.inc();
                tracing::error!(component = "discovery manager", discovery = mechanism, config, %err, "Unable to refresh target groups");
            }
        }
    }
}
