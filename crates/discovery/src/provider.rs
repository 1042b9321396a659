//! What a provider is told and how it is run.

use std::future::Future;

use tokio::sync::mpsc;

use crate::cloud;
use crate::consul::ConsulOptions;
use crate::dns::DnsOptions;
use crate::eureka::EurekaOptions;
use crate::file::FileOptions;
use crate::group::TargetGroup;
use crate::http::HttpOptions;
use crate::kubernetes::{self, KubernetesOptions};
use crate::kuma::KumaOptions;
use crate::label_set::NameLists;
use crate::marathon::MarathonOptions;
use crate::metrics::Metrics;
use crate::moby::{DockerOptions, DockerSwarmOptions};
use crate::nomad::NomadOptions;
use crate::puppetdb::PuppetDbOptions;
use crate::triton::TritonOptions;
use crate::uyuni::UyuniOptions;
use crate::zookeeper::ZooKeeperOptions;

/// Runs the entries of one mechanism.
pub(crate) trait Provider: Sized {
    /// Whether it can run at all.
    ///
    /// # Errors
    /// A sentence for the user.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Runs until dropped.
    fn run(self, context: Context) -> impl Future<Output = ()> + Send;
}

/// What a provider is run with.
#[derive(Clone)]
pub(crate) struct Context {
    /// The job that metrics are named after.
    pub(crate) config: String,
    pub(crate) metrics: Metrics,
    pub(crate) lists: NameLists,
    pub(crate) kubernetes: kubernetes::Environment,
    pub(crate) updates: Updates,
}

/// Where a provider sends the groups that changed.
pub(crate) type Updates = mpsc::Sender<Vec<TargetGroup>>;

/// The mechanisms: the variant, what its entries say, and its name in configuration and metrics.
macro_rules! mechanisms {
    ($( $(#[$meta:meta])* $variant:ident($options:ty) = $name:literal, )*) => {
        /// One entry of a job's discovery. Equal entries of several jobs are run once.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ProviderOptions {
            /// `static_configs`: the groups themselves; their sources are set here.
            Static(Vec<TargetGroup>),
            $( $(#[$meta])* $variant($options), )*
        }

        impl ProviderOptions {
            /// The names of all mechanisms, as configuration and metrics have them.
            pub const MECHANISMS: &'static [&'static str] = &["static", $( $name, )*];

            /// The mechanism's name as configuration and metrics have it.
            #[must_use]
            pub fn mechanism(&self) -> &'static str {
                match self {
                    ProviderOptions::Static(_) => "static",
                    $( ProviderOptions::$variant(_) => $name, )*
                }
            }

            /// Whether it can run at all.
            ///
            /// # Errors
            /// A sentence for the user.
            pub fn validate(&self) -> Result<(), String> {
                match self {
                    ProviderOptions::Static(_) => Ok(()),
                    $( ProviderOptions::$variant(options) => options.validate(), )*
                }
            }

            /// Runs until dropped.
            pub(crate) async fn run(self, context: Context) {
                match self {
                    ProviderOptions::Static(groups) => drop(context.updates.send(groups).await),
                    $( ProviderOptions::$variant(options) => options.run(context).await, )*
                }
            }
        }
    };
}

mechanisms! {
    /// `consul_sd_configs`.
    Consul(Box<ConsulOptions>) = "consul",
    /// `dns_sd_configs`.
    Dns(Box<DnsOptions>) = "dns",
    /// `docker_sd_configs`.
    Docker(Box<DockerOptions>) = "docker",
    /// `dockerswarm_sd_configs`.
    DockerSwarm(Box<DockerSwarmOptions>) = "dockerswarm",
    /// `eureka_sd_configs`.
    Eureka(Box<EurekaOptions>) = "eureka",
    /// `ionos_sd_configs`.
    Ionos(Box<cloud::IonosOptions>) = "ionos",
    /// `openstack_sd_configs`.
    OpenStack(Box<cloud::OpenStackOptions>) = "openstack",
    /// `outscale_sd_configs`.
    Outscale(Box<cloud::OutscaleOptions>) = "outscale",
    /// `ovhcloud_sd_configs`.
    OvhCloud(Box<cloud::OvhCloudOptions>) = "ovhcloud",
    /// `scaleway_sd_configs`.
    Scaleway(Box<cloud::ScalewayOptions>) = "scaleway",
    /// `stackit_sd_configs`.
    Stackit(Box<cloud::StackitOptions>) = "stackit",
    /// `oci_sd_configs`.
    Oci(Box<cloud::OciOptions>) = "oci",
    /// `vultr_sd_configs`.
    Vultr(Box<cloud::VultrOptions>) = "vultr",
    /// `linode_sd_configs`.
    Linode(Box<cloud::LinodeOptions>) = "linode",
    /// `hetzner_sd_configs`.
    Hetzner(Box<cloud::HetznerOptions>) = "hetzner",
    /// `gce_sd_configs`.
    Gce(Box<cloud::GceOptions>) = "gce",
    /// `digitalocean_sd_configs`.
    DigitalOcean(Box<cloud::DigitalOceanOptions>) = "digitalocean",
    /// `azure_sd_configs`.
    Azure(Box<cloud::AzureOptions>) = "azure",
    /// `ecs_sd_configs`.
    Ecs(Box<cloud::EcsOptions>) = "ecs",
    /// `elasticache_sd_configs`.
    ElastiCache(Box<cloud::ElastiCacheOptions>) = "elasticache",
    /// `lightsail_sd_configs`.
    Lightsail(Box<cloud::LightsailOptions>) = "lightsail",
    /// `msk_sd_configs`.
    Msk(Box<cloud::MskOptions>) = "msk",
    /// `rds_sd_configs`.
    Rds(Box<cloud::RdsOptions>) = "rds",
    /// `ec2_sd_configs`.
    Ec2(Box<cloud::Ec2Options>) = "ec2",
    /// `file_sd_configs`.
    File(FileOptions) = "file",
    /// `http_sd_configs`.
    Http(Box<HttpOptions>) = "http",
    /// `kubernetes_sd_configs`.
    Kubernetes(Box<KubernetesOptions>) = "kubernetes",
    /// `kuma_sd_configs`.
    Kuma(Box<KumaOptions>) = "kuma",
    /// `marathon_sd_configs`.
    Marathon(Box<MarathonOptions>) = "marathon",
    /// `nerve_sd_configs`.
    Nerve(Box<ZooKeeperOptions>) = "nerve",
    /// `nomad_sd_configs`.
    Nomad(Box<NomadOptions>) = "nomad",
    /// `puppetdb_sd_configs`.
    PuppetDb(Box<PuppetDbOptions>) = "puppetdb",
    /// `serverset_sd_configs`.
    Serverset(Box<ZooKeeperOptions>) = "serverset",
    /// `triton_sd_configs`.
    Triton(Box<TritonOptions>) = "triton",
    /// `uyuni_sd_configs`.
    Uyuni(Box<UyuniOptions>) = "uyuni",
}
