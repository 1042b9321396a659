//! What Kubernetes discovery is told.

use kubeapi::Access;

/// A `kubernetes_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// How the API server is reached.
    pub access: Access,
    /// Which objects become targets.
    pub role: KubernetesRole,
    /// Look at the namespace of our own pod.
    pub own_namespace: bool,
    /// Look at these namespaces; at all if there are none.
    pub namespaces: Vec<String>,
    /// Which objects of a role are looked at.
    pub selectors: Vec<KubernetesSelector>,
    /// What of other objects is added.
    pub attach: KubernetesAttach,
}

/// Which objects of a cluster become targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubernetesRole {
    /// Nodes.
    Node,
    /// Pods.
    Pod,
    /// Services.
    Service,
    /// Endpoints.
    Endpoints,
    /// Endpoint slices.
    EndpointSlice,
    /// Ingresses.
    Ingress,
}

impl KubernetesRole {
    /// All of them.
    pub const ALL: [KubernetesRole; 6] = [
        KubernetesRole::Node,
        KubernetesRole::Pod,
        KubernetesRole::Service,
        KubernetesRole::Endpoints,
        KubernetesRole::EndpointSlice,
        KubernetesRole::Ingress,
    ];

    /// As configuration and metrics spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            KubernetesRole::Node => "node",
            KubernetesRole::Pod => "pod",
            KubernetesRole::Service => "service",
            KubernetesRole::Endpoints => "endpoints",
            KubernetesRole::EndpointSlice => "endpointslice",
            KubernetesRole::Ingress => "ingress",
        }
    }
}

/// Selectors of the objects of a role; those that are empty let everything through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSelector {
    /// The role.
    pub role: KubernetesRole,
    /// A selector of labels.
    pub labels: String,
    /// A selector of fields.
    pub fields: String,
}

/// What of other objects is added to targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KubernetesAttach {
    /// Labels and annotations of the node.
    pub node: bool,
    /// Labels and annotations of the namespace.
    pub namespace: bool,
    /// The name of the deployment behind a pod.
    pub deployment: bool,
    /// The name of the job behind a pod.
    pub job: bool,
    /// The name of the cron job behind a pod.
    pub cron_job: bool,
}
