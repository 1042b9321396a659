//! `oci_sd_configs`.

use std::path::PathBuf;
use std::time::Duration;

use discovery::{OciOptions, ProviderOptions};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{FilePath, Millis, Secret};
use crate::sections::HttpClient;

section! {
    /// Compute instances of Oracle Cloud.
    OciSd "oci.SDConfig" "oci.plain" {
        /// `api_key` or `instance_principal`.
        auth: String = "auth",
        /// The tenancy.
        tenancy: String = "tenancy",
        /// The user.
        user: String = "user",
        /// The key's fingerprint.
        fingerprint: String = "fingerprint",
        /// The key in PEM.
        key_file: FilePath = "key_file",
        /// What the key is encrypted with.
        key_passphrase: Secret = "key_passphrase",
        /// A file that holds what the key is encrypted with.
        key_passphrase_file: FilePath = "key_passphrase_file",
        /// The region.
        region: String = "region" keep,
        /// Which compartments; all if none.
        compartments: Vec<String> = "compartments",
        /// How it is reached.
        http: HttpClient = inline,
        /// The port of targets.
        port: isize = "port" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
    }
}

impl Section for OciSd {
    fn defaults() -> Self {
        OciSd {
            port: 80,
            refresh_interval: Millis(MINUTE),
            auth: "api_key".into(),
            http: HttpClient::defaults(),
            ..OciSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.region.is_empty() {
            return invalid("oci_sd: region is required");
        }
        self.check_auth()?;
        if let Some(i) = self.compartments.iter().position(String::is_empty) {
            return invalid_at("compartments", format!("oci_sd: compartments[{i}] must not be empty"));
        }
        if self.refresh_interval.0 <= 0 {
            let interval = model::duration::format(self.refresh_interval.0);
            let line = format!("oci_sd: refresh_interval must be positive, got {interval}");
            return invalid_at("refresh_interval", line);
        }
        self.http.check()
    }
}

impl OciSd {
    fn check_auth(&self) -> Result<(), Invalid> {
        let of_key = [
            (&self.tenancy, "tenancy"),
            (&self.user, "user"),
            (&self.fingerprint, "fingerprint"),
            (&self.key_file.0, "key_file"),
        ];
        let passphrases = [&self.key_passphrase.0, &self.key_passphrase_file.0];
        match self.auth.as_str() {
            "api_key" => {
                if let Some((_, key)) = of_key.into_iter().find(|(value, _)| value.is_empty()) {
                    return invalid(format!("oci_sd: api_key auth requires {key}"));
                }
                if passphrases.iter().all(|text| !text.is_empty()) {
                    return invalid(
                        "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured",
                    );
                }
                Ok(())
            }
            "instance_principal" => {
                let written = of_key.into_iter().map(|(value, _)| value).chain(passphrases);
                if written.into_iter().any(|text| !text.is_empty()) {
                    return invalid(
                        "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set",
                    );
                }
                Ok(())
            }
            other => invalid_at(
                "auth",
                format!(
                    "oci_sd: unknown auth method {}, expected \"api_key\" or \"instance_principal\"",
                    quote(other)
                ),
            ),
        }
    }
}

impl Entry for OciSd {
    /// Nothing for keys that are encrypted, and for what a machine may do by itself.
    fn provider(&self) -> Option<ProviderOptions> {
        let plain = self.key_passphrase.is_unset() && self.key_passphrase_file.is_unset();
        if self.auth != "api_key" || !plain {
            return None;
        }
        Some(ProviderOptions::Oci(Box::new(OciOptions {
            tenancy: self.tenancy.clone(),
            user: self.user.clone(),
            fingerprint: self.fingerprint.clone(),
            key_file: PathBuf::from(&self.key_file.0),
            region: self.region.clone(),
            compartments: self.compartments.clone(),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
