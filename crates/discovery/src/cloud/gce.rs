//! `gce_sd_configs`: instances of Google Compute Engine.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudauth::{Environment, Google, GoogleSource};
use httpclient::ClientOptions;
use serde::Deserialize;

use super::api::{Api, Ask, client, url};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_gce_";
const API: &str = "https://compute.googleapis.com/compute/v1";
const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const TIMEOUT: Duration = Duration::from_secs(60);

/// A `gce_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GceOptions {
    /// The project.
    pub project: String,
    /// The zone.
    pub zone: String,
    /// A filter of the list; all instances if empty.
    pub filter: String,
    /// The port of targets.
    pub port: i64,
    /// What stands between and around the tags in their label.
    pub tag_separator: String,
    /// How often. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask; credentials are the application's default ones.
    pub client: ClientOptions,
    /// Where those may be found.
    pub environment: Environment,
}

impl Provider for Box<GceOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let source = Gce::new(*self, context.lists.clone());
        refresh::every(interval, "gce", &context, source).await;
    }
}

struct Gce {
    options: GceOptions,
    api: Api,
    google: Google,
    lists: NameLists,
}

impl Source for Gce {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let groups = self.list().await;
        groups.map_err(|err| format!("error retrieving refresh targets from gce: {err}"))
    }
}

impl Gce {
    fn new(options: GceOptions, lists: NameLists) -> Result<Self, String> {
        let api = Api::new(&options.client, TIMEOUT)?;
        let (environment, client) = (options.environment.clone(), api.client().clone());
        let google = Google::new(GoogleSource::Default, SCOPE, environment, client);
        Ok(Gce { options, api, google, lists })
    }

    async fn list(&mut self) -> Result<Vec<TargetGroup>, String> {
        let source = format!("GCE_{}_{}", self.options.project, self.options.zone);
        let mut targets = Targets::new(PREFIX, &self.lists);
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let page = self.page(&token).await?;
            page.items.0.iter().for_each(|instance| self.add(&mut targets, instance));
            if page.next_page_token.is_empty() {
                return Ok(targets.into_groups(source));
            }
            token = page.next_page_token.0;
        }
        Err(endless("instances"))
    }

    async fn page(&mut self, token: &str) -> Result<Page, String> {
        let bearer = self.google.token().await.map_err(|err| err.to_string())?;
        let GceOptions { project, zone, filter, .. } = &self.options;
        let mut query = vec![("alt", "json"), ("prettyPrint", "false")];
        query.extend(
            [("filter", filter.as_str()), ("pageToken", token)].iter().filter(|(_, v)| !v.is_empty()),
        );
        let url = url(API, &["projects", project, "zones", zone, "instances"], &query)?;
        let ask = Ask::get(url).header("authorization", &format!("Bearer {}", bearer.reveal()))?;
        Ok(self.api.ask(ask).await?.1)
    }

    fn add(&self, targets: &mut Targets, instance: &Instance) {
        let Some(first) = instance.interfaces.0.first() else { return };
        let labels = [
            ("project", &self.options.project),
            ("zone", &*instance.zone),
            ("instance_id", &*instance.id),
            ("instance_name", &*instance.name),
            ("instance_status", &*instance.status),
            ("machine_type", &*instance.machine_type),
            ("network", &*first.network),
            ("subnetwork", &*first.subnetwork),
            ("private_ip", &*first.address),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        // No brackets: it is an IPv4 address.
        targets.plain(crate::group::ADDRESS, &format!("{}:{}", *first.address, self.options.port));
        for interface in &instance.interfaces.0 {
            targets.labelled("interface_ipv4_", &interface.name, &interface.address);
        }
        targets.list("tags", &instance.tags.items.0, &self.options.tag_separator);
        for item in &instance.metadata.items.0 {
            targets.labelled("metadata_", &item.key, item.value.as_deref().unwrap_or_default());
        }
        for (key, value) in &*instance.labels {
            targets.labelled("label_", key, value);
        }
        if let Some(access) = first.access.0.first().filter(|access| *access.kind == "ONE_TO_ONE_NAT") {
            targets.label("public_ip", &access.address);
        }
        targets.end_target();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Many<Instance>,
    #[serde(default)]
    next_page_token: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Instance {
    /// A number, written as a text.
    id: Or<String>,
    name: Or<String>,
    zone: Or<String>,
    status: Or<String>,
    machine_type: Or<String>,
    #[serde(rename = "networkInterfaces")]
    interfaces: Many<Interface>,
    tags: Or<Items<String>>,
    metadata: Or<Items<Metadatum>>,
    labels: Or<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Interface {
    name: Or<String>,
    network: Or<String>,
    subnetwork: Or<String>,
    #[serde(rename = "networkIP")]
    address: Or<String>,
    #[serde(rename = "accessConfigs")]
    access: Many<Access>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Access {
    #[serde(rename = "type")]
    kind: Or<String>,
    #[serde(rename = "natIP")]
    address: Or<String>,
}

#[derive(Deserialize)]
struct Items<T> {
    #[serde(default)]
    items: Many<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items { items: Many::default() }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadatum {
    key: Or<String>,
    value: Option<String>,
}
