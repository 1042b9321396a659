//! Service discovery: `static_configs` and `*_sd_configs`, a module for each kind.

mod aws;
mod azure;
mod consul;
mod digitalocean;
mod dns;
mod docker;
mod eureka;
mod file;
mod gce;
mod hetzner;
mod http;
mod ionos;
mod kubernetes;
mod kuma;
mod linode;
mod marathon;
mod nomad;
mod oci;
mod openstack;
mod outscale;
mod ovhcloud;
mod puppetdb;
mod scaleway;
mod stackit;
mod static_config;
mod triton;
mod uyuni;
mod vultr;
mod zookeeper;

pub use aws::{AwsRole, AwsSd, Ec2Sd, EcsSd, ElastiCacheSd, Filter, LightsailSd, MskSd, RdsSd};
pub use azure::AzureSd;
pub use consul::ConsulSd;
pub use digitalocean::{DigitalOceanRole, DigitalOceanSd};
pub use dns::DnsSd;
pub use docker::{DockerSd, DockerSwarmSd, Filter as DockerFilter};
pub use eureka::EurekaSd;
pub use file::FileSd;
pub use gce::GceSd;
pub use hetzner::{HetznerRole, HetznerSd};
pub use http::HttpSd;
pub use ionos::IonosSd;
pub use kubernetes::{AttachMetadata, KubernetesSd, Namespaces, Role, Selector};
pub use kuma::KumaSd;
pub use linode::LinodeSd;
pub use marathon::MarathonSd;
pub use nomad::NomadSd;
pub use oci::OciSd;
pub use openstack::{OpenStackRole, OpenStackSd};
pub use outscale::OutscaleSd;
pub use ovhcloud::OvhCloudSd;
pub use puppetdb::PuppetDbSd;
pub use scaleway::{ScalewayRole, ScalewaySd};
pub use stackit::StackitSd;
pub use static_config::StaticConfig;
pub use triton::TritonSd;
pub use uyuni::UyuniSd;
pub use vultr::VultrSd;
pub use zookeeper::{NerveSd, ServersetSd};

use discovery::ProviderOptions;
use model::number::quote;

use super::http_client::{HttpClient, Proxy};
use crate::decode::{Invalid, Section, invalid_at, section};
use crate::kinds::{Anything, check_url};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

/// Refuses what Go does not take as a URL.
fn check_server(key: &'static str, url: &str) -> Result<(), Invalid> {
    match check_url(url) {
        Ok(()) => Ok(()),
        Err(reason) => invalid_at(key, format!("parse {}: {reason}", quote(url))),
    }
}

/// Scheme and host of a URL that Go takes; either is empty if it is missing.
fn scheme_and_host(url: &str) -> (String, &str) {
    let without_fragment = url.split('#').next().unwrap_or_default();
    let (scheme, rest) = match without_fragment.split_once(':') {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => (scheme.to_ascii_lowercase(), rest),
        _ => (String::new(), without_fragment),
    };
    let host = rest.strip_prefix("//").map_or("", |rest| rest.split(['/', '?']).next().unwrap_or_default());
    (scheme, host)
}

/// A client that the file says nothing about: its proxies are those of the environment.
fn of_environment() -> HttpClient {
    let proxy = Proxy { proxy_from_environment: true, ..Proxy::default() };
    HttpClient { proxy, ..HttpClient::defaults() }
}

/// One entry under the key of a kind of discovery.
trait Entry {
    /// What runs for it; nothing as long as its kind is not implemented, and for what runs together with others.
    fn provider(&self) -> Option<ProviderOptions> {
        None
    }

    /// Whether it has an effect.
    fn runs(&self) -> bool {
        self.provider().is_some()
    }

    /// How it reaches its server.
    fn client(&self) -> Option<&HttpClient> {
        None
    }
}

/// A kind that is not implemented: its keys are kept as they are written.
impl Entry for Anything {}

/// The kinds: the field, the section of an entry, and the key.
macro_rules! kinds {
    ($( $(#[$meta:meta])* $field:ident: $section:ty = $key:tt, )*) => {
        section! {
            /// Every kind of discovery; in a file these keys stand beside the job's own.
            Discovery "discovery.Configs" "discovery.Configs" {
                $( $(#[$meta])* $field: Vec<Option<$section>> = $key, )*
            }
        }

        impl Discovery {
            /// All entries: the key, the place below it, and the entry unless it is null.
            fn entries(&self) -> Vec<(&'static str, usize, Option<&dyn Entry>)> {
                let mut entries = Vec::new();
                $( push_entries(&mut entries, $key, &self.$field); )*
                entries
            }
        }
    };
}

fn push_entries<'a, T: Entry>(
    entries: &mut Vec<(&'static str, usize, Option<&'a dyn Entry>)>,
    key: &'static str,
    written: &'a [Option<T>],
) {
    let written = written.iter().enumerate();
    entries.extend(written.map(|(i, entry)| (key, i, entry.as_ref().map(|entry| entry as &dyn Entry))));
}

kinds! {
    /// AWS.
    aws: AwsSd = "aws_sd_configs",
    /// Azure.
    azure: AzureSd = "azure_sd_configs",
    /// Consul's catalogue.
    consul: ConsulSd = "consul_sd_configs",
    /// DigitalOcean.
    digitalocean: DigitalOceanSd = "digitalocean_sd_configs",
    /// Names in DNS.
    dns: DnsSd = "dns_sd_configs",
    /// Docker containers.
    docker: DockerSd = "docker_sd_configs",
    /// Docker Swarm.
    dockerswarm: DockerSwarmSd = "dockerswarm_sd_configs",
    /// AWS EC2.
    ec2: Ec2Sd = "ec2_sd_configs",
    /// AWS ECS.
    ecs: EcsSd = "ecs_sd_configs",
    /// AWS ElastiCache.
    elasticache: ElastiCacheSd = "elasticache_sd_configs",
    /// Eureka.
    eureka: EurekaSd = "eureka_sd_configs",
    /// Lists in files.
    file: FileSd = "file_sd_configs",
    /// Google Compute Engine.
    gce: GceSd = "gce_sd_configs",
    /// Hetzner.
    hetzner: HetznerSd = "hetzner_sd_configs",
    /// Lists behind a URL.
    http: HttpSd = "http_sd_configs",
    /// IONOS.
    ionos: IonosSd = "ionos_sd_configs",
    /// Objects of a Kubernetes cluster.
    kubernetes: KubernetesSd = "kubernetes_sd_configs",
    /// Kuma.
    kuma: KumaSd = "kuma_sd_configs",
    /// AWS Lightsail.
    lightsail: LightsailSd = "lightsail_sd_configs",
    /// Linode.
    linode: LinodeSd = "linode_sd_configs",
    /// Marathon.
    marathon: MarathonSd = "marathon_sd_configs",
    /// AWS MSK.
    msk: MskSd = "msk_sd_configs",
    /// AirBnB's Nerve.
    nerve: NerveSd = "nerve_sd_configs",
    /// Nomad.
    nomad: NomadSd = "nomad_sd_configs",
    /// Oracle Cloud.
    oci: OciSd = "oci_sd_configs",
    /// OpenStack.
    openstack: OpenStackSd = "openstack_sd_configs",
    /// Outscale.
    outscale: OutscaleSd = "outscale_sd_configs",
    /// OVHcloud.
    ovhcloud: OvhCloudSd = "ovhcloud_sd_configs",
    /// PuppetDB.
    puppetdb: PuppetDbSd = "puppetdb_sd_configs",
    /// AWS RDS.
    rds: RdsSd = "rds_sd_configs",
    /// Scaleway.
    scaleway: ScalewaySd = "scaleway_sd_configs",
    /// Serversets in ZooKeeper.
    serverset: ServersetSd = "serverset_sd_configs",
    /// STACKIT.
    stackit: StackitSd = "stackit_sd_configs",
    /// Targets written here.
    static_configs: StaticConfig = "static_configs",
    /// Triton.
    triton: TritonSd = "triton_sd_configs",
    /// Uyuni.
    uyuni: UyuniSd = "uyuni_sd_configs",
    /// Vultr.
    vultr: VultrSd = "vultr_sd_configs",
}

impl Section for Discovery {}

impl Discovery {
    /// What runs for all entries.
    pub(crate) fn to_providers(&self) -> Vec<ProviderOptions> {
        let fixed: Vec<_> = self.static_configs.iter().flatten().map(StaticConfig::to_group).collect();
        let fixed = (!fixed.is_empty()).then_some(ProviderOptions::Static(fixed));
        let entries = self.entries().into_iter();
        entries.filter_map(|(_, _, entry)| entry?.provider()).chain(fixed).collect()
    }

    /// The HTTP clients of all entries, each with key and place of its entry.
    pub(crate) fn clients(&self) -> Vec<(&'static str, usize, &HttpClient)> {
        let entries = self.entries().into_iter();
        entries.filter_map(|(key, i, entry)| Some((key, i, entry?.client()?))).collect()
    }

    /// The keys with entries for which nothing runs, each once.
    pub(crate) fn idle_kinds(&self) -> Vec<&'static str> {
        let entries = self.entries().into_iter();
        let idle = entries.filter(|(_, _, entry)| !entry.is_some_and(Entry::runs));
        let mut keys: Vec<&'static str> = idle.map(|(key, _, _)| key).collect();
        keys.dedup();
        keys
    }

    /// Refuses null elements, and URLs among static targets where no rule could make addresses of them.
    pub(crate) fn check_elements(&self, relabelled: bool) -> Result<(), Invalid> {
        let null = self.entries().into_iter().find(|(_, _, entry)| entry.is_none());
        if let Some((key, _, _)) = null {
            return invalid_at(key, format!("empty or null section in {key}"));
        }
        if relabelled {
            return Ok(());
        }
        let mut targets = self.static_configs.iter().flatten().flat_map(|group| &group.targets);
        match targets.find(|target| target.contains('/')) {
            Some(target) => invalid_at(
                "static_configs",
                format!("{} is not a valid hostname", quote(target)),
            )
            .map_err(|err| {
                err.help("a target is host:port; scheme and path are the job's `scheme` and `metrics_path`")
            }),
            None => Ok(()),
        }
    }
}
