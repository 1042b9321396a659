//! SIGHUP reloads; SIGINT and SIGTERM stop.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::runtime::Runtime;

/// Handles signals until `stop` is cancelled.
pub(crate) fn handle(runtime: Arc<Runtime>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot handle SIGHUP")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = hangup.recv() => {
                    let runtime = Arc::clone(&runtime);
                    // The outcome is logged and counted where it is known.
                    let _ = tokio::task::spawn_blocking(move || api::Runtime::reload(&*runtime)).await;
                }
                _ = interrupt.recv() => {
                    tracing::info!("interrupted, stopping (once more to stop at once)");
                    stop.cancel();
                    interrupt.recv().await;
                    std::process::exit(130);
                }
                _ = terminate.recv() => {
                    tracing::warn!(signal = "terminated", "Received an OS signal, exiting gracefully...");
                    stop.cancel();
                }
            }
        }
    });
    Ok(())
}
