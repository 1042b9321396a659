//! `dns_sd_configs`: addresses behind names in DNS.

mod message;
mod resolver;

use std::path::PathBuf;
use std::time::Duration;

use exposition::registry::{Counter, Registry};
use tokio::task::JoinSet;

use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::label_set::{NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
pub use message::DnsRecordType;
use message::Record;

/// A `dns_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsOptions {
    /// The names that are looked up.
    pub names: Vec<String>,
    /// Which records are looked for.
    pub records: DnsRecordType,
    /// The port of targets; only SRV records bring their own.
    pub port: i64,
    /// How often. Prometheus: 30 s.
    pub refresh_interval: Duration,
    /// The file that says which servers are asked: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The port of these servers: 53.
    pub server_port: u16,
}

/// `prometheus_sd_dns_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    lookups: Counter,
    failures: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Metrics {
            lookups: registry.counter("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups."),
            failures: registry
                .counter("prometheus_sd_dns_lookup_failures_total", "The number of DNS-SD lookup failures."),
        }
    }
}

impl Provider for Box<DnsOptions> {
    async fn run(self, context: Context) {
        let names =
            Names { lists: context.lists.clone(), metrics: context.metrics.dns.clone(), options: *self };
        refresh::every(names.options.refresh_interval, "dns", &context, Ok(names)).await;
    }
}

struct Names {
    options: DnsOptions,
    lists: NameLists,
    metrics: Metrics,
}

impl Source for Names {
    /// A name that cannot be looked up keeps its targets; the others are renewed.
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let mut lookups = JoinSet::new();
        for name in self.options.names.clone() {
            let options = &self.options;
            let (file, port, kind) = (options.resolv_conf.clone(), options.server_port, options.records);
            lookups.spawn(async move {
                let found = resolver::look_up(&name, kind, &file, port).await;
                (name, found)
            });
        }
        let mut groups = Vec::new();
        while let Some(done) = lookups.join_next().await {
            let Ok((name, found)) = done else { continue };
            self.metrics.lookups.inc();
            match found {
                Ok(records) => groups.push(group(&name, &records, self.options.port, &self.lists)),
                Err(err) => {
                    self.metrics.failures.inc();
                    tracing::error!(component = "discovery manager", discovery = "dns", %err, "Error refreshing DNS targets");
                }
            }
        }
        Ok(groups)
    }
}

fn group(name: &str, records: &[Record], port: i64, lists: &NameLists) -> TargetGroup {
    let mut pairs = Pairs::default();
    let mut targets = Vec::new();
    for record in records {
        let address = match record {
            Record::A(address) => join_host_port(&address.to_string(), port),
            Record::Aaaa(address) => join_host_port(
                &address.to_ipv4_mapped().map_or(address.to_string(), |v4| v4.to_string()),
                port,
            ),
            Record::Srv { target, port } => {
                pairs.push("__meta_dns_srv_record_target", target);
                pairs.push("__meta_dns_srv_record_port", &port.to_string());
                join_host_port(unrooted(target), port)
            }
            Record::Mx(target) => {
                pairs.push("__meta_dns_mx_record_target", target);
                join_host_port(unrooted(target), port)
            }
            Record::Ns(target) => {
                pairs.push("__meta_dns_ns_record_target", target);
                join_host_port(unrooted(target), port)
            }
            // An alias that led to the other records.
            Record::Cname => continue,
            Record::Other(kind) => {
                tracing::warn!(
                    component = "discovery manager",
                    discovery = "dns",
                    name,
                    kind,
                    "Invalid record"
                );
                continue;
            }
        };
        pairs.push(ADDRESS, &address);
        pairs.push("__meta_dns_name", name);
        targets.push(pairs.take(lists).into());
    }
    TargetGroup::of(name, targets)
}

/// Without the dot at the end of a name.
fn unrooted(name: &str) -> &str {
    name.trim_end_matches('.')
}

/// Reads a message: for fuzzing.
pub(crate) fn read_any(message: &[u8], _: &NameLists) -> usize {
    message::answer(message).map_or(0, |answer| answer.records.len())
}
