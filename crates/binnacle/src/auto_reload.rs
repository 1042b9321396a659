//! `--config.auto-reload`: the configuration is read again when its file, or one that it includes, is another.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::load::{ConfigSource, fingerprint};
use crate::runtime::Runtime;

/// Files are looked at no more often.
const SHORTEST: Duration = Duration::from_secs(1);

/// Looks at the files every `interval` until `stop` is cancelled. A configuration that is refused is tried again each time.
pub(crate) async fn follow(runtime: Arc<Runtime>, interval: Duration, stop: CancellationToken) {
    let ConfigSource::File(file) = runtime.source().clone() else {
        return;
    };
    let interval = interval.max(SHORTEST);
    tracing::info!(?interval, "Automatic configuration file reloading enabled");
    let mut ticks = interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (runtime, file) = (Arc::clone(&runtime), file.clone());
        // The outcome is logged and counted where it is known.
        let _ = tokio::task::spawn_blocking(move || reload_if_changed(&runtime, &file)).await;
    }
}

fn reload_if_changed(runtime: &Runtime, file: &Path) {
    match fingerprint(file) {
        // After a refusal, a file that is again what is in force says so once more: nobody need be warned of it any longer.
        Ok(fingerprint) if Some(fingerprint) == runtime.fingerprint() && runtime.last_reload_succeeded() => {
            return;
        }
        Ok(_) => {}
        Err(err) => tracing::error!(err, "Failed to generate checksum during configuration reload"),
    }
    tracing::info!("Configuration file change detected, reloading the configuration.");
    let _ = api::Runtime::reload(runtime);
}
