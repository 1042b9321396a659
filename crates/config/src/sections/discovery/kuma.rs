//! `kuma_sd_configs`.

use discovery::{KumaOptions, ProviderOptions};

use super::{Entry, MINUTE, SECOND, check_server, scheme_and_host};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Data planes of a Kuma mesh.
    KumaSd "xds.SDConfig" "xds.plainKumaConf" {
        /// How the control plane is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// How long the control plane may hold back an answer.
        fetch_timeout: Millis = "fetch_timeout",
        /// The URL of the control plane.
        server: String = "server",
        /// How we call ourselves.
        client_id: String = "client_id",
    }
}

impl Section for KumaSd {
    fn defaults() -> Self {
        KumaSd {
            http: HttpClient::defaults(),
            refresh_interval: Millis(15 * SECOND),
            fetch_timeout: Millis(2 * MINUTE),
            ..KumaSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.server.is_empty() {
            return invalid("kuma SD server must not be empty: ");
        }
        check_server("server", &self.server)?;
        let (scheme, host) = scheme_and_host(&self.server);
        if scheme.is_empty() || host.is_empty() {
            let line = format!("kuma SD server must not be empty and have a scheme: {}", self.server);
            return invalid_at("server", line);
        }
        self.http.check()
    }
}

impl Entry for KumaSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Kuma(Box::new(KumaOptions {
            server: self.server.clone(),
            client_id: self.client_id.clone(),
            refresh_interval: self.refresh_interval.into(),
            fetch_timeout: self.fetch_timeout.into(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
