//! `digitalocean_sd_configs`.

use std::time::Duration;

use discovery::{DigitalOceanOptions, DigitalOceanRole as Wanted, ProviderOptions};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, section};
use crate::kinds::{Anything, Millis, Word, word};
use crate::sections::HttpClient;

section! {
    /// Droplets and databases of DigitalOcean.
    DigitalOceanSd "digitalocean.SDConfig" "digitalocean.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The port of targets.
        port: isize = "port" keep,
        /// What becomes a target.
        role: DigitalOceanRole = "role" keep,
        /// Without effect: Prometheus shows this key, and takes it, by mistake.
        httpclient: Option<Anything> = "httpclient" keep,
    }
}

/// What of DigitalOcean becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DigitalOceanRole(Option<Wanted>);

impl Word for DigitalOceanRole {
    const GO_TYPE: &'static str = "digitalocean.Role";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(DigitalOceanRole(Some(match text {
            "droplets" => Wanted::Droplets,
            "databases" => Wanted::Databases,
            other => return Err(format!("unknown DigitalOcean SD role {}", quote(other))),
        })))
    }

    fn word(self) -> &'static str {
        match self.0 {
            None => "",
            Some(Wanted::Droplets) => "droplets",
            Some(Wanted::Databases) => "databases",
        }
    }

    fn choices() -> &'static str {
        "droplets, databases"
    }
}
word!(DigitalOceanRole);

impl Section for DigitalOceanSd {
    fn defaults() -> Self {
        DigitalOceanSd {
            http: HttpClient::defaults(),
            refresh_interval: Millis(MINUTE),
            port: 80,
            role: DigitalOceanRole(Some(Wanted::Droplets)),
            httpclient: None,
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.role.0.is_none() {
            return invalid("role missing (one of: droplets, databases)");
        }
        self.http.check()
    }
}

impl Entry for DigitalOceanSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::DigitalOcean(Box::new(DigitalOceanOptions {
            role: self.role.0?,
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
