//! How many files and connections may be open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit to the highest that the process may set. What it is started with is often 1024, for programs of old that
/// cannot deal with more; each target takes one, and so does each file of a block.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    if before == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::info!(from = before, to = limit.maximum, "Raised the limit of open files"),
        Err(error) => tracing::warn!(limit = before, %error, "The limit of open files cannot be raised"),
    }
}
