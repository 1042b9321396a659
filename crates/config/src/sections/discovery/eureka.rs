//! `eureka_sd_configs`.

use discovery::{EurekaOptions, ProviderOptions};

use super::{Entry, SECOND, check_server, scheme_and_host};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Instances that are registered with Eureka.
    EurekaSd "eureka.SDConfig" "eureka.plain" {
        /// The URL of a server.
        server: String = "server",
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
    }
}

impl Section for EurekaSd {
    fn defaults() -> Self {
        EurekaSd {
            http: HttpClient::defaults(),
            refresh_interval: Millis(30 * SECOND),
            ..EurekaSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.server.is_empty() {
            return invalid("eureka_sd: empty or null eureka server");
        }
        check_server("server", &self.server)?;
        let (scheme, host) = scheme_and_host(&self.server);
        if scheme.is_empty() || host.is_empty() {
            return invalid_at("server", "eureka_sd: invalid eureka server URL");
        }
        self.http.check()
    }
}

impl Entry for EurekaSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Eureka(Box::new(EurekaOptions {
            server: self.server.clone(),
            refresh_interval: self.refresh_interval.into(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
