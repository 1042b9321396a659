//! `rds_sd_configs`: instances of databases in clusters of RDS.

use std::collections::BTreeMap;

use cloudauth::Service;
use futures_util::future::try_join_all;

use super::document::Element;
use super::{AwsFilter, AwsOptions, Client, action};
use crate::cloud::targets::Targets;
use crate::cloud::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_rds_";
const VERSION: &str = "2014-10-31";
const SERVICE: Service = Service { host: "rds", signing: "rds", variable: "RDS" };

/// Ends of labels of clusters, and where their values are in a cluster.
const OF_CLUSTERS: &[(&str, &str)] = &[
    ("activity_stream_kinesis_stream_name", "ActivityStreamKinesisStreamName"),
    ("activity_stream_kms_key_id", "ActivityStreamKmsKeyId"),
    ("activity_stream_mode", "ActivityStreamMode"),
    ("activity_stream_status", "ActivityStreamStatus"),
    ("allocated_storage", "AllocatedStorage"),
    ("arn", "DBClusterArn"),
    ("auto_minor_version_upgrade", "AutoMinorVersionUpgrade"),
    ("automatic_restart_time", "AutomaticRestartTime"),
    ("aws_backup_recovery_point_arn", "AwsBackupRecoveryPointArn"),
    ("backtrack_consumed_change_records", "BacktrackConsumedChangeRecords"),
    ("backtrack_window", "BacktrackWindow"),
    ("backup_retention_period", "BackupRetentionPeriod"),
    ("capacity", "Capacity"),
    ("character_set_name", "CharacterSetName"),
    ("clone_group_id", "CloneGroupId"),
    ("cluster_create_time", "ClusterCreateTime"),
    ("cluster_scalability_type", "ClusterScalabilityType"),
    ("copy_tags_to_snapshot", "CopyTagsToSnapshot"),
    ("cross_account_clone", "CrossAccountClone"),
    ("database_insights_mode", "DatabaseInsightsMode"),
    ("database_name", "DatabaseName"),
    ("db_system_id", "DBSystemId"),
    ("deletion_protection", "DeletionProtection"),
    ("earliest_backtrack_time", "EarliestBacktrackTime"),
    ("earliest_restorable_time", "EarliestRestorableTime"),
    ("endpoint", "Endpoint"),
    ("engine", "Engine"),
    ("engine_lifecycle_support", "EngineLifecycleSupport"),
    ("engine_mode", "EngineMode"),
    ("engine_version", "EngineVersion"),
    ("global_cluster_identifier", "GlobalClusterIdentifier"),
    ("global_write_forwarding_requested", "GlobalWriteForwardingRequested"),
    ("global_write_forwarding_status", "GlobalWriteForwardingStatus"),
    ("hosted_zone_id", "HostedZoneId"),
    ("http_endpoint_enabled", "HttpEndpointEnabled"),
    ("iam_database_authentication_enabled", "IAMDatabaseAuthenticationEnabled"),
    ("identifier", "DBClusterIdentifier"),
    ("instance_class", "DBClusterInstanceClass"),
    ("io_optimized_next_allowed_modification_time", "IOOptimizedNextAllowedModificationTime"),
    ("iops", "Iops"),
    ("kms_key_id", "KmsKeyId"),
    ("latest_restorable_time", "LatestRestorableTime"),
    ("local_write_forwarding_status", "LocalWriteForwardingStatus"),
    ("master_username", "MasterUsername"),
    ("monitoring_interval", "MonitoringInterval"),
    ("monitoring_role_arn", "MonitoringRoleArn"),
    ("multi_az", "MultiAZ"),
    ("network_type", "NetworkType"),
    ("parameter_group", "DBClusterParameterGroup"),
    ("percent_progress", "PercentProgress"),
    ("performance_insights_enabled", "PerformanceInsightsEnabled"),
    ("performance_insights_kms_key_id", "PerformanceInsightsKMSKeyId"),
    ("performance_insights_retention_period", "PerformanceInsightsRetentionPeriod"),
    ("port", "Port"),
    ("preferred_backup_window", "PreferredBackupWindow"),
    ("preferred_maintenance_window", "PreferredMaintenanceWindow"),
    ("publicly_accessible", "PubliclyAccessible"),
    ("reader_endpoint", "ReaderEndpoint"),
    ("replication_source_identifier", "ReplicationSourceIdentifier"),
    ("resource_id", "DbClusterResourceId"),
    ("serverless_v2_platform_version", "ServerlessV2PlatformVersion"),
    ("status", "Status"),
    ("storage_encrypted", "StorageEncrypted"),
    ("storage_encryption_type", "StorageEncryptionType"),
    ("storage_throughput", "StorageThroughput"),
    ("storage_type", "StorageType"),
    ("subnet_group", "DBSubnetGroup"),
    ("upgrade_rollout_order", "UpgradeRolloutOrder"),
];

/// Ends of labels of instances, and where their values are in an instance.
const OF_INSTANCES: &[(&str, &str)] = &[
    ("activity_stream_engine_native_audit_fields_included", "ActivityStreamEngineNativeAuditFieldsIncluded"),
    ("activity_stream_kinesis_stream_name", "ActivityStreamKinesisStreamName"),
    ("activity_stream_kms_key_id", "ActivityStreamKmsKeyId"),
    ("activity_stream_mode", "ActivityStreamMode"),
    ("activity_stream_policy_status", "ActivityStreamPolicyStatus"),
    ("activity_stream_status", "ActivityStreamStatus"),
    ("allocated_storage", "AllocatedStorage"),
    ("arn", "DBInstanceArn"),
    ("auto_minor_version_upgrade", "AutoMinorVersionUpgrade"),
    ("automatic_restart_time", "AutomaticRestartTime"),
    ("automation_mode", "AutomationMode"),
    ("availability_zone", "AvailabilityZone"),
    ("aws_backup_recovery_point_arn", "AwsBackupRecoveryPointArn"),
    ("backup_retention_period", "BackupRetentionPeriod"),
    ("backup_target", "BackupTarget"),
    ("ca_certificate_identifier", "CACertificateIdentifier"),
    ("character_set_name", "CharacterSetName"),
    ("class", "DBInstanceClass"),
    ("copy_tags_to_snapshot", "CopyTagsToSnapshot"),
    ("custom_iam_instance_profile", "CustomIamInstanceProfile"),
    ("customer_owned_ip_enabled", "CustomerOwnedIpEnabled"),
    ("database_insights_mode", "DatabaseInsightsMode"),
    ("db_cluster_identifier", "DBClusterIdentifier"),
    ("db_name", "DBName"),
    ("db_system_id", "DBSystemId"),
    ("dedicated_log_volume", "DedicatedLogVolume"),
    ("deletion_protection", "DeletionProtection"),
    ("endpoint_address", "Endpoint/Address"),
    ("endpoint_hosted_zone_id", "Endpoint/HostedZoneId"),
    ("endpoint_port", "Endpoint/Port"),
    ("engine", "Engine"),
    ("engine_lifecycle_support", "EngineLifecycleSupport"),
    ("engine_version", "EngineVersion"),
    ("enhanced_monitoring_resource_arn", "EnhancedMonitoringResourceArn"),
    ("iam_database_authentication_enabled", "IAMDatabaseAuthenticationEnabled"),
    ("identifier", "DBInstanceIdentifier"),
    ("instance_create_time", "InstanceCreateTime"),
    ("iops", "Iops"),
    ("is_storage_config_upgrade_available", "IsStorageConfigUpgradeAvailable"),
    ("kms_key_id", "KmsKeyId"),
    ("latest_restorable_time", "LatestRestorableTime"),
    ("license_model", "LicenseModel"),
    ("listener_endpoint_address", "ListenerEndpoint/Address"),
    ("listener_endpoint_hosted_zone_id", "ListenerEndpoint/HostedZoneId"),
    ("listener_endpoint_port", "ListenerEndpoint/Port"),
    ("master_username", "MasterUsername"),
    ("max_allocated_storage", "MaxAllocatedStorage"),
    ("monitoring_interval", "MonitoringInterval"),
    ("monitoring_role_arn", "MonitoringRoleArn"),
    ("multi_az", "MultiAZ"),
    ("multi_tenant", "MultiTenant"),
    ("nchar_character_set_name", "NcharCharacterSetName"),
    ("network_type", "NetworkType"),
    ("percent_progress", "PercentProgress"),
    ("performance_insights_enabled", "PerformanceInsightsEnabled"),
    ("performance_insights_kms_key_id", "PerformanceInsightsKMSKeyId"),
    ("performance_insights_retention_period", "PerformanceInsightsRetentionPeriod"),
    ("port", "DbInstancePort"),
    ("preferred_backup_window", "PreferredBackupWindow"),
    ("preferred_maintenance_window", "PreferredMaintenanceWindow"),
    ("promotion_tier", "PromotionTier"),
    ("publicly_accessible", "PubliclyAccessible"),
    ("read_replica_source_db_cluster_identifier", "ReadReplicaSourceDBClusterIdentifier"),
    ("read_replica_source_db_instance_identifier", "ReadReplicaSourceDBInstanceIdentifier"),
    ("replica_mode", "ReplicaMode"),
    ("resource_id", "DbiResourceId"),
    ("resume_full_automation_mode_time", "ResumeFullAutomationModeTime"),
    ("secondary_availability_zone", "SecondaryAvailabilityZone"),
    ("status", "DBInstanceStatus"),
    ("storage_encrypted", "StorageEncrypted"),
    ("storage_encryption_type", "StorageEncryptionType"),
    ("storage_throughput", "StorageThroughput"),
    ("storage_type", "StorageType"),
    ("storage_volume_status", "StorageVolumeStatus"),
    ("subnet_group", "DBSubnetGroup/DBSubnetGroupName"),
    ("tde_credential_arn", "TdeCredentialArn"),
    ("timezone", "Timezone"),
    ("upgrade_rollout_order", "UpgradeRolloutOrder"),
];

/// An `rds_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdsOptions {
    /// What every service is told.
    pub aws: AwsOptions,
    /// Which clusters, by ARN; all if none.
    pub clusters: Vec<String>,
    /// Which instances; all if none.
    pub filters: Vec<AwsFilter>,
}

impl Provider for Box<RdsOptions> {
    fn validate(&self) -> Result<(), String> {
        Client::new(&self.aws, SERVICE).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.aws.refresh_interval;
        let lists = context.lists.clone();
        let source = Client::new(&self.aws, SERVICE).map(|client| Rds { client, options: *self, lists });
        refresh::every(interval, "rds", &context, source).await;
    }
}

struct Rds {
    client: Client,
    options: RdsOptions,
    lists: NameLists,
}

impl Source for Rds {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let region = self.client.region().await?;
        let mut targets = Targets::new(PREFIX, &self.lists);
        let clusters = self.clusters().await.map_err(|err| format!("error describing DB clusters: {err}"))?;
        let asked = clusters.values().map(|cluster| self.instances(cluster.text("DBClusterArn")));
        let instances = try_join_all(asked).await;
        let instances = instances.map_err(|err| format!("error describing DB instances: {err}"))?;
        for (cluster, instances) in clusters.values().zip(instances) {
            for instance in instances.iter().flat_map(|page| page.list("DBInstances")) {
                Rds::add(self.options.aws.port, &mut targets, cluster, instance);
            }
        }
        Ok(targets.into_groups(region))
    }
}

impl Rds {
    /// The wanted clusters by ARN.
    async fn clusters(&self) -> Result<BTreeMap<String, Element>, String> {
        let mut clusters = BTreeMap::new();
        for arn in self.options.clusters.clone() {
            let form = action("DescribeDBClusters", VERSION, &[("DBClusterIdentifier", &arn)]);
            let last =
                self.pages(form).await?.into_iter().flat_map(|page| page.into_list("DBClusters")).last();
            let cluster = last.ok_or_else(|| format!("no DB cluster found for ARN {arn}"))?;
            clusters.insert(arn, cluster);
        }
        if self.options.clusters.is_empty() {
            for page in self.pages(action("DescribeDBClusters", VERSION, &[])).await? {
                let found = page.into_list("DBClusters").into_iter();
                clusters.extend(found.map(|cluster| (cluster.text("DBClusterArn"), cluster)));
            }
            clusters.remove("");
        }
        Ok(clusters)
    }

    async fn instances(&self, cluster: String) -> Result<Vec<Element>, String> {
        let mut form = action("DescribeDBInstances", VERSION, &[]);
        let of_cluster = AwsFilter { name: "db-cluster-id".to_owned(), values: vec![cluster] };
        for (i, filter) in (1..).zip(std::iter::once(&of_cluster).chain(&self.options.filters)) {
            form.push((format!("Filters.Filter.{i}.Name"), filter.name.clone()));
            let values = (1..).zip(&filter.values);
            form.extend(
                values.map(|(j, value)| (format!("Filters.Filter.{i}.Values.Value.{j}"), value.clone())),
            );
        }
        self.pages(form).await
    }

    /// The results of an action, page by page.
    async fn pages(&self, mut form: Vec<(String, String)>) -> Result<Vec<Element>, String> {
        form.push(("MaxRecords".to_owned(), "100".to_owned()));
        let (mut pages, mut marker) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let mut form = form.clone();
            form.extend((!marker.is_empty()).then(|| ("Marker".to_owned(), marker.clone())));
            let result = self.client.query_document(&form).await?.into_result()?;
            marker = result.text("Marker");
            pages.push(result);
            if marker.is_empty() {
                return Ok(pages);
            }
        }
        Err(endless("databases"))
    }

    fn add(port: i64, targets: &mut Targets, cluster: &Element, instance: &Element) {
        for (name, path) in OF_CLUSTERS {
            targets.label(&format!("cluster_{name}"), &cluster.text(path));
        }
        for (name, path) in OF_INSTANCES {
            targets.label(&format!("instance_{name}"), &instance.text(path));
        }
        let id = instance.text("DBInstanceIdentifier");
        let members = cluster.list("DBClusterMembers").iter();
        if let Some(member) = members.rev().find(|member| member.text("DBInstanceIdentifier") == id) {
            targets.label("instance_is_cluster_writer", &member.text("IsClusterWriter"));
        }
        cluster.add_tags("TagList", targets, "cluster_tag_");
        instance.add_tags("TagList", targets, "instance_tag_");
        let address = instance.text("Endpoint/Address");
        if !address.is_empty() && !instance.text("Endpoint/Port").is_empty() {
            targets.address(&address, port);
        }
        targets.end_target();
    }
}

/// Reads `body` as an answer; how many databases are in it.
pub(super) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let Ok(result) = Element::parse(body).and_then(Element::into_result) else { return 0 };
    let mut targets = Targets::new(PREFIX, lists);
    let databases = result.list("DBInstances").iter().chain(result.list("DBClusters"));
    databases.for_each(|database| Rds::add(80, &mut targets, database, database));
    targets.into_groups("").iter().map(|group| group.targets.len()).sum()
}
