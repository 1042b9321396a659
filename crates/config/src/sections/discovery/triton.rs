//! `triton_sd_configs`.

use discovery::{ProviderOptions, TritonOptions};

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;
use crate::sections::TlsConfig;

section! {
    /// Containers and compute nodes of Triton.
    TritonSd "triton.SDConfig" "triton.plain" {
        /// The account.
        account: String = "account" keep,
        /// `container` or `cn`.
        role: String = "role" keep,
        /// The domain of targets.
        dns_suffix: String = "dns_suffix" keep,
        /// The host of the container monitor.
        endpoint: String = "endpoint" keep,
        /// Which groups of containers; all if none.
        groups: Vec<String> = "groups",
        /// The port of the container monitor and of targets.
        port: isize = "port" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// TLS of the container monitor.
        tls_config: TlsConfig = "tls_config",
        /// The version of the API.
        version: isize = "version" keep,
    }
}

impl Section for TritonSd {
    fn defaults() -> Self {
        TritonSd {
            role: "container".into(),
            port: 9163,
            refresh_interval: Millis(MINUTE),
            version: 1,
            ..TritonSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.role != "container" && self.role != "cn" {
            return invalid_at("role", "triton SD configuration requires role to be 'container' or 'cn'");
        }
        if self.account.is_empty() {
            return invalid("triton SD configuration requires an account");
        }
        if self.dns_suffix.is_empty() {
            return invalid("triton SD configuration requires a dns_suffix");
        }
        if self.endpoint.is_empty() {
            return invalid("triton SD configuration requires an endpoint");
        }
        if self.refresh_interval.0 <= 0 {
            let line = "triton SD configuration requires RefreshInterval to be a positive integer";
            return invalid_at("refresh_interval", line);
        }
        Ok(())
    }
}

impl Entry for TritonSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Triton(Box::new(TritonOptions {
            endpoint: self.endpoint.clone(),
            port: self.port as i64,
            version: self.version as i64,
            compute_nodes: self.role == "cn",
            dns_suffix: self.dns_suffix.clone(),
            groups: self.groups.clone(),
            refresh_interval: self.refresh_interval.into(),
            tls: self.tls_config.to_options(),
        })))
    }
}
