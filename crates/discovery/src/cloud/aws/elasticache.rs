//! `elasticache_sd_configs`: nodes of clusters of ElastiCache, and serverless caches.

use std::collections::{BTreeSet, HashMap};

use cloudauth::Service;
use futures_util::future::try_join_all;

use super::document::Element;
use super::{AwsOptions, Client, action};
use crate::cloud::targets::Targets;
use crate::cloud::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_elasticache_";
const VERSION: &str = "2015-02-02";
const SERVICE: Service = Service { host: "elasticache", signing: "elasticache", variable: "ELASTICACHE" };

/// Ends of labels, and where their values are in a cluster.
const OF_CLUSTERS: &[(&str, &str)] = &[
    ("cache_cluster_arn", "ARN"),
    ("cache_cluster_at_rest_encryption_enabled", "AtRestEncryptionEnabled"),
    ("cache_cluster_auth_token_enabled", "AuthTokenEnabled"),
    ("cache_cluster_auth_token_last_modified", "AuthTokenLastModifiedDate"),
    ("cache_cluster_auto_minor_version_upgrade", "AutoMinorVersionUpgrade"),
    ("cache_cluster_cache_cluster_create_time", "CacheClusterCreateTime"),
    ("cache_cluster_cache_cluster_id", "CacheClusterId"),
    ("cache_cluster_cache_cluster_status", "CacheClusterStatus"),
    ("cache_cluster_cache_node_type", "CacheNodeType"),
    ("cache_cluster_cache_parameter_group", "CacheParameterGroup/CacheParameterGroupName"),
    ("cache_cluster_cache_subnet_group_name", "CacheSubnetGroupName"),
    ("cache_cluster_client_download_landing_page", "ClientDownloadLandingPage"),
    ("cache_cluster_configuration_endpoint_address", "ConfigurationEndpoint/Address"),
    ("cache_cluster_configuration_endpoint_port", "ConfigurationEndpoint/Port"),
    ("cache_cluster_engine", "Engine"),
    ("cache_cluster_engine_version", "EngineVersion"),
    ("cache_cluster_ip_discovery", "IpDiscovery"),
    ("cache_cluster_network_type", "NetworkType"),
    ("cache_cluster_notification_topic_arn", "NotificationConfiguration/TopicArn"),
    ("cache_cluster_notification_topic_status", "NotificationConfiguration/TopicStatus"),
    ("cache_cluster_num_cache_nodes", "NumCacheNodes"),
    ("cache_cluster_pending_modified_values_auth_token_status", "PendingModifiedValues/AuthTokenStatus"),
    ("cache_cluster_pending_modified_values_cache_node_type", "PendingModifiedValues/CacheNodeType"),
    ("cache_cluster_pending_modified_values_engine_version", "PendingModifiedValues/EngineVersion"),
    ("cache_cluster_pending_modified_values_num_cache_nodes", "PendingModifiedValues/NumCacheNodes"),
    (
        "cache_cluster_pending_modified_values_transit_encryption_enabled",
        "PendingModifiedValues/TransitEncryptionEnabled",
    ),
    (
        "cache_cluster_pending_modified_values_transit_encryption_mode",
        "PendingModifiedValues/TransitEncryptionMode",
    ),
    ("cache_cluster_preferred_availability_zone", "PreferredAvailabilityZone"),
    ("cache_cluster_preferred_maintenance_window", "PreferredMaintenanceWindow"),
    ("cache_cluster_preferred_outpost_arn", "PreferredOutpostArn"),
    ("cache_cluster_replication_group_id", "ReplicationGroupId"),
    ("cache_cluster_replication_group_log_delivery_enabled", "ReplicationGroupLogDeliveryEnabled"),
    ("cache_cluster_snapshot_retention_limit", "SnapshotRetentionLimit"),
    ("cache_cluster_snapshot_window", "SnapshotWindow"),
    ("cache_cluster_transit_encryption_enabled", "TransitEncryptionEnabled"),
    ("cache_cluster_transit_encryption_mode", "TransitEncryptionMode"),
];

/// Ends of labels, and where their values are in a node.
const OF_NODES: &[(&str, &str)] = &[
    ("cache_cluster_node_availability_zone", "CustomerAvailabilityZone"),
    ("cache_cluster_node_create_time", "CacheNodeCreateTime"),
    ("cache_cluster_node_customer_outpost_arn", "CustomerOutpostArn"),
    ("cache_cluster_node_endpoint_address", "Endpoint/Address"),
    ("cache_cluster_node_endpoint_port", "Endpoint/Port"),
    ("cache_cluster_node_id", "CacheNodeId"),
    ("cache_cluster_node_parameter_group_status", "ParameterGroupStatus"),
    ("cache_cluster_node_source_cache_node_id", "SourceCacheNodeId"),
    ("cache_cluster_node_status", "CacheNodeStatus"),
];

/// Ends of labels, and where their values are in a serverless cache. That an underscore is missing is how they are called.
const OF_SERVERLESS: &[(&str, &str)] = &[
    ("serverless_cache_arn", "ARN"),
    ("serverless_cache_cache_usage_limit_data_storagemaximum", "CacheUsageLimits/DataStorage/Maximum"),
    ("serverless_cache_cache_usage_limit_data_storageminimum", "CacheUsageLimits/DataStorage/Minimum"),
    ("serverless_cache_cache_usage_limit_data_storageunit", "CacheUsageLimits/DataStorage/Unit"),
    ("serverless_cache_cache_usage_limit_ecpu_per_secondmaximum", "CacheUsageLimits/ECPUPerSecond/Maximum"),
    ("serverless_cache_cache_usage_limit_ecpu_per_secondminimum", "CacheUsageLimits/ECPUPerSecond/Minimum"),
    ("serverless_cache_create_time", "CreateTime"),
    ("serverless_cache_daily_snapshot_time", "DailySnapshotTime"),
    ("serverless_cache_description", "Description"),
    ("serverless_cache_endpoint_address", "Endpoint/Address"),
    ("serverless_cache_endpoint_port", "Endpoint/Port"),
    ("serverless_cache_endpoint_reader_address", "ReaderEndpoint/Address"),
    ("serverless_cache_endpoint_reader_port", "ReaderEndpoint/Port"),
    ("serverless_cache_engine", "Engine"),
    ("serverless_cache_full_engine_version", "FullEngineVersion"),
    ("serverless_cache_kms_key_id", "KmsKeyId"),
    ("serverless_cache_major_engine_version", "MajorEngineVersion"),
    ("serverless_cache_name", "ServerlessCacheName"),
    ("serverless_cache_snapshot_retention_limit", "SnapshotRetentionLimit"),
    ("serverless_cache_status", "Status"),
    ("serverless_cache_user_group_id", "UserGroupId"),
];

/// Ends of labels of the deliveries of logs, and where their values are.
const OF_DELIVERIES: &[(&str, &str)] = &[
    ("delivery_stream", "DestinationDetails/KinesisFirehoseDetails/DeliveryStream"),
    ("destination_type", "DestinationType"),
    ("log_format", "LogFormat"),
    ("log_group", "DestinationDetails/CloudWatchLogsDetails/LogGroup"),
    ("log_type", "LogType"),
    ("message", "Message"),
    ("status", "Status"),
];

/// An `elasticache_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElastiCacheOptions {
    /// What every service is told.
    pub aws: AwsOptions,
    /// Which caches, by ARN; all if none.
    pub clusters: Vec<String>,
}

impl Provider for Box<ElastiCacheOptions> {
    fn validate(&self) -> Result<(), String> {
        Client::new(&self.aws, SERVICE).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.aws.refresh_interval;
        let lists = context.lists.clone();
        let source =
            Client::new(&self.aws, SERVICE).map(|client| ElastiCache { client, options: *self, lists });
        refresh::every(interval, "elasticache", &context, source).await;
    }
}

struct ElastiCache {
    client: Client,
    options: ElastiCacheOptions,
    lists: NameLists,
}

impl Source for ElastiCache {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let region = self.client.region().await?;
        let serverless = self.serverless().await?;
        let clusters = self.clusters().await?;
        let arns: BTreeSet<String> =
            serverless.iter().chain(&clusters).map(|cache| cache.text("ARN")).collect();
        let tags = try_join_all(arns.iter().map(|arn| self.tags(arn))).await?;
        let tags: HashMap<String, Element> = arns.into_iter().zip(tags).collect();
        let mut targets = Targets::new(PREFIX, &self.lists);
        serverless.iter().for_each(|cache| add_serverless(&mut targets, cache, tags.get(&cache.text("ARN"))));
        clusters
            .iter()
            .for_each(|cluster| add_cluster(&mut targets, cluster, tags.get(&cluster.text("ARN"))));
        Ok(targets.into_groups(region))
    }
}

impl ElastiCache {
    /// The names of the wanted caches of a kind; one that is empty means all.
    fn wanted(&self, kind: &str) -> Vec<String> {
        let arns = self.options.clusters.iter().filter_map(|arn| {
            let mut parts = arn.split(':').skip(5);
            (parts.next() == Some(kind)).then(|| parts.next().map(str::to_owned))?
        });
        let names: Vec<String> = arns.collect();
        if names.is_empty() { vec![String::new()] } else { names }
    }

    async fn tags(&self, arn: &str) -> Result<Element, String> {
        let form = action("ListTagsForResource", VERSION, &[("ResourceName", arn)]);
        let found = self.client.query_document(&form).await.and_then(Element::into_result);
        found.map_err(|err| format!("failed to list tags for resource {arn}: {err}"))
    }

    async fn serverless(&self) -> Result<Vec<Element>, String> {
        let mut all = Vec::new();
        for name in self.wanted("serverlesscache") {
            let form = [("MaxResults", "50"), ("ServerlessCacheName", name.as_str())];
            let form = action("DescribeServerlessCaches", VERSION, &form);
            let pages = self.pages(form, "NextToken", name.is_empty()).await;
            let pages = pages.map_err(|err| format!("failed to describe serverless caches {name}: {err}"))?;
            all.extend(pages.into_iter().flat_map(|page| page.into_list("ServerlessCaches")));
        }
        Ok(all)
    }

    async fn clusters(&self) -> Result<Vec<Element>, String> {
        let mut all = Vec::new();
        for name in self.wanted("replicationgroup") {
            // Those of replication groups and the others are two lists.
            for alone in ["false", "true"] {
                let form = [
                    ("MaxRecords", "100"),
                    ("ShowCacheNodeInfo", "true"),
                    ("ShowCacheClustersNotInReplicationGroups", alone),
                    ("CacheClusterId", name.as_str()),
                ];
                let form = action("DescribeCacheClusters", VERSION, &form);
                let pages = self.pages(form, "Marker", name.is_empty()).await;
                let pages =
                    pages.map_err(|err| format!("failed to describe cache clusters {name}: {err}"))?;
                all.extend(pages.into_iter().flat_map(|page| page.into_list("CacheClusters")));
            }
        }
        Ok(all)
    }

    /// The results of an action: all pages, or the first alone.
    async fn pages(
        &self,
        form: Vec<(String, String)>,
        token: &str,
        all: bool,
    ) -> Result<Vec<Element>, String> {
        let (mut pages, mut next) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let mut form = form.clone();
            form.extend((!next.is_empty()).then(|| (token.to_owned(), next.clone())));
            let result = self.client.query_document(&form).await?.into_result()?;
            next = result.text(token);
            pages.push(result);
            if next.is_empty() || !all {
                return Ok(pages);
            }
        }
        Err(endless("caches"))
    }
}

fn add_all(targets: &mut Targets, from: &Element, table: &[(&str, &str)]) {
    for (name, path) in table {
        targets.label(name, &from.text(path));
    }
}

fn add_serverless(targets: &mut Targets, cache: &Element, tags: Option<&Element>) {
    targets.label("deployment_option", "serverless");
    add_all(targets, cache, OF_SERVERLESS);
    for (kind, list) in [("security_group_id", "SecurityGroupIds"), ("subnet_id", "SubnetIds")] {
        for (i, item) in cache.list(list).iter().enumerate() {
            targets.label(&format!("serverless_cache_{kind}_{i}"), item.own_text());
        }
    }
    if let Some(tags) = tags {
        tags.add_tags("TagList", targets, "serverless_cache_tag_");
    }
    add_address(targets, cache);
    targets.end_target();
}

fn add_address(targets: &mut Targets, of: &Element) {
    let (address, port) = (of.text("Endpoint/Address"), of.text("Endpoint/Port"));
    if let (false, Ok(port)) = (address.is_empty(), port.parse()) {
        targets.address(&address, port);
    }
}

/// A target for each node of a cluster.
fn add_cluster(targets: &mut Targets, cluster: &Element, tags: Option<&Element>) {
    targets.label("deployment_option", "node");
    add_all(targets, cluster, OF_CLUSTERS);
    for (i, delivery) in cluster.list("LogDeliveryConfigurations").iter().enumerate() {
        for (name, path) in OF_DELIVERIES {
            let name = format!("cache_cluster_log_delivery_configuration_{name}_{i}");
            targets.label(&name, &delivery.text(path));
        }
    }
    for (i, group) in cluster.list("SecurityGroups").iter().enumerate() {
        let name = |end: &str| format!("cache_cluster_security_group_membership_{end}_{i}");
        targets.label(&name("id"), &group.text("SecurityGroupId"));
        targets.label(&name("status"), &group.text("Status"));
    }
    let removed = cluster.list("PendingModifiedValues/CacheNodeIdsToRemove").iter().map(Element::own_text);
    let removed = removed.collect::<Vec<_>>().join(",");
    targets.label("cache_cluster_pending_modified_values_cache_node_ids_to_remove", &removed);
    if let Some(tags) = tags {
        tags.add_tags("TagList", targets, "cache_cluster_tag_");
    }
    let shared = targets.take_shared();
    for node in cluster.list("CacheNodes") {
        add_all(targets, node, OF_NODES);
        add_address(targets, node);
        targets.end_with(&shared);
    }
}

/// Reads `body` as an answer; how many nodes and caches are in it.
pub(super) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let Ok(result) = Element::parse(body).and_then(Element::into_result) else { return 0 };
    let mut targets = Targets::new(PREFIX, lists);
    let tags = Some(&result);
    result.list("ServerlessCaches").iter().for_each(|cache| add_serverless(&mut targets, cache, tags));
    result.list("CacheClusters").iter().for_each(|cluster| add_cluster(&mut targets, cluster, tags));
    targets.into_groups("").iter().map(|group| group.targets.len()).sum()
}
