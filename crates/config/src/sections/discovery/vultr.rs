//! `vultr_sd_configs`.

use std::time::Duration;

use discovery::{ProviderOptions, VultrOptions};

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Instances of Vultr.
    VultrSd "vultr.SDConfig" "vultr.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The port of targets.
        port: isize = "port" keep,
    }
}

impl Section for VultrSd {
    fn defaults() -> Self {
        VultrSd { http: HttpClient::defaults(), refresh_interval: Millis(MINUTE), port: 80 }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        self.http.check()
    }
}

impl Entry for VultrSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Vultr(Box::new(VultrOptions {
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
