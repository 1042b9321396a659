//! `http_sd_configs`.

use std::time::Duration;

use discovery::{HttpOptions, ProviderOptions};

use super::{Entry, MINUTE, check_server, scheme_and_host};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// A list of targets behind a URL.
    HttpSd "http.SDConfig" "http.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// Where.
        url: String = "url" keep,
    }
}

impl Section for HttpSd {
    fn defaults() -> Self {
        HttpSd { http: HttpClient::defaults(), refresh_interval: Millis(MINUTE), url: String::new() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.url.is_empty() {
            return invalid("URL is missing").map_err(|err| err.help("add `url: http://host/path`"));
        }
        check_server("url", &self.url)?;
        let (scheme, host) = scheme_and_host(&self.url);
        if scheme != "http" && scheme != "https" {
            return invalid_at("url", "URL scheme must be 'http' or 'https'");
        }
        if host.is_empty() {
            return invalid_at("url", "host is missing in URL");
        }
        self.http.check()
    }
}

impl Entry for HttpSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Http(Box::new(HttpOptions {
            url: self.url.clone(),
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
