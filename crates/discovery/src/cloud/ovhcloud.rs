//! `ovhcloud_sd_configs`: virtual private and dedicated servers of OVHcloud.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use cloudauth::OvhKeys;
use httpclient::ClientOptions;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{Api, Ask, client, url};
use super::targets::Targets;
use crate::group::{ADDRESS, TargetGroup};
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const TIMEOUT: Duration = Duration::from_secs(180);
/// The APIs by name.
const ENDPOINTS: [(&str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

/// What becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OvhCloudService {
    /// Virtual private servers.
    Vps,
    /// Dedicated servers.
    DedicatedServer,
}

/// An `ovhcloud_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OvhCloudOptions {
    /// What becomes a target.
    pub service: OvhCloudService,
    /// The API's name, or its URL.
    pub endpoint: String,
    /// Who asks.
    pub keys: OvhKeys,
    /// How often. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<OvhCloudOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let lists = context.lists.clone();
        let source = Api::new(&self.client, TIMEOUT).map(|api| OvhCloud { api, options: *self, lists });
        refresh::every(interval, "ovhcloud", &context, source).await;
    }
}

struct OvhCloud {
    api: Api,
    options: OvhCloudOptions,
    lists: NameLists,
}

impl Source for OvhCloud {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let session = self.open().await?;
        match self.options.service {
            OvhCloudService::Vps => {
                let mut targets = Targets::new("__meta_ovhcloud_vps_", &self.lists);
                for (server, ips) in session.servers::<Vps>(&["vps"]).await? {
                    add_vps(&mut targets, &server, &ips);
                }
                Ok(targets.into_groups("ovhcloud_vps"))
            }
            OvhCloudService::DedicatedServer => {
                let mut targets = Targets::new("__meta_ovhcloud_dedicated_server_", &self.lists);
                for (server, ips) in session.servers::<Dedicated>(&["dedicated", "server"]).await? {
                    add_dedicated(&mut targets, &server, &ips);
                }
                Ok(targets.into_groups("ovhcloud_dedicated_server"))
            }
        }
    }
}

/// The API, and how far its clock is ahead of ours.
struct Session<'a> {
    api: &'a Api,
    keys: &'a OvhKeys,
    base: &'a str,
    ahead: i64,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl OvhCloud {
    async fn open(&self) -> Result<Session<'_>, String> {
        let OvhCloudOptions { endpoint, keys, .. } = &self.options;
        let named = ENDPOINTS.iter().find(|(name, _)| name == endpoint).map(|(_, url)| *url);
        let base = if endpoint.contains('/') { Some(endpoint.as_str()) } else { named };
        let base = base.ok_or_else(|| {
            format!("unknown endpoint '{endpoint}', consider checking 'Endpoints' list or using an URL")
        })?;
        let ask = Ask::get(url(base, &["auth", "time"], &[])?);
        let ask = ask.header("x-ovh-application", &keys.application_key)?;
        let (_, time): (_, i64) = self.api.ask(ask).await?;
        Ok(Session { api: &self.api, keys, base, ahead: time.saturating_sub(now()) })
    }
}

impl Session<'_> {
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, String> {
        let url = url(self.base, path, &[])?;
        let timestamp = now().saturating_add(self.ahead);
        let signature = self.keys.signature("GET", url.as_str(), timestamp);
        let ask = Ask::get(url)
            .header("x-ovh-application", &self.keys.application_key)?
            .header("x-ovh-timestamp", &timestamp.to_string())?
            .header("x-ovh-consumer", self.keys.consumer_key.reveal())?
            .header("x-ovh-signature", &signature)?;
        Ok(self.api.ask(ask).await?.1)
    }

    /// All servers of a list with their addresses; one that cannot be had is left out.
    async fn servers<T: DeserializeOwned>(&self, list: &[&str]) -> Result<Vec<(T, Addresses)>, String> {
        let names: Many<String> = self.get(list).await?;
        let mut servers = Vec::with_capacity(names.0.len());
        for name in &names.0 {
            match self.server(list, name).await {
                Ok(server) => servers.push(server),
                Err(err) => tracing::warn!(%err, "ovhcloud: Could not get details of {name}"),
            }
        }
        Ok(servers)
    }

    async fn server<T: DeserializeOwned>(&self, list: &[&str], name: &str) -> Result<(T, Addresses), String> {
        let path = [list, &[name]].concat();
        let server = self.get(&path).await?;
        let ips: Many<String> = self.get(&[&path[..], &["ips"]].concat()).await?;
        Ok((server, Addresses::parse(&ips.0)?))
    }
}

/// The last addresses of both kinds in a list; empty if there is none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Addresses {
    ipv4: String,
    ipv6: String,
}

impl Addresses {
    /// Addresses may be written as networks. Only such with 32 bits are addresses; others are passed over.
    fn parse(ips: &[String]) -> Result<Self, String> {
        let wrong = || "could not parse IP addresses from list".to_owned();
        let mut found = Addresses::default();
        let mut any = false;
        for text in ips {
            let ip = match text.split_once('/') {
                None => text.parse::<IpAddr>().map_err(|_| wrong())?,
                Some((ip, bits)) => {
                    let (ip, bits): (IpAddr, u32) =
                        (ip.parse().map_err(|_| wrong())?, bits.parse().map_err(|_| wrong())?);
                    if bits > if ip.is_ipv4() { 32 } else { 128 } {
                        return Err(wrong());
                    }
                    if bits != 32 {
                        continue;
                    }
                    ip
                }
            };
            if ip.is_unspecified() {
                continue;
            }
            any = true;
            let place = if ip.is_ipv4() { &mut found.ipv4 } else { &mut found.ipv6 };
            *place = ip.to_string();
        }
        if any { Ok(found) } else { Err(wrong()) }
    }

    fn default_one(&self) -> &str {
        if self.ipv4.is_empty() { &self.ipv6 } else { &self.ipv4 }
    }
}

/// How many kinds of addresses are in a list with one on each line.
pub(super) fn addresses(text: &str) -> usize {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let found = Addresses::parse(&lines).unwrap_or_default();
    [&found.ipv4, &found.ipv6].iter().filter(|ip| !ip.is_empty()).count()
}

fn add_vps(targets: &mut Targets, server: &Vps, ips: &Addresses) {
    targets.plain(ADDRESS, ips.default_one());
    targets.plain("instance", &server.name);
    let datacenter = format!("[{}]", server.model.datacenter.0.join(" "));
    let labels = [
        ("offer", server.model.offer.as_str()),
        ("datacenter", &datacenter),
        ("version", &server.model.version),
        ("model_name", &server.model.name),
        ("zone", &server.zone),
        ("display_name", &server.display_name),
        ("cluster", &server.cluster),
        ("state", &server.state),
        ("name", &server.name),
        ("netboot_mode", &server.netboot_mode),
        ("offer_type", &server.offer_type),
        ("ipv4", &ips.ipv4),
        ("ipv6", &ips.ipv6),
    ];
    labels.into_iter().for_each(|(name, value)| targets.label(name, value));
    let numbers = [
        ("model_vcore", &server.model.vcore),
        ("maximum_additional_ip", &server.model.maximum_additional_ip),
        ("disk", &server.model.disk),
        ("memory", &server.model.memory),
        ("memory_limit", &server.memory_limit),
        ("vcore", &server.vcore),
    ];
    numbers.into_iter().for_each(|(name, value)| targets.number(name, **value));
    targets.end_target();
}

fn add_dedicated(targets: &mut Targets, server: &Dedicated, ips: &Addresses) {
    targets.plain(ADDRESS, ips.default_one());
    targets.plain("instance", &server.name);
    let labels = [
        ("state", server.state.as_str()),
        ("commercial_range", &server.commercial_range),
        ("rack", &server.rack),
        ("no_intervention", if *server.no_intervention { "true" } else { "false" }),
        ("os", &server.os),
        ("support_level", &server.support_level),
        ("reverse", &server.reverse),
        ("datacenter", &server.datacenter),
        ("name", &server.name),
        ("ipv4", &ips.ipv4),
        ("ipv6", &ips.ipv6),
    ];
    labels.into_iter().for_each(|(name, value)| targets.label(name, value));
    targets.number("link_speed", *server.link_speed);
    targets.number("server_id", *server.server_id);
    targets.end_target();
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Vps {
    zone: Or<String>,
    model: Or<Model>,
    display_name: Or<String>,
    cluster: Or<String>,
    state: Or<String>,
    name: Or<String>,
    netboot_mode: Or<String>,
    memory_limit: Or<i64>,
    offer_type: Or<String>,
    vcore: Or<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Model {
    #[serde(rename = "maximumAdditionnalIp")]
    maximum_additional_ip: Or<i64>,
    offer: Or<String>,
    datacenter: Many<String>,
    vcore: Or<i64>,
    version: Or<String>,
    name: Or<String>,
    disk: Or<i64>,
    memory: Or<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Dedicated {
    state: Or<String>,
    commercial_range: Or<String>,
    link_speed: Or<i64>,
    rack: Or<String>,
    no_intervention: Or<bool>,
    os: Or<String>,
    support_level: Or<String>,
    server_id: Or<i64>,
    reverse: Or<String>,
    datacenter: Or<String>,
    name: Or<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_last_of_each_kind() {
        let of_both =
            |ipv4: &str, ipv6: &str| Some(Addresses { ipv4: ipv4.to_owned(), ipv6: ipv6.to_owned() });
        let cases = [
            (vec!["192.0.2.1", "2001:db8::1"], of_both("192.0.2.1", "2001:db8::1")),
            (vec!["192.0.2.1/32", "2001:db8::/64", "192.0.2.2/32"], of_both("192.0.2.2", "")),
            (vec!["0.0.0.0", "192.0.2.1"], of_both("192.0.2.1", "")),
            (vec!["192.0.2.0/24"], None),
            (vec!["192.0.2.1/33"], None),
            (vec!["x"], None),
            (vec![], None),
        ];
        for (ips, want) in cases {
            let ips: Vec<String> = ips.iter().map(|ip| (*ip).to_owned()).collect();
            assert_eq!(Addresses::parse(&ips).ok(), want, "{ips:?}");
        }
    }
}
