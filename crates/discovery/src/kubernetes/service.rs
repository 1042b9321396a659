//! Role `service`: a target for each port of a service, at its name in the cluster's DNS.

use kubeapi::{Encoded, Unreadable, schema};
use serde::Deserialize;

use super::object::{Metadata, Object, ServicePort};
use crate::group::ADDRESS;
use crate::json::{Many, Text};
use crate::label_set::{LabelSet, NameLists, Pairs};

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
struct Status<'a> {
    #[serde(borrow)]
    load_balancer: LoadBalancer<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LoadBalancer<'a> {
    #[serde(borrow)]
    ingress: Many<LoadBalancerIngress<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LoadBalancerIngress<'a> {
    #[serde(borrow)]
    ip: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, rename = "clusterIP")]
    cluster_ip: Text<'a>,
    #[serde(borrow, rename = "loadBalancerIP")]
    load_balancer_ip: Text<'a>,
    #[serde(borrow, rename = "ipFamilyPolicy")]
    ip_family_policy: Text<'a>,
    #[serde(borrow, rename = "ipFamilies")]
    ip_families: Many<Text<'a>>,
    #[serde(borrow, rename = "externalName")]
    external_name: Text<'a>,
    #[serde(borrow)]
    ports: Many<ServicePort<'a>>,
}

/// A service.
#[derive(PartialEq)]
pub(super) struct Service {
    /// Name, labels and annotations.
    pub(super) labels: LabelSet,
    /// A target for each port.
    pub(super) targets: Box<[LabelSet]>,
    /// Of a service of two families the first one, which its targets have: whether it is IPv6.
    pub(super) first_is_six: Option<bool>,
}

impl Object for Service {
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let Spelled { metadata, spec, status } = object.read(&schema::SERVICE)?;
        let mut pairs = Pairs::default();
        metadata.push_to(&mut pairs, "service");
        let labels = pairs.take(lists);
        let target = |port: &ServicePort<'_>| {
            pairs.push(ADDRESS, &format!("{}.{}.svc:{}", &*metadata.name, &*metadata.namespace, port.port));
            pairs.push("__meta_kubernetes_service_port_name", &port.name);
            pairs.push("__meta_kubernetes_service_port_number", &port.port.to_string());
            pairs.push("__meta_kubernetes_service_port_protocol", &port.protocol);
            pairs.push("__meta_kubernetes_service_type", &spec.kind);
            if &*spec.kind == "ExternalName" {
                pairs.push("__meta_kubernetes_service_external_name", &spec.external_name);
            } else {
                pairs.push("__meta_kubernetes_service_cluster_ip", &spec.cluster_ip);
            }
            if &*spec.kind == "LoadBalancer" {
                // Since Kubernetes 1.24 what was assigned stands in the status alone.
                let assigned = status.load_balancer.ingress.0.iter().map(|ingress| &*ingress.ip);
                let assigned: Vec<&str> = assigned.filter(|ip| !ip.is_empty()).collect();
                let assigned = assigned.join(",");
                let ip = if assigned.is_empty() { &*spec.load_balancer_ip } else { &assigned };
                pairs.push("__meta_kubernetes_service_loadbalancer_ip", ip);
            }
            pairs.take(lists)
        };
        let targets = spec.ports.0.iter().map(target).collect();
        let two = matches!(&*spec.ip_family_policy, "RequireDualStack" | "PreferDualStack");
        let first = spec.ip_families.0.first().filter(|_| two);
        let first_is_six = first.map(|family| &**family == "IPv6");
        Ok((metadata, Service { labels, targets, first_is_six }))
    }
}
