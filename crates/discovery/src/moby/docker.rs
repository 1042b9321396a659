//! Containers of an engine.

use std::collections::BTreeMap;
use std::time::Duration;

use httpclient::ClientOptions;
use serde::Deserialize;

use super::api::{Api, DockerFilter, Networks, address};
use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::json::{Many, Or, Text, TextMap};
use crate::label_set::{NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const META: &str = "__meta_docker_";

/// A `docker_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerOptions {
    /// Where the engine is.
    pub host: String,
    /// The port of containers that expose none.
    pub port: i64,
    /// Which containers.
    pub filters: Vec<DockerFilter>,
    /// The host of containers in the host's network.
    pub host_networking_host: String,
    /// How often; also the time-out of a request. Prometheus: 60 s.
    pub refresh_interval: Duration,
    /// Of several networks of a container take the first alone.
    pub match_first_network: bool,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<DockerOptions> {
    fn validate(&self) -> Result<(), String> {
        Api::new(&self.host, &self.filters, &self.client, self.refresh_interval).map(drop)
    }

    async fn run(self, context: Context) {
        let api = Api::new(&self.host, &self.filters, &self.client, self.refresh_interval);
        let lists = context.lists.clone();
        let engine = api.map(|api| Engine { api, lists, options: *self.clone() });
        refresh::every(self.refresh_interval, "docker", &context, engine).await;
    }
}

struct Engine {
    api: Api,
    lists: NameLists,
    options: DockerOptions,
}

impl Source for Engine {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let containers = self.api.list("/containers/json", true).await;
        let containers = containers.map_err(|err| format!("error while listing containers: {err}"))?;
        let networks = self.api.list("/networks", false).await;
        let networks = networks.map_err(|err| format!("error while computing network labels: {err}"))?;
        Ok(vec![group(&containers, &Networks::read(&networks)?, &self.options, &self.lists)?])
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Container<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    names: Many<Text<'a>>,
    #[serde(borrow)]
    ports: Many<Port<'a>>,
    #[serde(borrow)]
    labels: TextMap<'a>,
    #[serde(borrow)]
    host_config: Or<HostConfig<'a>>,
    #[serde(borrow)]
    network_settings: Or<NetworkSettings<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Port<'a> {
    #[serde(borrow, rename = "IP")]
    ip: Text<'a>,
    private_port: Or<u16>,
    public_port: Or<u16>,
    #[serde(borrow)]
    r#type: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig<'a> {
    #[serde(borrow)]
    network_mode: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings<'a> {
    #[serde(borrow)]
    networks: Or<BTreeMap<String, Option<Endpoint<'a>>>>,
}

/// A container's place in a network.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint<'a> {
    #[serde(borrow, rename = "NetworkID")]
    network_id: Text<'a>,
    #[serde(borrow, rename = "IPAddress")]
    ip_address: Text<'a>,
    #[serde(borrow, rename = "GlobalIPv6Address")]
    global_ipv6_address: Text<'a>,
}

impl Endpoint<'_> {
    fn address(&self) -> String {
        let v4 = address(&self.ip_address);
        if v4.is_empty() { address(&self.global_ipv6_address) } else { v4 }
    }
}

impl Container<'_> {
    fn endpoints(&self) -> impl Iterator<Item = &Endpoint<'_>> {
        self.network_settings.networks.values().flatten()
    }

    fn has_networks(&self) -> bool {
        !self.network_settings.networks.is_empty()
    }
}

/// The container whose networks `container` is in: itself, or the one that lends it its own.
fn lender<'c, 'a>(
    container: &'c Container<'a>,
    all: &BTreeMap<&str, &'c Container<'a>>,
) -> &'c Container<'a> {
    let mut lender = container;
    // Two containers might point to each other.
    for _ in 0..all.len() {
        if lender.has_networks() {
            break;
        }
        let id = lender.host_config.network_mode.strip_prefix("container:");
        match id.and_then(|id| all.get(id)) {
            Some(next) => lender = next,
            None => break,
        }
    }
    lender
}

fn group(
    containers: &[u8],
    networks: &Networks<'_>,
    options: &DockerOptions,
    lists: &NameLists,
) -> Result<TargetGroup, String> {
    let containers: Many<Container<'_>> =
        serde_json::from_slice(containers).map_err(|err| err.to_string())?;
    let by_id: BTreeMap<&str, &Container<'_>> = containers.0.iter().map(|one| (&*one.id, one)).collect();
    let mut pairs = Pairs::default();
    let mut targets = Vec::new();
    for container in &containers.0 {
        let Some(name) = container.names.0.first() else { continue };
        let mode = &container.host_config.network_mode;
        let most = if options.match_first_network { 1 } else { usize::MAX };
        for endpoint in lender(container, &by_id).endpoints().take(most) {
            let ip = endpoint.address();
            let push_common = |pairs: &mut Pairs| {
                pairs.push("__meta_docker_network_ip", &ip);
                pairs.push("__meta_docker_container_id", &container.id);
                pairs.push("__meta_docker_container_name", name);
                pairs.push("__meta_docker_container_network_mode", mode);
                for (name, value) in &container.labels.0 {
                    pairs.push_sanitized(&["__meta_docker_container_label_"], name, value);
                }
                networks.push(pairs, META, &endpoint.network_id);
            };
            let before = targets.len();
            for port in container.ports.0.iter().filter(|port| *port.r#type == *"tcp") {
                let private = port.private_port.to_string();
                pairs.push("__meta_docker_port_private", &private);
                if *port.public_port > 0 {
                    pairs.push("__meta_docker_port_public", &port.public_port.to_string());
                    pairs.push("__meta_docker_port_public_ip", &address(&port.ip));
                }
                push_common(&mut pairs);
                pairs.push(ADDRESS, &join_host_port(&ip, &private));
                targets.push(pairs.take(lists).into());
            }
            if targets.len() == before {
                push_common(&mut pairs);
                // Containers in the host's network have no ports.
                match &**mode {
                    "host" => pairs.push(ADDRESS, &options.host_networking_host),
                    _ => pairs.push(ADDRESS, &join_host_port(&ip, options.port)),
                }
                targets.push(pairs.take(lists).into());
            }
        }
    }
    Ok(TargetGroup::of("Docker", targets))
}

/// Reads every kind of answer: for fuzzing.
pub(super) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let options = DockerOptions {
        host: String::new(),
        port: 80,
        filters: Vec::new(),
        host_networking_host: "localhost".to_owned(),
        refresh_interval: Duration::from_secs(60),
        match_first_network: false,
        client: ClientOptions::default(),
    };
    let Ok(networks) = Networks::read(body) else { return 0 };
    group(body, &networks, &options, lists).map_or(0, |group| group.targets.len())
}
