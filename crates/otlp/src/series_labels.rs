//! The labels of a series: attributes of its points, and what resource, scope and metric add.

use std::borrow::Cow;
use std::collections::HashSet;

use model::number::{push_f, quote};
use model::{METRIC_NAME, METRIC_TYPE, METRIC_UNIT};

use crate::context::{Metric, Resource, Scope};
use crate::label_set::LabelSet;
use crate::options::Translation;
use crate::value::{key_of, push_value};
use crate::warnings::{Category, Warnings};

/// Which of the series that a metric becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// That of the metric's name.
    Whole,
    Sum,
    Count,
    Bucket(f64),
    Quantile(f64),
}

impl Part {
    /// Bytes that are others for another part.
    pub(crate) fn bytes(self) -> [u8; 9] {
        let (kind, number) = match self {
            Part::Whole => (0, 0.0),
            Part::Sum => (1, 0.0),
            Part::Count => (2, 0.0),
            Part::Bucket(bound) => (3, bound),
            Part::Quantile(quantile) => (4, quantile),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&f64::to_bits(number).to_le_bytes());
        bytes
    }
}

/// Makes label sets, one after the other in the same memory.
#[derive(Debug, Default)]
pub(crate) struct SeriesLabels {
    pub(crate) set: LabelSet,
    /// For the labels of the resource.
    other: LabelSet,
    name: String,
    /// Names whose collisions were told of this request.
    collided: HashSet<String>,
}

/// How attributes become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    Plainly,
    /// Several had the same name in the end: that is told with every request.
    Joined,
}

impl SeriesLabels {
    /// Another request begins.
    pub(crate) fn clear(&mut self) {
        self.collided.clear();
    }

    /// Makes the labels of a series of a metric.
    ///
    /// # Errors
    /// When there is no such label, or the same one twice.
    pub(crate) fn of_series(
        &mut self,
        attributes: &[&[u8]],
        around: (&Resource<'_>, &Scope, &Metric),
        part: Part,
        translation: &Translation,
        warnings: &mut Warnings,
    ) -> Result<Made, String> {
        let (resource, scope, metric) = around;
        self.set.clear();
        let made = self.add_attributes(attributes, &[METRIC_NAME], "data point", translation, warnings)?;
        resource.add_promoted(&mut self.set, &mut self.other);
        self.add_target(resource);
        for (name, value) in &scope.labels {
            self.set.set(name, value);
        }
        if !metric.kind_label.is_empty() {
            self.set.set(METRIC_TYPE, metric.kind_label);
        }
        if !metric.metadata.unit.is_empty() && !metric.unit_label.is_empty() {
            self.set.set(METRIC_UNIT, &metric.unit_label);
        }
        let suffix = match part {
            Part::Whole => "",
            Part::Sum => "_sum",
            Part::Count => "_count",
            Part::Bucket(bound) => {
                self.set.set_with("le", |out| push_f(out, bound));
                "_bucket"
            }
            Part::Quantile(quantile) => {
                self.set.set_with("quantile", |out| push_f(out, quantile));
                ""
            }
        };
        self.set.set_with(METRIC_NAME, |out| {
            out.push_str(&metric.name);
            out.push_str(suffix);
        });
        Ok(made)
    }

    /// Makes the labels of a resource's `target_info`; none if it is not the one of a target.
    ///
    /// # Errors
    /// As [`of_series`](Self::of_series).
    pub(crate) fn of_target_info(
        &mut self,
        resource: &Resource<'_>,
        left_out: &[&str],
        translation: &Translation,
        warnings: &mut Warnings,
    ) -> Result<Option<Made>, String> {
        self.set.clear();
        let made = self.add_attributes(&resource.attributes, left_out, "resource", translation, warnings)?;
        self.add_target(resource);
        self.set.set(METRIC_NAME, "target_info");
        let of_target = self.set.has("job") || self.set.has("instance");
        Ok(of_target.then_some(made))
    }

    fn add_target(&mut self, resource: &Resource<'_>) {
        for (name, value) in [("job", &resource.job), ("instance", &resource.instance)] {
            if !value.is_empty() {
                self.set.set(name, value);
            }
        }
    }

    fn add_attributes(
        &mut self,
        attributes: &[&[u8]],
        left_out: &[&str],
        source: &str,
        translation: &Translation,
        warnings: &mut Warnings,
    ) -> Result<Made, String> {
        let keys = attributes.iter().map(|attribute| (key_of(attribute), *attribute));
        let mut sorted: Vec<(Cow<'_, str>, &[u8])> =
            keys.filter(|(key, _)| !left_out.contains(&&**key)).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        if translation.naming.utf8 {
            return self.add_unchanged(&sorted).map(|()| Made::Plainly);
        }
        let mut made = Made::Plainly;
        for (key, attribute) in &sorted {
            self.name.clear();
            translation.naming.push_label(&mut self.name, key)?;
            if !self.set.has(&self.name) {
                self.set.set_with(&self.name, |out| push_value(out, attribute));
                continue;
            }
            made = Made::Joined;
            self.set.join(&self.name, |out| push_value(out, attribute));
            if self.collided.insert(self.name.clone()) {
                let text = collision(&sorted, &self.name, source, translation);
                warnings.add(Category::LabelNameCollision, text);
            }
        }
        Ok(made)
    }

    /// Names that stay as they are. Of two that are equal and not empty nothing can be made.
    fn add_unchanged(&mut self, sorted: &[(Cow<'_, str>, &[u8])]) -> Result<(), String> {
        for same in sorted.chunk_by(|a, b| a.0 == b.0) {
            let [(key, attribute), others @ ..] = same else { continue };
            self.set.set_with(key, |out| push_value(out, attribute));
            // To Prometheus a label without a name is the one before the first.
            let alone = others.is_empty() && !key.is_empty();
            if alone || !self.set.has(key) {
                continue;
            }
            let is_empty = |attribute: &[u8]| {
                self.name.clear();
                push_value(&mut self.name, attribute);
                self.name.is_empty()
            };
            if others.iter().map(|(_, attribute)| *attribute).any(is_empty) {
                self.set.set(key, "");
            } else {
                return Err(format!("label name \"{key}\" is not unique: invalid sample"));
            }
        }
        Ok(())
    }
}

/// Which attributes became one label.
fn collision(
    sorted: &[(Cow<'_, str>, &[u8])],
    label: &str,
    source: &str,
    translation: &Translation,
) -> String {
    let becomes = |key: &str| {
        let mut name = String::new();
        translation.naming.push_label(&mut name, key).is_ok() && name == label
    };
    let keys: Vec<String> =
        sorted.iter().filter(|(key, _)| becomes(key)).map(|(key, _)| quote(key)).collect();
    format!(
        "OTLP {source} attributes {} collide as label {} after name sanitization, values are concatenated with ';'",
        keys.join(", "),
        quote(label)
    )
}
