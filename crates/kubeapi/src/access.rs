//! Where the API server is and who we are to it.

use std::path::PathBuf;
use std::time::SystemTime;

use httpclient::{Authorization, Client, ClientOptions, Source, TlsOptions, Url};

use crate::error::Error;
use crate::kubeconfig::{self, Kubeconfig};

/// Where a pod finds what it needs to reach the API server.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How an API server is reached. Equal ones share what is known of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// As a pod of the cluster.
    ServiceAccount(ServiceAccount),
    /// As a kubeconfig file says, by its current context.
    KubeConfig(PathBuf),
    /// As told.
    Server {
        /// The server.
        url: String,
        /// How to ask it.
        client: Box<ClientOptions>,
    },
}

/// What a pod of a cluster is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The server's host; empty if this is no pod of a cluster.
    pub host: String,
    /// Its port.
    pub port: String,
    /// Where `token`, `ca.crt` and `namespace` are. The token is read again for each request, since it is rotated.
    pub folder: PathBuf,
}

impl ServiceAccount {
    /// What the environment says.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        ServiceAccount {
            host: variable("KUBERNETES_SERVICE_HOST"),
            port: variable("KUBERNETES_SERVICE_PORT"),
            folder: SERVICE_ACCOUNT.into(),
        }
    }

    /// The namespace of the pod.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn namespace(&self) -> Result<String, Error> {
        let path = self.folder.join("namespace");
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(err) => Err(Error::Access(format!(
                "could not determine the pod's namespace: {}: {err}",
                path.display()
            ))),
        }
    }
}

/// A way to the server.
#[derive(Clone)]
pub(crate) struct Reached {
    pub(crate) client: Client,
    /// What paths are appended to.
    pub(crate) base: Url,
    /// How long the credentials are good, if that is known.
    pub(crate) until: Option<SystemTime>,
    /// Tells it from those before and after.
    pub(crate) number: u64,
}

impl Access {
    /// Reads the files that say how, and asks the plugin that has our credentials.
    pub(crate) async fn reach(&self, number: u64) -> Result<Reached, Error> {
        let mut until = None;
        let (url, options) = match self {
            Access::ServiceAccount(account) => {
                if account.host.is_empty() || account.port.is_empty() {
                    return Err(Error::Access("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined".to_owned()));
                }
                let host = if account.host.contains(':') {
                    format!("[{}]", account.host)
                } else {
                    account.host.clone()
                };
                let authority = Source::File(account.folder.join("ca.crt"));
                let token = Source::File(account.folder.join("token"));
                let options = ClientOptions {
                    tls: TlsOptions { ca: Some(authority), ..TlsOptions::default() },
                    authorization: Some(bearer(token)),
                    ..ClientOptions::default()
                };
                (format!("https://{host}:{}", account.port), options)
            }
            Access::KubeConfig(path) => {
                let text = tokio::fs::read_to_string(path)
                    .await
                    .map_err(|err| Error::Access(format!("{}: {err}", path.display())))?;
                let wrong = |reason: String| Error::Access(format!("{}: {reason}", path.display()));
                let Kubeconfig { server, mut client, plugin } =
                    kubeconfig::read(&text, path.parent()).map_err(wrong)?;
                if let Some(plugin) = plugin {
                    until = plugin.apply(&server, path.parent(), &mut client).await.map_err(wrong)?;
                }
                (server, client)
            }
            Access::Server { url, client } => (url.clone(), (**client).clone()),
        };
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let base =
            Url::parse(&url).map_err(|err| Error::Access(format!("{url:?} is no URL of a server: {err}")))?;
        if base.cannot_be_a_base() {
            return Err(Error::Access(format!("{url:?} is no URL of a server")));
        }
        let client = Client::new(&options).map_err(|err| Error::Access(err.to_string()))?;
        Ok(Reached { client, base, until, number })
    }
}

/// `Authorization: Bearer`.
pub(crate) fn bearer(token: Source) -> Authorization {
    Authorization { kind: "Bearer".to_owned(), credentials: Some(token) }
}
