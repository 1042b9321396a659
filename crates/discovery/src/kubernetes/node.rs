//! Role `node`: a target for each node, at the port of its kubelet.

use kubeapi::{Encoded, Unreadable, schema};
use serde::Deserialize;

use super::object::{Metadata, Object};
use super::pod::Condition;
use crate::group::ADDRESS;
use crate::group::join_host_port;
use crate::json::{Many, Text};
use crate::label_set::{LabelSet, NameLists, Pairs};

/// Kinds of addresses, the best one first.
const ORDER: [&str; 4] = ["InternalIP", "ExternalIP", "LegacyHostIP", "Hostname"];

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
#[serde(default)]
struct Spec<'a> {
    #[serde(borrow, rename = "providerID")]
    provider_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status<'a> {
    #[serde(borrow)]
    addresses: Many<Address<'a>>,
    #[serde(borrow)]
    conditions: Many<Condition<'a>>,
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    address: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DaemonEndpoints {
    kubelet_endpoint: DaemonEndpoint,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DaemonEndpoint {
    #[serde(rename = "Port")]
    port: i64,
}

/// A node.
#[derive(PartialEq)]
pub(super) struct Node {
    /// Name, labels and annotations: what is attached to other targets.
    pub(super) attached: LabelSet,
    /// What only the node's own target has beside these.
    pub(super) labels: LabelSet,
    /// The target; none if the node has no address.
    pub(super) target: Option<LabelSet>,
}

impl Object for Node {
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let Spelled { metadata, spec, status } = object.read(&schema::NODE)?;
        let mut pairs = Pairs::default();
        metadata.push_to(&mut pairs, "node");
        let attached = pairs.take(lists);
        pairs.push("__meta_kubernetes_node_provider_id", &spec.provider_id);
        for condition in &status.conditions.0 {
            pairs.push_sanitized(
                &["__meta_kubernetes_node_condition_"],
                &condition.kind.to_lowercase(),
                &condition.status.to_lowercase(),
            );
        }
        let labels = pairs.take(lists);
        let addresses = &status.addresses.0;
        let best = ORDER.iter().find_map(|kind| addresses.iter().find(|address| *address.kind == **kind));
        let target = best.map(|best| {
            pairs
                .push(ADDRESS, &join_host_port(&best.address, status.daemon_endpoints.kubelet_endpoint.port));
            pairs.push("instance", &metadata.name);
            // Of each kind the first one: pushed last, it is the one that stays.
            for address in addresses.iter().rev() {
                pairs.push_sanitized(&["__meta_kubernetes_node_address_"], &address.kind, &address.address);
            }
            pairs.take(lists)
        });
        if target.is_none() {
            tracing::warn!(
                component = "kubernetes",
                role = "node",
                node = &*metadata.name,
                "No node address found"
            );
        }
        Ok((metadata, Node { attached, labels, target }))
    }
}
