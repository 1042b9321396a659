//! `nomad_sd_configs`.

use discovery::{NomadOptions, ProviderOptions};

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid_at, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Services that Nomad knows.
    NomadSd "nomad.SDConfig" "nomad.plain" {
        /// Take answers that may be old.
        allow_stale: bool = "allow_stale" keep,
        /// How it is reached.
        http: HttpClient = inline,
        /// The namespace.
        namespace: String = "namespace" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The region.
        region: String = "region" keep,
        /// The URL of a server.
        server: String = "server" keep,
        /// What stands between the tags in their label.
        tag_separator: String = "tag_separator",
    }
}

impl Section for NomadSd {
    fn defaults() -> Self {
        NomadSd {
            allow_stale: true,
            http: HttpClient::defaults(),
            namespace: "default".into(),
            refresh_interval: Millis(MINUTE),
            region: "global".into(),
            server: "http://localhost:4646".into(),
            tag_separator: ",".into(),
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.server.trim().is_empty() {
            return invalid_at("server", "nomad SD configuration requires a server address");
        }
        self.http.check()
    }
}

impl Entry for NomadSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Nomad(Box::new(NomadOptions {
            server: self.server.clone(),
            namespace: self.namespace.clone(),
            region: self.region.clone(),
            tag_separator: self.tag_separator.clone(),
            allow_stale: self.allow_stale,
            refresh_interval: self.refresh_interval.into(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
