//! `remote_write` and `remote_read` to the options of their component.

use std::collections::HashMap;
use std::sync::Arc;

use cloudauth::{
    Account, AccountOptions, AwsSigner, Azure, AzureCloud, AzureIdentity, Environment, Google, GoogleSource,
    TokenSigner,
};
use httpclient::{Client, ClientOptions, Signer};
use md5::{Digest as _, Md5};
use remote::{MessageType, MetadataOptions, QueueOptions, ReadOptions, WriteOptions};

use crate::Config;
use crate::kinds::{NameScheme, Url};
use crate::sections::{AzureAd, GoogleIam, Proxy, RemoteRead, RemoteWrite, SigV4, compile};
use crate::yaml::{Out, emit};

/// What a token of Google is for.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";

impl Config {
    /// The destinations of remote write.
    ///
    /// # Errors
    /// When one cannot be: its URL has no host, a client contradicts itself.
    pub fn remote_writes(&self) -> Result<Vec<WriteOptions>, String> {
        let scheme = self.document().global.metric_name_validation_scheme;
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut all = Vec::new();
        for section in self.document().remote_write.iter().flatten() {
            let mut options = section.to_options(scheme)?;
            // Several may lead to one place: they are told apart by their order.
            let number = seen.entry(options.key.clone()).or_default();
            options.key = format!("{} {number}", options.key);
            *number += 1;
            all.push(options);
        }
        Ok(all)
    }

    /// The servers of remote read.
    ///
    /// # Errors
    /// When one cannot be: its URL has no host.
    pub fn remote_reads(&self) -> Result<Vec<ReadOptions>, String> {
        self.document().remote_read.iter().flatten().map(RemoteRead::to_options).collect()
    }
}

/// As Prometheus tells configurations apart: by their YAML, with secrets hidden.
pub(crate) fn hash(section: &impl crate::decode::Field) -> String {
    let out: Out = section.encode();
    let digest = Md5::digest(emit::to_string(&out));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A URL to ask, and as it may be shown.
fn parsed(url: Option<&Url>) -> Result<(httpclient::Url, String), String> {
    let Some(url) = url else { return Err("there is no url".into()) };
    let parsed = httpclient::Url::parse(&url.0).map_err(|err| format!("url {}: {err}", url.shown()))?;
    Ok((parsed, url.shown()))
}

/// The name that somebody gave, or else one that tells it from others.
fn named(name: &str, hash: &str) -> String {
    match name {
        "" => hash.chars().take(6).collect(),
        name => name.to_owned(),
    }
}

impl RemoteRead {
    fn to_options(&self) -> Result<ReadOptions, String> {
        let hash = hash(self);
        let (url, shown_url) = parsed(self.url.as_ref())?;
        Ok(ReadOptions {
            name: named(&self.name, &hash),
            hash,
            url,
            shown_url,
            timeout: self.remote_timeout.into(),
            chunked_read_limit: self.chunked_read_limit,
            headers: self.headers.clone().into_iter().collect(),
            read_recent: self.read_recent,
            required_matchers: self.required_matchers.0.clone().into_iter().collect(),
            filter_external_labels: self.filter_external_labels,
            client: self.http.to_options(),
        })
    }
}

impl RemoteWrite {
    fn to_options(&self, scheme: NameScheme) -> Result<WriteOptions, String> {
        let hash = hash(self);
        let (url, shown_url) = parsed(self.url.as_ref())?;
        let key = if self.name.is_empty() { shown_url.clone() } else { self.name.clone() };
        let count = |n: isize| usize::try_from(n).unwrap_or(0);
        let queue = &self.queue_config;
        Ok(WriteOptions {
            name: named(&self.name, &hash),
            key,
            hash,
            url,
            shown_url,
            message: MessageType::of_name(&self.protobuf_message.0)?,
            timeout: self.remote_timeout.into(),
            headers: self.headers.clone().into_iter().collect(),
            relabel: compile(&self.write_relabel_configs, scheme).map_err(|(_, line, _)| line)?,
            exemplars: self.send_exemplars,
            histograms: self.send_native_histograms,
            queue: QueueOptions {
                capacity: count(queue.capacity),
                max_shards: count(queue.max_shards),
                min_shards: count(queue.min_shards),
                max_samples_per_send: count(queue.max_samples_per_send),
                batch_send_deadline: queue.batch_send_deadline.into(),
                min_backoff: queue.min_backoff.into(),
                max_backoff: queue.max_backoff.into(),
                retry_on_http_429: queue.retry_on_http_429,
                sample_age_limit: queue.sample_age_limit.into(),
            },
            metadata: self.metadata_config.send.then(|| MetadataOptions {
                interval: std::time::Duration::from(self.metadata_config.send_interval)
                    .max(std::time::Duration::from_millis(1)),
                max_samples_per_send: count(self.metadata_config.max_samples_per_send),
            }),
            client: ClientOptions { any_address: self.round_robin_dns, ..self.http.to_options() },
            signer: self.signer()?,
        })
    }

    fn signer(&self) -> Result<Option<Arc<dyn Signer>>, String> {
        let environment = Environment::of_process();
        if let Some(sigv4) = &self.sigv4 {
            return Ok(Some(sigv4.to_signer()?));
        }
        if let Some(azure) = &self.azuread {
            return Ok(azure
                .signer(environment, client_of_clouds()?)
                .map(|signer| Arc::new(signer) as Arc<dyn Signer>));
        }
        if let Some(google) = &self.google_iam {
            return Ok(Some(Arc::new(google.signer(environment, client_of_clouds()?))));
        }
        Ok(None)
    }
}

/// Tokens are fetched from the clouds, whatever the destination's own proxies and certificates are.
fn client_of_clouds() -> Result<Client, String> {
    let proxy = Proxy { proxy_from_environment: true, ..Proxy::default() }.to_options();
    Client::new(&ClientOptions { proxy, ..ClientOptions::default() }).map_err(|err| err.to_string())
}

impl SigV4 {
    /// What signs requests of Amazon's managed Prometheus.
    pub(crate) fn to_signer(&self) -> Result<Arc<dyn Signer>, String> {
        let account = AccountOptions {
            region: self.region.clone(),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.to_option(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            fips_sts: self.use_fips_sts_endpoint,
        };
        let service = if self.service_name.is_empty() { "aps" } else { &self.service_name };
        let account = Account::new(account, Environment::of_process(), client_of_clouds()?);
        Ok(Arc::new(AwsSigner::new(account, service)))
    }
}

impl AzureAd {
    fn signer(&self, environment: Environment, client: Client) -> Option<TokenSigner> {
        let (cloud, scope) = match self.cloud.as_str() {
            "AzureChina" => (AzureCloud::China, "https://monitor.azure.cn//.default"),
            "AzureGovernment" => (AzureCloud::Government, "https://monitor.azure.us//.default"),
            _ => (AzureCloud::Public, "https://monitor.azure.com//.default"),
        };
        let scope = if self.scope.is_empty() { scope } else { &self.scope };
        let identity = if let Some(managed) = &self.managed_identity {
            AzureIdentity::Managed { client_id: managed.client_id.clone() }
        } else if let Some(workload) = &self.workload_identity {
            AzureIdentity::Workload {
                tenant_id: workload.tenant_id.clone(),
                client_id: workload.client_id.clone(),
                token_file: workload.token_file_path.clone(),
            }
        } else if let Some(oauth) = &self.oauth {
            AzureIdentity::ClientSecret {
                tenant_id: oauth.tenant_id.clone(),
                client_id: oauth.client_id.clone(),
                client_secret: oauth.client_secret.to_option(),
            }
        } else if let Some(certificate) = &self.certificate {
            AzureIdentity::Certificate {
                tenant_id: certificate.tenant_id.clone(),
                client_id: certificate.client_id.clone(),
                certificate_file: certificate.certificate_path.clone(),
                key_file: certificate.certificate_key_path.clone(),
                chain: certificate.send_certificate_chain,
            }
        } else {
            AzureIdentity::Chain { tenant_id: self.sdk.as_ref()?.tenant_id.clone() }
        };
        Some(Azure::new(cloud, identity, scope, environment, client).into())
    }
}

impl GoogleIam {
    fn signer(&self, environment: Environment, client: Client) -> TokenSigner {
        let source = match self.credentials_file.is_unset() {
            true => GoogleSource::Default,
            false => GoogleSource::File(self.credentials_file.0.clone().into()),
        };
        Google::new(source, GOOGLE_SCOPE, environment, client).into()
    }
}
