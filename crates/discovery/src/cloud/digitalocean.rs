//! `digitalocean_sd_configs`: droplets and databases of DigitalOcean.

use std::time::Duration;

use httpclient::{ClientOptions, Url};
use serde::Deserialize;

use super::api::{Api, client, url};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::{Many, Or};
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};

const PREFIX: &str = "__meta_digitalocean_";
const API: &str = "https://api.digitalocean.com/v2";

/// What becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitalOceanRole {
    /// Droplets.
    Droplets,
    /// Clusters of databases.
    Databases,
}

/// A `digitalocean_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigitalOceanOptions {
    /// What becomes a target.
    pub role: DigitalOceanRole,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<DigitalOceanOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let source = Api::new(&self.client, self.refresh_interval).map(|api| DigitalOcean {
            api,
            role: self.role,
            port: self.port,
            lists: context.lists.clone(),
        });
        refresh::every(self.refresh_interval, "digitalocean", &context, source).await;
    }
}

struct DigitalOcean {
    api: Api,
    role: DigitalOceanRole,
    port: i64,
    lists: NameLists,
}

impl Source for DigitalOcean {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let mut targets = Targets::new(PREFIX, &self.lists);
        match self.role {
            DigitalOceanRole::Droplets => {
                self.droplets(&mut targets).await?;
                Ok(targets.into_groups("DigitalOcean"))
            }
            DigitalOceanRole::Databases => {
                self.databases(&mut targets).await?;
                Ok(targets.into_groups("DigitalOcean Databases"))
            }
        }
    }
}

impl DigitalOcean {
    async fn droplets(&self, targets: &mut Targets) -> Result<(), String> {
        let mut next = 0;
        for _ in 0..MAX_PAGES {
            let number = next.to_string();
            let query: &[(&str, &str)] = if next == 0 { &[] } else { &[("page", &number)] };
            let page: Droplets = self
                .api
                .get(url(API, &["droplets"], query)?)
                .await
                .map_err(|err| format!("error while listing droplets page {next}: {err}"))?;
            page.droplets.0.iter().for_each(|droplet| self.add_droplet(targets, droplet));
            match page.links.following()? {
                Some(page) => next = page,
                None => return Ok(()),
            }
        }
        Err(endless("droplets"))
    }

    /// Until a page is empty: that is how the list of databases ends.
    async fn databases(&self, targets: &mut Targets) -> Result<(), String> {
        let mut next = 1;
        for _ in 0..MAX_PAGES {
            let number = next.to_string();
            let page: Databases = self
                .api
                .get(url(API, &["databases"], &[("page", &number), ("per_page", "100")])?)
                .await
                .map_err(|err| format!("error while listing database clusters page {next}: {err}"))?;
            if page.databases.0.is_empty() {
                return Ok(());
            }
            page.databases.0.iter().for_each(|cluster| self.add_database(targets, cluster));
            next = page.links.following().ok().flatten().unwrap_or(next + 1);
        }
        Err(endless("databases"))
    }

    fn add_droplet(&self, targets: &mut Targets, droplet: &Droplet) {
        if droplet.networks.v4.0.is_empty() {
            return;
        }
        let public_ipv4 = address(&droplet.networks.v4, "public");
        targets.address(public_ipv4, self.port);
        targets.number("droplet_id", *droplet.id);
        let labels = [
            ("droplet_name", droplet.name.as_str()),
            ("image", &droplet.image.slug),
            ("image_name", &droplet.image.name),
            ("private_ipv4", address(&droplet.networks.v4, "private")),
            ("public_ipv4", public_ipv4),
            ("public_ipv6", address(&droplet.networks.v6, "public")),
            ("region", &droplet.region.slug),
            ("size", &droplet.size_slug),
            ("status", &droplet.status),
            ("vpc", &droplet.vpc_uuid),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.list("features", &droplet.features.0, ",");
        targets.list("tags", &droplet.tags.0, ",");
        targets.end_target();
    }

    fn add_database(&self, targets: &mut Targets, cluster: &Database) {
        let host = |connection: &Option<Connection>| {
            connection.as_ref().map(|c| c.host.0.clone()).unwrap_or_default()
        };
        let (private, public) = (host(&cluster.private_connection), host(&cluster.connection));
        let host = if private.is_empty() { &public } else { &private };
        if !host.is_empty() {
            targets.address(host, self.port);
        }
        let labels = [
            ("db_id", cluster.id.as_str()),
            ("db_name", &cluster.name),
            ("db_engine", &cluster.engine),
            ("db_version", &cluster.version),
            ("db_status", &cluster.status),
            ("db_region", &cluster.region),
            ("db_size", &cluster.size),
            ("db_private_host", &private),
            ("db_host", &public),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.number("db_num_nodes", *cluster.num_nodes);
        for tag in &cluster.tags.0 {
            // As it is: tags are not made names of labels.
            targets.label(&format!("db_tag_{tag}"), "true");
        }
        targets.end_target();
    }
}

/// The first address of a kind.
fn address<'a>(networks: &'a Many<Network>, kind: &str) -> &'a str {
    networks.0.iter().find(|network| *network.kind == kind).map_or("", |network| network.address.as_str())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Links {
    pages: Or<Pages>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pages {
    prev: Or<String>,
    next: Or<String>,
}

impl Links {
    /// The number of the page after this one, which is the one after that before it.
    fn following(&self) -> Result<Option<u64>, String> {
        if self.pages.next.is_empty() {
            return Ok(None);
        }
        if self.pages.prev.is_empty() {
            return Ok(Some(2));
        }
        let wrong = || format!("no number of a page in {:?}", *self.pages.prev);
        let prev = Url::parse(&self.pages.prev).map_err(|_| wrong())?;
        let number =
            prev.query_pairs().find(|(name, _)| name == "page").and_then(|(_, n)| n.parse::<u64>().ok());
        number.and_then(|n| n.checked_add(2)).map(Some).ok_or_else(wrong)
    }
}

#[derive(Deserialize)]
struct Droplets {
    #[serde(default)]
    droplets: Many<Droplet>,
    #[serde(default)]
    links: Or<Links>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Droplet {
    id: Or<i64>,
    name: Or<String>,
    status: Or<String>,
    size_slug: Or<String>,
    vpc_uuid: Or<String>,
    image: Or<Image>,
    region: Or<Region>,
    networks: Or<Networks>,
    features: Many<String>,
    tags: Many<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    slug: Or<String>,
    name: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Region {
    slug: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Networks {
    v4: Many<Network>,
    v6: Many<Network>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Network {
    #[serde(rename = "ip_address")]
    address: Or<String>,
    #[serde(rename = "type")]
    kind: Or<String>,
}

#[derive(Deserialize)]
struct Databases {
    #[serde(default)]
    databases: Many<Database>,
    #[serde(default)]
    links: Or<Links>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Database {
    id: Or<String>,
    name: Or<String>,
    engine: Or<String>,
    version: Or<String>,
    status: Or<String>,
    region: Or<String>,
    size: Or<String>,
    num_nodes: Or<i64>,
    connection: Option<Connection>,
    private_connection: Option<Connection>,
    tags: Many<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Connection {
    host: Or<String>,
}
