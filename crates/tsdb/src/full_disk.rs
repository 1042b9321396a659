//! What is done when the disk is full: nothing is deleted, and what can wait does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often it is looked whether somebody has made room.
const RETRY: Duration = Duration::from_millis(250);

/// Whether a disk (or a quota) without space is the cause.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Tries again until there is room, or `stop` is set. For what a start cannot do without.
pub(crate) fn wait_for_room<T>(
    stop: &AtomicBool,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut told = false;
    loop {
        match attempt() {
            Err(error) if is_full(&error) => {
                if stop.load(Ordering::Relaxed) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                if !std::mem::replace(&mut told, true) {
                    tracing::error!(
                        err = %error,
                        "The disk is full: the start waits for room. Nothing is lost or deleted meanwhile"
                    );
                }
                thread::sleep(RETRY);
            }
            outcome => return outcome,
        }
    }
}
