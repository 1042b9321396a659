//! What a node of ZooKeeper says about a member of a service.

use serde::Deserialize;

use crate::group::{ADDRESS, join_host_port};
use crate::json::{Or, Text};
use crate::label_set::{LabelParts, NameLists, Pairs};

/// How members are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberFormat {
    /// As Twitter's serversets.
    Serverset,
    /// As AirBnB's Nerve.
    Nerve,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ServersetMember<'a> {
    #[serde(borrow, alias = "ServiceEndpoint")]
    service_endpoint: Or<Endpoint<'a>>,
    #[serde(borrow, alias = "AdditionalEndpoints")]
    additional_endpoints: Or<std::collections::BTreeMap<String, Or<Endpoint<'a>>>>,
    #[serde(borrow)]
    status: Text<'a>,
    shard: Or<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint<'a> {
    #[serde(borrow, alias = "Host")]
    host: Text<'a>,
    #[serde(alias = "Port")]
    port: Or<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NerveMember<'a> {
    #[serde(borrow)]
    host: Text<'a>,
    port: Or<i64>,
    #[serde(borrow)]
    name: Text<'a>,
}

impl MemberFormat {
    /// The mechanism's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            MemberFormat::Serverset => "serverset",
            MemberFormat::Nerve => "nerve",
        }
    }

    /// The target that the data of the node at `path` describes, if it is a member.
    pub(super) fn read(self, data: &[u8], path: &str, lists: &NameLists) -> Option<LabelParts> {
        let mut pairs = Pairs::default();
        match self {
            MemberFormat::Serverset => {
                let member: Or<ServersetMember<'_>> = serde_json::from_slice(data).ok()?;
                let endpoint = &member.service_endpoint;
                let port = endpoint.port.to_string();
                pairs.push(ADDRESS, &join_host_port(&endpoint.host, &port));
                pairs.push("__meta_serverset_path", path);
                pairs.push("__meta_serverset_endpoint_host", &endpoint.host);
                pairs.push("__meta_serverset_endpoint_port", &port);
                for (name, endpoint) in &member.additional_endpoints.0 {
                    pairs.push_sanitized(&["__meta_serverset_endpoint_host_"], name, &endpoint.host);
                    pairs.push_sanitized(
                        &["__meta_serverset_endpoint_port_"],
                        name,
                        &endpoint.port.to_string(),
                    );
                }
                pairs.push("__meta_serverset_status", &member.status);
                pairs.push("__meta_serverset_shard", &member.shard.to_string());
            }
            MemberFormat::Nerve => {
                let member: Or<NerveMember<'_>> = serde_json::from_slice(data).ok()?;
                let port = member.port.to_string();
                pairs.push(ADDRESS, &join_host_port(&member.host, &port));
                pairs.push("__meta_nerve_path", path);
                pairs.push("__meta_nerve_endpoint_host", &member.host);
                pairs.push("__meta_nerve_endpoint_port", &port);
                pairs.push("__meta_nerve_endpoint_name", &member.name);
            }
        }
        Some(pairs.take(lists).into())
    }
}
