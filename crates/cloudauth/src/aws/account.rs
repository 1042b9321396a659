//! An account: its region, its keys while they are good, and requests signed with them.

use std::time::{Duration, SystemTime};

use httpclient::{Bytes, Client, HeaderMap, HeaderName, HeaderValue, Limits, Method, Request, Secret, Url};
use tokio::sync::{Mutex, OnceCell};

use super::credentials::{Keys, Search, profile_name};
use super::endpoint::{self, Service};
use super::metadata;
use super::profile::Profiles;
use super::sigv4::{Scope, sign};
use crate::environment::Environment;
use crate::error::{Error, while_doing};

/// How long an API may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Temporary keys are replaced this long before they end.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How much of an answer that is no known error is shown.
const SHOWN: usize = 300;

/// Who to be. Empty texts are left to the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountOptions {
    /// The region.
    pub region: String,
    /// An access key's id; only with a secret.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret,
    /// A profile of the files in `~/.aws`.
    pub profile: String,
    /// A role to take.
    pub role_arn: String,
    /// Told to that role.
    pub external_id: String,
    /// Ask the FIPS endpoint of STS.
    pub fips_sts: bool,
}

/// A region's services with keys for them.
#[derive(Debug)]
pub struct Account {
    options: AccountOptions,
    environment: Environment,
    client: Client,
    region: OnceCell<String>,
    /// Who looks for them holds the lock: the others wait for what is found.
    keys: Mutex<Option<Keys>>,
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Account {
    /// Looks for nothing yet.
    #[must_use]
    pub fn new(options: AccountOptions, environment: Environment, client: Client) -> Self {
        Account { options, environment, client, region: OnceCell::new(), keys: Mutex::default() }
    }

    /// The region: the wanted one, or that of the environment, the profile, the instance.
    ///
    /// # Errors
    /// When nobody knows.
    pub async fn region(&self) -> Result<String, Error> {
        let region = self.region.get_or_try_init(|| self.find_region()).await;
        region.cloned().map_err(while_doing("could not determine AWS region"))
    }

    async fn find_region(&self) -> Result<String, Error> {
        if !self.options.region.is_empty() {
            return Ok(self.options.region.clone());
        }
        if let Some(region) = self.environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]) {
            return Ok(region.to_owned());
        }
        let profiles = Profiles::read(&self.environment).await?;
        let (name, _) = profile_name(&self.options, &self.environment);
        let of_profile = profiles.get(name).and_then(|profile| profile.get("region"));
        if let Some(region) = of_profile.filter(|region| !region.is_empty()) {
            return Ok(region.clone());
        }
        let region = metadata::region(&self.client, &self.environment).await;
        match region.map_err(while_doing("failed to get region from IMDS"))? {
            region if region.is_empty() => Err(Error::new("region not found in AWS config or IMDS")),
            region => Ok(region),
        }
    }

    /// Keys that are good for some minutes more.
    ///
    /// # Errors
    /// When there are none and the old ones have ended.
    pub async fn keys(&self) -> Result<Keys, Error> {
        let mut kept = self.keys.lock().await;
        let now = SystemTime::now();
        let lasts = |keys: &Keys, ahead: Duration| keys.expires.is_none_or(|end| end > now + ahead);
        if let Some(keys) = kept.as_ref().filter(|keys| lasts(keys, RENEW_BEFORE)) {
            return Ok(keys.clone());
        }
        let region = self.region().await?;
        let search = Search {
            options: &self.options,
            environment: &self.environment,
            client: &self.client,
            region: &region,
            now,
        };
        match (search.keys().await, &*kept) {
            (Ok(keys), _) => {
                *kept = Some(keys.clone());
                Ok(keys)
            }
            (Err(_), Some(old)) if lasts(old, Duration::ZERO) => Ok(old.clone()),
            (Err(err), _) => Err(while_doing("failed to retrieve credentials")(err)),
        }
    }

    /// Looks for keys anew before the next request: the service would not have the old ones.
    pub async fn forget_keys(&self) {
        *self.keys.lock().await = None;
    }

    /// The URL of a service in this region.
    ///
    /// # Errors
    /// When the region is not known.
    pub async fn endpoint(&self, service: Service) -> Result<String, Error> {
        let region = self.region().await?;
        Ok(endpoint::url(service, &region, false, &self.environment))
    }

    /// Sends a signed request to `url`.
    ///
    /// # Errors
    /// When there are no keys, or no answer. An answer of any status is none.
    pub async fn send(
        &self,
        service: Service,
        method: Method,
        url: &str,
        headers: HeaderMap,
        content: Bytes,
    ) -> Result<Answer, Error> {
        let keys = self.keys().await?;
        let region = self.region().await?;
        let scope = Scope { region: &region, service: service.signing, now: SystemTime::now() };
        let request = Outgoing { method, url, headers, content };
        send(&self.client, request, Some((&keys, scope))).await
    }
}

impl Answer {
    /// The code of an error (`AuthFailure`), wherever the service's protocol has it; empty if it is not there.
    #[must_use]
    pub fn error_code(&self) -> String {
        self.error().0
    }

    /// The answer as an error.
    #[must_use]
    pub fn into_error(self) -> Error {
        let (code, message) = self.error();
        if code.is_empty() {
            let text: String = String::from_utf8_lossy(&self.body).chars().take(SHOWN).collect();
            return Error(format!("https response error StatusCode: {}, {}", self.status, text.trim()));
        }
        Error(format!("https response error StatusCode: {}, api error {code}: {message}", self.status))
    }

    fn error(&self) -> (String, String) {
        let text = String::from_utf8_lossy(&self.body);
        if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(&text) {
            let get = |names: [&str; 2]| names.iter().find_map(|name| fields.get(*name)?.as_str());
            let code = get(["__type", "code"]).unwrap_or_default();
            // `com.amazonaws.ecs#AccessDeniedException:http://…`
            let code = code.rsplit('#').next().and_then(|c| c.split(':').next()).unwrap_or_default();
            return (code.to_owned(), get(["message", "Message"]).unwrap_or_default().to_owned());
        }
        (element(&text, "Code").to_owned(), element(&text, "Message").to_owned())
    }
}

/// The text of the first element of that name: `<Response><Errors><Error><Code>` of EC2, `<ErrorResponse><Error><Code>`
/// of the others.
fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let open = format!("<{name}>");
    let rest = text.split_once(&open).map_or("", |(_, rest)| rest);
    rest.split('<').next().unwrap_or_default()
}

/// A request before it is signed.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Bytes,
}

pub(crate) async fn send(
    client: &Client,
    request: Outgoing<'_>,
    signature: Option<(&Keys, Scope<'_>)>,
) -> Result<Answer, Error> {
    let Outgoing { method, url, mut headers, content } = request;
    let url = Url::parse(url).map_err(while_doing(url))?;
    if let Some((keys, scope)) = signature {
        sign(&method, &url, &mut headers, &content, keys, scope)?;
    }
    headers.insert(HeaderName::from_static("user-agent"), HeaderValue::from_static(httpclient::USER_AGENT));
    let request = Request { method, url: &url, headers: &headers, content };
    let answer = client.send(&request, Limits::default(), TIMEOUT).await;
    let (head, body) = answer.map_err(|err| Error(err.to_string()))?;
    Ok(Answer { status: head.status.as_u16(), body })
}
