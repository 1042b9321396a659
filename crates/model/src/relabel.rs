//! Relabelling: the eleven actions of Prometheus.
