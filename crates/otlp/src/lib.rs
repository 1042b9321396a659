//! OTLP metrics in: a request in protobuf or JSON becomes one batch of the store.
//!
//! Names, labels, statuses and texts are those of Prometheus 3.14's receiver: a request is stored whole or not at all.
//! See the README for the way of a request.

mod context;
mod exemplar;
mod exponential;
mod intake;
mod json;
mod label_set;
mod metrics;
mod names;
mod native;
mod options;
mod point;
mod receiver;
mod schema;
mod series_labels;
mod streams;
mod target_info;
mod translate;
mod value;
mod warnings;
mod wire;

pub use names::Naming;
pub use options::{Deltas, Promoted, ReceiverOptions, Translation};
pub use receiver::{Answer, MAX_BODY, Receiver};
