//! `consul_sd_configs`: instances of services in Consul's catalogue.
//!
//! The list of services is followed with blocking queries (`index` and `wait`: the server answers when something has
//! changed), and each service with its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use exposition::registry::{Counter, Registry, Summary};
use httpclient::{ClientOptions, Secret, Url};
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::json::{Many, Or, Text, TextMap};
use crate::label_set::{NameLists, Pairs};
use crate::provider::{Context, Provider, Updates};
use crate::refresh::ticks;
use crate::rest::Rest;

/// How long the server may hold back an answer when nothing changes.
const WAIT: Duration = Duration::from_secs(120);
/// How long it may take then.
const GRACE: Duration = Duration::from_secs(15);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(15);

/// A `consul_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulOptions {
    /// `host:port`, with or without scheme.
    pub server: String,
    /// `http` or `https`, if the server has no scheme of its own.
    pub scheme: String,
    /// What stands before the paths of the API.
    pub path_prefix: String,
    /// The ACL token.
    pub token: Option<Secret>,
    /// The data centre; the server's own if empty.
    pub datacenter: String,
    /// The namespace.
    pub namespace: String,
    /// The admin partition.
    pub partition: String,
    /// What stands between and around the tags in their label.
    pub tag_separator: String,
    /// Take answers that may be old.
    pub allow_stale: bool,
    /// The shortest time between two questions about the same.
    pub refresh_interval: Duration,
    /// Which services; all if none.
    pub services: Vec<String>,
    /// Tags that a service must have.
    pub tags: Vec<String>,
    /// Metadata that a node must have.
    pub node_meta: BTreeMap<String, String>,
    /// A filter of the catalogue.
    pub filter: String,
    /// A filter of instances.
    pub health_filter: String,
    /// How to ask.
    pub client: ClientOptions,
}

/// `prometheus_sd_consul_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    failures: Counter,
    services: Summary,
    service: Summary,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let duration = registry.summary_vec(
            "prometheus_sd_consul_rpc_duration_seconds",
            "The duration of a Consul RPC call in seconds.",
            &["endpoint", "call"],
            &[0.5, 0.9, 0.99],
        );
        Metrics {
            failures: registry.counter(
                "prometheus_sd_consul_rpc_failures_total",
                "The number of Consul RPC call failures.",
            ),
            services: duration.with(&["catalog", "services"]),
            service: duration.with(&["catalog", "service"]),
        }
    }
}

impl Provider for Box<ConsulOptions> {
    fn validate(&self) -> Result<(), String> {
        Catalog::new(self, NameLists::default()).map(drop)
    }

    async fn run(self, context: Context) {
        let catalog = match Catalog::new(&self, context.lists.clone()) {
            Ok(catalog) => catalog,
            Err(err) => return failed("Cannot create service discovery", &err),
        };
        let follower =
            Follower { catalog, metrics: context.metrics.consul.clone(), updates: context.updates };
        follower.run(&self).await;
    }
}

fn failed(what: &str, err: &str) {
    tracing::error!(component = "discovery manager", discovery = "consul", %err, "{what}");
}

/// How Consul is asked.
#[derive(Clone)]
struct Catalog {
    api: std::sync::Arc<Rest>,
    base: Url,
    /// What every question has.
    common: Vec<(&'static str, String)>,
    tags: Vec<String>,
    health_filter: String,
    filter: String,
    separator: String,
    interval: Duration,
    datacenter: String,
    lists: NameLists,
}

/// An answer and the index of what it tells.
struct Indexed {
    index: u64,
    body: Vec<u8>,
}

impl Catalog {
    fn new(options: &ConsulOptions, lists: NameLists) -> Result<Self, String> {
        let mut api = match options.server.strip_prefix("unix://") {
            // What is said about HTTP does not hold for sockets.
            Some(path) => Rest::behind_socket(Path::new(path), WAIT + GRACE)?,
            None => Rest::new(&options.client, WAIT + GRACE)?,
        };
        if let Some(token) = &options.token {
            api = api.header("x-consul-token", token.reveal())?;
        }
        let mut common: Vec<(&'static str, String)> = Vec::new();
        let set =
            [("dc", &options.datacenter), ("ns", &options.namespace), ("partition", &options.partition)];
        common.extend(
            set.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.clone())),
        );
        if options.allow_stale {
            common.push(("stale", String::new()));
        }
        common.extend(options.node_meta.iter().map(|(name, value)| ("node-meta", format!("{name}:{value}"))));
        Ok(Catalog {
            api: api.into(),
            base: base(options)?,
            common,
            tags: options.tags.clone(),
            health_filter: options.health_filter.clone(),
            filter: options.filter.clone(),
            separator: options.tag_separator.clone(),
            interval: options.refresh_interval,
            datacenter: options.datacenter.clone(),
            lists,
        })
    }

    /// The URL of a path of the API. Only questions about the data centre itself go without `wait`.
    fn url<'a>(&self, path: &[&str], parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut query = url.query_pairs_mut();
        query.clear();
        query.extend_pairs(parameters);
        drop(query);
        if url.query() == Some("") {
            url.set_query(None);
        }
        url
    }

    async fn ask(&self, url: &Url) -> Result<Indexed, String> {
        let (head, body) = self.api.get(url).await?;
        if head.status.as_u16() != 200 {
            let text = String::from_utf8_lossy(body.get(..200).unwrap_or(&body)).into_owned();
            return Err(format!("Unexpected response code: {} ({text})", head.status.as_u16()));
        }
        let index = head.header("x-consul-index").parse().unwrap_or(0);
        Ok(Indexed { index, body })
    }

    /// Asks for what is newer than `index`.
    async fn wait(
        &self,
        path: &[&str],
        filter: &str,
        tags: &[String],
        index: u64,
    ) -> Result<Indexed, String> {
        let (wait, index) = (format!("{}ms", WAIT.as_millis()), index.to_string());
        let mut parameters: Vec<(&str, &str)> =
            self.common.iter().map(|(name, value)| (*name, &**value)).collect();
        parameters.extend((!filter.is_empty()).then_some(("filter", filter)));
        parameters.extend((index != "0").then_some(("index", index.as_str())));
        parameters.extend(tags.iter().map(|tag| ("tag", tag.as_str())));
        parameters.push(("wait", &wait));
        self.ask(&self.url(path, parameters)).await
    }

    /// The server's own data centre.
    async fn own_datacenter(&self) -> Result<String, String> {
        let parameters = self.common.iter().filter(|(name, _)| matches!(*name, "ns" | "partition"));
        let url = self.url(&["v1", "agent", "self"], parameters.map(|(name, value)| (*name, &**value)));
        let answer = self.ask(&url).await?;
        datacenter(&answer.body)
    }
}

/// Where the API is.
fn base(options: &ConsulOptions) -> Result<Url, String> {
    let (scheme, server, prefix) = match options.server.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => {
            let scheme = if scheme == "https" { scheme } else { &options.scheme };
            match rest.split_once('/') {
                Some((server, prefix)) => (scheme, server, format!("/{prefix}")),
                None => (scheme, rest, options.path_prefix.clone()),
            }
        }
        Some(("unix", _)) => ("http", "localhost", options.path_prefix.clone()),
        Some((scheme, _)) => return Err(format!("Unknown protocol scheme: {scheme}")),
        None => (options.scheme.as_str(), options.server.as_str(), options.path_prefix.clone()),
    };
    Url::parse(&format!("{scheme}://{server}{prefix}")).map_err(|err| err.to_string())
}

/// Follows the catalogue.
struct Follower {
    catalog: Catalog,
    metrics: Metrics,
    updates: Updates,
}

/// The task that follows a service; it ends with this.
struct Followed(JoinHandle<()>);

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    async fn run(mut self, options: &ConsulOptions) {
        while self.catalog.datacenter.is_empty() {
            match self.catalog.own_datacenter().await {
                Ok(datacenter) => self.catalog.datacenter = datacenter,
                Err(err) => {
                    self.metrics.failures.inc();
                    failed("Error retrieving datacenter name", &err);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        if !options.services.is_empty() && options.tags.is_empty() && options.filter.is_empty() {
            let _followed: Vec<Followed> =
                options.services.iter().map(|service| self.follow(service.clone())).collect();
            return std::future::pending().await;
        }
        let wanted: BTreeSet<&str> = options.services.iter().map(String::as_str).collect();
        let mut followed: BTreeMap<String, Followed> = BTreeMap::new();
        let mut index = 0;
        let mut tick = ticks(options.refresh_interval);
        loop {
            tick.tick().await;
            let start = Instant::now();
            let path = ["v1", "catalog", "services"];
            let answer = self.catalog.wait(&path, &self.catalog.filter, &[], index).await;
            self.metrics.services.observe(start.elapsed().as_secs_f64());
            let listed = answer.and_then(|answer| Ok((answer.index, services(&answer.body)?)));
            let (now, listed) = match listed {
                Ok(listed) => listed,
                Err(err) => {
                    self.metrics.failures.inc();
                    failed("Error refreshing service list", &err);
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            // The wait ended without news.
            if now == index {
                continue;
            }
            index = now;
            if !self.adopt(&listed, &wanted, &mut followed).await {
                return;
            }
        }
    }

    /// Follows what is new in the list and forgets what is gone; `false` when nobody listens.
    async fn adopt(
        &self,
        listed: &BTreeMap<String, Vec<String>>,
        wanted: &BTreeSet<&str>,
        followed: &mut BTreeMap<String, Followed>,
    ) -> bool {
        for (service, tags) in listed {
            let is_wanted = (wanted.is_empty() || wanted.contains(service.as_str()))
                && self.catalog.tags.iter().all(|tag| tags.contains(tag));
            if is_wanted && !followed.contains_key(service) {
                followed.insert(service.clone(), self.follow(service.clone()));
            }
        }
        let gone: Vec<String> =
            followed.keys().filter(|service| !listed.contains_key(*service)).cloned().collect();
        for service in gone {
            if let Some(mut task) = followed.remove(&service) {
                task.0.abort();
                // Only when it has ended it cannot tell anything any more.
                let _ = (&mut task.0).await;
            }
            if self.updates.send(vec![TargetGroup::of(service, Vec::new())]).await.is_err() {
                return false;
            }
        }
        // Tells that it is known now that there is nothing.
        !followed.is_empty() || self.updates.send(vec![TargetGroup::of("", Vec::new())]).await.is_ok()
    }

    fn follow(&self, service: String) -> Followed {
        let (catalog, metrics, updates) = (self.catalog.clone(), self.metrics.clone(), self.updates.clone());
        Followed(tokio::spawn(async move {
            let mut index = 0;
            let mut tick = ticks(catalog.interval);
            loop {
                tick.tick().await;
                let start = Instant::now();
                let path = ["v1", "health", "service", &service];
                let answer = catalog.wait(&path, &catalog.health_filter, &catalog.tags, index).await;
                metrics.service.observe(start.elapsed().as_secs_f64());
                let read = answer.and_then(|answer| {
                    let group = (answer.index != index).then(|| {
                        instances(
                            &answer.body,
                            &service,
                            &catalog.datacenter,
                            &catalog.separator,
                            &catalog.lists,
                        )
                    });
                    Ok((answer.index, group.transpose()?))
                });
                match read {
                    Ok((now, group)) => {
                        index = now;
                        if let Some(group) = group
                            && updates.send(vec![group]).await.is_err()
                        {
                            return;
                        }
                    }
                    Err(err) => {
                        metrics.failures.inc();
                        tracing::error!(component = "discovery manager", discovery = "consul", service, %err, "Error refreshing service");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent<'a> {
    #[serde(borrow, default)]
    config: AgentConfig<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct AgentConfig<'a> {
    #[serde(borrow)]
    datacenter: Text<'a>,
}

fn datacenter(body: &[u8]) -> Result<String, String> {
    let agent: Agent<'_> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
    if agent.config.datacenter.is_empty() {
        return Err("invalid value '' for Config.Datacenter".to_owned());
    }
    Ok(agent.config.datacenter.to_string())
}

/// The services with their tags.
fn services(body: &[u8]) -> Result<BTreeMap<String, Vec<String>>, String> {
    let listed: Or<BTreeMap<String, Many<String>>> =
        serde_json::from_slice(body).map_err(|err| err.to_string())?;
    Ok(listed.0.into_iter().map(|(service, tags)| (service, tags.0)).collect())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Instance<'a> {
    #[serde(borrow)]
    node: Or<Node<'a>>,
    #[serde(borrow)]
    service: Or<Service<'a>>,
    #[serde(borrow)]
    checks: Many<Check<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Node<'a> {
    #[serde(borrow)]
    node: Text<'a>,
    #[serde(borrow)]
    address: Text<'a>,
    #[serde(borrow)]
    meta: TextMap<'a>,
    #[serde(borrow)]
    tagged_addresses: TextMap<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Service<'a> {
    #[serde(borrow, rename = "ID")]
    id: Text<'a>,
    #[serde(borrow)]
    tags: Many<Text<'a>>,
    #[serde(borrow)]
    address: Text<'a>,
    port: Or<i64>,
    #[serde(borrow)]
    meta: TextMap<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    partition: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Check<'a> {
    #[serde(borrow, rename = "CheckID")]
    id: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
}

/// The worst status of all checks; a status that nobody knows makes it unknown.
fn health(checks: &[Check<'_>]) -> &'static str {
    let mut worst = 0;
    for check in checks {
        let severity = if *check.id == *"_node_maintenance" || check.id.starts_with("_service_maintenance:") {
            3
        } else {
            match &*check.status {
                "passing" => 0,
                "warning" => 1,
                "critical" => 2,
                _ => return "",
            }
        };
        worst = worst.max(severity);
    }
    ["passing", "warning", "critical", "maintenance"].get(worst).copied().unwrap_or_default()
}

/// The group of a service.
fn instances(
    body: &[u8],
    service: &str,
    datacenter: &str,
    separator: &str,
    lists: &NameLists,
) -> Result<TargetGroup, String> {
    let listed: Many<Instance<'_>> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
    let mut pairs = Pairs::default();
    let targets = listed.0.iter().map(|Instance { node, service, checks }| {
        let tags: Vec<&str> = service.tags.0.iter().map(|tag| &**tag).collect();
        let port = service.port.0;
        // A service may be registered by another node than the one that it is on.
        let host = if service.address.is_empty() { &node.address } else { &service.address };
        pairs.push(ADDRESS, &join_host_port(host, port));
        pairs.push("__meta_consul_address", &node.address);
        pairs.push("__meta_consul_node", &node.node);
        pairs.push("__meta_consul_namespace", &service.namespace);
        pairs.push("__meta_consul_partition", &service.partition);
        pairs.push("__meta_consul_tags", &format!("{separator}{}{separator}", tags.join(separator)));
        pairs.push("__meta_consul_service_address", &service.address);
        pairs.push("__meta_consul_service_port", &port.to_string());
        pairs.push("__meta_consul_service_id", &service.id);
        pairs.push("__meta_consul_health", health(&checks.0));
        let maps = [
            ("__meta_consul_metadata_", &node.meta),
            ("__meta_consul_service_metadata_", &service.meta),
            ("__meta_consul_tagged_address_", &node.tagged_addresses),
        ];
        for (prefix, map) in maps {
            for (name, value) in &map.0 {
                pairs.push_sanitized(&[prefix], name, value);
            }
        }
        pairs.take(lists).into()
    });
    let targets: Vec<_> = targets.collect();
    pairs.push("__meta_consul_service", service);
    pairs.push("__meta_consul_dc", datacenter);
    Ok(TargetGroup { labels: pairs.take(lists).into(), ..TargetGroup::of(service, targets) })
}

/// Reads every kind of answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let group = instances(body, "service", "dc", ",", lists).map(|group| group.targets.len());
    usize::from(datacenter(body).is_ok())
        + services(body).map_or(0, |listed| listed.len())
        + group.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_counts() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[], "passing"),
            (&[("a", "passing"), ("b", "warning")], "warning"),
            (&[("a", "critical"), ("b", "warning")], "critical"),
            (&[("_node_maintenance", "critical"), ("b", "critical")], "maintenance"),
            (&[("_service_maintenance:web", "critical")], "maintenance"),
            (&[("a", "odd"), ("b", "critical")], ""),
        ];
        for (checks, want) in cases {
            let spelled =
                checks.iter().map(|(id, status)| format!(r#"{{"CheckID":"{id}","Status":"{status}"}}"#));
            let json = format!("[{}]", spelled.collect::<Vec<_>>().join(","));
            let checks: Many<Check<'_>> = serde_json::from_str(&json).unwrap();
            assert_eq!(health(&checks.0), want);
        }
    }

    #[test]
    fn servers_are_spelled_in_several_ways() {
        let options = |server: &str, scheme: &str, prefix: &str| ConsulOptions {
            server: server.into(),
            scheme: scheme.into(),
            path_prefix: prefix.into(),
            token: None,
            datacenter: String::new(),
            namespace: String::new(),
            partition: String::new(),
            tag_separator: ",".into(),
            allow_stale: false,
            refresh_interval: Duration::from_secs(30),
            services: Vec::new(),
            tags: Vec::new(),
            node_meta: BTreeMap::new(),
            filter: String::new(),
            health_filter: String::new(),
            client: ClientOptions::default(),
        };
        let url = |server: &str, scheme: &str, prefix: &str| {
            Catalog::new(&options(server, scheme, prefix), NameLists::default())
                .map(|catalog| catalog.url(&["v1", "x/y"], []).to_string())
        };
        assert_eq!(url("h:1", "http", "").unwrap(), "http://h:1/v1/x%2Fy");
        assert_eq!(url("h:1", "https", "/p/").unwrap(), "https://h:1/p/v1/x%2Fy");
        assert_eq!(url("https://h:1/q", "http", "/p").unwrap(), "https://h:1/q/v1/x%2Fy");
        assert_eq!(url("http://h:1", "https", "/p").unwrap(), "https://h:1/p/v1/x%2Fy");
        assert_eq!(url("gopher://h:1", "https", "/p").unwrap_err(), "Unknown protocol scheme: gopher");
    }
}
