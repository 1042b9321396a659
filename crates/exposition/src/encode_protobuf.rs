//! Families of a registry as delimited `MetricFamily` messages.
//!
//! Field numbers of `io.prometheus.client`: metrics.proto of client_model 0.6.

use crate::encode::escape_name;
use crate::negotiate::Escaping;
use crate::protobuf::write::{push_bytes, push_double, push_varint, varint};
use crate::{Family, Metric, MetricKind, MetricValue};

/// The messages of the families that have metrics, each after its length.
#[must_use]
pub fn encode_protobuf(families: &[Family], escaping: Escaping) -> Vec<u8> {
    let (mut out, mut message, mut metric) = (Vec::new(), Vec::new(), Vec::new());
    for family in families.iter().filter(|family| !family.metrics.is_empty()) {
        message.clear();
        push_bytes(&mut message, 1, escape_name(&family.name, escaping).as_bytes());
        push_bytes(&mut message, 2, family.help.as_bytes());
        push_varint(&mut message, 3, type_number(family.kind));
        for one in &family.metrics {
            metric.clear();
            push_metric(&mut metric, one, family.kind, escaping);
            push_bytes(&mut message, 4, &metric);
        }
        varint(&mut out, message.len() as u64);
        out.append(&mut message);
    }
    out
}

/// `MetricType`; what it does not know is untyped.
fn type_number(kind: MetricKind) -> u64 {
    match kind {
        MetricKind::Counter => 0,
        MetricKind::Gauge => 1,
        MetricKind::Summary => 2,
        MetricKind::Histogram => 4,
        _ => 3,
    }
}

fn push_metric(out: &mut Vec<u8>, metric: &Metric, kind: MetricKind, escaping: Escaping) {
    let mut part = Vec::new();
    for (name, value) in &metric.labels {
        part.clear();
        push_bytes(&mut part, 1, escape_name(name, escaping).as_bytes());
        push_bytes(&mut part, 2, value.as_bytes());
        push_bytes(out, 1, &part);
    }
    part.clear();
    let field = match &metric.value {
        MetricValue::Float(v) => {
            push_double(&mut part, 1, *v);
            match kind {
                MetricKind::Gauge => 2,
                MetricKind::Counter => 3,
                _ => 5,
            }
        }
        MetricValue::Summary { quantiles, sum, count } => {
            push_varint(&mut part, 1, *count);
            push_double(&mut part, 2, *sum);
            let mut pair = Vec::new();
            for (quantile, value) in quantiles {
                pair.clear();
                push_double(&mut pair, 1, *quantile);
                push_double(&mut pair, 2, *value);
                push_bytes(&mut part, 3, &pair);
            }
            4
        }
        MetricValue::Histogram { buckets, sum, count } => {
            push_varint(&mut part, 1, *count);
            push_double(&mut part, 2, *sum);
            let mut bucket = Vec::new();
            // The infinite one is the count.
            for (upper, cumulative) in buckets.iter().filter(|(upper, _)| upper.is_finite()) {
                bucket.clear();
                push_varint(&mut bucket, 1, *cumulative);
                push_double(&mut bucket, 2, *upper);
                push_bytes(&mut part, 3, &bucket);
            }
            7
        }
    };
    push_bytes(out, field, &part);
    if let Some(t) = metric.timestamp {
        push_varint(out, 6, t.cast_unsigned());
    }
}
