//! `stackit_sd_configs`: servers of a project of STACKIT.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudauth::{Environment, Stackit as Tokens, TextOrFile};
use httpclient::ClientOptions;
use serde::Deserialize;
use serde_json::Value;

use super::api::{Api, Ask, client, refused, url};
use super::targets::Targets;
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_stackit_";

/// A `stackit_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackitOptions {
    /// The project.
    pub project: String,
    /// The API.
    pub endpoint: String,
    /// The key of a service account as JSON; without it only the client's own credentials are sent.
    pub service_account_key: Option<TextOrFile>,
    /// Its private key, if that is not part of it.
    pub private_key: Option<TextOrFile>,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
    /// Where else tokens may come from.
    pub environment: Environment,
}

impl Provider for Box<StackitOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let source = Stackit::new(*self, context.lists.clone());
        refresh::every(interval, "stackit", &context, source).await;
    }
}

struct Stackit {
    api: Api,
    options: StackitOptions,
    tokens: Option<Tokens>,
    lists: NameLists,
}

impl Source for Stackit {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let path = ["v1", "projects", &self.options.project, "servers"];
        let mut ask = Ask::get(url(&self.options.endpoint, &path, &[("details", "true")])?);
        if let Some(tokens) = &mut self.tokens {
            let token = tokens.token().await.map_err(|err| format!("sending request: {err}"))?;
            ask = ask.header("authorization", &format!("Bearer {}", token.reveal()))?;
        }
        let (head, body) = self.api.send(ask).await.map_err(|err| format!("sending request: {err}"))?;
        if head.status.as_u16() != 200 {
            return Err(refused("unexpected status code", &head, &body));
        }
        let servers: Option<Servers> =
            serde_json::from_slice(&body).map_err(|err| format!("decoding response: {err}"))?;
        let mut targets = Targets::new(PREFIX, &self.lists);
        for server in servers.iter().flat_map(|servers| &servers.items.0) {
            self.add(&mut targets, server);
        }
        Ok(targets.into_groups("stackit"))
    }
}

impl Stackit {
    fn new(options: StackitOptions, lists: NameLists) -> Result<Self, String> {
        let api = Api::new(&options.client, options.refresh_interval)?;
        let tokens = options.service_account_key.clone().map(|key| {
            Tokens::new(key, options.private_key.clone(), options.environment.clone(), api.client().clone())
        });
        Ok(Stackit { api, options, tokens, lists })
    }

    fn add(&self, targets: &mut Targets, server: &Server) {
        let public = server.nics.0.iter().map(|nic| nic.public_ip.as_str()).find(|ip| !ip.is_empty());
        let mut address = "";
        for nic in &server.nics.0 {
            // The first public address takes the place of a private one.
            if !nic.public_ip.is_empty() && public == Some(nic.public_ip.as_str()) {
                address = &nic.public_ip;
            }
            if !nic.ipv4.is_empty() {
                targets.labelled("private_ipv4_", &nic.network_name, &nic.ipv4);
                if address.is_empty() {
                    address = &nic.ipv4;
                }
            }
        }
        if address.is_empty() {
            return targets.drop_target();
        }
        targets.address(address, self.options.port);
        let labels = [
            ("project", self.options.project.as_str()),
            ("id", &server.id),
            ("name", &server.name),
            ("availability_zone", &server.availability_zone),
            ("status", &server.status),
            ("power_status", &server.power_status),
            ("type", &server.machine_type),
            ("public_ipv4", public.unwrap_or_default()),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        for (key, value) in &*server.labels {
            if let Value::String(text) = value {
                targets.labelled("labelpresent_", key, "true");
                targets.labelled("label_", key, text);
            }
        }
        targets.end_target();
    }
}

#[derive(Deserialize)]
struct Servers {
    #[serde(default)]
    items: Many<Server>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Server {
    availability_zone: Or<String>,
    id: Or<String>,
    labels: Or<BTreeMap<String, Value>>,
    machine_type: Or<String>,
    name: Or<String>,
    nics: Many<Nic>,
    power_status: Or<String>,
    status: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Nic {
    network_name: Or<String>,
    ipv4: Or<String>,
    public_ip: Or<String>,
}
