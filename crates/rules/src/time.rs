//! Points in time, as finely as schedules and alerts have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// What the clock of the machine says.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(nanos(since))
    }

    /// Whole milliseconds, as samples have them.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// From whole seconds.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Time(seconds.saturating_mul(1_000_000_000))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Time(self.0.saturating_add(nanos(duration)))
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Time(self.0.saturating_sub(nanos(duration)))
    }

    /// How long it is since `earlier`, in nanoseconds; negative if that is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
