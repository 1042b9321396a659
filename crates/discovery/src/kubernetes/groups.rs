//! Groups from what is known: a group for each object of the role.

use std::sync::Arc;

use kubeapi::Key;

use super::endpoint_slice::{self, EndpointSlice};
use super::endpoints::{self, Endpoints};
use super::object::NAMESPACE;
use super::options::{KubernetesAttach, KubernetesRole};
use super::pod::{CONTAINER_PORT_PROTOCOL, Pod};
use super::sources::{Changed, Keys, Source, Sources};
use crate::group::join_host_port;
use crate::group::{ADDRESS, TargetGroup};
use crate::label_set::{LabelParts, LabelSet, NameLists, Pairs};

/// Puts groups of one role together.
pub(super) struct Groups {
    pub(super) role: KubernetesRole,
    pub(super) attach: KubernetesAttach,
    pub(super) sources: Sources,
    pub(super) lists: NameLists,
}

/// Pods that were met behind a service, with the ports at which they were.
type Met = Vec<(Key, Arc<Pod>, Vec<i64>)>;

impl Groups {
    /// The objects whose groups may have changed.
    pub(super) fn affected(&self) -> Keys {
        let mut changed = self.sources.changed();
        if let Some(pods) = &self.sources.pods {
            self.add_pods(pods, &mut changed);
        }
        let Changed { nodes, pods, services, .. } = &changed;
        let in_namespace = |key: &Key| changed.namespaces.contains(key.namespace());
        let mut affected: Keys;
        match self.role {
            KubernetesRole::Node => affected = changed.nodes.clone(),
            KubernetesRole::Pod => {
                affected = changed.pods.clone();
                extend(
                    &mut affected,
                    &self.sources.pods,
                    nodes.len() + changed.namespaces.len(),
                    |key, pod| nodes.contains(pod.node()) || in_namespace(key),
                );
            }
            KubernetesRole::Service => {
                affected = changed.services.clone();
                extend(&mut affected, &self.sources.services, changed.namespaces.len(), |key, _| {
                    in_namespace(key)
                });
            }
            KubernetesRole::Ingress => {
                affected = changed.ingresses.clone();
                extend(&mut affected, &self.sources.ingresses, changed.namespaces.len(), |key, _| {
                    in_namespace(key)
                });
            }
            KubernetesRole::Endpoints => {
                affected = changed.endpoints.clone();
                let others = nodes.len() + pods.len() + services.len() + changed.namespaces.len();
                extend(&mut affected, &self.sources.endpoints, others, |key, endpoints| {
                    services.contains(key)
                        || in_namespace(key)
                        || endpoints.addresses().any(|address| {
                            nodes.contains(&*address.node)
                                || address.pod.as_ref().is_some_and(|pod| pods.contains(pod))
                        })
                });
            }
            KubernetesRole::EndpointSlice => {
                affected = changed.slices.clone();
                let others = nodes.len() + pods.len() + services.len() + changed.namespaces.len();
                extend(&mut affected, &self.sources.slices, others, |key, slice| {
                    slice.service.as_ref().is_some_and(|service| services.contains(service))
                        || in_namespace(key)
                        || slice.endpoints.iter().any(|endpoint| {
                            nodes.contains(&*endpoint.node)
                                || endpoint.pod.as_ref().is_some_and(|pod| pods.contains(pod))
                        })
                });
            }
        }
        affected
    }

    /// Pods whose replica set or job changed have changed themselves.
    fn add_pods(&self, source: &Source<Pod>, changed: &mut Changed) {
        let Changed { pods, replica_sets, jobs, .. } = changed;
        if replica_sets.is_empty() && jobs.is_empty() {
            return;
        }
        let controlled = |key: &Key, pod: &Pod, kind: &str, by: &Keys| {
            !by.is_empty() && pod.controller(key, kind).is_some_and(|controller| by.contains(&controller))
        };
        pods.extend(source.select(|key, pod| {
            controlled(key, pod, "ReplicaSet", replica_sets) || controlled(key, pod, "Job", jobs)
        }));
    }

    /// The group of the object called `key`, without targets if there is no such object.
    pub(super) fn build(&self, key: &Key) -> TargetGroup {
        let kind = match self.role {
            KubernetesRole::Service => "svc",
            role => role.word(),
        };
        let source = format!("{kind}/{key}");
        let built = match self.role {
            KubernetesRole::Node => self.node(key),
            KubernetesRole::Pod => self.pod(key),
            KubernetesRole::Service => self.service(key),
            KubernetesRole::Ingress => self.ingress(key),
            KubernetesRole::Endpoints => self.endpoints(key),
            KubernetesRole::EndpointSlice => self.slice(key),
        };
        let (targets, labels) = built.unwrap_or_default();
        TargetGroup { source, targets, labels: labels.into_iter().collect() }
    }

    fn node(&self, key: &Key) -> Option<(Arc<[LabelParts]>, Vec<LabelSet>)> {
        let node = self.sources.nodes.as_ref()?.get(key)?;
        Some((
            node.target.iter().cloned().map(Into::into).collect(),
            vec![node.attached.clone(), node.labels.clone()],
        ))
    }

    fn pod(&self, key: &Key) -> Option<(Arc<[LabelParts]>, Vec<LabelSet>)> {
        let pod = self.sources.pods.as_ref()?.get(key)?;
        if pod.ip().is_empty() {
            return None;
        }
        let mut labels = self.of_namespace(key);
        self.add_pod_labels(key, &pod, &mut labels);
        labels.extend(self.of_node(pod.node()));
        Some((pod.targets.clone(), labels))
    }

    fn service(&self, key: &Key) -> Option<(Arc<[LabelParts]>, Vec<LabelSet>)> {
        let service = self.sources.services.as_ref()?.get(key)?;
        let mut labels = self.of_namespace(key);
        labels.push(service.labels.clone());
        Some((service.targets.iter().cloned().map(Into::into).collect(), labels))
    }

    fn ingress(&self, key: &Key) -> Option<(Arc<[LabelParts]>, Vec<LabelSet>)> {
        let ingress = self.sources.ingresses.as_ref()?.get(key)?;
        let mut labels = self.of_namespace(key);
        labels.push(ingress.labels.clone());
        Some((ingress.targets.iter().cloned().map(Into::into).collect(), labels))
    }

    fn endpoints(&self, key: &Key) -> Option<(Arc<[LabelParts]>, Vec<LabelSet>)> {
        let found: Arc<Endpoints> = self.sources.endpoints.as_ref()?.get(key)?;
        let mut labels = self.of_namespace(key);
        labels.push(found.labels.clone());
        labels.extend(self.of_service(key));
        let (mut targets, mut met) = (Vec::new(), Met::new());
        for subset in &found.subsets {
            for port in &subset.ports {
                for address in &subset.addresses {
                    targets.push(self.endpoint(address, port, &mut met));
                }
            }
        }
        self.add_other_ports(&met, &mut targets);
        Some((targets.into(), labels))
    }

    fn endpoint(&self, address: &endpoints::Address, port: &endpoints::Port, met: &mut Met) -> LabelParts {
        let mut pairs = Pairs::default();
        pairs.push(ADDRESS, &join_host_port(&address.ip, port.number));
        let mut parts = vec![address.labels.clone(), port.labels.clone()];
        parts.extend(self.of_node(&address.node));
        if let Some((key, pod)) = address.pod.as_ref().and_then(|key| self.found_pod(key)) {
            self.add_pod_labels(key, &pod, &mut parts);
            for declared in pod.targets_at(port.number) {
                Pod::push_port(declared, &mut pairs);
                pairs.push(CONTAINER_PORT_PROTOCOL, &port.protocol);
            }
            meet(met, key, &pod, Some(port.number));
        }
        parts.push(pairs.take(&self.lists));
        parts.into_iter().collect()
    }

    fn slice(&self, key: &Key) -> Option<(Arc<[LabelParts]>, Vec<LabelSet>)> {
        let found: Arc<EndpointSlice> = self.sources.slices.as_ref()?.get(key)?;
        let mut labels = self.of_namespace(key);
        labels.push(found.labels.clone());
        let service = found.service.as_ref().and_then(|key| self.sources.services.as_ref()?.get(key));
        if let Some(service) = service {
            // A service of two families has slices of both for the same pods.
            if let (Some(first), Some(six)) = (service.first_is_six, found.six)
                && first != six
            {
                return None;
            }
            labels.push(service.labels.clone());
        }
        let (mut targets, mut met) = (Vec::new(), Met::new());
        for endpoint in &found.endpoints {
            for port in &found.ports {
                for address in &endpoint.addresses {
                    targets.push(self.slice_endpoint(address, endpoint, port, &mut met));
                }
            }
        }
        self.add_other_ports(&met, &mut targets);
        Some((targets.into(), labels))
    }

    fn slice_endpoint(
        &self,
        address: &str,
        endpoint: &endpoint_slice::Endpoint,
        port: &endpoint_slice::Port,
        met: &mut Met,
    ) -> LabelParts {
        let mut pairs = Pairs::default();
        match port.number {
            Some(number) => pairs.push(ADDRESS, &join_host_port(address, number)),
            None => pairs.push(ADDRESS, address),
        }
        let mut parts = vec![endpoint.labels.clone(), port.labels.clone()];
        parts.extend(self.of_node(&endpoint.node));
        if let Some((key, pod)) = endpoint.pod.as_ref().and_then(|key| self.found_pod(key)) {
            self.add_pod_labels(key, &pod, &mut parts);
            for declared in port.number.into_iter().flat_map(|number| pod.targets_at(number)) {
                Pod::push_port(declared, &mut pairs);
            }
            meet(met, key, &pod, port.number);
        }
        parts.push(pairs.take(&self.lists));
        parts.into_iter().collect()
    }

    /// Ports that the pods declare and the service does not name are targets, too.
    fn add_other_ports(&self, met: &Met, targets: &mut Vec<LabelParts>) {
        for (key, pod, ports) in met {
            if pod.ip().is_empty() {
                continue;
            }
            let other =
                |target: &&LabelParts| Pod::number(target).is_some_and(|number| !ports.contains(&number));
            for port in pod.targets.iter().filter(other) {
                let mut pairs = Pairs::default();
                pairs.push(ADDRESS, port.value(ADDRESS));
                Pod::push_port(port, &mut pairs);
                let mut parts = vec![pairs.take(&self.lists)];
                self.add_pod_labels(key, pod, &mut parts);
                targets.push(parts.into_iter().collect());
            }
        }
    }

    fn found_pod<'a>(&self, key: &'a Key) -> Option<(&'a Key, Arc<Pod>)> {
        Some((key, self.sources.pods.as_ref()?.get(key)?))
    }

    /// The labels of a pod, and the names of what stands behind it.
    fn add_pod_labels(&self, key: &Key, pod: &Pod, parts: &mut Vec<LabelSet>) {
        parts.extend([pod.own.clone(), pod.shared.clone()]);
        let mut pairs = Pairs::default();
        if let Some(sets) = &self.sources.replica_sets
            && let Some(set) = pod.controller(key, "ReplicaSet").and_then(|key| sets.get(&key))
        {
            pairs.push("__meta_kubernetes_pod_deployment_name", &set.deployment);
        }
        if let Some(jobs) = &self.sources.jobs
            && let Some(name) = pod.controller(key, "Job")
        {
            if self.attach.job {
                pairs.push("__meta_kubernetes_pod_job_name", name.name());
            }
            if self.attach.cron_job
                && let Some(job) = jobs.get(&name)
            {
                pairs.push("__meta_kubernetes_pod_cronjob_name", &job.cron_job);
            }
        }
        if !pairs.is_empty() {
            parts.push(pairs.take(&self.lists));
        }
    }

    /// The namespace of an object and what is attached of it.
    fn of_namespace(&self, key: &Key) -> Vec<LabelSet> {
        let mut pairs = Pairs::default();
        pairs.push(NAMESPACE, key.namespace());
        let attached =
            self.sources.namespaces.as_ref().and_then(|all| all.get(&Key::new("", key.namespace())));
        let mut sets = vec![pairs.take_shared(&self.lists)];
        sets.extend(attached.map(|namespace| namespace.labels.clone()));
        sets
    }

    /// What is attached of a node.
    fn of_node(&self, name: &str) -> Option<LabelSet> {
        if !self.attach.node || name.is_empty() {
            return None;
        }
        Some(self.sources.nodes.as_ref()?.get(&Key::new("", name))?.attached.clone())
    }

    fn of_service(&self, key: &Key) -> Option<LabelSet> {
        Some(self.sources.services.as_ref()?.get(key)?.labels.clone())
    }
}

fn meet(met: &mut Met, key: &Key, pod: &Arc<Pod>, port: Option<i64>) {
    match met.iter_mut().find(|(known, _, _)| known == key) {
        Some((_, _, ports)) => ports.extend(port),
        None => met.push((key.clone(), pod.clone(), port.into_iter().collect())),
    }
}

/// Adds the objects that depend on others, if any of these changed at all.
fn extend<T: super::object::Object>(
    affected: &mut Keys,
    source: &Option<Source<T>>,
    others: usize,
    depends: impl FnMut(&Key, &T) -> bool,
) {
    if others > 0
        && let Some(source) = source
    {
        affected.extend(source.select(depends));
    }
}
