//! `scaleway_sd_configs`.

use std::path::PathBuf;
use std::time::Duration;

use discovery::{ProviderOptions, ScalewayOptions, ScalewayRole as Wanted, SecretOrFile};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{FilePath, Millis, Secret, Word, check_url, word};
use crate::sections::HttpClient;

section! {
    /// Servers of Scaleway.
    ScalewaySd "scaleway.SDConfig" "scaleway.plain" {
        /// The project.
        project_id: String = "project_id" keep,
        /// The API.
        api_url: String = "api_url",
        /// The zone.
        zone: String = "zone" keep,
        /// The access key.
        access_key: String = "access_key" keep,
        /// The secret key.
        secret_key: Secret = "secret_key" keep,
        /// A file that holds the secret key.
        secret_key_file: FilePath = "secret_key_file" keep,
        /// A name that servers must have.
        name_filter: String = "name_filter",
        /// Tags that servers must have.
        tags_filter: Vec<String> = "tags_filter",
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// The port of targets.
        port: isize = "port" keep,
        /// What becomes a target.
        role: ScalewayRole = "role" keep,
    }
}

/// What of Scaleway becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScalewayRole(Option<Wanted>);

impl Word for ScalewayRole {
    const GO_TYPE: &'static str = "scaleway.role";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(ScalewayRole(Some(match text {
            "instance" => Wanted::Instance,
            "baremetal" => Wanted::Baremetal,
            other => return Err(format!("unknown role {}", quote(other))),
        })))
    }

    fn word(self) -> &'static str {
        match self.0 {
            None => "",
            Some(Wanted::Instance) => "instance",
            Some(Wanted::Baremetal) => "baremetal",
        }
    }

    fn choices() -> &'static str {
        "instance, baremetal"
    }
}
word!(ScalewayRole);

/// Zones that are named when another one is not spelled like a zone.
const ZONES: &str =
    "fr-par-1, fr-par-2, fr-par-3, nl-ams-1, nl-ams-2, nl-ams-3, pl-waw-1, pl-waw-2, pl-waw-3";

impl Section for ScalewaySd {
    fn defaults() -> Self {
        ScalewaySd {
            port: 80,
            refresh_interval: Millis(MINUTE),
            http: HttpClient::defaults(),
            zone: "fr-par-1".into(),
            api_url: "https://api.scaleway.com".into(),
            ..ScalewaySd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.role.0.is_none() {
            return invalid("role missing (one of: instance, baremetal)");
        }
        if self.project_id.is_empty() {
            return invalid("project_id is mandatory");
        }
        check_secret(&self.secret_key, &self.secret_key_file)?;
        if self.access_key.is_empty() {
            return invalid("access_key is mandatory");
        }
        self.check_formats()?;
        self.http.check()
    }
}

/// Exactly one of both must be written.
pub(super) fn check_secret(secret: &Secret, file: &FilePath) -> Result<(), Invalid> {
    match (secret.is_unset(), file.is_unset()) {
        (true, true) => invalid("one of secret_key & secret_key_file must be configured"),
        (false, false) => invalid("at most one of secret_key & secret_key_file must be configured"),
        _ => Ok(()),
    }
}

pub(super) fn secret_or_file(secret: &Secret, file: &FilePath) -> SecretOrFile {
    if file.is_unset() {
        SecretOrFile::Secret(httpclient::Secret::new(secret.0.as_str()))
    } else {
        SecretOrFile::File(PathBuf::from(&file.0))
    }
}

impl ScalewaySd {
    /// What Scaleway's own client refuses.
    fn check_formats(&self) -> Result<(), Invalid> {
        let uuid = "expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
        if !is_access_key(&self.access_key) {
            let line = format!(
                "invalid access key format '{}', expected SCWXXXXXXXXXXXXXXXXX format",
                self.access_key
            );
            return invalid_at("access_key", line_of(&line));
        }
        if self.secret_key_file.is_unset() && !is_uuid(&self.secret_key.0) {
            // Prometheus shows the key here.
            return invalid_at(
                "secret_key",
                line_of(&format!("invalid secret key format '{}', {uuid}", self.secret_key.0)),
            );
        }
        if !is_uuid(&self.project_id) {
            let line = format!("invalid project ID format '{}', {uuid}", self.project_id);
            return invalid_at("project_id", line_of(&line));
        }
        if self.zone.is_empty() {
            return invalid_at("zone", line_of("default zone cannot be empty"));
        }
        if !is_zone(&self.zone) {
            let line = format!("invalid default zone format '{}', available zones are: {ZONES}", self.zone);
            return invalid_at("zone", line_of(&line));
        }
        if check_url(&self.api_url).is_err() {
            return invalid_at("api_url", line_of(&format!("invalid API url '{}'", self.api_url)));
        }
        if self.api_url.ends_with('/') {
            let line = format!("invalid API url '{}' it should not have a trailing slash", self.api_url);
            return invalid_at("api_url", line_of(&line));
        }
        Ok(())
    }
}

fn line_of(text: &str) -> String {
    format!("scaleway-sdk-go: {text}")
}

fn is_access_key(text: &str) -> bool {
    text.strip_prefix("SCW").is_some_and(|rest| {
        rest.len() == 17 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    })
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `fr-par-1`
fn is_zone(text: &str) -> bool {
    let lower = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase())
    };
    match text.split('-').collect::<Vec<_>>()[..] {
        [country, city, number] => {
            lower(country, 2..=2)
                && lower(city, 3..=7)
                && (1..=2).contains(&number.len())
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

impl Entry for ScalewaySd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Scaleway(Box::new(ScalewayOptions {
            role: self.role.0?,
            api_url: self.api_url.clone(),
            zone: self.zone.clone(),
            secret_key: secret_or_file(&self.secret_key, &self.secret_key_file),
            name_filter: self.name_filter.clone(),
            tags_filter: self.tags_filter.clone(),
            port: self.port as i64,
            refresh_interval: Duration::from(self.refresh_interval),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
