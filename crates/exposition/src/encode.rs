//! Families to pages.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use model::number::push_g;
use model::{is_legacy_label_name, is_legacy_metric_name};

use crate::family::{Family, Metric, MetricKind, MetricValue};
use crate::negotiate::{Escaping, Format, Syntax};
use crate::page::push_openmetrics_number;

/// Writes a page. Families without metrics are left out, except in OpenMetrics, where their metadata stands.
#[must_use]
pub fn encode(families: &[Family], format: Format) -> String {
    let mut page = Page::new(format);
    for family in families {
        if page.openmetrics || !family.metrics.is_empty() {
            page.family(family);
        }
    }
    if page.openmetrics {
        page.out.push_str("# EOF\n");
    }
    page.out
}

/// The text of a page.
pub(crate) struct Page {
    pub(crate) out: String,
    pub(crate) escaping: Escaping,
    pub(crate) openmetrics: bool,
}

impl Page {
    pub(crate) fn new(format: Format) -> Self {
        Page {
            out: String::new(),
            escaping: format.escaping,
            openmetrics: matches!(format.syntax, Syntax::OpenMetrics0 | Syntax::OpenMetrics1),
        }
    }

    fn family(&mut self, family: &Family) {
        let name = escape_name(&family.name, self.escaping);
        let type_name = self.type_name(family.kind, &name);
        // In OpenMetrics a family's name is without the suffix of its samples.
        let family_name = match type_name {
            "counter" if self.openmetrics => name.strip_suffix("_total").unwrap_or(&name),
            "info" => name.strip_suffix("_info").unwrap_or(&name),
            _ => &name,
        };
        if !family.help.is_empty() {
            self.metadata("HELP", family_name);
            push_escaped(&mut self.out, &family.help, self.openmetrics);
            self.out.push('\n');
        }
        self.type_line(family_name, type_name);
        for metric in &family.metrics {
            self.metric(&name, family.kind, metric);
        }
    }

    pub(crate) fn type_line(&mut self, name: &str, type_name: &str) {
        self.metadata("TYPE", name);
        self.out.push_str(type_name);
        self.out.push('\n');
    }

    fn type_name(&self, kind: MetricKind, name: &str) -> &'static str {
        match kind {
            // OpenMetrics has no counter of another name.
            MetricKind::Counter if self.openmetrics && !name.ends_with("_total") => "unknown",
            MetricKind::Counter => "counter",
            MetricKind::Info if self.openmetrics && name.ends_with("_info") => "info",
            MetricKind::StateSet if self.openmetrics => "stateset",
            MetricKind::Gauge | MetricKind::Info | MetricKind::StateSet => "gauge",
            MetricKind::GaugeHistogram if self.openmetrics => "gaugehistogram",
            MetricKind::Histogram | MetricKind::GaugeHistogram => "histogram",
            MetricKind::Summary => "summary",
            MetricKind::Untyped if self.openmetrics => "unknown",
            MetricKind::Untyped => "untyped",
        }
    }

    fn metadata(&mut self, what: &str, name: &str) {
        self.out.push_str("# ");
        self.out.push_str(what);
        self.out.push(' ');
        if is_legacy_metric_name(name) {
            self.out.push_str(name);
        } else {
            self.quoted(name);
        }
        self.out.push(' ');
    }

    fn metric(&mut self, name: &str, kind: MetricKind, metric: &Metric) {
        match &metric.value {
            MetricValue::Float(v) => {
                self.series(name, "", &metric.labels, None);
                self.number(*v);
                self.end(metric.timestamp);
            }
            MetricValue::Histogram { buckets, sum, count } => {
                for &(upper, cumulative) in buckets {
                    self.whole(name, "_bucket", metric, Some(("le", upper)), cumulative);
                }
                if buckets.last().is_none_or(|&(upper, _)| upper != f64::INFINITY) {
                    self.whole(name, "_bucket", metric, Some(("le", f64::INFINITY)), count);
                }
                let of_gauge = self.openmetrics && kind == MetricKind::GaugeHistogram;
                let (sum_suffix, count_suffix) =
                    if of_gauge { ("_gsum", "_gcount") } else { ("_sum", "_count") };
                self.sum_and_count(name, metric, (sum_suffix, *sum), (count_suffix, *count));
            }
            MetricValue::Summary { quantiles, sum, count } => {
                for &(quantile, v) in quantiles {
                    self.series(name, "", &metric.labels, Some(("quantile", quantile)));
                    self.number(v);
                    self.end(metric.timestamp);
                }
                self.sum_and_count(name, metric, ("_sum", *sum), ("_count", *count));
            }
        }
    }

    fn sum_and_count(&mut self, name: &str, metric: &Metric, sum: (&str, f64), count: (&str, u64)) {
        self.series(name, sum.0, &metric.labels, None);
        self.number(sum.1);
        self.end(metric.timestamp);
        self.whole(name, count.0, metric, None, count.1);
    }

    /// A sample whose value is a count.
    fn whole(
        &mut self,
        name: &str,
        suffix: &str,
        metric: &Metric,
        bound: Option<(&str, f64)>,
        v: impl Display,
    ) {
        self.series(name, suffix, &metric.labels, bound);
        let _ = write!(self.out, "{v}");
        self.end(metric.timestamp);
    }

    /// Name, labels and the blank after them.
    pub(crate) fn series<'l>(
        &mut self,
        name: &str,
        suffix: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        bound: Option<(&str, f64)>,
    ) {
        let legacy = is_legacy_metric_name(name);
        let mut open = false;
        if legacy {
            self.out.push_str(name);
            self.out.push_str(suffix);
        } else {
            self.out.push('{');
            self.quoted(&format!("{name}{suffix}"));
            open = true;
        }
        self.labels(labels, &mut open);
        if let Some((label, v)) = bound {
            self.out.push(if open { ',' } else { '{' });
            open = true;
            self.out.push_str(label);
            self.out.push_str("=\"");
            self.number(v);
            self.out.push('"');
        }
        if open {
            self.out.push('}');
        }
        self.out.push(' ');
    }

    fn labels<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>, open: &mut bool) {
        for (name, value) in labels {
            self.out.push(if *open { ',' } else { '{' });
            *open = true;
            let name = escape_name(name, self.escaping);
            if is_legacy_label_name(&name) {
                self.out.push_str(&name);
            } else {
                self.quoted(&name);
            }
            self.out.push('=');
            self.quoted(value);
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        push_escaped(&mut self.out, text, true);
        self.out.push('"');
    }

    pub(crate) fn number(&mut self, v: f64) {
        if self.openmetrics {
            push_openmetrics_number(&mut self.out, v);
        } else if v == 0.0 {
            // Minus zero too.
            self.out.push('0');
        } else {
            push_g(&mut self.out, v);
        }
    }

    /// The time, if there is one, and the end of the line.
    pub(crate) fn end(&mut self, timestamp: Option<i64>) {
        if let Some(milliseconds) = timestamp {
            self.out.push(' ');
            if self.openmetrics {
                push_openmetrics_number(&mut self.out, milliseconds as f64 / 1000.0);
            } else {
                let _ = write!(self.out, "{milliseconds}");
            }
        }
        self.out.push('\n');
    }
}

fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    while let Some(at) = rest.find(|c| matches!(c, '\\' | '\n') || (c == '"' && quotes)) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        out.push_str(match special.as_bytes().first() {
            Some(b'\\') => "\\\\",
            Some(b'\n') => "\\n",
            _ => "\\\"",
        });
        // All three are one byte long.
        rest = &special[1..];
    }
    out.push_str(rest);
}

/// A metric or label name as `escaping` wants it.
pub(crate) fn escape_name(name: &str, escaping: Escaping) -> Cow<'_, str> {
    let unchanged = escaping == Escaping::AllowUtf8 || is_legacy_metric_name(name);
    if unchanged || name.is_empty() {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    if escaping == Escaping::Values {
        out.push_str("U__");
    }
    for (i, c) in name.char_indices() {
        let legacy = c.is_ascii_alphabetic() || matches!(c, '_' | ':') || (c.is_ascii_digit() && i > 0);
        match (escaping, c) {
            (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
            (Escaping::Dots, '.') => out.push_str("_dot_"),
            _ if legacy => out.push(c),
            (Escaping::Dots, _) => out.push_str("__"),
            (Escaping::Values, _) => {
                let _ = write!(out, "_{:x}_", u32::from(c));
            }
            _ => out.push('_'),
        }
    }
    Cow::Owned(out)
}
