//! Requests to whoever hands out credentials.

use std::time::Duration;

use httpclient::{Bytes, Client, HeaderMap, HeaderName, HeaderValue, Limits, Method, Request, Url};

use crate::error::{Error, while_doing};

/// How long a server that hands out credentials may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer of such a server.
const LIMITS: Limits = Limits { body: 1 << 20, decompressed: 1 << 20 };
/// How much of an answer goes into an error.
const SHOWN: usize = 500;

/// A request as it is put together.
pub(crate) struct Ask<'a> {
    method: Method,
    url: &'a str,
    headers: HeaderMap,
    content: Bytes,
    timeout: Duration,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(url: &'a str) -> Self {
        Ask { method: Method::GET, url, headers: HeaderMap::new(), content: Bytes::new(), timeout: TIMEOUT }
    }

    pub(crate) fn put(url: &'a str) -> Self {
        Ask { method: Method::PUT, ..Ask::get(url) }
    }

    /// A POST of a form.
    pub(crate) fn form(url: &'a str, pairs: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(pairs);
        let mut ask = Ask { method: Method::POST, content: form.finish().into(), ..Ask::get(url) };
        ask.headers.insert(
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        ask
    }

    /// With a header; one that cannot be sent is an error.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Result<Self, Error> {
        let mut value = HeaderValue::from_str(value.trim()).map_err(while_doing(name))?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The body of an answer with a status below 300.
    pub(crate) async fn send(self, client: &Client) -> Result<Vec<u8>, Error> {
        let (status, body) = self.answer(client).await?;
        if !(200..300).contains(&status) {
            return Err(Error(format!("status {status}: {}", shown(&body))));
        }
        Ok(body)
    }

    /// Status and body.
    pub(crate) async fn answer(mut self, client: &Client) -> Result<(u16, Vec<u8>), Error> {
        let url = Url::parse(self.url).map_err(while_doing(self.url))?;
        let agent = HeaderValue::from_static(httpclient::USER_AGENT);
        self.headers.insert(HeaderName::from_static("user-agent"), agent);
        let request =
            Request { method: self.method, url: &url, headers: &self.headers, content: self.content };
        let (head, body) =
            client.send(&request, LIMITS, self.timeout).await.map_err(|err| Error(err.to_string()))?;
        Ok((head.status.as_u16(), body))
    }
}

/// The beginning of an answer on one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    line.trim().to_owned()
}
