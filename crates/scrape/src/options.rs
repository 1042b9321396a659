//! What a scrape job can be told: plain data, filled in by `config`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use httpclient::ClientOptions;
use model::{ValidationScheme, relabel};

/// The ceiling on a body, as sent and after decompression, where [`Limits::body_size`] sets none.
///
/// Prometheus has no such ceiling. Without one a single target that answers without end takes the process down, so
/// there is one; `body_size_limit` of the job or of `global` raises it.
pub const DEFAULT_MAX_BODY: usize = 64 << 20;

/// A `scrape_config`.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOptions {
    /// `job_name`: the default of label `job`, and the pool's name.
    pub name: String,
    /// `scrape_interval`, default of `__scrape_interval__`.
    pub scrape_interval: Duration,
    /// `scrape_timeout`, default of `__scrape_timeout__`.
    pub scrape_timeout: Duration,
    /// `metrics_path`, default of `__metrics_path__`.
    pub metrics_path: String,
    /// `scheme`, default of `__scheme__`.
    pub scheme: String,
    /// `params`: URL parameters; the first value of each is the default of `__param_<name>`.
    pub params: BTreeMap<String, Vec<String>>,
    /// Labels of the page win over the target's.
    pub honor_labels: bool,
    /// Timestamps of the page are taken.
    pub honor_timestamps: bool,
    /// Series with timestamps get staleness markers too.
    pub track_timestamps_staleness: bool,
    /// Ask for gzip.
    pub enable_compression: bool,
    /// `scrape_protocols`, most wanted first.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// What to take a page for whose `Content-Type` says nothing useful.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Which names are valid.
    pub name_validation: ValidationScheme,
    /// How names are to be escaped, in the `Accept` header.
    pub name_escaping: NameEscaping,
    /// What is made of histograms.
    pub histograms: HistogramOptions,
    /// The limits.
    pub limits: Limits,
    /// Adds `scrape_timeout_seconds`, `scrape_sample_limit`, `scrape_body_size_bytes`.
    pub extra_scrape_metrics: bool,
    /// `scrape_failure_log_file`: where fetches that fail are written down. Opened each time that jobs are put in force.
    pub failure_log: Option<PathBuf>,
    /// Rules over discovered labels.
    pub relabel_configs: Vec<relabel::Config>,
    /// Rules over each series.
    pub metric_relabel_configs: Vec<relabel::Config>,
    /// How to reach the targets.
    pub client: ClientOptions,
}

impl JobOptions {
    /// A job called `name` with Prometheus' defaults: each minute, time-out 10 s.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        JobOptions {
            name: name.into(),
            scrape_interval: Duration::from_secs(60),
            scrape_timeout: Duration::from_secs(10),
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            scrape_protocols: ScrapeProtocol::DEFAULT_ORDER.to_vec(),
            fallback_scrape_protocol: None,
            name_validation: ValidationScheme::Utf8,
            name_escaping: NameEscaping::AllowUtf8,
            histograms: HistogramOptions::default(),
            limits: Limits::default(),
            extra_scrape_metrics: false,
            failure_log: None,
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            client: ClientOptions::default(),
        }
    }

    /// Whether what was learnt about a target's lines under `other` is still right: all that decides which series a line is of,
    /// and whether it is taken, must be the same. What else differs is about the target or about how often and how it is asked.
    pub(crate) fn shares_series_with(&self, other: &JobOptions) -> bool {
        let of_lines = |options: &JobOptions| Limits {
            labels: options.limits.labels,
            label_name_length: options.limits.label_name_length,
            label_value_length: options.limits.label_value_length,
            ..Limits::default()
        };
        self.honor_labels == other.honor_labels
            && self.honor_timestamps == other.honor_timestamps
            && self.name_validation == other.name_validation
            && self.histograms == other.histograms
            && self.metric_relabel_configs == other.metric_relabel_configs
            && of_lines(self) == of_lines(other)
    }
}

/// Limits of a job; 0 is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// `body_size_limit` in bytes, uncompressed. With 0, [`DEFAULT_MAX_BODY`] applies.
    pub body_size: u64,
    /// `sample_limit`, after metric relabelling.
    pub samples: usize,
    /// `target_limit`: above it no target of the job is scraped.
    pub targets: usize,
    /// `label_limit`.
    pub labels: usize,
    /// `label_name_length_limit`, bytes.
    pub label_name_length: usize,
    /// `label_value_length_limit`, bytes.
    pub label_value_length: usize,
    /// `keep_dropped_targets`: how many are remembered for the API.
    pub kept_dropped_targets: usize,
}

/// What a job makes of histograms. The three switches are defaults: a target's labels can say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HistogramOptions {
    /// `scrape_native_histograms`
    pub native: bool,
    /// `always_scrape_classic_histograms`: also where there is a native one.
    pub classic_too: bool,
    /// `convert_classic_histograms_to_nhcb`: classic ones become native ones with custom buckets.
    pub convert: bool,
    /// `native_histogram_bucket_limit`; 0 is "none". Finer histograms are made coarser; if that does not suffice, the scrape
    /// fails.
    pub bucket_limit: usize,
    /// `native_histogram_min_bucket_factor`: at least by this factor a bucket's bound is above the one before. At most 1: no
    /// such rule.
    pub min_bucket_factor: f64,
}

impl HistogramOptions {
    /// The finest schema that the factor allows.
    pub(crate) fn max_schema(&self) -> i32 {
        if self.min_bucket_factor <= 1.0 {
            return 8;
        }
        let floor = (-self.min_bucket_factor.log2().log2()).floor();
        floor.clamp(-4.0, 8.0) as i32
    }
}

/// What becomes of the times at which sources began to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartTimes {
    /// Nothing; `_created` series are series.
    #[default]
    Ignored,
    /// They are stored with the samples.
    Stored,
    /// A zero is stored at that time, unless the series has newer samples.
    Zeros,
}

/// An exposition format that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeProtocol {
    /// `PrometheusProto`
    PrometheusProto,
    /// `OpenMetricsText1.0.0`
    OpenMetricsText1_0_0,
    /// `OpenMetricsText0.0.1`
    OpenMetricsText0_0_1,
    /// `PrometheusText1.0.0`
    PrometheusText1_0_0,
    /// `PrometheusText0.0.4`
    PrometheusText0_0_4,
}

impl ScrapeProtocol {
    /// Prometheus' order when native histograms are off.
    pub const DEFAULT_ORDER: [ScrapeProtocol; 4] = [
        ScrapeProtocol::OpenMetricsText1_0_0,
        ScrapeProtocol::OpenMetricsText0_0_1,
        ScrapeProtocol::PrometheusText1_0_0,
        ScrapeProtocol::PrometheusText0_0_4,
    ];

    /// The media type with its version, for `Accept`.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            ScrapeProtocol::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
            ScrapeProtocol::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            ScrapeProtocol::PrometheusText0_0_4 => "text/plain;version=0.0.4",
        }
    }

    /// Whether the format knows an escaping parameter.
    pub(crate) fn has_escaping(self) -> bool {
        matches!(self, ScrapeProtocol::OpenMetricsText1_0_0 | ScrapeProtocol::PrometheusText1_0_0)
    }
}

/// `metric_name_escaping_scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameEscaping {
    /// Names come as they are.
    #[default]
    AllowUtf8,
    /// Odd characters become `_`.
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, others `_`.
    Dots,
    /// `U__` and code points.
    Values,
}

impl NameEscaping {
    /// As configuration and headers spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NameEscaping::AllowUtf8 => "allow-utf-8",
            NameEscaping::Underscores => "underscores",
            NameEscaping::Dots => "dots",
            NameEscaping::Values => "values",
        }
    }
}
