//! `marathon_sd_configs`.

use std::path::PathBuf;

use discovery::{MarathonOptions, MarathonToken, ProviderOptions};

use super::{Entry, SECOND};
use crate::decode::{Field, Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{FilePath, Millis, Secret};
use crate::sections::HttpClient;

section! {
    /// Tasks of Marathon's apps.
    MarathonSd "marathon.SDConfig" "marathon.plain" {
        /// URLs of servers.
        servers: Vec<String> = "servers",
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// The token of DC/OS.
        auth_token: Secret = "auth_token",
        /// A file that holds the token.
        auth_token_file: FilePath = "auth_token_file",
        /// How they are reached.
        http: HttpClient = inline,
    }
}

impl Section for MarathonSd {
    fn defaults() -> Self {
        MarathonSd {
            refresh_interval: Millis(30 * SECOND),
            http: HttpClient::defaults(),
            ..MarathonSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.servers.is_empty() {
            return invalid("marathon_sd: must contain at least one Marathon server");
        }
        let (token, file) = (!self.auth_token.is_empty(), !self.auth_token_file.is_unset());
        if token && file {
            return invalid_at(
                "auth_token",
                "marathon_sd: at most one of auth_token & auth_token_file must be configured",
            );
        }
        if token || file {
            if self.http.basic_auth.is_some() {
                return invalid_at(
                    "basic_auth",
                    "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured",
                );
            }
            if !self.http.bearer_token.is_empty() || !self.http.bearer_token_file.is_unset() {
                return invalid(
                    "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured",
                );
            }
            if self.http.authorization.is_some() {
                return invalid_at(
                    "authorization",
                    "marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured",
                );
            }
        }
        self.http.check()
    }
}

impl Entry for MarathonSd {
    fn provider(&self) -> Option<ProviderOptions> {
        let token = if self.auth_token_file.is_unset() {
            (!self.auth_token.is_empty()).then(|| MarathonToken::Inline(self.auth_token.to_option()))
        } else {
            Some(MarathonToken::File(PathBuf::from(&self.auth_token_file.0)))
        };
        Some(ProviderOptions::Marathon(Box::new(MarathonOptions {
            servers: self.servers.clone(),
            token,
            refresh_interval: self.refresh_interval.into(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
