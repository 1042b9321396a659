//! `outscale_sd_configs`.

use std::time::Duration;

use discovery::{OutscaleOptions, ProviderOptions};

use super::scaleway::{check_secret, secret_or_file};
use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, section};
use crate::kinds::{FilePath, Millis, Secret};
use crate::sections::HttpClient;

section! {
    /// Virtual machines of OUTSCALE.
    OutscaleSd "outscale.SDConfig" "outscale.plain" {
        /// Another URL than the region's.
        endpoint: String = "endpoint",
        /// The region.
        region: String = "region" keep,
        /// The access key.
        access_key: String = "access_key" keep,
        /// Its secret.
        secret_key: Secret = "secret_key" keep,
        /// A file that holds its secret.
        secret_key_file: FilePath = "secret_key_file" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// The port of targets.
        port: isize = "port" keep,
        /// How it is reached.
        http: HttpClient = inline,
    }
}

impl Section for OutscaleSd {
    fn defaults() -> Self {
        OutscaleSd {
            port: 80,
            refresh_interval: Millis(MINUTE),
            http: HttpClient::defaults(),
            region: "eu-west-2".into(),
            ..OutscaleSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.region.is_empty() {
            return invalid("outscale SD configuration requires a region");
        }
        if self.access_key.is_empty() {
            return invalid("outscale SD configuration requires access_key");
        }
        check_secret(&self.secret_key, &self.secret_key_file)?;
        if self.endpoint.is_empty() {
            self.endpoint = format!("https://api.{}.outscale.com/api/v1", self.region);
        }
        self.http.check()
    }
}

impl Entry for OutscaleSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Outscale(Box::new(OutscaleOptions {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            access_key: self.access_key.clone(),
            secret_key: secret_or_file(&self.secret_key, &self.secret_key_file),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
