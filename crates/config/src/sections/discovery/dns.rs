//! `dns_sd_configs`.

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
        match self.kind.to_uppercase().as_str() {
            "SRV" => Ok(()),
            "A" | "AAAA" | "MX" | "NS" if self.port == 0 => {
                invalid_at("type", "a port is required in DNS-SD configs for all record types except SRV")
            }
            "A" | "AAAA" | "MX" | "NS" => Ok(()),
            _ => invalid_at("type", format!("invalid DNS-SD records type {}", self.kind))
                .map_err(|err| err.help("one of: SRV, A, AAAA, MX, NS")),
        }
    }
}

impl Entry for DnsSd {}
