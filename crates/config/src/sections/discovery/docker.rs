//! `docker_sd_configs` and `dockerswarm_sd_configs`.

use discovery::{DockerFilter, DockerOptions, DockerSwarmOptions, ProviderOptions, SwarmRole};

use super::{Entry, MINUTE, check_server};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;
use crate::sections::HttpClient;

section! {
    /// Containers of a Docker engine.
    DockerSd "moby.DockerSDConfig" "moby.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// Where the engine is.
        host: String = "host" keep,
        /// The port of containers that expose none.
        port: isize = "port" keep,
        /// Which containers.
        filters: Vec<Filter> = "filters" keep,
        /// The host of containers in the host's network.
        host_networking_host: String = "host_networking_host" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
        /// Of several networks of a container take the first alone.
        match_first_network: bool = "match_first_network" keep,
    }
}

section! {
    /// Services, tasks or nodes of a Docker swarm.
    DockerSwarmSd "moby.DockerSwarmSDConfig" "moby.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// Where an engine of a manager is.
        host: String = "host" keep,
        /// `services`, `tasks` or `nodes`.
        role: String = "role" keep,
        /// The port of what publishes none.
        port: isize = "port" keep,
        /// Which ones.
        filters: Vec<Filter> = "filters" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval" keep,
    }
}

section! {
    /// Only what has one of the values.
    Filter "moby.Filter" "moby.Filter" {
        /// What is looked at.
        name: String = "name" keep,
        /// What it may be.
        values: Vec<String> = "values" keep,
    }
}
impl Section for Filter {}

fn to_options(filters: &[Filter]) -> Vec<DockerFilter> {
    let filters = filters.iter();
    filters.map(|filter| DockerFilter { name: filter.name.clone(), values: filter.values.clone() }).collect()
}

impl Section for DockerSd {
    fn defaults() -> Self {
        DockerSd {
            http: HttpClient::defaults(),
            port: 80,
            host_networking_host: "localhost".into(),
            refresh_interval: Millis(MINUTE),
            match_first_network: true,
            ..DockerSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.host.is_empty() {
            return invalid("host missing");
        }
        check_server("host", &self.host)?;
        self.http.check()
    }
}

impl Entry for DockerSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Docker(Box::new(DockerOptions {
            host: self.host.clone(),
            port: self.port as i64,
            filters: to_options(&self.filters),
            host_networking_host: self.host_networking_host.clone(),
            refresh_interval: self.refresh_interval.into(),
            match_first_network: self.match_first_network,
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}

impl Section for DockerSwarmSd {
    fn defaults() -> Self {
        DockerSwarmSd {
            http: HttpClient::defaults(),
            port: 80,
            refresh_interval: Millis(MINUTE),
            ..DockerSwarmSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.host.is_empty() {
            return invalid("host missing");
        }
        check_server("host", &self.host)?;
        if self.role.is_empty() {
            return invalid("role missing (one of: tasks, services, nodes)");
        }
        if self.role().is_none() {
            let line = format!("invalid role {}, expected tasks, services, or nodes", self.role);
            return invalid_at("role", line);
        }
        self.http.check()
    }
}

impl DockerSwarmSd {
    fn role(&self) -> Option<SwarmRole> {
        match self.role.as_str() {
            "services" => Some(SwarmRole::Services),
            "tasks" => Some(SwarmRole::Tasks),
            "nodes" => Some(SwarmRole::Nodes),
            _ => None,
        }
    }
}

impl Entry for DockerSwarmSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::DockerSwarm(Box::new(DockerSwarmOptions {
            host: self.host.clone(),
            role: self.role()?,
            port: self.port as i64,
            filters: to_options(&self.filters),
            refresh_interval: self.refresh_interval.into(),
            client: self.http.to_options(),
        })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
