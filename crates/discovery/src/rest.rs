//! HTTP APIs that are asked for what there is.

use std::path::Path;
use std::time::Duration;

use httpclient::{
    Client, ClientOptions, Head, HeaderMap, HeaderName, HeaderValue, Limits, Method, Request, Url,
};

/// How long a request may take where Prometheus sets no limit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How an API is asked: client, headers, patience.
pub(crate) struct Rest {
    client: Client,
    headers: HeaderMap,
    timeout: Duration,
}

impl Rest {
    /// An API whose requests may take `timeout` each.
    pub(crate) fn new(options: &ClientOptions, timeout: Duration) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static(httpclient::USER_AGENT));
        Ok(Rest { client: Client::new(options).map_err(|err| err.to_string())?, headers, timeout })
    }

    /// An API behind the socket at `path`; hosts of URLs are names alone.
    pub(crate) fn behind_socket(path: &Path, timeout: Duration) -> Result<Self, String> {
        let mut api = Self::new(&ClientOptions::default(), timeout)?;
        api.client = api.client.with_unix_socket(path);
        Ok(api)
    }

    /// Sends this header too.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Result<Self, String> {
        let value = HeaderValue::from_str(value).map_err(|err| err.to_string())?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// The answer, whatever its status, and its body.
    pub(crate) async fn get(&self, url: &Url) -> Result<(Head, Vec<u8>), String> {
        self.send(Method::GET, url, Vec::new()).await
    }

    /// As [`get`](Self::get), with any method and content.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        content: Vec<u8>,
    ) -> Result<(Head, Vec<u8>), String> {
        let request = Request { method, content: content.into(), ..Request::get(url, &self.headers) };
        let answer = self.client.send(&request, Limits::default(), self.timeout).await;
        answer.map_err(|err| err.to_string())
    }

    /// The body of an answer of status 2xx.
    pub(crate) async fn body(&self, url: &Url) -> Result<Vec<u8>, String> {
        let (head, body) = self.get(url).await?;
        if !head.status.is_success() {
            return Err(format!("non 2xx status '{}' response from {url}", head.status.as_u16()));
        }
        Ok(body)
    }
}
