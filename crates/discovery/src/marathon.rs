//! `marathon_sd_configs`: tasks of Marathon's apps.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use httpclient::{ClientOptions, Secret, Url};
use serde::Deserialize;

use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::json::{Many, Or, Text, TextMap};
use crate::label_set::{NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use crate::rest::{PATIENCE, Rest};

/// A `marathon_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarathonOptions {
    /// URLs of servers, of which one is asked each time.
    pub servers: Vec<String>,
    /// The token of DC/OS.
    pub token: Option<MarathonToken>,
    /// How often. Prometheus: 30 s.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// Where the token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarathonToken {
    /// Here.
    Inline(Secret),
    /// In a file that is read for each request.
    File(PathBuf),
}

impl Provider for Box<MarathonOptions> {
    fn validate(&self) -> Result<(), String> {
        if let Some(MarathonToken::File(file)) = &self.token {
            read_token(file)?;
        }
        self.servers.iter().try_for_each(|server| url(server).map(drop))?;
        Rest::new(&self.client, PATIENCE).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let lists = context.lists.clone();
        let apps = Apps { options: *self, known: BTreeSet::new(), lists };
        refresh::every(interval, "marathon", &context, Ok(apps)).await;
    }
}

fn url(server: &str) -> Result<Url, String> {
    Url::parse(&format!("{server}/v2/apps/?embed=apps.tasks")).map_err(|err| err.to_string())
}

fn read_token(file: &std::path::Path) -> Result<String, String> {
    let token = std::fs::read_to_string(file);
    let token = token.map_err(|err| format!("unable to read auth token file {}: {err}", file.display()))?;
    Ok(token.trim().to_owned())
}

struct Apps {
    options: MarathonOptions,
    /// Apps of the last answer.
    known: BTreeSet<String>,
    lists: NameLists,
}

impl Source for Apps {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let servers = &self.options.servers;
        let draw = RandomState::new().build_hasher().finish() as usize;
        let server = draw.checked_rem(servers.len()).and_then(|i| servers.get(i));
        let url = url(server.ok_or("there is no server to ask")?)?;
        let mut api = Rest::new(&self.options.client, PATIENCE)?;
        if let Some(token) = &self.options.token {
            let token = match token {
                MarathonToken::Inline(token) => token.reveal().to_owned(),
                MarathonToken::File(file) => read_token(file)?,
            };
            api = api.header("authorization", &format!("token={token}"))?;
        }
        let mut groups = groups(&api.body(&url).await?, &self.lists)?;
        let now: BTreeSet<String> = groups.iter().map(|group| group.source.clone()).collect();
        groups.extend(self.known.difference(&now).map(|app| TargetGroup::of(app, Vec::new())));
        self.known = now;
        Ok(groups)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct List<'a> {
    #[serde(borrow)]
    apps: Many<App<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct App<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    tasks: Many<Task<'a>>,
    #[serde(borrow)]
    labels: TextMap<'a>,
    #[serde(borrow)]
    container: Or<Container<'a>>,
    #[serde(borrow)]
    port_definitions: Many<PortDefinition<'a>>,
    #[serde(borrow)]
    networks: Many<Network<'a>>,
    require_ports: Or<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Task<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    host: Text<'a>,
    ports: Many<u32>,
    #[serde(borrow)]
    ip_addresses: Many<IpAddress<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct IpAddress<'a> {
    #[serde(borrow)]
    ip_address: Text<'a>,
}

/// What an app runs in. Its ports moved up from `docker` with Marathon 1.5.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container<'a> {
    #[serde(borrow)]
    docker: Or<Docker<'a>>,
    #[serde(borrow)]
    port_mappings: Many<PortMapping<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Docker<'a> {
    #[serde(borrow)]
    image: Text<'a>,
    #[serde(borrow)]
    port_mappings: Many<PortMapping<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PortMapping<'a> {
    #[serde(borrow)]
    labels: TextMap<'a>,
    container_port: Or<u32>,
    host_port: Or<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PortDefinition<'a> {
    #[serde(borrow)]
    labels: TextMap<'a>,
    port: Or<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Network<'a> {
    #[serde(borrow)]
    mode: Text<'a>,
}

/// A port of all tasks of an app, 0 where each task has its own, and the labels that it has.
struct Port<'c, 'a> {
    number: u32,
    labels: Option<(&'static str, &'c TextMap<'a>)>,
}

impl<'a> App<'a> {
    /// Whether tasks have addresses of their own.
    fn in_container_network(&self) -> bool {
        self.networks.0.first().is_some_and(|network| *network.mode == *"container")
    }

    /// What is known about ports without looking at tasks.
    fn ports(&self) -> Vec<Port<'_, 'a>> {
        let container = &self.container;
        let mappings = [&container.port_mappings.0, &container.docker.port_mappings.0];
        if let Some(mappings) = mappings.into_iter().find(|mappings| !mappings.is_empty()) {
            let direct = self.in_container_network();
            let ports = mappings.iter().map(|mapping| Port {
                number: if direct { *mapping.container_port } else { *mapping.host_port },
                labels: Some(("__meta_marathon_port_mapping_label_", &mapping.labels)),
            });
            return ports.collect();
        }
        let definitions = self.port_definitions.0.iter();
        // A port that is not required is that of a load balancer.
        let ports = definitions.map(|definition| Port {
            number: if *self.require_ports { *definition.port } else { 0 },
            labels: Some(("__meta_marathon_port_definition_label_", &definition.labels)),
        });
        ports.collect()
    }
}

fn groups(body: &[u8], lists: &NameLists) -> Result<Vec<TargetGroup>, String> {
    let list: List<'_> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
    Ok(list.apps.0.iter().map(|app| group(app, lists)).collect())
}

fn group(app: &App<'_>, lists: &NameLists) -> TargetGroup {
    let mut pairs = Pairs::default();
    let mut targets = Vec::new();
    let mut ports = app.ports();
    let direct = app.in_container_network();
    for task in &app.tasks.0 {
        if ports.is_empty() {
            // All tasks of an app have the same number of ports.
            ports = task.ports.0.iter().map(|number| Port { number: *number, labels: None }).collect();
        }
        let own_address = task.ip_addresses.0.first().filter(|_| direct);
        let host = own_address.map_or(&task.host, |address| &address.ip_address);
        for (i, port) in ports.iter().enumerate() {
            let own = task.ports.0.get(i).filter(|_| port.number == 0 && task.ports.0.len() == ports.len());
            pairs.push(ADDRESS, &join_host_port(host, own.unwrap_or(&port.number)));
            pairs.push("__meta_marathon_task", &task.id);
            pairs.push("__meta_marathon_port_index", &i.to_string());
            if let Some((prefix, labels)) = port.labels {
                for (name, value) in &labels.0 {
                    pairs.push_sanitized(&[prefix], name, value);
                }
            }
            targets.push(pairs.take(lists).into());
        }
    }
    pairs.push("__meta_marathon_app", &app.id);
    pairs.push("__meta_marathon_image", &app.container.docker.image);
    for (name, value) in &app.labels.0 {
        pairs.push_sanitized(&["__meta_marathon_app_label_"], name, value);
    }
    TargetGroup { labels: pairs.take(lists).into(), ..TargetGroup::of(&*app.id, targets) }
}

/// Reads an answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    groups(body, lists).map_or(0, |groups| groups.len())
}
