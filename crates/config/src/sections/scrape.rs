//! `scrape_configs`.

use model::ValidationScheme;
use model::number::quote;

use super::discovery::Discovery;
use super::global::Global;
use super::http_client::HttpClient;
use super::relabel::{Rules, compile, refuse_null};
use crate::decode::{Field, Invalid, Section, invalid, section};
use crate::kinds::{Bytes, FilePath, Millis, NameScheme, named_map, named_text};

section! {
    /// A job: where its targets are found and how they are scraped.
    ScrapeConfig "config.ScrapeConfig" "config.ScrapeConfig" {
        /// Its name, the default of label `job`.
        job_name: String = "job_name" keep,
        /// Labels of the page win.
        honor_labels: bool = "honor_labels",
        /// Timestamps of the page are taken.
        honor_timestamps: bool = "honor_timestamps" keep,
        /// Series with timestamps get staleness markers.
        track_timestamps_staleness: bool = "track_timestamps_staleness" keep,
        /// Parameters of the URL.
        params: Params = "params",
        /// How often.
        scrape_interval: Millis = "scrape_interval",
        /// How long it may take.
        scrape_timeout: Millis = "scrape_timeout",
        /// The formats to ask for, most wanted first.
        scrape_protocols: Option<Vec<Protocol>> = "scrape_protocols",
        /// What a page is taken for that does not say.
        fallback_scrape_protocol: Protocol = "fallback_scrape_protocol",
        /// Take native histograms.
        scrape_native_histograms: Option<bool> = "scrape_native_histograms",
        /// Take classic histograms beside native ones.
        always_scrape_classic_histograms: Option<bool> = "always_scrape_classic_histograms",
        /// Make native histograms of classic ones.
        convert_classic_histograms_to_nhcb: Option<bool> = "convert_classic_histograms_to_nhcb",
        /// Where failed scrapes are logged.
        scrape_failure_log_file: FilePath = "scrape_failure_log_file",
        /// The URL's path.
        metrics_path: String = "metrics_path",
        /// The URL's scheme.
        scheme: String = "scheme",
        /// Ask for gzip.
        enable_compression: bool = "enable_compression" keep,
        /// Longest page.
        body_size_limit: Bytes = "body_size_limit",
        /// Most samples of a page.
        sample_limit: usize = "sample_limit",
        /// Most targets.
        target_limit: usize = "target_limit",
        /// Most labels of a series.
        label_limit: usize = "label_limit",
        /// Longest name of a label.
        label_name_length_limit: usize = "label_name_length_limit",
        /// Longest value of a label.
        label_value_length_limit: usize = "label_value_length_limit",
        /// Most buckets of a native histogram.
        native_histogram_bucket_limit: usize = "native_histogram_bucket_limit",
        /// Least growth from one bucket of a native histogram to the next.
        native_histogram_min_bucket_factor: f64 = "native_histogram_min_bucket_factor",
        /// How many dropped targets are remembered.
        keep_dropped_targets: usize = "keep_dropped_targets",
        /// Which names are valid.
        metric_name_validation_scheme: NameScheme = "metric_name_validation_scheme",
        /// How other names are to be escaped.
        metric_name_escaping_scheme: String = "metric_name_escaping_scheme",
        /// Further series about each scrape.
        extra_scrape_metrics: Option<bool> = "extra_scrape_metrics",
        /// How targets are reached.
        http: HttpClient = inline,
        /// Rules over discovered labels.
        relabel_configs: Rules = "relabel_configs",
        /// Rules over each series.
        metric_relabel_configs: Rules = "metric_relabel_configs",
        /// Where targets are found.
        discovery: Discovery = inline,
    }
}

named_map! {
    /// Parameters of a URL.
    Params Vec<String> = "url.Values"
}

named_text! {
    /// The name of an exposition format.
    Protocol "config.ScrapeProtocol"
}

/// Every format, sorted.
const PROTOCOLS: [&str; 5] = [
    "OpenMetricsText0.0.1",
    "OpenMetricsText1.0.0",
    "PrometheusProto",
    "PrometheusText0.0.4",
    "PrometheusText1.0.0",
];
/// What is asked for unless written.
const TEXT_FIRST: [&str; 4] =
    ["OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4"];
/// The only format that can carry native histograms.
const PROTOBUF: &str = "PrometheusProto";

/// Every format, protobuf before the others.
pub(super) fn protobuf_first() -> Vec<Protocol> {
    [PROTOBUF].into_iter().chain(TEXT_FIRST).map(|name| Protocol(name.into())).collect()
}

fn check_protocol(protocol: &Protocol) -> Result<(), String> {
    if PROTOCOLS.contains(&protocol.0.as_str()) {
        return Ok(());
    }
    Err(format!("unknown scrape protocol {}, supported: [{}]", protocol.0, PROTOCOLS.join(" ")))
}

/// Refuses an empty list, unknown formats and repeated ones.
pub(super) fn check_protocols(protocols: &[Protocol]) -> Result<(), String> {
    if protocols.is_empty() {
        return Err("scrape_protocols cannot be empty".into());
    }
    for (i, protocol) in protocols.iter().enumerate() {
        if protocols[..i].iter().any(|earlier| earlier.0.eq_ignore_ascii_case(&protocol.0)) {
            let all: Vec<&str> = protocols.iter().map(|p| p.0.as_str()).collect();
            return Err(format!("duplicated protocol in scrape_protocols, got [{}]", all.join(" ")));
        }
        check_protocol(protocol).map_err(|line| format!("scrape_protocols: {line}"))?;
    }
    Ok(())
}

impl Section for ScrapeConfig {
    fn defaults() -> Self {
        ScrapeConfig {
            metrics_path: "/metrics".into(),
            scheme: "http".into(),
            honor_timestamps: true,
            enable_compression: true,
            http: HttpClient::defaults(),
            ..ScrapeConfig::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        // Prometheus looks at the elements of the lists while it reads them, before it asks for the name.
        self.discovery.check_elements(true)?;
        if self.job_name.is_empty() {
            return invalid("job_name is empty").map_err(|err| err.help("each job needs a `job_name`"));
        }
        self.http.check()?;
        self.discovery.check_elements(!self.relabel_configs.is_empty())?;
        refuse_null(
            &self.relabel_configs,
            "relabel_configs",
            "empty or null target relabeling rule in scrape config",
        )?;
        refuse_null(
            &self.metric_relabel_configs,
            "metric_relabel_configs",
            "empty or null metric relabeling rule in scrape config",
        )
    }
}

/// What a job refuses once it knows the globals, and the keys and indices that lead to it.
pub(crate) struct JobError {
    pub(crate) line: String,
    pub(crate) path: Vec<Step>,
    pub(crate) help: Option<String>,
}

/// One step from a node to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Key(&'static str),
    Index(usize),
}

fn refuse(key: &'static str, line: String) -> Result<(), JobError> {
    Err(JobError { line, path: vec![Step::Key(key)], help: None })
}

/// The escaping schemes.
const ESCAPING: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];
const ESCAPING_CHOICES: &str = "'allow-utf-8', 'underscores', 'dots', or 'values'";

/// The escaping scheme that suits a rule for names.
fn escaping_of(scheme: Option<ValidationScheme>) -> String {
    if scheme == Some(ValidationScheme::Legacy) { "underscores".into() } else { "allow-utf-8".into() }
}

impl ScrapeConfig {
    /// Takes over what is global, then checks what could not be checked before.
    pub(crate) fn complete(&mut self, global: &Global) -> Result<(), JobError> {
        if self.scrape_interval.0 == 0 {
            self.scrape_interval = global.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            let interval = model::duration::format(self.scrape_interval.0);
            return Err(JobError {
                line: format!(
                    "scrape timeout greater than scrape interval for scrape config with job name {}",
                    quote(&self.job_name)
                ),
                path: vec![Step::Key("scrape_timeout")],
                help: Some(format!("at most the scrape interval, which is {interval}")),
            });
        }
        if self.scrape_timeout.0 == 0 {
            self.scrape_timeout = global.scrape_timeout.min(self.scrape_interval);
        }
        self.inherit_limits(global);
        self.complete_protocols(global)?;
        self.complete_names(global)?;
        self.convert_classic_histograms_to_nhcb.get_or_insert(global.convert_classic_histograms_to_nhcb);
        self.always_scrape_classic_histograms.get_or_insert(global.always_scrape_classic_histograms);
        for (key, rules) in [
            ("relabel_configs", &self.relabel_configs),
            ("metric_relabel_configs", &self.metric_relabel_configs),
        ] {
            if let Err((index, line, help)) = compile(rules, self.metric_name_validation_scheme) {
                return Err(JobError { line, path: vec![Step::Key(key), Step::Index(index)], help });
            }
        }
        Ok(())
    }

    fn inherit_limits(&mut self, global: &Global) {
        fn inherit<T: Field + Clone>(own: &mut T, global: &T) {
            if own.is_empty() {
                *own = global.clone();
            }
        }
        inherit(&mut self.body_size_limit, &global.body_size_limit);
        inherit(&mut self.sample_limit, &global.sample_limit);
        inherit(&mut self.target_limit, &global.target_limit);
        inherit(&mut self.label_limit, &global.label_limit);
        inherit(&mut self.label_name_length_limit, &global.label_name_length_limit);
        inherit(&mut self.label_value_length_limit, &global.label_value_length_limit);
        inherit(&mut self.keep_dropped_targets, &global.keep_dropped_targets);
        inherit(&mut self.scrape_failure_log_file, &global.scrape_failure_log_file);
        inherit(&mut self.scrape_native_histograms, &global.scrape_native_histograms);
        inherit(&mut self.extra_scrape_metrics, &global.extra_scrape_metrics);
    }

    fn complete_protocols(&mut self, global: &Global) -> Result<(), JobError> {
        let job = quote(&self.job_name);
        if self.scrape_protocols.is_none() {
            let standard = || {
                let native = self.scrape_native_histograms == Some(true);
                protobuf_first().split_off(usize::from(!native))
            };
            self.scrape_protocols = Some(global.scrape_protocols.clone().unwrap_or_else(standard));
        }
        if let Err(line) = check_protocols(self.scrape_protocols.as_deref().unwrap_or_default()) {
            return refuse("scrape_protocols", format!("{line} for scrape config with job name {job}"));
        }
        if !self.fallback_scrape_protocol.0.is_empty()
            && let Err(line) = check_protocol(&self.fallback_scrape_protocol)
        {
            let line =
                format!("invalid fallback_scrape_protocol for scrape config with job name {job}: {line}");
            return refuse("fallback_scrape_protocol", line);
        }
        Ok(())
    }

    /// A job that only narrows the validation must not inherit an escaping that contradicts it.
    fn complete_names(&mut self, global: &Global) -> Result<(), JobError> {
        let inherited = self.metric_name_validation_scheme.0.is_none();
        if inherited {
            self.metric_name_validation_scheme = global.metric_name_validation_scheme;
        }
        let own_scheme = self.metric_name_validation_scheme.0;
        let global_escaping = match global.metric_name_escaping_scheme.as_str() {
            "" => escaping_of(global.metric_name_validation_scheme.0),
            known if ESCAPING.contains(&known) => known.to_owned(),
            other => {
                let line = format!(
                    "unknown global name escaping method specified, must be one of {ESCAPING_CHOICES}, got {}",
                    quote(other)
                );
                return Err(JobError { line, path: Vec::new(), help: None });
            }
        };
        if self.metric_name_escaping_scheme.is_empty() {
            self.metric_name_escaping_scheme =
                if inherited { global_escaping } else { escaping_of(own_scheme) };
        }
        match self.metric_name_escaping_scheme.as_str() {
            "allow-utf-8" if own_scheme != Some(ValidationScheme::Utf8) => refuse(
                "metric_name_escaping_scheme",
                "utf8 metric names requested but validation scheme is not set to UTF8".into(),
            ),
            known if ESCAPING.contains(&known) => Ok(()),
            other => refuse(
                "metric_name_escaping_scheme",
                format!(
                    "unknown scrape config name escaping method specified, must be one of {ESCAPING_CHOICES}, got {}",
                    quote(other)
                ),
            ),
        }
    }
}
