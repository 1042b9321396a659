//! The server's own metrics.

use exposition::registry::{Counter, CounterVec, Gauge, Registry};

pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    pub(crate) connections: Gauge,
    pub(crate) given_up: CounterVec,
    pub(crate) password_checks: CounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, max_connections: usize) -> Metrics {
        let limit = "Connections that may be open at once (--web.max-connections).";
        registry.gauge("binnacle_http_connections_limit", limit).set(max_connections as f64);
        let accepted = registry.counter_vec(
            "net_conntrack_listener_conn_accepted_total",
            "Total number of connections opened to the listener of a given name.",
            &["listener_name"],
        );
        let closed = registry.counter_vec(
            "net_conntrack_listener_conn_closed_total",
            "Total number of connections closed that were made to the listener of a given name.",
            &["listener_name"],
        );
        Metrics {
            accepted: accepted.with(&["http"]),
            closed: closed.with(&["http"]),
            connections: registry
                .gauge("binnacle_http_connections", "Connections that are open, of --web.max-connections."),
            given_up: registry.counter_vec(
                "binnacle_http_connections_given_up_total",
                "Connections that the server ended: to make room for others, because the client took nothing of its answer, or because the handshake failed.",
                &["reason"],
            ),
            password_checks: registry.counter_vec(
                "binnacle_http_password_checks_total",
                "Passwords that were held against their hashes, and those that were refused because too many were.",
                &["outcome"],
            ),
        }
    }
}
