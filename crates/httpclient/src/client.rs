//! A client: options, TLS set-up and proxy, shared by the connections made from it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use tokio::time::Instant;
use url::Url;

use crate::body_memory::BodyShare;
use crate::connect::{Origin, Route};
use crate::connection::{Connection, Head, Request};
use crate::credentials::Credentials;
use crate::error::{BuildError, Error};
use crate::gzip::gunzip;
use crate::http2::Pool;
use crate::options::{ClientOptions, Limits};
use crate::proxy::Proxies;
use crate::signer::Signer;
use crate::tls::Tls;

/// How to make requests. Cheap to clone; holds no connection.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    signer: Option<Arc<dyn Signer>>,
    socket: Option<Arc<Path>>,
}

struct Shared {
    options: ClientOptions,
    tls: Tls,
    proxies: Proxies,
    credentials: Credentials,
    pool: Pool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the options. Files are read later, when they are needed.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub fn new(options: &ClientOptions) -> Result<Self, BuildError> {
        let shared = Shared {
            credentials: Credentials::new(options)?,
            tls: Tls::new(&options.tls, options.http2).map_err(BuildError::Tls)?,
            proxies: Proxies::new(&options.proxy).map_err(BuildError::Options)?,
            pool: Pool::default(),
            options: options.clone(),
        };
        Ok(Client { shared: Arc::new(shared), signer: None, socket: None })
    }

    /// The client with its requests signed.
    #[must_use]
    pub fn with_signer(self, signer: Arc<dyn Signer>) -> Self {
        Client { signer: Some(signer), ..self }
    }

    /// The client with its connections made to a socket of this machine, whatever host a URL names and whatever proxy
    /// there is.
    #[must_use]
    pub fn with_unix_socket(self, path: &Path) -> Self {
        Client { socket: Some(path.into()), ..self }
    }

    /// A connection that is opened by its first request.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::new(self.clone())
    }

    /// One request on a connection of its own; the body comes back decompressed.
    ///
    /// # Errors
    /// See [`Error`]; a status other than 200 is none.
    pub async fn get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        limits: Limits,
        timeout: Duration,
    ) -> Result<(Head, Vec<u8>), Error> {
        self.send(&Request::get(url, headers), limits, timeout).await
    }

    /// As [`get`](Self::get) with any method and content.
    ///
    /// # Errors
    /// See [`Error`]; a status other than 200 is none.
    pub async fn send(
        &self,
        request: &Request<'_>,
        limits: Limits,
        timeout: Duration,
    ) -> Result<(Head, Vec<u8>), Error> {
        let mut headers = request.headers.clone();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let request = Request { headers: &headers, ..request.clone() };
        let mut body = Vec::new();
        let (deadline, mut share) = (Instant::now() + timeout, BodyShare::default());
        let mut connection = self.connection();
        let head = connection.send(&request, limits.body, deadline, &mut body, &mut share).await?;
        if head.headers.get(CONTENT_ENCODING).is_some_and(|v| v == "gzip") {
            let mut plain = Vec::new();
            gunzip(&body, &mut plain, limits.decompressed)?;
            body = plain;
        }
        Ok((head, body))
    }

    /// How a connection to `origin` is made.
    pub(crate) fn route(&self, origin: &Origin) -> Result<Route<'_>, String> {
        match &self.socket {
            Some(path) => Ok(Route::Socket(path)),
            None => Ok(match self.shared.proxies.of(origin)? {
                Some(proxy) => Route::Through(&self.shared.proxies, proxy),
                None => Route::Direct { any_address: self.options().any_address },
            }),
        }
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.shared.tls
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.shared.credentials
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    pub(crate) fn socket(&self) -> Option<&Arc<Path>> {
        self.socket.as_ref()
    }

    pub(crate) fn signer(&self) -> Option<&dyn Signer> {
        self.signer.as_deref()
    }
}
