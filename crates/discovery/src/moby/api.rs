//! The API of a Docker engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use httpclient::{ClientOptions, Method, Url};
use serde::Deserialize;

use crate::json::{Many, Or, Text, TextMap};
use crate::label_set::Pairs;
use crate::rest::Rest;

/// The newest version of the API that we know.
const NEWEST: (u32, u32) = (1, 55);
/// The oldest one.
const OLDEST: (u32, u32) = (1, 40);

/// Only what has one of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerFilter {
    /// What is looked at.
    pub name: String,
    /// What it may be.
    pub values: Vec<String>,
}

/// How an engine is asked.
pub(super) struct Api {
    rest: Rest,
    /// Without path.
    base: Url,
    /// As much of the parameter `filters` as is configured.
    filters: Option<String>,
    /// The version that both of us know, once it is known.
    version: Option<(u32, u32)>,
}

impl Api {
    pub(super) fn new(
        host: &str,
        filters: &[DockerFilter],
        client: &ClientOptions,
        timeout: Duration,
    ) -> Result<Self, String> {
        let (scheme, rest) =
            host.split_once("://").ok_or_else(|| format!("unable to parse docker host `{host}`"))?;
        // What is said about HTTP is for URLs of HTTP alone.
        let (rest, base) = match scheme {
            "http" | "https" => (Rest::new(client, timeout)?, host.to_owned()),
            "tcp" => (Rest::new(&ClientOptions::default(), timeout)?, format!("http://{rest}")),
            "unix" => (Rest::behind_socket(Path::new(rest), timeout)?, "http://localhost".to_owned()),
            other => return Err(format!("hosts of scheme {other} are not supported")),
        };
        let base = Url::parse(&base).map_err(|err| err.to_string())?;
        Ok(Api { rest, base, filters: spell(filters), version: None })
    }

    fn url(&self, path: &str, filters: Option<&str>) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if let Some(filters) = filters {
            url.query_pairs_mut().append_pair("filters", filters);
        }
        url
    }

    /// What the engine has at `path`; `filtered`: with the filters of the configuration.
    pub(super) async fn list(&mut self, path: &str, filtered: bool) -> Result<Vec<u8>, String> {
        let (major, minor) = match self.version {
            Some(version) => version,
            None => self.negotiate().await?,
        };
        let filters = self.filters.as_deref().filter(|_| filtered);
        self.rest.body(&self.url(&format!("/v{major}.{minor}{path}"), filters)).await
    }

    /// The newest version that both of us know.
    async fn negotiate(&mut self) -> Result<(u32, u32), String> {
        let ping = self.url("/_ping", None);
        let (mut head, _) = self.rest.send(Method::HEAD, &ping, Vec::new()).await?;
        if !head.status.is_success() {
            (head, _) = self.rest.get(&ping).await?;
        }
        if !head.status.is_success() {
            return Err(format!("the engine answered {} to a ping", head.status_text()));
        }
        let theirs = head.header("api-version");
        let known = theirs
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let version = known.unwrap_or(OLDEST).min(NEWEST);
        if version < OLDEST {
            return Err(format!(
                "API version {theirs} is not supported by this client: the minimum supported API version is {}.{}",
                OLDEST.0, OLDEST.1
            ));
        }
        Ok(*self.version.insert(version))
    }
}

/// `{"label":{"a":true,"b":true}}`.
fn spell(filters: &[DockerFilter]) -> Option<String> {
    let mut spelled: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in filters.iter().filter(|filter| !filter.values.is_empty()) {
        let values = spelled.entry(&filter.name).or_default();
        values.extend(filter.values.iter().map(|value| (value.as_str(), true)));
    }
    if spelled.is_empty() { None } else { serde_json::to_string(&spelled).ok() }
}

/// A network.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    scope: Text<'a>,
    internal: Or<bool>,
    ingress: Or<bool>,
    #[serde(borrow)]
    labels: TextMap<'a>,
}

/// Networks by id.
pub(super) struct Networks<'a>(BTreeMap<String, Network<'a>>);

impl<'a> Networks<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, String> {
        let listed: Many<Network<'a>> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
        Ok(Networks(listed.0.into_iter().map(|network| (network.id.to_string(), network)).collect()))
    }

    /// Adds the labels of the network of that id, if there is one; their names begin with `prefix`.
    pub(super) fn push(&self, pairs: &mut Pairs, prefix: &str, id: &str) {
        let Some(network) = self.0.get(id) else { return };
        let own = [
            ("network_id", &*network.id),
            ("network_name", &*network.name),
            ("network_scope", &*network.scope),
            ("network_internal", if *network.internal { "true" } else { "false" }),
            ("network_ingress", if *network.ingress { "true" } else { "false" }),
        ];
        for (name, value) in own {
            pairs.push_sanitized(&[prefix, name], "", value);
        }
        for (name, value) in &network.labels.0 {
            pairs.push_sanitized(&[prefix, "network_label_"], name, value);
        }
    }
}

/// An address as Go writes it; nothing if it is none.
pub(super) fn address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or(String::new(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_spelled_as_the_engine_reads_them() {
        let filter = |name: &str, values: &[&str]| DockerFilter {
            name: name.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        assert_eq!(spell(&[]), None);
        assert_eq!(spell(&[filter("a", &[])]), None);
        let filters = [filter("name", &["b", "a"]), filter("label", &["x=\"y\""]), filter("name", &["c"])];
        let want = r#"{"label":{"x=\"y\"":true},"name":{"a":true,"b":true,"c":true}}"#;
        assert_eq!(spell(&filters).unwrap(), want);
    }
}
