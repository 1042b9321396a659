//! Which parser a page gets, from its `Content-Type`.

use exposition::PageFormat;
use model::number::quote;

use crate::options::ScrapeProtocol;

/// How a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    Lines(PageFormat),
    Protobuf,
}

/// The format of a page.
///
/// # Errors
/// Prometheus' sentences, when the header names nothing we read and there is no fallback.
pub(crate) fn format_of(content_type: &str, fallback: Option<ScrapeProtocol>) -> Result<BodyFormat, String> {
    if content_type.is_empty() {
        return fallback.map(ScrapeProtocol::page_format).ok_or_else(|| {
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
                .to_owned()
        });
    }
    let media_type = match media_type(content_type) {
        Ok(media_type) => media_type,
        Err(reason) => {
            return fallback.map(ScrapeProtocol::page_format).ok_or_else(|| {
                format!(
                    "cannot parse Content-Type {} and no fallback_scrape_protocol for target\n{reason}",
                    quote(content_type)
                )
            });
        }
    };
    match media_type.as_str() {
        "text/plain" => Ok(BodyFormat::Lines(PageFormat::Text)),
        "application/openmetrics-text" => Ok(BodyFormat::Lines(PageFormat::OpenMetrics)),
        "application/vnd.google.protobuf" => Ok(BodyFormat::Protobuf),
        _ => fallback.map(ScrapeProtocol::page_format).ok_or_else(|| {
            format!(
                "received unsupported Content-Type {} and no fallback_scrape_protocol specified for target",
                quote(content_type)
            )
        }),
    }
}

impl ScrapeProtocol {
    fn page_format(self) -> BodyFormat {
        match self {
            ScrapeProtocol::PrometheusProto => BodyFormat::Protobuf,
            ScrapeProtocol::OpenMetricsText1_0_0 | ScrapeProtocol::OpenMetricsText0_0_1 => {
                BodyFormat::Lines(PageFormat::OpenMetrics)
            }
            ScrapeProtocol::PrometheusText1_0_0 | ScrapeProtocol::PrometheusText0_0_4 => {
                BodyFormat::Lines(PageFormat::Text)
            }
        }
    }
}

/// The media type without parameters, in lower case; parameters are checked. Errors in the words of Go's `mime`.
fn media_type(header: &str) -> Result<String, &'static str> {
    let (base, mut rest) = header.split_once(';').unwrap_or((header, ""));
    let base = base.trim().to_ascii_lowercase();
    let (kind, after) = token(&base);
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if !after.is_empty() {
        let Some(after) = after.strip_prefix('/') else {
            return Err("mime: expected slash after first token");
        };
        match token(after) {
            ("", _) => return Err("mime: expected token after slash"),
            (_, "") => {}
            _ => return Err("mime: unexpected content after media subtype"),
        }
    }
    let mut seen: Vec<String> = Vec::new();
    while !rest.trim().is_empty() {
        let (name, after) = token(rest.trim_start());
        let Some(value) = after.trim_start().strip_prefix('=') else {
            return Err("mime: invalid media parameter");
        };
        let Some(after) = skip_value(value.trim_start()) else { return Err("mime: invalid media parameter") };
        if name.is_empty() {
            return Err("mime: invalid media parameter");
        }
        let name = name.to_ascii_lowercase();
        if seen.contains(&name) {
            return Err("mime: duplicate parameter name");
        }
        seen.push(name);
        rest = match after.trim_start() {
            "" => "",
            after => after.strip_prefix(';').ok_or("mime: invalid media parameter")?,
        };
    }
    Ok(base)
}

/// Splits a token (RFC 2045) off the front.
fn token(text: &str) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|b| b <= b' ' || b >= 0x7f || b"()<>@,;:\\\"/[]?=".contains(&b))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// What follows a parameter's value, plain or quoted.
fn skip_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return (!value.is_empty()).then_some(rest);
    };
    let mut escaped = false;
    for (i, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return quoted.get(i + 1..),
            _ => {}
        }
    }
    None
}
