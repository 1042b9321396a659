//! `linode_sd_configs`: instances of Linode.
//!
//! The lists are long and change rarely: once they are known, only events are asked for, and the lists again when there
//! were any, or after ten rounds.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use exposition::registry::{Counter, Registry};
use httpclient::ClientOptions;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{Api, Ask, client, refused, url};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_linode_";
const API: &str = "https://api.linode.com/v4";
/// Rounds without events after which the lists are asked for all the same.
const MAX_QUIET: u32 = 10;

/// A `linode_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinodeOptions {
    /// The region; all if empty.
    pub region: String,
    /// What stands between and around the items of lists in labels.
    pub tag_separator: String,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// `prometheus_sd_linode_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    failures: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let name = "prometheus_sd_linode_failures_total";
        Metrics { failures: registry.counter(name, "Number of Linode service discovery refresh failures.") }
    }
}

impl Provider for Box<LinodeOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let source = Api::new(&self.client, interval).map(|api| Linode {
            api,
            options: *self,
            known: None,
            since: SystemTime::now(),
            quiet: 0,
            events: true,
            metrics: context.metrics.linode.clone(),
            lists: context.lists.clone(),
        });
        refresh::every(interval, "linode", &context, source).await;
    }
}

struct Linode {
    api: Api,
    options: LinodeOptions,
    /// What was found last.
    known: Option<Vec<TargetGroup>>,
    /// When it was asked for last.
    since: SystemTime,
    /// Rounds since the lists were asked for.
    quiet: u32,
    /// Whether our token may see events.
    events: bool,
    metrics: Metrics,
    lists: NameLists,
}

impl Source for Linode {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let now = SystemTime::now();
        if let Some(known) = &self.known
            && self.events
        {
            match self.has_events().await? {
                None => self.events = false,
                Some(happened) => {
                    self.quiet += 1;
                    if !happened && self.quiet < MAX_QUIET {
                        self.since = now;
                        return Ok(known.clone());
                    }
                }
            }
        }
        let found = self.list().await;
        if found.is_err() {
            self.metrics.failures.inc();
        }
        let found = found?;
        (self.quiet, self.since, self.known) = (0, now, Some(found.clone()));
        Ok(found)
    }
}

impl Linode {
    /// Whether something happened since the last time; none if we may not know.
    async fn has_events(&self) -> Result<Option<bool>, String> {
        let since = jiff::Timestamp::try_from(self.since).map_err(|err| err.to_string())?;
        let filter = format!(r#"{{"created": {{"+gte": "{}"}}}}"#, since.strftime("%Y-%m-%dT%H:%M:%S"));
        let url = url(API, &["account", "events"], &[("page", "1"), ("page_size", "25")])?;
        let (head, body) = self.api.send(Ask::get(url).header("x-filter", &filter)?).await?;
        match head.status.as_u16() {
            401 => Ok(None),
            200 => {
                let page: Page<serde::de::IgnoredAny> =
                    serde_json::from_slice(&body).map_err(|err| err.to_string())?;
                Ok(Some(!page.data.0.is_empty()))
            }
            _ => Err(refused("account/events", &head, &body)),
        }
    }

    async fn list(&self) -> Result<Vec<TargetGroup>, String> {
        let instances: Vec<Instance> = self.all(&["linode", "instances"]).await?;
        let addresses: Vec<Address> = self.all(&["networking", "ips"]).await?;
        let ranges: Vec<Range> = self.all(&["networking", "ipv6", "ranges"]).await?;
        let mut targets = Targets::new(PREFIX, &self.lists);
        for instance in instances.iter().filter(|instance| !instance.ipv4.0.is_empty()) {
            self.add(&mut targets, instance, &addresses, &ranges);
        }
        Ok(targets.into_groups("Linode"))
    }

    /// All pages of a list, of the wanted region.
    async fn all<T: DeserializeOwned>(&self, list: &[&str]) -> Result<Vec<T>, String> {
        let mut all = Vec::new();
        for number in 1..=MAX_PAGES {
            let url = url(API, list, &[("page", &number.to_string()), ("page_size", "500")])?;
            let mut ask = Ask::get(url);
            if !self.options.region.is_empty() {
                ask = ask.header("x-filter", &format!(r#"{{"region": "{}"}}"#, self.options.region))?;
            }
            let (_, page): (_, Page<T>) = self.api.ask(ask).await?;
            all.extend(page.data.0);
            if number as u64 >= *page.pages {
                return Ok(all);
            }
        }
        Err(endless("instances"))
    }

    fn add(&self, targets: &mut Targets, instance: &Instance, addresses: &[Address], ranges: &[Range]) {
        let ipv4 = Ipv4::of(instance, addresses);
        let slaac = instance.ipv6.split('/').next().filter(|_| !instance.ipv6.is_empty());
        // The last of several, as Prometheus takes it.
        let ipv6 = addresses.iter().rev().find(|address| Some(address.address.as_str()) == slaac);
        let ipv6_name = addresses
            .iter()
            .rev()
            .filter(|address| Some(address.address.as_str()) == slaac)
            .find_map(Address::name);
        let of_instance = ranges.iter().filter(|range| Some(range.route_target.as_str()) == slaac);
        let of_instance: Vec<String> = of_instance.map(|r| format!("{}/{}", *r.range, *r.prefix)).collect();

        let public_ipv4 = ipv4.public.map_or("", |address| address.address.as_str());
        targets.address(public_ipv4, self.options.port);
        let labels = [
            ("instance_label", instance.label.as_str()),
            ("image", &instance.image),
            ("private_ipv4", ipv4.private.map_or("", |address| address.address.as_str())),
            ("public_ipv4", public_ipv4),
            ("public_ipv6", ipv6.map_or("", |address| address.address.as_str())),
            ("private_ipv4_rdns", ipv4.private.and_then(Address::name).unwrap_or_default()),
            ("public_ipv4_rdns", ipv4.public.and_then(Address::name).unwrap_or_default()),
            ("public_ipv6_rdns", ipv6_name.unwrap_or_default()),
            ("region", &instance.region),
            ("type", &instance.kind),
            ("status", &instance.status),
            ("group", &instance.group),
            ("hypervisor", &instance.hypervisor),
            ("backups", if *instance.backups.enabled { "enabled" } else { "disabled" }),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        let specs = &instance.specs;
        let numbers = [
            ("instance_id", *instance.id),
            ("gpus", *specs.gpus),
            ("specs_vcpus", *specs.vcpus),
            ("specs_disk_bytes", bytes(*specs.disk)),
            ("specs_memory_bytes", bytes(*specs.memory)),
            ("specs_transfer_bytes", bytes(*specs.transfer)),
        ];
        numbers.into_iter().for_each(|(name, value)| targets.number(name, value));
        let separator = &self.options.tag_separator;
        targets.list("tags", &instance.tags.0, separator);
        targets.list("extra_ips", &ipv4.others, separator);
        targets.list("ipv6_ranges", &of_instance, separator);
        targets.end_target();
    }
}

/// MiB as bytes.
fn bytes(mebibytes: i64) -> i64 {
    mebibytes.wrapping_shl(20)
}

/// What is known of the IPv4 addresses of an instance.
#[derive(Default)]
struct Ipv4<'a> {
    public: Option<&'a Address>,
    private: Option<&'a Address>,
    others: Vec<&'a str>,
}

impl<'a> Ipv4<'a> {
    fn of(instance: &Instance, addresses: &'a [Address]) -> Self {
        let mut found = Ipv4::default();
        for ip in &instance.ipv4.0 {
            let text = ip.parse::<IpAddr>().map_or_else(|_| ip.clone(), |ip| ip.to_string());
            for address in addresses.iter().filter(|address| *address.address == text) {
                let place = if *address.public { &mut found.public } else { &mut found.private };
                match place {
                    None => *place = Some(address),
                    Some(_) => found.others.push(&address.address),
                }
            }
        }
        found
    }
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default = "Many::default")]
    data: Many<T>,
    #[serde(default)]
    pages: Or<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Instance {
    id: Or<i64>,
    label: Or<String>,
    image: Or<String>,
    region: Or<String>,
    #[serde(rename = "type")]
    kind: Or<String>,
    status: Or<String>,
    group: Or<String>,
    hypervisor: Or<String>,
    ipv4: Many<String>,
    ipv6: Or<String>,
    tags: Many<String>,
    specs: Or<Specs>,
    backups: Or<Backups>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Specs {
    disk: Or<i64>,
    memory: Or<i64>,
    vcpus: Or<i64>,
    gpus: Or<i64>,
    transfer: Or<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Backups {
    enabled: Or<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    address: Or<String>,
    public: Or<bool>,
    rdns: Or<String>,
}

impl Address {
    /// The name that DNS has for it.
    fn name(&self) -> Option<&str> {
        Some(self.rdns.as_str()).filter(|name| !name.is_empty() && *name != "null")
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Range {
    range: Or<String>,
    prefix: Or<i64>,
    route_target: Or<String>,
}
