//! How the API of a cloud is asked: JSON over HTTP.

use std::time::Duration;

use httpclient::{
    Bytes, Client, ClientOptions, Head, HeaderMap, HeaderName, HeaderValue, Limits, Method, Request, Url,
};
use serde::de::DeserializeOwned;

/// How much of an answer goes into an error.
const SHOWN: usize = 300;

/// A client with the headers that each request has, and how long a request may take.
pub(super) struct Api {
    client: Client,
    headers: HeaderMap,
    timeout: Duration,
}

/// A request as it is put together.
pub(super) struct Ask {
    method: Method,
    url: Url,
    headers: HeaderMap,
    content: Bytes,
}

impl Ask {
    pub(super) fn get(url: Url) -> Self {
        Ask { method: Method::GET, url, headers: HeaderMap::new(), content: Bytes::new() }
    }

    /// A POST of JSON.
    pub(super) fn post(url: Url, json: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        Ask { method: Method::POST, url, headers, content: json.into() }
    }

    /// With these headers besides.
    pub(super) fn with(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// With a header that must not be logged.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Result<Self, String> {
        self.headers.insert(HeaderName::from_static(name), header_value(name, value)?);
        Ok(self)
    }
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value).map_err(|err| format!("{name}: {err}"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Api {
    pub(super) fn new(options: &ClientOptions, timeout: Duration) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static(httpclient::USER_AGENT));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        Ok(Api { client: client(options)?, headers, timeout })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The answer, whatever its status.
    pub(super) async fn send(&self, ask: Ask) -> Result<(Head, Vec<u8>), String> {
        let mut headers = self.headers.clone();
        headers.extend(ask.headers);
        let request = Request { method: ask.method, url: &ask.url, headers: &headers, content: ask.content };
        let answer = self.client.send(&request, Limits::default(), self.timeout).await;
        answer.map_err(|err| err.to_string())
    }

    /// The head and the JSON of an answer of status 2xx.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<(Head, T), String> {
        let what = format!("{} {}", ask.method, ask.url);
        let (head, body) = self.send(ask).await?;
        if !head.status.is_success() {
            return Err(refused(&what, &head, &body));
        }
        let value = serde_json::from_slice(&body).map_err(|err| format!("{what}: {err}"))?;
        Ok((head, value))
    }

    /// The JSON of an answer of status 2xx to a GET.
    pub(super) async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, String> {
        Ok(self.ask(Ask::get(url)).await?.1)
    }
}

pub(super) fn client(options: &ClientOptions) -> Result<Client, String> {
    Client::new(options).map_err(|err| err.to_string())
}

/// What is said of an answer of another status.
pub(super) fn refused(what: &str, head: &Head, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    format!("{what}: {} {}", head.status_text(), line.trim())
}

/// `base`, the segments of a path below it, escaped, and a query.
pub(super) fn url(base: &str, path: &[&str], query: &[(&str, &str)]) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|err| format!("{base}: {err}"))?;
    url.path_segments_mut().map_err(|()| format!("{base}: no base of an API"))?.pop_if_empty().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}
