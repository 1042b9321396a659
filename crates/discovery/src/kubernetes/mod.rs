//! `kubernetes_sd_configs`: nodes, pods, services, endpoints, endpoint slices and ingresses of a cluster.
//!
//! What the API server sends is turned into ready-made label sets as it is read (`pod.rs`, `node.rs`, … one file for
//! each kind of object), kept in caches that all jobs share, and put together to groups (`groups.rs`) when something
//! has changed (`provider.rs`).

mod endpoint_slice;
mod endpoints;
mod groups;
mod ingress;
mod metrics;
mod namespace;
mod node;
mod object;
mod options;
mod owner;
mod pod;
mod provider;
mod service;
mod sources;

use kubeapi::{Behaviour, Clusters};

use crate::label_set::NameLists;
use object::Object;

pub(crate) use metrics::Metrics;
pub use options::{KubernetesAttach, KubernetesOptions, KubernetesRole, KubernetesSelector};

/// Reads `json` as every kind of object that becomes a target or is attached to one, and says as how many it could be
/// read: for fuzzing what an API server may send.
#[must_use]
pub fn kubernetes_kinds(json: &str) -> usize {
    fn reads<T: Object>(json: &str, lists: &NameLists) -> usize {
        usize::from(T::read(json, lists).is_ok())
    }
    let lists = NameLists::default();
    reads::<node::Node>(json, &lists)
        + reads::<pod::Pod>(json, &lists)
        + reads::<service::Service>(json, &lists)
        + reads::<endpoints::Endpoints>(json, &lists)
        + reads::<endpoint_slice::EndpointSlice>(json, &lists)
        + reads::<ingress::Ingress>(json, &lists)
        + reads::<namespace::Namespace>(json, &lists)
        + reads::<owner::ReplicaSet>(json, &lists)
        + reads::<owner::Job>(json, &lists)
}

/// What all Kubernetes providers of a manager share.
#[derive(Clone)]
pub(crate) struct Environment {
    clusters: Clusters,
    lists: NameLists,
    metrics: Metrics,
}

impl Environment {
    pub(crate) fn new(metrics: Metrics, lists: NameLists, behaviour: Behaviour) -> Self {
        Environment { clusters: Clusters::new(metrics.requests.clone(), behaviour), lists, metrics }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::kubernetes_kinds;

    const CLUSTER: &str = include_str!("../../testdata/cluster.json");

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,200}") {
            let _ = kubernetes_kinds(&text);
            let _ = kubeapi::event(text.as_bytes());
            let _ = kubeapi::list(text.as_bytes());
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = kubeapi::event(&bytes);
            let _ = kubeapi::list(&bytes);
        }

        #[test]
        fn no_change_of_an_object_is_too_much(
            cut in 0..CLUSTER.len(),
            length in 1_usize..2_000,
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"0-9\"{}[]:,nulltre\\ ".to_vec())), 1..6),
        ) {
            let mut bytes: Vec<u8> = CLUSTER.bytes().skip(cut).take(length).collect();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            // Any piece, and an object that really begins as one.
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let _ = kubernetes_kinds(&text);
            let object = format!("{{\"metadata\":{{\"name\":\"a\"}},\"spec\":{text}}}");
            let _ = kubernetes_kinds(&object);
        }

        #[test]
        fn any_value_in_any_place_is_read_or_refused(
            place in prop::sample::select(vec!["metadata", "spec", "status", "subsets", "endpoints", "ports", "addressType"]),
            value in prop::sample::select(vec!["null", "{}", "[]", "1", "-1e99", "\"x\"", "[null]", "[{}]", "{\"ports\":[{\"port\":-1}]}",
                "{\"containers\":[{\"ports\":[{\"containerPort\":99999999999999999999}]}]}", "{\"podIP\":7}"]),
        ) {
            let _ = kubernetes_kinds(&format!("{{\"{place}\":{value}}}"));
        }
    }
}
