//! Text, OpenMetrics and protobuf pages to samples in place, metric families to pages, and the metrics registry.

mod classic;
mod encode;
mod encode_protobuf;
mod family;
mod family_text;
mod negotiate;
mod page;
mod process;
mod protobuf;
pub mod registry;
mod sample_page;

pub use classic::{ClassicHistogram, ClassicPart, classic_part};
pub use encode::encode;
pub use encode_protobuf::encode_protobuf;
pub use family::{Family, Metric, MetricKind, MetricValue};
pub use family_text::{TextFamily, TextMetric, TextValue, read_family_text};
pub use negotiate::{
    Escaping, Format, Syntax, negotiate, negotiate_with_openmetrics, negotiate_with_protobuf,
};
pub use page::{
    Entry, InvalidNames, LabelsBuf, LabelsError, PageFormat, PageParser, ParseError, RawExemplar, SeriesLine,
    ValuePart, labels_of, value_after,
};
pub use process::process_metrics;
pub use protobuf::{
    ProtobufEntry, ProtobufExemplar, ProtobufFamily, ProtobufOptions, ProtobufParser, ProtobufPart,
};
pub use protobuf::{wire as protobuf_wire, write as protobuf_write};
pub use registry::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};
pub use sample_page::{SamplePage, SampleValue};
