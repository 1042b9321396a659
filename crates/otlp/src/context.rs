//! What all points of a resource, a scope or a metric have in common.

use std::borrow::Cow;

use storage::{Metadata, SeriesCache, SeriesKey};

use crate::label_set::LabelSet;
use crate::names::{Suffix, unit_name};
use crate::options::{Promoted, Translation};
use crate::point::PointKind;
use crate::value::{has_key, key_of, push_value, value_of};
use crate::wire::Fields;

pub(crate) const SERVICE_NAMESPACE: &str = "service.namespace";
pub(crate) const SERVICE_NAME: &str = "service.name";
pub(crate) const SERVICE_INSTANCE: &str = "service.instance.id";

/// Of `ResourceMetrics`.
#[derive(Debug)]
pub(crate) struct Resource<'b> {
    pub(crate) attributes: Vec<&'b [u8]>,
    pub(crate) key: SeriesKey,
    pub(crate) job: String,
    pub(crate) instance: String,
    /// Attributes that become labels, and their values.
    pub(crate) promoted: Vec<(String, &'b [u8])>,
}

impl<'b> Resource<'b> {
    /// # Errors
    /// When an attribute that becomes a label has a name that no label can have.
    pub(crate) fn read(
        data: &'b [u8],
        translation: &Translation,
        cache: &SeriesCache,
    ) -> Result<Self, String> {
        let attributes: Vec<&'b [u8]> =
            Fields::all(data, 1).flat_map(|resource| Fields::all(resource, 1)).collect();
        let value = |key: &str| attributes.iter().find(|of| has_key(of, key)).map(|of| value_of(of));
        let mut job = value(SERVICE_NAME).unwrap_or_default();
        if let Some(namespace) = value(SERVICE_NAMESPACE).filter(|_| has(&attributes, SERVICE_NAME)) {
            job = format!("{namespace}/{job}");
        }
        let mut promoted = Vec::new();
        for attribute in &attributes {
            let key = key_of(attribute);
            let wanted = match &translation.promoted {
                Promoted::Only(these) => !these.is_empty() && these.contains(&*key),
                Promoted::AllBut(these) => !these.contains(&*key),
            };
            if wanted {
                let mut name = String::new();
                translation.naming.push_label(&mut name, &key)?;
                promoted.push((name, *attribute));
            }
        }
        let key = cache.key_of(Fields::all(data, 1).map(|resource| cache.key(resource)));
        let instance = value(SERVICE_INSTANCE).unwrap_or_default();
        Ok(Resource { attributes, key, job, instance, promoted })
    }

    /// Adds the labels that promoted attributes become where points have none of that name.
    pub(crate) fn add_promoted(&self, labels: &mut LabelSet, own: &mut LabelSet) {
        own.clear();
        for (name, attribute) in &self.promoted {
            own.set_with(name, |out| push_value(out, attribute));
        }
        own.each(|name, value| {
            if !labels.has(name) {
                labels.set(name, value);
            }
        });
    }

    /// Whether an attribute is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        has(&self.attributes, key)
    }
}

fn has(attributes: &[&[u8]], key: &str) -> bool {
    attributes.iter().any(|attribute| has_key(attribute, key))
}

/// Of `ScopeMetrics`.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Of what of the scope is in labels.
    pub(crate) key: SeriesKey,
    /// In the order in which they are set; none where the scope becomes no labels.
    pub(crate) labels: Vec<(Cow<'static, str>, String)>,
}

impl Scope {
    /// # Errors
    /// When an attribute of the scope has a name that no label can have.
    pub(crate) fn read(data: &[u8], translation: &Translation, cache: &SeriesCache) -> Result<Self, String> {
        let mut scope = Scope { key: cache.key(&[]), labels: Vec::new() };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = || Fields::all(data, 1).flat_map(Fields::of);
        let field = |number| fields().filter(|field| field.number == number).last();
        let name = field(1).map_or_else(String::new, |field| text(field.bytes));
        if !translation.promote_scope || name.is_empty() {
            return Ok(scope);
        }
        let mut of_attributes = LabelSet::default();
        for attribute in fields().filter(|field| field.number == 3) {
            let mut name = String::new();
            let raw = format!("otel_scope_{}", key_of(attribute.bytes));
            translation.naming.push_label(&mut name, &raw)?;
            of_attributes.set_with(&name, |out| push_value(out, attribute.bytes));
        }
        of_attributes.each(|name, value| scope.labels.push((name.to_owned().into(), value.to_owned())));
        let version = field(2).map_or_else(String::new, |field| text(field.bytes));
        let schema = Fields::all(data, 3).last().map_or_else(String::new, text);
        scope.labels.push(("otel_scope_name".into(), name));
        scope.labels.push(("otel_scope_version".into(), version));
        scope.labels.push(("otel_scope_schema_url".into(), schema));
        let texts = scope.labels.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        scope.key = cache.key_of(texts.map(|text| cache.key(text)));
        Ok(scope)
    }
}

/// Of `Metric`, as it is written.
#[derive(Debug)]
pub(crate) struct RawMetric<'b> {
    pub(crate) name: &'b [u8],
    pub(crate) unit: &'b [u8],
    help: &'b [u8],
    /// The kind, and the message that holds the points.
    pub(crate) points: Option<(PointKind, &'b [u8])>,
    pub(crate) temporality: Temporality,
    pub(crate) monotonic: bool,
}

/// What a sum or a histogram counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temporality {
    /// The metric has none.
    None,
    /// One that does not say, or says something unknown.
    Unspecified,
    /// The last point.
    Delta,
    /// The beginning.
    Cumulative,
}

impl<'b> RawMetric<'b> {
    pub(crate) fn read(data: &'b [u8]) -> Self {
        let mut metric = RawMetric {
            name: &[],
            unit: &[],
            help: &[],
            points: None,
            temporality: Temporality::None,
            monotonic: false,
        };
        for field in Fields::of(data) {
            match field.number {
                1 => metric.name = field.bytes,
                2 => metric.help = field.bytes,
                3 => metric.unit = field.bytes,
                number => {
                    let points = PointKind::of_field(number).map(|kind| (kind, field.bytes));
                    metric.points = points.or(metric.points);
                }
            }
        }
        let Some((kind, points)) = metric.points else { return metric };
        if matches!(kind, PointKind::Gauge | PointKind::Summary) {
            return metric;
        }
        metric.temporality = Temporality::Unspecified;
        for field in Fields::of(points) {
            match field.number {
                2 => {
                    metric.temporality = match field.value as i32 {
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Unspecified,
                    }
                }
                3 => metric.monotonic = kind == PointKind::Sum && field.value != 0,
                _ => {}
            }
        }
        metric
    }

    pub(crate) fn name(&self) -> Cow<'b, str> {
        String::from_utf8_lossy(self.name)
    }

    /// What the points of it are in Prometheus.
    fn kind(&self) -> &'static str {
        match self.points {
            _ if self.temporality == Temporality::Delta => "unknown",
            Some((PointKind::Gauge, _)) => "gauge",
            Some((PointKind::Sum, _)) if self.monotonic => "counter",
            Some((PointKind::Sum, _)) => "gauge",
            Some((PointKind::Histogram | PointKind::Exponential, _)) => "histogram",
            Some((PointKind::Summary, _)) => "summary",
            None => "unknown",
        }
    }

    fn suffix(&self) -> Suffix {
        match self.points {
            Some((PointKind::Gauge, _)) => Suffix::Gauge,
            Some((PointKind::Sum, _)) if self.monotonic => Suffix::Counter,
            _ => Suffix::None,
        }
    }
}

/// A metric by Prometheus' names.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Stands for all that its series have in common.
    pub(crate) key: SeriesKey,
    pub(crate) name: String,
    /// The labels `__type__` and `__unit__`, where they are wanted.
    pub(crate) kind_label: &'static str,
    pub(crate) unit_label: String,
    pub(crate) metadata: Metadata,
    /// Whether that says anything.
    pub(crate) described: bool,
    /// Stands for the metadata.
    pub(crate) said: SeriesKey,
}

impl Metric {
    /// # Errors
    /// When nothing is left of the name.
    pub(crate) fn new(
        raw: &RawMetric<'_>,
        translation: &Translation,
        type_and_unit: bool,
        cache: &SeriesCache,
        around: [SeriesKey; 3],
    ) -> Result<Self, String> {
        let naming = translation.naming;
        let unit = String::from_utf8_lossy(raw.unit);
        let name = naming.metric(&raw.name(), &unit, raw.suffix())?;
        let metadata = Metadata {
            kind: raw.kind().to_owned(),
            unit: unit_name(&unit, false),
            help: String::from_utf8_lossy(raw.help).into_owned(),
        };
        let described = metadata.kind != "unknown" || !metadata.unit.is_empty() || !metadata.help.is_empty();
        let (kind_label, unit_label) = match type_and_unit {
            true if raw.kind() == "unknown" => ("", unit_name(&metadata.unit, naming.utf8)),
            true => (raw.kind(), unit_name(&metadata.unit, naming.utf8)),
            false => ("", String::new()),
        };
        let of_texts = |texts: &[&str]| cache.key_of(texts.iter().map(|text| cache.key(text.as_bytes())));
        let own = of_texts(&[&name, kind_label, &unit_label]);
        let said = of_texts(&[&metadata.kind, &metadata.unit, &metadata.help]);
        let key = cache.key_of(around.into_iter().chain([own]));
        Ok(Metric { key, name, kind_label, unit_label, metadata, described, said })
    }
}
