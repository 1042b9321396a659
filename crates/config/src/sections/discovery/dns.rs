//! `dns_sd_configs`.

use std::path::PathBuf;

use discovery::{DnsOptions, DnsRecordType, ProviderOptions};

use super::{Entry, SECOND};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;

section! {
    /// Names in DNS.
    DnsSd "dns.SDConfig" "dns.plain" {
        /// The names.
        names: Vec<String> = "names" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// `SRV`, `A`, `AAAA`, `MX`, `NS`.
        kind: String = "type" keep,
        /// The port, which only SRV records bring along.
        port: isize = "port" keep,
    }
}

impl Section for DnsSd {
    fn defaults() -> Self {
        DnsSd { refresh_interval: Millis(30 * SECOND), kind: "SRV".into(), ..DnsSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.names.is_empty() {
            return invalid("DNS-SD config must contain at least one SRV record name");
        }
        match self.records() {
            Some(DnsRecordType::Srv) => Ok(()),
            Some(_) if self.port == 0 => {
                invalid_at("type", "a port is required in DNS-SD configs for all record types except SRV")
            }
            Some(_) => Ok(()),
            None => invalid_at("type", format!("invalid DNS-SD records type {}", self.kind))
                .map_err(|err| err.help("one of: SRV, A, AAAA, MX, NS")),
        }
    }
}

impl DnsSd {
    fn records(&self) -> Option<DnsRecordType> {
        match self.kind.to_uppercase().as_str() {
            "SRV" => Some(DnsRecordType::Srv),
            "A" => Some(DnsRecordType::A),
            "AAAA" => Some(DnsRecordType::Aaaa),
            "MX" => Some(DnsRecordType::Mx),
            "NS" => Some(DnsRecordType::Ns),
            _ => None,
        }
    }
}

impl Entry for DnsSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Dns(Box::new(DnsOptions {
            names: self.names.clone(),
            records: self.records()?,
            port: self.port as i64,
            refresh_interval: self.refresh_interval.into(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            server_port: 53,
        })))
    }
}
