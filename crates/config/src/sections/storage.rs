//! `storage`, `tracing` and `otlp`.

use std::collections::BTreeMap;

use model::Matcher;
use model::number::{format_g, quote};
use model::size;

use super::http_client::{TlsConfig, is_reserved_for_remote};
use crate::decode::{Field, Invalid, Issues, Section, Stop, invalid, invalid_at, section};
use crate::kinds::{Bytes, Millis, Word, named_text, word};
use crate::yaml::{Node, Out};

section! {
    /// How samples are kept.
    Storage "config.StorageConfig" "config.StorageConfig" {
        /// The database on this machine.
        tsdb: Option<Tsdb> = "tsdb",
        /// Exemplars in memory.
        exemplars: Option<Exemplars> = "exemplars",
    }
}
impl Section for Storage {}

section! {
    /// The database on this machine.
    Tsdb "config.TSDBConfig" "config.plain" {
        /// The window in milliseconds. Prometheus shows it under this name.
        out_of_order_time_window_millis: i64 = "outofordertimewindow" keep,
        /// How late a sample may come.
        out_of_order_time_window: Millis = "out_of_order_time_window",
        /// The share of stale series from which they are moved out of memory.
        stale_series_compaction_threshold: f64 = "stale_series_compaction_threshold",
        /// How chunks are encoded.
        chunk_encoding: ChunkEncoding = "chunk_encoding",
        /// How long and how much is kept.
        retention: Option<Retention> = "retention",
    }
}

impl Tsdb {
    /// What the flags say holds where nothing is written, and where rules alone are.
    pub(crate) fn complete_retention(&mut self, flags: &Retention) {
        match &mut self.retention {
            None => self.retention = Some(flags.clone()),
            Some(own) if !own.rules.is_empty() && own.limits_nothing() => {
                *own = Retention { rules: std::mem::take(&mut own.rules), ..flags.clone() };
            }
            Some(_) => {}
        }
    }
}

impl Retention {
    fn limits_nothing(&self) -> bool {
        self.time.0 == 0 && self.size.0 == 0 && self.percentage == 0.0
    }
}

section! {
    /// How chunks are encoded.
    ChunkEncoding "config.ChunkEncodingConfig" "config.ChunkEncodingConfig" {
        /// `xor` or `xor2`.
        floats: String = "floats",
    }
}
impl Section for ChunkEncoding {}

section! {
    /// How long and how much is kept.
    Retention "config.TSDBRetentionConfig" "config.plain" {
        /// How long.
        time: Millis = "time",
        /// How many bytes.
        size: Bytes = "size",
        /// Which share of the disk.
        percentage: f64 = "percentage",
        /// What is kept for a shorter time than the rest. Prometheus has no such thing.
        rules: Vec<RetentionRule> = "rules",
    }
}

section! {
    /// How long some series are kept.
    RetentionRule "config.TSDBRetentionRule" "config.plain" {
        /// Which.
        selector: SeriesSelector = "match",
        /// How long.
        time: Millis = "time",
    }
}

impl Section for RetentionRule {
    fn check(&mut self) -> Result<(), Invalid> {
        if self.selector.matchers.is_empty() {
            return invalid("'match' of a rule in 'storage.tsdb.retention.rules' must be set");
        }
        if self.time.0 <= 0 {
            return invalid_at("time", "'time' of a rule in 'storage.tsdb.retention.rules' must be set");
        }
        Ok(())
    }
}

/// A series selector of PromQL.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesSelector {
    /// As written.
    pub text: String,
    /// What it says; at least one does not match the empty string.
    pub matchers: Vec<Matcher>,
}

impl Field for SeriesSelector {
    fn go_type() -> String {
        "string".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Some(text) = node.text() else {
            issues.mismatch(node, "string");
            return Ok(None);
        };
        let refused = |why: String| {
            let line = format!("invalid series selector {}: {why}", quote(text));
            Stop::at(node.span, line).help("write it as in a query: {job=\"debug\"}")
        };
        let matchers = promql::parse_metric_selector(text).map_err(|e| refused(e.to_string()))?;
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(refused("it must contain at least one non-empty matcher".into()));
        }
        Ok(Some(SeriesSelector { text: text.into(), matchers }))
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn encode(&self) -> Out {
        Out::Text(self.text.clone())
    }
}

section! {
    /// Exemplars in memory.
    Exemplars "config.ExemplarsConfig" "config.ExemplarsConfig" {
        /// How many.
        max_exemplars: i64 = "max_exemplars",
    }
}
impl Section for Exemplars {}

impl Section for Tsdb {
    fn check(&mut self) -> Result<(), Invalid> {
        self.out_of_order_time_window_millis = self.out_of_order_time_window.0;
        if !matches!(self.chunk_encoding.floats.as_str(), "" | "xor" | "xor2") {
            return invalid_at(
                "chunk_encoding",
                format!(
                    "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {}",
                    quote(&self.chunk_encoding.floats)
                ),
            );
        }
        Ok(())
    }
}

impl Section for Retention {
    fn check(&mut self) -> Result<(), Invalid> {
        if self.rules.iter().any(|rule| rule.selector.matchers.is_empty()) {
            return invalid_at("rules", "empty or null rule in 'storage.tsdb.retention.rules'");
        }
        if self.size.0 < 0 {
            let size = size::format(self.size.0);
            return invalid_at(
                "size",
                format!("'storage.tsdb.retention.size' must be greater than or equal to 0, got {size}"),
            );
        }
        if !(0.0..=100.0).contains(&self.percentage) && !self.percentage.is_nan() {
            let percentage = format_g(self.percentage);
            return invalid_at(
                "percentage",
                format!(
                    "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {percentage}"
                ),
            );
        }
        Ok(())
    }
}

section! {
    /// Where traces are sent.
    Tracing "config.TracingConfig" "config.plain" {
        /// How.
        client_type: TracingClient = "client_type",
        /// Where.
        endpoint: String = "endpoint",
        /// Which share of them.
        sampling_fraction: f64 = "sampling_fraction",
        /// Without TLS.
        insecure: bool = "insecure",
        /// With TLS.
        tls_config: TlsConfig = "tls_config",
        /// Headers that are added.
        headers: BTreeMap<String, String> = "headers",
        /// `gzip`.
        compression: String = "compression",
        /// How long a request may take.
        timeout: Millis = "timeout",
    }
}

/// The protocol of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TracingClient {
    /// None.
    #[default]
    Unset,
    /// gRPC.
    Grpc,
    /// HTTP.
    Http,
}

impl Word for TracingClient {
    const GO_TYPE: &'static str = "config.TracingClientType";
    const GO_READ: &'static str = "config.plain";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "http" => Ok(TracingClient::Http),
            "grpc" => Ok(TracingClient::Grpc),
            other => Err(format!("expected tracing client type to be to be http or grpc, but got {other}")),
        }
    }

    fn word(self) -> &'static str {
        match self {
            TracingClient::Unset => "",
            TracingClient::Grpc => "grpc",
            TracingClient::Http => "http",
        }
    }

    fn choices() -> &'static str {
        "http, grpc"
    }
}
word!(TracingClient);

impl Section for Tracing {
    fn defaults() -> Self {
        Tracing { client_type: TracingClient::Grpc, ..Tracing::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        for header in self.headers.keys() {
            if header.eq_ignore_ascii_case("authorization") {
                return invalid_at(
                    "headers",
                    "custom authorization header configuration is not yet supported",
                );
            }
            if is_reserved_for_remote(header) {
                return invalid_at(
                    "headers",
                    format!("{header} is a reserved header. It must not be changed"),
                );
            }
        }
        if self.endpoint.is_empty() {
            return invalid("tracing endpoint must be set");
        }
        if !matches!(self.compression.as_str(), "" | "gzip") {
            let line = format!("invalid compression type {} provided, valid options: gzip", self.compression);
            return invalid_at("compression", line);
        }
        Ok(())
    }
}

section! {
    /// How metrics that arrive by OTLP are translated.
    Otlp "config.OTLPConfig" "config.plain" {
        /// All resource attributes become labels.
        promote_all_resource_attributes: bool = "promote_all_resource_attributes",
        /// These become labels.
        promote_resource_attributes: Vec<String> = "promote_resource_attributes",
        /// All but these become labels.
        ignore_resource_attributes: Vec<String> = "ignore_resource_attributes",
        /// What becomes of names.
        translation_strategy: TranslationStrategy = "translation_strategy",
        /// Identifying attributes stay in `target_info` too.
        keep_identifying_resource_attributes: bool = "keep_identifying_resource_attributes",
        /// Explicit histograms become native ones.
        convert_histograms_to_nhcb: bool = "convert_histograms_to_nhcb",
        /// The scope becomes labels.
        promote_scope_metadata: bool = "promote_scope_metadata",
        /// `_x` becomes `key_x`.
        label_name_underscore_sanitization: bool = "label_name_underscore_sanitization",
        /// `a__b` stays.
        label_name_preserve_multiple_underscores: bool = "label_name_preserve_multiple_underscores",
    }
}

named_text! {
    /// What becomes of names.
    TranslationStrategy "otlptranslator.TranslationStrategyOption"
}

impl Section for Otlp {
    fn defaults() -> Self {
        Otlp {
            translation_strategy: TranslationStrategy("UnderscoreEscapingWithSuffixes".into()),
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            ..Otlp::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.promote_all_resource_attributes {
            if !self.promote_resource_attributes.is_empty() {
                return invalid_at(
                    "promote_resource_attributes",
                    "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously",
                );
            }
            return trim_attributes(&mut self.ignore_resource_attributes, "ignored").or_else(|line| {
                invalid_at(
                    "ignore_resource_attributes",
                    format!("invalid 'ignore_resource_attributes': {line}"),
                )
            });
        }
        if !self.ignore_resource_attributes.is_empty() {
            return invalid_at(
                "ignore_resource_attributes",
                "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true",
            );
        }
        trim_attributes(&mut self.promote_resource_attributes, "promoted").or_else(|line| {
            invalid_at(
                "promote_resource_attributes",
                format!("invalid 'promote_resource_attributes': {line}"),
            )
        })
    }
}

/// Cuts blanks off; refuses empty and repeated names, all of them at once.
fn trim_attributes(attributes: &mut [String], adjective: &str) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    let mut lines = Vec::new();
    for attribute in attributes {
        *attribute = attribute.trim().to_owned();
        if attribute.is_empty() {
            lines.push(format!("empty {adjective} OTel resource attribute"));
        } else if !seen.insert(attribute.clone()) {
            lines.push(format!("duplicated {adjective} OTel resource attribute {}", quote(attribute)));
        }
    }
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}
