//! `http_sd_configs`: a URL that answers with a list of groups.

use std::time::Instant;

use httpclient::{Client, HeaderMap, HeaderValue, Limits, Url};
use tokio::time::MissedTickBehavior;

use crate::group::{self, TargetGroup};
use crate::metrics::Metrics;
use crate::provider::{HttpOptions, Updates};

const URL: &str = "__meta_url";

pub(crate) fn validate(options: &HttpOptions) -> Result<(), String> {
    if options.url.is_empty() {
        return Err("URL is missing".to_owned());
    }
    let (scheme, rest) = options.url.split_once("://").unwrap_or(("", ""));
    if scheme != "http" && scheme != "https" {
        return Err("URL scheme must be 'http' or 'https'".to_owned());
    }
    if rest.is_empty() || rest.starts_with('/') {
        return Err("host is missing in URL".to_owned());
    }
    Url::parse(&options.url).map_err(|err| err.to_string())?;
    Client::new(&options.client).map(drop).map_err(|err| err.to_string())
}

pub(crate) async fn run(options: HttpOptions, config: &str, metrics: Metrics, updates: Updates) {
    let refresh = metrics.refresh("http", config);
    let mut source = match Source::new(&options) {
        Ok(source) => source,
        Err(err) => {
            refresh.failures.inc();
            tracing::error!(component = "discovery manager", discovery = "http", config, %err, "Unable to refresh target groups");
            return;
        }
    };
    let mut tick = tokio::time::interval(options.refresh_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let start = Instant::now();
        let outcome = source.ask().await;
        let took = start.elapsed().as_secs_f64();
        refresh.duration.observe(took);
        refresh.duration_histogram.observe(took);
        match outcome {
            Ok(groups) => {
                if updates.send(groups).await.is_err() {
                    return;
                }
            }
            Err(err) => {
                refresh.failures.inc();
                metrics.http_failures.inc();
                tracing::error!(component = "discovery manager", discovery = "http", config, %err, "Unable to refresh target groups");
            }
        }
    }
}

struct Source<'a> {
    options: &'a HttpOptions,
    client: Client,
    url: Url,
    headers: HeaderMap,
    /// How many groups the last good answer had.
    known: usize,
}

impl<'a> Source<'a> {
    fn new(options: &'a HttpOptions) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        let seconds = model::number::format_f(options.refresh_interval.as_secs_f64());
        let seconds = HeaderValue::from_str(&seconds).map_err(|err| err.to_string())?;
        headers.insert("user-agent", HeaderValue::from_static(httpclient::USER_AGENT));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        headers.insert("x-prometheus-refresh-interval-seconds", seconds);
        Ok(Source {
            options,
            client: Client::new(&options.client).map_err(|err| err.to_string())?,
            url: Url::parse(&options.url).map_err(|err| err.to_string())?,
            headers,
            known: 0,
        })
    }

    async fn ask(&mut self) -> Result<Vec<TargetGroup>, String> {
        let (head, body) = self
            .client
            .get(&self.url, &self.headers, Limits::default(), self.options.refresh_interval)
            .await
            .map_err(|err| err.to_string())?;
        if head.status.as_u16() != 200 {
            return Err(format!("server returned HTTP status {}", head.status_text()));
        }
        let content_type = head.header("content-type");
        if !is_json(content_type.trim()) {
            return Err(format!("unsupported content type {}", model::number::quote(content_type)));
        }
        let mut groups = group::from_json(&body).map_err(|err| err.to_string())?;
        group::stamp(&mut groups, &self.options.url, URL);
        let count = groups.len();
        groups.extend((count..self.known).map(|i| group::gone(&self.options.url, i)));
        self.known = count;
        Ok(groups)
    }
}

/// `application/json`, perhaps with `charset=utf-8`, in any case.
fn is_json(content_type: &str) -> bool {
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
