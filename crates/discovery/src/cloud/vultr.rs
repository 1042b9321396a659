//! `vultr_sd_configs`: instances of Vultr.

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

const PREFIX: &str = "__meta_vultr_instance_";
const API: &str = "https://api.vultr.com/v2";

/// A `vultr_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VultrOptions {
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<VultrOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let source = Api::new(&self.client, self.refresh_interval).map(|api| Vultr {
            api,
            port: self.port,
            lists: context.lists.clone(),
        });
        refresh::every(self.refresh_interval, "vultr", &context, source).await;
    }
}

struct Vultr {
    api: Api,
    port: i64,
    lists: NameLists,
}

impl Source for Vultr {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let mut targets = Targets::new(PREFIX, &self.lists);
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = vec![("per_page", "100")];
            query.extend((!cursor.is_empty()).then_some(("cursor", cursor.as_str())));
            let page: Page = self.api.get(url(API, &["instances"], &query)?).await?;
            page.instances.0.iter().for_each(|instance| self.add(&mut targets, instance));
            if page.meta.links.next.is_empty() {
                return Ok(targets.into_groups("Vultr"));
            }
            cursor = page.meta.0.links.0.next.0;
        }
        Err(endless("instances"))
    }
}

impl Vultr {
    fn add(&self, targets: &mut Targets, instance: &Instance) {
        targets.address(&instance.main_ip, self.port);
        let labels = [
            ("id", &instance.id),
            ("label", &instance.label),
            ("os", &instance.os),
            ("region", &instance.region),
            ("plan", &instance.plan),
            ("main_ip", &instance.main_ip),
            ("main_ipv6", &instance.v6_main_ip),
            ("internal_ip", &instance.internal_ip),
            ("hostname", &instance.hostname),
            ("server_status", &instance.server_status),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        let numbers = [
            ("os_id", &instance.os_id),
            ("vcpu_count", &instance.vcpu_count),
            ("ram_mb", &instance.ram),
            ("allowed_bandwidth_gb", &instance.allowed_bandwidth),
            ("disk_gb", &instance.disk),
        ];
        numbers.into_iter().for_each(|(name, value)| targets.number(name, **value));
        targets.list("features", &instance.features.0, ",");
        targets.list("tags", &instance.tags.0, ",");
        targets.end_target();
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    instances: Many<Instance>,
    #[serde(default)]
    meta: Or<Meta>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    links: Or<Links>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Links {
    next: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Instance {
    id: Or<String>,
    label: Or<String>,
    os: Or<String>,
    os_id: Or<i64>,
    region: Or<String>,
    plan: Or<String>,
    main_ip: Or<String>,
    v6_main_ip: Or<String>,
    internal_ip: Or<String>,
    hostname: Or<String>,
    server_status: Or<String>,
    vcpu_count: Or<i64>,
    ram: Or<i64>,
    allowed_bandwidth: Or<i64>,
    disk: Or<i64>,
    features: Many<String>,
    tags: Many<String>,
}
