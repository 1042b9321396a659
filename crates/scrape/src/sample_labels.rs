//! From the labels of a page's line to those that are stored.

use exposition::{InvalidNames, LabelsBuf, LabelsError, ParseError};
use model::{
    Labels, LabelsBuilder, METRIC_NAME, ValidationScheme, is_legacy_label_name, is_legacy_metric_name,
    relabel,
};

use crate::options::{JobOptions, Limits};

const EXPORTED_PREFIX: &str = "exported_";

/// Why a line makes the whole scrape fail. The texts are Prometheus'.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LabelError {
    #[error("missing metric name (__name__ label)")]
    NoName,
    #[error("invalid metric name or label names: {0}")]
    Invalid(Labels),
    #[error("{0}")]
    NotUtf8(InvalidNames),
    #[error("label name \"{0}\" is not unique: invalid sample")]
    Duplicate(Box<str>),
    #[error("{0}")]
    Syntax(ParseError),
    #[error("{0}")]
    Limit(String),
}

/// What turns labels of a page into labels of a series, for one target.
#[derive(Clone, Copy)]
pub(crate) struct LabelRules<'a> {
    pub(crate) job: &'a JobOptions,
    /// The target's public labels.
    pub(crate) target: &'a Labels,
}

impl LabelRules<'_> {
    /// The error of a line whose labels cannot be read.
    pub(crate) fn refuse(&self, err: LabelsError) -> LabelError {
        match err {
            LabelsError::Syntax(err) => LabelError::Syntax(err),
            LabelsError::Duplicate(name) => LabelError::Duplicate(name),
            LabelsError::NotUtf8(names) => LabelError::NotUtf8(names.with(self.target)),
        }
    }

    /// The labels to store, or none if metric relabelling drops the line.
    pub(crate) fn apply(&self, exposed: &LabelsBuf) -> Result<Option<Labels>, LabelError> {
        let merged = self.merge(exposed);
        let labels = if self.job.metric_relabel_configs.is_empty() {
            merged
        } else {
            match relabel::process(&merged, &self.job.metric_relabel_configs) {
                Some(labels) if !labels.is_empty() => labels,
                _ => return Ok(None),
            }
        };
        let Some(name) = labels.metric_name() else { return Err(LabelError::NoName) };
        if self.job.name_validation == ValidationScheme::Legacy
            && !(is_legacy_metric_name(name) && labels.iter().all(|(name, _)| is_legacy_label_name(name)))
        {
            return Err(LabelError::Invalid(labels));
        }
        check_limits(&labels, &self.job.limits)?;
        Ok(Some(labels))
    }

    /// Adds the target's labels. Where both have a label, `honor_labels` decides: the page's stays, or it is renamed
    /// `exported_…` (as often as it takes to be free).
    fn merge(&self, exposed: &LabelsBuf) -> Labels {
        if self.job.honor_labels {
            let has =
                |name: &str| exposed.iter().any(|(n, _)| n == name) || exposed.removed().any(|n| n == name);
            return merge_sorted(exposed.iter(), self.target.iter().filter(|(name, _)| !has(name)));
        }
        let find = |name: &str| exposed.iter().find(|(n, _)| *n == name).map(|(_, value)| value);
        let mut conflicts: Vec<(&str, &str)> =
            self.target.iter().filter_map(|(name, _)| Some((name, find(name)?))).collect();
        let merged = merge_sorted(exposed.iter(), self.target.iter());
        if conflicts.is_empty() {
            return merged;
        }
        conflicts.sort_by_key(|(name, _)| name.len());
        let mut builder = LabelsBuilder::new(&merged);
        for (name, value) in conflicts {
            let mut renamed = format!("{EXPORTED_PREFIX}{name}");
            while !builder.value(&renamed).is_empty() {
                renamed.insert_str(0, EXPORTED_PREFIX);
            }
            builder.set(&renamed, value);
        }
        builder.build()
    }
}

/// Joins two lists that are sorted by name; of equal names the second list's label stays.
fn merge_sorted<'a>(
    first: impl Iterator<Item = (&'a str, &'a str)>,
    second: impl Iterator<Item = (&'a str, &'a str)>,
) -> Labels {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    Labels::from_sorted(std::iter::from_fn(|| match (first.peek(), second.peek()) {
        (Some((a, _)), Some((b, _))) if a == b => {
            first.next();
            second.next()
        }
        (Some((a, _)), Some((b, _))) if a > b => second.next(),
        (Some(_), _) => first.next(),
        (None, _) => second.next(),
    }))
}

fn check_limits(labels: &Labels, limits: &Limits) -> Result<(), LabelError> {
    let metric = clip(labels.value(METRIC_NAME));
    if limits.labels > 0 && labels.len() > limits.labels {
        return Err(LabelError::Limit(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {}, limit: {})",
            labels.len(),
            limits.labels
        )));
    }
    if limits.label_name_length == 0 && limits.label_value_length == 0 {
        return Ok(());
    }
    for (name, value) in labels {
        if limits.label_name_length > 0 && name.len() > limits.label_name_length {
            return Err(LabelError::Limit(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {}, limit: {})",
                clip(name),
                name.len(),
                limits.label_name_length
            )));
        }
        if limits.label_value_length > 0 && value.len() > limits.label_value_length {
            return Err(LabelError::Limit(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {}, length: {}, limit: {})",
                clip(name),
                model::number::quote(clip(value)),
                value.len(),
                limits.label_value_length
            )));
        }
    }
    Ok(())
}

/// The first 50 characters, as messages show long names.
fn clip(text: &str) -> &str {
    text.char_indices().nth(50).map_or(text, |(end, _)| &text[..end])
}

/// Labels of one of the target's own series (`up` and so on).
pub(crate) fn report_labels(name: &str, target: &Labels) -> Labels {
    Labels::from_pairs(target.iter().chain([(METRIC_NAME, name)]))
}

#[cfg(test)]
mod tests {
    use exposition::{MetricKind, PageFormat};

    use super::*;

    fn apply(job: &JobOptions, target: &[(&str, &str)], line: &str) -> String {
        let target = Labels::from_pairs(target.iter().copied());
        let rules = LabelRules { job, target: &target };
        let mut exposed = LabelsBuf::new();
        if let Err(err) = exposed.read(PageFormat::Text, line.as_bytes(), MetricKind::Untyped) {
            return rules.refuse(err).to_string();
        }
        match rules.apply(&exposed) {
            Ok(Some(labels)) => labels.to_string(),
            Ok(None) => "dropped".to_owned(),
            Err(err) => err.to_string(),
        }
    }

    #[test]
    fn conflicting_labels_are_renamed_until_free() {
        let job = JobOptions::new("j");
        assert_eq!(
            apply(
                &job,
                &[("job", "j"), ("instance", "i")],
                r#"a{job="own",exported_job="taken",instance=""}"#
            ),
            r#"{__name__="a", exported_exported_job="own", exported_job="taken", instance="i", job="j"}"#
        );
        assert_eq!(
            apply(&job, &[("foo", "1"), ("exported_foo", "2")], r#"a{foo="3",exported_foo="4"}"#),
            r#"{__name__="a", exported_exported_exported_foo="4", exported_exported_foo="3", exported_foo="2", foo="1"}"#
        );
    }

    #[test]
    fn honored_labels_win_even_when_empty() {
        let job = JobOptions { honor_labels: true, ..JobOptions::new("j") };
        assert_eq!(
            apply(&job, &[("job", "j"), ("instance", "i"), ("x", "y")], r#"a{job="own",instance=""}"#),
            r#"{__name__="a", job="own", x="y"}"#
        );
    }

    #[test]
    fn limits_name_what_exceeds_them() {
        let limited = |limits| JobOptions { limits, ..JobOptions::new("j") };
        for (limits, expected) in [
            (
                Limits { labels: 2, ..Limits::default() },
                "label_limit exceeded (metric: metric, number of labels: 3, limit: 2)",
            ),
            (
                Limits { label_name_length: 8, ..Limits::default() },
                "label_name_length_limit exceeded (metric: metric, label name: long_name, length: 9, limit: 8)",
            ),
            (
                Limits { label_value_length: 5, ..Limits::default() },
                "label_value_length_limit exceeded (metric: metric, label name: __name__, value: \"metric\", length: 6, limit: 5)",
            ),
        ] {
            assert_eq!(apply(&limited(limits), &[("job", "j")], r#"metric{long_name="value"}"#), expected);
        }
    }

    #[test]
    fn repeated_labels_and_invalid_names_are_refused() {
        let job = JobOptions::new("j");
        assert_eq!(apply(&job, &[], r#"a{b="1",b="2"}"#), "label name \"b\" is not unique: invalid sample");
        let legacy = JobOptions { name_validation: ValidationScheme::Legacy, ..JobOptions::new("j") };
        assert_eq!(
            apply(&legacy, &[], r#"{"a.b"}"#),
            "invalid metric name or label names: {__name__=\"a.b\"}"
        );
    }
}
