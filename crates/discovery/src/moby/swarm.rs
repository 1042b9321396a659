//! Services, tasks and nodes of a swarm.

use std::collections::BTreeMap;
use std::time::Duration;

use httpclient::ClientOptions;
use serde::Deserialize;

use super::api::{Api, DockerFilter, Networks};
use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::json::{Many, Or, Text, TextMap};
use crate::label_set::{NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const META: &str = "__meta_dockerswarm_";
const SOURCE: &str = "DockerSwarm";

/// A `dockerswarm_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerSwarmOptions {
    /// Where an engine of a manager is.
    pub host: String,
    /// What becomes a target.
    pub role: SwarmRole,
    /// The port of nodes, and of tasks and services that publish none.
    pub port: i64,
    /// Which ones.
    pub filters: Vec<DockerFilter>,
    /// How often; also the time-out of a request. Prometheus: 60 s.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// What of a swarm becomes targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwarmRole {
    /// Services.
    Services,
    /// Tasks of services.
    Tasks,
    /// Nodes.
    Nodes,
}

impl Provider for Box<DockerSwarmOptions> {
    fn validate(&self) -> Result<(), String> {
        Api::new(&self.host, &self.filters, &self.client, self.refresh_interval).map(drop)
    }

    async fn run(self, context: Context) {
        let api = Api::new(&self.host, &self.filters, &self.client, self.refresh_interval);
        let (role, port, lists) = (self.role, self.port, context.lists.clone());
        let swarm = api.map(|api| Swarm { api, role, port, lists });
        refresh::every(self.refresh_interval, "dockerswarm", &context, swarm).await;
    }
}

struct Swarm {
    api: Api,
    role: SwarmRole,
    port: i64,
    lists: NameLists,
}

impl Source for Swarm {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let api = &mut self.api;
        let targets = match self.role {
            SwarmRole::Nodes => {
                let nodes = listed(api.list("/nodes", true).await, "listing swarm nodes")?;
                nodes_found(&nodes, self.port, &self.lists)?
            }
            SwarmRole::Services => {
                let services = listed(api.list("/services", true).await, "listing swarm services")?;
                let networks = listed(api.list("/networks", false).await, "computing swarm network labels")?;
                services_found(&services, &Networks::read(&networks)?, self.port, &self.lists)?
            }
            SwarmRole::Tasks => {
                let tasks = listed(api.list("/tasks", true).await, "listing swarm services")?;
                let services =
                    listed(api.list("/services", false).await, "computing services labels and ports")?;
                let nodes = listed(api.list("/nodes", false).await, "computing nodes labels and ports")?;
                let networks = listed(api.list("/networks", false).await, "computing swarm network labels")?;
                let around = Around { services: &services, nodes: &nodes, networks: &networks };
                tasks_found(&tasks, &around, self.port, &self.lists)?
            }
        };
        Ok(vec![TargetGroup::of(SOURCE, targets)])
    }
}

fn listed(answer: Result<Vec<u8>, String>, doing: &str) -> Result<Vec<u8>, String> {
    answer.map_err(|err| format!("error while {doing}: {err}"))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<Vec<T>, String> {
    serde_json::from_slice::<Many<T>>(body).map(|many| many.0).map_err(|err| err.to_string())
}

type Found = Result<Vec<crate::label_set::LabelParts>, String>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Node<'a> {
    #[serde(borrow, rename = "ID")]
    id: Text<'a>,
    #[serde(borrow)]
    spec: Or<NodeSpec<'a>>,
    #[serde(borrow)]
    description: Or<Description<'a>>,
    #[serde(borrow)]
    status: Or<NodeStatus<'a>>,
    #[serde(borrow)]
    manager_status: Option<ManagerStatus<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct NodeSpec<'a> {
    #[serde(borrow)]
    labels: TextMap<'a>,
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    availability: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Description<'a> {
    #[serde(borrow)]
    hostname: Text<'a>,
    #[serde(borrow)]
    platform: Or<Platform<'a>>,
    #[serde(borrow)]
    engine: Or<Engine<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Platform<'a> {
    #[serde(borrow)]
    architecture: Text<'a>,
    #[serde(borrow, rename = "OS")]
    os: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Engine<'a> {
    #[serde(borrow)]
    engine_version: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct NodeStatus<'a> {
    #[serde(borrow)]
    state: Text<'a>,
    #[serde(borrow)]
    addr: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ManagerStatus<'a> {
    leader: Or<bool>,
    #[serde(borrow)]
    reachability: Text<'a>,
    #[serde(borrow)]
    addr: Text<'a>,
}

impl Node<'_> {
    /// What a node and its tasks have.
    fn push(&self, pairs: &mut Pairs) {
        let platform = &self.description.platform;
        let own = [
            ("id", &self.id),
            ("role", &self.spec.role),
            ("availability", &self.spec.availability),
            ("hostname", &self.description.hostname),
            ("platform_architecture", &platform.architecture),
            ("platform_os", &platform.os),
            ("status", &self.status.state),
            ("address", &self.status.addr),
        ];
        for (name, value) in own {
            pairs.push_sanitized(&[META, "node_", name], "", value);
        }
        for (name, value) in &self.spec.labels.0 {
            pairs.push_sanitized(&[META, "node_label_"], name, value);
        }
    }
}

fn nodes_found(body: &[u8], port: i64, lists: &NameLists) -> Found {
    let mut pairs = Pairs::default();
    let targets = read::<Node<'_>>(body)?.into_iter().map(|node| {
        node.push(&mut pairs);
        pairs.push("__meta_dockerswarm_node_engine_version", &node.description.engine.engine_version);
        if let Some(manager) = &node.manager_status {
            let leader = if *manager.leader { "true" } else { "false" };
            pairs.push("__meta_dockerswarm_node_manager_leader", leader);
            pairs.push("__meta_dockerswarm_node_manager_reachability", &manager.reachability);
            pairs.push("__meta_dockerswarm_node_manager_address", &manager.addr);
        }
        pairs.push(ADDRESS, &join_host_port(&node.status.addr, port));
        pairs.take(lists).into()
    });
    Ok(targets.collect())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Service<'a> {
    #[serde(borrow, rename = "ID")]
    id: Text<'a>,
    #[serde(borrow)]
    spec: Or<ServiceSpec<'a>>,
    #[serde(borrow)]
    endpoint: Or<ServiceEndpoint<'a>>,
    #[serde(borrow)]
    update_status: Option<UpdateStatus<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceSpec<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    labels: TextMap<'a>,
    mode: Or<Mode>,
    #[serde(borrow)]
    task_template: Or<TaskSpec<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Mode {
    replicated: Option<serde::de::IgnoredAny>,
    global: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct TaskSpec<'a> {
    #[serde(borrow)]
    container_spec: Option<ContainerSpec<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec<'a> {
    #[serde(borrow)]
    image: Text<'a>,
    #[serde(borrow)]
    hostname: Text<'a>,
    #[serde(borrow)]
    labels: TextMap<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct UpdateStatus<'a> {
    #[serde(borrow)]
    state: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceEndpoint<'a> {
    #[serde(borrow)]
    ports: Many<PublishedPort<'a>>,
    #[serde(borrow, rename = "VirtualIPs")]
    virtual_ips: Many<VirtualIp<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct PublishedPort<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    protocol: Text<'a>,
    published_port: Or<u32>,
    #[serde(borrow)]
    publish_mode: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct VirtualIp<'a> {
    #[serde(borrow, rename = "NetworkID")]
    network_id: Text<'a>,
    #[serde(borrow)]
    addr: Text<'a>,
}

impl PublishedPort<'_> {
    fn is_tcp(&self) -> bool {
        *self.protocol == *"tcp"
    }
}

impl Service<'_> {
    /// What a service and its tasks have.
    fn push(&self, pairs: &mut Pairs) {
        pairs.push("__meta_dockerswarm_service_id", &self.id);
        pairs.push("__meta_dockerswarm_service_name", &self.spec.name);
        let mode = &self.spec.mode;
        let mode = match (&mode.global, &mode.replicated) {
            (Some(_), _) => "global",
            (None, Some(_)) => "replicated",
            (None, None) => "",
        };
        pairs.push("__meta_dockerswarm_service_mode", mode);
        for (name, value) in &self.spec.labels.0 {
            pairs.push_sanitized(&[META, "service_label_"], name, value);
        }
    }
}

/// The address of `10.0.0.1/24`.
fn address_of(network: &str) -> Result<String, String> {
    let address = network.split_once('/').and_then(|(address, bits)| {
        let address: std::net::IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        bits.parse::<u8>().ok().filter(|bits| *bits <= most).map(|_| address.to_string())
    });
    address.ok_or_else(|| format!("error while parsing address {network}: invalid CIDR address: {network}"))
}

fn services_found(body: &[u8], networks: &Networks<'_>, port: i64, lists: &NameLists) -> Found {
    let mut pairs = Pairs::default();
    let mut targets = Vec::new();
    for service in read::<Service<'_>>(body)? {
        for virtual_ip in &service.endpoint.virtual_ips.0 {
            let ip = address_of(&virtual_ip.addr)?;
            let push_common = |pairs: &mut Pairs| {
                service.push(pairs);
                if let Some(container) = &service.spec.task_template.container_spec {
                    pairs.push("__meta_dockerswarm_service_task_container_hostname", &container.hostname);
                    pairs.push("__meta_dockerswarm_service_task_container_image", &container.image);
                }
                if let Some(update) = &service.update_status {
                    pairs.push("__meta_dockerswarm_service_updating_status", &update.state);
                }
                networks.push(pairs, META, &virtual_ip.network_id);
            };
            let before = targets.len();
            for published in service.endpoint.ports.0.iter().filter(|port| port.is_tcp()) {
                pairs.push("__meta_dockerswarm_service_endpoint_port_name", &published.name);
                pairs.push("__meta_dockerswarm_service_endpoint_port_publish_mode", &published.publish_mode);
                push_common(&mut pairs);
                pairs.push(ADDRESS, &join_host_port(&ip, *published.published_port));
                targets.push(pairs.take(lists).into());
            }
            if targets.len() == before {
                push_common(&mut pairs);
                pairs.push(ADDRESS, &join_host_port(&ip, port));
                targets.push(pairs.take(lists).into());
            }
        }
    }
    Ok(targets)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Task<'a> {
    #[serde(borrow, rename = "ID")]
    id: Text<'a>,
    #[serde(borrow, rename = "ServiceID")]
    service_id: Text<'a>,
    #[serde(borrow, rename = "NodeID")]
    node_id: Text<'a>,
    slot: Or<i64>,
    #[serde(borrow)]
    desired_state: Text<'a>,
    #[serde(borrow)]
    spec: Or<TaskSpec<'a>>,
    #[serde(borrow)]
    status: Or<TaskStatus<'a>>,
    #[serde(borrow)]
    networks_attachments: Many<Attachment<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct TaskStatus<'a> {
    #[serde(borrow)]
    state: Text<'a>,
    #[serde(borrow)]
    container_status: Option<ContainerStatus<'a>>,
    #[serde(borrow)]
    port_status: Or<PortStatus<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerStatus<'a> {
    #[serde(borrow, rename = "ContainerID")]
    container_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct PortStatus<'a> {
    #[serde(borrow)]
    ports: Many<PublishedPort<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Attachment<'a> {
    #[serde(borrow)]
    network: Or<AttachedNetwork<'a>>,
    #[serde(borrow)]
    addresses: Many<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct AttachedNetwork<'a> {
    #[serde(borrow, rename = "ID")]
    id: Text<'a>,
}

/// Answers about what tasks belong to.
struct Around<'a> {
    services: &'a [u8],
    nodes: &'a [u8],
    networks: &'a [u8],
}

fn tasks_found(body: &[u8], around: &Around<'_>, port: i64, lists: &NameLists) -> Found {
    let services = read::<Service<'_>>(around.services)?;
    let services: BTreeMap<&str, &Service<'_>> = services.iter().map(|one| (&*one.id, one)).collect();
    let nodes = read::<Node<'_>>(around.nodes)?;
    let nodes: BTreeMap<&str, &Node<'_>> = nodes.iter().map(|one| (&*one.id, one)).collect();
    let networks = Networks::read(around.networks)?;
    let mut pairs = Pairs::default();
    let mut targets = Vec::new();
    for task in read::<Task<'_>>(body)? {
        let service = services.get(&*task.service_id);
        let node = nodes.get(&*task.node_id);
        let slot = task.slot.to_string();
        let push_common = |pairs: &mut Pairs| {
            pairs.push("__meta_dockerswarm_task_id", &task.id);
            pairs.push("__meta_dockerswarm_task_desired_state", &task.desired_state);
            pairs.push("__meta_dockerswarm_task_state", &task.status.state);
            pairs.push("__meta_dockerswarm_task_slot", &slot);
            if let Some(container) = &task.status.container_status {
                pairs.push("__meta_dockerswarm_task_container_id", &container.container_id);
            }
            for (name, value) in task.spec.container_spec.iter().flat_map(|container| &container.labels.0) {
                pairs.push_sanitized(&[META, "container_label_"], name, value);
            }
            service.iter().for_each(|service| service.push(pairs));
            node.iter().for_each(|node| node.push(pairs));
        };
        for published in task.status.port_status.ports.0.iter().filter(|port| port.is_tcp()) {
            pairs.push("__meta_dockerswarm_task_port_publish_mode", &published.publish_mode);
            push_common(&mut pairs);
            let host = node.map_or("", |node| &node.status.addr);
            pairs.push(ADDRESS, &join_host_port(host, *published.published_port));
            targets.push(pairs.take(lists).into());
        }
        for attachment in &task.networks_attachments.0 {
            for address in &attachment.addresses.0 {
                let ip = address_of(address)?;
                let before = targets.len();
                let ports = service.iter().flat_map(|service| &service.endpoint.ports.0);
                for published in ports.filter(|port| port.is_tcp()) {
                    pairs.push("__meta_dockerswarm_task_port_publish_mode", &published.publish_mode);
                    push_common(&mut pairs);
                    networks.push(&mut pairs, META, &attachment.network.id);
                    pairs.push(ADDRESS, &join_host_port(&ip, *published.published_port));
                    targets.push(pairs.take(lists).into());
                }
                if targets.len() == before {
                    push_common(&mut pairs);
                    networks.push(&mut pairs, META, &attachment.network.id);
                    pairs.push(ADDRESS, &join_host_port(&ip, port));
                    targets.push(pairs.take(lists).into());
                }
            }
        }
    }
    Ok(targets)
}

/// Reads every kind of answer: for fuzzing.
pub(super) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let around = Around { services: body, nodes: body, networks: body };
    let Ok(networks) = Networks::read(body) else { return 0 };
    let found = [
        nodes_found(body, 1, lists),
        services_found(body, &networks, 1, lists),
        tasks_found(body, &around, 1, lists),
    ];
    found.into_iter().map(|found| found.map_or(0, |targets| targets.len())).sum()
}
