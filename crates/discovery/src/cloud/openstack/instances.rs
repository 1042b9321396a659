//! Instances of Nova: a target for each of their addresses, but for the floating ones.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::{Session, page};
use crate::cloud::targets::Targets;
use crate::json::Or;

page!(Ports ports ports_links Port);
page!(FloatingIps floatingips floatingips_links FloatingIp);
page!(Servers servers servers_links Server);

#[derive(Deserialize, Default)]
#[serde(default)]
struct Port {
    id: Or<String>,
    device_id: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct FloatingIp {
    pub(super) port_id: Or<String>,
    fixed_ip_address: Or<String>,
    pub(super) floating_ip_address: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    id: Or<String>,
    name: Or<String>,
    status: Or<String>,
    tenant_id: Or<String>,
    user_id: Or<String>,
    /// A text when there is none.
    image: Value,
    flavor: Or<serde_json::Map<String, Value>>,
    metadata: Or<BTreeMap<String, String>>,
    addresses: Or<BTreeMap<String, Value>>,
}

/// Floating addresses, and which of them belong to which fixed address of which device.
#[derive(Default)]
struct Floating {
    all: HashSet<String>,
    by_fixed: HashMap<(String, String), String>,
}

pub(super) async fn floating_ips(session: &Session<'_>) -> Result<Vec<FloatingIp>, String> {
    session
        .all::<FloatingIps>(&format!("{}v2.0/floatingips", session.endpoint(&["network", "networking"])?))
        .await
}

pub(super) async fn find(
    session: &Session<'_>,
    port: i64,
    all_tenants: bool,
    targets: &mut Targets,
) -> Result<(), String> {
    let compute = session.endpoint(&["compute"])?;
    let ports = format!("{}v2.0/ports", session.endpoint(&["network", "networking"])?);
    let ports =
        session.all::<Ports>(&ports).await.map_err(|err| format!("failed to list all ports: {err}"))?;
    let devices: HashMap<String, String> =
        ports.into_iter().map(|port| (port.id.0, port.device_id.0)).collect();
    let mut floating = Floating::default();
    for ip in floating_ips(session).await? {
        if ip.port_id.is_empty() || ip.fixed_ip_address.is_empty() {
            continue;
        }
        let Some(device) = devices.get(ip.port_id.as_str()) else {
            tracing::warn!(port = %*ip.port_id, "Floating IP PortID not found in portList");
            continue;
        };
        floating.all.insert(ip.floating_ip_address.0.clone());
        floating.by_fixed.insert((device.clone(), ip.fixed_ip_address.0), ip.floating_ip_address.0);
    }
    let query = if all_tenants { "?all_tenants=true" } else { "" };
    for server in session.all::<Servers>(&format!("{compute}servers/detail{query}")).await? {
        add(targets, &server, &floating, port);
    }
    Ok(())
}

fn add(targets: &mut Targets, server: &Server, floating: &Floating, port: i64) {
    // The name came with newer versions of the API instead of the id.
    let flavor = ["original_name", "id"].iter().find_map(|key| server.flavor.get(*key)?.as_str());
    let Some(flavor) = flavor else {
        if !server.addresses.is_empty() {
            tracing::warn!("Invalid type for both flavor original_name and flavor id, expected string");
        }
        return;
    };
    let labels = [
        ("instance_id", server.id.as_str()),
        ("instance_status", &server.status),
        ("instance_name", &server.name),
        ("project_id", &server.tenant_id),
        ("user_id", &server.user_id),
        ("instance_flavor", flavor),
        ("instance_image", server.image.get("id").and_then(Value::as_str).unwrap_or_default()),
    ];
    labels.into_iter().for_each(|(name, value)| targets.label(name, value));
    for (key, value) in &*server.metadata {
        targets.labelled("tag_", key, value);
    }
    let shared = targets.take_shared();
    for (pool, addresses) in &*server.addresses {
        let addresses = addresses.as_array().into_iter().flatten();
        for address in addresses.filter_map(|address| address.get("addr")?.as_str()) {
            if floating.all.contains(address) {
                continue;
            }
            targets.address(address, port);
            targets.label("address_pool", pool);
            targets.label("private_ip", address);
            let key = (server.id.0.clone(), address.to_owned());
            targets.label("public_ip", floating.by_fixed.get(&key).map_or("", String::as_str));
            targets.end_with(&shared);
        }
    }
}
