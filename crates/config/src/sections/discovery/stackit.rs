//! `stackit_sd_configs`.

use std::path::PathBuf;
use std::time::Duration;

use cloudauth::{Environment, TextOrFile};
use discovery::{ProviderOptions, StackitOptions};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{Millis, Secret, check_url};
use crate::sections::HttpClient;

section! {
    /// Servers of STACKIT.
    StackitSd "stackit.SDConfig" "stackit.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// The project.
        project: String = "project" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// The port of targets.
        port: isize = "port",
        /// The region.
        region: String = "region",
        /// Another URL than the region's.
        endpoint: String = "endpoint",
        /// The key of a service account as JSON.
        service_account_key: Secret = "service_account_key",
        /// Its private key.
        private_key: Secret = "private_key",
        /// A file that holds the key of a service account.
        service_account_key_path: String = "service_account_key_path",
        /// A file that holds its private key.
        private_key_path: String = "private_key_path",
        /// A file that names others.
        credentials_file_path: String = "credentials_file_path",
    }
}

impl Section for StackitSd {
    fn defaults() -> Self {
        StackitSd {
            region: "eu01".into(),
            port: 80,
            refresh_interval: Millis(MINUTE),
            http: HttpClient::defaults(),
            ..StackitSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.endpoint.is_empty() && self.region.is_empty() {
            return invalid("stackit_sd: endpoint and region missing");
        }
        if let Err(reason) = check_url(&self.endpoint) {
            let endpoint = quote(&self.endpoint);
            let line = format!("stackit_sd: invalid endpoint {endpoint}: parse {endpoint}: {reason}");
            return invalid_at("endpoint", line);
        }
        self.http.check()
    }
}

fn text_or_file(text: &Secret, path: &str) -> Option<TextOrFile> {
    if !text.0.is_empty() {
        return Some(TextOrFile::Text(httpclient::Secret::new(text.0.as_str())));
    }
    (!path.is_empty()).then(|| TextOrFile::File(PathBuf::from(path)))
}

impl Entry for StackitSd {
    fn provider(&self) -> Option<ProviderOptions> {
        let of_region = || format!("https://iaas.api.{}.stackit.cloud", self.region);
        Some(ProviderOptions::Stackit(Box::new(StackitOptions {
            project: self.project.clone(),
            endpoint: if self.endpoint.is_empty() { of_region() } else { self.endpoint.clone() },
            service_account_key: text_or_file(&self.service_account_key, &self.service_account_key_path),
            private_key: text_or_file(&self.private_key, &self.private_key_path),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
            environment: Environment::of_process(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
