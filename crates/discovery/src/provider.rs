//! What a provider is told and how it is run.

use std::path::PathBuf;
use std::time::Duration;

use httpclient::ClientOptions;
use tokio::sync::mpsc;

use crate::group::TargetGroup;
use crate::kubernetes::KubernetesOptions;
use crate::metrics::Metrics;
use crate::{file, http, kubernetes};

/// One entry of a job's discovery. Equal entries of several jobs are run once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderOptions {
    /// `static_configs`: the groups themselves; their sources are set here.
    Static(Vec<TargetGroup>),
    /// `file_sd_configs`.
    File(FileOptions),
    /// `http_sd_configs`.
    Http(Box<HttpOptions>),
    /// `kubernetes_sd_configs`.
    Kubernetes(Box<KubernetesOptions>),
}

/// What providers of a manager share.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) metrics: Metrics,
    pub(crate) kubernetes: kubernetes::Environment,
}

/// Files that hold lists of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Paths ending in `.json`, `.yml` or `.yaml`; the last element may be a pattern.
    pub files: Vec<PathBuf>,
    /// How often they are read again although nothing was reported about them. Prometheus: 5 min.
    pub refresh_interval: Duration,
}

/// A URL that answers with a list of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// The URL.
    pub url: String,
    /// How often it is asked; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// Where a provider sends the groups that changed.
pub(crate) type Updates = mpsc::Sender<Vec<TargetGroup>>;

impl ProviderOptions {
    /// The mechanism's name as configuration and metrics have it.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        match self {
            ProviderOptions::Static(_) => "static",
            ProviderOptions::File(_) => "file",
            ProviderOptions::Http(_) => "http",
            ProviderOptions::Kubernetes(_) => "kubernetes",
        }
    }

    /// Whether it can run at all.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            ProviderOptions::Static(_) | ProviderOptions::Kubernetes(_) => Ok(()),
            ProviderOptions::File(options) => file::validate(options),
            ProviderOptions::Http(options) => http::validate(options),
        }
    }

    /// Runs until dropped. `config` names the job in metrics.
    pub(crate) async fn run(self, config: String, environment: Environment, updates: Updates) {
        let metrics = environment.metrics;
        match self {
            ProviderOptions::Static(groups) => {
                let _ = updates.send(groups).await;
            }
            ProviderOptions::File(options) => file::run(options, metrics, updates).await,
            ProviderOptions::Http(options) => http::run(*options, &config, metrics, updates).await,
            ProviderOptions::Kubernetes(options) => {
                kubernetes::run(*options, &config, environment.kubernetes, updates).await;
            }
        }
    }
}
