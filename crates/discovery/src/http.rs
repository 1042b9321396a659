//! `http_sd_configs`: a URL that answers with a list of groups.

use std::time::Duration;

use httpclient::{Client, ClientOptions, Url};

use crate::group::{self, TargetGroup};
use crate::metrics::Metrics;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use crate::rest::Rest;

const URL: &str = "__meta_url";

/// A URL that answers with a list of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// The URL.
    pub url: String,
    /// How often it is asked; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<HttpOptions> {
    fn validate(&self) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("URL is missing".to_owned());
        }
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", ""));
        if scheme != "http" && scheme != "https" {
            return Err("URL scheme must be 'http' or 'https'".to_owned());
        }
        if rest.is_empty() || rest.starts_with('/') {
            return Err("host is missing in URL".to_owned());
        }
        Url::parse(&self.url).map_err(|err| err.to_string())?;
        Client::new(&self.client).map(drop).map_err(|err| err.to_string())
    }

    async fn run(self, context: Context) {
        let list = List::new(&self, context.metrics.clone());
        refresh::every(self.refresh_interval, "http", &context, list).await;
    }
}

/// The list behind the URL.
struct List {
    api: Rest,
    url: Url,
    /// As it is written.
    origin: String,
    /// How many groups the last good answer had.
    known: usize,
    metrics: Metrics,
}

impl List {
    fn new(options: &HttpOptions, metrics: Metrics) -> Result<Self, String> {
        let seconds = model::number::format_f(options.refresh_interval.as_secs_f64());
        Ok(List {
            api: Rest::new(&options.client, options.refresh_interval)?
                .header("accept", "application/json")?
                .header("x-prometheus-refresh-interval-seconds", &seconds)?,
            url: Url::parse(&options.url).map_err(|err| err.to_string())?,
            origin: options.url.clone(),
            known: 0,
            metrics,
        })
    }

    async fn ask(&mut self) -> Result<Vec<TargetGroup>, String> {
        let (head, body) = self.api.get(&self.url).await?;
        if head.status.as_u16() != 200 {
            return Err(format!("server returned HTTP status {}", head.status_text()));
        }
        let content_type = head.header("content-type");
        if !is_json(content_type.trim()) {
            return Err(format!("unsupported content type {}", model::number::quote(content_type)));
        }
        let mut groups = group::from_json(&body).map_err(|err| err.to_string())?;
        group::stamp(&mut groups, &self.origin, URL);
        let count = groups.len();
        groups.extend((count..self.known).map(|i| group::gone(&self.origin, i)));
        self.known = count;
        Ok(groups)
    }
}

impl Source for List {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let outcome = self.ask().await;
        if outcome.is_err() {
            self.metrics.http_failures.inc();
        }
        outcome
    }
}

/// `application/json`, perhaps with `charset=utf-8`, in any case.
pub(crate) fn is_json(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("application/json") else { return false };
    let Some(parameter) = rest.strip_prefix(';') else { return rest.is_empty() };
    matches!(parameter.trim_start(), "charset=utf-8" | "charset=\"utf-8\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf8_is_taken() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=\"UTF-8\""));
        assert!(is_json("application/json;charset=utf-8"));
        assert!(
            !is_json("application/jsonx")
                && !is_json("application/json; charset=latin1")
                && !is_json("text/json")
        );
    }
}
