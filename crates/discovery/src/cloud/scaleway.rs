//! `scaleway_sd_configs`: instances and bare-metal servers of Scaleway.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use httpclient::{ClientOptions, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{Api, Ask, client, url};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

/// What becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalewayRole {
    /// Virtual instances.
    Instance,
    /// Bare-metal servers.
    Baremetal,
}

/// The secret key, or the file that holds it and is read each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOrFile {
    /// The key.
    Secret(Secret),
    /// The file.
    File(PathBuf),
}

impl SecretOrFile {
    pub(super) async fn read(&self) -> Result<Secret, String> {
        match self {
            SecretOrFile::Secret(secret) => Ok(secret.clone()),
            SecretOrFile::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => Ok(Secret::from(text.trim())),
                Err(err) => Err(format!("unable to read auth token file {}: {err}", path.display())),
            },
        }
    }
}

/// A `scaleway_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalewayOptions {
    /// What becomes a target.
    pub role: ScalewayRole,
    /// The API.
    pub api_url: String,
    /// The zone.
    pub zone: String,
    /// The secret key.
    pub secret_key: SecretOrFile,
    /// A name that servers must have; all if empty.
    pub name_filter: String,
    /// Tags that servers must have.
    pub tags_filter: Vec<String>,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<ScalewayOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let lists = context.lists.clone();
        let source = Api::new(&self.client, interval).map(|api| Scaleway { api, options: *self, lists });
        refresh::every(interval, "scaleway", &context, source).await;
    }
}

struct Scaleway {
    api: Api,
    options: ScalewayOptions,
    lists: NameLists,
}

impl Source for Scaleway {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        match self.options.role {
            ScalewayRole::Instance => self.instances().await,
            ScalewayRole::Baremetal => self.baremetal().await,
        }
    }
}

/// A page of a list, and how long the whole list is if the body says so.
trait Page: DeserializeOwned {
    type Item;
    fn items(self) -> (Vec<Self::Item>, Option<u64>);
}

/// Pages whose items are in a field of its own name.
macro_rules! page {
    ($name:ident $field:ident $item:ty) => {
        #[derive(Deserialize)]
        struct $name {
            #[serde(default)]
            $field: Many<$item>,
            #[serde(default)]
            total_count: Option<u64>,
        }

        impl Page for $name {
            type Item = $item;

            fn items(self) -> (Vec<$item>, Option<u64>) {
                (self.$field.0, self.total_count)
            }
        }
    };
}
page!(InstancePage servers Instance);
page!(AddressPage ips Address);
page!(BaremetalPage servers Baremetal);
page!(OfferPage offers Offer);
page!(SystemPage os System);

impl Scaleway {
    /// All pages of a list: as many as its length divided by the length of the first one.
    async fn all<P: Page>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<P::Item>, String> {
        let key = self.options.secret_key.read().await?;
        let mut all: Vec<P::Item> = Vec::new();
        for number in 1..=MAX_PAGES {
            let number = number.to_string();
            let query: Vec<(&str, &str)> = query.iter().copied().chain([("page", number.as_str())]).collect();
            let ask =
                Ask::get(url(&self.options.api_url, path, &query)?).header("x-auth-token", key.reveal())?;
            let (head, page): (_, P) = self.api.ask(ask).await?;
            let (items, total) = page.items();
            let total = head.header("x-total-count").parse().ok().or(total).unwrap_or(0);
            let empty = items.is_empty();
            all.extend(items);
            if empty || all.len() as u64 >= total {
                return Ok(all);
            }
        }
        Err(endless("servers"))
    }

    async fn instances(&self) -> Result<Vec<TargetGroup>, String> {
        let ScalewayOptions { zone, name_filter, tags_filter, .. } = &self.options;
        let tags = tags_filter.join(",");
        let query = [("name", name_filter.as_str()), ("tags", tags.as_str())];
        let mut query: Vec<(&str, &str)> = query.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        query.push(("order", "creation_date_desc"));
        let servers = self.all::<InstancePage>(&["instance", "v1", "zones", zone, "servers"], &query).await?;
        let private = self.private_addresses(&servers).await?;
        let mut targets = Targets::new("__meta_scaleway_instance_", &self.lists);
        servers.iter().for_each(|server| self.add_instance(&mut targets, server, &private));
        Ok(targets.into_groups("scaleway"))
    }

    /// The addresses in private networks of instances that have no other, by the id of their interface there.
    async fn private_addresses(&self, servers: &[Instance]) -> Result<HashMap<String, String>, String> {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for server in servers.iter().filter(|server| !server.has_address()) {
            let region = region(&server.zone).ok_or_else(|| format!("invalid zone '{}'", *server.zone))?;
            let ids = server.private_nics.0.iter().map(|nic| nic.id.as_str()).filter(|id| !id.is_empty());
            wanted.entry(region).or_default().extend(ids);
        }
        let mut found = HashMap::new();
        for (region, ids) in wanted.iter().filter(|(_, ids)| !ids.is_empty()) {
            let mut query: Vec<(&str, &str)> = ids.iter().map(|id| ("resource_ids", *id)).collect();
            query.extend([
                ("order_by", "created_at_desc"),
                ("resource_type", "unknown_type"),
                ("resource_types", "instance_private_nic"),
            ]);
            let ips = self.all::<AddressPage>(&["ipam", "v1", "regions", region, "ips"], &query).await?;
            for ip in ips.into_iter().filter(|ip| !*ip.is_ipv6) {
                if let Some(resource) = ip.resource {
                    found.insert(resource.id.0, ip.address.split('/').next().unwrap_or_default().to_owned());
                }
            }
        }
        Ok(found)
    }

    fn add_instance(&self, targets: &mut Targets, server: &Instance, private: &HashMap<String, String>) {
        let mut address = "";
        if let Some(ip) = &server.ipv6 {
            targets.label("public_ipv6", &ip.address);
            address = &ip.address;
        }
        if let Some(ip) = &server.public_ip {
            if *ip.family != "inet6" {
                targets.label("public_ipv4", &ip.address);
            }
            address = &ip.address;
        }
        if let Some(ip) = &server.private_ip {
            targets.label("private_ipv4", ip);
            address = ip;
        }
        if address.is_empty() {
            let ips = server.private_nics.0.iter().filter_map(|nic| private.get(nic.id.as_str()));
            if let Some(ip) = ips.into_iter().find(|ip| !ip.is_empty()) {
                targets.label("private_ipv4", ip);
                address = ip;
            }
        }
        if address.is_empty() {
            return targets.drop_target();
        }
        targets.address(address, self.options.port);
        let of_family = |family: &str| -> Vec<&str> {
            let ips = server.public_ips.0.iter().filter(|ip| *ip.family == family);
            ips.map(|ip| ip.address.as_str()).collect()
        };
        targets.list("public_ipv4_addresses", &of_family("inet"), ",");
        targets.list("public_ipv6_addresses", &of_family("inet6"), ",");
        targets.list("tags", &server.tags.0, ",");
        let labels = [
            ("boot_type", &server.boot_type),
            ("hostname", &server.hostname),
            ("id", &server.id),
            ("name", &server.name),
            ("organization_id", &server.organization),
            ("project_id", &server.project),
            ("status", &server.state),
            ("type", &server.commercial_type),
            ("zone", &server.zone),
            ("image_arch", &server.image.arch),
            ("image_id", &server.image.id),
            ("image_name", &server.image.name),
            ("location_cluster_id", &server.location.cluster_id),
            ("location_hypervisor_id", &server.location.hypervisor_id),
            ("location_node_id", &server.location.node_id),
            ("security_group_id", &server.security_group.id),
            ("security_group_name", &server.security_group.name),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.label("region", region(&server.zone).unwrap_or_default());
        targets.end_target();
    }

    async fn baremetal(&self) -> Result<Vec<TargetGroup>, String> {
        let ScalewayOptions { zone, name_filter, tags_filter, .. } = &self.options;
        let mut query: Vec<(&str, &str)> = tags_filter.iter().map(|tag| ("tags", tag.as_str())).collect();
        query.extend((!name_filter.is_empty()).then_some(("name", name_filter.as_str())));
        query.push(("order_by", "created_at_asc"));
        let path = |list| ["baremetal", "v1", "zones", zone, list];
        let servers = self.all::<BaremetalPage>(&path("servers"), &query).await?;
        let period = [("subscription_period", "unknown_subscription_period")];
        let offers = self.all::<OfferPage>(&path("offers"), &period).await?;
        let systems = self.all::<SystemPage>(&path("os"), &[]).await?;
        let mut targets = Targets::new("__meta_scaleway_baremetal_", &self.lists);
        for server in &servers {
            self.add_baremetal(&mut targets, server, &offers, &systems)?;
        }
        Ok(targets.into_groups("scaleway"))
    }

    fn add_baremetal(
        &self,
        targets: &mut Targets,
        server: &Baremetal,
        offers: &[Offer],
        systems: &[System],
    ) -> Result<(), String> {
        let offer = offers.iter().find(|offer| offer.id == server.offer_id);
        let installed = server.install.as_ref();
        let system = installed.and_then(|install| systems.iter().find(|system| system.id == install.os_id));
        if let Some(ip) = server.ips.0.iter().find(|ip| !matches!(ip.version.as_str(), "IPv4" | "IPv6")) {
            return Err(format!("unknown IP version: {}", *ip.version));
        }
        let first = |version: &str| {
            server.ips.0.iter().find(|ip| *ip.version == version).map(|ip| ip.address.as_str())
        };
        if let Some(address) = first("IPv4").or(first("IPv6")) {
            targets.address(address, self.options.port);
        }
        let labels = [
            ("id", server.id.as_str()),
            ("name", &server.name),
            ("zone", &server.zone),
            ("status", &server.status),
            ("project_id", &server.project_id),
            ("type", offer.map_or("", |offer| &offer.name)),
            ("os_name", system.map_or("", |system| &system.name)),
            ("os_version", system.map_or("", |system| &system.version)),
            ("public_ipv4", first("IPv4").unwrap_or_default()),
            ("public_ipv6", first("IPv6").unwrap_or_default()),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.list("tags", &server.tags.0, ",");
        targets.end_target();
        Ok(())
    }
}

/// `fr-par` of `fr-par-1`.
fn region(zone: &str) -> Option<&str> {
    zone.rsplit_once('-').map(|(region, _)| region).filter(|region| region.contains('-'))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Instance {
    id: Or<String>,
    name: Or<String>,
    organization: Or<String>,
    project: Or<String>,
    tags: Many<String>,
    commercial_type: Or<String>,
    hostname: Or<String>,
    boot_type: Or<String>,
    state: Or<String>,
    zone: Or<String>,
    private_ip: Option<String>,
    public_ip: Option<PublicIp>,
    public_ips: Many<PublicIp>,
    ipv6: Option<PublicIp>,
    private_nics: Many<Id>,
    image: Or<Image>,
    location: Or<Location>,
    security_group: Or<SecurityGroup>,
}

impl Instance {
    fn has_address(&self) -> bool {
        self.private_ip.is_some() || self.public_ip.is_some() || self.ipv6.is_some()
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PublicIp {
    address: Or<String>,
    family: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Id {
    id: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    id: Or<String>,
    name: Or<String>,
    arch: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    cluster_id: Or<String>,
    hypervisor_id: Or<String>,
    node_id: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SecurityGroup {
    id: Or<String>,
    name: Or<String>,
}

/// An address that IPAM has given to something.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    address: Or<String>,
    is_ipv6: Or<bool>,
    resource: Option<Id>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Baremetal {
    id: Or<String>,
    name: Or<String>,
    zone: Or<String>,
    status: Or<String>,
    project_id: Or<String>,
    offer_id: Or<String>,
    install: Option<Install>,
    tags: Many<String>,
    ips: Many<BaremetalIp>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Install {
    os_id: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BaremetalIp {
    address: Or<String>,
    version: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Offer {
    id: Or<String>,
    name: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct System {
    id: Or<String>,
    name: Or<String>,
    version: Or<String>,
}
