//! Keystone, version 3: a token, and where the services of a region are.

use cloudauth::Environment;
use httpclient::{Secret, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpenStackOptions;
use crate::cloud::api::{Api, Ask};
use crate::json::{Many, Or};

/// Who asks: a user with a password, or an application credential.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenStackIdentity {
    /// Where Keystone is.
    pub endpoint: String,
    /// The user's name; with a domain.
    pub username: String,
    /// The user's id.
    pub user_id: String,
    /// The password.
    pub password: Secret,
    /// The project's name.
    pub project_name: String,
    /// The project's id.
    pub project_id: String,
    /// The domain's name.
    pub domain_name: String,
    /// The domain's id.
    pub domain_id: String,
    /// The application credential's name; with a user.
    pub credential_name: String,
    /// The application credential's id.
    pub credential_id: String,
    /// The application credential's secret.
    pub credential_secret: Secret,
}

impl OpenStackIdentity {
    /// What the variables of OpenStack's own clients say.
    pub(super) fn from_environment(environment: &Environment) -> Result<Self, String> {
        let get = |name: &str| environment.get(name).unwrap_or_default().to_owned();
        let either = |name: &str, old: &str| {
            environment.get(name).or(environment.get(old)).unwrap_or_default().to_owned()
        };
        let identity = OpenStackIdentity {
            endpoint: get("OS_AUTH_URL"),
            username: get("OS_USERNAME"),
            user_id: get("OS_USERID"),
            password: get("OS_PASSWORD").into(),
            project_name: either("OS_PROJECT_NAME", "OS_TENANT_NAME"),
            project_id: either("OS_PROJECT_ID", "OS_TENANT_ID"),
            domain_name: get("OS_DOMAIN_NAME"),
            domain_id: get("OS_DOMAIN_ID"),
            credential_name: get("OS_APPLICATION_CREDENTIAL_NAME"),
            credential_id: get("OS_APPLICATION_CREDENTIAL_ID"),
            credential_secret: get("OS_APPLICATION_CREDENTIAL_SECRET").into(),
        };
        if identity.endpoint.is_empty() {
            return Err("Missing environment variable [OS_AUTH_URL]".to_owned());
        }
        Ok(identity)
    }

    /// What is sent to get a token.
    fn request(&self) -> Result<Value, String> {
        let mut auth = json!({ "identity": self.methods()? });
        if let Some(scope) = self.scope()? {
            auth["scope"] = scope;
        }
        Ok(json!({ "auth": auth }))
    }

    fn methods(&self) -> Result<Value, String> {
        let secret = self.credential_secret.reveal();
        if !self.password.is_empty() {
            let mut user = self.user()?;
            user["password"] = self.password.reveal().into();
            return Ok(json!({ "methods": ["password"], "password": { "user": user } }));
        }
        if self.credential_id.is_empty() && self.credential_name.is_empty() {
            return Err("You must provide a password to authenticate".to_owned());
        }
        if secret.is_empty() {
            return Err("You must provide an Application Credential Secret".to_owned());
        }
        let credential = if self.credential_id.is_empty() {
            json!({ "name": self.credential_name, "user": self.user()?, "secret": secret })
        } else {
            json!({ "id": self.credential_id, "secret": secret })
        };
        Ok(json!({ "methods": ["application_credential"], "application_credential": credential }))
    }

    /// The user: by id, or by name and domain.
    fn user(&self) -> Result<Value, String> {
        if !self.user_id.is_empty() {
            return Ok(json!({ "id": self.user_id }));
        }
        if self.username.is_empty() {
            return Err(
                "Exactly one of Username and UserID must be provided for password authentication".to_owned()
            );
        }
        let domain = self.domain();
        let domain = domain
            .ok_or("You must provide exactly one of DomainID or DomainName to authenticate by Username")?;
        Ok(json!({ "name": self.username, "domain": domain }))
    }

    fn domain(&self) -> Option<Value> {
        match (self.domain_id.as_str(), self.domain_name.as_str()) {
            ("", "") => None,
            ("", name) => Some(json!({ "name": name })),
            (id, _) => Some(json!({ "id": id })),
        }
    }

    /// The project that the token is for, if one is named.
    fn scope(&self) -> Result<Option<Value>, String> {
        if !self.project_id.is_empty() {
            return Ok(Some(json!({ "project": { "id": self.project_id } })));
        }
        if self.project_name.is_empty() {
            return Ok(None);
        }
        let domain = self.domain();
        let domain = domain
            .ok_or("You must provide exactly one of DomainID or DomainName in a Scope with ProjectName")?;
        Ok(Some(json!({ "project": { "name": self.project_name, "domain": domain } })))
    }
}

/// A token, and the catalogue that came with it.
pub(super) struct Session<'a> {
    pub(super) api: &'a Api,
    pub(super) token: Secret,
    catalog: Vec<Service>,
    region: &'a str,
    availability: &'a str,
}

impl<'a> Session<'a> {
    pub(super) async fn open(
        api: &'a Api,
        identity: &OpenStackIdentity,
        options: &'a OpenStackOptions,
    ) -> Result<Self, String> {
        let url = format!("{}auth/tokens", version_3(api, &identity.endpoint).await?);
        let url = Url::parse(&url).map_err(|err| format!("{url}: {err}"))?;
        let (head, answer): (_, Answer) = api.ask(Ask::post(url, identity.request()?.to_string())).await?;
        let token = head.header("x-subject-token");
        if token.is_empty() {
            return Err("the answer has no token".to_owned());
        }
        Ok(Session {
            api,
            token: token.into(),
            catalog: answer.token.0.catalog.0,
            region: &options.region,
            availability: &options.availability,
        })
    }

    /// Where a service of our region is, with a slash at the end.
    pub(super) fn endpoint(&self, kinds: &[&str]) -> Result<String, String> {
        let services = self.catalog.iter().filter(|service| kinds.contains(&service.kind.as_str()));
        let mut endpoints = services.flat_map(|service| &service.endpoints.0);
        let ours = endpoints.find(|endpoint| {
            *endpoint.interface == self.availability
                && (*endpoint.region == self.region || *endpoint.region_id == self.region)
        });
        let what = kinds.first().copied().unwrap_or_default();
        let missing = || {
            format!(
                "could not create OpenStack {what} session: No suitable endpoint could be found in the service catalog."
            )
        };
        ours.map(|endpoint| with_slash(&endpoint.url)).ok_or_else(missing)
    }
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

/// The URL of version 3: the endpoint itself, or what it says when it is asked for its versions.
async fn version_3(api: &Api, endpoint: &str) -> Result<String, String> {
    let endpoint = with_slash(endpoint);
    if endpoint.ends_with("/v3/") {
        return Ok(endpoint);
    }
    if endpoint.ends_with("/v2.0/") {
        return Err("version 2 of the identity API is not supported".to_owned());
    }
    let url = Url::parse(&endpoint).map_err(|err| format!("{endpoint}: {err}"))?;
    let (head, body) = api.send(Ask::get(url)).await?;
    if !matches!(head.status.as_u16(), 200 | 300) {
        return Err(crate::cloud::api::refused(&endpoint, &head, &body));
    }
    let answer: Versions = serde_json::from_slice(&body).map_err(|err| format!("{endpoint}: {err}"))?;
    let good = ["current", "supported", "stable"];
    let mut versions = answer.versions.0.values.0.into_iter();
    let version = versions.find(|v| v.id.contains("v3") && good.contains(&v.status.to_lowercase().as_str()));
    let links = version.map(|version| version.links.0).unwrap_or_default();
    let own = links.into_iter().find(|link| *link.rel == "self").map(|link| with_slash(&link.href));
    own.ok_or_else(|| format!("no supported version available from endpoint {endpoint}"))
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    versions: Or<Values>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Values {
    values: Many<Version>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Version {
    id: Or<String>,
    status: Or<String>,
    links: Many<super::Link>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Or<Token>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Token {
    catalog: Many<Service>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Service {
    #[serde(rename = "type")]
    kind: Or<String>,
    endpoints: Many<Endpoint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    interface: Or<String>,
    region: Or<String>,
    region_id: Or<String>,
    url: Or<String>,
}
