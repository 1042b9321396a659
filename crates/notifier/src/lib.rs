//! Sends alerts to Alertmanagers: finds them, relabels alerts, keeps a queue for each, sends batches by API v2.
//!
//! The queue of an Alertmanager that does not answer holds each alert once, as it is now, and is tried again until it
//! takes them: an alert is lost only when the queue overflows, which is counted.

mod alert;
mod destination;
mod manager;
mod metrics;
mod options;
mod queue;
mod send_loop;

pub use alert::Alert;
pub use destination::{Destination, InvalidAddress, destinations};
pub use manager::Manager;
pub use options::{ManagerOptions, SetOptions};
