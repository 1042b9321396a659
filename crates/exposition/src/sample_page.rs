//! Samples of a store as a page, piece by piece: what federation writes.

use model::histogram::{CUSTOM_BUCKETS, CounterReset, FloatHistogram, Population, spans};

use crate::encode::{Page, escape_name};
use crate::negotiate::{Escaping, Format, Syntax};
use crate::protobuf::wire::BYTES;
use crate::protobuf::write::{push_bytes, push_double, push_tag, push_varint, varint, zigzag};

/// A family of more bytes is written as several messages, so that none has to be held whole.
const LONGEST_FAMILY: usize = 1 << 20;

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub enum SampleValue<'a> {
    /// A float: a metric without type.
    Float(f64),
    /// A native histogram. One of custom buckets is written as a classic one; any other can be in protobuf only, and is
    /// left out of text.
    Histogram(&'a FloatHistogram),
}

/// What a family is, as far as samples tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Kind {
    fn of(value: SampleValue<'_>) -> Self {
        match value {
            SampleValue::Float(_) => Kind::Untyped,
            SampleValue::Histogram(h) if h.reset == CounterReset::Gauge => Kind::GaugeHistogram,
            SampleValue::Histogram(_) => Kind::Histogram,
        }
    }

    /// Text has no gauge histogram.
    fn text(self) -> &'static str {
        match self {
            Kind::Untyped => "untyped",
            Kind::Histogram | Kind::GaugeHistogram => "histogram",
        }
    }

    /// `MetricType` of the message.
    fn number(self) -> u64 {
        match self {
            Kind::Untyped => 3,
            Kind::Histogram => 4,
            Kind::GaugeHistogram => 5,
        }
    }
}

/// Writes samples, those of a metric one after the other, as text or as delimited `MetricFamily` messages.
pub struct SamplePage {
    page: Page,
    protobuf: Option<Messages>,
    /// The name of the family that is being written, as it is written, and what it is.
    family: Option<(String, Kind)>,
    /// The same name as it came.
    name: String,
}

/// Messages of the family that is being written.
#[derive(Default)]
struct Messages {
    out: Vec<u8>,
    /// The metrics of the family so far.
    metrics: Vec<u8>,
    metric: Vec<u8>,
    part: Vec<u8>,
}

impl SamplePage {
    /// An empty page.
    #[must_use]
    pub fn new(format: Format) -> Self {
        SamplePage {
            page: Page::new(Format { syntax: Syntax::Text, ..format }),
            protobuf: (format.syntax == Syntax::Protobuf).then(Messages::default),
            family: None,
            name: String::new(),
        }
    }

    /// Writes a sample of `name` with these labels, in the order in which they come, at `t` in milliseconds since the
    /// Unix epoch. A family begins where the name changes, or what its samples are.
    pub fn sample<'l>(
        &mut self,
        name: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        value: SampleValue<'_>,
        t: i64,
    ) {
        if let SampleValue::Histogram(h) = value
            && h.schema != CUSTOM_BUCKETS
            && self.protobuf.is_none()
        {
            return;
        }
        let kind = Kind::of(value);
        if self.name != name || self.family.as_ref().is_none_or(|(_, of)| *of != kind) {
            self.begin(name, kind);
        }
        let Some((name, _)) = &self.family else { return };
        match &mut self.protobuf {
            Some(messages) => {
                messages.metric(self.page.escaping, labels, value, t);
                if messages.metrics.len() >= LONGEST_FAMILY {
                    messages.end(name, kind);
                }
            }
            None => lines(&mut self.page, name, &labels, value, t),
        }
    }

    /// Takes what is ready.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        match &mut self.protobuf {
            Some(messages) => std::mem::take(&mut messages.out),
            None => std::mem::take(&mut self.page.out).into_bytes(),
        }
    }

    /// How many bytes are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.protobuf.as_ref().map_or(self.page.out.len(), |messages| messages.out.len())
    }

    /// The rest of the page.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end();
        self.take()
    }

    fn begin(&mut self, name: &str, kind: Kind) {
        self.end();
        let written = escape_name(name, self.page.escaping).into_owned();
        if self.protobuf.is_none() {
            self.page.type_line(&written, kind.text());
        }
        name.clone_into(&mut self.name);
        self.family = Some((written, kind));
    }

    fn end(&mut self) {
        if let (Some(messages), Some((name, kind))) = (&mut self.protobuf, &self.family) {
            messages.end(name, *kind);
        }
    }
}

/// The lines of a sample.
fn lines<'l>(
    page: &mut Page,
    name: &str,
    labels: &(impl Iterator<Item = (&'l str, &'l str)> + Clone),
    value: SampleValue<'_>,
    t: i64,
) {
    let mut line = |suffix: &str, bound: Option<(&str, f64)>, v: f64| {
        page.series(name, suffix, labels.clone(), bound);
        page.number(v);
        page.end(Some(t));
    };
    match value {
        SampleValue::Float(v) => line("", None, v),
        SampleValue::Histogram(h) => {
            for (bound, cumulative) in cumulative(h) {
                line("_bucket", Some(("le", bound)), cumulative);
            }
            line("_bucket", Some(("le", f64::INFINITY)), h.count);
            line("_sum", None, h.sum);
            line("_count", None, h.count);
        }
    }
}

/// Upper bounds of custom buckets, without infinity, with the number of observations up to each.
fn cumulative(h: &FloatHistogram) -> impl Iterator<Item = (f64, f64)> {
    let mut populations = h.positive.iter().peekable();
    let mut sum = 0.0;
    (0_i32..).zip(&h.custom_values).map(move |(index, bound)| {
        while let Some((_, population)) = populations.next_if(|(of, _)| *of <= index) {
            sum += population;
        }
        (*bound, sum)
    })
}

// Field numbers of `io.prometheus.client`: metrics.proto of client_model 0.6.
impl Messages {
    fn metric<'l>(
        &mut self,
        escaping: Escaping,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: SampleValue<'_>,
        t: i64,
    ) {
        let Messages { metrics, metric, part, .. } = self;
        metric.clear();
        for (name, value) in labels {
            part.clear();
            push_bytes(part, 1, escape_name(name, escaping).as_bytes());
            push_bytes(part, 2, value.as_bytes());
            push_bytes(metric, 1, part);
        }
        part.clear();
        match value {
            SampleValue::Float(v) => {
                push_double(part, 1, v);
                push_bytes(metric, 5, part);
                push_varint(metric, 6, t.cast_unsigned());
            }
            SampleValue::Histogram(h) => {
                push_varint(metric, 6, t.cast_unsigned());
                push_histogram(part, h);
                push_bytes(metric, 7, part);
            }
        }
        push_bytes(metrics, 4, metric);
    }

    /// Writes the family's message, if it has metrics.
    fn end(&mut self, name: &str, kind: Kind) {
        if self.metrics.is_empty() {
            return;
        }
        self.part.clear();
        push_bytes(&mut self.part, 1, name.as_bytes());
        push_varint(&mut self.part, 3, kind.number());
        varint(&mut self.out, (self.part.len() + self.metrics.len()) as u64);
        self.out.append(&mut self.part);
        self.out.append(&mut self.metrics);
    }
}

fn push_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    push_double(out, 2, h.sum);
    if h.schema == CUSTOM_BUCKETS {
        for (bound, cumulative) in cumulative(h) {
            // Two doubles, each after a tag of one byte.
            push_tag(out, 3, BYTES);
            varint(out, 18);
            push_double(out, 2, bound);
            push_double(out, 4, cumulative);
        }
        push_double(out, 4, h.count);
        return;
    }
    push_double(out, 4, h.count);
    push_varint(out, 5, zigzag(h.schema.into()));
    push_double(out, 6, h.zero_threshold);
    push_double(out, 8, h.zero_count);
    push_buckets(out, (9, 11), &h.negative);
    push_buckets(out, (12, 14), &h.positive);
}

/// Spans and absolute populations, under these two numbers.
fn push_buckets(out: &mut Vec<u8>, (span, count): (u32, u32), populations: &[Population]) {
    let mut message = Vec::new();
    for of in spans(populations) {
        message.clear();
        push_varint(&mut message, 1, zigzag(of.offset.into()));
        push_varint(&mut message, 2, u64::from(of.length));
        push_bytes(out, span, &message);
    }
    populations.iter().for_each(|(_, population)| push_double(out, count, *population));
}
