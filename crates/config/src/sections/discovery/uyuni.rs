//! `uyuni_sd_configs`.

use discovery::{ProviderOptions, UyuniOptions};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Field, Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{Millis, Secret, check_url};
use crate::sections::HttpClient;

section! {
    /// Systems that Uyuni manages.
    UyuniSd "uyuni.SDConfig" "uyuni.plain" {
        /// The URL of the server.
        server: String = "server" keep,
        /// Who we are.
        username: String = "username" keep,
        /// Our password.
        password: Secret = "password" keep,
        /// How it is reached.
        http: HttpClient = inline,
        /// What systems must be entitled to.
        entitlement: String = "entitlement",
        /// What stands between the groups in their label.
        separator: String = "separator",
        /// How often.
        refresh_interval: Millis = "refresh_interval",
    }
}

impl Section for UyuniSd {
    fn defaults() -> Self {
        UyuniSd {
            http: HttpClient::defaults(),
            entitlement: "monitoring_entitled".into(),
            separator: ",".into(),
            refresh_interval: Millis(MINUTE),
            ..UyuniSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.server.is_empty() {
            return invalid("Uyuni SD configuration requires server host");
        }
        if let Err(reason) = check_url(&self.server) {
            let line = format!("Uyuni Server URL is not valid: parse {}: {reason}", quote(&self.server));
            return invalid_at("server", line);
        }
        if self.username.is_empty() {
            return invalid("Uyuni SD configuration requires a username");
        }
        if self.password.is_empty() {
            return invalid("Uyuni SD configuration requires a password");
        }
        self.http.check()
    }
}

impl Entry for UyuniSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Uyuni(Box::new(UyuniOptions {
            server: self.server.clone(),
            username: self.username.clone(),
            password: self.password.to_option(),
            entitlement: self.entitlement.clone(),
            separator: self.separator.clone(),
            refresh_interval: self.refresh_interval.into(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
