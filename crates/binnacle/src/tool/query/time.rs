//! Points in time on a command line: RFC 3339 or seconds since the epoch.

use std::time::{SystemTime, UNIX_EPOCH};

use model::number::{format_f, quote};
use model::timestamp::parse_nanos;

/// Nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(i128);

const SECOND: i128 = 1_000_000_000;

impl Instant {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant(since.as_nanos().try_into().unwrap_or(i128::MAX))
    }

    /// # Errors
    /// In promtool's words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse_nanos(text).map(Instant).ok_or(format!("cannot parse {} to a valid timestamp", quote(text)))
    }

    pub(crate) fn from_seconds(seconds: i64) -> Self {
        Instant(i128::from(seconds) * SECOND)
    }

    /// Whole seconds.
    pub(crate) fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND) as i64
    }

    pub(crate) fn from_nanos(nanos: i128) -> Self {
        Instant(nanos)
    }

    /// So many nanoseconds later.
    pub(crate) fn after(self, nanos: i64) -> Self {
        Instant(self.0 + i128::from(nanos))
    }

    /// How many seconds it is since `earlier`.
    pub(crate) fn since(self, earlier: Instant) -> f64 {
        (self.0 - earlier.0) as f64 / 1e9
    }

    /// As a parameter of the HTTP API.
    pub(crate) fn parameter(self) -> String {
        format_f(self.seconds() as f64 + self.0.rem_euclid(SECOND) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_several_forms() {
        for (text, want) in [
            ("1700002800", "1700002800"),
            ("1700002800.5", "1700002800.5"),
            ("-1.5", "-1.5"),
            ("2023-11-14T23:00:00Z", "1700002800"),
            ("2023-11-15T00:00:00.125+01:00", "1700002800.125"),
            ("1970-01-01T00:00:00.000000001Z", "0.000000001"),
        ] {
            assert_eq!(Instant::parse(text).unwrap().parameter(), want, "{text}");
        }
        assert_eq!(Instant::parse("x"), Err("cannot parse \"x\" to a valid timestamp".to_owned()));
    }
}
