//! Keys, and the chain of places that they are looked for in: the one of the AWS SDKs.

use std::time::SystemTime;

use httpclient::{Client, Secret};
use jiff::Timestamp;
use serde::Deserialize;

use super::account::AccountOptions;
use super::profile::{Profile, Profiles};
use super::sts::{Role, Sts};
use super::{container, metadata};
use crate::environment::Environment;
use crate::error::{Error, while_doing};

/// Profiles that may lead to each other.
const LONGEST_CHAIN: usize = 10;

/// What requests are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub key_id: String,
    /// The secret access key.
    pub secret: Secret,
    /// Sent along with temporary keys.
    pub session_token: Option<Secret>,
    /// Until when temporary keys are good.
    pub expires: Option<SystemTime>,
}

impl Keys {
    /// Keys that last.
    #[must_use]
    pub fn lasting(key_id: &str, secret: Secret) -> Self {
        Keys { key_id: key_id.to_owned(), secret, session_token: None, expires: None }
    }
}

/// Keys as the metadata service, container agents and STS spell them.
#[derive(Deserialize)]
pub(crate) struct Document {
    #[serde(rename = "Code", default)]
    code: Option<String>,
    #[serde(rename = "Message", default)]
    message: Option<String>,
    #[serde(rename = "AccessKeyId", default)]
    key_id: String,
    #[serde(rename = "SecretAccessKey", default)]
    secret: String,
    #[serde(rename = "Token", alias = "SessionToken", default)]
    token: Option<String>,
    #[serde(rename = "Expiration", default)]
    expiration: Option<String>,
}

impl Document {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json).map_err(while_doing("answer"))
    }

    pub(crate) fn keys(self) -> Result<Keys, Error> {
        if let Some(code) = self.code.as_deref().filter(|code| !code.eq_ignore_ascii_case("success")) {
            return Err(Error(format!("api error {code}: {}", self.message.unwrap_or_default())));
        }
        if self.key_id.is_empty() || self.secret.is_empty() {
            return Err(Error::new("the answer has no keys"));
        }
        let expires = match self.expiration.as_deref() {
            Some(text) if !text.is_empty() => {
                Some(text.parse::<Timestamp>().map_err(while_doing("Expiration"))?.into())
            }
            _ => None,
        };
        Ok(Keys {
            key_id: self.key_id,
            secret: self.secret.into(),
            session_token: self.token.filter(|token| !token.is_empty()).map(Secret::from),
            expires,
        })
    }
}

/// Looks for keys.
pub(crate) struct Search<'a> {
    pub(crate) options: &'a AccountOptions,
    pub(crate) environment: &'a Environment,
    pub(crate) client: &'a Client,
    pub(crate) region: &'a str,
    pub(crate) now: SystemTime,
}

impl Search<'_> {
    /// The keys to sign with, of the wanted role if there is one.
    pub(crate) async fn keys(&self) -> Result<Keys, Error> {
        let own = self.own_keys().await?;
        if self.options.role_arn.is_empty() {
            return Ok(own);
        }
        let external_id = Some(self.options.external_id.as_str()).filter(|id| !id.is_empty());
        let role = Role { arn: &self.options.role_arn, external_id, ..Role::default() };
        self.sts().assume_role(role, &own).await
    }

    fn sts(&self) -> Sts<'_> {
        Sts {
            client: self.client,
            environment: self.environment,
            region: self.region,
            fips: self.options.fips_sts,
            now: self.now,
        }
    }

    async fn own_keys(&self) -> Result<Keys, Error> {
        let options = self.options;
        if !options.access_key.is_empty() && !options.secret_key.is_empty() {
            return Ok(Keys::lasting(&options.access_key, options.secret_key.clone()));
        }
        if options.profile.is_empty() {
            if let Some(keys) = keys_of_environment(self.environment) {
                return Ok(keys);
            }
            if let Some(token_file) = self.environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") {
                let arn = self.environment.get("AWS_ROLE_ARN").unwrap_or_default();
                let session_name = self.environment.get("AWS_ROLE_SESSION_NAME");
                let role = Role { arn, session_name, ..Role::default() };
                return self.web_identity(role, token_file).await;
            }
        }
        let profiles = Profiles::read(self.environment).await?;
        let (name, explicit) = profile_name(options, self.environment);
        match profiles.get(name) {
            Some(profile) => Box::pin(self.keys_of_profile(name, profile, &profiles, 0)).await,
            None if explicit => Err(Error(format!("failed to get shared config profile, {name}"))),
            None => self.keys_of_machine().await,
        }
    }

    async fn web_identity(&self, role: Role<'_>, token_file: &str) -> Result<Keys, Error> {
        if role.arn.is_empty() {
            return Err(Error::new("role ARN is not set"));
        }
        self.sts().assume_role_with_web_identity(role, token_file).await
    }

    async fn keys_of_profile(
        &self,
        name: &str,
        profile: &Profile,
        profiles: &Profiles,
        depth: usize,
    ) -> Result<Keys, Error> {
        let get = |key: &str| profile.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let role = Role::of_profile(profile);
        let source = get("source_profile").filter(|source| role.is_some() && *source != name);
        let own = if let Some(source) = source {
            if depth == LONGEST_CHAIN {
                return Err(Error(format!("profile {name}: source_profile goes round in circles")));
            }
            let next = profiles.get(source);
            let next = next.ok_or_else(|| {
                Error(format!("failed to load assume role for {name}, of profile {source}"))
            })?;
            Box::pin(self.keys_of_profile(source, next, profiles, depth + 1)).await?
        } else if let (Some(key_id), Some(secret)) = (get("aws_access_key_id"), get("aws_secret_access_key"))
        {
            let session_token = get("aws_session_token").map(Secret::from);
            Keys { session_token, ..Keys::lasting(key_id, secret.into()) }
        } else if let Some(source) = get("credential_source") {
            self.keys_of_source(source).await?
        } else if let Some(token_file) = get("web_identity_token_file") {
            return self.web_identity(role.unwrap_or_default(), token_file).await;
        } else if get("sso_session").or(get("sso_start_url")).is_some() || get("credential_process").is_some()
        {
            return Err(Error(format!("profile {name}: keys of SSO or of a process are not supported")));
        } else {
            self.keys_of_machine().await?
        };
        match role {
            Some(role) => self.sts().assume_role(role, &own).await,
            None => Ok(own),
        }
    }

    async fn keys_of_source(&self, source: &str) -> Result<Keys, Error> {
        match source {
            "Ec2InstanceMetadata" => metadata::keys(self.client, self.environment).await,
            "Environment" => keys_of_environment(self.environment)
                .ok_or_else(|| Error::new("credential_source is Environment, and no keys are there")),
            "EcsContainer" => match container::address(self.environment) {
                Some(address) => container::keys(self.client, &address?, self.environment).await,
                None => Err(Error::new(
                    "EcsContainer was specified as the credential_source, but neither 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI' or AWS_CONTAINER_CREDENTIALS_FULL_URI' was set",
                )),
            },
            _ => Err(Error::new(
                "credential_source values must be EcsContainer, Ec2InstanceMetadata, or Environment",
            )),
        }
    }

    /// Keys of what we run in: a container with an address for them, or an instance.
    async fn keys_of_machine(&self) -> Result<Keys, Error> {
        match container::address(self.environment) {
            Some(address) => container::keys(self.client, &address?, self.environment).await,
            None => metadata::keys(self.client, self.environment).await,
        }
    }
}

/// The profile that counts, and whether somebody asked for it.
pub(crate) fn profile_name<'a>(options: &'a AccountOptions, environment: &'a Environment) -> (&'a str, bool) {
    let asked = Some(options.profile.as_str()).filter(|name| !name.is_empty());
    let asked = asked.or_else(|| environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]));
    (asked.unwrap_or("default"), asked.is_some())
}

fn keys_of_environment(environment: &Environment) -> Option<Keys> {
    let key_id = environment.first(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?;
    let secret = environment.first(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?;
    let session_token = environment.get("AWS_SESSION_TOKEN").map(Secret::from);
    Some(Keys { session_token, ..Keys::lasting(key_id, secret.into()) })
}
