//! `eureka_sd_configs`: instances of applications that are registered with Eureka.

use std::time::Duration;

use httpclient::{ClientOptions, Url};

use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::label_set::{LabelParts, NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use crate::rest::{PATIENCE, Rest};
use crate::xml::{self, Element};

/// A `eureka_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EurekaOptions {
    /// The URL of a server, up to `/apps`.
    pub server: String,
    /// How often. Prometheus: 30 s.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<EurekaOptions> {
    fn validate(&self) -> Result<(), String> {
        Applications::new(self, NameLists::default()).map(drop)
    }

    async fn run(self, context: Context) {
        let applications = Applications::new(&self, context.lists.clone());
        refresh::every(self.refresh_interval, "eureka", &context, applications).await;
    }
}

struct Applications {
    api: Rest,
    url: Url,
    lists: NameLists,
}

impl Applications {
    fn new(options: &EurekaOptions, lists: NameLists) -> Result<Self, String> {
        let url = Url::parse(&format!("{}/apps", options.server)).map_err(|err| err.to_string())?;
        Ok(Applications { api: Rest::new(&options.client, PATIENCE)?, url, lists })
    }
}

impl Source for Applications {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let body = self.api.body(&self.url).await?;
        let targets = targets(&body, &self.lists).map_err(|err| format!("{}: {err}", self.url))?;
        Ok(vec![TargetGroup::of("eureka", targets)])
    }
}

/// A port and whether it is open.
fn port(instance: &Element<'_>, name: &str) -> Result<Option<(i64, &'static str)>, String> {
    let Some(port) = instance.child(name) else { return Ok(None) };
    let enabled = match port.attribute("enabled").trim() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => "true",
        "" | "0" | "f" | "F" | "FALSE" | "false" | "False" => "false",
        other => return Err(format!("enabled is neither true nor false: {other}")),
    };
    Ok(Some((number(&port.text)?, enabled)))
}

fn number(text: &str) -> Result<i64, String> {
    match text.trim() {
        "" => Ok(0),
        text => text.parse().map_err(|_| format!("{} is no number", model::number::quote(text))),
    }
}

fn targets(body: &[u8], lists: &NameLists) -> Result<Vec<LabelParts>, String> {
    let root = xml::parse(body)?;
    let mut targets = Vec::new();
    for application in root.all("application") {
        for instance in application.all("instance") {
            targets.push(target(application.text_of("name"), instance, lists)?);
        }
    }
    Ok(targets)
}

fn target(application: &str, instance: &Element<'_>, lists: &NameLists) -> Result<LabelParts, String> {
    let mut pairs = Pairs::default();
    let (open, secure) = (port(instance, "port")?, port(instance, "securePort")?);
    let id = instance.text_of("instanceId");
    let host = instance.text_of("hostName");
    pairs.push(ADDRESS, &join_host_port(host, open.map_or(80, |(port, _)| port)));
    pairs.push("instance", id);
    pairs.push("__meta_eureka_app_name", application);
    for (label, name) in [
        ("hostname", "hostName"),
        ("homepage_url", "homePageUrl"),
        ("statuspage_url", "statusPageUrl"),
        ("healthcheck_url", "healthCheckUrl"),
        ("ip_addr", "ipAddr"),
        ("vip_address", "vipAddress"),
        ("secure_vip_address", "secureVipAddress"),
        ("status", "status"),
        ("id", "instanceId"),
    ] {
        pairs.push_sanitized(&["__meta_eureka_app_instance_", label], "", instance.text_of(name));
    }
    let country = number(instance.text_of("countryId"))?;
    pairs.push("__meta_eureka_app_instance_country_id", &country.to_string());
    for (label, port) in [("port", open), ("secure_port", secure)] {
        if let Some((port, enabled)) = port {
            pairs.push_sanitized(&["__meta_eureka_app_instance_", label], "", &port.to_string());
            pairs.push_sanitized(&["__meta_eureka_app_instance_", label, "_enabled"], "", enabled);
        }
    }
    if let Some(center) = instance.child("dataCenterInfo") {
        pairs.push("__meta_eureka_app_instance_datacenterinfo_name", center.text_of("name"));
        push_metadata(&mut pairs, "__meta_eureka_app_instance_datacenterinfo_metadata_", center);
    }
    push_metadata(&mut pairs, "__meta_eureka_app_instance_metadata_", instance);
    Ok(pairs.take(lists).into())
}

/// What stands in each element of the metadata, as it is written.
fn push_metadata(pairs: &mut Pairs, prefix: &str, element: &Element<'_>) {
    for item in element.all("metadata").flat_map(|metadata| &metadata.children) {
        pairs.push_sanitized(&[prefix], &item.name, item.inner);
    }
}

/// Reads an answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    targets(body, lists).map_or(0, |targets| targets.len())
}
