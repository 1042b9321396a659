//! Load balancers of Octavia with a listener for Prometheus.

use std::collections::HashMap;

use serde::Deserialize;

use super::instances::floating_ips;
use super::{Session, page};
use crate::cloud::targets::Targets;
use crate::json::{Many, Or};

page!(LoadBalancers loadbalancers loadbalancers_links LoadBalancer);
page!(Listeners listeners listeners_links Listener);

#[derive(Deserialize, Default)]
#[serde(default)]
struct LoadBalancer {
    id: Or<String>,
    name: Or<String>,
    operating_status: Or<String>,
    provisioning_status: Or<String>,
    availability_zone: Or<String>,
    vip_address: Or<String>,
    vip_port_id: Or<String>,
    provider: Or<String>,
    project_id: Or<String>,
    tags: Many<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Listener {
    protocol: Or<String>,
    protocol_port: Or<i64>,
    loadbalancers: Many<Reference>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference {
    id: Or<String>,
}

pub(super) async fn find(session: &Session<'_>, targets: &mut Targets) -> Result<(), String> {
    let base = format!("{}v2.0/lbaas/", session.endpoint(&["load-balancer"])?.replace("v2.0/", ""));
    let balancers = session.all::<LoadBalancers>(&format!("{base}loadbalancers")).await;
    let balancers = balancers.map_err(|err| format!("failed to list load balancers: {err}"))?;
    let listeners = session.all::<Listeners>(&format!("{base}listeners")).await;
    let listeners = listeners.map_err(|err| format!("failed to list all listeners: {err}"))?;
    // The first of a load balancer counts.
    let mut ports: HashMap<&str, i64> = HashMap::new();
    for listener in listeners.iter().filter(|listener| *listener.protocol == "PROMETHEUS") {
        for balancer in &listener.loadbalancers.0 {
            ports.entry(&balancer.id).or_insert(*listener.protocol_port);
        }
    }
    let floating =
        floating_ips(session).await.map_err(|err| format!("failed to list floating IPs: {err}"))?;
    let floating: HashMap<&str, &str> = floating
        .iter()
        .filter(|ip| !ip.port_id.is_empty())
        .map(|ip| (ip.port_id.as_str(), ip.floating_ip_address.as_str()))
        .collect();
    for balancer in &balancers {
        let Some(port) = ports.get(balancer.id.as_str()) else { continue };
        targets.address(&balancer.vip_address, *port);
        let labels = [
            ("loadbalancer_id", balancer.id.as_str()),
            ("loadbalancer_name", &balancer.name),
            ("loadbalancer_operating_status", &balancer.operating_status),
            ("loadbalancer_provisioning_status", &balancer.provisioning_status),
            ("loadbalancer_availability_zone", &balancer.availability_zone),
            ("loadbalancer_vip", &balancer.vip_address),
            ("loadbalancer_provider", &balancer.provider),
            ("project_id", &balancer.project_id),
            ("loadbalancer_tags", &balancer.tags.0.join(",")),
            (
                "loadbalancer_floating_ip",
                floating.get(balancer.vip_port_id.as_str()).copied().unwrap_or_default(),
            ),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.end_target();
    }
    Ok(())
}
