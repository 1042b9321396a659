//! `ecs_sd_configs`: tasks of ECS.
//!
//! A task has an address of its own (`awsvpc`), or that of the instance that it runs on; so EC2 is asked too.

use std::collections::{BTreeSet, HashMap};

use cloudauth::Service;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ec2::{self, InstancesAnswer, Items};
use super::{AwsOptions, Client, Tag, action, add_tags};
use crate::cloud::targets::Targets;
use crate::cloud::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_ecs_";
const SERVICE: Service = Service { host: "ecs", signing: "ecs", variable: "ECS" };

/// An `ecs_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsOptions {
    /// What every service is told.
    pub aws: AwsOptions,
    /// Which clusters, by ARN; all if none.
    pub clusters: Vec<String>,
}

impl Provider for Box<EcsOptions> {
    fn validate(&self) -> Result<(), String> {
        Client::new(&self.aws, SERVICE).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.aws.refresh_interval;
        let source = Ecs::new(*self, context.lists.clone());
        refresh::every(interval, "ecs", &context, source).await;
    }
}

struct Ecs {
    ecs: Client,
    ec2: Client,
    options: EcsOptions,
    lists: NameLists,
}

/// What of an instance is of interest.
#[derive(Default)]
struct Host {
    private_ip: String,
    public_ip: String,
    subnet_id: String,
    instance_type: String,
    tags: Vec<(String, String)>,
}

/// What is known about the tasks of a cluster.
struct Surroundings {
    cluster: Cluster,
    services: HashMap<String, EcsService>,
    /// Instances of EC2 by what ECS calls them.
    instance_ids: HashMap<String, String>,
    hosts: HashMap<String, Host>,
    /// Public addresses by interface.
    public_ips: HashMap<String, String>,
}

impl Source for Ecs {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let region = self.ecs.region().await?;
        let mut arns = self.options.clusters.clone();
        if arns.is_empty() {
            arns = self.list("AmazonEC2ContainerServiceV20141113.ListClusters", None).await?;
        }
        let mut targets = Targets::new(PREFIX, &self.lists);
        let clusters = self.clusters(&arns).await?;
        let found = try_join_all(arns.iter().map(|arn| self.tasks_of(arn, clusters.get(arn)))).await?;
        for (tasks, surroundings) in found.iter().flatten() {
            tasks.iter().for_each(|task| self.add(&mut targets, &region, task, surroundings));
        }
        Ok(targets.into_groups(region))
    }
}

impl Ecs {
    fn new(options: EcsOptions, lists: NameLists) -> Result<Self, String> {
        // The endpoint of the configuration is that of ECS.
        let of_ec2 = AwsOptions { endpoint: String::new(), ..options.aws.clone() };
        Ok(Ecs {
            ecs: Client::new(&options.aws, SERVICE)?,
            ec2: Client::new(&of_ec2, ec2::SERVICE)?,
            options,
            lists,
        })
    }

    /// All ARNs of a list, of one cluster or of the region.
    async fn list(&self, target: &'static str, cluster: Option<&str>) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let mut asked = json!({ "maxResults": 100 });
            if let Some(cluster) = cluster {
                asked["cluster"] = cluster.into();
            }
            if !token.is_empty() {
                asked["nextToken"] = token.into();
            }
            let page: Result<Arns, String> = self.ecs.action(target, &asked).await;
            let page =
                page.map_err(|err| format!("could not list {}: {err}", cluster.unwrap_or("clusters")))?;
            all.extend(page.arns.0);
            if page.next_token.is_empty() {
                return Ok(all);
            }
            token = page.next_token.0;
        }
        Err(endless("resources"))
    }

    /// The tasks of a cluster, if there are any.
    async fn tasks_of(
        &self,
        arn: &str,
        cluster: Option<&Cluster>,
    ) -> Result<Option<(Vec<Task>, Surroundings)>, String> {
        let services = self.list("AmazonEC2ContainerServiceV20141113.ListServices", Some(arn)).await?;
        let tasks = self.list("AmazonEC2ContainerServiceV20141113.ListTasks", Some(arn)).await?;
        let Some(cluster) = cluster.filter(|_| !tasks.is_empty()) else { return Ok(None) };
        match self.tasks(cluster, &services, &tasks).await {
            Ok(found) => Ok(Some(found)),
            // One cluster that cannot be looked into hides no other.
            Err(err) => {
                tracing::error!(cluster = arn, %err, "Failed to describe the tasks of a cluster");
                Ok(None)
            }
        }
    }

    async fn clusters(&self, arns: &[String]) -> Result<HashMap<String, Cluster>, String> {
        let mut found = HashMap::new();
        for arns in arns.chunks(100) {
            let asked = json!({ "clusters": arns, "include": ["TAGS"] });
            let answer: Result<Clusters, String> =
                self.ecs.action("AmazonEC2ContainerServiceV20141113.DescribeClusters", &asked).await;
            let answer = answer.map_err(|err| format!("could not describe clusters {arns:?}: {err}"))?;
            found.extend(answer.clusters.0.into_iter().map(|cluster| (cluster.arn.0.clone(), cluster)));
        }
        Ok(found)
    }

    /// Describes resources of a cluster, some at a time.
    async fn describe<T: DeserializeOwned>(
        &self,
        target: &'static str,
        cluster: &str,
        (key, arns, at_once): (&str, &[String], usize),
        include: &[&str],
    ) -> Result<Vec<T>, String> {
        let asked = arns.chunks(at_once).map(|arns| {
            let mut asked = json!({ "cluster": cluster });
            asked[key] = arns.into();
            if !include.is_empty() {
                asked["include"] = Value::from(include.to_vec());
            }
            async move { self.ecs.action(target, &asked).await }
        });
        try_join_all(asked).await
    }

    async fn tasks(
        &self,
        cluster: &Cluster,
        services: &[String],
        tasks: &[String],
    ) -> Result<(Vec<Task>, Surroundings), String> {
        let arn = cluster.arn.as_str();
        let target = "AmazonEC2ContainerServiceV20141113.DescribeServices";
        let services: Vec<Services> =
            self.describe(target, arn, ("services", services, 10), &["TAGS"]).await?;
        let services = services.into_iter().flat_map(|answer| answer.services.0);
        let services = services.map(|service| (service.name.0.clone(), service)).collect();
        let target = "AmazonEC2ContainerServiceV20141113.DescribeTasks";
        let tasks: Vec<Tasks> = self.describe(target, arn, ("tasks", tasks, 100), &["TAGS"]).await?;
        let tasks: Vec<Task> = tasks.into_iter().flat_map(|answer| answer.tasks.0).collect();

        let containers: Vec<String> =
            tasks.iter().filter_map(|task| task.container_instance.clone()).collect();
        let target = "AmazonEC2ContainerServiceV20141113.DescribeContainerInstances";
        let found: Vec<ContainerInstances> =
            self.describe(target, arn, ("containerInstances", &containers, 100), &[]).await?;
        let instance_ids: HashMap<String, String> = found
            .into_iter()
            .flat_map(|answer| answer.instances.0)
            .filter_map(|instance| Some((instance.arn?, instance.ec2_id?)))
            .collect();
        let interfaces: Vec<&str> =
            tasks.iter().filter_map(|task| task.interface()?.detail("networkInterfaceId")).collect();
        let public_ips = self.public_ips(&interfaces).await?;
        let ids: BTreeSet<&str> = instance_ids.values().map(String::as_str).collect();
        let hosts = self.hosts(&ids).await?;
        let cluster = cluster.clone();
        Ok((tasks, Surroundings { cluster, services, instance_ids, hosts, public_ips }))
    }

    async fn hosts(&self, ids: &BTreeSet<&str>) -> Result<HashMap<String, Host>, String> {
        let mut hosts = HashMap::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            if ids.is_empty() {
                return Ok(hosts);
            }
            let mut form = action("DescribeInstances", ec2::VERSION, &[("NextToken", &token)]);
            form.extend((1..).zip(ids).map(|(i, id)| (format!("InstanceId.{i}"), (*id).to_owned())));
            let page: Result<InstancesAnswer, String> = self.ec2.query(&form).await;
            let page = page.map_err(|err| format!("could not describe EC2 instances: {err}"))?;
            for instance in page.reservations.items.into_iter().flat_map(|r| r.instances.items) {
                let (Some(id), Some(private_ip)) = (instance.id, instance.private_ip) else { continue };
                let tags = instance.tags.items.into_iter().filter_map(|tag| Some((tag.key?, tag.value?)));
                let host = Host {
                    private_ip,
                    public_ip: instance.public_ip.unwrap_or_default(),
                    subnet_id: instance.subnet_id.unwrap_or_default(),
                    instance_type: instance.instance_type.unwrap_or_default(),
                    tags: tags.collect(),
                };
                hosts.insert(id, host);
            }
            match page.next_token {
                Some(next) if !next.is_empty() => token = next,
                _ => return Ok(hosts),
            }
        }
        Err(endless("instances"))
    }

    async fn public_ips(&self, interfaces: &[&str]) -> Result<HashMap<String, String>, String> {
        let mut found = HashMap::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            if interfaces.is_empty() {
                return Ok(found);
            }
            let mut form = action("DescribeNetworkInterfaces", ec2::VERSION, &[("NextToken", &token)]);
            form.extend(
                (1..).zip(interfaces).map(|(i, id)| (format!("NetworkInterfaceId.{i}"), (*id).to_owned())),
            );
            let page: Result<InterfacesAnswer, String> = self.ec2.query(&form).await;
            let page = page.map_err(|err| format!("could not describe network interfaces: {err}"))?;
            found.extend(
                page.interfaces.items.into_iter().filter_map(|i| Some((i.id?, i.association?.public_ip?))),
            );
            match page.next_token {
                Some(next) if !next.is_empty() => token = next,
                _ => return Ok(found),
            }
        }
        Err(endless("network interfaces"))
    }

    fn add(&self, targets: &mut Targets, region: &str, task: &Task, around: &Surroundings) {
        let none = Host::default();
        let instance_id = task.container_instance.as_ref().and_then(|arn| around.instance_ids.get(arn));
        let known = instance_id.and_then(|id| around.hosts.get(id));
        let host = known.unwrap_or(&none);
        let (mode, address, subnet, public_ip) = match task.interface() {
            Some(interface) => {
                let id = interface.detail("networkInterfaceId").unwrap_or_default();
                let public_ip = around.public_ips.get(id).map_or("", String::as_str);
                let detail = |name: &str| interface.detail(name).unwrap_or_default();
                ("awsvpc", detail("privateIPv4Address"), detail("subnetId"), public_ip)
            }
            None if task.container_instance.is_some() => {
                ("bridge", host.private_ip.as_str(), host.subnet_id.as_str(), host.public_ip.as_str())
            }
            None => return,
        };
        if address.is_empty() {
            return;
        }
        targets.address(address, self.options.aws.port);
        let labels = [
            ("cluster_arn", around.cluster.arn.as_str()),
            ("cluster", &around.cluster.name),
            ("task_group", &task.group),
            ("task_arn", &task.arn),
            ("task_definition", &task.definition),
            ("ip_address", address),
            ("region", region),
            ("launch_type", &task.launch_type),
            ("availability_zone", &task.availability_zone),
            ("desired_status", &task.desired_status),
            ("last_status", &task.last_status),
            ("health_status", &task.health_status),
            ("network_mode", mode),
            ("subnet_id", subnet),
            ("container_instance_arn", task.container_instance.as_deref().unwrap_or_default()),
            ("ec2_instance_id", instance_id.map_or("", String::as_str)),
            ("ec2_instance_type", &host.instance_type),
            ("ec2_instance_private_ip", &host.private_ip),
            ("ec2_instance_public_ip", &host.public_ip),
            ("public_ip", public_ip),
            ("platform_family", &task.platform_family),
            ("platform_version", &task.platform_version),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        add_tags(targets, "tag_cluster_", &around.cluster.tags.0);
        // A task of no service is in the group `family:DEFINITION`, one of a service in `service:NAME`.
        let service = task.group.split_once(':').filter(|(kind, _)| *kind != "family");
        if let Some(service) = service.and_then(|(_, name)| around.services.get(name)) {
            targets.label("service", &service.name);
            targets.label("service_arn", &service.arn);
            targets.label("service_status", &service.status);
            add_tags(targets, "tag_service_", &service.tags.0);
        }
        add_tags(targets, "tag_task_", &task.tags.0);
        for (key, value) in &host.tags {
            targets.labelled("tag_ec2_", key, value);
        }
        targets.end_target();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arns {
    #[serde(alias = "clusterArns", alias = "serviceArns", alias = "taskArns", default)]
    arns: Many<String>,
    #[serde(default)]
    next_token: Or<String>,
}

#[derive(Deserialize)]
struct Clusters {
    #[serde(default)]
    clusters: Many<Cluster>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Cluster {
    #[serde(rename = "clusterArn")]
    arn: Or<String>,
    #[serde(rename = "clusterName")]
    name: Or<String>,
    tags: Many<Tag>,
}

#[derive(Deserialize)]
struct Services {
    #[serde(default)]
    services: Many<EcsService>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EcsService {
    #[serde(rename = "serviceArn")]
    arn: Or<String>,
    #[serde(rename = "serviceName")]
    name: Or<String>,
    status: Or<String>,
    tags: Many<Tag>,
}

#[derive(Deserialize)]
struct Tasks {
    #[serde(default)]
    tasks: Many<Task>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Task {
    #[serde(rename = "taskArn")]
    arn: Or<String>,
    #[serde(rename = "taskDefinitionArn")]
    definition: Or<String>,
    group: Or<String>,
    launch_type: Or<String>,
    availability_zone: Or<String>,
    desired_status: Or<String>,
    last_status: Or<String>,
    health_status: Or<String>,
    platform_family: Or<String>,
    platform_version: Or<String>,
    #[serde(rename = "containerInstanceArn")]
    container_instance: Option<String>,
    attachments: Many<Attachment>,
    tags: Many<Tag>,
}

impl Task {
    /// The network interface of its own.
    fn interface(&self) -> Option<&Attachment> {
        self.attachments.0.iter().find(|attachment| *attachment.kind == "ElasticNetworkInterface")
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Attachment {
    #[serde(rename = "type")]
    kind: Or<String>,
    details: Many<Detail>,
}

impl Attachment {
    fn detail(&self, name: &str) -> Option<&str> {
        self.details.0.iter().find(|detail| *detail.name == name).map(|detail| detail.value.as_str())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Detail {
    name: Or<String>,
    value: Or<String>,
}

#[derive(Deserialize)]
struct ContainerInstances {
    #[serde(rename = "containerInstances", default)]
    instances: Many<ContainerInstance>,
}

#[derive(Deserialize)]
struct ContainerInstance {
    #[serde(rename = "containerInstanceArn")]
    arn: Option<String>,
    #[serde(rename = "ec2InstanceId")]
    ec2_id: Option<String>,
}

#[derive(Deserialize)]
struct InterfacesAnswer {
    #[serde(rename = "networkInterfaceSet", default)]
    interfaces: Items<Interface>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(rename = "networkInterfaceId")]
    id: Option<String>,
    association: Option<Association>,
}

#[derive(Deserialize)]
struct Association {
    #[serde(rename = "publicIp")]
    public_ip: Option<String>,
}
