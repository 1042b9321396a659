//! Prometheus' remote write protocol 2.0, as far as a sender needs it.

use std::collections::HashMap;

use model::Labels;
use model::histogram::{CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Span, spans};

use crate::mixed::{Point, Value};

/// Headers of a request.
pub(crate) const HEADERS: [(&str, &str); 3] = [
    ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "2.0.0"),
];

/// The body of a request, compressed.
pub(crate) fn body(points: &[Point]) -> Vec<u8> {
    let mut symbols = Symbols { texts: vec![String::new()], numbers: HashMap::new() };
    let mut request = Message::default();
    for point in points {
        request.message(5, &series(point, &mut symbols));
    }
    for text in &symbols.texts {
        request.bytes(4, text.as_bytes());
    }
    snap::raw::Encoder::new().compress_vec(&request.0).unwrap()
}

struct Symbols {
    texts: Vec<String>,
    numbers: HashMap<String, u64>,
}

impl Symbols {
    fn number(&mut self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        *self.numbers.entry(text.to_owned()).or_insert_with(|| {
            self.texts.push(text.to_owned());
            self.texts.len() as u64 - 1
        })
    }

    fn labels(&mut self, labels: &Labels) -> Vec<u64> {
        labels.iter().flat_map(|(name, value)| [self.number(name), self.number(value)]).collect()
    }
}

fn series(point: &Point, symbols: &mut Symbols) -> Message {
    let mut series = Message::default();
    series.packed(1, &symbols.labels(&point.labels));
    match &point.value {
        Value::Float(v) => {
            let mut sample = Message::default();
            sample.double(1, *v);
            sample.integer(2, point.t as u64);
            series.message(2, &sample);
        }
        Value::Histogram(value) => series.message(3, &histogram(value, point.t)),
    }
    for (labels, t, v) in &point.exemplars {
        let mut exemplar = Message::default();
        exemplar.packed(1, &symbols.labels(labels));
        exemplar.double(2, *v);
        exemplar.integer(3, *t as u64);
        series.message(4, &exemplar);
    }
    if let Some(said) = &point.metadata {
        let mut metadata = Message::default();
        let kinds = ["", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
        metadata.integer(1, kinds.iter().position(|kind| *kind == said.kind).unwrap() as u64);
        metadata.integer(3, symbols.number(&said.help));
        metadata.integer(4, symbols.number(&said.unit));
        series.message(5, &metadata);
    }
    series
}

fn histogram(value: &HistogramValue, t: i64) -> Message {
    let mut out = Message::default();
    let (schema, threshold, sum, custom) = match value {
        HistogramValue::Integer(h) => {
            let IntegerHistogram { schema, zero_threshold, sum, ref custom_values, .. } = **h;
            out.integer(1, h.count);
            out.integer(6, h.zero_count);
            for (spans, deltas, number) in
                [(&h.negative_spans, &h.negative_deltas, 8), (&h.positive_spans, &h.positive_deltas, 11)]
            {
                out.spans(number, spans);
                out.packed(number + 1, &deltas.iter().map(|delta| zigzag(*delta)).collect::<Vec<_>>());
            }
            (schema, zero_threshold, sum, custom_values)
        }
        HistogramValue::Float(h) => {
            let FloatHistogram { schema, zero_threshold, sum, ref custom_values, .. } = **h;
            out.double(2, h.count);
            out.double(7, h.zero_count);
            for (populations, number) in [(&h.negative, 8), (&h.positive, 11)] {
                out.spans(number, &spans(populations));
                out.doubles(number + 2, populations.iter().map(|(_, count)| *count));
            }
            (schema, zero_threshold, sum, custom_values)
        }
    };
    out.double(3, sum);
    out.integer(4, zigzag(schema.into()));
    out.double(5, threshold);
    out.integer(
        14,
        match value.reset() {
            CounterReset::Unknown => 0,
            CounterReset::Reset => 1,
            CounterReset::NotReset => 2,
            CounterReset::Gauge => 3,
        },
    );
    out.integer(15, t as u64);
    out.doubles(16, custom.iter().copied());
    out
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// A message in protobuf's encoding.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn integer(&mut self, field: u64, number: u64) {
        self.varint(field << 3);
        self.varint(number);
    }

    fn double(&mut self, field: u64, v: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(v.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }

    fn packed(&mut self, field: u64, numbers: &[u64]) {
        let mut list = Message::default();
        numbers.iter().for_each(|number| list.varint(*number));
        self.message(field, &list);
    }

    fn doubles(&mut self, field: u64, values: impl Iterator<Item = f64>) {
        self.bytes(field, &values.flat_map(f64::to_le_bytes).collect::<Vec<_>>());
    }

    fn spans(&mut self, field: u64, spans: &[Span]) {
        for span in spans {
            let mut message = Message::default();
            message.integer(1, zigzag(span.offset.into()));
            message.integer(2, span.length.into());
            self.message(field, &message);
        }
    }
}
