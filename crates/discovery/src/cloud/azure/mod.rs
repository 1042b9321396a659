//! `azure_sd_configs`: virtual machines of Azure, those of scale sets too.

mod machine;
mod resource;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cloudauth::{Azure, AzureCloud, AzureIdentity, Environment};
use exposition::registry::{Counter, Registry};
use futures_util::{FutureExt, StreamExt};
use httpclient::{ClientOptions, Secret, Url};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use super::api::{Api, Ask, client, refused, url};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use machine::{Interface, Machine, Page, ScaleSet};

const PREFIX: &str = "__meta_azure_";
const TIMEOUT: Duration = Duration::from_secs(60);
const COMPUTE_VERSION: &str = "2024-03-01";
const INTERFACE_VERSION: &str = "2023-05-01";
const SCALE_SET_INTERFACE_VERSION: &str = "2018-10-01";
/// Interfaces that are remembered.
const MAX_REMEMBERED: usize = 5000;
/// Interfaces that are asked for at a time.
const AT_ONCE: usize = 16;

/// An `azure_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureOptions {
    /// The cloud's name, as `AzurePublicCloud`.
    pub environment_name: String,
    /// How we prove who we are.
    pub identity: AzureIdentity,
    /// The subscription.
    pub subscription_id: String,
    /// The directory, for a label.
    pub tenant_id: String,
    /// The resource group; all if empty.
    pub resource_group: String,
    /// The port of targets.
    pub port: i64,
    /// How often. Prometheus: 5 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
    /// How to ask for tokens.
    pub token_client: ClientOptions,
    /// Where credentials may be found.
    pub environment: Environment,
}

/// `prometheus_sd_azure_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    failures: Counter,
    cache_hits: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Metrics {
            failures: registry.counter(
                "prometheus_sd_azure_failures_total",
                "Number of Azure service discovery refresh failures.",
            ),
            cache_hits: registry
                .counter("prometheus_sd_azure_cache_hit_total", "Number of cache hit during refresh."),
        }
    }
}

impl Provider for Box<AzureOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).and(client(&self.token_client)).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let source = Subscription::new(*self, &context);
        refresh::every(interval, "azure", &context, source).await;
    }
}

struct Subscription {
    options: AzureOptions,
    api: Api,
    /// Made when it is known which cloud is meant.
    azure: Option<(AzureCloud, Azure)>,
    /// Interfaces by id, each until it is asked for again.
    remembered: Mutex<HashMap<String, (Interface, Instant)>>,
    metrics: Metrics,
    lists: NameLists,
}

impl Source for Subscription {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let outcome = self.list().await;
        if outcome.is_err() {
            self.metrics.failures.inc();
        }
        outcome
    }
}

/// Whether `text` is the id of a resource.
pub(super) fn is_resource(text: &str) -> bool {
    resource::parse(text).is_ok()
}

/// The clouds by the names that they have had.
fn cloud(name: &str) -> Result<AzureCloud, String> {
    let upper = name.to_uppercase();
    match upper.as_str() {
        "AZURECLOUD" | "AZUREPUBLICCLOUD" | "AZUREGERMANCLOUD" => Ok(AzureCloud::Public),
        "AZURECHINACLOUD" => Ok(AzureCloud::China),
        "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => Ok(AzureCloud::Government),
        _ => {
            Err(format!("there is no cloud configuration matching the name {}", model::number::quote(&upper)))
        }
    }
}

impl Subscription {
    fn new(options: AzureOptions, context: &Context) -> Result<Self, String> {
        Ok(Subscription {
            api: Api::new(&options.client, TIMEOUT)?,
            options,
            azure: None,
            remembered: Mutex::default(),
            metrics: context.metrics.azure.clone(),
            lists: context.lists.clone(),
        })
    }

    async fn open(&mut self) -> Result<Session, String> {
        if self.azure.is_none() {
            let cloud = cloud(&self.options.environment_name)?;
            let azure = Azure::new(
                cloud,
                self.options.identity.clone(),
                cloud.resource_manager_scope(),
                self.options.environment.clone(),
                client(&self.options.token_client)?,
            );
            self.azure = Some((cloud, azure));
        }
        let Some((cloud, azure)) = &mut self.azure else { return Err("no client".to_owned()) };
        let token = azure.token().await.map_err(|err| err.to_string())?;
        Ok(Session { base: cloud.resource_manager(), token })
    }

    async fn list(&mut self) -> Result<Vec<TargetGroup>, String> {
        let session = self.open().await.map_err(|err| format!("could not create Azure client: {err}"))?;
        let mut machines: Vec<(Machine, Option<String>)> = Vec::new();
        let alone: Vec<Machine> = self
            .all(&session, &self.below("virtualMachines"))
            .await
            .map_err(|err| format!("could not get virtual machines: {err}"))?;
        machines.extend(alone.into_iter().map(|machine| (machine, None)));
        let sets: Vec<ScaleSet> = self
            .all(&session, &self.below("virtualMachineScaleSets"))
            .await
            .map_err(|err| format!("could not get virtual machine scale sets: {err}"))?;
        for set in sets {
            let found = self.of_set(&session, &set).await;
            let found = found.map_err(|err| format!("could not get virtual machine scale set vms: {err}"))?;
            machines.extend(found.into_iter().map(|machine| (machine, Some(set.name.0.clone()))));
        }
        let failed = |err: String| format!("unable to complete Azure service discovery: {err}");
        let mut targets = Targets::new(PREFIX, &self.lists);
        let asking = machines.iter().map(|(machine, set)| {
            let interface = self.interface(&session, machine, set.as_deref());
            interface.map(move |interface| (machine, set, interface))
        });
        let asking: Vec<_> = asking.collect();
        let mut found = futures_util::stream::iter(asking).buffer_unordered(AT_ONCE);
        while let Some((machine, set, interface)) = found.next().await {
            if let Some(interface) = interface.map_err(failed)? {
                self.add(&mut targets, machine, set.as_deref(), &interface).map_err(failed)?;
            }
        }
        drop(found);
        Ok(targets.into_groups(""))
    }

    /// The path of a list of the compute provider, of a resource group or of all.
    fn below<'a>(&'a self, list: &'a str) -> Vec<&'a str> {
        let mut path = vec!["subscriptions", &self.options.subscription_id];
        if !self.options.resource_group.is_empty() {
            path.extend(["resourceGroups", &self.options.resource_group]);
        }
        path.extend(["providers", "Microsoft.Compute", list]);
        path
    }

    async fn of_set(&self, session: &Session, set: &ScaleSet) -> Result<Vec<Machine>, String> {
        let id = resource::parse(&set.id).map_err(|err| format!("could not parse scale set ID: {err}"))?;
        let path = [
            "subscriptions",
            &self.options.subscription_id,
            "resourceGroups",
            &id.resource_group,
            "providers",
            "Microsoft.Compute",
            "virtualMachineScaleSets",
            &set.name,
            "virtualMachines",
        ];
        self.all(session, &path).await
    }

    /// All pages of a list.
    async fn all<T: DeserializeOwned>(&self, session: &Session, path: &[&str]) -> Result<Vec<T>, String> {
        let mut next = url(session.base, path, &[("api-version", COMPUTE_VERSION)])?;
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: Page<T> = self.api.ask(session.ask(next)?).await?.1;
            all.extend(page.value.0);
            if page.next_link.is_empty() {
                return Ok(all);
            }
            next = Url::parse(&page.next_link).map_err(|err| format!("{}: {err}", *page.next_link))?;
        }
        Err(endless("resources"))
    }

    /// The primary interface of a machine; none if it is not there or the machine is deallocated.
    async fn interface(
        &self,
        session: &Session,
        machine: &Machine,
        set: Option<&str>,
    ) -> Result<Option<Interface>, String> {
        for id in machine.interfaces() {
            let interface = match self.recall(id) {
                Some(known) => known,
                None => match self.ask_interface(session, machine, set, id).await? {
                    Some(interface) => {
                        self.remember(id, &interface);
                        interface
                    }
                    None => {
                        tracing::warn!(name = id, "Network interface does not exist");
                        return Ok(None);
                    }
                },
            };
            let Some(properties) = &interface.properties else { continue };
            match properties.primary {
                // Interfaces of deallocated machines do not say whether they are primary.
                None => return Ok(None),
                Some(true) if !properties.configurations.0.is_empty() => return Ok(Some(interface)),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    async fn ask_interface(
        &self,
        session: &Session,
        machine: &Machine,
        set: Option<&str>,
        id: &str,
    ) -> Result<Option<Interface>, String> {
        let resource =
            resource::parse(id).map_err(|err| format!("could not parse network interface ID: {err}"))?;
        let group =
            ["subscriptions", &self.options.subscription_id, "resourceGroups", &resource.resource_group];
        let (rest, version): (Vec<&str>, &str) = match set {
            None => (
                vec!["providers", "Microsoft.Network", "networkInterfaces", &resource.name],
                INTERFACE_VERSION,
            ),
            Some(set) => (
                vec![
                    "providers",
                    "microsoft.Compute",
                    "virtualMachineScaleSets",
                    set,
                    "virtualMachines",
                    &machine.instance_id,
                    "networkInterfaces",
                    &resource.name,
                ],
                SCALE_SET_INTERFACE_VERSION,
            ),
        };
        let query = [("$expand", "IPConfigurations/PublicIPAddress"), ("api-version", version)];
        let url = url(session.base, &[&group[..], &rest[..]].concat(), &query)?;
        let what = format!("failed to retrieve Interface {id} with error");
        let (head, body) = self.api.send(session.ask(url)?).await.map_err(|err| format!("{what}: {err}"))?;
        match head.status.as_u16() {
            404 => Ok(None),
            200 => serde_json::from_slice(&body).map(Some).map_err(|err| format!("{what}: {err}")),
            _ => Err(refused(&what, &head, &body)),
        }
    }

    fn recall(&self, id: &str) -> Option<Interface> {
        let remembered = self.remembered.lock();
        let (interface, until) = remembered.get(id)?;
        if *until <= Instant::now() {
            return None;
        }
        self.metrics.cache_hits.inc();
        Some(interface.clone())
    }

    /// For ten rounds and up to three more, so that not all are asked for again in the same one.
    fn remember(&self, id: &str, interface: &Interface) {
        let mut remembered = self.remembered.lock();
        if remembered.len() >= MAX_REMEMBERED {
            let now = Instant::now();
            remembered.retain(|_, (_, until)| *until > now);
            let oldest = remembered.iter().min_by_key(|(_, (_, until))| *until).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest.filter(|_| remembered.len() >= MAX_REMEMBERED) {
                remembered.remove(&oldest);
            }
        }
        let interval = self.options.refresh_interval;
        let spread = interval * 3 / 64 * (remembered.len() % 64) as u32;
        remembered.insert(id.to_owned(), (interface.clone(), Instant::now() + interval * 10 + spread));
    }

    fn add(
        &self,
        targets: &mut Targets,
        machine: &Machine,
        set: Option<&str>,
        interface: &Interface,
    ) -> Result<(), String> {
        let id = resource::parse(&machine.id)?;
        let Some(configuration) = interface.properties.as_ref().and_then(|p| p.configurations.0.first())
        else {
            return Ok(());
        };
        let Some(private_ip) = configuration.private_ip() else {
            return Err(format!("unable to find a private IP for VM {}", *machine.name));
        };
        targets.address(private_ip, self.options.port);
        let labels = [
            ("subscription_id", self.options.subscription_id.as_str()),
            ("tenant_id", &self.options.tenant_id),
            ("machine_id", &machine.id),
            ("machine_name", &machine.name),
            ("machine_computer_name", machine.computer_name()),
            ("machine_os_type", machine.os_type()),
            ("machine_location", &machine.location),
            ("machine_resource_group", &id.resource_group),
            ("machine_size", machine.size()),
            ("machine_scale_set", set.unwrap_or_default()),
            ("machine_private_ip", private_ip),
            ("machine_public_ip", configuration.public_ip().unwrap_or_default()),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        for (key, value) in &*machine.tags {
            targets.labelled("machine_tag_", key, value.as_deref().unwrap_or_default());
        }
        targets.end_target();
        Ok(())
    }
}

/// The resource manager and a token for it.
struct Session {
    base: &'static str,
    token: Secret,
}

impl Session {
    /// A GET with the token, which nobody but the resource manager may see.
    fn ask(&self, url: Url) -> Result<Ask, String> {
        let ours = Url::parse(self.base).is_ok_and(|base| base.origin() == url.origin());
        if !ours {
            return Err(format!("{url} is not of {}", self.base));
        }
        Ask::get(url).header("authorization", &format!("Bearer {}", self.token.reveal()))
    }
}
