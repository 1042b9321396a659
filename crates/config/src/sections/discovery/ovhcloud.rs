//! `ovhcloud_sd_configs`.

use std::time::Duration;

use cloudauth::OvhKeys;
use discovery::{OvhCloudOptions, OvhCloudService, ProviderOptions};

use super::{Entry, MINUTE, of_environment};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{Millis, Secret};

section! {
    /// Servers of OVHcloud.
    OvhCloudSd "ovhcloud.SDConfig" "ovhcloud.plain" {
        /// The API's name, or its URL.
        endpoint: String = "endpoint" keep,
        /// The application's name.
        application_key: String = "application_key" keep,
        /// The application's secret.
        application_secret: Secret = "application_secret" keep,
        /// The customer's consent.
        consumer_key: Secret = "consumer_key" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// What becomes a target.
        service: String = "service" keep,
    }
}

impl Section for OvhCloudSd {
    fn defaults() -> Self {
        OvhCloudSd { endpoint: "ovh-eu".into(), refresh_interval: Millis(MINUTE), ..OvhCloudSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        let required = [
            (&self.endpoint, "endpoint"),
            (&self.application_key, "application key"),
            (&self.application_secret.0, "application secret"),
            (&self.consumer_key.0, "consumer key"),
        ];
        if let Some((_, what)) = required.into_iter().find(|(value, _)| value.is_empty()) {
            return invalid(format!("{what} can not be empty"));
        }
        if self.to_service().is_none() {
            return invalid_at("service", format!("unknown service: {}", self.service))
                .map_err(|err| err.help("one of: vps, dedicated_server"));
        }
        Ok(())
    }
}

impl OvhCloudSd {
    fn to_service(&self) -> Option<OvhCloudService> {
        match self.service.as_str() {
            "vps" => Some(OvhCloudService::Vps),
            "dedicated_server" => Some(OvhCloudService::DedicatedServer),
            _ => None,
        }
    }
}

impl Entry for OvhCloudSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::OvhCloud(Box::new(OvhCloudOptions {
            service: self.to_service()?,
            endpoint: self.endpoint.clone(),
            keys: OvhKeys {
                application_key: self.application_key.clone(),
                application_secret: httpclient::Secret::new(self.application_secret.0.as_str()),
                consumer_key: httpclient::Secret::new(self.consumer_key.0.as_str()),
            },
            refresh_interval: Duration::from(self.refresh_interval),
            client: of_environment().to_options(),
        })))
    }
}
