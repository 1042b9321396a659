//! `linode_sd_configs`.

use std::time::Duration;

use discovery::{LinodeOptions, ProviderOptions};

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Instances of Linode.
    LinodeSd "linode.SDConfig" "linode.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The port of targets.
        port: isize = "port" keep,
        /// What stands between the items of lists in labels.
        tag_separator: String = "tag_separator",
        /// The region; all if empty.
        region: String = "region",
    }
}

impl Section for LinodeSd {
    fn defaults() -> Self {
        LinodeSd {
            http: HttpClient::defaults(),
            refresh_interval: Millis(MINUTE),
            port: 80,
            tag_separator: ",".into(),
            ..LinodeSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        self.http.check()
    }
}

impl Entry for LinodeSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Linode(Box::new(LinodeOptions {
            region: self.region.clone(),
            tag_separator: self.tag_separator.clone(),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
