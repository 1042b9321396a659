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

/// Reads `object` as every kind of object that becomes a target or is attached to one, and says as how many it could be
/// read: for fuzzing what an API server may send.
#[must_use]
pub fn kubernetes_kinds(object: kubeapi::Encoded<'_>) -> usize {
    fn reads<T: Object>(object: kubeapi::Encoded<'_>, lists: &NameLists) -> usize {
        usize::from(T::read(object, lists).is_ok())
    }
    let lists = NameLists::default();
    reads::<node::Node>(object, &lists)
        + reads::<pod::Pod>(object, &lists)
        + reads::<service::Service>(object, &lists)
        + reads::<endpoints::Endpoints>(object, &lists)
        + reads::<endpoint_slice::EndpointSlice>(object, &lists)
        + reads::<ingress::Ingress>(object, &lists)
        + reads::<namespace::Namespace>(object, &lists)
        + reads::<owner::ReplicaSet>(object, &lists)
        + reads::<owner::Job>(object, &lists)
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
    use kubeapi::{Encoded, Encoding};
    use proptest::prelude::*;

    use super::*;

    fn read<T: Object>(encoding: Encoding, list: &[u8]) -> Vec<(String, T)> {
        let list = kubeapi::list(encoding, list).unwrap();
        assert!(!list.version.is_empty());
        let lists = NameLists::default();
        let object = |item: Encoded<'_>| {
            let (metadata, object) = T::read(item, &lists).unwrap();
            (format!("{}/{}", &*metadata.namespace, &*metadata.name), object)
        };
        list.items.into_iter().map(object).collect()
    }

    macro_rules! same_in_both {
        ($($name:literal $kind:ty),* $(,)?) => {$(
            let json = read::<$kind>(Encoding::Json, include_bytes!(concat!("../../testdata/kubernetes/", $name, ".json")));
            let protobuf = read::<$kind>(Encoding::Protobuf, include_bytes!(concat!("../../testdata/kubernetes/", $name, ".pb")));
            assert!(json.len() > 2, $name);
            assert_eq!(json.len(), protobuf.len(), $name);
            for ((name, json), (same, protobuf)) in json.iter().zip(&protobuf) {
                assert_eq!(name, same);
                assert!(json == protobuf, "{} {name}", $name);
            }
        )*};
    }

    #[test]
    fn objects_of_a_real_server_are_the_same_in_both_encodings() {
        same_in_both!(
            "endpoints" endpoints::Endpoints,
            "endpointslices" endpoint_slice::EndpointSlice,
            "ingresses" ingress::Ingress,
            "jobs" owner::Job,
            "namespaces" namespace::Namespace,
            "nodes" node::Node,
            "pods" pod::Pod,
            "replicasets" owner::ReplicaSet,
            "services" service::Service,
        );
    }

    const CLUSTER: &str = include_str!("../../testdata/cluster.json");

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,200}") {
            let _ = kubernetes_kinds(Encoded::Json(&text));
            let _ = kubeapi::event(Encoding::Json, text.as_bytes());
            let _ = kubeapi::list(Encoding::Json, text.as_bytes());
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                let _ = kubeapi::event(encoding, &bytes);
                let _ = kubeapi::list(encoding, &bytes);
            }
            let _ = kubernetes_kinds(Encoded::Protobuf(&bytes));
        }

        #[test]
        fn no_change_of_a_message_is_too_much(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = include_bytes!("../../testdata/kubernetes/endpointslices.pb").to_vec();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if let Ok(list) = kubeapi::list(Encoding::Protobuf, &bytes) {
                list.items.into_iter().for_each(|item| { let _ = kubernetes_kinds(item); });
            }
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
            let _ = kubernetes_kinds(Encoded::Json(&text));
            let object = format!("{{\"metadata\":{{\"name\":\"a\"}},\"spec\":{text}}}");
            let _ = kubernetes_kinds(Encoded::Json(&object));
        }

        #[test]
        fn any_value_in_any_place_is_read_or_refused(
            place in prop::sample::select(vec!["metadata", "spec", "status", "subsets", "endpoints", "ports", "addressType"]),
            value in prop::sample::select(vec!["null", "{}", "[]", "1", "-1e99", "\"x\"", "[null]", "[{}]", "{\"ports\":[{\"port\":-1}]}",
                "{\"containers\":[{\"ports\":[{\"containerPort\":99999999999999999999}]}]}", "{\"podIP\":7}"]),
        ) {
            let _ = kubernetes_kinds(Encoded::Json(&format!("{{\"{place}\":{value}}}")));
        }
    }
}
