//! `kubernetes_sd_configs`.

use std::path::PathBuf;

use discovery::{
    KubernetesAccess, KubernetesAttach, KubernetesOptions, KubernetesRole, KubernetesSelector,
    ProviderOptions, ServiceAccount,
};
use model::number::quote;

use super::Entry;
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{FilePath, Url, Word, word};
use crate::sections::HttpClient;
use crate::selector::{check_fields, check_labels};

section! {
    /// Objects of a Kubernetes cluster.
    KubernetesSd "kubernetes.SDConfig" "kubernetes.plain" {
        /// The API server; the one of this cluster if none.
        api_server: Url = "api_server",
        /// Which objects.
        role: Role = "role" keep,
        /// A file that says how the cluster is reached.
        kubeconfig_file: FilePath = "kubeconfig_file" keep,
        /// How it is reached.
        http: HttpClient = inline,
        /// Which namespaces; all if none.
        namespaces: Namespaces = "namespaces",
        /// Which objects of a role.
        selectors: Vec<Selector> = "selectors",
        /// What of other objects is added.
        attach_metadata: AttachMetadata = "attach_metadata",
    }
}

section! {
    /// Which namespaces.
    Namespaces "kubernetes.NamespaceDiscovery" "kubernetes.plain" {
        /// Our own.
        own_namespace: bool = "own_namespace" keep,
        /// These.
        names: Vec<String> = "names" keep,
    }
}
impl Section for Namespaces {}

section! {
    /// Which objects of a role.
    Selector "kubernetes.SelectorConfig" "kubernetes.SelectorConfig" {
        /// The role.
        role: Role = "role",
        /// A selector of labels.
        label: String = "label",
        /// A selector of fields.
        field: String = "field",
    }
}
impl Section for Selector {}

section! {
    /// What of other objects is added to targets.
    AttachMetadata "kubernetes.AttachMetadataConfig" "kubernetes.AttachMetadataConfig" {
        /// The pod's node.
        node: bool = "node" keep,
        /// The object's namespace.
        namespace: bool = "namespace" keep,
        /// The pod's deployment.
        deployment: bool = "deployment" keep,
        /// The pod's job.
        job: bool = "job" keep,
        /// The pod's cron job.
        cronjob: bool = "cronjob" keep,
    }
}
impl Section for AttachMetadata {}

/// Which objects of a cluster become targets, or nothing written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Role(pub Option<KubernetesRole>);

impl Word for Role {
    const GO_TYPE: &'static str = "kubernetes.Role";

    fn parse(text: &str) -> Result<Self, String> {
        match KubernetesRole::ALL.into_iter().find(|role| role.word() == text) {
            Some(role) => Ok(Role(Some(role))),
            None => Err(format!("unknown Kubernetes SD role {}", quote(text))),
        }
    }

    fn word(self) -> &'static str {
        self.0.map_or("", KubernetesRole::word)
    }

    fn choices() -> &'static str {
        "node, pod, service, endpoints, endpointslice, ingress"
    }
}
word!(Role);

/// The roles that a selector may have beside `role`.
fn selectable(role: KubernetesRole) -> &'static [KubernetesRole] {
    use KubernetesRole::{EndpointSlice, Endpoints, Ingress, Node, Pod, Service};
    match role {
        Pod => &[Pod, Node],
        Service => &[Service],
        EndpointSlice => &[Pod, Service, EndpointSlice],
        Endpoints => &[Pod, Service, Endpoints],
        Node => &[Node],
        Ingress => &[Ingress],
    }
}

impl Section for KubernetesSd {
    fn defaults() -> Self {
        KubernetesSd { http: HttpClient::defaults(), ..KubernetesSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        let Some(role) = self.role.0 else {
            return invalid("role missing (one of: pod, service, endpoints, endpointslice, node, ingress)");
        };
        self.http.check()?;
        let (server, file) = (!self.api_server.is_unset(), !self.kubeconfig_file.is_unset());
        if server && file {
            return invalid_at(
                "kubeconfig_file",
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
            );
        }
        if file && !self.http.is_default() {
            return invalid("cannot use a custom HTTP client configuration together with 'kubeconfig_file'");
        }
        if !server && !self.http.is_default() {
            return invalid(
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
            );
        }
        if server && self.namespaces.own_namespace {
            return invalid_at(
                "namespaces",
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
            );
        }
        if file && self.namespaces.own_namespace {
            return invalid_at(
                "namespaces",
                "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
            );
        }
        self.check_selectors(role)
    }
}

impl KubernetesSd {
    fn check_selectors(&self, role: KubernetesRole) -> Result<(), Invalid> {
        let allowed = selectable(role);
        for (i, selector) in self.selectors.iter().enumerate() {
            let word = selector.role.word();
            if self.selectors[..i].iter().any(|earlier| earlier.role == selector.role) {
                return invalid_at("selectors", format!("duplicated selector role: {word}"));
            }
            if !selector.role.0.is_some_and(|role| allowed.contains(&role)) {
                let words: Vec<&str> = allowed.iter().map(|role| role.word()).collect();
                let line = format!("{} role supports only {} selectors", role.word(), words.join(", "));
                return invalid_at("selectors", line);
            }
            let checked = check_fields(&selector.field).and_then(|()| check_labels(&selector.label));
            if let Err(line) = checked {
                return invalid_at("selectors", line);
            }
        }
        Ok(())
    }
}

impl Entry for KubernetesSd {
    fn provider(&self) -> Option<ProviderOptions> {
        self.to_options().map(|options| ProviderOptions::Kubernetes(Box::new(options)))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}

impl KubernetesSd {
    /// The entry as options; none for one without a role, which checking has ruled out.
    fn to_options(&self) -> Option<KubernetesOptions> {
        let access = if !self.api_server.is_unset() {
            KubernetesAccess::Server {
                url: self.api_server.0.clone(),
                client: Box::new(self.http.to_options()),
            }
        } else if !self.kubeconfig_file.is_unset() {
            KubernetesAccess::KubeConfig(PathBuf::from(&self.kubeconfig_file.0))
        } else {
            KubernetesAccess::ServiceAccount(ServiceAccount::from_environment())
        };
        let selectors = self.selectors.iter().filter_map(|selector| {
            Some(KubernetesSelector {
                role: selector.role.0?,
                labels: selector.label.clone(),
                fields: selector.field.clone(),
            })
        });
        let attach = &self.attach_metadata;
        Some(KubernetesOptions {
            access,
            role: self.role.0?,
            own_namespace: self.namespaces.own_namespace,
            namespaces: self.namespaces.names.clone(),
            selectors: selectors.collect(),
            attach: KubernetesAttach {
                node: attach.node,
                namespace: attach.namespace,
                deployment: attach.deployment,
                job: attach.job,
                cron_job: attach.cronjob,
            },
        })
    }
}
