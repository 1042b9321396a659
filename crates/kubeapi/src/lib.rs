//! The API server of a Kubernetes cluster: how it is reached, what it is asked, and what is kept of its answers.
//!
//! A [`Cluster`] keeps one [`Cache`] for each [`Selection`] of objects, shared by all who ask for it and ended when the
//! last of them is gone. A cache follows the server by list and watch (`list_watch.rs`) and holds what a [`Decode`]
//! makes of each object, which is only what is needed of it. Whoever wants to know what changed takes a [`Changes`].

mod access;
mod base64;
mod cache;
mod cluster;
mod decode;
mod error;
mod exec_credential;
mod kubeconfig;
mod list_watch;
mod metrics;
mod pace;
mod protobuf;
mod request;
pub mod schema;
mod stream;

pub use access::{Access, ServiceAccount};
pub use cache::{Cache, Changes, EventCounters, Key};
pub use cluster::{Cluster, Clusters, Shared};
pub use decode::{Decode, Decoded, Encoded, Encoding, Event, List, Unreadable, event, list};
pub use error::Error;
#[doc(hidden)]
pub use exec_credential::exec_credential_read;
pub use list_watch::Behaviour;
pub use metrics::RequestMetrics;
pub use protobuf::{Field, Kind, Malformed, Message};
pub use request::Selection;
