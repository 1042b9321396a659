//! The caches that a role looks at.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use kubeapi::{Access, Changes, Cluster, Error, EventCounters, Key, Selection, Shared};
use tokio::sync::Notify;

use super::Environment;
use super::endpoint_slice::EndpointSlice;
use super::endpoints::Endpoints;
use super::ingress::Ingress;
use super::namespace::Namespace;
use super::node::Node;
use super::object::{Decoder, Object};
use super::options::{KubernetesOptions, KubernetesRole};
use super::owner::{Job, ReplicaSet};
use super::pod::Pod;
use super::service::Service;

const CORE: &str = "/api/v1";
const APPS: &str = "/apis/apps/v1";
const BATCH: &str = "/apis/batch/v1";
const DISCOVERY: &str = "/apis/discovery.k8s.io/v1";
const NETWORKING: &str = "/apis/networking.k8s.io/v1";

/// Keys of objects that changed.
pub(super) type Keys = HashSet<Key, RandomState>;

/// Objects of one kind, from one cache for each namespace that is looked at.
pub(super) struct Source<T>(Vec<Part<T>>);

struct Part<T> {
    /// Empty: all.
    namespace: String,
    cache: Arc<Shared<T>>,
    changes: Changes,
}

impl<T: Object> Source<T> {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<T>> {
        let part =
            self.0.iter().find(|part| part.namespace.is_empty() || part.namespace == key.namespace())?;
        part.cache.get(key.as_str())
    }

    async fn synced(&self) {
        for part in &self.0 {
            part.cache.synced().await;
        }
    }

    fn changed(&self) -> Keys {
        self.0.iter().flat_map(|part| part.changes.take()).collect()
    }

    /// Keys of the objects that `keep` accepts.
    pub(super) fn select(&self, mut keep: impl FnMut(&Key, &T) -> bool) -> Vec<Key> {
        self.0.iter().flat_map(|part| part.cache.select(&mut keep)).collect()
    }
}

/// What a role looks at; none for what it does not need.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) nodes: Option<Source<Node>>,
    pub(super) pods: Option<Source<Pod>>,
    pub(super) services: Option<Source<Service>>,
    pub(super) endpoints: Option<Source<Endpoints>>,
    pub(super) slices: Option<Source<EndpointSlice>>,
    pub(super) ingresses: Option<Source<Ingress>>,
    pub(super) namespaces: Option<Source<Namespace>>,
    pub(super) replica_sets: Option<Source<ReplicaSet>>,
    pub(super) jobs: Option<Source<Job>>,
}

/// What changed since the last time.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) nodes: Keys,
    pub(super) pods: Keys,
    pub(super) services: Keys,
    pub(super) endpoints: Keys,
    pub(super) slices: Keys,
    pub(super) ingresses: Keys,
    pub(super) namespaces: Keys,
    pub(super) replica_sets: Keys,
    pub(super) jobs: Keys,
}

fn changed<T: Object>(source: &Option<Source<T>>) -> Keys {
    source.as_ref().map(Source::changed).unwrap_or_default()
}

async fn synced<T: Object>(source: &Option<Source<T>>) {
    if let Some(source) = source {
        source.synced().await;
    }
}

impl Sources {
    /// Opens the caches that `options` ask for; `notify` is woken when one of them changes.
    ///
    /// # Errors
    /// When our own namespace is wanted and cannot be found out.
    pub(super) async fn open(
        options: &KubernetesOptions,
        environment: &Environment,
        notify: &Arc<Notify>,
    ) -> Result<Self, Error> {
        let opening = Opening {
            cluster: environment.clusters.get(&options.access),
            options,
            environment,
            notify,
            namespaces: namespaces(options).await?,
        };
        let metrics = &environment.metrics;
        let attach = options.attach;
        let role = options.role;
        let own = &metrics.events(role);
        let own = Some(own);
        let mut sources = Sources::default();
        match role {
            KubernetesRole::Node => sources.nodes = Some(opening.everywhere(CORE, "nodes", Some(role), own)),
            KubernetesRole::Pod => sources.pods = Some(opening.namespaced(CORE, "pods", role, own)),
            KubernetesRole::Service => {
                sources.services = Some(opening.namespaced(CORE, "services", role, own));
            }
            KubernetesRole::Ingress => {
                sources.ingresses = Some(opening.namespaced(NETWORKING, "ingresses", role, own));
            }
            KubernetesRole::Endpoints => {
                sources.endpoints = Some(opening.namespaced(CORE, "endpoints", role, own));
            }
            KubernetesRole::EndpointSlice => {
                sources.slices = Some(opening.namespaced(DISCOVERY, "endpointslices", role, own));
            }
        }
        let behind_service = matches!(role, KubernetesRole::Endpoints | KubernetesRole::EndpointSlice);
        if behind_service {
            let counters = metrics.events(KubernetesRole::Service);
            sources.services =
                Some(opening.namespaced(CORE, "services", KubernetesRole::Service, Some(&counters)));
            let counters = metrics.updates(KubernetesRole::Pod);
            sources.pods = Some(opening.namespaced(CORE, "pods", KubernetesRole::Pod, Some(&counters)));
        }
        let with_pods = behind_service || role == KubernetesRole::Pod;
        if with_pods && attach.node {
            sources.nodes = Some(opening.everywhere(CORE, "nodes", Some(KubernetesRole::Node), None));
        }
        if with_pods && attach.deployment {
            sources.replica_sets = Some(opening.namespaced_all(APPS, "replicasets"));
        }
        if with_pods && (attach.job || attach.cron_job) {
            sources.jobs = Some(opening.namespaced_all(BATCH, "jobs"));
        }
        if attach.namespace && role != KubernetesRole::Node {
            sources.namespaces = Some(opening.everywhere(CORE, "namespaces", None, None));
        }
        Ok(sources)
    }

    /// Waits until all caches know what there is.
    pub(super) async fn synced(&self) {
        synced(&self.nodes).await;
        synced(&self.pods).await;
        synced(&self.services).await;
        synced(&self.endpoints).await;
        synced(&self.slices).await;
        synced(&self.ingresses).await;
        synced(&self.namespaces).await;
        synced(&self.replica_sets).await;
        synced(&self.jobs).await;
    }

    pub(super) fn changed(&self) -> Changed {
        Changed {
            nodes: changed(&self.nodes),
            pods: changed(&self.pods),
            services: changed(&self.services),
            endpoints: changed(&self.endpoints),
            slices: changed(&self.slices),
            ingresses: changed(&self.ingresses),
            namespaces: changed(&self.namespaces),
            replica_sets: changed(&self.replica_sets),
            jobs: changed(&self.jobs),
        }
    }
}

async fn namespaces(options: &KubernetesOptions) -> Result<Vec<String>, Error> {
    let mut namespaces = options.namespaces.clone();
    if options.own_namespace
        && let Access::ServiceAccount(account) = &options.access
    {
        namespaces.push(account.namespace().await?);
    }
    namespaces.sort();
    namespaces.dedup();
    if namespaces.is_empty() || namespaces.iter().any(String::is_empty) {
        namespaces = vec![String::new()];
    }
    Ok(namespaces)
}

struct Opening<'a> {
    cluster: Arc<Cluster>,
    options: &'a KubernetesOptions,
    environment: &'a Environment,
    notify: &'a Arc<Notify>,
    namespaces: Vec<String>,
}

impl Opening<'_> {
    fn namespaced<T: Object>(
        &self,
        group: &'static str,
        resource: &'static str,
        role: KubernetesRole,
        counters: Option<&EventCounters>,
    ) -> Source<T> {
        self.open(&self.namespaces, group, resource, Some(role), counters)
    }

    fn namespaced_all<T: Object>(&self, group: &'static str, resource: &'static str) -> Source<T> {
        self.open(&self.namespaces, group, resource, None, None)
    }

    fn everywhere<T: Object>(
        &self,
        group: &'static str,
        resource: &'static str,
        role: Option<KubernetesRole>,
        counters: Option<&EventCounters>,
    ) -> Source<T> {
        self.open(&[String::new()], group, resource, role, counters)
    }

    fn open<T: Object>(
        &self,
        namespaces: &[String],
        group: &'static str,
        resource: &'static str,
        role: Option<KubernetesRole>,
        counters: Option<&EventCounters>,
    ) -> Source<T> {
        let selector = self.options.selectors.iter().find(|selector| Some(selector.role) == role);
        let open = |namespace: &String| {
            let selection = Selection {
                group,
                resource,
                namespace: namespace.clone(),
                labels: selector.map(|selector| selector.labels.clone()).unwrap_or_default(),
                fields: selector.map(|selector| selector.fields.clone()).unwrap_or_default(),
            };
            let cache = self.cluster.follow(selection, Decoder::<T>::new(self.environment.lists.clone()));
            let changes = cache.changes(self.notify.clone(), counters.cloned());
            Part { namespace: namespace.clone(), cache, changes }
        };
        Source(namespaces.iter().map(open).collect())
    }
}
