//! `triton_sd_configs`: containers and compute nodes of Triton, as its container monitor lists them.

use std::time::Duration;

use httpclient::{ClientOptions, TlsOptions, Url};
use serde::Deserialize;

use crate::group::{ADDRESS, TargetGroup};
use crate::json::{Many, Text};
use crate::label_set::{LabelParts, NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use crate::rest::{PATIENCE, Rest};

/// A `triton_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TritonOptions {
    /// The host of the container monitor.
    pub endpoint: String,
    /// Its port, and that of targets. Prometheus: 9163.
    pub port: i64,
    /// The version of its API. Prometheus: 1.
    pub version: i64,
    /// Compute nodes instead of containers.
    pub compute_nodes: bool,
    /// The domain of targets.
    pub dns_suffix: String,
    /// Which groups of containers; all if none.
    pub groups: Vec<String>,
    /// How often. Prometheus: 60 s.
    pub refresh_interval: Duration,
    /// How to ask.
    pub tls: TlsOptions,
}

impl Provider for Box<TritonOptions> {
    fn validate(&self) -> Result<(), String> {
        Monitor::new((**self).clone(), NameLists::default()).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let monitor = Monitor::new(*self, context.lists.clone());
        refresh::every(interval, "triton", &context, monitor).await;
    }
}

struct Monitor {
    options: TritonOptions,
    api: Rest,
    url: Url,
    lists: NameLists,
}

impl Monitor {
    fn new(options: TritonOptions, lists: NameLists) -> Result<Self, String> {
        let TritonOptions { endpoint, port, version, .. } = &options;
        let path = if options.compute_nodes { "gz/discover" } else { "discover" };
        let url = format!("https://{endpoint}:{port}/v{version}/{path}");
        let mut url = Url::parse(&url).map_err(|err| err.to_string())?;
        if !options.groups.is_empty() {
            url.query_pairs_mut().append_pair("groups", &options.groups.join(","));
        }
        let client = ClientOptions { tls: options.tls.clone(), ..ClientOptions::default() };
        Ok(Monitor { api: Rest::new(&client, PATIENCE)?, options, url, lists })
    }
}

impl Source for Monitor {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let (_, body) = self.api.get(&self.url).await.map_err(|err| {
            format!("an error occurred when requesting targets from the discovery endpoint: {err}")
        })?;
        Ok(vec![TargetGroup::of(self.url.as_str(), targets(&body, &self.options, &self.lists)?)])
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    containers: Many<Container<'a>>,
    #[serde(borrow)]
    cns: Many<ComputeNode<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Container<'a> {
    #[serde(borrow)]
    groups: Many<Text<'a>>,
    #[serde(borrow)]
    server_uuid: Text<'a>,
    #[serde(borrow)]
    vm_alias: Text<'a>,
    #[serde(borrow)]
    vm_brand: Text<'a>,
    #[serde(borrow)]
    vm_image_uuid: Text<'a>,
    #[serde(borrow)]
    vm_uuid: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ComputeNode<'a> {
    #[serde(borrow)]
    server_uuid: Text<'a>,
    #[serde(borrow)]
    server_hostname: Text<'a>,
}

fn targets(body: &[u8], options: &TritonOptions, lists: &NameLists) -> Result<Vec<LabelParts>, String> {
    let answer: Answer<'_> = serde_json::from_slice(body)
        .map_err(|err| format!("an error occurred unmarshaling the discovery response json: {err}"))?;
    let mut pairs = Pairs::default();
    let address = |id: &str| format!("{id}.{}:{}", options.dns_suffix, options.port);
    if options.compute_nodes {
        let targets = answer.cns.0.iter().map(|node| {
            pairs.push(ADDRESS, &address(&node.server_uuid));
            pairs.push("__meta_triton_machine_id", &node.server_uuid);
            pairs.push("__meta_triton_machine_alias", &node.server_hostname);
            pairs.take(lists).into()
        });
        return Ok(targets.collect());
    }
    let targets = answer.containers.0.iter().map(|container| {
        pairs.push(ADDRESS, &address(&container.vm_uuid));
        pairs.push("__meta_triton_machine_id", &container.vm_uuid);
        pairs.push("__meta_triton_machine_alias", &container.vm_alias);
        pairs.push("__meta_triton_machine_brand", &container.vm_brand);
        pairs.push("__meta_triton_machine_image", &container.vm_image_uuid);
        pairs.push("__meta_triton_server_id", &container.server_uuid);
        let groups: Vec<&str> = container.groups.0.iter().map(|group| &**group).collect();
        if !groups.is_empty() {
            pairs.push("__meta_triton_groups", &format!(",{},", groups.join(",")));
        }
        pairs.take(lists).into()
    });
    Ok(targets.collect())
}

/// Reads every kind of answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let both = [false, true].map(|compute_nodes| TritonOptions {
        endpoint: String::new(),
        port: 9163,
        version: 1,
        compute_nodes,
        dns_suffix: "suffix".to_owned(),
        groups: Vec::new(),
        refresh_interval: Duration::from_secs(60),
        tls: TlsOptions::default(),
    });
    both.iter().map(|options| targets(body, options, lists).map_or(0, |targets| targets.len())).sum()
}
