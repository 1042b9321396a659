//! `serverset_sd_configs` and `nerve_sd_configs`.

use discovery::{MemberFormat, ProviderOptions, ZooKeeperOptions};

use super::{Entry, SECOND};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Millis;

section! {
    /// Members of serversets in ZooKeeper.
    ServersetSd "zookeeper.ServersetSDConfig" "zookeeper.plain" {
        /// Addresses of servers.
        servers: Vec<String> = "servers" keep,
        /// Where the members are.
        paths: Vec<String> = "paths" keep,
        /// How long a session lives without a sign of life.
        timeout: Millis = "timeout",
    }
}

section! {
    /// What AirBnB's Nerve has registered in ZooKeeper.
    NerveSd "zookeeper.NerveSDConfig" "zookeeper.plain" {
        /// Addresses of servers.
        servers: Vec<String> = "servers" keep,
        /// Where the members are.
        paths: Vec<String> = "paths" keep,
        /// How long a session lives without a sign of life.
        timeout: Millis = "timeout",
    }
}

fn check(kind: &str, servers: &[String], paths: &[String]) -> Result<(), Invalid> {
    if servers.is_empty() {
        return invalid(format!("{kind} SD config must contain at least one Zookeeper server"));
    }
    if paths.is_empty() {
        return invalid(format!("{kind} SD config must contain at least one path"));
    }
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(path) => invalid_at("paths", format!("{kind} SD config paths must begin with '/': {path}")),
        None => Ok(()),
    }
}

fn to_options(
    servers: &[String],
    paths: &[String],
    timeout: Millis,
    members: MemberFormat,
) -> Box<ZooKeeperOptions> {
    let (servers, paths) = (servers.to_vec(), paths.to_vec());
    Box::new(ZooKeeperOptions { servers, paths, timeout: timeout.into(), members })
}

impl Section for ServersetSd {
    fn defaults() -> Self {
        ServersetSd { timeout: Millis(10 * SECOND), ..ServersetSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        check("serverset", &self.servers, &self.paths)
    }
}

impl Entry for ServersetSd {
    fn provider(&self) -> Option<ProviderOptions> {
        let options = to_options(&self.servers, &self.paths, self.timeout, MemberFormat::Serverset);
        Some(ProviderOptions::Serverset(options))
    }
}

impl Section for NerveSd {
    fn defaults() -> Self {
        NerveSd { timeout: Millis(10 * SECOND), ..NerveSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        check("nerve", &self.servers, &self.paths)
    }
}

impl Entry for NerveSd {
    fn provider(&self) -> Option<ProviderOptions> {
        let options = to_options(&self.servers, &self.paths, self.timeout, MemberFormat::Nerve);
        Some(ProviderOptions::Nerve(options))
    }
}
