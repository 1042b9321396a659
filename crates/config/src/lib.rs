//! prometheus.yml as typed and as validated options of the components.
