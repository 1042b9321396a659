//! Types of metrics by the numbers that both versions of the protocol have for them.

/// By number.
const KINDS: [&str; 8] =
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

/// The type of a number; of any other, `unknown`.
pub(crate) fn of_number(number: u64) -> &'static str {
    usize::try_from(number).ok().and_then(|number| KINDS.get(number)).copied().unwrap_or(KINDS[0])
}

/// The number of a type; 0 for any other.
pub(crate) fn number(kind: &str) -> u64 {
    KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u64
}
