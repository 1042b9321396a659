//! Times are counted in milliseconds.

use std::time::Duration;

/// A length of time; what is too long is for ever.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
