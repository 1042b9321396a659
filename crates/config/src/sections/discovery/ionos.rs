//! `ionos_sd_configs`.

use std::time::Duration;

use discovery::{IonosOptions, ProviderOptions};

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Servers of IONOS Cloud.
    IonosSd "ionos.SDConfig" "ionos.plain" {
        /// The data centre.
        datacenter_id: String = "datacenter_id" keep,
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The port of targets.
        port: isize = "port" keep,
    }
}

impl Section for IonosSd {
    fn defaults() -> Self {
        IonosSd {
            http: HttpClient::defaults(),
            refresh_interval: Millis(MINUTE),
            port: 80,
            ..IonosSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.datacenter_id.is_empty() {
            return invalid("datacenter id can't be empty");
        }
        self.http.check()
    }
}

impl Entry for IonosSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Ionos(Box::new(IonosOptions {
            datacenter_id: self.datacenter_id.clone(),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
