//! What tests expect beside what there is, and how both are shown.

use model::histogram::{CounterReset, FloatHistogram};
use model::number::{format_e, format_g, quote};
use model::{Labels, is_legacy_label_name};
use serde_json::{Value, json};

/// Names and texts, which may be empty.
pub(super) type Pairs = Vec<(String, String)>;

/// An alert with what is told with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AlertText {
    pub(super) labels: Pairs,
    pub(super) annotations: Pairs,
}

/// Alerts as they are shown, indented by so much but for the first line.
pub(super) fn alerts_text(alerts: &[AlertText], indent: &str) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let mut out = String::from("[");
    for (i, alert) in alerts.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let (labels, annotations) = (pairs_text(&alert.labels), pairs_text(&alert.annotations));
        out.push_str(&format!("{comma}\n{i}:\n  Labels:{labels}\n  Annotations:{annotations}"));
    }
    indented(&(out + "\n]"), indent)
}

/// As the JSON that differences are taken of.
pub(super) fn alerts_json(alerts: &[AlertText]) -> Value {
    let object = |pairs: &Pairs| -> Value {
        pairs.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect()
    };
    let alert = |alert: &AlertText| json!({"Labels": object(&alert.labels), "Annotations": object(&alert.annotations)});
    match alerts {
        [] => json!([{"Labels": {}, "Annotations": {}}]),
        alerts => alerts.iter().map(alert).collect(),
    }
}

/// `{a="b", c="d"}`
fn pairs_text(pairs: &Pairs) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, text)| match is_legacy_label_name(name) {
            true => format!("{name}={}", quote(text)),
            false => format!("{}={}", quote(name), quote(text)),
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Each line but the first with `indent` in front.
pub(super) fn indented(text: &str, indent: &str) -> String {
    text.replace('\n', &format!("\n{indent}"))
}

/// A sample of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SampleText {
    pub(super) labels: Labels,
    /// The value, if it is no histogram.
    pub(super) v: f64,
    /// The histogram, as it would be written; empty if it is none.
    pub(super) histogram: String,
}

impl SampleText {
    fn text(&self) -> String {
        if !self.histogram.is_empty() {
            return format!("{} {}", self.labels, self.histogram);
        }
        let v = format_e(self.v);
        format!("{} {}", self.labels, if self.v.is_finite() { v.to_uppercase() } else { v })
    }
}

/// In order, with commas; `nil` for none.
pub(super) fn samples_text(samples: &[SampleText]) -> String {
    match samples {
        [] => "nil".to_owned(),
        samples => samples.iter().map(SampleText::text).collect::<Vec<_>>().join(", "),
    }
}

/// Whether all are alike. `fuzzy`: neighbouring values are.
pub(super) fn are_equal(expected: &[SampleText], got: &[SampleText], fuzzy: bool) -> bool {
    let same_value = |a: f64, b: f64| a == b || (fuzzy && (a.next_down() == b || a.next_up() == b));
    expected.len() == got.len()
        && expected
            .iter()
            .zip(got)
            .all(|(a, b)| a.labels == b.labels && a.histogram == b.histogram && same_value(a.v, b.v))
}

/// A histogram as a test writes it: `{{count:2 sum:2 buckets:[2]}}`.
pub(super) fn histogram_text(histogram: &FloatHistogram) -> String {
    let mut parts = Vec::new();
    if histogram.schema != 0 {
        parts.push(format!("schema:{}", histogram.schema));
    }
    for (name, v) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if v != 0.0 {
            parts.push(format!("{name}:{}", format_g(v)));
        }
    }
    if histogram.schema == model::histogram::CUSTOM_BUCKETS {
        parts.push(format!("custom_values:{}", list(&histogram.custom_values)));
    }
    match histogram.reset {
        CounterReset::Unknown => {}
        CounterReset::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        CounterReset::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        CounterReset::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    for (buckets, key, offset_key) in
        [(&histogram.positive, "buckets", "offset"), (&histogram.negative, "n_buckets", "n_offset")]
    {
        let populated: Vec<_> = buckets.iter().filter(|(_, count)| *count != 0.0).collect();
        let (Some((first, _)), Some((last, _))) = (populated.first(), populated.last()) else { continue };
        if *first != 0 {
            parts.push(format!("{offset_key}:{first}"));
        }
        let mut counts = vec![0.0; (last - first) as usize + 1];
        for (index, count) in populated {
            counts[(index - first) as usize] = *count;
        }
        parts.push(format!("{key}:{}", list(&counts)));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

fn list(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|v| format_g(*v)).collect();
    format!("[{}]", numbers.join(" "))
}
