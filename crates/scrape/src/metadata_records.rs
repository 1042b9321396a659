//! `metadata-wal-records`: what a page says about its metrics, for each series of it.

use std::collections::HashMap;

use exposition::{LabelsBuf, MetricKind};
use model::METRIC_NAME;
use storage::{BatchMetadata, Metadata, SeriesRef};

use crate::elements::{Element, Elements};
use crate::layout::{FIRST_MARK, Layout};
use crate::metadata::{FamilyMetadata, PageMetadata};

/// Adds what `told` says about the series of a page, which `layout` knows. The store passes over what it knows already.
pub(crate) fn push(
    elements: &mut dyn Elements,
    layout: &Layout,
    told: &PageMetadata,
    out: &mut Vec<BatchMetadata>,
) {
    let families: HashMap<&str, &FamilyMetadata> =
        told.families.iter().map(|family| (&*family.metric, family)).collect();
    let mut labels = LabelsBuf::new();
    let mut series = layout.lines();
    loop {
        match elements.next() {
            Ok(Element::Comment { .. }) => continue,
            Ok(Element::Sample(_)) => {}
            Ok(Element::End) | Err(_) => return,
        }
        let Some(series) = series.next() else { return };
        if series >= FIRST_MARK || elements.labels(&mut labels).is_err() {
            continue;
        }
        let name = labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value);
        let Some(family) =
            families.get(elements.family().0).filter(|family| is_part_of(name, &family.metric, family.kind))
        else {
            continue;
        };
        let metadata = Metadata {
            kind: family.kind.as_str().to_owned(),
            unit: family.unit.to_string(),
            help: family.help.to_string(),
        };
        out.push(BatchMetadata { series: SeriesRef(series), metadata });
    }
}

/// Whether a series of this name is one of the family: what a page says last need not be about the lines that follow.
pub(crate) fn is_part_of(name: &str, family: &str, kind: MetricKind) -> bool {
    let suffixes: &[&str] = match kind {
        MetricKind::Counter => &["_total"],
        MetricKind::Histogram => &["_bucket", "_sum", "_count"],
        MetricKind::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricKind::Summary => &["_sum", "_count"],
        MetricKind::Info => &["_info"],
        _ => &[],
    };
    let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let own = if kind == MetricKind::Counter { family.strip_suffix("_total") } else { None };
    base == own.unwrap_or(family)
}
