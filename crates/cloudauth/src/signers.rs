//! Signers for the one outbound client: requests to remote endpoints in a cloud.

use std::time::SystemTime;

use httpclient::{HeaderName, HeaderValue, Secret, Signer, Signing, Unsigned};
use tokio::sync::Mutex;

use crate::aws::{Account, Scope, sign};
use crate::azure::Azure;
use crate::error::Error;
use crate::google::Google;

/// Signs requests for a service of AWS.
#[derive(Debug)]
pub struct AwsSigner {
    account: Account,
    service: String,
}

impl AwsSigner {
    /// `service` is what signatures call it: `aps` for managed Prometheus.
    #[must_use]
    pub fn new(account: Account, service: &str) -> Self {
        AwsSigner { account, service: service.to_owned() }
    }

    async fn add(&self, request: Unsigned<'_>) -> Result<(), Error> {
        let (keys, region) = (self.account.keys().await?, self.account.region().await?);
        let scope = Scope { region: &region, service: &self.service, now: SystemTime::now() };
        // What is added on the way, by us or by proxies, is not signed.
        let unsigned: Vec<(HeaderName, HeaderValue)> = UNSIGNED
            .into_iter()
            .filter_map(|name| Some((HeaderName::from_static(name), request.headers.remove(name)?)))
            .collect();
        let signed = sign(request.method, request.url, request.headers, request.content, &keys, scope);
        request.headers.extend(unsigned);
        signed
    }
}

/// Headers of requests that are left out of signatures.
const UNSIGNED: [&str; 3] = ["uber-trace-id", "accept-encoding", "connection"];

impl Signer for AwsSigner {
    fn sign<'a>(&'a self, request: Unsigned<'a>) -> Signing<'a> {
        Box::pin(async move { self.add(request).await.map_err(|err| err.to_string()) })
    }
}

/// Where bearer tokens come from.
#[derive(Debug)]
enum Tokens {
    Google(Google),
    Azure(Azure),
}

/// Sends a token of Google or Azure with each request.
#[derive(Debug)]
pub struct TokenSigner(Mutex<Tokens>);

impl From<Google> for TokenSigner {
    fn from(google: Google) -> Self {
        TokenSigner(Mutex::new(Tokens::Google(google)))
    }
}

impl From<Azure> for TokenSigner {
    fn from(azure: Azure) -> Self {
        TokenSigner(Mutex::new(Tokens::Azure(azure)))
    }
}

impl TokenSigner {
    async fn token(&self) -> Result<Secret, Error> {
        match &mut *self.0.lock().await {
            Tokens::Google(google) => google.token().await,
            Tokens::Azure(azure) => azure.token().await,
        }
    }
}

impl Signer for TokenSigner {
    fn sign<'a>(&'a self, request: Unsigned<'a>) -> Signing<'a> {
        Box::pin(async move {
            let token = self.token().await.map_err(|err| err.to_string())?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_| "the token cannot be sent".to_owned())?;
            value.set_sensitive(true);
            request.headers.insert(HeaderName::from_static("authorization"), value);
            Ok(())
        })
    }
}
