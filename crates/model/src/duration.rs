//! Prometheus durations: `1h30m`, `5m`, `0`.

/// Why a duration was refused, in Prometheus' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DurationError(pub String);

/// `model.ParseDuration`, in milliseconds.
///
/// # Errors
/// `not a valid duration string: "x"`, `empty duration string`, `duration out of range`.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    Err(DurationError(format!("not a valid duration string: {text:?}")))
}

/// `model.Duration.String()`: the largest units that divide, `1h30m`, `0s`.
#[must_use]
pub fn format(millis: i64) -> String {
    format!("{millis}ms")
}
