//! Role `pod`: a target for each port of each container, init containers included; one without port for a container
//! that declares none.

use std::sync::Arc;

use kubeapi::{Encoded, Key, Unreadable, schema};
use serde::Deserialize;

use super::object::{Metadata, Object};
use crate::group::ADDRESS;
use crate::group::join_host_port;
use crate::json::{Many, Text};
use crate::label_set::{LabelParts, LabelSet, NameLists, Pairs};

const IP: &str = "__meta_kubernetes_pod_ip";
const NODE_NAME: &str = "__meta_kubernetes_pod_node_name";
const CONTROLLER_KIND: &str = "__meta_kubernetes_pod_controller_kind";
const CONTROLLER_NAME: &str = "__meta_kubernetes_pod_controller_name";
const CONTAINER_NAME: &str = "__meta_kubernetes_pod_container_name";
const CONTAINER_ID: &str = "__meta_kubernetes_pod_container_id";
const CONTAINER_PORT_NUMBER: &str = "__meta_kubernetes_pod_container_port_number";
pub(super) const CONTAINER_PORT_PROTOCOL: &str = "__meta_kubernetes_pod_container_port_protocol";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spelled<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow)]
    status: Status<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    containers: Many<Container<'a>>,
    #[serde(borrow)]
    init_containers: Many<Container<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Container<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    image: Text<'a>,
    #[serde(borrow)]
    ports: Many<Port<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Port<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    container_port: i64,
    #[serde(borrow)]
    protocol: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status<'a> {
    #[serde(borrow)]
    phase: Text<'a>,
    #[serde(borrow, rename = "hostIP")]
    host_ip: Text<'a>,
    #[serde(borrow, rename = "podIP")]
    pod_ip: Text<'a>,
    #[serde(borrow)]
    conditions: Many<Condition<'a>>,
    #[serde(borrow)]
    container_statuses: Many<ContainerStatus<'a>>,
    #[serde(borrow)]
    init_container_statuses: Many<ContainerStatus<'a>>,
}

/// An entry of `conditions`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) status: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContainerStatus<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, rename = "containerID")]
    container_id: Text<'a>,
}

/// A pod.
#[derive(PartialEq)]
pub(super) struct Pod {
    /// Labels that no other pod has: name, addresses, annotations.
    pub(super) own: LabelSet,
    /// Labels that pods of the same controller have in common.
    pub(super) shared: LabelSet,
    /// Its targets, those of one container side by side: the address and the labels of container and port.
    pub(super) targets: Arc<[LabelParts]>,
}

impl Object for Pod {
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let Spelled { metadata, spec, status } = object.read(&schema::POD)?;
        let mut pairs = Pairs::default();
        let (own, shared) = pod_labels(&mut pairs, &metadata, &spec, &status, lists);
        let mut targets = Vec::new();
        let containers = [
            (&spec.containers, &status.container_statuses, "false"),
            (&spec.init_containers, &status.init_container_statuses, "true"),
        ];
        for (containers, statuses, init) in containers {
            for container in &containers.0 {
                let run = statuses.0.iter().find(|run| run.name == container.name);
                let common = |pairs: &mut Pairs| {
                    pairs.push(CONTAINER_NAME, &container.name);
                    pairs.push(CONTAINER_ID, run.map_or("", |run| &run.container_id));
                    pairs.push("__meta_kubernetes_pod_container_image", &container.image);
                    pairs.push("__meta_kubernetes_pod_container_init", init);
                };
                if container.ports.0.is_empty() {
                    common(&mut pairs);
                    pairs.push(ADDRESS, &status.pod_ip);
                    targets.push(pairs.take(lists).into());
                }
                for port in &container.ports.0 {
                    common(&mut pairs);
                    pairs.push(ADDRESS, &join_host_port(&status.pod_ip, port.container_port));
                    pairs.push(CONTAINER_PORT_NUMBER, &port.container_port.to_string());
                    pairs.push("__meta_kubernetes_pod_container_port_name", &port.name);
                    pairs.push(CONTAINER_PORT_PROTOCOL, &port.protocol);
                    targets.push(pairs.take(lists).into());
                }
            }
        }
        Ok((metadata, Pod { own, shared, targets: targets.into() }))
    }
}

fn pod_labels(
    pairs: &mut Pairs,
    metadata: &Metadata<'_>,
    spec: &Spec<'_>,
    status: &Status<'_>,
    lists: &NameLists,
) -> (LabelSet, LabelSet) {
    let ready = status.conditions.0.iter().find(|condition| &*condition.kind == "Ready");
    pairs.push(IP, &status.pod_ip);
    pairs.push(NODE_NAME, &spec.node_name);
    pairs.push("__meta_kubernetes_pod_host_ip", &status.host_ip);
    pairs.push("__meta_kubernetes_pod_uid", &metadata.uid);
    pairs.push("__meta_kubernetes_pod_name", &metadata.name);
    metadata.push_annotations(pairs, "pod");
    let own = pairs.take(lists);
    pairs.push(
        "__meta_kubernetes_pod_ready",
        &ready.map_or_else(|| "unknown".to_owned(), |condition| condition.status.to_lowercase()),
    );
    pairs.push("__meta_kubernetes_pod_phase", &status.phase);
    metadata.push_labels(pairs, "pod");
    if let Some(controller) = metadata.controller() {
        pairs.push(CONTROLLER_KIND, &controller.kind);
        pairs.push(CONTROLLER_NAME, &controller.name);
    }
    (own, pairs.take_shared(lists))
}

impl Pod {
    /// Its address; nothing before it has started and after it was evicted.
    pub(super) fn ip(&self) -> &str {
        self.own.value(IP)
    }

    /// The node that it runs on, or nothing.
    pub(super) fn node(&self) -> &str {
        self.own.value(NODE_NAME)
    }

    /// The key of its controller in the pod's namespace, if that is a `kind`.
    pub(super) fn controller(&self, key: &Key, kind: &str) -> Option<Key> {
        (self.shared.value(CONTROLLER_KIND) == kind)
            .then(|| Key::new(key.namespace(), self.shared.value(CONTROLLER_NAME)))
    }

    /// A target as a role that starts from a service tells of it: without the container's identity and the address.
    pub(super) fn push_port(target: &LabelParts, pairs: &mut Pairs) {
        for (name, value) in target.iter().filter(|(name, _)| *name != CONTAINER_ID && *name != ADDRESS) {
            pairs.push(name, value);
        }
    }

    /// The number of a target's port, if it has one.
    pub(super) fn number(target: &LabelParts) -> Option<i64> {
        target.value(CONTAINER_PORT_NUMBER).parse().ok()
    }

    /// Of each container the target of the first port with this number, in the order of the containers.
    pub(super) fn targets_at(&self, number: i64) -> impl Iterator<Item = &LabelParts> {
        let mut seen = "";
        self.targets.iter().filter(move |target| {
            let container = target.value(CONTAINER_NAME);
            let found = Self::number(target) == Some(number) && container != seen;
            if found {
                seen = container;
            }
            found
        })
    }
}
