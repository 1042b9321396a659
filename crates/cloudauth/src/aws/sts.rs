//! The Security Token Service: another role's keys for ours, or for a token of a Kubernetes service account.

use std::time::SystemTime;

use httpclient::{Bytes, Client, HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;

use super::credentials::{Document, Keys};
use super::endpoint::{self, STS};
use super::sigv4::Scope;
use super::{account, profile::Profile};
use crate::environment::Environment;
use crate::error::{Error, while_doing};

const VERSION: &str = "2011-06-15";

/// How STS is reached.
pub(crate) struct Sts<'a> {
    pub(crate) client: &'a Client,
    pub(crate) environment: &'a Environment,
    pub(crate) region: &'a str,
    pub(crate) fips: bool,
    pub(crate) now: SystemTime,
}

/// The role that is wanted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Role<'a> {
    pub(crate) arn: &'a str,
    pub(crate) session_name: Option<&'a str>,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) seconds: Option<u32>,
}

impl<'a> Role<'a> {
    pub(crate) fn of_profile(profile: &'a Profile) -> Option<Self> {
        let get = |key: &str| profile.get(key).map(String::as_str).filter(|value| !value.is_empty());
        Some(Role {
            arn: get("role_arn")?,
            session_name: get("role_session_name"),
            external_id: get("external_id"),
            seconds: get("duration_seconds").and_then(|n| n.parse().ok()).filter(|n| *n > 900),
        })
    }
}

impl Sts<'_> {
    pub(crate) async fn assume_role(&self, role: Role<'_>, keys: &Keys) -> Result<Keys, Error> {
        let session = self.session_name(role);
        let seconds = role.seconds.unwrap_or(900).to_string();
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("Version", VERSION),
            ("RoleArn", role.arn),
            ("RoleSessionName", &session),
            ("DurationSeconds", &seconds),
        ];
        form.extend(role.external_id.map(|id| ("ExternalId", id)));
        self.ask(&form, Some(keys)).await.map_err(while_doing("AssumeRole"))
    }

    pub(crate) async fn assume_role_with_web_identity(
        &self,
        role: Role<'_>,
        token_file: &str,
    ) -> Result<Keys, Error> {
        let token = tokio::fs::read_to_string(token_file).await;
        let token = token.map_err(|err| {
            Error(format!("failed to retrieve jwt from provide source, {token_file}: {err}"))
        })?;
        let session = self.session_name(role);
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", VERSION),
            ("RoleArn", role.arn),
            ("RoleSessionName", &session),
            ("WebIdentityToken", token.trim()),
        ];
        self.ask(&form, None).await.map_err(while_doing("AssumeRoleWithWebIdentity"))
    }

    fn session_name(&self, role: Role<'_>) -> String {
        let since = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        role.session_name.map_or_else(|| format!("binnacle-{}", since.as_nanos()), str::to_owned)
    }

    async fn ask(&self, form: &[(&str, &str)], keys: Option<&Keys>) -> Result<Keys, Error> {
        let url = endpoint::url(STS, self.region, self.fips, self.environment);
        let content: Bytes =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into();
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
        );
        let scope = Scope { region: self.region, service: STS.signing, now: self.now };
        let signature = keys.map(|keys| (keys, scope));
        let request = account::Outgoing { method: Method::POST, url: &url, headers, content };
        let answer = account::send(self.client, request, signature).await?;
        if answer.status != 200 {
            return Err(answer.into_error());
        }
        keys_of(&answer.body)
    }
}

/// Reads the answer of either action.
pub(super) fn keys_of(body: &[u8]) -> Result<Keys, Error> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
        result: Outcome,
    }
    #[derive(Deserialize)]
    struct Outcome {
        #[serde(rename = "Credentials")]
        credentials: Document,
    }
    let text = std::str::from_utf8(body).map_err(while_doing("answer"))?;
    let answer: Answer = quick_xml::de::from_str(text).map_err(while_doing("answer"))?;
    answer.result.credentials.keys()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_answers_and_nothing_else_breaks() {
        let answer = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>A:s</AssumedRoleId><Arn>arn:x</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s&amp;1</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2030-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"#;
        let keys = keys_of(answer.as_bytes()).unwrap();
        assert_eq!((keys.key_id.as_str(), keys.secret.reveal()), ("ASIA1", "s&1"));
        assert_eq!(keys.session_token.unwrap().reveal(), "t");
        assert!(keys.expires.unwrap() > SystemTime::UNIX_EPOCH);
        for cut in 0..answer.len() {
            assert!(keys_of(&answer.as_bytes()[..cut]).is_err());
        }
    }
}
