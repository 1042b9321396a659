//! `nomad_sd_configs`: instances of services that Nomad itself knows.

use std::time::Duration;

use exposition::registry::{Counter, Registry};
use httpclient::{ClientOptions, Url};
use serde::Deserialize;

use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::json::{Many, Or, Text};
use crate::label_set::{LabelParts, NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use crate::rest::{PATIENCE, Rest};

/// A `nomad_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NomadOptions {
    /// The URL of a server; its path does not count.
    pub server: String,
    /// The namespace.
    pub namespace: String,
    /// The region.
    pub region: String,
    /// What stands between and around the tags in their label.
    pub tag_separator: String,
    /// Take answers that may be old.
    pub allow_stale: bool,
    /// How often. Prometheus: 60 s.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// `prometheus_sd_nomad_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    failures: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let help = "Number of nomad service discovery refresh failures.";
        Metrics { failures: registry.counter("prometheus_sd_nomad_failures_total", help) }
    }
}

impl Provider for Box<NomadOptions> {
    fn validate(&self) -> Result<(), String> {
        Services::new(self, NameLists::default()).map(drop)
    }

    async fn run(self, context: Context) {
        let counted = Services::new(&self, context.lists.clone())
            .map(|services| Counted { services, failures: context.metrics.nomad.failures.clone() });
        refresh::every(self.refresh_interval, "nomad", &context, counted).await;
    }
}

struct Counted {
    services: Services,
    failures: Counter,
}

impl Source for Counted {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let outcome = self.services.find().await;
        if outcome.is_err() {
            self.failures.inc();
        }
        outcome
    }
}

/// How Nomad is asked.
struct Services {
    api: Rest,
    base: Url,
    separator: String,
    lists: NameLists,
}

impl Services {
    fn new(options: &NomadOptions, lists: NameLists) -> Result<Self, String> {
        let mut base = Url::parse(&options.server)
            .map_err(|err| format!("invalid address '{}': {err}", options.server))?;
        base.set_path("");
        let mut query = base.query_pairs_mut();
        query.clear();
        let set = [("namespace", &options.namespace), ("region", &options.region)];
        query.extend_pairs(set.into_iter().filter(|(_, value)| !value.is_empty()));
        if options.allow_stale {
            query.append_pair("stale", "");
        }
        drop(query);
        let separator = options.tag_separator.clone();
        Ok(Services { api: Rest::new(&options.client, PATIENCE)?, base, separator, lists })
    }

    async fn ask(&self, path: &[&str]) -> Result<Vec<u8>, String> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let (head, body) = self.api.get(&url).await?;
        if head.status.as_u16() != 200 {
            return Err(format!("Unexpected response code: {}", head.status.as_u16()));
        }
        Ok(body)
    }

    async fn find(&self) -> Result<Vec<TargetGroup>, String> {
        let mut targets = Vec::new();
        for service in names(&self.ask(&["v1", "services"]).await?)? {
            let answer = self.ask(&["v1", "service", &service]).await;
            let answer = answer.map_err(|err| format!("failed to fetch services: {err}"))?;
            targets.extend(instances(&answer, &self.separator, &self.lists)?);
        }
        Ok(vec![TargetGroup::of("Nomad", targets)])
    }
}

/// The services of a namespace.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Namespace<'a> {
    #[serde(borrow)]
    services: Many<Service<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Service<'a> {
    #[serde(borrow)]
    service_name: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Instance<'a> {
    #[serde(borrow, rename = "ID")]
    id: Text<'a>,
    #[serde(borrow)]
    service_name: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow, rename = "NodeID")]
    node_id: Text<'a>,
    #[serde(borrow)]
    datacenter: Text<'a>,
    #[serde(borrow)]
    tags: Many<Text<'a>>,
    #[serde(borrow)]
    address: Text<'a>,
    port: Or<i64>,
}

fn names(body: &[u8]) -> Result<Vec<String>, String> {
    let listed: Many<Namespace<'_>> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
    let services = listed.0.iter().flat_map(|namespace| &namespace.services.0);
    Ok(services.map(|service| service.service_name.to_string()).collect())
}

fn instances(body: &[u8], separator: &str, lists: &NameLists) -> Result<Vec<LabelParts>, String> {
    let listed: Many<Instance<'_>> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
    let mut pairs = Pairs::default();
    let targets = listed.0.iter().map(|instance| {
        let port = instance.port.to_string();
        pairs.push(ADDRESS, &join_host_port(&instance.address, &port));
        pairs.push("__meta_nomad_address", &instance.address);
        pairs.push("__meta_nomad_dc", &instance.datacenter);
        pairs.push("__meta_nomad_node_id", &instance.node_id);
        pairs.push("__meta_nomad_namespace", &instance.namespace);
        pairs.push("__meta_nomad_service_address", &instance.address);
        pairs.push("__meta_nomad_service_id", &instance.id);
        pairs.push("__meta_nomad_service_port", &port);
        pairs.push("__meta_nomad_service", &instance.service_name);
        let tags: Vec<&str> = instance.tags.0.iter().map(|tag| &**tag).collect();
        if !tags.is_empty() {
            pairs.push("__meta_nomad_tags", &format!("{separator}{}{separator}", tags.join(separator)));
        }
        pairs.take(lists).into()
    });
    Ok(targets.collect())
}

/// Reads every kind of answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    names(body).map_or(0, |names| names.len()) + instances(body, ",", lists).map_or(0, |found| found.len())
}
