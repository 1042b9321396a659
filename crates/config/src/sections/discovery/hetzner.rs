//! `hetzner_sd_configs`.

use std::time::Duration;

use discovery::{HetznerOptions, HetznerRole as Wanted, ProviderOptions};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, section};
use crate::kinds::{Millis, Word, word};
use crate::sections::HttpClient;

section! {
    /// Servers of Hetzner Cloud, and dedicated ones.
    HetznerSd "hetzner.SDConfig" "hetzner.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The port of targets.
        port: isize = "port" keep,
        /// What becomes a target.
        role: HetznerRole = "role" keep,
        /// Which servers of Hetzner Cloud; all if empty.
        label_selector: String = "label_selector",
    }
}

/// What of Hetzner becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HetznerRole(Option<Wanted>);

impl Word for HetznerRole {
    const GO_TYPE: &'static str = "hetzner.Role";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(HetznerRole(Some(match text {
            "robot" => Wanted::Robot,
            "hcloud" => Wanted::HCloud,
            other => return Err(format!("unknown role {}", quote(other))),
        })))
    }

    fn word(self) -> &'static str {
        match self.0 {
            None => "",
            Some(Wanted::Robot) => "robot",
            Some(Wanted::HCloud) => "hcloud",
        }
    }

    fn choices() -> &'static str {
        "robot, hcloud"
    }
}
word!(HetznerRole);

impl Section for HetznerSd {
    fn defaults() -> Self {
        HetznerSd {
            http: HttpClient::defaults(),
            refresh_interval: Millis(MINUTE),
            port: 80,
            ..HetznerSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.role.0.is_none() {
            return invalid("role missing (one of: robot, hcloud)");
        }
        self.http.check()
    }
}

impl Entry for HetznerSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Hetzner(Box::new(HetznerOptions {
            role: self.role.0?,
            label_selector: self.label_selector.clone(),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
