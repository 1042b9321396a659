//! Text and OpenMetrics pages to samples in place, metric families to pages, and the metrics registry.

mod family;
mod page;
pub mod registry;

pub use family::{Family, Metric, MetricKind, MetricValue};
pub use page::{
    Entry, InvalidNames, LabelsBuf, LabelsError, PageFormat, PageParser, ParseError, RawExemplar, SeriesLine,
    ValuePart, labels_of, value_after,
};
pub use registry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};
