//! Role `endpointslice`: as `endpoints`, from the slices that replace them.

use kubeapi::{Encoded, Key, Unreadable, schema};
use serde::Deserialize;

use super::endpoints::Reference;
use super::object::{Metadata, Object};
use crate::json::{Many, Text, TextMap};
use crate::label_set::{LabelSet, NameLists, Pairs};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spelled<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    address_type: Text<'a>,
    #[serde(borrow)]
    endpoints: Many<SpelledEndpoint<'a>>,
    #[serde(borrow)]
    ports: Many<SpelledPort<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpelledEndpoint<'a> {
    #[serde(borrow)]
    addresses: Many<Text<'a>>,
    conditions: Conditions,
    #[serde(borrow)]
    hostname: Text<'a>,
    #[serde(borrow)]
    target_ref: Option<Reference<'a>>,
    #[serde(borrow)]
    node_name: Text<'a>,
    #[serde(borrow)]
    zone: Text<'a>,
    #[serde(borrow)]
    deprecated_topology: TextMap<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpelledPort<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    port: Option<i64>,
    #[serde(borrow)]
    protocol: Text<'a>,
    #[serde(borrow)]
    app_protocol: Text<'a>,
}

/// A slice of a service's endpoints.
#[derive(PartialEq)]
pub(super) struct EndpointSlice {
    /// Kind of addresses, name, labels and annotations.
    pub(super) labels: LabelSet,
    /// Whether addresses are IPv6; none for names.
    pub(super) six: Option<bool>,
    /// The service, if the slice names one.
    pub(super) service: Option<Key>,
    pub(super) endpoints: Box<[Endpoint]>,
    pub(super) ports: Box<[Port]>,
}

#[derive(PartialEq)]
pub(super) struct Endpoint {
    pub(super) addresses: Box<[Box<str>]>,
    /// The labels that depend on neither address nor port.
    pub(super) labels: LabelSet,
    /// The pod behind it.
    pub(super) pod: Option<Key>,
    /// The node whose labels are attached, or nothing.
    pub(super) node: Box<str>,
}

#[derive(PartialEq)]
pub(super) struct Port {
    pub(super) number: Option<i64>,
    pub(super) labels: LabelSet,
}

impl Object for EndpointSlice {
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let spelled: Spelled<'a> = object.read(&schema::ENDPOINT_SLICE)?;
        let mut pairs = Pairs::default();
        spelled.metadata.push_to(&mut pairs, "endpointslice");
        pairs.push("__meta_kubernetes_endpointslice_address_type", &spelled.address_type);
        let labels = pairs.take(lists);
        let ports = spelled.ports.0.iter().map(|port| {
            pairs.push("__meta_kubernetes_endpointslice_port_name", &port.name);
            pairs.push("__meta_kubernetes_endpointslice_port_protocol", &port.protocol);
            pairs.push("__meta_kubernetes_endpointslice_port_app_protocol", &port.app_protocol);
            let number = port.port.map_or_else(String::new, |number| number.to_string());
            pairs.push("__meta_kubernetes_endpointslice_port", &number);
            Port { number: port.port, labels: pairs.take(lists) }
        });
        let ports = ports.collect();
        let endpoints = spelled.endpoints.0.iter().map(|one| endpoint(&mut pairs, one, lists)).collect();
        let service = spelled.metadata.labels.get(SERVICE_NAME);
        let slice = EndpointSlice {
            labels,
            six: match &*spelled.address_type {
                "IPv4" => Some(false),
                "IPv6" => Some(true),
                _ => None,
            },
            service: service.map(|name| Key::new(&spelled.metadata.namespace, name)),
            endpoints,
            ports,
        };
        Ok((spelled.metadata, slice))
    }
}

fn endpoint(pairs: &mut Pairs, spelled: &SpelledEndpoint<'_>, lists: &NameLists) -> Endpoint {
    for (name, condition) in [
        ("__meta_kubernetes_endpointslice_endpoint_conditions_ready", spelled.conditions.ready),
        ("__meta_kubernetes_endpointslice_endpoint_conditions_serving", spelled.conditions.serving),
        ("__meta_kubernetes_endpointslice_endpoint_conditions_terminating", spelled.conditions.terminating),
    ] {
        pairs.push(name, condition.map_or("", |holds| if holds { "true" } else { "false" }));
    }
    pairs.push("__meta_kubernetes_endpointslice_endpoint_hostname", &spelled.hostname);
    pairs.push("__meta_kubernetes_endpointslice_endpoint_node_name", &spelled.node_name);
    pairs.push("__meta_kubernetes_endpointslice_endpoint_zone", &spelled.zone);
    for (name, value) in &spelled.deprecated_topology.0 {
        pairs.push_sanitized(&["__meta_kubernetes_endpointslice_endpoint_topology_"], name, value);
        pairs.push_sanitized(&["__meta_kubernetes_endpointslice_endpoint_topology_present_"], name, "true");
    }
    let mut node = &*spelled.node_name;
    if let Some(reference) = &spelled.target_ref {
        pairs.push("__meta_kubernetes_endpointslice_address_target_kind", &reference.kind);
        pairs.push("__meta_kubernetes_endpointslice_address_target_name", &reference.name);
        if &*reference.kind == "Node" {
            node = &reference.name;
        }
    }
    Endpoint {
        addresses: spelled.addresses.0.iter().map(|address| (**address).into()).collect(),
        labels: pairs.take(lists),
        pod: spelled.target_ref.as_ref().and_then(Reference::pod),
        node: node.into(),
    }
}
