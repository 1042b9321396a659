//! `hetzner_sd_configs`: servers of Hetzner Cloud, and dedicated ones (Robot).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use httpclient::ClientOptions;
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

const PREFIX: &str = "__meta_hetzner_";
const CLOUD_API: &str = "https://api.hetzner.cloud/v1";
const ROBOT_API: &str = "https://robot-ws.your-server.de";
/// How Prometheus writes an address that is not there.
const NO_ADDRESS: &str = "<nil>";

/// What becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HetznerRole {
    /// Servers of Hetzner Cloud.
    HCloud,
    /// Dedicated servers.
    Robot,
}

/// A `hetzner_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HetznerOptions {
    /// What becomes a target.
    pub role: HetznerRole,
    /// A selector of labels of the cloud's servers; all if empty.
    pub label_selector: String,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<HetznerOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let source = Api::new(&self.client, interval).map(|api| Hetzner {
            api,
            options: *self,
            lists: context.lists.clone(),
        });
        refresh::every(interval, "hetzner", &context, source).await;
    }
}

struct Hetzner {
    api: Api,
    options: HetznerOptions,
    lists: NameLists,
}

impl Source for Hetzner {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let mut targets = Targets::new(PREFIX, &self.lists);
        match self.options.role {
            HetznerRole::HCloud => self.cloud(&mut targets).await?,
            HetznerRole::Robot => self.robot(&mut targets).await?,
        }
        Ok(targets.into_groups("hetzner"))
    }
}

impl Hetzner {
    async fn cloud(&self, targets: &mut Targets) -> Result<(), String> {
        let servers = self
            .all("servers", &self.options.label_selector, |page: Servers| (page.servers, page.meta))
            .await?;
        let networks = self.all("networks", "", |page: Networks| (page.networks, page.meta)).await?;
        servers.iter().for_each(|server| self.add_cloud(targets, server, &networks));
        Ok(())
    }

    /// All pages of a list of Hetzner Cloud.
    async fn all<P: DeserializeOwned, T>(
        &self,
        list: &str,
        selector: &str,
        items: impl Fn(P) -> (Many<T>, Or<Meta>),
    ) -> Result<Vec<T>, String> {
        let (mut all, mut number) = (Vec::new(), 1);
        for _ in 0..MAX_PAGES {
            let text = number.to_string();
            let mut query = vec![("page", text.as_str()), ("per_page", "50")];
            query.extend((!selector.is_empty()).then_some(("label_selector", selector)));
            let (found, meta) = items(self.api.get(url(CLOUD_API, &[list], &query)?).await?);
            all.extend(found.0);
            match *meta.pagination.next_page {
                0 => return Ok(all),
                next => number = next,
            }
        }
        Err(endless(list))
    }

    fn add_cloud(&self, targets: &mut Targets, server: &Server, networks: &[Network]) {
        let ipv4 = server.public_net.ipv4.as_ref().and_then(|net| net.ip.parse::<IpAddr>().ok());
        let ipv4 = ipv4.map_or_else(|| NO_ADDRESS.to_owned(), |ip| ip.to_string());
        let ipv6 = server.public_net.ipv6.as_ref().and_then(|net| network_of(&net.ip));
        targets.address(&ipv4, self.options.port);
        targets.number("server_id", *server.id);
        let (location, kind) = (&server.location, &server.server_type);
        let labels = [
            ("role", "hcloud"),
            ("server_name", &server.name),
            ("public_ipv4", &ipv4),
            ("public_ipv6_network", ipv6.as_deref().unwrap_or(NO_ADDRESS)),
            ("server_status", &server.status),
            ("hcloud_location", &location.name),
            ("hcloud_location_network_zone", &location.network_zone),
            // The names that these had first.
            ("hcloud_datacenter_location", &location.name),
            ("hcloud_datacenter_location_network_zone", &location.network_zone),
            ("hcloud_server_type", &kind.name),
            ("hcloud_cpu_type", &kind.cpu_type),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.number("hcloud_cpu_cores", *kind.cores);
        targets.number("hcloud_memory_size_gb", *kind.memory as i64);
        targets.number("hcloud_disk_size_gb", *kind.disk);
        if let Some(image) = &server.image {
            targets.label("hcloud_image_name", &image.name);
            targets.label("hcloud_image_description", &image.description);
            targets.label("hcloud_image_os_version", &image.os_version);
            targets.label("hcloud_image_os_flavor", &image.os_flavor);
        }
        for net in &server.private_net.0 {
            let ip = net.ip.parse::<IpAddr>().map_or_else(|_| NO_ADDRESS.to_owned(), |ip| ip.to_string());
            for network in networks.iter().filter(|network| network.id == net.network) {
                targets.labelled("hcloud_private_ipv4_", &network.name, &ip);
            }
        }
        for (key, value) in &*server.labels {
            targets.labelled("hcloud_labelpresent_", key, "true");
            targets.labelled("hcloud_label_", key, value);
        }
        targets.end_target();
    }

    async fn robot(&self, targets: &mut Targets) -> Result<(), String> {
        let url = url(ROBOT_API, &["server"], &[])?;
        let (head, body) = self.api.send(Ask::get(url)).await?;
        if !head.status.is_success() {
            let status = head.status.as_u16();
            return Err(format!(
                "non 2xx status '{status}' response during hetzner service discovery with role robot"
            ));
        }
        let servers: Many<Dedicated> = serde_json::from_slice(&body).map_err(|err| err.to_string())?;
        servers.0.iter().for_each(|entry| self.add_robot(targets, &entry.server));
        Ok(())
    }

    fn add_robot(&self, targets: &mut Targets, server: &DedicatedServer) {
        targets.address(&server.server_ip, self.options.port);
        let datacenter = server.dc.to_lowercase();
        targets.number("server_id", *server.server_number);
        let labels = [
            ("role", "robot"),
            ("server_name", server.server_name.as_str()),
            ("datacenter", &datacenter),
            ("public_ipv4", &server.server_ip),
            ("server_status", &server.status),
            ("robot_datacenter", &datacenter),
            ("robot_product", &server.product),
            ("robot_cancelled", if *server.cancelled { "true" } else { "false" }),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        let ipv6 = server.subnet.0.iter().find(|net| !matches!(net.ip.parse(), Ok(IpAddr::V4(_))));
        if let Some(net) = ipv6 {
            targets.label("public_ipv6_network", &format!("{}/{}", *net.ip, *net.mask));
        }
        targets.end_target();
    }
}

/// `2001:db8::1/64` without the bits of the host.
pub(super) fn network_of(text: &str) -> Option<String> {
    let (ip, bits) = text.split_once('/')?;
    let (ip, bits): (Ipv6Addr, u32) = (ip.parse().ok()?, bits.parse().ok()?);
    let mask = u128::MAX.checked_shl(128u32.checked_sub(bits)?).unwrap_or(0);
    Some(format!("{}/{bits}", Ipv6Addr::from(u128::from(ip) & mask)))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    pagination: Or<Pagination>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pagination {
    next_page: Or<u64>,
}

#[derive(Deserialize)]
struct Servers {
    #[serde(default)]
    servers: Many<Server>,
    #[serde(default)]
    meta: Or<Meta>,
}

#[derive(Deserialize)]
struct Networks {
    #[serde(default)]
    networks: Many<Network>,
    #[serde(default)]
    meta: Or<Meta>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Network {
    id: Or<i64>,
    name: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    id: Or<i64>,
    name: Or<String>,
    status: Or<String>,
    public_net: Or<PublicNet>,
    private_net: Many<PrivateNet>,
    server_type: Or<ServerType>,
    location: Or<Location>,
    image: Option<Image>,
    labels: Or<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PublicNet {
    ipv4: Option<Address>,
    ipv6: Option<Address>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    ip: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PrivateNet {
    network: Or<i64>,
    ip: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServerType {
    name: Or<String>,
    cores: Or<i64>,
    memory: Or<f64>,
    disk: Or<i64>,
    cpu_type: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    name: Or<String>,
    network_zone: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    name: Or<String>,
    description: Or<String>,
    os_version: Or<String>,
    os_flavor: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Dedicated {
    server: Or<DedicatedServer>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DedicatedServer {
    server_ip: Or<String>,
    server_number: Or<i64>,
    server_name: Or<String>,
    dc: Or<String>,
    status: Or<String>,
    product: Or<String>,
    cancelled: Or<bool>,
    subnet: Many<Subnet>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subnet {
    ip: Or<String>,
    mask: Or<String>,
}
