//! Text and OpenMetrics pages to samples in place, metric families to pages, and the metrics registry.

mod family;
pub mod registry;

pub use family::{Family, Metric, MetricKind, MetricValue};
pub use registry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};
