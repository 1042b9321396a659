//! `ionos_sd_configs`: servers of a data centre of IONOS Cloud.

use std::collections::BTreeMap;
use std::time::Duration;

use httpclient::ClientOptions;
use serde::Deserialize;

use super::api::{Api, client, url};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_ionos_server_";
const API: &str = "https://api.ionos.com/cloudapi/v6";
/// Servers of a page.
const PAGE: usize = 1000;

/// An `ionos_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IonosOptions {
    /// The data centre.
    pub datacenter_id: String,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<IonosOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let lists = context.lists.clone();
        let source = Api::new(&self.client, interval).map(|api| Ionos { api, options: *self, lists });
        refresh::every(interval, "ionos", &context, source).await;
    }
}

struct Ionos {
    api: Api,
    options: IonosOptions,
    lists: NameLists,
}

impl Source for Ionos {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let path = ["datacenters", &self.options.datacenter_id, "servers"];
        let mut targets = Targets::new(PREFIX, &self.lists);
        for number in 0..MAX_PAGES {
            let offset = (number * PAGE).to_string();
            let query =
                [("depth", "3"), ("limit", &PAGE.to_string()), ("offset", &offset), ("pretty", "true")];
            let servers: Servers = self.api.get(url(API, &path, &query)?).await?;
            servers.items.0.iter().for_each(|server| self.add(&mut targets, &servers.id, server));
            if servers.items.0.len() < PAGE {
                return Ok(targets.into_groups("ionos"));
            }
        }
        Err(endless("servers"))
    }
}

impl Ionos {
    fn add(&self, targets: &mut Targets, list_id: &str, server: &Server) {
        let (mut ips, mut by_name): (Vec<&str>, BTreeMap<&str, Vec<&str>>) = Default::default();
        // Later interfaces stand in front of earlier ones.
        for nic in &server.entities.nics.items.0 {
            let own: Vec<&str> = nic.properties.ips.0.iter().map(String::as_str).collect();
            let named = by_name.entry(nic.properties.name.as_deref().unwrap_or("unnamed")).or_default();
            named.splice(0..0, own.iter().copied());
            ips.splice(0..0, own);
        }
        let Some(first) = ips.first() else { return };
        targets.address(first, self.options.port);
        let properties = &server.properties;
        let boot_image = server.entities.volumes.items.0.first().and_then(|v| v.properties.image.as_deref());
        let labels = [
            ("availability_zone", properties.availability_zone.as_str()),
            ("cpu_family", &properties.cpu_family),
            ("servers_id", list_id),
            ("id", &server.id),
            ("lifecycle", &server.metadata.state),
            ("name", &properties.name),
            ("state", &properties.vm_state),
            ("type", &properties.kind),
            ("boot_cdrom_id", &properties.boot_cdrom.id),
            ("boot_volume_id", &properties.boot_volume.id),
            ("boot_image_id", boot_image.unwrap_or_default()),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.list("ip", &ips, ",");
        for (name, ips) in &by_name {
            // Also of an interface without any.
            targets.labelled("nic_ip_", name, &format!(",{},", ips.join(",")));
        }
        targets.end_target();
    }
}

#[derive(Deserialize)]
struct Servers {
    #[serde(default)]
    id: Or<String>,
    items: Many<Server>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    id: Or<String>,
    metadata: Or<Metadata>,
    properties: Or<Properties>,
    entities: Or<Entities>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    state: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    name: Or<String>,
    availability_zone: Or<String>,
    vm_state: Or<String>,
    boot_cdrom: Or<Id>,
    boot_volume: Or<Id>,
    cpu_family: Or<String>,
    #[serde(rename = "type")]
    kind: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Id {
    id: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entities {
    nics: Or<Items<Nic>>,
    volumes: Or<Items<Volume>>,
}

#[derive(Deserialize)]
struct Items<T> {
    #[serde(default = "Many::default")]
    items: Many<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items { items: Many::default() }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Nic {
    properties: Or<NicProperties>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NicProperties {
    name: Option<String>,
    ips: Many<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Volume {
    properties: Or<VolumeProperties>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VolumeProperties {
    image: Option<String>,
}
