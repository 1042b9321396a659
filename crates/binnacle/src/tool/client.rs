//! How tools ask servers: one request after the other, errors in Go's words.

use std::time::Duration;

use httpclient::{
    Bytes, Client, ClientOptions, Error, Head, HeaderMap, HeaderName, HeaderValue, Limits, Method,
    ProxyOptions, Request, Url,
};
use model::number::quote;

use super::Failure;
use super::server_url::ServerUrl;

/// Answers are taken in whole, however long they are.
const UNLIMITED: Limits = Limits { body: usize::MAX, decompressed: usize::MAX };

/// See the module.
pub(crate) struct ToolClient {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a ServerUrl,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) content: Bytes,
    pub(crate) timeout: Duration,
}

/// A request that was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// In Go's words.
    pub(crate) text: String,
    /// There was no answer in time.
    pub(crate) timed_out: bool,
    /// Asking again might help.
    pub(crate) passing: bool,
}

impl ToolClient {
    /// By the file of `--http.config.file`, if there is one.
    pub(crate) fn new(config_file: Option<&str>, server: Option<&ServerUrl>) -> Result<Self, Failure> {
        let options = match config_file {
            None => ClientOptions { proxy: ProxyOptions::from_environment(), ..ClientOptions::default() },
            Some(_) if server.is_some_and(ServerUrl::has_user) => {
                let told =
                    "Cannot set base auth in the server URL and use a http.config.file at the same time";
                return Err(Failure::usage(told));
            }
            Some(file) => config::read_http_client(file)
                .map_err(|why| Failure::usage(&format!("Failed to load HTTP config file: {why}")))?,
        };
        let client = Client::new(&options)
            .map_err(|why| Failure::usage(&format!("Failed to create a new HTTP round tripper: {why}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(ToolClient { client, runtime })
    }

    /// Asks; the body comes back decompressed.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Result<(Head, Vec<u8>), Unanswered> {
        let told = |reason: &str| {
            let method = question.method.as_str();
            let operation = format!("{}{}", &method[..1], method[1..].to_ascii_lowercase());
            format!("{operation} {}: {reason}", quote(&question.url.shown()))
        };
        let unanswered = |text: String| Unanswered { text, timed_out: false, passing: true };
        if let Some(reason) = question.url.refusal() {
            return Err(Unanswered { passing: false, ..unanswered(told(&reason)) });
        }
        let url = Url::parse(&question.url.text())
            .map_err(|why| Unanswered { passing: false, ..unanswered(told(&why.to_string())) })?;
        let request = Request {
            method: question.method.clone(),
            url: &url,
            headers: question.headers,
            content: question.content.clone(),
        };
        let answer = self.runtime.block_on(self.client.send(&request, UNLIMITED, question.timeout));
        answer.map_err(|error| match error {
            Error::Request { reason, .. } => unanswered(told(&reason)),
            Error::Timeout { .. } => {
                Unanswered { timed_out: true, ..unanswered(told("context deadline exceeded")) }
            }
            other => unanswered(other.to_string()),
        })
    }
}

/// Headers of `--header`, the last of each name.
pub(crate) fn headers(given: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let invalid = |what: &str| Failure::Told(format!("net/http: invalid header field {what}"));
        let header =
            HeaderName::try_from(name.as_str()).map_err(|_| invalid(&format!("name {}", quote(name))))?;
        let value = HeaderValue::try_from(value.as_str())
            .map_err(|_| invalid(&format!("value for {}", quote(name))))?;
        headers.insert(header, value);
    }
    Ok(headers)
}
