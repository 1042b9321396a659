//! `/metrics` and `/api/v1/status/self_metrics`.

use std::sync::Arc;

use exposition::{Family, MetricKind, MetricValue, Syntax};
use http::{HeaderValue, StatusCode, header};

use crate::reply::{Answer, ApiError, Coding, ErrorKind, Reply, compress, success};
use crate::request::Request;
use crate::{Api, json};

/// A page of metrics in the format that the scraper asks for.
pub(crate) async fn page(api: Arc<Api>, request: Request) -> Answer {
    let Some(page) = api.pages.iter().find(|page| page.path == request.path) else {
        return Ok(Reply::go_error(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    let gather = Arc::clone(&page.gather);
    let format = exposition::negotiate_with_protobuf(request.header(header::ACCEPT));
    let coding = takes_gzip(request.header(header::ACCEPT_ENCODING)).then_some(Coding::Gzip);
    let made = tokio::task::spawn_blocking(move || {
        let families = gather();
        let body = match format.syntax {
            Syntax::Protobuf => exposition::encode_protobuf(&families, format.escaping),
            _ => exposition::encode(&families, format).into_bytes(),
        };
        let mut reply = Reply::new(StatusCode::OK, "text/plain", body);
        compress(&mut reply, coding);
        reply
    })
    .await;
    let Ok(mut reply) = made else {
        return Ok(Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "collecting the metrics has failed\n"));
    };
    if let Ok(value) = HeaderValue::from_str(&format.content_type()) {
        reply.headers.insert(header::CONTENT_TYPE, value);
    }
    Ok(reply)
}

/// Whether gzip is among the codings that are accepted, with a weight that is not zero.
fn takes_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|part| {
        let mut parts = part.split(';').map(str::trim);
        let refused = |weight: &str| weight.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        parts.next() == Some("gzip") && !parts.any(refused)
    })
}

/// The registry as JSON, in the field names of Prometheus' client model.
pub(crate) async fn self_metrics(api: Arc<Api>, request: Request) -> Answer {
    let pattern = request.params.get("metric_name_pattern");
    let wanted = match pattern {
        "" => None,
        _ => Some(
            model::Regex::new(&format!("^(?:{pattern})$"))
                .map_err(|e| ApiError::bad_data(format!("invalid metric_name_pattern: {e}")))?,
        ),
    };
    let families = tokio::task::spawn_blocking(move || api.registry.gather())
        .await
        .map_err(|e| ApiError::new(ErrorKind::Internal, e.to_string()))?;
    let mut out = String::from("[");
    for family in families.iter().filter(|f| wanted.as_ref().is_none_or(|w| w.is_match(&f.name))) {
        json::comma(&mut out);
        write_family(&mut out, family);
    }
    out.push(']');
    Ok(success(&out, &[], &[]))
}

fn write_family(out: &mut String, family: &Family) {
    let (kind, member) = match family.kind {
        MetricKind::Counter => ("COUNTER", "counter"),
        MetricKind::Gauge => ("GAUGE", "gauge"),
        MetricKind::Histogram => ("HISTOGRAM", "histogram"),
        MetricKind::Summary => ("SUMMARY", "summary"),
        _ => ("UNTYPED", "untyped"),
    };
    out.push('{');
    json::field(out, "name", &family.name);
    json::field(out, "help", &family.help);
    json::field(out, "type", kind);
    json::key(out, "metric");
    out.push('[');
    for metric in &family.metrics {
        json::comma(out);
        out.push('{');
        if !metric.labels.is_empty() {
            json::key(out, "label");
            out.push('[');
            for (name, value) in &metric.labels {
                json::comma(out);
                out.push('{');
                json::field(out, "name", name);
                json::field(out, "value", value);
                out.push('}');
            }
            out.push(']');
        }
        json::key(out, member);
        write_value(out, &metric.value);
        out.push('}');
    }
    out.push_str("]}");
}

fn write_value(out: &mut String, value: &MetricValue) {
    out.push('{');
    match value {
        MetricValue::Float(v) => number(out, "value", *v),
        MetricValue::Histogram { buckets, sum, count } => {
            json::raw_field(out, "sample_count", count);
            number(out, "sample_sum", *sum);
            json::key(out, "bucket");
            out.push('[');
            for (upper, cumulative) in buckets.iter().filter(|(upper, _)| upper.is_finite()) {
                json::comma(out);
                out.push('{');
                json::raw_field(out, "cumulative_count", cumulative);
                number(out, "upper_bound", *upper);
                out.push('}');
            }
            out.push(']');
        }
        MetricValue::Summary { quantiles, sum, count } => {
            json::raw_field(out, "sample_count", count);
            number(out, "sample_sum", *sum);
            json::key(out, "quantile");
            out.push('[');
            for (quantile, value) in quantiles {
                json::comma(out);
                out.push('{');
                number(out, "quantile", *quantile);
                number(out, "value", *value);
                out.push('}');
            }
            out.push(']');
        }
    }
    out.push('}');
}

/// A number, or a string for the values that JSON has no number for.
fn number(out: &mut String, name: &str, v: f64) {
    let text = model::number::format_g(v);
    if v.is_finite() { json::raw_field(out, name, text) } else { json::field(out, name, &text) }
}
