//! `consul_sd_configs`.

use std::collections::BTreeMap;

use discovery::{ConsulOptions, ProviderOptions};

use super::{Entry, SECOND};
use crate::decode::{Field, Invalid, Section, invalid_at, section};
use crate::kinds::{Millis, Secret};
use crate::sections::{BasicAuth, HttpClient};

section! {
    /// Consul's catalogue.
    ConsulSd "consul.SDConfig" "consul.plain" {
        /// The agent's address.
        server: String = "server",
        /// A path before the API's.
        path_prefix: String = "path_prefix",
        /// The ACL token.
        token: Secret = "token",
        /// The data centre.
        datacenter: String = "datacenter",
        /// The namespace.
        namespace: String = "namespace",
        /// The admin partition.
        partition: String = "partition",
        /// What stands between the tags in their label.
        tag_separator: String = "tag_separator",
        /// `http` or `https`.
        scheme: String = "scheme",
        /// Old spelling of `basic_auth.username`.
        username: String = "username",
        /// Old spelling of `basic_auth.password`.
        password: Secret = "password",
        /// Take answers that may be old.
        allow_stale: bool = "allow_stale" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// Which services; all if none.
        services: Vec<String> = "services",
        /// Tags that a service must have.
        tags: Vec<String> = "tags",
        /// Metadata that a node must have.
        node_meta: BTreeMap<String, String> = "node_meta",
        /// A filter of the catalogue.
        filter: String = "filter",
        /// A filter of the health endpoint.
        health_filter: String = "health_filter",
        /// How it is reached.
        http: HttpClient = inline,
    }
}

impl Section for ConsulSd {
    fn defaults() -> Self {
        ConsulSd {
            tag_separator: ",".into(),
            scheme: "http".into(),
            server: "localhost:8500".into(),
            allow_stale: true,
            refresh_interval: Millis(30 * SECOND),
            http: HttpClient::defaults(),
            ..ConsulSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.server.trim().is_empty() {
            return invalid_at("server", "consul SD configuration requires a server address");
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            if self.http.basic_auth.is_some() {
                return invalid_at(
                    "basic_auth",
                    "at most one of consul SD configuration username and password and basic auth can be configured",
                );
            }
            self.http.basic_auth = Some(BasicAuth {
                username: self.username.clone(),
                password: self.password.clone(),
                ..BasicAuth::default()
            });
        }
        if !self.token.is_empty() && (self.http.authorization.is_some() || self.http.oauth2.is_some()) {
            return invalid_at(
                "token",
                "at most one of consul SD token, authorization, or oauth2 can be configured",
            );
        }
        self.http.check()
    }
}

impl Entry for ConsulSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Consul(Box::new(ConsulOptions {
            server: self.server.clone(),
            scheme: if self.scheme.is_empty() { "http".into() } else { self.scheme.clone() },
            path_prefix: self.path_prefix.clone(),
            token: (!self.token.is_empty()).then(|| self.token.to_option()),
            datacenter: self.datacenter.clone(),
            namespace: self.namespace.clone(),
            partition: self.partition.clone(),
            tag_separator: self.tag_separator.clone(),
            allow_stale: self.allow_stale,
            refresh_interval: self.refresh_interval.into(),
            services: self.services.clone(),
            tags: self.tags.clone(),
            node_meta: self.node_meta.clone(),
            filter: self.filter.clone(),
            health_filter: self.health_filter.clone(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
