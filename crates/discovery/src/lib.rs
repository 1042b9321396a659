//! Where targets come from: providers (a module each) yield [`TargetGroup`]s, the [`Manager`] runs them and hands
//! out the groups of each job over a watch channel.

mod answers;
mod cloud;
mod consul;
mod dns;
mod eureka;
mod file;
mod group;
mod http;
mod json;
mod kubernetes;
mod kuma;
mod label_set;
mod manager;
mod marathon;
mod metrics;
mod moby;
mod nomad;
mod provider;
mod puppetdb;
mod refresh;
mod rest;
mod static_sd;
mod triton;
mod uyuni;
mod xml;
mod zookeeper;

pub use answers::answers_read;
pub use cloud::{
    AwsFilter, AwsOptions, AzureOptions, DigitalOceanOptions, DigitalOceanRole, Ec2Options, EcsOptions,
    ElastiCacheOptions, GceOptions, HetznerOptions, HetznerRole, IonosOptions, LightsailOptions,
    LinodeOptions, MskOptions, OciOptions, OpenStackIdentity, OpenStackOptions, OpenStackRole,
    OutscaleOptions, OvhCloudOptions, OvhCloudService, RdsOptions, ScalewayOptions, ScalewayRole,
    SecretOrFile, StackitOptions, VultrOptions,
};
pub use consul::ConsulOptions;
pub use dns::{DnsOptions, DnsRecordType};
pub use eureka::EurekaOptions;
pub use file::FileOptions;
pub use group::{ADDRESS, FormatError, TargetGroup, from_json, from_yaml};
pub use http::HttpOptions;
pub use kubeapi::{Access as KubernetesAccess, Behaviour as KubernetesBehaviour, ServiceAccount};
pub use kubernetes::{
    KubernetesAttach, KubernetesOptions, KubernetesRole, KubernetesSelector, kubernetes_kinds,
};
pub use kuma::KumaOptions;
pub use label_set::{LabelParts, LabelSet};
pub use manager::{Manager, TargetSets};
pub use marathon::{MarathonOptions, MarathonToken};
pub use metrics::Metrics;
pub use moby::{DockerFilter, DockerOptions, DockerSwarmOptions, SwarmRole};
pub use nomad::NomadOptions;
pub use provider::ProviderOptions;
pub use puppetdb::PuppetDbOptions;
pub use triton::TritonOptions;
pub use uyuni::UyuniOptions;
pub use zookeeper::{MemberFormat, ZooKeeperOptions};
