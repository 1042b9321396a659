//! `lightsail_sd_configs`: instances of Lightsail.

use cloudauth::Service;
use serde::Deserialize;
use serde_json::json;

use super::{AwsOptions, Client, Tag, add_tags};
use crate::cloud::targets::Targets;
use crate::cloud::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_lightsail_";
const SERVICE: Service = Service { host: "lightsail", signing: "lightsail", variable: "LIGHTSAIL" };
const GET_INSTANCES: &str = "Lightsail_20161128.GetInstances";

/// A `lightsail_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LightsailOptions {
    /// What every service is told.
    pub aws: AwsOptions,
}

impl Provider for Box<LightsailOptions> {
    fn validate(&self) -> Result<(), String> {
        Client::new(&self.aws, SERVICE).map(drop)
    }

    async fn run(self, context: Context) {
        let (port, lists) = (self.aws.port, context.lists.clone());
        let source = Client::new(&self.aws, SERVICE).map(|client| Lightsail { client, port, lists });
        refresh::every(self.aws.refresh_interval, "lightsail", &context, source).await;
    }
}

struct Lightsail {
    client: Client,
    port: i64,
    lists: NameLists,
}

impl Source for Lightsail {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let region = self.client.region().await?;
        let mut targets = Targets::new(PREFIX, &self.lists);
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let asked = if token.is_empty() { json!({}) } else { json!({ "pageToken": token }) };
            let page: Result<Page, String> = self.client.action(GET_INSTANCES, &asked).await;
            let page = page.map_err(|err| format!("could not get instances: {err}"))?;
            page.instances.0.iter().for_each(|instance| self.add(&mut targets, &region, instance));
            if page.next_page_token.is_empty() {
                return Ok(targets.into_groups(region));
            }
            token = page.next_page_token.0;
        }
        Err(endless("instances"))
    }
}

impl Lightsail {
    fn add(&self, targets: &mut Targets, region: &str, instance: &Instance) {
        let Some(private_ip) = &instance.private_ip else { return };
        targets.address(private_ip, self.port);
        let labels = [
            ("availability_zone", instance.location.availability_zone.as_str()),
            ("blueprint_id", &instance.blueprint_id),
            ("bundle_id", &instance.bundle_id),
            ("instance_name", &instance.name),
            ("instance_state", &instance.state.name),
            ("instance_support_code", &instance.support_code),
            ("private_ip", private_ip),
            ("public_ip", &instance.public_ip),
            ("region", region),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.list("ipv6_addresses", &instance.ipv6.0, ",");
        add_tags(targets, "tag_", &instance.tags.0);
        targets.end_target();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    instances: Many<Instance>,
    #[serde(default)]
    next_page_token: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Instance {
    name: Or<String>,
    support_code: Or<String>,
    location: Or<Location>,
    tags: Many<Tag>,
    blueprint_id: Or<String>,
    bundle_id: Or<String>,
    #[serde(rename = "privateIpAddress")]
    private_ip: Option<String>,
    #[serde(rename = "publicIpAddress")]
    public_ip: Or<String>,
    #[serde(rename = "ipv6Addresses")]
    ipv6: Many<String>,
    state: Or<State>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Location {
    availability_zone: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct State {
    name: Or<String>,
}
