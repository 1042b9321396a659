//! A client: options, TLS set-up and proxy, shared by the connections made from it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use url::Url;

use crate::body_memory::BodyShare;
use crate::connect::Proxy;
use crate::connection::{Connection, Head, Request};
use crate::error::{BuildError, Error};
use crate::gzip::gunzip;
use crate::options::{ClientOptions, Limits};
use crate::signer::Signer;
use crate::tls::Tls;

/// How to make requests. Cheap to clone; holds no connection.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    options: ClientOptions,
    tls: Arc<Tls>,
    proxy: Option<Proxy>,
    signer: Option<Arc<dyn Signer>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Client {
    /// Checks the options. Files are read later, when they are needed.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub fn new(options: &ClientOptions) -> Result<Self, BuildError> {
        if options.basic_auth.is_some() && options.authorization.is_some() {
            return Err(BuildError::Options(
                "at most one of basic_auth, oauth2 & authorization must be configured".to_owned(),
            ));
        }
        for header in &options.headers {
            header.name.parse::<HeaderName>().map_err(|_| {
                BuildError::Options(format!("setting header {:?} is not possible", header.name))
            })?;
        }
        Ok(Client(Arc::new(Inner {
            tls: Arc::new(Tls::new(&options.tls).map_err(BuildError::Tls)?),
            proxy: options.proxy_url.as_deref().map(Proxy::parse).transpose().map_err(BuildError::Options)?,
            options: options.clone(),
            signer: None,
        })))
    }

    /// The client with its requests signed.
    #[must_use]
    pub fn with_signer(self, signer: Arc<dyn Signer>) -> Self {
        let inner = Arc::try_unwrap(self.0).unwrap_or_else(|shared| (*shared).clone());
        Client(Arc::new(Inner { signer: Some(signer), ..inner }))
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

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.0.options
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.0.tls
    }

    pub(crate) fn signer(&self) -> Option<&dyn Signer> {
        self.0.signer.as_deref()
    }

    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.0.proxy.as_ref()
    }
}
