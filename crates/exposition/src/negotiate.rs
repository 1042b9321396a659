//! Which format a page is written in, from the `Accept` header.

use std::fmt;

/// A format that pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The text itself.
    pub syntax: Syntax,
    /// What happens to names that are not of the old character set.
    pub escaping: Escaping,
}

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics text 0.0.1.
    OpenMetrics0,
    /// OpenMetrics text 1.0.0.
    OpenMetrics1,
    /// Delimited messages. Only [`crate::SamplePage`] writes them.
    Protobuf,
}

/// What happens to names that are not `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escaping {
    /// They are written in quotes.
    AllowUtf8,
    /// Any other character becomes `_`.
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, any other character `__`.
    Dots,
    /// `U__` before the name, `_` becomes `__`, any other character its code point: `_2e_`.
    Values,
}

impl Escaping {
    fn name(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all = [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values];
        all.into_iter().find(|escaping| escaping.name() == name)
    }
}

impl Format {
    /// Text 0.0.4 with underscores: what a client gets that asks for nothing.
    pub const TEXT: Format = Format { syntax: Syntax::Text, escaping: Escaping::Underscores };
    /// OpenMetrics 1.0.0 with underscores.
    pub const OPENMETRICS: Format = Format { syntax: Syntax::OpenMetrics1, escaping: Escaping::Underscores };

    /// The `Content-Type` of a page in this format.
    #[must_use]
    pub fn content_type(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media_type = match self.syntax {
            Syntax::Text => "text/plain; version=0.0.4; charset=utf-8",
            Syntax::OpenMetrics0 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Syntax::OpenMetrics1 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Syntax::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        write!(f, "{media_type}; escaping={}", self.escaping.name())
    }
}

/// The format for an `Accept` header among those that Prometheus' own page has: OpenMetrics is not one of them.
#[must_use]
pub fn negotiate(accept: &str) -> Format {
    choose(accept, &[Syntax::Text])
}

/// The format for an `Accept` header of who federates: text or protobuf.
#[must_use]
pub fn negotiate_with_protobuf(accept: &str) -> Format {
    choose(accept, &[Syntax::Text, Syntax::Protobuf])
}

/// The format for an `Accept` header, OpenMetrics included (kube-state-metrics, Thanos).
#[must_use]
pub fn negotiate_with_openmetrics(accept: &str) -> Format {
    choose(accept, &[Syntax::Text, Syntax::OpenMetrics0, Syntax::OpenMetrics1])
}

fn choose(accept: &str, had: &[Syntax]) -> Format {
    let mut entries: Vec<Accepted<'_>> = accept.split(',').filter_map(Accepted::parse).collect();
    entries.sort_by(|a, b| b.quality.total_cmp(&a.quality)); // stable: of equal quality the first wins
    let mut escaping = Escaping::Underscores;
    for entry in entries {
        // An escaping asked for with a format that is not had holds for the next one.
        escaping = entry.escaping.unwrap_or(escaping);
        let syntax = match (entry.media_type, entry.version) {
            ("text/plain", "" | "0.0.4") => Syntax::Text,
            ("application/openmetrics-text", "1.0.0") => Syntax::OpenMetrics1,
            ("application/openmetrics-text", "" | "0.0.1") => Syntax::OpenMetrics0,
            ("application/vnd.google.protobuf", _) if entry.is_delimited => Syntax::Protobuf,
            _ => continue,
        };
        if had.contains(&syntax) {
            return Format { syntax, escaping };
        }
    }
    Format { syntax: Syntax::Text, escaping }
}

struct Accepted<'a> {
    media_type: &'a str,
    version: &'a str,
    escaping: Option<Escaping>,
    /// Families of metrics, each after its length.
    is_delimited: bool,
    quality: f64,
}

impl<'a> Accepted<'a> {
    fn parse(entry: &'a str) -> Option<Self> {
        let mut parts = entry.split(';').map(str::trim);
        let media_type = parts.next().filter(|media_type| media_type.contains('/'))?;
        let mut accepted =
            Accepted { media_type, version: "", escaping: None, is_delimited: false, quality: 1.0 };
        let (mut families, mut delimited) = (false, false);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "q" => accepted.quality = value.parse().unwrap_or(1.0),
                "version" => accepted.version = value,
                "escaping" => accepted.escaping = Escaping::from_name(value),
                "proto" => families = value == "io.prometheus.client.MetricFamily",
                "encoding" => delimited = value == "delimited",
                _ => {}
            }
        }
        accepted.is_delimited = families && delimited;
        Some(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_headers_choose_as_prometheus_does() {
        let text = "text/plain; version=0.0.4; charset=utf-8; escaping=";
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let cases = [
            ("", "underscores"),
            ("*/*", "underscores"),
            ("garbage", "underscores"),
            ("text/html", "underscores"),
            ("text/plain;q=0", "underscores"),
            ("text/plain;version=9", "underscores"),
            ("text/plain;escaping=dots", "dots"),
            ("text/plain;version=0.0.4;escaping=values", "values"),
            ("text/plain;version=1.0.0;escaping=allow-utf-8", "allow-utf-8"),
            ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", "allow-utf-8"),
            ("application/openmetrics-text;version=1.0.0;escaping=foo", "underscores"),
            (prometheus, "allow-utf-8"),
        ];
        for (accept, escaping) in cases {
            assert_eq!(negotiate(accept).content_type(), format!("{text}{escaping}"), "{accept}");
        }
    }

    #[test]
    fn openmetrics_is_chosen_where_it_is_had() {
        let cases = [
            (
                "application/openmetrics-text",
                "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores",
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.4",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            ),
            (
                "application/openmetrics-text;q=0.4,text/plain;q=0.6",
                "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            ),
            (
                "application/openmetrics-text;version=2.0.0",
                "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            ),
        ];
        for (accept, content_type) in cases {
            assert_eq!(negotiate_with_openmetrics(accept).content_type(), content_type, "{accept}");
        }
    }
}
