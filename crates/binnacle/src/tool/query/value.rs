//! Answers of the query API: read from JSON, printed as Prometheus' client library prints them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::go_json::{Encoder, push_string};
use model::number::{format_f, format_g, parse_float, quote};
use serde_json::Value;

/// Labels of a series.
pub(crate) type Metric = BTreeMap<String, String>;

/// What a query gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Scalar(i64, f64),
    Vector(Vec<(Metric, Sample)>),
    Matrix(Vec<Stream>),
}

/// A value at a time, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    t: i64,
    v: Quantity,
}

#[derive(Debug, Clone, PartialEq)]
enum Quantity {
    Float(f64),
    Histogram(Histogram),
}

/// A series over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stream {
    pub(crate) metric: Metric,
    /// Times in milliseconds.
    pub(crate) values: Vec<(i64, f64)>,
    pub(crate) histograms: Vec<(i64, Histogram)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    count: f64,
    sum: f64,
    /// There is a list, if only an empty one.
    has_buckets: bool,
    pub(crate) buckets: Vec<Bucket>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bucket {
    /// 0: open to the left; 1: to the right; 2: both; 3: neither.
    pub(crate) boundaries: i64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    count: f64,
}

impl Answer {
    /// What `resultType` and `result` say. `None`: it is no such thing.
    pub(crate) fn of(kind: &str, result: &Value) -> Option<Self> {
        Some(match kind {
            "scalar" => {
                let (t, v) = pair(result)?;
                Answer::Scalar(millis(t)?, float(v)?)
            }
            "vector" => {
                let sample = |entry: &Value| Some((metric(entry)?, sample(entry)?));
                Answer::Vector(result.as_array()?.iter().map(sample).collect::<Option<_>>()?)
            }
            "matrix" => Answer::Matrix(result.as_array()?.iter().map(stream).collect::<Option<_>>()?),
            _ => return None,
        })
    }

    /// The lines of `-o promql`, without the end of the last.
    pub(crate) fn lines(&self) -> String {
        match self {
            Answer::Scalar(t, v) => format!("scalar: {} @[{}]", format_f(*v), time(*t)),
            Answer::Vector(samples) => {
                let line =
                    |(metric, sample): &(Metric, Sample)| format!("{} => {}", name_of(metric), sample.text());
                samples.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Answer::Matrix(streams) => {
                let mut sorted: Vec<&Stream> = streams.iter().collect();
                sorted.sort_by(|a, b| order(&a.metric, &b.metric));
                sorted.into_iter().map(Stream::text).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// As `-o json` has it.
    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        match self {
            Answer::Scalar(t, v) => push_pair(&mut out, *t, |out| push_float(out, *v)),
            Answer::Vector(samples) => push_list(&mut out, samples, |out, (metric, sample)| {
                out.push_str("{\"metric\":");
                push_metric(out, metric);
                match &sample.v {
                    Quantity::Float(v) => {
                        out.push_str(",\"value\":");
                        push_pair(out, sample.t, |out| push_float(out, *v));
                    }
                    Quantity::Histogram(histogram) => {
                        out.push_str(",\"histogram\":");
                        push_pair(out, sample.t, |out| histogram.push_json(out));
                    }
                }
                out.push('}');
            }),
            Answer::Matrix(streams) => push_list(&mut out, streams, |out, stream| stream.push_json(out)),
        }
        out
    }
}

impl Sample {
    fn text(&self) -> String {
        match &self.v {
            Quantity::Float(v) => float_at(self.t, *v),
            Quantity::Histogram(histogram) => histogram_at(self.t, histogram),
        }
    }
}

impl Stream {
    fn text(&self) -> String {
        let values = self.values.iter().map(|(t, v)| float_at(*t, *v));
        let histograms = self.histograms.iter().map(|(t, histogram)| histogram_at(*t, histogram));
        let lines: Vec<String> = values.chain(histograms).collect();
        format!("{} =>\n{}", name_of(&self.metric), lines.join("\n"))
    }

    fn push_json(&self, out: &mut String) {
        out.push_str("{\"metric\":");
        push_metric(out, &self.metric);
        if !self.values.is_empty() || self.histograms.is_empty() {
            out.push_str(",\"values\":");
            push_list(out, &self.values, |out, (t, v)| push_pair(out, *t, |out| push_float(out, *v)));
        }
        if !self.histograms.is_empty() {
            out.push_str(",\"histograms\":");
            push_list(out, &self.histograms, |out, (t, histogram)| {
                push_pair(out, *t, |out| histogram.push_json(out));
            });
        }
        out.push('}');
    }
}

impl Histogram {
    fn push_json(&self, out: &mut String) {
        out.push_str("{\"count\":");
        push_float(out, self.count);
        out.push_str(",\"sum\":");
        push_float(out, self.sum);
        out.push_str(",\"buckets\":");
        if self.has_buckets {
            push_list(out, &self.buckets, |out, bucket| {
                let _ = write!(out, "[{}", bucket.boundaries);
                for v in [bucket.lower, bucket.upper, bucket.count] {
                    out.push(',');
                    push_float(out, v);
                }
                out.push(']');
            });
        } else {
            out.push_str("null");
        }
        out.push('}');
    }
}

impl Bucket {
    fn text(&self) -> String {
        let open = if matches!(self.boundaries, 1 | 3) { '[' } else { '(' };
        let close = if matches!(self.boundaries, 0 | 3) { ']' } else { ')' };
        let (lower, upper, count) = (format_g(self.lower), format_g(self.upper), format_f(self.count));
        format!("{open}{lower},{upper}{close}:{count}")
    }
}

fn float_at(t: i64, v: f64) -> String {
    format!("{} @[{}]", format_f(v), time(t))
}

fn histogram_at(t: i64, histogram: &Histogram) -> String {
    let buckets: Vec<String> = histogram.buckets.iter().map(Bucket::text).collect();
    let (count, sum) = (fixed(histogram.count), fixed(histogram.sum));
    format!("Count: {count}, Sum: {sum}, Buckets: [{}] @[{}]", buckets.join(" "), time(t))
}

/// Go's `%f`.
fn fixed(v: f64) -> String {
    if v.is_finite() { format!("{v:.6}") } else { format_f(v) }
}

/// Seconds, with as many decimals as needed.
fn time(millis: i64) -> String {
    format_f(millis as f64 / 1000.0)
}

/// `name{label="value"}`, names as they are.
pub(crate) fn name_of(metric: &Metric) -> String {
    let name = metric.get(model::METRIC_NAME);
    let others = metric.iter().filter(|(label, _)| *label != model::METRIC_NAME);
    let mut labels: Vec<String> = others.map(|(label, value)| format!("{label}={}", quote(value))).collect();
    labels.sort();
    match (name, labels.is_empty()) {
        (Some(name), true) => name.clone(),
        (None, true) => "{}".to_owned(),
        (name, false) => format!("{}{{{}}}", name.map_or("", String::as_str), labels.join(", ")),
    }
}

/// `{label="value"}`, the name being one of them.
pub(crate) fn label_set(labels: &Metric) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}={}", quote(value))).collect();
    format!("{{{}}}", labels.join(", "))
}

/// Fewer labels first; then by the first name that only one of them has, or whose values differ.
fn order(a: &Metric, b: &Metric) -> Ordering {
    let names = |metric: &Metric| metric.keys().cloned().collect::<std::collections::BTreeSet<_>>();
    a.len().cmp(&b.len()).then_with(|| {
        for name in names(a).union(&names(b)) {
            let decided = match (a.get(name), b.get(name)) {
                (None, _) => Ordering::Less,
                (_, None) => Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            if decided != Ordering::Equal {
                return decided;
            }
        }
        Ordering::Equal
    })
}

pub(crate) fn push_metric(out: &mut String, metric: &Metric) {
    out.push('{');
    for (i, (label, value)) in metric.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(out, label, Encoder::Standard);
        out.push(':');
        push_string(out, value, Encoder::Standard);
    }
    out.push('}');
}

pub(crate) fn push_list<T>(out: &mut String, entries: &[T], mut push: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(out, entry);
    }
    out.push(']');
}

fn push_pair(out: &mut String, t: i64, push: impl FnOnce(&mut String)) {
    out.push('[');
    out.push_str(&time(t));
    out.push(',');
    push(out);
    out.push(']');
}

fn push_float(out: &mut String, v: f64) {
    let _ = write!(out, "\"{}\"", format_f(v));
}

fn metric(entry: &Value) -> Option<Metric> {
    entry["metric"].as_object().map(labels)
}

/// An object of texts.
pub(crate) fn labels(object: &serde_json::Map<String, Value>) -> Metric {
    let texts = object.iter().filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())));
    texts.collect()
}

fn sample(entry: &Value) -> Option<Sample> {
    Some(match entry.get("histogram") {
        Some(pair) => {
            let (t, histogram) = self::histogram(pair)?;
            Sample { t, v: Quantity::Histogram(histogram) }
        }
        None => {
            let (t, v) = pair(&entry["value"])?;
            Sample { t: millis(t)?, v: Quantity::Float(float(v)?) }
        }
    })
}

fn stream(entry: &Value) -> Option<Stream> {
    let list = |key: &str| entry[key].as_array().into_iter().flatten();
    let value = |entry: &Value| {
        let (t, v) = pair(entry)?;
        Some((millis(t)?, float(v)?))
    };
    Some(Stream {
        metric: metric(entry)?,
        values: list("values").map(value).collect::<Option<_>>()?,
        histograms: list("histograms").map(histogram).collect::<Option<_>>()?,
    })
}

fn histogram(entry: &Value) -> Option<(i64, Histogram)> {
    let (t, object) = pair(entry)?;
    let number = |key: &str| object.get(key).map_or(Some(0.0), float);
    let bucket = |bucket: &Value| {
        let [boundaries, lower, upper, count] = bucket.as_array()?.as_slice() else { return None };
        let boundaries = boundaries.as_i64()?;
        Some(Bucket { boundaries, lower: float(lower)?, upper: float(upper)?, count: float(count)? })
    };
    let buckets = object["buckets"].as_array();
    let histogram = Histogram {
        count: number("count")?,
        sum: number("sum")?,
        has_buckets: buckets.is_some(),
        buckets: buckets.into_iter().flatten().map(bucket).collect::<Option<_>>()?,
    };
    Some((millis(t)?, histogram))
}

fn pair(value: &Value) -> Option<(&Value, &Value)> {
    match value.as_array()?.as_slice() {
        [t, v] => Some((t, v)),
        _ => None,
    }
}

fn millis(t: &Value) -> Option<i64> {
    Some((t.as_f64()? * 1000.0).round() as i64)
}

fn float(v: &Value) -> Option<f64> {
    parse_float(v.as_str()?)
}
