//! `openstack_sd_configs`: hypervisors, instances and load balancers of OpenStack.

mod hypervisors;
mod identity;
mod instances;
mod load_balancers;

use std::time::Duration;

use cloudauth::Environment;
use httpclient::ClientOptions;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::{Api, Ask, client};
use super::targets::Targets;
use super::{MAX_PAGES, endless};
use crate::group::TargetGroup;
use crate::json::Or;
use crate::label_set::NameLists;
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
pub use identity::OpenStackIdentity;
use identity::Session;

const PREFIX: &str = "__meta_openstack_";

/// What becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStackRole {
    /// Hypervisors.
    Hypervisor,
    /// Instances, each address of them.
    Instance,
    /// Load balancers that expose metrics.
    LoadBalancer,
}

/// An `openstack_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStackOptions {
    /// What becomes a target.
    pub role: OpenStackRole,
    /// Who asks; without an endpoint everything is taken from the environment.
    pub identity: OpenStackIdentity,
    /// The region.
    pub region: String,
    /// Which endpoints: `public`, `internal`, `admin`.
    pub availability: String,
    /// Instances of all projects.
    pub all_tenants: bool,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
    /// The environment.
    pub environment: Environment,
}

impl Provider for Box<OpenStackOptions> {
    fn validate(&self) -> Result<(), String> {
        client(&self.client).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let source = OpenStack::new(*self, context.lists.clone());
        refresh::every(interval, "openstack", &context, source).await;
    }
}

struct OpenStack {
    api: Api,
    options: OpenStackOptions,
    identity: OpenStackIdentity,
    lists: NameLists,
}

impl Source for OpenStack {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let session = Session::open(&self.api, &self.identity, &self.options).await;
        let session = session.map_err(|err| format!("could not authenticate to OpenStack: {err}"))?;
        let mut targets = Targets::new(PREFIX, &self.lists);
        let port = self.options.port;
        match self.options.role {
            OpenStackRole::Hypervisor => hypervisors::find(&session, port, &mut targets).await?,
            OpenStackRole::Instance => {
                instances::find(&session, port, self.options.all_tenants, &mut targets).await?;
            }
            OpenStackRole::LoadBalancer => load_balancers::find(&session, &mut targets).await?,
        }
        Ok(targets.into_groups(format!("OS_{}", self.options.region)))
    }
}

impl OpenStack {
    fn new(options: OpenStackOptions, lists: NameLists) -> Result<Self, String> {
        let identity = if options.identity.endpoint.is_empty() {
            OpenStackIdentity::from_environment(&options.environment)?
        } else {
            options.identity.clone()
        };
        let api = Api::new(&options.client, options.refresh_interval)?;
        Ok(OpenStack { api, options, identity, lists })
    }
}

/// A page of a list: its items, and where the next page is.
trait Page: DeserializeOwned {
    type Item;
    fn take(self) -> (Vec<Self::Item>, Vec<Link>);
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Link {
    href: Or<String>,
    rel: Or<String>,
}

/// Pages whose items are in one field and whose links are in another.
macro_rules! page {
    ($name:ident $items:ident $links:ident $item:ty) => {
        #[derive(serde::Deserialize)]
        struct $name {
            #[serde(default)]
            $items: crate::json::Many<$item>,
            #[serde(default)]
            $links: crate::json::Many<crate::cloud::openstack::Link>,
        }

        impl crate::cloud::openstack::Page for $name {
            type Item = $item;

            fn take(self) -> (Vec<$item>, Vec<crate::cloud::openstack::Link>) {
                (self.$items.0, self.$links.0)
            }
        }
    };
}
use page;

impl Session<'_> {
    /// All pages of a list.
    async fn all<P: Page>(&self, url: &str) -> Result<Vec<P::Item>, String> {
        let parse = |url: &str| httpclient::Url::parse(url).map_err(|err| format!("{url}: {err}"));
        let mut next = parse(url)?;
        let origin = next.origin();
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            if next.origin() != origin {
                return Err(format!("{next} is not of {url}"));
            }
            let ask = Ask::get(next).header("x-auth-token", self.token.reveal())?;
            let (_, page): (_, P) = self.api.ask(ask).await?;
            let (items, links) = page.take();
            let empty = items.is_empty();
            all.extend(items);
            match links.into_iter().find(|link| *link.rel == "next") {
                Some(link) if !empty && !link.href.is_empty() => next = parse(&link.href)?,
                _ => return Ok(all),
            }
        }
        Err(endless("resources"))
    }
}
