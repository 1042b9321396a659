//! `outscale_sd_configs`: virtual machines of OUTSCALE.

use std::time::{Duration, SystemTime};

use cloudauth::{Keys, Scope, sign};
use httpclient::{ClientOptions, HeaderMap, HeaderValue, Method};
use serde::Deserialize;

use super::api::{Api, Ask, client, url};
use super::scaleway::SecretOrFile;
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_outscale_vm_";
const SERVICE: &str = "oapi";

/// An `outscale_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutscaleOptions {
    /// The API.
    pub endpoint: String,
    /// The region.
    pub region: String,
    /// The access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: SecretOrFile,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<OutscaleOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let lists = context.lists.clone();
        let source = Api::new(&self.client, interval).map(|api| Outscale { api, options: *self, lists });
        refresh::every(interval, "outscale", &context, source).await;
    }
}

struct Outscale {
    api: Api,
    options: OutscaleOptions,
    lists: NameLists,
}

impl Source for Outscale {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let secret = self.options.secret_key.read().await?;
        let keys = Keys::lasting(&self.options.access_key, secret);
        let mut targets = Targets::new(PREFIX, &self.lists);
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let page = self.page(&keys, &token).await.map_err(|err| format!("outscale ReadVms: {err}"))?;
            page.vms.0.iter().for_each(|vm| self.add(&mut targets, vm));
            if page.next_page_token.is_empty() {
                return Ok(targets.into_groups(&self.options.region));
            }
            token = page.next_page_token.0;
        }
        Err(endless("virtual machines"))
    }
}

impl Outscale {
    async fn page(&self, keys: &Keys, token: &str) -> Result<Page, String> {
        let content = if token.is_empty() {
            "{}".to_owned()
        } else {
            serde_json::json!({ "NextPageToken": token }).to_string()
        };
        let url = url(&self.options.endpoint, &["ReadVms"], &[])?;
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let scope = Scope { region: &self.options.region, service: SERVICE, now: SystemTime::now() };
        sign(&Method::POST, &url, &mut headers, content.as_bytes(), keys, scope)
            .map_err(|err| err.to_string())?;
        Ok(self.api.ask(Ask::post(url, content).with(headers)).await?.1)
    }

    fn add(&self, targets: &mut Targets, vm: &Vm) {
        let address = if vm.private_ip.is_empty() { &vm.public_ip } else { &vm.private_ip };
        if address.is_empty() {
            return;
        }
        targets.address(address, self.options.port);
        let labels = [
            ("instance_id", vm.vm_id.as_str()),
            ("region", &self.options.region),
            ("state", &vm.state),
            ("subregion", &vm.placement.subregion_name),
            ("private_ip", &vm.private_ip),
            ("public_ip", &vm.public_ip),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        for tag in vm.tags.0.iter().filter(|tag| !tag.key.is_empty()) {
            targets.labelled("tag_", &tag.key, &tag.value);
        }
        targets.end_target();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    vms: Many<Vm>,
    #[serde(default)]
    next_page_token: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Vm {
    vm_id: Or<String>,
    state: Or<String>,
    private_ip: Or<String>,
    public_ip: Or<String>,
    placement: Or<Placement>,
    tags: Many<Tag>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Placement {
    subregion_name: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Tag {
    key: Or<String>,
    value: Or<String>,
}
