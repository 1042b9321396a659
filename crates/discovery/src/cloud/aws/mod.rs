//! AWS: a module for each service.

mod document;
mod ec2;
mod ecs;
mod elasticache;
mod lightsail;
mod msk;
mod rds;

pub use ec2::Ec2Options;
pub use ecs::EcsOptions;
pub use elasticache::ElastiCacheOptions;
pub use lightsail::LightsailOptions;
pub use msk::MskOptions;
pub use rds::RdsOptions;

use std::time::Duration;

use cloudauth::{Account, AccountOptions, Environment, Service};
use httpclient::{ClientOptions, HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::api::client;
use super::targets::Targets;
use crate::label_set::NameLists;
use document::Element;

/// What every service of AWS is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsOptions {
    /// Who asks, and in which region.
    pub account: AccountOptions,
    /// Another URL than the service's own; empty for that.
    pub endpoint: String,
    /// The port of targets.
    pub port: i64,
    /// How many requests may be under way.
    pub at_once: usize,
    /// How often. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
    /// Where keys and the region may be found.
    pub environment: Environment,
}

/// A filter of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsFilter {
    /// What it looks at.
    pub name: String,
    /// What is taken.
    pub values: Vec<String>,
}

/// A service of AWS as a client sees it.
struct Client {
    account: Account,
    service: Service,
    endpoint: String,
    /// Requests that may begin.
    free: Semaphore,
}

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Codes that keys are to blame for.
const NOT_OURS: [&str; 2] = ["AuthFailure", "UnauthorizedOperation"];

impl Client {
    fn new(options: &AwsOptions, service: Service) -> Result<Self, String> {
        let account =
            Account::new(options.account.clone(), options.environment.clone(), client(&options.client)?);
        let free = Semaphore::new(options.at_once.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Client { account, service, endpoint: options.endpoint.clone(), free })
    }

    async fn region(&self) -> Result<String, String> {
        self.account.region().await.map_err(|err| err.to_string())
    }

    async fn url(&self) -> Result<String, String> {
        if self.endpoint.is_empty() {
            return self.account.endpoint(self.service).await.map_err(|err| err.to_string());
        }
        Ok(self.endpoint.clone())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        content: String,
    ) -> Result<Vec<u8>, String> {
        let _begun = self.free.acquire().await.map_err(|err| err.to_string())?;
        let url = format!("{}{path}", self.url().await?.trim_end_matches('/'));
        let answer = self.account.send(self.service, method, &url, headers, content.into()).await;
        let answer = answer.map_err(|err| err.to_string())?;
        if answer.status != 200 {
            if NOT_OURS.contains(&answer.error_code().as_str()) {
                self.account.forget_keys().await;
            }
            return Err(answer.into_error().to_string());
        }
        Ok(answer.body)
    }

    /// An action of the query protocol: a form is sent, XML comes back.
    async fn query<T: DeserializeOwned>(&self, form: &[(String, String)]) -> Result<T, String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(FORM));
        let content = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let body = self.send(Method::POST, "/", headers, content).await?;
        from_xml(&body)
    }

    /// The same for answers with so many fields that they are not declared.
    async fn query_document(&self, form: &[(String, String)]) -> Result<Element, String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(FORM));
        let content = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Element::parse(&self.send(Method::POST, "/", headers, content).await?)
    }

    /// An action of the JSON protocol, version 1.1.
    async fn action<T: DeserializeOwned>(
        &self,
        target: &'static str,
        content: &serde_json::Value,
    ) -> Result<T, String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        let body = self.send(Method::POST, "/", headers, content.to_string()).await?;
        serde_json::from_slice(&body).map_err(|err| err.to_string())
    }

    /// A resource of a REST API.
    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, String> {
        let escaped: Vec<String> =
            path.iter().map(|part| url::form_urlencoded::byte_serialize(part.as_bytes()).collect()).collect();
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let query = if query.is_empty() { query } else { format!("?{query}") };
        let path = format!("/{}{query}", escaped.join("/"));
        let body = self.send(Method::GET, &path, HeaderMap::new(), String::new()).await?;
        serde_json::from_slice(&body).map_err(|err| err.to_string())
    }
}

/// Reads `body` as answers in XML; how many instances and databases are in it.
pub(super) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    ec2::read_any(body, lists) + rds::read_any(body, lists) + elasticache::read_any(body, lists)
}

/// The parameters of an action of the query protocol.
fn action(name: &str, version: &str, parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    let fixed = [("Action", name), ("Version", version)];
    let all = fixed.iter().chain(parameters).filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A tag as JSON has it.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Tag {
    #[serde(alias = "Key")]
    key: Option<String>,
    #[serde(alias = "Value")]
    value: Option<String>,
}

fn add_tags(targets: &mut Targets, prefix: &str, tags: &[Tag]) {
    for tag in tags {
        if let (Some(key), Some(value)) = (&tag.key, &tag.value) {
            targets.labelled(prefix, key, value);
        }
    }
}

fn from_xml<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|err| err.to_string())?;
    quick_xml::de::from_str(text).map_err(|err| err.to_string())
}
