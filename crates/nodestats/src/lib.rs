//! This machine as metric families, a module per collector.
