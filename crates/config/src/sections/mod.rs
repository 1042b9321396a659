//! The sections of the file, a module each.

mod alerting;
mod azuread;
mod discovery;
mod document;
mod global;
mod http_client;
mod relabel;
mod remote;
mod scrape;
mod storage;

pub use alerting::{Alerting, Alertmanager, Alertmanagers, ApiVersion};
pub use azuread::{AzureAd, AzureCertificate, AzureOAuth, AzureSdk, ManagedIdentity, WorkloadIdentity};
pub use discovery::*;
pub use document::{Document, ScrapeFile};
pub(crate) use document::{complete_jobs, place};
pub use global::{Global, Runtime};
pub(crate) use http_client::JWT_GRANT;
pub use http_client::{
    Authorization, BasicAuth, Header, Headers, HttpClient, OAuth2, Proxy, ProxyHeaders, TlsConfig, TlsVersion,
};
pub(crate) use relabel::compile;
pub use relabel::{Pattern, RelabelConfig, RuleAction, Rules};
pub use remote::{GoogleIam, MessageType, Metadata, Queue, RemoteRead, RemoteWrite, SigV4};
pub(crate) use scrape::Step;
pub use scrape::{Params, Protocol, ScrapeConfig};
pub use storage::{
    ChunkEncoding, Exemplars, Otlp, Retention, RetentionRule, SeriesSelector, Storage, Tracing,
    TracingClient, TranslationStrategy, Tsdb,
};
