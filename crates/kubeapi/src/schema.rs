//! The fields of Kubernetes' objects that somebody wants, with their numbers in protobuf. Source: `generated.proto` of
//! k8s.io/api and k8s.io/apimachinery, where a number never changes its meaning.

use crate::protobuf::Kind::{Bool, Inner, Int, Many, Text, TextMap};
use crate::protobuf::{Field, Kind, Message};

macro_rules! fields {
    ($($number:literal $name:literal $kind:expr),* $(,)?) => {
        Message(&[$(Field { number: $number, name: $name, kind: $kind }),*])
    };
}

static OWNER: Message = fields! { 1 "kind" Text, 3 "name" Text, 6 "controller" Bool };

/// `meta.v1.ObjectMeta`, field 1 of every object.
static METADATA: Message = fields! {
    1 "name" Text,
    3 "namespace" Text,
    5 "uid" Text,
    6 "resourceVersion" Text,
    11 "labels" TextMap,
    12 "annotations" TextMap,
    13 "ownerReferences" Many(&Kind::Message(&OWNER)),
};

/// Any object, of which nothing but the metadata is wanted.
pub static ONLY_METADATA: Message = fields! { 1 "metadata" Kind::Message(&METADATA) };

/// `meta.v1.ListMeta`.
pub(crate) static LIST_METADATA: Message = fields! { 2 "resourceVersion" Text, 3 "continue" Text };

/// `meta.v1.Status`.
pub static STATUS: Message = fields! { 3 "message" Text, 4 "reason" Text, 6 "code" Int };

static CONDITION: Message = fields! { 1 "type" Text, 2 "status" Text };

/// `core.v1.Node`.
pub static NODE: Message = fields! {
    1 "metadata" Kind::Message(&METADATA),
    2 "spec" Kind::Message(&fields! { 3 "providerID" Text }),
    3 "status" Kind::Message(&fields! {
        4 "conditions" Many(&Kind::Message(&CONDITION)),
        5 "addresses" Many(&Kind::Message(&fields! { 1 "type" Text, 2 "address" Text })),
        6 "daemonEndpoints" Kind::Message(&fields! {
            1 "kubeletEndpoint" Kind::Message(&fields! { 1 "Port" Int }),
        }),
    }),
};

static CONTAINER: Message = fields! {
    1 "name" Text,
    2 "image" Text,
    6 "ports" Many(&Kind::Message(&fields! { 1 "name" Text, 3 "containerPort" Int, 4 "protocol" Text })),
};
static CONTAINER_STATUS: Message = fields! { 1 "name" Text, 8 "containerID" Text };

/// `core.v1.Pod`.
pub static POD: Message = fields! {
    1 "metadata" Kind::Message(&METADATA),
    2 "spec" Kind::Message(&fields! {
        2 "containers" Many(&Kind::Message(&CONTAINER)),
        10 "nodeName" Text,
        20 "initContainers" Many(&Kind::Message(&CONTAINER)),
    }),
    3 "status" Kind::Message(&fields! {
        1 "phase" Text,
        2 "conditions" Many(&Kind::Message(&CONDITION)),
        5 "hostIP" Text,
        6 "podIP" Text,
        8 "containerStatuses" Many(&Kind::Message(&CONTAINER_STATUS)),
        10 "initContainerStatuses" Many(&Kind::Message(&CONTAINER_STATUS)),
    }),
};

static SERVICE_PORT: Message = fields! { 1 "name" Text, 2 "protocol" Text, 3 "port" Int };

/// `core.v1.Service`.
pub static SERVICE: Message = fields! {
    1 "metadata" Kind::Message(&METADATA),
    2 "spec" Kind::Message(&fields! {
        1 "ports" Many(&Kind::Message(&SERVICE_PORT)),
        3 "clusterIP" Text,
        4 "type" Text,
        8 "loadBalancerIP" Text,
        10 "externalName" Text,
        17 "ipFamilyPolicy" Text,
        19 "ipFamilies" Many(&Text),
    }),
    3 "status" Kind::Message(&fields! {
        1 "loadBalancer" Kind::Message(&fields! {
            1 "ingress" Many(&Kind::Message(&fields! { 1 "ip" Text })),
        }),
    }),
};

static REFERENCE: Message = fields! { 1 "kind" Text, 2 "namespace" Text, 3 "name" Text };
static ADDRESS: Message = fields! {
    1 "ip" Text,
    2 "targetRef" Kind::Message(&REFERENCE),
    3 "hostname" Text,
    4 "nodeName" Text,
};

/// `core.v1.Endpoints`.
pub static ENDPOINTS: Message = fields! {
    1 "metadata" Kind::Message(&METADATA),
    2 "subsets" Many(&Kind::Message(&fields! {
        1 "addresses" Many(&Kind::Message(&ADDRESS)),
        2 "notReadyAddresses" Many(&Kind::Message(&ADDRESS)),
        3 "ports" Many(&Kind::Message(&fields! { 1 "name" Text, 2 "port" Int, 3 "protocol" Text })),
    })),
};

static ENDPOINT: Message = fields! {
    1 "addresses" Many(&Text),
    2 "conditions" Kind::Message(&fields! { 1 "ready" Bool, 2 "serving" Bool, 3 "terminating" Bool }),
    3 "hostname" Text,
    4 "targetRef" Kind::Message(&REFERENCE),
    5 "deprecatedTopology" TextMap,
    6 "nodeName" Text,
    7 "zone" Text,
};
static SLICE_PORT: Message = fields! { 1 "name" Text, 2 "protocol" Text, 3 "port" Int, 4 "appProtocol" Text };

/// `discovery.v1.EndpointSlice`.
pub static ENDPOINT_SLICE: Message = fields! {
    1 "metadata" Kind::Message(&METADATA),
    2 "endpoints" Many(&Kind::Message(&ENDPOINT)),
    3 "ports" Many(&Kind::Message(&SLICE_PORT)),
    4 "addressType" Text,
};

static INGRESS_RULE: Message = fields! {
    1 "host" Text,
    // A rule's value is a message of its own, whose fields JSON shows in the rule.
    2 "http" Inner(1, &Kind::Message(&fields! { 1 "paths" Many(&Kind::Message(&fields! { 1 "path" Text })) })),
};

/// `networking.v1.Ingress`.
pub static INGRESS: Message = fields! {
    1 "metadata" Kind::Message(&METADATA),
    2 "spec" Kind::Message(&fields! {
        2 "tls" Many(&Kind::Message(&fields! { 1 "hosts" Many(&Text) })),
        3 "rules" Many(&Kind::Message(&INGRESS_RULE)),
        4 "ingressClassName" Text,
    }),
};
