//! Pages of delimited `io.prometheus.client.MetricFamily` messages, read in place.
//!
//! Entries come as the text formats would have them: a family's head, then its series; a classic histogram or summary is
//! many series. Accepted and refused is what Prometheus 3.14 accepts and refuses, with its error texts.

mod message;
pub mod wire;
pub mod write;

use model::histogram::{CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, populations};
use model::{Labels, METRIC_NAME};

use crate::classic::ClassicHistogram;
use crate::family::MetricKind;
use crate::page::{LabelsBuf, LabelsError, ParseError, push_openmetrics_number};
use message::{Head, Histogram, Metric, read_exemplar, read_family, read_label};
use wire::{prefix, refused};

/// What is made of histograms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProtobufOptions {
    /// Native histograms are read; else only what the same metric has as a classic one.
    pub native: bool,
    /// Classic histograms are read even where a native one is.
    pub classic_too: bool,
    /// Classic histograms become native ones with custom buckets.
    pub convert: bool,
}

/// The head of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtobufFamily<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its help text.
    pub help: &'a str,
    /// Its unit.
    pub unit: &'a str,
    /// Its type.
    pub kind: MetricKind,
}

/// One entry of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProtobufEntry<'a> {
    /// A family begins. Families without metrics are not told.
    Family(ProtobufFamily<'a>),
    /// A sample; the parser knows its labels and what else there is.
    Series {
        /// Its value.
        value: f64,
    },
    /// A native histogram: [`ProtobufParser::histogram`].
    Histogram,
    /// The end of the page.
    Eof,
}

/// Which series of a metric an entry is. Floats are compared as bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProtobufPart {
    /// The only one.
    Whole,
    /// A native histogram.
    Histogram,
    /// `…_count`.
    Count,
    /// `…_sum`.
    Sum,
    /// `…_bucket` with this upper bound.
    Bucket(f64),
    /// A summary's quantile.
    Quantile(f64),
}

/// An exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct ProtobufExemplar {
    /// Its labels.
    pub labels: Labels,
    /// The value.
    pub value: f64,
    /// Unix milliseconds, if it has a time.
    pub timestamp_ms: Option<i64>,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Family,
    /// The metric that was read.
    Metric,
    NextMetric,
    /// A series of a summary or classic histogram.
    Field(Field),
    /// What comes after a native histogram.
    AfterNative,
    Convert,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Count,
    Sum,
    /// Bucket or quantile.
    Value(usize),
}

/// Reads a page entry by entry. Nothing is allocated for a sample.
#[derive(Debug)]
pub struct ProtobufParser<'a> {
    rest: &'a [u8],
    options: ProtobufOptions,
    metrics: Vec<&'a [u8]>,
    next_metric: usize,
    /// Number of the metric on the page.
    number: u64,
    name: &'a str,
    kind: MetricKind,
    metric: Metric<'a>,
    stage: Stage,
    part: ProtobufPart,
    classic: ClassicHistogram,
    converted: Option<HistogramValue>,
}

impl<'a> ProtobufParser<'a> {
    /// A parser at the beginning of `page`.
    #[must_use]
    pub fn new(page: &'a [u8], options: ProtobufOptions) -> Self {
        ProtobufParser {
            rest: page,
            options,
            metrics: Vec::new(),
            next_metric: 0,
            number: 0,
            name: "",
            kind: MetricKind::Untyped,
            metric: Metric::default(),
            stage: Stage::Family,
            part: ProtobufPart::Whole,
            classic: ClassicHistogram::default(),
            converted: None,
        }
    }

    /// The next entry. After an error or [`ProtobufEntry::Eof`] there is nothing more to read.
    ///
    /// # Errors
    /// The page is refused.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not tell a good end from a bad one")]
    pub fn next(&mut self) -> Result<ProtobufEntry<'a>, ParseError> {
        loop {
            match self.stage {
                Stage::Family => {
                    if self.rest.is_empty() {
                        return Ok(ProtobufEntry::Eof);
                    }
                    if let Some(family) = self.family()? {
                        self.stage = Stage::Metric;
                        return Ok(ProtobufEntry::Family(family));
                    }
                }
                Stage::NextMetric => {
                    self.stage = if self.read_metric()? { Stage::Metric } else { Stage::Family };
                }
                Stage::Metric => {
                    if let Some(entry) = self.metric()? {
                        return Ok(entry);
                    }
                }
                Stage::Field(field) => return Ok(ProtobufEntry::Series { value: self.field(field) }),
                Stage::AfterNative => {
                    let classic = self.options.classic_too && !self.metric.histogram.buckets.is_empty();
                    self.stage = if classic { Stage::Field(Field::Count) } else { Stage::NextMetric };
                }
                Stage::Convert => {
                    self.convert()?;
                    self.stage = Stage::NextMetric;
                    return Ok(ProtobufEntry::Histogram);
                }
            }
        }
    }

    /// Reads the next family's head and its first metric; none if it has no metric.
    fn family(&mut self) -> Result<Option<ProtobufFamily<'a>>, ParseError> {
        let (len, behind) =
            prefix(self.rest).ok_or_else(|| refused("clientpb: invalid varint encountered"))?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((message, rest)) = behind.split_at_checked(len) else {
            let (expected, got) = ((self.rest.len() - behind.len()).saturating_add(len), self.rest.len());
            return Err(refused(format!(
                "clientpb: insufficient length of buffer, expected at least {expected} bytes, got {got} bytes"
            )));
        };
        self.rest = rest;
        self.next_metric = 0;
        let head = read_family(message, &mut self.metrics)?;
        if !self.read_metric()? {
            return Ok(None);
        }
        let family = checked(head)?;
        self.name = family.name;
        self.kind = family.kind;
        Ok(Some(family))
    }

    fn read_metric(&mut self) -> Result<bool, ParseError> {
        let Some(&message) = self.metrics.get(self.next_metric) else { return Ok(false) };
        self.metric.read(message)?;
        self.next_metric += 1;
        self.number += 1;
        Ok(true)
    }

    /// The first entry of the metric that was read, if it comes at once.
    fn metric(&mut self) -> Result<Option<ProtobufEntry<'a>>, ParseError> {
        self.stage = Stage::NextMetric;
        let value = match self.kind {
            MetricKind::Counter => self.metric.counter.value,
            MetricKind::Gauge => self.metric.gauge,
            MetricKind::Summary => {
                self.stage = Stage::Field(Field::Count);
                return Ok(None);
            }
            MetricKind::Histogram | MetricKind::GaugeHistogram => {
                if self.is_native() {
                    self.metric.histogram.check_spans().map_err(|why| {
                        refused(format!("histogram {}: {why}", model::number::quote(self.name)))
                    })?;
                    self.stage = Stage::AfterNative;
                    self.part = ProtobufPart::Histogram;
                    return Ok(Some(ProtobufEntry::Histogram));
                }
                let only_converted = self.options.convert && !self.options.classic_too;
                self.stage = if only_converted { Stage::Convert } else { Stage::Field(Field::Count) };
                return Ok(None);
            }
            _ => self.metric.untyped,
        };
        self.part = ProtobufPart::Whole;
        Ok(Some(ProtobufEntry::Series { value }))
    }

    fn is_native(&self) -> bool {
        self.options.native && self.metric.histogram.is_native()
    }

    /// Value of a series of a summary or classic histogram.
    fn field(&mut self, field: Field) -> f64 {
        if self.kind == MetricKind::Summary { self.summary_field(field) } else { self.histogram_field(field) }
    }

    fn summary_field(&mut self, field: Field) -> f64 {
        let summary = &self.metric.summary;
        let next = |i: usize| match summary.quantiles.get(i) {
            Some(_) => Stage::Field(Field::Value(i)),
            None => Stage::NextMetric,
        };
        let (stage, part, value) = match field {
            Field::Count => (Stage::Field(Field::Sum), ProtobufPart::Count, summary.count as f64),
            Field::Sum => (next(0), ProtobufPart::Sum, summary.sum),
            Field::Value(i) => {
                let (quantile, value) = summary.quantiles.get(i).copied().unwrap_or_default();
                (next(i + 1), ProtobufPart::Quantile(quantile), value)
            }
        };
        self.stage = stage;
        self.part = part;
        value
    }

    fn histogram_field(&mut self, field: Field) -> f64 {
        let histogram = &self.metric.histogram;
        let (stage, part, value) = match field {
            Field::Count => (Stage::Field(Field::Sum), ProtobufPart::Count, histogram.count()),
            Field::Sum => (Stage::Field(Field::Value(0)), ProtobufPart::Sum, histogram.sum),
            Field::Value(i) => {
                // The bucket of all observations may be left out.
                let (bound, count) = match histogram.buckets.get(i) {
                    Some(bucket) => (bucket.bound, bucket.count()),
                    None => (f64::INFINITY, histogram.count()),
                };
                let stage = if bound != f64::INFINITY {
                    Stage::Field(Field::Value(i + 1))
                } else if self.options.convert && !self.is_native() {
                    Stage::Convert
                } else {
                    Stage::NextMetric
                };
                (stage, ProtobufPart::Bucket(bound), count)
            }
        };
        self.stage = stage;
        self.part = part;
        value
    }

    fn convert(&mut self) -> Result<(), ParseError> {
        let histogram = &self.metric.histogram;
        self.classic.clear();
        self.classic.set_count(histogram.count());
        self.classic.set_sum(histogram.sum);
        for bucket in &histogram.buckets {
            self.classic.set_bucket(bucket.bound, bucket.count());
        }
        let mut value = self.classic.convert()?;
        if self.kind == MetricKind::GaugeHistogram {
            match &mut value {
                HistogramValue::Integer(h) => h.reset = CounterReset::Gauge,
                HistogramValue::Float(h) => h.reset = CounterReset::Gauge,
            }
        }
        self.converted = Some(value);
        self.part = ProtobufPart::Histogram;
        Ok(())
    }

    /// The histogram of the entry just returned. Of a converted one it can be taken once.
    pub fn histogram(&mut self) -> HistogramValue {
        if let Some(value) = self.converted.take() {
            return value;
        }
        let gauge = self.kind == MetricKind::GaugeHistogram;
        let reset = if gauge { CounterReset::Gauge } else { CounterReset::Unknown };
        native(&self.metric.histogram, reset)
    }

    /// Name of the family.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Counts the page's metrics: entries of one number have the same labels but for what [`part`](Self::part) says.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The metric's labels as they stand on the page: together with [`name`](Self::name) and [`part`](Self::part) they are
    /// what [`read_labels`](Self::read_labels) makes labels of.
    #[must_use]
    pub fn raw_labels(&self) -> &[&'a [u8]] {
        &self.metric.labels
    }

    /// Which series of the metric the entry just returned is.
    #[must_use]
    pub fn part(&self) -> ProtobufPart {
        self.part
    }

    /// Unix milliseconds, if the metric has a time other than 0.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        Some(self.metric.timestamp_ms).filter(|&t| t != 0)
    }

    /// When the counting began, in Unix milliseconds; 0 if that is not told.
    #[must_use]
    pub fn start_time(&self) -> i64 {
        let start = match self.kind {
            MetricKind::Counter => self.metric.counter.start,
            MetricKind::Summary => self.metric.summary.start,
            MetricKind::Histogram | MetricKind::GaugeHistogram => self.metric.histogram.start,
            _ => None,
        };
        start.unwrap_or(0)
    }

    /// Reads the labels of the entry just returned.
    ///
    /// # Errors
    /// They break the page.
    pub fn read_labels(&self, out: &mut LabelsBuf) -> Result<(), LabelsError> {
        let mut name = String::new();
        let (suffix, bound) = match self.part {
            ProtobufPart::Whole | ProtobufPart::Histogram => ("", None),
            ProtobufPart::Count => ("_count", None),
            ProtobufPart::Sum => ("_sum", None),
            ProtobufPart::Bucket(bound) => ("_bucket", Some(("le", bound))),
            ProtobufPart::Quantile(quantile) => ("", Some(("quantile", quantile))),
        };
        name.push_str(self.name);
        name.push_str(suffix);
        let bound = bound.map(|(label, bound)| {
            let mut text = String::new();
            push_openmetrics_number(&mut text, bound);
            (label, text)
        });
        let own = [Ok((METRIC_NAME, name.as_str()))].into_iter();
        let labels = self.metric.labels.iter().map(|data| read_label(data));
        let bound = bound.iter().map(|(label, text)| Ok((*label, text.as_str())));
        out.read_pairs(own.chain(labels).chain(bound))
    }

    /// The exemplars of the entry just returned. Those of a native histogram have a time, always.
    pub fn exemplars(&self, mut each: impl FnMut(ProtobufExemplar)) {
        let histogram = &self.metric.histogram;
        match self.part {
            ProtobufPart::Whole if self.kind == MetricKind::Counter => {
                self.metric.counter.exemplar.and_then(exemplar).into_iter().for_each(each);
            }
            ProtobufPart::Bucket(bound) => {
                let bucket = histogram.buckets.iter().find(|b| b.bound.to_bits() == bound.to_bits());
                bucket.and_then(|bucket| bucket.exemplar).and_then(exemplar).into_iter().for_each(each);
            }
            ProtobufPart::Histogram => {
                let buckets = histogram.buckets.iter().filter_map(|bucket| bucket.exemplar);
                let mut timed = |data| {
                    if let Some(exemplar) = exemplar(data).filter(|e| e.timestamp_ms.is_some()) {
                        each(exemplar);
                    }
                };
                if histogram.exemplars.is_empty() {
                    buckets.for_each(&mut timed);
                } else {
                    histogram.exemplars.iter().copied().for_each(&mut timed);
                }
            }
            _ => {}
        }
    }
}

/// Decodes an exemplar, which was checked before.
fn exemplar(data: &[u8]) -> Option<ProtobufExemplar> {
    let mut pairs = Vec::new();
    let example = read_exemplar(data, |name, value| {
        pairs.push((String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    });
    let example = example.ok()?;
    let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
    Some(ProtobufExemplar { labels, value: example.value, timestamp_ms: example.timestamp_ms })
}

fn checked(head: Head<'_>) -> Result<ProtobufFamily<'_>, ParseError> {
    let lossy = |bytes| String::from_utf8_lossy(bytes);
    let name = std::str::from_utf8(head.name)
        .ok()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| refused(format!("invalid metric name: {}", lossy(head.name))))?;
    let quoted = || model::number::quote(name);
    let help = std::str::from_utf8(head.help)
        .map_err(|_| refused(format!("invalid help for metric {}: {}", quoted(), lossy(head.help))))?;
    let kind = match head.kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Summary,
        3 => MetricKind::Untyped,
        4 => MetricKind::Histogram,
        5 => MetricKind::GaugeHistogram,
        other => return Err(refused(format!("unknown metric type for metric {}: {other}", quoted()))),
    };
    Ok(ProtobufFamily { name, help, unit: std::str::from_utf8(head.unit).unwrap_or_default(), kind })
}

/// A native histogram without empty buckets.
fn native(h: &Histogram<'_>, reset: CounterReset) -> HistogramValue {
    if h.is_float() {
        let mut histogram = FloatHistogram {
            schema: h.schema,
            reset,
            zero_threshold: h.zero_threshold,
            zero_count: h.zero_count_float,
            count: h.count_float,
            sum: h.sum,
            positive: populations(&h.positive.spans, &h.positive.counts),
            negative: populations(&h.negative.spans, &h.negative.counts),
            custom_values: Vec::new(),
        };
        histogram.compact();
        return HistogramValue::Float(Box::new(histogram));
    }
    let mut histogram = IntegerHistogram {
        schema: h.schema,
        reset,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count,
        count: h.count_integer,
        sum: h.sum,
        positive_spans: h.positive.spans.clone(),
        positive_deltas: h.positive.deltas.clone(),
        negative_spans: h.negative.spans.clone(),
        negative_deltas: h.negative.deltas.clone(),
        custom_values: Vec::new(),
    };
    histogram.compact(0);
    HistogramValue::Integer(Box::new(histogram))
}
