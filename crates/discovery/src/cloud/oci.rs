//! `oci_sd_configs`: compute instances of Oracle Cloud Infrastructure.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use cloudauth::OciKey;
use httpclient::ClientOptions;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{Api, Ask, client, url};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_oci_";
const VERSION: &str = "20160918";
const TIMEOUT: Duration = Duration::from_secs(60);
/// Oracle Cloud slows down who asks more often: ten times in a second, after fifty at once.
const PER_REQUEST: Duration = Duration::from_millis(100);
const AT_ONCE: u32 = 50;

/// Regions by short name.
const SHORT: [(&str, &str); 4] =
    [("iad", "us-ashburn-1"), ("phx", "us-phoenix-1"), ("lhr", "uk-london-1"), ("fra", "eu-frankfurt-1")];
/// What the names of hosts end in outside the commercial cloud, by how the region's name begins.
const DOMAINS: [(&str, &str); 9] = [
    ("us-langley-", "oraclegovcloud.com"),
    ("us-luke-", "oraclegovcloud.com"),
    ("us-gov-", "oraclegovcloud.com"),
    ("uk-gov-", "oraclegovcloud.uk"),
    ("ap-chiyoda-", "oraclecloud8.com"),
    ("ap-ibaraki-", "oraclecloud8.com"),
    ("me-dcc-muscat-", "oraclecloud9.com"),
    ("me-ibri-", "oraclecloud9.com"),
    ("ap-dcc-canberra-", "oraclecloud10.com"),
];

/// An `oci_sd_configs` entry with the key of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciOptions {
    /// The tenancy.
    pub tenancy: String,
    /// The user.
    pub user: String,
    /// The key's fingerprint.
    pub fingerprint: String,
    /// The key in PEM.
    pub key_file: PathBuf,
    /// The region.
    pub region: String,
    /// Which compartments; all of the tenancy if none.
    pub compartments: Vec<String>,
    /// The port of targets.
    pub port: i64,
    /// How often. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<OciOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let lists = context.lists.clone();
        let allowed = Instant::now();
        let source =
            Api::new(&self.client, TIMEOUT).map(|api| Oci { api, options: *self, key: None, allowed, lists });
        refresh::every(interval, "oci", &context, source).await;
    }
}

struct Oci {
    api: Api,
    options: OciOptions,
    /// Read when it is needed first.
    key: Option<OciKey>,
    /// When all requests so far would have been made at the highest lasting rate.
    allowed: Instant,
    lists: NameLists,
}

impl Source for Oci {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let mut targets = Targets::new(PREFIX, &self.lists);
        for compartment in self.compartments().await? {
            let query = [("compartmentId", compartment.as_str())];
            let instances: Result<Vec<Instance>, String> = self.all("iaas", "instances", &query).await;
            let instances = instances
                .map_err(|err| format!("listing OCI instances in compartment {compartment}: {err}"))?;
            for instance in instances {
                if instance.id.is_empty() || instance.compartment_id.is_empty() {
                    tracing::warn!(compartment, "OCI SD skipping instance with missing OCID fields");
                    continue;
                }
                match self.primary_vnic(&instance).await {
                    Ok(vnic) => self.add(&mut targets, &instance, &vnic),
                    // One instance hides no other.
                    Err(err) => {
                        tracing::warn!(instance = %*instance.id, %err, "OCI SD failed to resolve VNIC IPs, skipping instance");
                    }
                }
            }
        }
        Ok(targets.into_groups("OCI"))
    }
}

impl Oci {
    /// The wanted compartments, or the tenancy and all active ones below it that we may see.
    async fn compartments(&mut self) -> Result<Vec<String>, String> {
        if !self.options.compartments.is_empty() {
            return Ok(self.options.compartments.clone());
        }
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut waiting = VecDeque::from([self.options.tenancy.clone()]);
        while let Some(id) = waiting.pop_front() {
            if !seen.insert(id.clone()) {
                continue;
            }
            found.push(id.clone());
            let query = [
                ("compartmentId", id.as_str()),
                ("accessLevel", "ACCESSIBLE"),
                ("compartmentIdInSubtree", "false"),
            ];
            let children: Result<Vec<Compartment>, String> =
                self.all("identity", "compartments", &query).await;
            match children {
                Ok(children) => {
                    let active = children.into_iter().filter(|child| *child.lifecycle_state == "ACTIVE");
                    waiting.extend(active.map(|child| child.id.0).filter(|id| !id.is_empty()));
                }
                // Often we may not look into it.
                Err(err) => {
                    tracing::warn!(compartment = id, %err, "OCI SD failed to list child compartments, skipping subtree");
                }
            }
        }
        Ok(found)
    }

    async fn primary_vnic(&mut self, instance: &Instance) -> Result<Vnic, String> {
        let query =
            [("compartmentId", instance.compartment_id.as_str()), ("instanceId", instance.id.as_str())];
        let attachments: Vec<Attachment> = self.all("iaas", "vnicAttachments", &query).await?;
        let attached = attachments.into_iter().filter(|a| *a.lifecycle_state == "ATTACHED");
        for id in attached.filter_map(|attachment| attachment.vnic_id) {
            let (vnic, _): (Vnic, _) = self.ask("iaas", &["vnics", &id], &[]).await?;
            if *vnic.is_primary {
                return Ok(vnic);
            }
        }
        Ok(Vnic::default())
    }

    /// All pages of a list.
    async fn all<T: DeserializeOwned>(
        &mut self,
        service: &str,
        list: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, String> {
        let (mut all, mut page) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let mut query = query.to_vec();
            query.push(("limit", "100"));
            query.extend((!page.is_empty()).then_some(("page", page.as_str())));
            let (items, next): (Many<T>, String) = self.ask(service, &[list], &query).await?;
            all.extend(items.0);
            if next.is_empty() {
                return Ok(all);
            }
            page = next;
        }
        Err(endless(list))
    }

    /// A resource, and the name of the page after it.
    async fn ask<T: DeserializeOwned>(
        &mut self,
        service: &str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<(T, String), String> {
        self.wait().await;
        let url = url(&self.base(service), &[&[VERSION], path].concat(), query)?;
        let (date, authorization) =
            self.key().await?.sign("GET", &url, SystemTime::now()).map_err(|err| err.to_string())?;
        let ask = Ask::get(url).header("date", &date)?.header("authorization", &authorization)?;
        let (head, value) = self.api.ask(ask).await?;
        Ok((value, head.header("opc-next-page").to_owned()))
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        self.allowed = self.allowed.max(now) + PER_REQUEST;
        let ahead = self.allowed.saturating_duration_since(now + PER_REQUEST * AT_ONCE);
        if !ahead.is_zero() {
            tokio::time::sleep(ahead).await;
        }
    }

    fn base(&self, service: &str) -> String {
        let region = self.options.region.as_str();
        let region = SHORT.iter().find(|(short, _)| *short == region).map_or(region, |(_, long)| long);
        let domain = DOMAINS.iter().find(|(prefix, _)| region.starts_with(prefix));
        let domain = domain.map_or("oraclecloud.com", |(_, domain)| domain);
        // The older of both names its hosts without the cloud.
        let cloud = if service == "identity" { "oci." } else { "" };
        format!("https://{service}.{region}.{cloud}{domain}")
    }

    async fn key(&mut self) -> Result<&OciKey, String> {
        if self.key.is_none() {
            let OciOptions { tenancy, user, fingerprint, key_file, .. } = &self.options;
            let pem = tokio::fs::read(key_file).await;
            let pem = pem.map_err(|err| format!("reading OCI key file {}: {err}", key_file.display()))?;
            self.key = Some(OciKey::new(tenancy, user, fingerprint, &pem).map_err(|err| err.to_string())?);
        }
        self.key.as_ref().ok_or_else(|| "no key".to_owned())
    }

    fn add(&self, targets: &mut Targets, instance: &Instance, vnic: &Vnic) {
        let mut ipv6 = vnic.ipv6_addresses.0.clone();
        ipv6.sort();
        let candidates = [vnic.private_ip.as_str(), vnic.public_ip.as_str()];
        let address = candidates.into_iter().find(|ip| !ip.is_empty()).or(ipv6.first().map(String::as_str));
        let Some(address) = address else { return };
        targets.address(address, self.options.port);
        let labels = [
            ("instance_id", instance.id.as_str()),
            ("instance_name", &instance.display_name),
            ("instance_state", &instance.lifecycle_state),
            ("instance_shape", &instance.shape),
            ("availability_domain", &instance.availability_domain),
            ("fault_domain", &instance.fault_domain),
            ("region", &instance.region),
            ("tenancy_id", &self.options.tenancy),
            ("compartment_id", &instance.compartment_id),
            ("image_id", &instance.image_id),
            ("vnic_id", &vnic.id),
            ("private_ip", &vnic.private_ip),
            ("public_ip", &vnic.public_ip),
            ("hostname_label", &vnic.hostname_label),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.list("ipv6_addresses", &ipv6, ",");
        for (key, value) in &*instance.freeform_tags {
            targets.labelled("tag_", key, value);
        }
        for (namespace, tags) in &*instance.defined_tags {
            for (key, value) in &**tags {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Bool(truth) => truth.to_string(),
                    Value::Number(number) => model::number::format_f(number.as_f64().unwrap_or_default()),
                    Value::Null | Value::Array(_) | Value::Object(_) => continue,
                };
                targets.labelled("defined_tag_", &format!("{namespace}_{key}"), &text);
            }
        }
        targets.end_target();
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Compartment {
    id: Or<String>,
    lifecycle_state: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Instance {
    id: Or<String>,
    compartment_id: Or<String>,
    display_name: Or<String>,
    lifecycle_state: Or<String>,
    shape: Or<String>,
    availability_domain: Or<String>,
    fault_domain: Or<String>,
    region: Or<String>,
    image_id: Or<String>,
    freeform_tags: Or<BTreeMap<String, String>>,
    defined_tags: Or<BTreeMap<String, Or<BTreeMap<String, Value>>>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Attachment {
    vnic_id: Option<String>,
    lifecycle_state: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Vnic {
    id: Or<String>,
    is_primary: Or<bool>,
    private_ip: Or<String>,
    public_ip: Or<String>,
    hostname_label: Or<String>,
    ipv6_addresses: Many<String>,
}
