//! This machine as metric families, a module per collector, under node_exporter 1.12's names.
//!
//! [`NodeStats::collect`] is synchronous and quick: what may hang (a dead NFS server under a mount) runs on threads of its own and is
//! answered for with the last that was heard of it.

mod collector;
mod collectors;
mod filter;
mod link_stats;
mod mount_stats;
mod node_stats;
mod options;
mod proc_file;
mod udev;

pub use node_stats::NodeStats;
pub use options::{BuildInfo, Options, OptionsError, Selection};
