//! A sample and the staleness marker.

/// One float sample of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value; [`STALE_NAN`] by its bits marks the end of the series.
    pub v: f64,
}

/// The NaN that marks a series as gone. Prometheus' bit pattern: only the bits tell it from other NaNs,
/// so compare with [`is_stale`], never with `==`.
pub const STALE_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether `v` is the staleness marker.
#[inline]
#[must_use]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN.to_bits()
}
