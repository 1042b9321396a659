//! Metric families: what a registry gathers and an encoder writes.

use model::Labels;

/// All metrics of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name without the suffixes of its lines, but a counter's `_total` included.
    pub name: String,
    /// One sentence about what is measured; empty when unknown.
    pub help: String,
    /// What the values are.
    pub kind: MetricKind,
    /// One per label set.
    pub metrics: Vec<Metric>,
}

impl Family {
    /// A family without metrics yet.
    #[must_use]
    pub fn new(name: impl Into<String>, help: impl Into<String>, kind: MetricKind) -> Self {
        Family { name: name.into(), help: help.into(), kind, metrics: Vec::new() }
    }

    /// Adds a metric with a plain number as its value and no timestamp.
    pub fn push(&mut self, labels: Labels, value: f64) {
        self.metrics.push(Metric::new(labels, value));
    }

    /// Adds a metric and returns the family, to build small families in one expression.
    #[must_use]
    pub fn with(mut self, labels: Labels, value: f64) -> Self {
        self.push(labels, value);
        self
    }
}

/// The value of one label set of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The labels without the metric name.
    pub labels: Labels,
    /// What was measured.
    pub value: MetricValue,
    /// Unix milliseconds, if the value is of another time than the page's.
    pub timestamp: Option<i64>,
}

impl Metric {
    /// A plain number without a timestamp.
    #[must_use]
    pub fn new(labels: Labels, value: f64) -> Self {
        Metric { labels, value: MetricValue::Float(value), timestamp: None }
    }
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows, or starts again at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative counts of observations by upper bound.
    Histogram,
    /// A histogram of the present state: its counts can fall.
    GaugeHistogram,
    /// Quantiles computed by the program itself.
    Summary,
    /// Always 1; the labels tell.
    Info,
    /// One boolean per state (OpenMetrics).
    StateSet,
    /// Unknown.
    Untyped,
}

impl MetricKind {
    /// As Prometheus' metadata API and OpenMetrics spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            MetricKind::GaugeHistogram => "gaugehistogram",
            MetricKind::Summary => "summary",
            MetricKind::Info => "info",
            MetricKind::StateSet => "stateset",
            MetricKind::Untyped => "unknown",
        }
    }
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// A counter, a gauge or an untyped value.
    Float(f64),
    /// A classic histogram.
    Histogram {
        /// Upper bounds in ascending order with the number of observations at or below each. The bound `+Inf` may be left out: it is
        /// `count`.
        buckets: Vec<(f64, u64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
    /// A summary.
    Summary {
        /// Quantile (0 to 1) and its value, in ascending order of the quantile.
        quantiles: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
}
