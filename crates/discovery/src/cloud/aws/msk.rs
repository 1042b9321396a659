//! `msk_sd_configs`: nodes of Kafka clusters of MSK, a target for each of their endpoints.

use std::collections::BTreeMap;

use cloudauth::Service;
use futures_util::future::try_join_all;
use serde::Deserialize;

use super::{AwsOptions, Client};
use crate::cloud::targets::Targets;
use crate::cloud::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_msk_";
const SERVICE: Service = Service { host: "kafka", signing: "kafka", variable: "KAFKA" };

/// An `msk_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MskOptions {
    /// What every service is told.
    pub aws: AwsOptions,
    /// Which clusters, by ARN; all if none.
    pub clusters: Vec<String>,
}

impl Provider for Box<MskOptions> {
    fn validate(&self) -> Result<(), String> {
        Client::new(&self.aws, SERVICE).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.aws.refresh_interval;
        let lists = context.lists.clone();
        let source = Client::new(&self.aws, SERVICE).map(|client| Msk { client, options: *self, lists });
        refresh::every(interval, "msk", &context, source).await;
    }
}

struct Msk {
    client: Client,
    options: MskOptions,
    lists: NameLists,
}

impl Source for Msk {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let region = self.client.region().await?;
        let mut targets = Targets::new(PREFIX, &self.lists);
        let clusters = self.clusters().await?;
        let nodes = try_join_all(clusters.iter().map(|cluster| self.nodes(&cluster.arn))).await?;
        for (cluster, nodes) in clusters.iter().zip(nodes) {
            nodes.iter().for_each(|node| self.add(&mut targets, cluster, node));
        }
        Ok(targets.into_groups(region))
    }
}

impl Msk {
    async fn clusters(&self) -> Result<Vec<Cluster>, String> {
        if !self.options.clusters.is_empty() {
            return try_join_all(self.options.clusters.iter().map(|arn| self.cluster(arn))).await;
        }
        let mut clusters = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = vec![("clusterTypeFilter", "PROVISIONED"), ("maxResults", "100")];
            query.extend((!token.is_empty()).then_some(("nextToken", token.as_str())));
            let page: Result<Clusters, String> = self.client.get(&["api", "v2", "clusters"], &query).await;
            let page = page.map_err(|err| format!("could not list clusters: {err}"))?;
            clusters.extend(page.clusters.0);
            if page.next_token.is_empty() {
                return Ok(clusters);
            }
            token = page.next_token.0;
        }
        Err(endless("clusters"))
    }

    async fn cluster(&self, arn: &str) -> Result<Cluster, String> {
        let found: Result<Described, String> = self.client.get(&["api", "v2", "clusters", arn], &[]).await;
        let found = found.map_err(|err| format!("could not describe cluster {arn}: {err}"))?;
        Ok(found.cluster.0)
    }

    async fn nodes(&self, arn: &str) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = vec![("maxResults", "100")];
            query.extend((!token.is_empty()).then_some(("nextToken", token.as_str())));
            let page: Result<Nodes, String> =
                self.client.get(&["v1", "clusters", arn, "nodes"], &query).await;
            let page = page.map_err(|err| format!("could not list nodes for cluster {arn}: {err}"))?;
            nodes.extend(page.nodes.0);
            if page.next_token.is_empty() {
                return Ok(nodes);
            }
            token = page.next_token.0;
        }
        Err(endless("nodes"))
    }

    fn add(&self, targets: &mut Targets, cluster: &Cluster, node: &Node) {
        let (kind, endpoints) = match (&node.broker, &node.controller) {
            (Some(broker), _) => ("BROKER", &broker.endpoints),
            (None, Some(controller)) => ("CONTROLLER", &controller.endpoints),
            (None, None) => return,
        };
        let software = &cluster.provisioned.current_broker_software_info;
        let monitoring = &cluster.provisioned.open_monitoring.prometheus;
        let labels = [
            ("cluster_name", cluster.name.as_str()),
            ("cluster_arn", &cluster.arn),
            ("cluster_state", &cluster.state),
            ("cluster_type", &cluster.kind),
            ("cluster_version", &cluster.version),
            ("cluster_jmx_exporter_enabled", truth(*monitoring.jmx_exporter.enabled_in_broker)),
            ("cluster_configuration_arn", &software.configuration_arn),
            ("cluster_kafka_version", &software.kafka_version),
            ("node_arn", &node.arn),
            ("node_added_time", &node.added),
            ("node_instance_type", &node.instance_type),
            ("node_type", kind),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.number("cluster_configuration_revision", *software.configuration_revision);
        for (key, value) in &*cluster.tags {
            targets.labelled("cluster_tag_", key, value);
        }
        if let Some(broker) = &node.broker {
            targets.label("node_attached_eni", &broker.attached_eni);
            targets.label("broker_id", &format!("{:.0}", *broker.id));
            targets.label("broker_client_subnet", &broker.client_subnet);
            targets.label("broker_client_vpc_ip", &broker.client_vpc_ip);
            let enabled = truth(*monitoring.node_exporter.enabled_in_broker);
            targets.label("broker_node_exporter_enabled", enabled);
        }
        let shared = targets.take_shared();
        let index = if node.broker.is_some() { "broker_endpoint_index" } else { "controller_endpoint_index" };
        for (i, endpoint) in endpoints.0.iter().enumerate() {
            targets.number(index, i);
            targets.address(endpoint, self.options.aws.port);
            targets.end_with(&shared);
        }
    }
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Clusters {
    #[serde(rename = "clusterInfoList", default)]
    clusters: Many<Cluster>,
    #[serde(default)]
    next_token: Or<String>,
}

#[derive(Deserialize)]
struct Described {
    #[serde(rename = "clusterInfo")]
    cluster: Or<Cluster>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cluster {
    #[serde(rename = "clusterArn")]
    arn: Or<String>,
    #[serde(rename = "clusterName")]
    name: Or<String>,
    #[serde(rename = "clusterType")]
    kind: Or<String>,
    #[serde(rename = "currentVersion")]
    version: Or<String>,
    state: Or<String>,
    tags: Or<BTreeMap<String, String>>,
    provisioned: Or<Provisioned>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Provisioned {
    current_broker_software_info: Or<Software>,
    open_monitoring: Or<Monitoring>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Software {
    configuration_arn: Or<String>,
    configuration_revision: Or<i64>,
    kafka_version: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Monitoring {
    prometheus: Or<Exporters>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Exporters {
    jmx_exporter: Or<Exporter>,
    node_exporter: Or<Exporter>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Exporter {
    enabled_in_broker: Or<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes {
    #[serde(rename = "nodeInfoList", default)]
    nodes: Many<Node>,
    #[serde(default)]
    next_token: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Node {
    #[serde(rename = "nodeARN")]
    arn: Or<String>,
    #[serde(rename = "addedToClusterTime")]
    added: Or<String>,
    instance_type: Or<String>,
    #[serde(rename = "brokerNodeInfo")]
    broker: Option<Broker>,
    #[serde(rename = "controllerNodeInfo")]
    controller: Option<Controller>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Broker {
    #[serde(rename = "attachedENIId")]
    attached_eni: Or<String>,
    #[serde(rename = "brokerId")]
    id: Or<f64>,
    client_subnet: Or<String>,
    #[serde(rename = "clientVpcIpAddress")]
    client_vpc_ip: Or<String>,
    endpoints: Many<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Controller {
    endpoints: Many<String>,
}
