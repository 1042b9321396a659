//! `azure_sd_configs`.

use std::time::Duration;

use cloudauth::{AzureIdentity, Environment};
use discovery::{AzureOptions, ProviderOptions};
use model::number::quote;

use super::{Entry, MINUTE, of_environment};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{Millis, Secret};
use crate::sections::HttpClient;

section! {
    /// Virtual machines of Azure.
    AzureSd "azure.SDConfig" "azure.plain" {
        /// The cloud's name.
        environment: String = "environment",
        /// The port of targets.
        port: isize = "port" keep,
        /// The subscription.
        subscription_id: String = "subscription_id" keep,
        /// The directory.
        tenant_id: String = "tenant_id",
        /// The application, or the machine's identity.
        client_id: String = "client_id",
        /// The application's secret.
        client_secret: Secret = "client_secret",
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// `OAuth`, `ManagedIdentity`, `SDK`, `WorkloadIdentity`.
        authentication_method: String = "authentication_method",
        /// The resource group; all if empty.
        resource_group: String = "resource_group",
        /// How it is reached.
        http: HttpClient = inline,
    }
}

impl Section for AzureSd {
    fn defaults() -> Self {
        AzureSd {
            port: 80,
            refresh_interval: Millis(5 * MINUTE),
            environment: "AzurePublicCloud".into(),
            authentication_method: "OAuth".into(),
            http: HttpClient::defaults(),
            ..AzureSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        let method = self.authentication_method.as_str();
        let by_secret = method == "OAuth";
        let required = [
            (true, &self.subscription_id, "subscription_id"),
            (by_secret, &self.tenant_id, "tenant_id"),
            (by_secret, &self.client_id, "client_id"),
            (by_secret, &self.client_secret.0, "client_secret"),
        ];
        if let Some((_, _, key)) = required.into_iter().find(|(wanted, value, _)| *wanted && value.is_empty())
        {
            return invalid(format!("azure SD configuration requires a {key}"));
        }
        if !["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"].contains(&method) {
            let line = format!(
                "unknown authentication_type {}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\"",
                quote(method)
            );
            return invalid_at("authentication_method", line);
        }
        self.http.check()
    }
}

impl AzureSd {
    fn identity(&self) -> AzureIdentity {
        match self.authentication_method.as_str() {
            "ManagedIdentity" => AzureIdentity::Managed { client_id: self.client_id.clone() },
            "WorkloadIdentity" => AzureIdentity::Workload {
                tenant_id: String::new(),
                client_id: String::new(),
                token_file: String::new(),
            },
            "SDK" => AzureIdentity::Chain { tenant_id: self.tenant_id.clone() },
            _ => AzureIdentity::ClientSecret {
                tenant_id: self.tenant_id.clone(),
                client_id: self.client_id.clone(),
                client_secret: httpclient::Secret::new(self.client_secret.0.as_str()),
            },
        }
    }
}

impl Entry for AzureSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Azure(Box::new(AzureOptions {
            environment_name: self.environment.clone(),
            identity: self.identity(),
            subscription_id: self.subscription_id.clone(),
            tenant_id: self.tenant_id.clone(),
            resource_group: self.resource_group.clone(),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
            token_client: of_environment().to_options(),
            environment: Environment::of_process(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
