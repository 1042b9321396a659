//! Families as the lines of a page, for comparing; all values are plain numbers here.

use std::fmt::Write as _;

use exposition::{Family, MetricKind, MetricValue};

/// The page as node_exporter orders it.
pub(crate) fn page(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families {
        let kind = match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            _ => "untyped",
        };
        writeln!(page, "# HELP {0} {1}\n# TYPE {0} {kind}", family.name, family.help).ok();
        for metric in &family.metrics {
            let MetricValue::Float(value) = metric.value else { continue };
            let labels = metric.labels.to_string().replace("\", ", "\",");
            let labels = if labels == "{}" { "" } else { &labels };
            writeln!(page, "{}{labels} {}", family.name, model::number::format_g(value)).ok();
        }
    }
    page
}
