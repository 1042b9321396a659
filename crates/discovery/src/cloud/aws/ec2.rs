//! `ec2_sd_configs`: instances of EC2.

use std::collections::BTreeMap;

use cloudauth::Service;
use serde::Deserialize;

use super::{AwsFilter, AwsOptions, Client, action};
use crate::cloud::targets::Targets;
use crate::cloud::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_ec2_";
pub(super) const VERSION: &str = "2016-11-15";
pub(super) const SERVICE: Service = Service { host: "ec2", signing: "ec2", variable: "EC2" };
/// Network interfaces of an instance that are told apart: far more than there can be.
const MAX_INTERFACES: usize = 1024;

/// An `ec2_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Options {
    /// What every service is told.
    pub aws: AwsOptions,
    /// Which instances; all if none.
    pub filters: Vec<AwsFilter>,
}

impl Provider for Box<Ec2Options> {
    fn validate(&self) -> Result<(), String> {
        Client::new(&self.aws, SERVICE).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.aws.refresh_interval;
        let source = Ec2::new(*self, context.lists.clone());
        refresh::every(interval, "ec2", &context, source).await;
    }
}

struct Ec2 {
    client: Client,
    port: i64,
    filters: Vec<AwsFilter>,
    /// Zones and their ids, asked for once: those of an account do not change.
    zones: Option<BTreeMap<String, String>>,
    lists: NameLists,
}

impl Source for Ec2 {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let region = self.client.region().await?;
        if self.zones.is_none() {
            match self.client.query::<ZonesAnswer>(&action("DescribeAvailabilityZones", VERSION, &[])).await {
                Ok(answer) => self.zones = Some(answer.ids()),
                Err(err) => tracing::debug!(%err, "Unable to describe availability zones"),
            }
        }
        let mut targets = Targets::new(PREFIX, &self.lists);
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let page =
                self.page(&token).await.map_err(|err| format!("could not describe instances: {err}"))?;
            for reservation in &page.reservations.items {
                for instance in &reservation.instances.items {
                    let place = Place { region: &region, zones: self.zones.as_ref(), port: self.port };
                    add(&mut targets, place, reservation, instance);
                }
            }
            match page.next_token {
                Some(next) if !next.is_empty() => token = next,
                _ => return Ok(targets.into_groups(region)),
            }
        }
        Err(endless("instances"))
    }
}

impl Ec2 {
    fn new(options: Ec2Options, lists: NameLists) -> Result<Self, String> {
        Ok(Ec2 {
            client: Client::new(&options.aws, SERVICE)?,
            port: options.aws.port,
            filters: options.filters,
            zones: None,
            lists,
        })
    }

    async fn page(&self, token: &str) -> Result<InstancesAnswer, String> {
        let mut form = action("DescribeInstances", VERSION, &[("NextToken", token)]);
        for (i, filter) in (1..).zip(&self.filters) {
            form.push((format!("Filter.{i}.Name"), filter.name.clone()));
            let values = (1..).zip(&filter.values);
            form.extend(values.map(|(j, value)| (format!("Filter.{i}.Value.{j}"), value.clone())));
        }
        self.client.query(&form).await
    }
}

/// What all instances have in common.
#[derive(Clone, Copy)]
struct Place<'a> {
    region: &'a str,
    zones: Option<&'a BTreeMap<String, String>>,
    port: i64,
}

fn add(targets: &mut Targets, place: Place<'_>, reservation: &Reservation, instance: &Instance) {
    let ipv6 = Ipv6::of(instance);
    let Some(address) = instance.private_ip.as_deref().or(ipv6.default) else { return };
    targets.address(address, place.port);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let zone = text(&instance.placement.zone);
    let zone_id = place.zones.and_then(|zones| zones.get(&zone));
    let labels = [
        ("instance_id", &instance.id),
        ("owner_id", &reservation.owner_id),
        ("private_ip", &instance.private_ip),
        ("private_dns_name", &instance.private_dns_name),
        ("platform", &instance.platform),
        ("ami", &instance.image_id),
        ("availability_zone", &instance.placement.zone),
        ("instance_state", &instance.state.name),
        ("instance_type", &instance.instance_type),
        ("instance_lifecycle", &instance.lifecycle),
        ("architecture", &instance.architecture),
    ];
    for (name, value) in labels {
        targets.label(name, value.as_deref().unwrap_or_default());
    }
    targets.label("region", place.region);
    targets.label("availability_zone_id", zone_id.map_or("", String::as_str));
    targets.label("default_ipv6_address", ipv6.default.unwrap_or_default());
    if instance.public_ip.is_some() {
        targets.label("public_ip", &text(&instance.public_ip));
        targets.label("public_dns_name", &text(&instance.public_dns_name));
    }
    targets.list("primary_ipv6_addresses", &ipv6.primary, ",");
    targets.list("ipv6_addresses", &ipv6.all, ",");
    if instance.vpc_id.is_some() {
        targets.label("vpc_id", &text(&instance.vpc_id));
        targets.label("primary_subnet_id", &text(&instance.subnet_id));
        let mut subnets: Vec<&str> = Vec::new();
        for subnet in instance.interfaces.items.iter().filter_map(|i| i.subnet_id.as_deref()) {
            if !subnets.contains(&subnet) {
                subnets.push(subnet);
            }
        }
        // Also without any subnets, unlike other lists.
        targets.label("subnet_id", &format!(",{},", subnets.join(",")));
    }
    for tag in &instance.tags.items {
        if let (Some(key), Some(value)) = (&tag.key, &tag.value) {
            targets.labelled("tag_", key, value);
        }
    }
    targets.end_target();
}

/// Reads `body` as an answer; how many instances are in it.
pub(super) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let Ok(page) = super::from_xml::<InstancesAnswer>(body) else { return 0 };
    let mut targets = Targets::new(PREFIX, lists);
    let place = Place { region: "", zones: None, port: 80 };
    for reservation in &page.reservations.items {
        reservation.instances.items.iter().for_each(|i| add(&mut targets, place, reservation, i));
    }
    targets.into_groups("").iter().map(|group| group.targets.len()).sum()
}

/// The IPv6 addresses of an instance in a VPC.
#[derive(Default)]
struct Ipv6<'a> {
    /// The first primary one, or else the first.
    default: Option<&'a str>,
    /// By the index of their interface, with empty texts for interfaces that have none.
    primary: Vec<&'a str>,
    all: Vec<&'a str>,
}

impl<'a> Ipv6<'a> {
    fn of(instance: &'a Instance) -> Self {
        let mut found = Ipv6::default();
        if instance.vpc_id.is_none() {
            return found;
        }
        for interface in instance.interfaces.items.iter().filter(|i| i.subnet_id.is_some()) {
            for address in &interface.ipv6.items {
                let Some(text) = address.address.as_deref() else { continue };
                found.all.push(text);
                let index = interface.attachment.device_index.filter(|index| *index < MAX_INTERFACES);
                if let (true, Some(index)) = (address.is_primary, index) {
                    if found.primary.len() <= index {
                        found.primary.resize(index + 1, "");
                    }
                    if let Some(place) = found.primary.get_mut(index) {
                        *place = text;
                    }
                }
            }
        }
        let mut candidates = found.primary.iter().chain(&found.all);
        found.default = candidates.find(|address| !address.is_empty()).copied();
        found
    }
}

/// A list in EC2's XML.
#[derive(Debug, Deserialize)]
pub(super) struct Items<T> {
    #[serde(rename = "item", default = "Vec::new")]
    pub(super) items: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items { items: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
struct ZonesAnswer {
    #[serde(rename = "availabilityZoneInfo", default)]
    zones: Items<Zone>,
}

#[derive(Debug, Deserialize)]
struct Zone {
    #[serde(rename = "zoneName")]
    name: Option<String>,
    #[serde(rename = "zoneId")]
    id: Option<String>,
}

impl ZonesAnswer {
    fn ids(self) -> BTreeMap<String, String> {
        self.zones.items.into_iter().filter_map(|zone| Some((zone.name?, zone.id?))).collect()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct InstancesAnswer {
    #[serde(rename = "reservationSet", default)]
    pub(super) reservations: Items<Reservation>,
    #[serde(rename = "nextToken")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reservation {
    #[serde(rename = "ownerId")]
    owner_id: Option<String>,
    #[serde(rename = "instancesSet", default)]
    pub(super) instances: Items<Instance>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    #[serde(rename = "instanceId")]
    pub(super) id: Option<String>,
    #[serde(rename = "imageId")]
    image_id: Option<String>,
    #[serde(rename = "instanceState", default)]
    state: State,
    #[serde(rename = "privateDnsName")]
    private_dns_name: Option<String>,
    #[serde(rename = "dnsName")]
    public_dns_name: Option<String>,
    #[serde(rename = "instanceType")]
    pub(super) instance_type: Option<String>,
    #[serde(default)]
    placement: Placement,
    platform: Option<String>,
    #[serde(rename = "subnetId")]
    pub(super) subnet_id: Option<String>,
    #[serde(rename = "vpcId")]
    vpc_id: Option<String>,
    #[serde(rename = "privateIpAddress")]
    pub(super) private_ip: Option<String>,
    #[serde(rename = "ipAddress")]
    pub(super) public_ip: Option<String>,
    architecture: Option<String>,
    #[serde(rename = "instanceLifecycle")]
    lifecycle: Option<String>,
    #[serde(rename = "tagSet", default)]
    pub(super) tags: Items<Tag>,
    #[serde(rename = "networkInterfaceSet", default)]
    interfaces: Items<Interface>,
}

#[derive(Debug, Default, Deserialize)]
struct State {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Placement {
    #[serde(rename = "availabilityZone")]
    zone: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    #[serde(rename = "subnetId")]
    subnet_id: Option<String>,
    #[serde(default)]
    attachment: Attachment,
    #[serde(rename = "ipv6AddressesSet", default)]
    ipv6: Items<Ipv6Address>,
}

#[derive(Debug, Default, Deserialize)]
struct Attachment {
    #[serde(rename = "deviceIndex")]
    device_index: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct Ipv6Address {
    #[serde(rename = "ipv6Address")]
    address: Option<String>,
    #[serde(rename = "isPrimaryIpv6", default)]
    is_primary: bool,
}
