//! The formats that a page can have.

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageFormat {
    /// Prometheus' text format, versions 0.0.4 and 1.0.0: Prometheus reads both in the same way.
    Text,
    /// OpenMetrics text, versions 0.0.1 and 1.0.0.
    OpenMetrics,
}
