//! Role `endpoints`: a target for each address and port, and one for each further port that the pods behind them declare.

use kubeapi::{Encoded, Key, Unreadable, schema};
use serde::Deserialize;

use super::object::{Metadata, Object, ServicePort};
use crate::json::{Many, Text};
use crate::label_set::{LabelSet, NameLists, Pairs};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spelled<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    subsets: Many<SpelledSubset<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpelledSubset<'a> {
    #[serde(borrow)]
    addresses: Many<SpelledAddress<'a>>,
    #[serde(borrow)]
    not_ready_addresses: Many<SpelledAddress<'a>>,
    #[serde(borrow)]
    ports: Many<ServicePort<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpelledAddress<'a> {
    #[serde(borrow)]
    ip: Text<'a>,
    #[serde(borrow)]
    hostname: Text<'a>,
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    target_ref: Option<Reference<'a>>,
}

/// The object behind an address.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Reference<'a> {
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) namespace: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
}

impl Reference<'_> {
    /// The key of the pod that is meant, if it is one.
    pub(super) fn pod(&self) -> Option<Key> {
        (&*self.kind == "Pod").then(|| Key::new(&self.namespace, &self.name))
    }
}

/// Endpoints of a service.
#[derive(PartialEq)]
pub(super) struct Endpoints {
    /// Name, labels and annotations.
    pub(super) labels: LabelSet,
    pub(super) subsets: Box<[Subset]>,
}

/// Addresses that have the same ports.
#[derive(PartialEq)]
pub(super) struct Subset {
    pub(super) addresses: Box<[Address]>,
    pub(super) ports: Box<[Port]>,
}

#[derive(PartialEq)]
pub(super) struct Address {
    pub(super) ip: Box<str>,
    /// The labels that do not depend on the port.
    pub(super) labels: LabelSet,
    /// The pod behind it.
    pub(super) pod: Option<Key>,
    /// The node whose labels are attached, or nothing.
    pub(super) node: Box<str>,
}

#[derive(PartialEq)]
pub(super) struct Port {
    pub(super) number: i64,
    pub(super) protocol: Box<str>,
    pub(super) labels: LabelSet,
}

impl Object for Endpoints {
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let Spelled { metadata, subsets } = object.read(&schema::ENDPOINTS)?;
        let mut pairs = Pairs::default();
        metadata.push_to(&mut pairs, "endpoints");
        let labels = pairs.take(lists);
        let subsets = subsets.0.iter().map(|subset| {
            let ready = subset.addresses.0.iter().map(|spelled| (spelled, "true"));
            let not_ready = subset.not_ready_addresses.0.iter().map(|spelled| (spelled, "false"));
            let addresses = ready
                .chain(not_ready)
                .map(|(spelled, ready)| address(&mut pairs, spelled, ready, lists))
                .collect();
            let ports = subset.ports.0.iter().map(|port| {
                pairs.push("__meta_kubernetes_endpoint_port_name", &port.name);
                pairs.push("__meta_kubernetes_endpoint_port_protocol", &port.protocol);
                Port { number: port.port, protocol: (*port.protocol).into(), labels: pairs.take(lists) }
            });
            Subset { ports: ports.collect(), addresses }
        });
        let subsets = subsets.collect();
        Ok((metadata, Endpoints { labels, subsets }))
    }
}

fn address(pairs: &mut Pairs, spelled: &SpelledAddress<'_>, ready: &str, lists: &NameLists) -> Address {
    pairs.push("__meta_kubernetes_endpoint_ready", ready);
    pairs.push("__meta_kubernetes_endpoint_node_name", &spelled.node_name);
    pairs.push("__meta_kubernetes_endpoint_hostname", &spelled.hostname);
    let mut node = &*spelled.node_name;
    if let Some(reference) = &spelled.target_ref {
        pairs.push("__meta_kubernetes_endpoint_address_target_kind", &reference.kind);
        pairs.push("__meta_kubernetes_endpoint_address_target_name", &reference.name);
        if node.is_empty() && &*reference.kind == "Node" {
            node = &reference.name;
        }
    }
    Address {
        ip: (*spelled.ip).into(),
        labels: pairs.take(lists),
        pod: spelled.target_ref.as_ref().and_then(Reference::pod),
        node: node.into(),
    }
}

impl Endpoints {
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.subsets.iter().flat_map(|subset| &subset.addresses)
    }
}
