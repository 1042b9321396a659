//! Where targets come from: providers (a module each) yield [`TargetGroup`]s, the [`Manager`] runs them and hands
//! out the groups of each job over a watch channel.

mod answers;
mod consul;
mod dns;
mod file;
mod group;
mod http;
mod json;
mod kubernetes;
mod label_set;
mod manager;
mod metrics;
mod moby;
mod provider;
mod refresh;
mod rest;
mod static_sd;

pub use answers::answers_read;
pub use consul::ConsulOptions;
pub use dns::{DnsOptions, DnsRecordType};
pub use file::FileOptions;
pub use group::{ADDRESS, FormatError, TargetGroup, from_json, from_yaml};
pub use http::HttpOptions;
pub use kubeapi::{Access as KubernetesAccess, Behaviour as KubernetesBehaviour, ServiceAccount};
pub use kubernetes::{
    KubernetesAttach, KubernetesOptions, KubernetesRole, KubernetesSelector, kubernetes_kinds,
};
pub use label_set::{LabelParts, LabelSet};
pub use manager::{Manager, TargetSets};
pub use metrics::Metrics;
pub use moby::{DockerFilter, DockerOptions, DockerSwarmOptions, SwarmRole};
pub use provider::ProviderOptions;
