//! Sections to the plain options of the components.

use std::path::PathBuf;

use discovery::ProviderOptions;
use httpclient::{ClientOptions, ExtraHeader, Source, TlsOptions};
use scrape::{HistogramOptions, JobOptions, Limits, NameEscaping, ScrapeProtocol};

use crate::kinds::{FilePath, Secret};
use crate::sections::{HttpClient, Rules, ScrapeConfig, TlsConfig, compile};
use crate::yaml::{Out, emit};

/// A scrape job as the components want it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// How its targets are scraped.
    pub scrape: JobOptions,
    /// Where its targets are found.
    pub providers: Vec<ProviderOptions>,
}

impl ScrapeConfig {
    /// The job with everything filled in and secrets hidden, as `/api/v1/scrape_pools/config` shows it.
    #[must_use]
    pub fn effective_yaml(&self) -> String {
        let out: Out = crate::decode::Field::encode(self);
        emit::to_string(&out)
    }

    /// The job as options. What [`Config::unsupported`](crate::Config::unsupported) names is left out.
    ///
    /// # Errors
    /// When a rule is not valid, which loading has ruled out.
    pub fn to_job(&self) -> Result<Job, String> {
        Ok(Job { scrape: self.to_scrape_options()?, providers: self.discovery.to_providers() })
    }

    fn to_scrape_options(&self) -> Result<JobOptions, String> {
        let rules =
            |rules: &Rules| compile(rules, self.metric_name_validation_scheme).map_err(|(_, line, _)| line);
        let protocols = self.scrape_protocols.iter().flatten();
        Ok(JobOptions {
            scrape_interval: self.scrape_interval.into(),
            scrape_timeout: self.scrape_timeout.into(),
            metrics_path: self.metrics_path.clone(),
            scheme: self.scheme.clone(),
            params: self.params.0.clone(),
            honor_labels: self.honor_labels,
            honor_timestamps: self.honor_timestamps,
            track_timestamps_staleness: self.track_timestamps_staleness,
            enable_compression: self.enable_compression,
            scrape_protocols: protocols.filter_map(|protocol| to_protocol(&protocol.0)).collect(),
            fallback_scrape_protocol: to_protocol(&self.fallback_scrape_protocol.0),
            name_validation: self.metric_name_validation_scheme.0.unwrap_or_default(),
            name_escaping: match self.metric_name_escaping_scheme.as_str() {
                "underscores" => NameEscaping::Underscores,
                "dots" => NameEscaping::Dots,
                "values" => NameEscaping::Values,
                _ => NameEscaping::AllowUtf8,
            },
            histograms: HistogramOptions {
                native: self.scrape_native_histograms == Some(true),
                classic_too: self.always_scrape_classic_histograms == Some(true),
                convert: self.convert_classic_histograms_to_nhcb == Some(true),
                bucket_limit: self.native_histogram_bucket_limit,
                min_bucket_factor: self.native_histogram_min_bucket_factor,
            },
            limits: Limits {
                body_size: u64::try_from(self.body_size_limit.0).unwrap_or(0),
                samples: self.sample_limit,
                targets: self.target_limit,
                labels: self.label_limit,
                label_name_length: self.label_name_length_limit,
                label_value_length: self.label_value_length_limit,
                kept_dropped_targets: self.keep_dropped_targets,
            },
            extra_scrape_metrics: self.extra_scrape_metrics == Some(true),
            failure_log: (!self.scrape_failure_log_file.is_unset())
                .then(|| PathBuf::from(&self.scrape_failure_log_file.0)),
            relabel_configs: rules(&self.relabel_configs)?,
            metric_relabel_configs: rules(&self.metric_relabel_configs)?,
            client: self.http.to_options(),
            ..JobOptions::new(&self.job_name)
        })
    }
}

fn to_protocol(name: &str) -> Option<ScrapeProtocol> {
    match name {
        "PrometheusProto" => Some(ScrapeProtocol::PrometheusProto),
        "OpenMetricsText1.0.0" => Some(ScrapeProtocol::OpenMetricsText1_0_0),
        "OpenMetricsText0.0.1" => Some(ScrapeProtocol::OpenMetricsText0_0_1),
        "PrometheusText1.0.0" => Some(ScrapeProtocol::PrometheusText1_0_0),
        "PrometheusText0.0.4" => Some(ScrapeProtocol::PrometheusText0_0_4),
        _ => None,
    }
}

impl HttpClient {
    /// The client as options.
    #[must_use]
    pub fn to_options(&self) -> ClientOptions {
        ClientOptions {
            tls: self.tls_config.to_options(),
            basic_auth: self.basic_auth.as_ref().map(|auth| httpclient::BasicAuth {
                username: source(&auth.username, &auth.username_file),
                password: secret_source(&auth.password, &auth.password_file),
            }),
            authorization: self.authorization.as_ref().map(|auth| httpclient::Authorization {
                kind: auth.kind.clone(),
                credentials: secret_source(&auth.credentials, &auth.credentials_file),
            }),
            headers: self.http_headers.iter().flat_map(|headers| &headers.0).map(to_header).collect(),
            follow_redirects: self.follow_redirects,
            oauth2: self.oauth2.as_ref().map(|oauth2| Box::new(oauth2.to_options())),
            http2: self.enable_http2,
            proxy: self.proxy.to_options(),
            any_address: false,
        }
    }
}

fn to_header((name, header): (&String, &crate::sections::Header)) -> ExtraHeader {
    let inline = |text: &str| Source::Inline(httpclient::Secret::new(text));
    let values = header.values.iter().map(|value| inline(value));
    let secrets = header.secrets.iter().map(|secret| inline(&secret.0));
    let files = header.files.iter().map(|file| Source::File(PathBuf::from(&file.0)));
    ExtraHeader { name: name.clone(), values: values.chain(secrets).chain(files).collect() }
}

impl TlsConfig {
    pub(crate) fn to_options(&self) -> TlsOptions {
        TlsOptions {
            ca: source(&self.ca, &self.ca_file),
            cert: source(&self.cert, &self.cert_file),
            key: secret_source(&self.key, &self.key_file),
            server_name: (!self.server_name.is_empty()).then(|| self.server_name.clone()),
            insecure_skip_verify: self.insecure_skip_verify,
            min_version: self.min_version.0,
            max_version: self.max_version.0,
        }
    }
}

impl Secret {
    /// The text for a component.
    pub(crate) fn to_option(&self) -> httpclient::Secret {
        httpclient::Secret::new(self.0.as_str())
    }
}

fn source(text: &str, file: &FilePath) -> Option<Source> {
    if !file.is_unset() {
        return Some(Source::File(PathBuf::from(&file.0)));
    }
    (!text.is_empty()).then(|| Source::Inline(httpclient::Secret::new(text)))
}

pub(crate) fn secret_source(secret: &Secret, file: &FilePath) -> Option<Source> {
    source(&secret.0, file)
}
