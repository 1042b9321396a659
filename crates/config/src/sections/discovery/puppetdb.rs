//! `puppetdb_sd_configs`.

use discovery::{ProviderOptions, PuppetDbOptions};

use super::{Entry, MINUTE, check_server, scheme_and_host};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Resources that PuppetDB finds with a query.
    PuppetDbSd "puppetdb.SDConfig" "puppetdb.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// Where.
        url: String = "url" keep,
        /// Which resources: PQL.
        query: String = "query" keep,
        /// Make labels of parameters, which may be secret.
        include_parameters: bool = "include_parameters" keep,
        /// The port of targets.
        port: isize = "port" keep,
    }
}

impl Section for PuppetDbSd {
    fn defaults() -> Self {
        PuppetDbSd {
            http: HttpClient::defaults(),
            refresh_interval: Millis(MINUTE),
            port: 80,
            ..PuppetDbSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.url.is_empty() {
            return invalid("URL is missing").map_err(|err| err.help("add `url: https://host:8081/`"));
        }
        check_server("url", &self.url)?;
        let (scheme, host) = scheme_and_host(&self.url);
        if scheme != "http" && scheme != "https" {
            return invalid_at("url", "URL scheme must be 'http' or 'https'");
        }
        if host.is_empty() {
            return invalid_at("url", "host is missing in URL");
        }
        if self.query.is_empty() {
            return invalid("query missing");
        }
        self.http.check()
    }
}

impl Entry for PuppetDbSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::PuppetDb(Box::new(PuppetDbOptions {
            url: self.url.clone(),
            query: self.query.clone(),
            include_parameters: self.include_parameters,
            port: self.port as i64,
            refresh_interval: self.refresh_interval.into(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
