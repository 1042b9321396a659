//! `openstack_sd_configs`.

use std::time::Duration;

use cloudauth::Environment;
use discovery::{OpenStackIdentity, OpenStackOptions, OpenStackRole as Wanted, ProviderOptions};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{Millis, Secret, Word, word};
use crate::sections::{HttpClient, TlsConfig};

section! {
    /// Hypervisors, instances and load balancers of OpenStack.
    OpenStackSd "openstack.SDConfig" "openstack.plain" {
        /// Where Keystone is; the environment knows if empty.
        identity_endpoint: String = "identity_endpoint" keep,
        /// The user's name.
        username: String = "username" keep,
        /// The user's id.
        userid: String = "userid" keep,
        /// The password.
        password: Secret = "password" keep,
        /// The project's name.
        project_name: String = "project_name" keep,
        /// The project's id.
        project_id: String = "project_id" keep,
        /// The domain's name.
        domain_name: String = "domain_name" keep,
        /// The domain's id.
        domain_id: String = "domain_id" keep,
        /// The application credential's name.
        application_credential_name: String = "application_credential_name" keep,
        /// The application credential's id.
        application_credential_id: String = "application_credential_id" keep,
        /// The application credential's secret.
        application_credential_secret: Secret = "application_credential_secret" keep,
        /// What becomes a target.
        role: OpenStackRole = "role" keep,
        /// The region.
        region: String = "region" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The port of targets.
        port: isize = "port" keep,
        /// Instances of all projects.
        all_tenants: bool = "all_tenants",
        /// TLS of `https` URLs.
        tls_config: TlsConfig = "tls_config",
        /// Which endpoints: `public`, `internal`, `admin`.
        availability: String = "availability",
    }
}

/// What of OpenStack becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenStackRole(Option<Wanted>);

impl Word for OpenStackRole {
    const GO_TYPE: &'static str = "openstack.Role";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(OpenStackRole(Some(match text {
            "hypervisor" => Wanted::Hypervisor,
            "instance" => Wanted::Instance,
            "loadbalancer" => Wanted::LoadBalancer,
            other => return Err(format!("unknown OpenStack SD role {}", quote(other))),
        })))
    }

    fn word(self) -> &'static str {
        match self.0 {
            None => "",
            Some(Wanted::Hypervisor) => "hypervisor",
            Some(Wanted::Instance) => "instance",
            Some(Wanted::LoadBalancer) => "loadbalancer",
        }
    }

    fn choices() -> &'static str {
        "hypervisor, instance, loadbalancer"
    }
}
word!(OpenStackRole);

impl Section for OpenStackSd {
    fn defaults() -> Self {
        OpenStackSd {
            port: 80,
            refresh_interval: Millis(MINUTE),
            availability: "public".into(),
            ..OpenStackSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if !["public", "internal", "admin"].contains(&self.availability.as_str()) {
            let line = format!(
                "unknown availability {}, must be one of admin, internal or public",
                self.availability
            );
            return invalid_at("availability", line);
        }
        if self.role.0.is_none() {
            return invalid("role missing (one of: instance, hypervisor, loadbalancer)");
        }
        if self.region.is_empty() {
            return invalid("openstack SD configuration requires a region");
        }
        Ok(())
    }
}

impl OpenStackSd {
    fn identity(&self) -> OpenStackIdentity {
        let secret = |secret: &Secret| httpclient::Secret::new(secret.0.as_str());
        OpenStackIdentity {
            endpoint: self.identity_endpoint.clone(),
            username: self.username.clone(),
            user_id: self.userid.clone(),
            password: secret(&self.password),
            project_name: self.project_name.clone(),
            project_id: self.project_id.clone(),
            domain_name: self.domain_name.clone(),
            domain_id: self.domain_id.clone(),
            credential_name: self.application_credential_name.clone(),
            credential_id: self.application_credential_id.clone(),
            credential_secret: secret(&self.application_credential_secret),
        }
    }
}

impl Entry for OpenStackSd {
    fn provider(&self) -> Option<ProviderOptions> {
        let http = HttpClient { tls_config: self.tls_config.clone(), ..HttpClient::defaults() };
        Some(ProviderOptions::OpenStack(Box::new(OpenStackOptions {
            role: self.role.0?,
            identity: self.identity(),
            region: self.region.clone(),
            availability: self.availability.clone(),
            all_tenants: self.all_tenants,
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: http.to_options(),
            environment: Environment::of_process(),
        })))
    }
}
